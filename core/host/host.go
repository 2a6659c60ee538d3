// Package host runs the plugins: it finds them, decides which may run, starts
// and watches their processes, hands them packets, and commits what they answer.
//
// Promises:
//   - What a plugin answers to a packet is committed in one transaction with the
//     mark that the packet is handled, or not at all; so handling again after a
//     crash of either side is harmless.
//   - A plugin gets the entries of a chat in order, one batch at a time; several
//     chats at once.
//   - An entry that kills its plugin three times, or of which the plugin makes
//     something that cannot be applied, is set aside, and the rest goes on.
//   - The file that was hashed and trusted is the one that is executed.
//   - Nothing a plugin says is believed: every limit of plugin.proto is checked,
//     and a plugin that breaks the protocol is treated as one that crashed.
//
// One goroutine a plugin (supervise) owns its process. Locks are taken in the
// order Host.mu, plugin.mu, desk.mu.
package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// keepInvocations is how long a repeated Invoke gets its first result.
const keepInvocations = 30 * 24 * time.Hour

// Host runs plugins. All methods may be called concurrently.
type Host struct {
	cfg      Config
	owners   atomic.Pointer[registry]
	scanning chan struct{} // has room for one: a scan at a time; guards hashes
	hashes   hashes
	sandbox  func() sandbox // what there is to confine plugins with; tried once
	again    chan struct{}  // has room for one: a scan is wanted

	ready     chan struct{} // closed by readyOnce when Serve runs
	readyOnce sync.Once

	allKnown  chan struct{} // closed by knownOnce when all manifests were read
	knownOnce sync.Once

	mu          sync.Mutex // guards all below
	plugins     map[string]*plugin
	service     *service // while Serve runs
	invocations map[packet.PacketID]*invocation
	noticed     map[string]bool // what was told once
}

// service is what exists while Serve runs.
type service struct {
	ctx      context.Context //nolint:containedctx // the life of the goroutines in wg
	wg       sync.WaitGroup
	launcher *launcher
}

// New makes a host. It does nothing before Serve but list.
func New(cfg Config) (*Host, error) {
	cfg, err := cfg.checked()
	if err != nil {
		return nil, err
	}
	h := &Host{
		cfg: cfg, scanning: make(chan struct{}, 1), hashes: hashes{}, again: make(chan struct{}, 1),
		ready: make(chan struct{}), allKnown: make(chan struct{}), plugins: map[string]*plugin{}, invocations: map[packet.PacketID]*invocation{}, noticed: map[string]bool{},
	}
	h.sandbox = sync.OnceValue(func() sandbox { return probeSandbox(cfg.Bubblewrap) })
	owners, _ := settle(nil)
	h.owners.Store(owners)
	return h, nil
}

// Serve runs plugins until ctx ends, then stops them: each gets five seconds to
// finish. It may be called again after it returned.
func (h *Host) Serve(ctx context.Context) error {
	f := newForker()
	defer f.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	svc := &service{ctx: ctx, launcher: &launcher{cfg: &h.cfg, forker: f, sandbox: h.sandbox()}}
	if !svc.launcher.works() {
		h.cfg.Log.Warn("plugins cannot be confined", "why", svc.launcher.why)
	}
	if err := h.begin(svc); err != nil {
		return err
	}
	defer func() {
		cancel()
		h.end()
		svc.wg.Wait()
	}()
	prune := time.NewTicker(24 * time.Hour)
	defer prune.Stop()
	h.prune(ctx)
	for {
		if err := h.scan(ctx); err != nil && ctx.Err() == nil {
			h.cfg.Log.Error("looking for plugins failed", "error", err)
			time.AfterFunc(h.cfg.timing.storeRetry, h.rescan)
		}
	wait:
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-h.again:
		case <-prune.C:
			h.prune(ctx)
			goto wait
		}
	}
}

// Ready is closed once Serve runs for the first time: from then on Invoke works.
func (h *Host) Ready() <-chan struct{} { return h.ready }

// Known is closed once it is known what each plugin that may run owns, but for those
// that fail to say it: until then MaxContent does not know every type.
func (h *Host) Known() <-chan struct{} { return h.allKnown }

func (h *Host) begin(svc *service) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.service != nil {
		return errors.New("host: Serve is running already")
	}
	h.service = svc
	h.readyOnce.Do(func() { close(h.ready) })
	for _, p := range h.plugins {
		h.launchPlugin(p)
	}
	return nil
}

// end makes that no goroutine is added any more.
func (h *Host) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.service = nil
	for _, p := range h.plugins {
		p.unsubscribe()
	}
}

// launchPlugin starts the plugin's own goroutine; the caller holds mu.
func (h *Host) launchPlugin(p *plugin) {
	if h.service == nil {
		return
	}
	l := h.service.launcher
	ctx, cancel := context.WithCancel(h.service.ctx)
	p.mu.Lock()
	p.cancel = cancel
	p.mu.Unlock()
	h.service.wg.Go(func() {
		defer cancel()
		p.supervise(ctx, l)
	})
}

// awaitService waits for Serve to begin: who asks for something while the core
// starts shall not get an error.
func (h *Host) awaitService(ctx context.Context) error {
	select {
	case <-h.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(h.cfg.timing.ready):
		return fmt.Errorf("%w: %w", errNotServed, ErrUnavailable)
	}
}

// sandboxed says whether plugins that are not bundled are confined.
func (h *Host) sandboxed() bool { return h.sandbox().works() }

// rescan has the folders looked through soon.
func (h *Host) rescan() {
	select {
	case h.again <- struct{}{}:
	default:
	}
}

func (h *Host) prune(ctx context.Context) {
	err := h.cfg.Store.Update(ctx, store.Lazy, func(tx store.Tx) error {
		return tx.PruneInvocations(h.cfg.Now().Add(-keepInvocations))
	})
	if err != nil && ctx.Err() == nil {
		h.cfg.Log.Warn("forgetting old invocations failed", "error", err)
	}
}

// find gives a plugin, after another look into the folders if need be.
func (h *Host) find(ctx context.Context, name string) (*plugin, error) {
	if p := h.known(name); p != nil {
		return p, nil
	}
	if err := h.scan(ctx); err != nil {
		return nil, err
	}
	if p := h.known(name); p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("plugin %.40q: %w", name, ErrNoPlugin)
}

func (h *Host) known(name string) *plugin {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.plugins[name]
}

// all gives the plugins by name.
func (h *Host) all() []*plugin {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]*plugin, 0, len(h.plugins))
	for _, p := range h.plugins {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *plugin) int { return strings.Compare(a.name, b.name) })
	return list
}

// Kind says how messages of a kind are drawn and which plugin makes them; false
// when that plugin is not there or may not run.
func (h *Host) Kind(name string) (p pluginpb.Presentation, plugin string, ok bool) {
	k, ok := h.owners.Load().kinds[name]
	return k.presentation, k.plugin, ok
}

// MaxContent says how many bytes the owner of a packet type takes, and whether
// such a packet may open a chat; false when nobody owns it now.
func (h *Host) MaxContent(t packet.Type) (most int, opensChat, ok bool) {
	o, ok := h.owners.Load().types[t]
	return o.max, o.opensChat, ok
}
