package conn

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/protocol/packet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a manager with what it needs around it: the part of a core that a
// test of links wants.
type node struct {
	t    testing.TB
	user packet.UserID
	id   *identity.Identity
	book *identity.Book
	bus  *bus.Bus
	m    *Manager

	mu       sync.Mutex // guards all below
	presence map[packet.UserID]bus.Presence
	log      []string // "up 3", "packet 3 hello", "down 3"
	ups      []bus.Link
	downs    []bus.Link
	packets  []bus.Received
	syncs    []bus.SyncFrame
	notices  []bus.Notice
	keep     bool // frames are not released
	forget   bool // packets are counted only
	count    int
	moved    [][]bus.Endpoint
	woken    int

	events *bus.Queue[func()]
	stop   context.CancelFunc
	ended  chan error
	reader sync.WaitGroup
}

type nodeOption func(*Config)

func withListen(address string) nodeOption { return func(c *Config) { c.Listen = address } }
func withNetwork(n Network) nodeOption     { return func(c *Config) { c.Network = n } }
func withFake(n *fakeNet, host string) nodeOption {
	return func(c *Config) {
		c.Listen = ":0"
		c.Transport = n.transport(host, c.Identity)
		c.Network = newFakeHost(host + "/24")
	}
}

// newNode makes a node that does not run yet.
func newNode(t testing.TB, user packet.UserID, options ...nodeOption) *node {
	t.Helper()
	id, err := identity.Generate(user)
	if err != nil {
		t.Fatal(err)
	}
	return newNodeOf(t, id, options...)
}

func newNodeOf(t testing.TB, id *identity.Identity, options ...nodeOption) *node {
	t.Helper()
	n := &node{
		t: t, user: id.User(), id: id, book: identity.NewBook(), bus: bus.New(),
		presence: map[packet.UserID]bus.Presence{}, events: bus.NewQueue[func()](100000),
	}
	config := Config{
		Identity: n.id, Book: n.book, Bus: n.bus, Listen: "127.0.0.1:0", Agent: "test",
		Locate: n.locate, Network: newFakeHost("127.0.0.1/8"), Log: slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelDebug})),
		EndpointsChanged: func(e []bus.Endpoint) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.moved = append(n.moved, e)
		},
		Woken: func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.woken++
		},
	}
	for _, o := range options {
		o(&config)
	}
	m, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	n.m = m
	n.record()
	return n
}

type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	if testing.Verbose() {
		l.t.Logf("%s %s", time.Now().Format("05.000"), b)
	}
	return len(b), nil
}

func (n *node) locate(user packet.UserID) (bus.Presence, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p, ok := n.presence[user]
	return p, ok
}

// record reads the bus, in one order for all topics.
func (n *node) record() {
	note := func(f func()) (func(), bool) {
		return func() { n.mu.Lock(); defer n.mu.Unlock(); f() }, true
	}
	bus.Feed(n.bus, bus.LinkUp, n.events, func(l bus.Link) (func(), bool) {
		return note(func() { n.ups = append(n.ups, l); n.log = append(n.log, fmt.Sprint("up ", l.ID)) })
	})
	bus.Feed(n.bus, bus.LinkDown, n.events, func(l bus.Link) (func(), bool) {
		return note(func() { n.downs = append(n.downs, l); n.log = append(n.log, fmt.Sprint("down ", l.ID)) })
	})
	bus.Feed(n.bus, bus.PacketReceived, n.events, func(r bus.Received) (func(), bool) {
		return note(func() {
			n.count++
			if !n.forget {
				n.packets = append(n.packets, r)
				n.log = append(n.log, fmt.Sprint("packet ", r.Link.ID))
			}
			if !n.keep {
				r.Release()
			}
		})
	})
	bus.Feed(n.bus, bus.SyncReceived, n.events, func(s bus.SyncFrame) (func(), bool) {
		return note(func() {
			n.syncs = append(n.syncs, s)
			n.log = append(n.log, fmt.Sprint("sync ", s.Link.ID))
			if !n.keep {
				s.Release()
			}
		})
	})
	bus.Feed(n.bus, bus.Noticed, n.events, func(x bus.Notice) (func(), bool) {
		return note(func() { n.notices = append(n.notices, x) })
	})
	n.reader.Go(func() {
		for {
			f, err := n.events.Next(context.Background())
			if errors.Is(err, bus.ErrClosed) {
				return
			}
			if err == nil {
				f()
			}
		}
	})
}

// start serves until the test ends or close is called.
func (n *node) start() *node {
	n.t.Helper()
	if err := n.m.Listen(context.Background()); err != nil {
		n.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	n.stop, n.ended = stop, make(chan error, 1)
	go func() { n.ended <- n.m.Serve(ctx) }()
	n.t.Cleanup(n.close)
	return n
}

// close ends Serve and waits. Idempotent.
func (n *node) close() {
	n.halt()
	n.events.Close()
	n.reader.Wait()
}

// halt ends Serve and waits; start may come again. Idempotent.
func (n *node) halt() {
	if n.stop == nil {
		return
	}
	n.stop()
	if err := <-n.ended; !errors.Is(err, context.Canceled) {
		n.t.Errorf("Serve of %s ended with %v", n.user, err)
	}
	n.stop = nil
}

// knows puts others into n's book.
func (n *node) knows(others ...*node) {
	for _, o := range others {
		n.book.Set(o.user, identity.Person{Keys: []ed25519.PublicKey{o.id.Key()}, Linkable: true})
	}
}

// sees tells n that o is online where it listens.
func (n *node) sees(o *node) { n.seesAt(o, o.m.Endpoints()...) }

func (n *node) seesAt(o *node, endpoints ...bus.Endpoint) {
	p := bus.Presence{User: o.user, Online: true, Endpoints: endpoints, Keys: []ed25519.PublicKey{o.id.Key()}}
	n.mu.Lock()
	n.presence[o.user] = p
	n.mu.Unlock()
	bus.Publish(n.bus, bus.PresenceChanged, p)
}

// meet has both know each other.
func meet(a, b *node) { a.knows(b); b.knows(a) }

// link gives the one link of n with o; false when there is none or are several.
func (n *node) link(o *node) (LinkStatus, bool) {
	var found []LinkStatus
	for _, l := range n.m.Links() {
		if l.User == o.user {
			found = append(found, l)
		}
	}
	if len(found) != 1 {
		return LinkStatus{}, false
	}
	return found[0], true
}

// patience is how long a test waits for anything on a busy machine.
const patience = time.Minute

// eventually waits for a condition, in real time, or for 20 seconds of a bubble's,
// which begins in 2000 and does not depend on the machine.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	limit := patience
	if time.Now().Year() == 2000 {
		limit = 20 * time.Second
	}
	for deadline := time.Now().Add(limit); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", limit, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// linked waits until both have one link with each other.
func linked(t testing.TB, a, b *node) (LinkStatus, LinkStatus) {
	t.Helper()
	var la, lb LinkStatus
	eventually(t, fmt.Sprintf("%s and %s are linked", a.user, b.user), func() bool {
		var okA, okB bool
		la, okA = a.link(b)
		lb, okB = b.link(a)
		return okA && okB
	})
	return la, lb
}

// with reads the recorded under the lock.
func with[T any](n *node, f func() T) T {
	n.mu.Lock()
	defer n.mu.Unlock()
	return f()
}

func (n *node) received() int { return with(n, func() int { return n.count }) }
func (n *node) upCount() int  { return with(n, func() int { return len(n.ups) }) }

// text makes a packet of n in its chat with o.
func (n *node) text(o *node, content string) *packet.Packet {
	n.t.Helper()
	p, err := packet.Seal(packet.Header{
		ID: packet.NewPacketID(), Chat: packet.DirectChat(n.user, o.user), Type: "text", Author: n.user, Device: n.id.Device(),
		Depth: 1, SentAt: time.Now().UnixMicro(), Delivery: packet.Ephemeral,
	}, []byte(content), nil)
	if err != nil {
		n.t.Fatal(err)
	}
	return &p
}

// send sends on the link with o.
func (n *node) send(o *node, content string) error {
	l, ok := n.link(o)
	if !ok {
		return ErrLinkGone
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return n.m.Send(ctx, l.ID, n.text(o, content))
}
