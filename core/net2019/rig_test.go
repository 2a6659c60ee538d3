package net2019

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/core/store/storetest"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
	wire "github.com/parley-chat/parley/protocol/packet/net2019"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	word   = "net2019"
	aliceN = wire.ID("2017000001")
	bobN   = wire.ID("1234567890") // does not begin with 20
	carolN = wire.ID("2017000003")
	daveN  = wire.ID("2017000004")
)

// patience is how long a test waits for what must happen.
const patience = time.Minute

// quick are times for tests that wait for things to happen again.
func quick() timing {
	return timing{ask: 20 * time.Millisecond, backoff: 10 * time.Millisecond, pause: 50 * time.Millisecond, settle: 10 * time.Millisecond, mesh: 10 * time.Millisecond}
}

// fakeServer is a server of 2019 as the original is: it keeps where people said to
// listen, and trusts them.
type fakeServer struct {
	t        testing.TB
	listener net.Listener
	group    sync.WaitGroup

	mu      sync.Mutex
	where   map[wire.ID]string
	conns   map[net.Conn]bool
	logins  int
	queries int
	split   bool // replies come in two pieces
	away    bool // who connects is hung up on
}

func serveFake(t testing.TB) *fakeServer {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &fakeServer{t: t, listener: l, where: map[wire.ID]string{}, conns: map[net.Conn]bool{}}
	s.group.Go(s.serve)
	t.Cleanup(func() {
		_ = l.Close()
		s.hangUp()
		s.group.Wait()
	})
	return s
}

func (s *fakeServer) address() string { return s.listener.Addr().String() }

// hangUp closes all connections.
func (s *fakeServer) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hangUpLocked()
}

// leave closes all connections, and those that come until back.
func (s *fakeServer) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = true
	s.hangUpLocked()
}

// back takes connections again.
func (s *fakeServer) back() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = false
}

func (s *fakeServer) hangUpLocked() {
	for c := range s.conns {
		_ = c.Close()
	}
}

func (s *fakeServer) set(id wire.ID, where string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if where == "" {
		delete(s.where, id)
	} else {
		s.where[id] = where
	}
}

func (s *fakeServer) serve() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		away := s.away
		if !away {
			s.conns[c] = true
		}
		s.mu.Unlock()
		if away {
			_ = c.Close()
			continue
		}
		s.group.Go(func() {
			s.client(c)
			_ = c.Close()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		})
	}
}

func (s *fakeServer) client(c net.Conn) {
	var scan wire.Scanner
	scan.Password = word
	var in []byte
	var own wire.ID
	defer func() { s.set(own, "") }()
	b := make([]byte, 256)
	for {
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		if scan.Wait() > 0 {
			_ = c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		}
		n, err := c.Read(b)
		in = append(in, b[:n]...)
		var timeout net.Error
		silent := errors.As(err, &timeout) && timeout.Timeout()
		if err != nil && !silent {
			return
		}
		for {
			command, used, ok := scan.Next(in, silent)
			in = in[used:]
			if !ok {
				break
			}
			reply, end := s.do(c, &own, command)
			if s.split && len(reply) > 1 {
				_, _ = io.WriteString(c, reply[:1])
				reply = reply[1:]
			}
			_, _ = io.WriteString(c, reply)
			if end {
				return
			}
		}
	}
}

func (s *fakeServer) do(c net.Conn, own *wire.ID, command wire.Command) (reply string, end bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch command.Verb {
	case wire.LogIn:
		s.logins++
		*own = command.ID
		host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
		s.where[command.ID] = host
		if command.Port != 0 {
			s.where[command.ID] += "_" + strconv.Itoa(int(command.Port))
		}
		return wire.ReplyLogIn, false
	case wire.Query:
		s.queries++
		if where := s.where[command.ID]; where != "" {
			return where, false
		}
		return wire.ReplyOffline, false
	case wire.LogOut:
		return wire.ReplyLogOut, true
	}
	return wire.ReplyInvalid, false
}

// fakeDirectory is the account's own, which shows accounts to each other.
type fakeDirectory struct {
	node *node

	mu        sync.Mutex
	connected bool
	refuse    error
	id        wire.ID
	port      uint16
	watched   []wire.ID
	places    map[wire.ID]netip.AddrPort // shared by all of a test
}

func (d *fakeDirectory) State() bus.DirectoryState {
	d.mu.Lock()
	defer d.mu.Unlock()
	return bus.DirectoryState{Connected: d.connected}
}

func (d *fakeDirectory) SetNet2019(id wire.ID, port uint16, watched []wire.ID) {
	d.mu.Lock()
	d.id, d.port, d.watched = id, port, watched
	refuse := d.refuse
	d.mu.Unlock()
	if id == "" {
		return
	}
	bus.Publish(d.node.bus, bus.Net2019Answered, bus.Net2019Answer{On: refuse == nil, Err: refuse})
	for _, w := range watched {
		where, online := d.places[w]
		bus.Publish(d.node.bus, bus.Net2019Located, bus.Net2019Place{ID: w, Online: online, Where: where})
	}
}

// node is one account.
type node struct {
	*Service
	t         testing.TB
	user      packet.UserID
	bus       *bus.Bus
	store     store.Store
	directory *fakeDirectory
	log       *lines
	identity  *identity.Identity
	stop      func()
	config    func(*Config)
	files     *fakeFiles
	folder    string
}

// lines keeps a log.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newNode(t testing.TB, user packet.UserID, config func(*Config)) *node {
	t.Helper()
	id, err := identity.Generate(user)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, user: user, store: storetest.New(t), log: &lines{}, identity: id, config: config, folder: filepath.Join(t.TempDir(), "net2019")}
	n.files = &fakeFiles{dir: t.TempDir(), room: 1 << 40}
	n.begin()
	t.Cleanup(func() {
		n.stop()
		if t.Failed() {
			t.Logf("log of %s:\n%s", user, n.log)
		}
	})
	return n
}

// begin starts the account's service on what is stored.
func (n *node) begin() {
	n.t.Helper()
	n.bus = bus.New()
	n.directory = &fakeDirectory{node: n}
	cfg := Config{
		Identity: n.identity, Store: n.store, Bus: n.bus, Log: slog.New(slog.NewTextHandler(n.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Directory: n.directory, Host: "127.0.0.1", timing: quick(),
	}
	n.files.n = n
	cfg.Files, cfg.Folder = n.files, n.folder
	if n.config != nil {
		n.config(&cfg)
	}
	s, err := New(n.t.Context(), cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	n.Service = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(ctx)
	}()
	n.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		s.Close()
	})
}

// restart stops the service and starts it again on what is stored.
func (n *node) restart() {
	n.t.Helper()
	n.stop()
	n.begin()
}

func (n *node) logIn(server *fakeServer, id wire.ID) {
	n.t.Helper()
	status, err := n.LogIn(n.t.Context(), &controlpb.LogInNet2019Request{Id: string(id), Server: server.address(), Password: word})
	if err != nil || !status.GetLoggedIn() || status.GetPort() == 0 {
		n.t.Fatalf("log-in of %s: %v, %v", id, status, err)
	}
}

func (n *node) port() uint16 { return uint16(n.Status().GetPort()) } //nolint:gosec // a port

func (n *node) add(id wire.ID) {
	n.t.Helper()
	if err := n.Request(n.t.Context(), packet.UserID(id.Name()), ""); err != nil {
		n.t.Fatal(err)
	}
}

// until waits for a condition, which is looked at whenever something is told, and
// now and then: of what happens behind that, or told before, nobody hears.
func (n *node) until(what string, condition func() bool) {
	n.t.Helper()
	q := bus.NewQueue[struct{}](1024)
	defer q.Close()
	feed(n.bus, bus.ContactChanged, q)
	feed(n.bus, bus.ChatChanged, q)
	feed(n.bus, bus.MessageChanged, q)
	feed(n.bus, bus.Net2019Changed, q)
	feed(n.bus, bus.Noticed, q)
	feed(n.bus, bus.BlobChanged, q)
	for _, k := range []wire.Kind{wire.Text, wire.Image, wire.File, wire.GroupRequest} {
		feed(n.bus, bus.PacketStored(k.Type()), q)
	}
	for end := time.Now().Add(patience); !condition(); {
		if time.Now().After(end) {
			n.t.Fatalf("%s: %s does not happen", n.user, what)
		}
		ctx, cancel := context.WithTimeout(n.t.Context(), 10*time.Millisecond)
		_, _ = q.Next(ctx) // whatever it is, or that nothing came
		cancel()
	}
}

func feed[T any](b *bus.Bus, topic bus.Topic[T], q *bus.Queue[struct{}]) {
	bus.Feed(b, topic, q, func(T) (struct{}, bool) { return struct{}{}, true })
}

// say writes a text as the plugin of texts does.
func (n *node) say(chat packet.ChatID, text string) packet.PacketID {
	n.t.Helper()
	id, err := n.trySay(chat, text)
	if err != nil {
		n.t.Fatal(err)
	}
	return id
}

func (n *node) trySay(chat packet.ChatID, text string) (packet.PacketID, error) {
	id := packet.NewPacketID()
	err := n.store.Update(n.t.Context(), store.Synced, func(tx store.Tx) error {
		p, err := n.Append(tx, Draft{ID: id, Chat: chat, Type: "text", Content: []byte(text)})
		if err != nil {
			return err
		}
		h := p.Header
		_, err = tx.AddMessage(store.Message{
			ID: id, Chat: chat, Author: h.Author, Plugin: "text", Kind: "text", Body: text, SentAt: h.SentAt, Order: h.Order(), Entry: h.Key(), Own: true,
		})
		return err
	})
	if err == nil {
		bus.Publish(n.bus, bus.EntryAppended, chat)
	}
	return id, err
}

// said gives the texts of a person in a chat, in their order.
func (n *node) said(chat packet.ChatID, id wire.ID) []string {
	n.t.Helper()
	var texts []string
	err := n.store.View(n.t.Context(), func(tx store.ReadTx) error {
		entries, err := tx.Entries(logOf(chat, id), 1, 1<<62, 10_000, 1<<30, false)
		for _, e := range entries {
			if e.Packet.Header.Author != packet.UserID(id.Name()) {
				n.t.Errorf("author %s in the log of %s", e.Packet.Header.Author, id)
			}
			texts = append(texts, string(e.Packet.Content))
		}
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return texts
}

// sent gives how far a message came to each of the others.
func (n *node) sent(chat packet.ChatID, id packet.PacketID) []controlpb.Delivery {
	n.t.Helper()
	var states []controlpb.Delivery
	err := n.store.View(n.t.Context(), func(tx store.ReadTx) error {
		of, err := n.Receipts(tx, chat)
		if err != nil {
			return err
		}
		m, err := tx.Message(id)
		if err != nil {
			return err
		}
		list, err := of(&m)
		for _, s := range list {
			states = append(states, s.GetDelivery())
		}
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return states
}

func (n *node) isSent(chat packet.ChatID, id packet.PacketID) bool {
	states := n.sent(chat, id)
	return len(states) > 0 && !slices.ContainsFunc(states, func(d controlpb.Delivery) bool { return d != controlpb.Delivery_DELIVERY_SENT })
}

func (n *node) contact(id wire.ID) *controlpb.Contact {
	n.t.Helper()
	c, err := n.Contact(n.t.Context(), packet.UserID(id.Name()))
	if err != nil && !notFound(err) {
		n.t.Fatal(err)
	}
	return c
}

func (n *node) linked(id wire.ID) bool { return n.contact(id).GetLinked() }

func chatOf(t testing.TB, ids ...wire.ID) wire.Chat {
	t.Helper()
	chat, err := wire.NewChat(ids...)
	if err != nil {
		t.Fatal(err)
	}
	return chat
}

// original is one connection of a scripted client of the original, byte by byte.
type original struct {
	net.Conn
	t    testing.TB
	chat string
	id   wire.ID
	port int
}

func dialAs(t testing.TB, id wire.ID, port uint16, chat wire.Chat) *original {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &original{Conn: c, t: t, chat: chat.String(), id: id, port: 2333}
}

// bytes of a frame as the original writes it.
func (o *original) bytes(kind int, content string, size int) []byte {
	body := fmt.Sprintf("%s_%d_%d_%s_%s_%d", o.chat, o.port, kind, o.id, content, size)
	return append([]byte{byte(len(body) >> 24), byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
}

func (o *original) send(kind int, content string) {
	o.t.Helper()
	o.raw(o.bytes(kind, content, 0))
}

func (o *original) raw(b []byte) {
	o.t.Helper()
	_ = o.SetWriteDeadline(time.Now().Add(patience))
	if _, err := o.Write(b); err != nil {
		o.t.Fatalf("original %s: %v", o.id, err)
	}
}

// receive reads a frame as the original does: its length, then all in one read. It
// gives the fields behind the chat and port.
func (o *original) receive() (kind, sender, content string) {
	o.t.Helper()
	_ = o.SetReadDeadline(time.Now().Add(patience))
	var length [4]byte
	if _, err := io.ReadFull(o, length[:]); err != nil {
		o.t.Fatalf("original %s: length: %v", o.id, err)
	}
	size := int(length[2])<<8 | int(length[3])
	if length[0] != 0 || length[1] != 0 || size+4 > wire.MaxSent {
		o.t.Fatalf("original %s: a frame of %v bytes", o.id, length)
	}
	b := make([]byte, size)
	n, err := o.Read(b)
	if err != nil || n < size {
		o.t.Fatalf("original %s loses a frame that came in pieces: %d of %d bytes, %v", o.id, n, size, err)
	}
	f := strings.SplitN(string(b), "_", 4)
	if f[0] != o.chat {
		o.t.Fatalf("original %s: a frame for chat %s", o.id, f[0])
	}
	rest := f[3]
	end := strings.LastIndexByte(rest, '_')
	return f[2], rest[:10], rest[11:end]
}

// closed waits until the other side has hung up.
func (o *original) closed() {
	o.t.Helper()
	_ = o.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, o); err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			o.t.Fatalf("original %s: the connection stays", o.id)
		}
	}
}

// listening is a scripted client of the original that is dialed.
type listening struct {
	net.Listener
	t    testing.TB
	id   wire.ID
	chat wire.Chat
}

// listen puts a scripted original online.
func (s *fakeServer) listen(id wire.ID, chat wire.Chat) *listening {
	s.t.Helper()
	for {
		l, err := new(net.ListenConfig).Listen(s.t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			s.t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).AddrPort().Port()
		if wire.CheckPort(port) != nil {
			_ = l.Close()
			continue
		}
		s.t.Cleanup(func() { _ = l.Close() })
		s.set(id, fmt.Sprintf("127.0.0.1_%d", port))
		return &listening{l, s.t, id, chat}
	}
}

func (l *listening) accept() *original {
	l.t.Helper()
	_ = l.Listener.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	c, err := l.Accept()
	if err != nil {
		l.t.Fatalf("original %s is not dialed: %v", l.id, err)
	}
	l.t.Cleanup(func() { _ = c.Close() })
	return &original{Conn: c, t: l.t, chat: l.chat.String(), id: l.id, port: 2333}
}

// placesOf gives where scripted people are, as the account's own directory knows it.
func placesOf(t testing.TB, server *fakeServer, ids ...wire.ID) map[wire.ID]netip.AddrPort {
	t.Helper()
	places := map[wire.ID]netip.AddrPort{}
	for _, id := range ids {
		where, online, err := wire.ParseWhere(server.where[id])
		if err != nil || !online {
			t.Fatalf("%s: %v", id, err)
		}
		places[id] = where
	}
	return places
}

// fakeFiles puts files into a folder of the test's.
type fakeFiles struct {
	n    *node
	dir  string
	room uint64

	mu    sync.Mutex // guards below
	moves []move
}

// move is what was told of a file that is under way.
type move struct {
	id      packet.BlobID
	own     bool
	peer    packet.UserID
	n       int
	done    uint64
	stopped bool
}

func (f *fakeFiles) Moved(b *store.Blob, peer packet.UserID, n int, done uint64) {
	f.mu.Lock()
	f.moves = append(f.moves, move{id: b.ID, own: b.Own, peer: peer, n: n, done: done})
	f.mu.Unlock()
	bus.Publish(f.n.bus, bus.BlobChanged, bus.BlobRef{ID: b.ID, Chat: b.Chat})
}

func (f *fakeFiles) Stopped(_ context.Context, b *store.Blob, peer packet.UserID) {
	f.mu.Lock()
	f.moves = append(f.moves, move{id: b.ID, own: b.Own, peer: peer, stopped: true})
	f.mu.Unlock()
	bus.Publish(f.n.bus, bus.BlobChanged, bus.BlobRef{ID: b.ID, Chat: b.Chat})
}

// of gives what was told of a file.
func (f *fakeFiles) of(id packet.BlobID) (moves []move) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.moves {
		if m.id == id {
			moves = append(moves, m)
		}
	}
	return moves
}

func (f *fakeFiles) Sent(ctx context.Context, id packet.BlobID) {
	_ = f.set(ctx, id, func(b *store.Blob) { b.State = store.BlobDone })
}

func (f *fakeFiles) Place(ctx context.Context, id packet.BlobID, from string) error {
	to := filepath.Join(f.dir, id.String())
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return f.set(ctx, id, func(b *store.Blob) { b.State, b.Path = store.BlobDone, to })
}

func (f *fakeFiles) Fail(ctx context.Context, id packet.BlobID, reason string) {
	_ = f.set(ctx, id, func(b *store.Blob) { b.State, b.Reason = store.BlobFailed, reason })
}

func (f *fakeFiles) Room(string) (uint64, error) { return f.room, nil }

func (f *fakeFiles) set(ctx context.Context, id packet.BlobID, change func(*store.Blob)) error {
	err := f.n.store.Update(ctx, store.Synced, func(tx store.Tx) error {
		b, err := tx.Blob(id)
		if err != nil || b.State.Settled() {
			return err
		}
		change(&b)
		return tx.PutBlob(b)
	})
	if err == nil {
		bus.Publish(f.n.bus, bus.BlobChanged, bus.BlobRef{ID: id, Chat: "net2019:1234567890-2017000001"})
	}
	return err
}

// offers handles the files that came as the plugin of files does, and has them
// fetched; it gives their ids.
func (n *node) offers(chat packet.ChatID, state store.BlobState) (ids []packet.BlobID) {
	n.t.Helper()
	err := n.store.Update(n.t.Context(), store.Synced, func(tx store.Tx) error {
		entries, err := tx.Unhandled([]packet.Type{"file", "image"}, chat, 100, 1<<20)
		if err != nil {
			return err
		}
		for _, e := range entries {
			h := e.Packet.Header
			name, size, err := wire.ParseFile(e.Packet.Content)
			if err != nil {
				return err
			}
			if _, err := tx.AddMessage(store.Message{
				ID: h.ID, Chat: chat, Author: h.Author, Plugin: "file", Kind: "file", Body: name, SentAt: h.SentAt, Order: h.Order(), Entry: h.Key(),
			}); err != nil {
				return err
			}
			b := store.Blob{
				ID: packet.BlobID(h.ID), Chat: chat, Message: h.ID, Plugin: "file", Author: h.Author, Device: h.Device, State: state,
				Name: name, Size: size, Destination: n.t.TempDir(), CreatedAt: h.SentAt,
			}
			if state == store.BlobOffered {
				b.Destination = ""
			}
			if err := tx.PutBlob(b); err != nil {
				return err
			}
			if err := tx.SetEntryState(h.Key(), store.EntryHandled, 0, ""); err != nil {
				return err
			}
			ids = append(ids, b.ID)
		}
		return nil
	})
	if err != nil {
		n.t.Fatal(err)
	}
	for _, id := range ids {
		bus.Publish(n.bus, bus.BlobChanged, bus.BlobRef{ID: id, Chat: chat})
	}
	return ids
}

func (n *node) blob(id packet.BlobID) (b store.Blob) {
	n.t.Helper()
	err := n.store.View(n.t.Context(), func(tx store.ReadTx) (err error) {
		b, err = tx.Blob(id)
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return b
}

// push sends a file as the plugin of files does.
func (n *node) push(chat packet.ChatID, name string, content []byte) packet.PacketID {
	n.t.Helper()
	path := filepath.Join(n.t.TempDir(), "source")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		n.t.Fatal(err)
	}
	id := packet.NewPacketID()
	err := n.store.Update(n.t.Context(), store.Synced, func(tx store.Tx) error {
		p, err := n.Append(tx, Draft{ID: id, Chat: chat, Type: "file", Content: fmt.Appendf(nil, "%s_%d", name, len(content))})
		if err != nil {
			return err
		}
		h := p.Header
		if _, err := tx.AddMessage(store.Message{
			ID: id, Chat: chat, Author: h.Author, Plugin: "file", Kind: "file", Body: name, SentAt: h.SentAt, Order: h.Order(), Entry: h.Key(), Own: true,
		}); err != nil {
			return err
		}
		return tx.PutBlob(store.Blob{
			ID: packet.BlobID(packet.NewPacketID()), Chat: chat, Message: id, Plugin: "file", Author: n.user, Device: h.Device, Own: true, State: store.BlobShared,
			Name: name, Size: uint64(len(content)), Path: path, CreatedAt: h.SentAt,
		})
	})
	if err != nil {
		n.t.Fatal(err)
	}
	bus.Publish(n.bus, bus.EntryAppended, chat)
	return id
}
