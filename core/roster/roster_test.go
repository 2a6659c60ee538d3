package roster

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
	"golang.org/x/time/rate"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/core/store/storetest"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hub is a directory in memory: it keeps one packet of each type a pair, hands
// packets on while both are connected, and shows presence to mutual contacts.
type hub struct {
	telling  sync.Mutex // held by presences, whose news come in order so; taken before mu
	mu       sync.Mutex // guards all below and every account
	accounts map[packet.UserID]*account
	next     uint64
}

type account struct {
	keys    []ed25519.PublicKey
	profile *directorypb.Profile
	box     []*directorypb.Delivered
	node    *node // the session, nil while offline
	listed  []packet.UserID
	blocked []packet.UserID
}

func (h *hub) account(user packet.UserID) *account {
	if h.accounts[user] == nil {
		h.accounts[user] = &account{profile: &directorypb.Profile{}}
	}
	return h.accounts[user]
}

func (a *account) devices() []*directorypb.Device {
	var devices []*directorypb.Device
	for _, k := range a.keys {
		devices = append(devices, &directorypb.Device{Key: k})
	}
	return devices
}

// presences tells everybody of everybody as far as they list each other.
func (h *hub) presences() {
	h.telling.Lock()
	defer h.telling.Unlock()
	h.mu.Lock()
	var tell []func()
	for me, a := range h.accounts {
		if a.node == nil {
			continue
		}
		for _, other := range a.listed {
			b := h.accounts[other]
			p := bus.Presence{User: other}
			if b != nil && b.node != nil && slices.Contains(b.listed, me) && !slices.Contains(b.blocked, me) {
				p.Online, p.Keys, p.DisplayName = true, b.keys, b.profile.GetDisplayName()
				if avatar := b.profile.GetAvatar(); len(avatar) > 0 {
					hash := packet.HashOf(avatar)
					p.AvatarHash = hash[:]
				}
			}
			tell = append(tell, func() { bus.Publish(a.node.bus, bus.PresenceChanged, p) })
		}
	}
	h.mu.Unlock()
	for _, f := range tell {
		f()
	}
}

// fakeDirectory is one user's client of the hub. While err is set, every call
// gives it.
type fakeDirectory struct {
	hub  *hub
	user packet.UserID
	node *node

	mu        sync.Mutex // guards all below
	err       error
	tookErr   error
	connected bool
	delivers  []packet.Type // that were taken, in order
	lookUps   int
	tries     int
	limit     *rate.Limiter // of look-ups; nil: none
}

func (d *fakeDirectory) set(f func(*fakeDirectory)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(d)
}

// looked is how many look-ups were answered.
func (d *fakeDirectory) looked() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lookUps
}

func (d *fakeDirectory) state() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tries++
	if d.err == nil && !d.connected {
		return status.Error(codes.Unavailable, "no session")
	}
	return d.err
}

func (d *fakeDirectory) LookUp(_ context.Context, user packet.UserID) (*directorypb.LookUpResponse, error) {
	if err := d.state(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	limit := d.limit
	d.mu.Unlock()
	if limit != nil {
		if r := limit.Reserve(); r.Delay() > 0 {
			wait := r.Delay()
			r.Cancel()
			slow, err := status.New(codes.ResourceExhausted, "slow down").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(wait)})
			return nil, errors.Join(err, slow.Err())
		}
	}
	d.set(func(d *fakeDirectory) { d.lookUps++ })
	d.hub.mu.Lock()
	defer d.hub.mu.Unlock()
	a := d.hub.accounts[user]
	if a == nil {
		return nil, status.Error(codes.NotFound, "no such user")
	}
	return &directorypb.LookUpResponse{User: string(user), Profile: a.profile, Devices: a.devices()}, nil
}

func (d *fakeDirectory) Deliver(_ context.Context, to packet.UserID, b []byte) error {
	if err := d.state(); err != nil {
		return err
	}
	p, err := packet.Unmarshal(b)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	d.set(func(d *fakeDirectory) { d.delivers = append(d.delivers, p.Header.Type) })
	h := d.hub
	h.mu.Lock()
	a := h.accounts[to]
	if a == nil {
		h.mu.Unlock()
		return status.Error(codes.NotFound, "no such user")
	}
	if slices.Contains(a.blocked, d.user) {
		h.mu.Unlock()
		return nil // dropped unseen
	}
	me := h.account(d.user)
	h.next++
	in := &directorypb.Delivered{Delivery: h.next, From: string(d.user), Packet: b, Devices: me.devices(), Profile: me.profile}
	a.box = slices.DeleteFunc(a.box, func(old *directorypb.Delivered) bool {
		q, err := packet.Unmarshal(old.GetPacket())
		return err == nil && old.GetFrom() == in.GetFrom() && q.Header.Type == p.Header.Type
	})
	a.box = append(a.box, in)
	session := a.node
	h.mu.Unlock()
	if session != nil {
		bus.Publish(session.bus, bus.DirectoryDelivered, in)
	}
	return nil
}

func (d *fakeDirectory) Took(_ context.Context, delivery uint64) error {
	d.mu.Lock()
	err := d.tookErr
	d.mu.Unlock()
	if err != nil {
		return err
	}
	d.hub.mu.Lock()
	defer d.hub.mu.Unlock()
	a := d.hub.account(d.user)
	a.box = slices.DeleteFunc(a.box, func(in *directorypb.Delivered) bool { return in.GetDelivery() == delivery })
	return nil
}

func (d *fakeDirectory) SetProfile(_ context.Context, p *directorypb.Profile) error {
	if err := d.state(); err != nil {
		return err
	}
	d.hub.mu.Lock()
	d.hub.account(d.user).profile = p
	d.hub.mu.Unlock()
	d.hub.presences()
	return nil
}

// Refresh must not block, so the work is another goroutine's.
func (d *fakeDirectory) Refresh() {
	d.mu.Lock()
	connected := d.connected
	d.mu.Unlock()
	if !connected {
		return
	}
	contacts, blocked := d.node.roster.Lists()
	d.hub.mu.Lock()
	a := d.hub.account(d.user)
	a.listed, a.blocked = contacts, blocked
	d.hub.mu.Unlock()
	d.hub.presences()
}

func (d *fakeDirectory) Locate(packet.UserID) (bus.Presence, bool) { return bus.Presence{}, false }

// fakeLinks records what is asked of the connection manager.
type fakeLinks struct {
	node *node

	mu     sync.Mutex // guards all below
	up     []bus.Link
	sent   []*packet.Packet
	closed []packet.UserID
}

func (l *fakeLinks) Links() []bus.Link {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.up)
}

func (l *fakeLinks) Send(_ context.Context, _ uint64, f packet.Frame) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = append(l.sent, f.(*packet.Packet))
	return nil
}

func (l *fakeLinks) Disconnect(user packet.UserID, _ packet.ByeReason, _ string) {
	l.mu.Lock()
	l.closed = append(l.closed, user)
	var gone []bus.Link
	l.up = slices.DeleteFunc(l.up, func(k bus.Link) bool {
		if k.User == user {
			gone = append(gone, k)
		}
		return k.User == user
	})
	l.mu.Unlock()
	for _, k := range gone {
		bus.Publish(l.node.bus, bus.LinkDown, k)
	}
}

func (l *fakeLinks) closedFor(user packet.UserID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.closed, user)
}

// node is one person's device with a roster.
type node struct {
	t      *testing.T
	id     *identity.Identity
	book   *identity.Book
	bus    *bus.Bus
	store  *storetest.Fake
	dir    *fakeDirectory
	links  *fakeLinks
	roster *Roster

	notices *bus.Queue[bus.Notice]
	stop    func()
}

// world is a hub for the nodes of one test, all in one synctest bubble.
type world struct {
	t   *testing.T
	hub *hub
}

func inWorld(t *testing.T, fn func(*testing.T, *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fn(t, &world{t, &hub{accounts: map[packet.UserID]*account{}}})
	})
}

// join makes an account with one device and brings it online.
func (w *world) join(user packet.UserID) *node {
	w.t.Helper()
	n := w.device(user, storetest.New(w.t))
	n.start()
	n.connect()
	return n
}

// device makes a device for user, whose only one it is from now on.
func (w *world) device(user packet.UserID, s *storetest.Fake) *node {
	w.t.Helper()
	id, err := identity.Generate(user)
	if err != nil {
		w.t.Fatal(err)
	}
	w.hub.mu.Lock()
	w.hub.account(user).keys = []ed25519.PublicKey{id.Key()}
	w.hub.mu.Unlock()
	return &node{t: w.t, id: id, store: s, dir: &fakeDirectory{hub: w.hub, user: user}}
}

// start runs the node's roster on what its store has.
func (n *node) start() {
	n.t.Helper()
	n.book, n.bus, n.links = identity.NewBook(), bus.New(), &fakeLinks{node: n}
	n.dir.node = n
	r, err := New(n.t.Context(), Config{
		Identity: n.id, Book: n.book, Bus: n.bus, Store: n.store, Log: slog.New(slog.DiscardHandler),
		Directory: n.dir, Links: n.links,
	})
	if err != nil {
		n.t.Fatal(err)
	}
	n.roster = r
	n.notices = bus.Subscribe(n.bus, bus.Noticed, 100)
	ctx, cancel := context.WithCancel(n.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Serve(ctx); !errors.Is(err, context.Canceled) {
			n.t.Errorf("serve: %v", err)
		}
	}()
	n.stop = sync.OnceFunc(func() {
		n.disconnect()
		cancel()
		<-done
		if err := r.Close(); err != nil {
			n.t.Error(err)
		}
	})
	n.t.Cleanup(n.stop)
}

// restart ends the roster and starts another on the same store.
func (n *node) restart() {
	n.t.Helper()
	n.stop()
	n.start()
	n.connect()
}

func (n *node) connect() {
	n.dir.set(func(d *fakeDirectory) { d.connected = true })
	h := n.dir.hub
	h.mu.Lock()
	a := h.account(n.dir.user)
	a.node = n
	box := slices.Clone(a.box)
	h.mu.Unlock()
	bus.Publish(n.bus, bus.DirectoryChanged, bus.DirectoryState{Connected: true})
	n.dir.Refresh()
	for _, in := range box {
		bus.Publish(n.bus, bus.DirectoryDelivered, in)
	}
	synctest.Wait()
}

func (n *node) disconnect() {
	n.dir.set(func(d *fakeDirectory) { d.connected = false })
	n.dir.hub.mu.Lock()
	n.dir.hub.account(n.dir.user).node = nil
	n.dir.hub.mu.Unlock()
	bus.Publish(n.bus, bus.DirectoryChanged, bus.DirectoryState{})
	n.dir.hub.presences()
	synctest.Wait()
}

// linkUp makes a link to another node's device.
func (n *node) linkUp(other *node) bus.Link {
	l := bus.Link{ID: 7, User: other.id.User(), Device: other.id.Device(), Key: other.id.Key(), Path: "lan"}
	n.links.mu.Lock()
	n.links.up = append(n.links.up, l)
	n.links.mu.Unlock()
	bus.Publish(n.bus, bus.LinkUp, l)
	synctest.Wait()
	return l
}

// must fails the test on an error and lets everything settle.
func (n *node) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatalf("%s: %v", n.id.User(), err)
	}
	synctest.Wait()
}

func (n *node) request(user packet.UserID, greeting string) {
	n.t.Helper()
	n.must(n.roster.Request(n.t.Context(), user, greeting))
}

func (n *node) answer(user packet.UserID, accept bool) {
	n.t.Helper()
	n.must(n.roster.Answer(n.t.Context(), user, accept))
}

// contact gives what front ends see, nil when there is nothing.
func (n *node) contact(user packet.UserID) *controlpb.Contact {
	n.t.Helper()
	c, err := n.roster.Contact(n.t.Context(), user)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		n.t.Fatal(err)
	}
	return c
}

func (n *node) wantState(user packet.UserID, want store.ContactState) {
	n.t.Helper()
	if got := n.contact(user).GetState(); got != stateOf(want) {
		n.t.Errorf("%s has %s as %s, want %s", n.id.User(), user, got, stateOf(want))
	}
}

func (n *node) hasChat(user packet.UserID) bool {
	n.t.Helper()
	found := false
	n.must(n.store.View(n.t.Context(), func(tx store.ReadTx) error {
		chat, err := tx.Chat(packet.DirectChat(n.id.User(), user))
		if notFound(err) {
			return nil
		}
		if err == nil {
			found = true
			members := []packet.UserID{min(n.id.User(), user), max(n.id.User(), user)}
			if chat.Membership != 1 || !slices.Equal(chat.Members, members) {
				n.t.Errorf("chat with members %v in version %d", chat.Members, chat.Membership)
			}
		}
		return err
	}))
	return found
}

// value gives one of the roster's stored values.
func (n *node) value(key string) []byte {
	n.t.Helper()
	var b []byte
	n.must(n.store.View(n.t.Context(), func(tx store.ReadTx) (err error) {
		b, err = readValue(tx, key)
		return err
	}))
	return b
}

func (n *node) boxed() int {
	n.dir.hub.mu.Lock()
	defer n.dir.hub.mu.Unlock()
	return len(n.dir.hub.account(n.dir.user).box)
}

func (n *node) noticed() []string {
	var texts []string
	for {
		notice, ok := n.notices.TryNext()
		if !ok {
			return texts
		}
		texts = append(texts, notice.Level+" "+notice.Subject)
	}
}

// friends makes two nodes contacts of each other.
func (w *world) friends(a, b *node) {
	w.t.Helper()
	a.request(b.id.User(), "hello")
	b.answer(a.id.User(), true)
	a.wantState(b.id.User(), store.ContactAccepted)
	b.wantState(a.id.User(), store.ContactAccepted)
}

// seal makes a packet of the node's, as sent at a time of its choice.
func (n *node) seal(to packet.UserID, t packet.Type, content string, at int64) packet.Packet {
	n.t.Helper()
	return n.sealHeader(packet.Header{Chat: packet.DirectChat(n.id.User(), to), Type: t, SentAt: at}, content)
}

func (n *node) sealHeader(h packet.Header, content string) packet.Packet {
	n.t.Helper()
	h.ID = packet.NewPacketID()
	h.Author = cmp.Or(h.Author, n.id.User())
	h.Delivery = cmp.Or(h.Delivery, packet.Ephemeral)
	h.Device = n.id.Device()
	p, err := packet.Seal(h, []byte(content), n.id.Sign)
	if err != nil {
		n.t.Fatal(err)
	}
	return p
}

// deliver hands the node what a directory would, or a hostile one might.
func (n *node) deliver(from packet.UserID, p packet.Packet, keys ...ed25519.PublicKey) {
	n.t.Helper()
	b, err := p.Marshal()
	if err != nil {
		n.t.Fatal(err)
	}
	n.deliverBytes(from, b, keys...)
}

func (n *node) deliverBytes(from packet.UserID, b []byte, keys ...ed25519.PublicKey) {
	a := &account{keys: keys}
	n.dir.hub.mu.Lock()
	n.dir.hub.next++
	in := &directorypb.Delivered{Delivery: n.dir.hub.next, From: string(from), Packet: bytes.Clone(b), Devices: a.devices()}
	mine := n.dir.hub.account(n.dir.user)
	mine.box = append(mine.box, in)
	n.dir.hub.mu.Unlock()
	bus.Publish(n.bus, bus.DirectoryDelivered, in)
	synctest.Wait()
}
