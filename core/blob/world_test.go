package blob

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/core/store/storetest"
	"github.com/parley-chat/parley/protocol/packet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is some people in one chat, with links that tests make and break.
type world struct {
	t     *testing.T
	chat  packet.ChatID
	nodes map[packet.UserID]*node
	links atomic.Uint64
	wires atomic.Int64 // bytes that came from sources, frames included

	offers []offer // all that were made

	mu     sync.Mutex // guards below
	conns  map[net.Conn]struct{}
	meddle func(from packet.UserID, c net.Conn) net.Conn // with what a source writes
}

// node is one person's part of a core.
type node struct {
	w       *world
	user    packet.UserID
	id      *identity.Identity
	book    *identity.Book
	bus     *bus.Bus
	store   store.Store
	home    string
	service *Service // set with mu held, as others' streams come to it
	stop    context.CancelFunc
	done    chan error

	mu    sync.Mutex // guards links
	links map[uint64]*end
}

// end is one end of a link.
type end struct {
	link bus.Link
	to   *node
	back uint64 // the other end's id
}

func newWorld(t *testing.T, users ...packet.UserID) *world {
	t.Helper()
	w := &world{t: t, chat: packet.NewGroupChat(), nodes: map[packet.UserID]*node{}, conns: map[net.Conn]struct{}{}}
	if len(users) == 2 {
		w.chat = packet.DirectChat(users[0], users[1])
	}
	for _, user := range users {
		id, err := identity.Generate(user)
		if err != nil {
			t.Fatal(err)
		}
		w.nodes[user] = &node{
			w: w, user: user, id: id, book: identity.NewBook(), bus: bus.New(), store: storetest.New(t), home: t.TempDir(), links: map[uint64]*end{},
		}
	}
	for _, n := range w.nodes {
		for _, o := range w.nodes {
			n.book.Set(o.user, identity.Person{Keys: []ed25519.PublicKey{o.id.Key()}, Linkable: true})
		}
		err := n.store.Update(t.Context(), store.Lazy, func(tx store.Tx) error {
			if err := tx.PutChat(store.Chat{ID: w.chat, CreatedAt: 1}); err != nil {
				return err
			}
			return tx.PutMembership(w.chat, store.Membership{Version: 1, Members: users})
		})
		if err != nil {
			t.Fatal(err)
		}
		n.start()
	}
	t.Cleanup(w.tell)
	return w
}

// tell says of a test that failed how far those blobs are that are not all there.
func (w *world) tell() {
	if !w.t.Failed() {
		return
	}
	for user, n := range w.nodes {
		for _, o := range w.offers {
			b, err := n.service.blob(context.Background(), o.ID)
			if errors.Is(err, store.ErrNotFound) || b.Own || b.State == store.BlobDone {
				continue
			}
			w.t.Logf("%s has %s in state %d (%s), %v: %+v", user, o.ID, b.State, b.Reason, err, n.service.Status(&b))
		}
	}
}

func (n *node) start() {
	n.w.t.Helper()
	s, err := New(Config{
		Identity: n.id, Book: n.book, Store: n.store, Bus: n.bus, Links: n, Folder: filepath.Join(n.home, "blobs"), retry: 5 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(n.w.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", n.user),
	})
	if err != nil {
		n.w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.mu.Lock()
	n.service = s
	n.mu.Unlock()
	n.stop, n.done = cancel, make(chan error, 1)
	done := n.done
	go func() { done <- s.Serve(ctx) }()
	n.w.t.Cleanup(n.halt)
	eventually(n.w.t, "the service serves", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.run != nil
	})
}

func (n *node) halt() {
	if n.stop == nil {
		return
	}
	n.stop()
	<-n.done //nolint:errcheck // it was told to end
	_ = n.service.Close()
	n.stop = nil
}

// Links implements Links.
func (n *node) Links() []bus.Link {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []bus.Link
	for _, e := range n.links {
		all = append(all, e.link)
	}
	return all
}

// OpenStream implements Links.
func (n *node) OpenStream(ctx context.Context, link uint64) (Conn, error) {
	n.mu.Lock()
	e := n.links[link]
	n.mu.Unlock()
	if e == nil {
		return nil, io.ErrClosedPipe
	}
	mine, its, err := pipe(ctx)
	if err != nil {
		return nil, err
	}
	w := n.w
	w.mu.Lock()
	w.conns[mine], w.conns[its] = struct{}{}, struct{}{}
	if w.meddle != nil {
		its = w.meddle(e.to.user, its)
	}
	w.mu.Unlock()
	e.to.mu.Lock()
	back, service := e.to.links[e.back], e.to.service
	e.to.mu.Unlock()
	if back == nil {
		return nil, io.ErrClosedPipe
	}
	service.Accept(back.link, &wire{Conn: its, count: &w.wires})
	return &wire{Conn: mine}, nil
}

// Send implements Links.
func (n *node) Send(_ context.Context, link uint64, f packet.Frame) error {
	n.mu.Lock()
	e := n.links[link]
	n.mu.Unlock()
	if e == nil {
		return io.ErrClosedPipe
	}
	e.to.mu.Lock()
	back := e.to.links[e.back]
	e.to.mu.Unlock()
	if back != nil {
		bus.Publish(e.to.bus, bus.BlobNewsReceived, bus.SyncFrame{Link: back.link, Frame: f, Release: func() {}})
	}
	return nil
}

// wire is a Conn that counts what is written.
type wire struct {
	net.Conn
	count *atomic.Int64
}

func (c *wire) Flush() error { return nil }
func (c *wire) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if c.count != nil {
		c.count.Add(int64(n))
	}
	return n, err
}

// pipe gives the two ends of a connection through the kernel.
func pipe(ctx context.Context) (a, b net.Conn, err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = l.Close() }()
	if a, err = (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String()); err != nil {
		return nil, nil, err
	}
	if b, err = l.Accept(); err != nil {
		return nil, nil, err
	}
	// Little is under way at a time, so that what is lost with a connection is.
	_ = a.(*net.TCPConn).SetReadBuffer(32 << 10)
	_ = b.(*net.TCPConn).SetWriteBuffer(32 << 10)
	return a, b, nil
}

// link links two people.
func (w *world) link(a, b packet.UserID) {
	na, nb := w.nodes[a], w.nodes[b]
	ia, ib := w.links.Add(1), w.links.Add(1)
	add := func(n, o *node, id, back uint64) bus.Link {
		l := bus.Link{ID: id, User: o.user, Device: o.id.Device(), Key: o.id.Key()}
		n.mu.Lock()
		n.links[id] = &end{link: l, to: o, back: back}
		n.mu.Unlock()
		return l
	}
	la, lb := add(na, nb, ia, ib), add(nb, na, ib, ia)
	bus.Publish(na.bus, bus.LinkUp, la)
	bus.Publish(nb.bus, bus.LinkUp, lb)
}

// cut ends all links and streams.
func (w *world) cut() {
	for _, n := range w.nodes {
		n.mu.Lock()
		links := n.links
		n.links = map[uint64]*end{}
		n.mu.Unlock()
		for _, e := range links {
			bus.Publish(n.bus, bus.LinkDown, e.link)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		_ = c.Close()
		delete(w.conns, c)
	}
}

// offer is a blob that was shared, and its message.
type offer struct {
	store.Blob
	message store.Message
}

// share has a user share a path, as a plugin would.
func (w *world) share(user packet.UserID, path string) offer {
	w.t.Helper()
	n := w.nodes[user]
	b, err := n.service.Prepare(w.t.Context(), "file", path)
	if err != nil {
		w.t.Fatal(err)
	}
	seq := w.links.Add(1)
	m := storetest.Message(w.chat, seq, b.Name)
	m.Author = user
	m.Entry = packet.EntryKey{Log: packet.Log{Chat: w.chat, Device: n.id.Device(), Epoch: 1}, Number: seq}
	for _, o := range w.nodes {
		own := m
		own.Own = o == n
		err := o.store.Update(w.t.Context(), store.Lazy, func(tx store.Tx) error {
			if _, err := tx.AddMessage(own); err != nil || o != n {
				return err
			}
			return n.service.Share(tx, "file", b.ID, w.chat, m.ID)
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	n.service.Changed(b.ID)
	o := offer{b.Blob, m}
	w.offers = append(w.offers, o)
	return o
}

// fetch has a user fetch an offer into a folder of its own.
func (w *world) fetch(user packet.UserID, o offer) {
	w.t.Helper()
	n := w.nodes[user]
	err := n.store.Update(w.t.Context(), store.Lazy, func(tx store.Tx) error {
		return n.service.Fetch(tx, Want{Blob: o.ID, Message: o.message.ID, Plugin: "file", Name: o.Name, Folder: n.downloads(), Size: o.Size})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	n.service.Changed(o.ID)
}

func (n *node) downloads() string { return filepath.Join(n.home, "Downloads") }

func (w *world) steer(user packet.UserID, o offer, order Order) {
	w.t.Helper()
	n := w.nodes[user]
	err := n.store.Update(w.t.Context(), store.Lazy, func(tx store.Tx) error { return n.service.Steer(tx, "file", o.ID, order, "") })
	if err != nil {
		w.t.Fatal(err)
	}
	n.service.Changed(o.ID)
}

func (w *world) blob(user packet.UserID, o offer) store.Blob {
	w.t.Helper()
	b, err := w.nodes[user].service.blob(context.Background(), o.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// becomes waits until a blob is in a state at somebody's.
func (w *world) becomes(user packet.UserID, o offer, state store.BlobState) store.Blob {
	w.t.Helper()
	var b store.Blob
	eventually(w.t, fmt.Sprintf("the blob of %s comes to state %d", user, state), func() bool {
		b = w.blob(user, o)
		if b.State.Settled() && b.State != state {
			w.t.Fatalf("it is in state %d: %s", b.State, b.Reason)
		}
		return b.State == state
	})
	return b
}

// waiting waits until somebody's blob says why it waits.
func (w *world) waiting(user packet.UserID, o offer, why string) {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("%s waits: %s", user, why), func() bool {
		b := w.blob(user, o)
		st := w.nodes[user].service.Status(&b)
		if st.Waiting != "" && st.Why.GetReason() == "" {
			w.t.Errorf("%q has no reason", st.Waiting)
		}
		return st.Waiting == why
	})
}

// patience is how long a test waits for anything, on a busy machine.
const patience = 2 * time.Minute

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// write writes a file of random bytes.
func write(t *testing.T, path string, size int) []byte {
	t.Helper()
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(size), byte(size >> 8)})
	_, _ = r.Read(b)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return b
}

func sameFile(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s has %d bytes that are not the %d that were sent, %v", path, len(got), len(want), err)
	}
}

// clean checks that nothing but names is in somebody's download folder, and
// nothing of a partial file anywhere.
func (w *world) clean(user packet.UserID, names ...string) {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("the downloads of %s are %q", user, names), func() bool {
		entries, err := os.ReadDir(w.nodes[user].downloads())
		if err != nil && !os.IsNotExist(err) || len(entries) != len(names) {
			return false
		}
		for i := range entries {
			if entries[i].Name() != names[i] {
				return false
			}
		}
		return true
	})
}
