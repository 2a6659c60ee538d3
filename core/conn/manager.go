// Package conn keeps an encrypted control link to every device of every person
// with whom links are wanted: it listens, dials, settles on one link where both
// sides dial (settle.go), keeps it alive, and carries frames between it and the
// bus.
//
// Who runs: Serve has a goroutine for accepting, one for events of the bus, one
// for the network, one for each peer (peer.go, which dials) and for each link
// two (link.go reads, write.go writes), so that nobody's hanging holds up
// anybody else. What they share is guarded by Manager.mu, under which nothing
// blocks.
//
// What a stranger can cause before it has proved to hold a key of the book is
// bounded in limits.go and tls.go.
package conn

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/internal/gate"
	"github.com/parley-chat/parley/protocol/packet"
)

// Manager is the connection manager. All methods are safe for concurrent use.
type Manager struct {
	config Config
	timing timing
	log    *slog.Logger
	gate   *gate.Gate
	dials  *semaphore.Weighted
	// Of dials to those who are no contacts.
	distant *semaphore.Weighted
	turns   *rate.Limiter
	lastID  atomic.Uint64
	// What strangers cause is logged now and then: attacks, and the rest.
	loud, quiet rate.Sometimes
	network     chan struct{} // room for one: addresses may have changed
	wg          sync.WaitGroup

	// mu guards all below. It is taken before the book's lock and those of
	// budgets and paces.
	mu         sync.Mutex
	serving    bool
	stopping   bool // no new links and peers
	listener   Listener
	address    string // to listen on; with the port, once one was found
	addresses  []netip.Prefix
	endpoints  []bus.Endpoint
	observed   netip.Addr
	peers      map[packet.UserID]*peer
	devices    map[packet.DeviceID]*device
	links      map[uint64]*link
	penalties  map[packet.UserID]penalty
	mismatched map[packet.UserID]bool // whose program was of another version when last met
	streams    streams
}

// LinkStatus is a link that is up.
type LinkStatus struct {
	bus.Link
	RoundTrip time.Duration // measured last; 0 when not yet
}

// New makes a manager, which does nothing before Listen and Serve.
func New(config Config) (*Manager, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	if _, err := packet.AppendFrame(nil, helloOf(&config, 0)); err != nil {
		return nil, fmt.Errorf("connection manager: this device's Hello: %w", err)
	}
	return &Manager{
		config: config, timing: defaultTiming(), log: config.Log,
		gate: gate.New(config.Limits.gate()), dials: semaphore.NewWeighted(int64(config.Limits.Dials)),
		distant: semaphore.NewWeighted(int64(config.Limits.DistantDials)),
		turns:   rate.NewLimiter(rate.Limit(config.Limits.DistantPerSecond), config.Limits.DistantBurst),
		loud:    rate.Sometimes{Interval: 10 * time.Second}, quiet: rate.Sometimes{First: 5, Interval: time.Second},
		network: make(chan struct{}, 1), address: config.Listen,
		peers: map[packet.UserID]*peer{}, devices: map[packet.DeviceID]*device{}, links: map[uint64]*link{},
		penalties: map[packet.UserID]penalty{}, mismatched: map[packet.UserID]bool{}, streams: newStreams(),
	}, nil
}

// Endpoints is where this device listens; empty before Listen.
func (m *Manager) Endpoints() []bus.Endpoint {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.endpoints)
}

// Links lists the links that are up, oldest first.
func (m *Manager) Links() []LinkStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []LinkStatus
	for _, l := range m.links {
		if l.up.Load() {
			all = append(all, LinkStatus{l.info, time.Duration(l.roundTrip.Load())})
		}
	}
	slices.SortFunc(all, func(a, b LinkStatus) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Mismatched says whether no link with a user comes up because one of the two
// programs is of another version of the protocol.
func (m *Manager) Mismatched(user packet.UserID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mismatched[user]
}

// Send queues a Packet, Vectors, Want, Refusals, Registers, Compare or BlobNews on a link. It waits
// while the queue is full, as it is when the peer is slow. Frames of one caller
// arrive in order. That Send succeeded does not say that the frame arrives.
// Errors: ErrLinkGone, ErrNotAFrame, those of packet.AppendFrame, and ctx's.
func (m *Manager) Send(ctx context.Context, linkID uint64, frame packet.Frame) error {
	switch frame.(type) {
	case *packet.Packet, *packet.Vectors, *packet.Want, *packet.Refusals, *packet.Registers, *packet.Compare, *packet.BlobNews:
	default:
		return fmt.Errorf("send %T: %w", frame, ErrNotAFrame)
	}
	m.mu.Lock()
	l := m.links[linkID]
	m.mu.Unlock()
	if l == nil || l.closing() {
		return fmt.Errorf("send on link %d: %w", linkID, ErrLinkGone)
	}
	return l.enqueue(ctx, frame)
}

// Disconnect closes all links with a user, telling it why. They come again
// unless the book says that they are not wanted. It does not wait for the end.
func (m *Manager) Disconnect(user packet.UserID, reason packet.ByeReason, text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.links {
		if l.info.User == user {
			l.close(errLocalClose, &packet.Bye{Reason: reason, Text: text})
		}
	}
	if p := m.peers[user]; p != nil {
		p.failedLocked()
		p.restart = true
		p.wake()
	}
}

// Wake is for when the network is another, or the host was asleep: links that
// give no sign of life within a few seconds are dropped, and who is not linked is
// dialed at once.
func (m *Manager) Wake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.links {
		l.probe(m.timing.probe)
	}
	for _, p := range m.peers {
		p.failures, p.next, p.restart = 0, time.Time{}, true
		p.wake()
	}
}

// mayLink says whether the holder of key may have a link: the Verify of incoming
// connections.
func (m *Manager) mayLink(key ed25519.PublicKey) error {
	user, known, ok := m.config.Book.Device(packet.DeviceIDOf(key))
	if !ok || !known.Equal(key) || key.Equal(m.config.Identity.Key()) {
		return fmt.Errorf("device %s: %w", keyName(key), ErrUnknownKey)
	}
	if p := m.config.Book.Person(user); !p.Linkable || p.Blocked {
		return fmt.Errorf("device %s of %s: %w", keyName(key), user, ErrNotWanted)
	}
	return nil
}

// mayLinkWith is the Verify of a dial to user.
func (m *Manager) mayLinkWith(user packet.UserID, key ed25519.PublicKey) error {
	if owner, _, ok := m.config.Book.Device(packet.DeviceIDOf(key)); ok && owner != user {
		return fmt.Errorf("dialed %s, answered by %s: %w", user, owner, ErrWrongPeer)
	}
	return m.mayLink(key)
}

// port is where this device listens, 0 where it does not.
func (m *Manager) port() uint16 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.listener == nil {
		return 0
	}
	return m.listener.Addr().Port()
}

// forget has a link no longer found.
func (m *Manager) forget(l *link) {
	l.up.Store(false)
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.links, l.info.ID)
}

// release is the last of a link, after LinkDown.
func (m *Manager) release(l *link, cause error) {
	m.log.Info("link is down", "user", l.info.User, "link", l.info.ID, "err", cause)
	m.judge(l.info.User, cause)
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.links, l.info.ID)
	d := m.devices[l.info.Device]
	if d == nil || d.link != l {
		return // replaced
	}
	d.link = nil
	m.tidyLocked(l.info.Device)
	if p := m.peers[l.info.User]; p != nil {
		p.unlinkedLocked(l, cause)
	}
}

// Try connects to one of a user's endpoints, has the peer prove that it is a
// device of theirs, and hangs up: it says whether there is a way, and makes no
// link. Its errors are those of a Transport, and ErrWrongPeer and ErrUnknownKey
// when somebody else answers.
func (m *Manager) Try(ctx context.Context, user packet.UserID, endpoint bus.Endpoint) error {
	c, err := m.config.Transport.Dial(ctx, Target{
		User: user, Endpoint: endpoint, Protocol: ProtocolLink,
		Verify: func(key ed25519.PublicKey) error { return m.mayLinkWith(user, key) },
	})
	if err != nil {
		return err
	}
	return c.Close()
}
