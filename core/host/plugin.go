package host

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// State is what a plugin's process does; the values are those of
// controlpb.PluginState.
type State int

// The states.
const (
	StateNew      State = iota + 1 // found, and the user has not enabled it
	StateDisabled                  // by the user
	StateChanged                   // enabled before, and the file has changed since
	StateIdle                      // starts when needed
	StateRunning
	StateBackoff // crashed, waits for its next start
	StateBroken  // crashed too often, or cannot be started
)

func (s State) String() string {
	switch s {
	case StateNew:
		return "new"
	case StateDisabled:
		return "disabled"
	case StateChanged:
		return "changed"
	case StateIdle:
		return "idle"
	case StateRunning:
		return "running"
	case StateBackoff:
		return "backoff"
	case StateBroken:
		return "broken"
	}
	return "unknown"
}

// plugin is one plugin, whether it runs or not.
type plugin struct {
	host *Host
	name string
	log  *slog.Logger
	desk *desk
	// gate lets maxChats batches be handled at once, or one entry alone that
	// was under way when the plugin died.
	gate   *semaphore.Weighted
	stride stride

	mu           sync.Mutex    // guards all below; Host.mu is taken before it
	changed      chan struct{} // closed and replaced when something below changed
	file         file
	pin          pin
	aside        uint32
	manifest     *pluginpb.Manifest
	checked      bool   // manifest is that of file.sha256
	conflict     string // why it may not own what its manifest names
	broken       string // why it is not started any more
	wanted       bool
	halt         func() // ends the present run in order; nil when there is none
	session      *session
	confined     bool // the present or last run
	crashes      crashes
	retryAt      time.Time
	lines        *lines
	subscription *subscription
	invokes      int                   // under way
	fatal        map[packet.BlobID]int // ends of blobs that it died of
	troubled     bool                  // a person was told that the store does not take what it made

	cancel context.CancelFunc // ends its goroutines; set while the host serves
}

func newPlugin(h *Host, name string) *plugin {
	return &plugin{
		host: h, name: name, log: h.cfg.Log.With("plugin", name), desk: newDesk(), gate: semaphore.NewWeighted(maxChats),
		changed: make(chan struct{}),
	}
}

// change runs fn under the lock and tells everybody who waits.
func (p *plugin) change(fn func()) {
	p.mu.Lock()
	fn()
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	bus.Publish(p.host.cfg.Bus, bus.PluginChanged, p.name)
}

// allowed says whether it may run as far as trust goes; the caller holds mu.
func (p *plugin) allowed() bool {
	switch {
	case p.file.problem != "" || p.file.sha256 == "" || p.pin.Disabled:
		return false
	case p.file.bundled:
		return true
	}
	return p.pin.SHA256 == p.file.sha256
}

// runnable says whether it may be started; the caller holds mu.
func (p *plugin) runnable() bool {
	return p.allowed() && p.conflict == "" && p.broken == ""
}

// state is the state and why; the caller holds mu.
func (p *plugin) state() (State, string) {
	switch {
	case p.file.problem != "":
		return StateBroken, p.file.problem
	case p.pin.Disabled:
		return StateDisabled, ""
	case !p.file.bundled && p.pin.SHA256 == "":
		return StateNew, ""
	case !p.file.bundled && p.pin.SHA256 != p.file.sha256:
		return StateChanged, ""
	case p.conflict != "":
		return StateBroken, p.conflict
	case p.broken != "":
		return StateBroken, p.broken
	case p.session != nil:
		return StateRunning, ""
	case p.host.cfg.Now().Before(p.retryAt):
		return StateBackoff, ""
	}
	return StateIdle, ""
}

// unusable says why it cannot be used, in a sentence for people; nil when it
// can. The caller holds mu.
func (p *plugin) unusable() error {
	state, why := p.state()
	switch state {
	case StateNew:
		why = "it is not enabled yet: enable it first"
	case StateDisabled:
		why = "it is disabled: enable it first"
	case StateChanged:
		why = "its file has changed since it was enabled: enable it again"
	case StateBroken:
		why = "it is broken: " + why + "; start it again with: parley plugins restart " + p.name
	default:
		return nil
	}
	return fmt.Errorf("plugin %s: %w: %s", p.name, ErrUnavailable, why)
}

// need has it started if it may.
func (p *plugin) need() {
	p.mu.Lock()
	idle := !p.wanted
	p.mu.Unlock()
	if idle {
		p.change(func() { p.wanted = true })
	}
}

// endRun stops the present run, if there is one; the caller holds mu.
func (p *plugin) endRun() {
	p.wanted = false
	p.session = nil // nobody shall ask it for more
	if p.halt != nil {
		p.halt()
	}
}

// ready starts it if need be and gives its session.
func (p *plugin) ready(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.host.cfg.timing.ready,
		fmt.Errorf("plugin %s: %w: it did not come up in time: see its log", p.name, ErrUnavailable))
	defer cancel()
	for {
		p.need()
		p.mu.Lock()
		sess, changed, err := p.session, p.changed, p.unusable()
		p.mu.Unlock()
		if err != nil {
			return nil, err
		}
		if sess != nil && !sess.isDead() {
			return sess, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// types are the packet types it owns now; nil while it may not handle any.
func (p *plugin) types() []packet.Type {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.allowed() || p.conflict != "" || !p.checked {
		return nil
	}
	var types []packet.Type
	for _, t := range p.manifest.GetPacketTypes() {
		types = append(types, packet.Type(t.GetName()))
	}
	return types
}

// unknown says whether it may still say what it owns: one that has crashed before
// it did is not waited for.
func (p *plugin) unknown() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.runnable() && !p.checked && len(p.crashes.recent) == 0
}

// powers are what its answers are judged by.
func (p *plugin) powers() powers {
	p.mu.Lock()
	defer p.mu.Unlock()
	return powers{plugin: p.name, bundled: p.file.bundled, manifest: p.manifest}
}

// powers are a plugin's rights.
type powers struct {
	plugin   string
	bundled  bool
	manifest *pluginpb.Manifest // never changed once here
}

func (w powers) can(c pluginpb.Capability) bool {
	return slices.Contains(w.manifest.GetCapabilities(), c)
}

func (w powers) owns(t packet.Type) bool {
	return slices.ContainsFunc(w.manifest.GetPacketTypes(), func(o *pluginpb.PacketType) bool { return o.GetName() == string(t) })
}

func (w powers) kind(name string) *pluginpb.MessageKind {
	for _, k := range w.manifest.GetMessageKinds() {
		if k.GetName() == name {
			return k
		}
	}
	return nil
}

func (w powers) action(name string) *pluginpb.Action {
	for _, a := range w.manifest.GetActions() {
		if a.GetName() == name {
			return a
		}
	}
	return nil
}

// learned takes the manifest that the plugin of this hash described itself
// with. fresh says that it was not known before.
func (p *plugin) learned(ctx context.Context, sha256 string, m *pluginpb.Manifest) (fresh bool, err error) {
	p.mu.Lock()
	known, bundled := p.checked && p.file.sha256 == sha256, p.file.bundled
	same := known && proto.Equal(p.manifest, m)
	p.mu.Unlock()
	switch {
	case same:
		return false, nil
	case known && !bundled:
		return false, fmt.Errorf("describes itself otherwise than when it was enabled, though its file is the same: enable it again: %w", errProtocol)
	}
	if err := p.host.keepManifest(ctx, sha256, m); err != nil {
		return false, err
	}
	p.change(func() {
		if p.file.sha256 == sha256 {
			p.manifest, p.checked = m, true
		}
	})
	p.host.settleOwners()
	return true, nil
}
