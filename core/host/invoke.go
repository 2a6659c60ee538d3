package host

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

const (
	maxInvokes    = 64 // under way at once of one plugin
	maxInvokeText = 64 << 10
	maxArg        = 64 << 10
	maxPaths      = 1024
	maxInvokeSize = 2 << 20
	maxUpdates    = 64 // that a front end has not taken yet
)

// Result is what an action led to.
type Result struct {
	Result []byte // at most 64 KiB
	Sent   []packet.PacketID
}

// Invoke runs an action a person asked for. With an empty plugin the action is a
// slash command. It may be repeated with the same invocation id, also after the
// core was restarted: while the first runs it joins it, afterwards it gives the
// first result and does nothing. update may be nil; it is called in order, from
// this goroutine, and never after Invoke returned. When ctx ends and nobody else
// waits, the action is cancelled.
//
// Errors: ErrInvalid, ErrNoPlugin, ErrNoAction, ErrUnavailable, ErrBusy, what
// the plugin says (*PluginError), the store's, ctx's.
func (h *Host) Invoke(ctx context.Context, plugin string, req *pluginpb.InvokeRequest, update func(*pluginpb.InvokeUpdate)) (*Result, error) {
	if err := checkInvoke(req); err != nil {
		return nil, err
	}
	if plugin == "" {
		if err := h.awaitService(ctx); err != nil {
			return nil, err
		}
		plugin = h.owners.Load().commands[req.GetAction()]
		if plugin == "" {
			if err := h.scan(ctx); err != nil {
				return nil, err
			}
			plugin = h.owners.Load().commands[req.GetAction()]
		}
		if plugin == "" {
			return nil, fmt.Errorf("/%s: %w", clean(req.GetAction()), ErrNoAction)
		}
	}
	id := packet.PacketID(req.GetInvocation())
	r, err := h.invoke(ctx, id, plugin, req, update)
	if err == nil || ctx.Err() != nil {
		return r, err
	}
	// One that was committed before has its result even when its plugin cannot be
	// asked any more.
	if r, before := h.first(ctx, id, plugin, req.GetAction()); r != nil || before != nil {
		return r, before
	}
	return nil, err
}

func (h *Host) invoke(ctx context.Context, id packet.PacketID, plugin string, req *pluginpb.InvokeRequest, update func(*pluginpb.InvokeUpdate)) (*Result, error) {
	select {
	case <-h.ready:
	default: // Serve may never begin
		if r, err := h.first(ctx, id, plugin, req.GetAction()); r != nil || err != nil {
			return r, err
		}
	}
	if err := h.awaitService(ctx); err != nil {
		return nil, err
	}
	p, err := h.find(ctx, plugin)
	if err != nil {
		return nil, err
	}
	for {
		inv, w, err := h.join(p, id, req)
		if err != nil {
			return nil, err
		}
		if w != nil {
			return inv.wait(ctx, w, update)
		}
		// All who waited for it have just left: it is being cancelled.
		select {
		case <-inv.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func checkInvoke(req *pluginpb.InvokeRequest) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("invoke: "+format+": %w", append(args, ErrInvalid)...)
	}
	if _, err := packet.PacketIDFromBytes(req.GetInvocation()); err != nil {
		return bad("invocation is not a UUID of 16 bytes")
	}
	if !actionPattern.MatchString(req.GetAction()) {
		return bad("action %.40q is no name of an action", req.GetAction())
	}
	if req.GetChat() != "" {
		if _, err := packet.ParseChatID(req.GetChat()); err != nil {
			return bad("chat %.140q is no chat id", req.GetChat())
		}
	}
	if len(req.GetMessage()) > 0 {
		if _, err := packet.PacketIDFromBytes(req.GetMessage()); err != nil {
			return bad("message is not an id of 16 bytes")
		}
	}
	if len(req.GetText()) > maxInvokeText {
		return bad("text has %d bytes, at most %d are allowed", len(req.GetText()), maxInvokeText)
	}
	for name, arg := range req.GetArgs() {
		if len(name) > 256 || len(arg) > maxArg {
			return bad("argument %.40q has %d bytes, at most %d are allowed", name, len(arg), maxArg)
		}
	}
	if len(req.GetPaths()) > maxPaths {
		return bad("%d paths, at most %d are allowed", len(req.GetPaths()), maxPaths)
	}
	for _, path := range req.GetPaths() {
		if !filepath.IsAbs(path) || strings.ContainsRune(path, 0) {
			return bad("path %.200q is not absolute", path)
		}
	}
	if size := proto.Size(req); size > maxInvokeSize {
		return bad("%d bytes, at most %d are allowed", size, maxInvokeSize)
	}
	return nil
}

// first gives the result of the invocation if it was committed before; nil when
// it was not.
func (h *Host) first(ctx context.Context, id packet.PacketID, plugin, action string) (*Result, error) {
	var i store.Invocation
	err := h.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
		i, err = tx.Invocation(id)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("invocation %s: %w", id, err)
	case i.Plugin != plugin || i.Action != action:
		return nil, fmt.Errorf("invocation %s was for %s of plugin %s: %w", id, i.Action, i.Plugin, ErrInvalid)
	}
	return &Result{Result: i.Result, Sent: i.Sent}, nil
}

// invocation is one that is under way, for all who asked for it.
type invocation struct {
	host   *Host
	plugin *plugin
	id     packet.PacketID
	req    *pluginpb.InvokeRequest
	cancel context.CancelFunc

	done   chan struct{}
	result *Result // these two are read after done
	err    error

	mu      sync.Mutex // guards waiters and what is in them
	waiters map[*waiter]struct{}
	inserts int // "insert" updates handed on in this try
	before  int // and in the tries before
	spoiled error
}

// waiter is one caller.
type waiter struct {
	updates []*pluginpb.InvokeUpdate
	wake    chan struct{} // has room for one
}

// join begins an invocation, or joins the one with the same id; the waiter is
// nil when that one is being cancelled.
func (h *Host) join(p *plugin, id packet.PacketID, req *pluginpb.InvokeRequest) (*invocation, *waiter, error) {
	w := &waiter{wake: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if inv := h.invocations[id]; inv != nil {
		if inv.plugin != p || inv.req.GetAction() != req.GetAction() {
			return nil, nil, fmt.Errorf("invocation %s is for %s of plugin %s: %w", id, inv.req.GetAction(), inv.plugin.name, ErrInvalid)
		}
		if inv.enter(w) {
			return inv, w, nil
		}
		return inv, nil, nil
	}
	if h.service == nil {
		return nil, nil, fmt.Errorf("%w: %w", errNotServed, ErrUnavailable)
	}
	p.mu.Lock()
	full := p.invokes >= maxInvokes
	if !full {
		p.invokes++
	}
	p.mu.Unlock()
	if full {
		return nil, nil, fmt.Errorf("plugin %s: %d actions are under way: %w", p.name, maxInvokes, ErrBusy)
	}
	ctx, cancel := context.WithCancel(h.service.ctx)
	inv := &invocation{
		host: h, plugin: p, id: id, req: proto.CloneOf(req), cancel: cancel,
		done: make(chan struct{}), waiters: map[*waiter]struct{}{w: {}},
	}
	h.invocations[id] = inv
	h.service.wg.Go(func() {
		defer cancel()
		inv.result, inv.err = inv.run(ctx)
		h.mu.Lock()
		delete(h.invocations, id)
		h.mu.Unlock()
		p.mu.Lock()
		p.invokes--
		p.mu.Unlock()
		close(inv.done)
	})
	return inv, w, nil
}

// enter adds a caller; false when all others have left already.
func (i *invocation) enter(w *waiter) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.waiters) == 0 {
		return false
	}
	i.waiters[w] = struct{}{}
	return true
}

func (i *invocation) leave(w *waiter) {
	i.mu.Lock()
	delete(i.waiters, w)
	last := len(i.waiters) == 0
	i.mu.Unlock()
	if last {
		i.cancel()
	}
}

func (i *invocation) wait(ctx context.Context, w *waiter, update func(*pluginpb.InvokeUpdate)) (*Result, error) {
	defer i.leave(w)
	pass := func() {
		i.mu.Lock()
		updates := w.updates
		w.updates = nil
		i.mu.Unlock()
		for _, u := range updates {
			if update != nil {
				update(u)
			}
		}
	}
	for {
		select {
		case <-w.wake:
			pass()
		case <-i.done:
			pass()
			return i.result, i.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// run asks the plugin, and once more when it dies meanwhile: nothing was
// committed then.
func (i *invocation) run(ctx context.Context) (*Result, error) {
	// It may be a repetition. From join to here nobody else can begin it.
	if r, err := i.host.first(ctx, i.id, i.plugin.name, i.req.GetAction()); r != nil || err != nil {
		return r, err
	}
	for try := 1; ; try++ {
		sess, err := i.plugin.ready(ctx)
		if err != nil {
			return nil, i.orSpoiled(err)
		}
		w := i.plugin.powers()
		if w.manifest == nil {
			try-- // the file was exchanged just now
			continue
		}
		if w.action(i.req.GetAction()) == nil {
			return nil, fmt.Errorf("plugin %s, action %s: %w", w.plugin, i.req.GetAction(), ErrNoAction)
		}
		if len(i.req.GetPaths()) > 0 && !w.can(pluginpb.Capability_CAPABILITY_FILES) {
			return nil, fmt.Errorf("plugin %s did not declare that it reads files, and was given paths: %w", w.plugin, ErrInvalid)
		}
		answer, err := i.ask(ctx, sess)
		switch {
		case err == nil:
			return i.commit(ctx, w, answer)
		case errors.Is(err, errNotAsked):
			try-- // it died before it heard of this
			continue
		case !errors.Is(err, errDead):
			return nil, i.orSpoiled(err)
		case try == 2:
			return nil, fmt.Errorf("plugin %s: %w: it died twice while it ran %s; nothing was done", w.plugin, ErrUnavailable, i.req.GetAction())
		}
		i.mu.Lock()
		i.before, i.inserts = i.inserts, 0
		i.mu.Unlock()
	}
}

func (i *invocation) orSpoiled(err error) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.spoiled != nil {
		return &PluginError{Plugin: i.plugin.name, Code: codes.Internal, Text: i.spoiled.Error()}
	}
	return err
}

func (i *invocation) ask(ctx context.Context, sess *session) (*pluginpb.InvokeResponse, error) {
	id, c, err := sess.ask(ctx, "Invoke", &pluginpb.HookRequest{Hook: &pluginpb.HookRequest_Invoke{Invoke: proto.CloneOf(i.req)}}, i.update)
	if err != nil {
		return nil, err
	}
	select {
	case r := <-c.answer:
		if _, err := sess.checkError(r); err != nil {
			return nil, err
		}
		if r.GetInvoke() == nil {
			sess.fail(fmt.Errorf("plugin %s answered Invoke with something else: %w", sess.name, errProtocol))
			return nil, errDead
		}
		return r.GetInvoke(), nil
	case <-sess.dead:
		return nil, errDead
	case <-ctx.Done():
		sess.forget(id)
		return nil, sess.orDead(ctx.Err())
	}
}

// commit commits effects and result together.
func (i *invocation) commit(ctx context.Context, w powers, answer *pluginpb.InvokeResponse) (*Result, error) {
	broken := func(err error) error {
		return &PluginError{Plugin: w.plugin, Code: codes.Internal, Text: "its answer cannot be used: " + err.Error()}
	}
	c := checker{plugin: w.plugin}
	c.within("invoke.result", len(answer.GetResult()), maxResult)
	if c.err == nil {
		c.err = checkEffects(w, "invoke", answer.GetEffects())
	}
	if c.err != nil {
		return nil, broken(c.err)
	}
	// What the plugin did is kept even if the front end has just gone.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), i.host.cfg.timing.handle)
	defer cancel()
	result := &Result{Result: answer.GetResult()}
	_, err := i.plugin.applyEffects(ctx, store.Synced, "invoke", answer.GetEffects(), nil, func(tx store.Tx, n *news) error {
		result.Sent = n.sent
		return tx.PutInvocation(store.Invocation{
			ID: i.id, Plugin: w.plugin, Action: i.req.GetAction(), Result: result.Result, Sent: n.sent, At: i.host.cfg.Now().UnixMicro(),
		})
	})
	var wrong *answerError
	var refusal *Refusal
	switch {
	case errors.As(err, &refusal):
		return nil, &PluginError{Plugin: w.plugin, Code: codes.FailedPrecondition, Text: refusal.Text, Why: refusal.Why}
	case errors.As(err, &wrong):
		return nil, broken(err)
	case err != nil:
		return nil, fmt.Errorf("commit action %s of plugin %s: %w", i.req.GetAction(), w.plugin, err)
	}
	return result, nil
}
