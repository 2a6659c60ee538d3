package plugintest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

const (
	maxItems    = 256
	maxAttempts = 3
)

// Host is the core of one account, with one plugin.
type Host struct {
	t           testing.TB
	net         *Network
	cfg         Config
	data, cache string
	device      packet.DeviceID
	workers     sync.WaitGroup
	wake        chan struct{} // has room for one; filled when queue grew
	quit        chan struct{} // closed by close
	closing     sync.Once

	running sync.Mutex // held while a batch is handled, and by Restart
	sending sync.Mutex // held while effects are applied and what they send is carried, so that its order stays; taken before mu

	mu         sync.Mutex // guards all below; taken before Network.mu, never while the plugin is asked
	conn       *conn
	manifest   *pluginpb.Manifest
	settings   map[string]string // those that were set
	restarting bool
	online     bool
	queue      []*item
	waiting    []*item             // RELIABLE ones that came while offline
	unsent     []outgoing          // RELIABLE ones that were sent while offline
	early      []*item             // of chats that are not here yet
	made       map[chatUser]uint64 // packets that Packet made
	given      map[string]int      // paths of how many Invokes that are under way
	state      *state
}

type chatUser struct {
	chat packet.ChatID
	user packet.UserID
}

// item waits to be handled.
type item struct {
	packet  *sdk.Packet
	event   *pluginpb.Event
	chat    packet.ChatID // of an event
	carried bool          // by the network: a failure fails the test
	tries   int
	outcome Outcome // read when the network is settled
}

func (i *item) of() packet.ChatID {
	if i.packet != nil {
		return i.packet.Chat
	}
	return i.chat
}

// User is the account's.
func (h *Host) User() packet.UserID { return h.cfg.User }

// Manifest is the plugin's.
func (h *Host) Manifest() *pluginpb.Manifest {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.manifest
}

// start starts a plugin: describe, check, start.
func (h *Host) start() error {
	c, err := dial(h)
	if err != nil {
		return err
	}
	if err := h.introduce(c); err != nil {
		c.kill()
		return err
	}
	return nil
}

func (h *Host) introduce(c *conn) error {
	answer, err := c.call(context.Background(), &pluginpb.HookRequest{Hook: &pluginpb.HookRequest_Describe{
		Describe: &pluginpb.DescribeRequest{ApiVersion: sdk.APIVersion},
	}}, 5*time.Second)
	if err != nil {
		return fmt.Errorf("describe: %w", err)
	}
	manifest := answer.GetDescribe().GetManifest()
	if err := checkManifest(manifest, h.cfg.Bundled); err != nil {
		return err
	}
	h.mu.Lock()
	h.manifest, h.conn = manifest, c
	settings := h.allSettings()
	h.mu.Unlock()
	_, err = c.call(context.Background(), &pluginpb.HookRequest{Hook: &pluginpb.HookRequest_Start{Start: &pluginpb.StartRequest{
		User: string(h.cfg.User), DisplayName: string(h.cfg.User), DataFolder: h.data, CacheFolder: h.cache, Settings: settings, Locale: "en",
	}}}, 10*time.Second)
	return err
}

// allSettings gives set values over defaults; the caller holds mu.
func (h *Host) allSettings() map[string]string {
	all := map[string]string{}
	for _, s := range h.manifest.GetSettings() {
		all[s.GetName()] = s.GetDefaultValue()
	}
	for name, value := range h.settings {
		if _, ok := all[name]; !ok {
			h.t.Errorf("plugintest: setting %q is not declared in the manifest", name)
		}
		all[name] = value
	}
	return all
}

// Restart kills the plugin as a crash would, and starts it again. What was not
// handled is handed in again.
func (h *Host) Restart() {
	h.t.Helper()
	h.mu.Lock()
	h.restarting = true
	c := h.conn
	h.mu.Unlock()
	c.kill()
	h.running.Lock() // the batch that was under way has failed now
	err := h.start()
	h.mu.Lock()
	h.restarting = false
	h.mu.Unlock()
	h.running.Unlock()
	if err != nil {
		h.t.Fatalf("plugintest: restart: %v", err)
	}
	h.nudge()
}

func (h *Host) close() {
	h.closing.Do(func() {
		close(h.quit)
		c := h.current()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_, err := c.call(ctx, &pluginpb.HookRequest{Hook: &pluginpb.HookRequest_Stop{Stop: &pluginpb.StopRequest{}}}, 5*time.Second)
		if err != nil && !errors.Is(err, errDead) {
			h.t.Errorf("plugintest: plugin of %s did not stop: %v", h.cfg.User, err)
		}
		c.kill()
		h.workers.Wait()
	})
}

func (h *Host) current() *conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.conn
}

// Chat makes a chat with other people, who have no host: a direct chat with one.
func (h *Host) Chat(with ...packet.UserID) packet.ChatID {
	h.t.Helper()
	users := append(slices.Clone(with), h.cfg.User)
	slices.Sort(users)
	id := packet.NewGroupChat()
	if len(users) == 2 {
		id = packet.DirectChat(users[0], users[1])
	}
	h.addChat(id, users)
	return id
}

// OpenChat makes the chat of a group as the core does for a packet that opens it:
// it is there, and has no member list yet.
func (h *Host) OpenChat(id packet.ChatID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.state.chats[id]; !ok {
		h.state.chats[id] = sdk.Chat{ID: id}
	}
}

func (h *Host) addChat(id packet.ChatID, users []packet.UserID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.state.chats[id]; !ok {
		h.state.chats[id] = sdk.Chat{ID: id, Membership: 1, Members: slices.Clone(users)}
	}
}

func (h *Host) chat(id packet.ChatID) (sdk.Chat, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, ok := h.state.chats[id]
	return c, ok
}

// Set sets a setting and waits until the plugin knows; an empty value goes back
// to the default.
func (h *Host) Set(name, value string) {
	h.t.Helper()
	h.mu.Lock()
	h.settings[name] = value
	if value == "" {
		delete(h.settings, name)
	}
	all := h.allSettings()
	h.mu.Unlock()
	h.Event(sdk.Event{Settings: all})
}

// SetOnline takes the host off the network: RELIABLE packets to and from it
// wait, others are lost.
func (h *Host) SetOnline(online bool) {
	h.mu.Lock()
	h.online = online
	var back []*item
	var unsent []outgoing
	if online {
		back, h.waiting = h.waiting, nil
		unsent, h.unsent = h.unsent, nil
	}
	h.mu.Unlock()
	h.enqueue(back, true)
	h.net.carry(h, unsent)
	h.net.Settle()
}

func (h *Host) enqueue(items []*item, carried bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, i := range items {
		i.carried = i.carried || carried
		if carried && !h.online {
			if !i.packet.Ephemeral {
				h.waiting = append(h.waiting, i)
			}
			continue
		}
		if p := i.packet; p != nil && !p.Ephemeral {
			_, there := h.state.chats[p.Chat]
			switch {
			case carried && h.state.holds(p):
				continue
			case carried && !there && !opensChat(h.manifest, p.Type):
				h.early = append(h.early, i)
				continue
			case !h.state.holds(p):
				h.state.logs[p.Chat] = append(h.state.logs[p.Chat], *p)
			}
		}
		h.queue = append(h.queue, i)
		h.net.count(1)
	}
	h.nudge()
}

func (h *Host) nudge() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// work handles what is queued, the items of one chat together.
func (h *Host) work() {
	for {
		select {
		case <-h.wake:
		case <-h.quit:
			return
		}
		for h.workOnce() {
		}
	}
}

func (h *Host) workOnce() (more bool) {
	h.running.Lock()
	defer h.running.Unlock()
	h.mu.Lock()
	c := h.conn
	switch {
	case c.isDead() && h.cfg.Path != "" && !h.restarting:
		h.mu.Unlock()
		return h.revive(c)
	case len(h.queue) == 0 || c.isDead():
		h.mu.Unlock()
		return false
	}
	var batch, rest []*item
	for _, i := range h.queue {
		if i.of() == h.queue[0].of() && len(batch) < maxItems && !h.refuseLarge(i) {
			batch = append(batch, i)
		} else if i.outcome == (Outcome{}) {
			rest = append(rest, i)
		} else {
			h.net.count(-1)
		}
	}
	h.queue = rest
	h.mu.Unlock()
	if len(batch) == 0 {
		return true
	}
	done, err := h.handle(c, batch)
	if err == nil {
		h.finish(batch[:done])
		h.requeue(batch[done:])
		return true
	}
	if c.isDead() && h.cfg.Path == "" {
		h.requeue(batch) // killed by Restart
		return false
	}
	batch[0].tries++
	if batch[0].tries < maxAttempts && (batch[0].packet != nil && !batch[0].packet.Ephemeral) {
		h.requeue(batch)
		return true
	}
	batch[0].outcome.Err = err
	h.finish(batch[:1])
	h.requeue(batch[1:])
	return true
}

// revive starts a process that died again.
func (h *Host) revive(c *conn) bool {
	select {
	case <-h.quit:
		return false
	default:
	}
	c.kill()
	if err := h.start(); err != nil {
		h.t.Errorf("plugintest: restart of %s: %v", h.cfg.Path, err)
		return false
	}
	return true
}

// refuseLarge refuses a packet that is larger than its type allows; the caller
// holds mu.
func (h *Host) refuseLarge(i *item) bool {
	if i.packet == nil {
		return false
	}
	limit := packet.MaxContent
	for _, t := range h.manifest.GetPacketTypes() {
		if t.GetName() == string(i.packet.Type) && t.GetMaxContent() > 0 {
			limit = int(t.GetMaxContent())
		}
	}
	if len(i.packet.Content) <= limit {
		return false
	}
	i.outcome.Refused = fmt.Sprintf("%d bytes, at most %d are taken", len(i.packet.Content), limit)
	return true
}

// requeue puts items back in front.
func (h *Host) requeue(items []*item) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queue = append(slices.Clone(items), h.queue...)
}

func (h *Host) finish(items []*item) {
	for _, i := range items {
		if i.carried && i.outcome.Err != nil {
			h.t.Errorf("plugintest: %s could not handle a packet of type %s by %s: %v", h.cfg.User, i.packet.Type, i.packet.Author, i.outcome.Err)
		}
	}
	h.net.count(-len(items))
}

// handle hands in a batch and commits what comes back, one item after the other.
func (h *Host) handle(c *conn, batch []*item) (done int, err error) {
	request := &pluginpb.HandleRequest{Chat: string(batch[0].of())}
	for _, i := range batch {
		if i.packet != nil {
			request.Items = append(request.Items, &pluginpb.Item{Item: &pluginpb.Item_Packet{Packet: packetProto(i.packet)}})
		} else {
			request.Items = append(request.Items, &pluginpb.Item{Item: &pluginpb.Item_Event{Event: i.event}})
		}
	}
	answer, err := c.call(context.Background(), &pluginpb.HookRequest{Hook: &pluginpb.HookRequest_Handle{Handle: request}}, 30*time.Second)
	if err != nil {
		return 0, err
	}
	outcomes := answer.GetHandle().GetOutcomes()
	if len(outcomes) == 0 || len(outcomes) > len(batch) {
		return 0, fmt.Errorf("plugintest: handle: %d outcomes for %d items", len(outcomes), len(batch))
	}
	for n, o := range outcomes {
		h.commit(batch[n], o)
	}
	return len(outcomes), nil
}

// commit commits one outcome.
func (h *Host) commit(i *item, o *pluginpb.Outcome) {
	switch {
	case len(o.GetRefuse()) > packet.MaxReason:
		i.outcome.Err = fmt.Errorf("outcome.refuse: %d bytes, at most %d are allowed", len(o.GetRefuse()), packet.MaxReason)
	case o.GetRefuse() != "" && len(o.GetEffects()) > 0:
		i.outcome.Err = errors.New("outcome has both effects and a refusal")
	case o.GetRefuse() != "" && i.packet == nil:
		i.outcome.Err = errors.New("an event cannot be refused")
	case o.GetRefuse() != "":
		i.outcome.Refused = o.GetRefuse()
	default:
		_, i.outcome.Err = h.apply(o.GetEffects(), i.packet, nil)
	}
}

// InvokeContext is Invoke that does not wait for what follows; when ctx ends,
// the action is cancelled.
func (h *Host) InvokeContext(ctx context.Context, call Call) (Result, error) {
	h.t.Helper()
	if call.ID.IsZero() {
		call.ID = packet.NewPacketID()
	}
	h.mu.Lock()
	first, again := h.state.invocations[call.ID]
	known := actionOf(h.manifest, call.Action) != nil
	c := h.conn
	h.mu.Unlock()
	if again {
		return first, nil
	}
	if !known {
		return Result{}, fmt.Errorf("plugintest: action %q is not declared in the manifest", call.Action)
	}
	result := Result{ID: call.ID}
	request := &pluginpb.InvokeRequest{
		Invocation: call.ID[:], Action: call.Action, Chat: string(call.Chat), Text: call.Text, Args: call.Args, Paths: call.Paths,
	}
	if !call.Message.IsZero() {
		request.Message = call.Message[:]
	}
	answer, err := h.invoke(ctx, c, request, func(u *pluginpb.InvokeUpdate) {
		result.Updates = append(result.Updates, u)
		if call.Update != nil {
			call.Update(u)
		}
	})
	if err != nil {
		return Result{}, err
	}
	if len(answer.GetResult()) > maxResult {
		return Result{}, fmt.Errorf("plugintest: invoke.result: %d bytes, at most %d are allowed", len(answer.GetResult()), maxResult)
	}
	result.Value = answer.GetResult()
	sent, err := h.apply(answer.GetEffects(), nil, &result)
	if err != nil {
		return Result{}, sdk.Errorf(codes.Internal, "its answer cannot be used: %w", err)
	}
	result.Sent = sent
	return result, nil
}
