package chatlog

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/core/store/storetest"
	"github.com/parley-chat/parley/protocol/packet"
)

// The network of these tests is a value: one goroutine moves everything, the
// clock is a field, and what is random comes from one seed, so that a seed that
// fails fails again.

const (
	typeText   packet.Type = "text"
	typeTiny   packet.Type = "tiny"   // takes 8 bytes
	typeInvite packet.Type = "invite" // opens chats; takes 4 KiB
	// typeMembers has a change of the members, typeList a whole list, in JSON; they
	// open chats too.
	typeMembers packet.Type = "members"
	typeList    packet.Type = "list"
)

func typeOf(t packet.Type) Type {
	switch t {
	case typeTiny:
		return Type{MaxContent: 8}
	case typeInvite:
		return Type{OpensChat: true, MaxContent: 4 << 10}
	case typeMembers, typeList:
		return Type{OpensChat: true}
	}
	return Type{}
}

type network struct {
	t     testing.TB
	rng   *rand.Rand
	now   time.Time
	nodes []*node
	wires []*wire
	links uint64
	ids   uint64
	// frames counts those that were given to links, by their type.
	frames map[string]int
	made   uint64             // changes of the members
	saw    func(packet.Frame) // is told of all that is sent
	// changes and allLists are what plugins of groups made, on any node.
	changes  map[string]*change
	allLists map[uint64]store.Membership
}

// node is one person's core: a service on a store, and a host that makes a
// message of every entry.
type node struct {
	n       *network
	user    packet.UserID
	id      *identity.Identity
	book    *identity.Book
	store   *storetest.Fake
	bus     *bus.Bus
	svc     *Service
	notices *bus.Queue[bus.Notice]
	changes *bus.Queue[bus.MessageRef]
	types   []packet.Type
	skew    time.Duration
}

// wire is a connection of two nodes.
type wire struct {
	ends  [2]*node
	links [2]bus.Link       // as each end sees it
	ways  [2][]packet.Frame // to each end
}

func newNetwork(t testing.TB, seed uint64, users ...packet.UserID) *network {
	n := &network{t: t, rng: rand.New(rand.NewPCG(seed, 7)), now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), frames: map[string]int{}, changes: map[string]*change{}, allLists: map[uint64]store.Membership{}}
	for i, user := range users {
		key := make([]byte, 32)
		binary.BigEndian.PutUint64(key, seed)
		key[31] = byte(i + 1)
		id, err := identity.New(user, key)
		must(t, err)
		n.nodes = append(n.nodes, &node{n: n, user: user, id: id, store: storetest.New(t), types: []packet.Type{typeText, typeTiny, typeInvite, typeMembers, typeList}})
	}
	for _, d := range n.nodes {
		d.book = identity.NewBook()
		for _, other := range n.nodes {
			d.book.Set(other.user, identity.Person{Keys: []ed25519.PublicKey{other.id.Key()}, Linkable: true})
		}
		d.start()
	}
	return n
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (n *network) node(user packet.UserID) *node {
	for _, d := range n.nodes {
		if d.user == user {
			return d
		}
	}
	n.t.Fatalf("no node %s", user)
	return nil
}

// start makes a new service on the node's store, as a new process does.
func (d *node) start() {
	d.bus = bus.New()
	d.svc = New(Config{
		Identity: d.id, Book: d.book, Bus: d.bus, Store: d.store, Type: typeOf,
		Now: func() time.Time { return d.n.now.Add(d.skew) },
	})
	d.notices = bus.Subscribe(d.bus, bus.Noticed, 1000)
	d.changes = bus.Subscribe(d.bus, bus.MessageChanged, 100000)
	must(d.n.t, d.svc.catchUp(d.n.t.Context()))
}

// restart ends the process and starts it again; its links go.
func (d *node) restart() {
	for _, w := range slices.Clone(d.n.wires) {
		if w.ends[0] == d || w.ends[1] == d {
			d.n.cut(w)
		}
	}
	d.svc.Close()
	d.start()
}

func (d *node) update(fn func(store.Tx) error) {
	d.n.t.Helper()
	must(d.n.t, d.store.Update(context.Background(), store.Synced, fn))
}

// join gives the node a version of a chat's members.
func (d *node) join(chat packet.ChatID, m store.Membership) {
	d.n.t.Helper()
	d.update(func(tx store.Tx) error {
		if _, err := tx.Chat(chat); isNotFound(err) {
			if err := tx.PutChat(store.Chat{ID: chat, CreatedAt: 1}); err != nil {
				return err
			}
		}
		return tx.PutMembership(chat, m)
	})
	bus.Publish(d.bus, bus.ChatChanged, bus.ChatChange{Chat: chat})
}

// chat gives nodes a chat of all of them.
func (n *network) chat(chat packet.ChatID, nodes ...*node) {
	n.t.Helper()
	m := store.Membership{Version: 1}
	for _, d := range nodes {
		m.Members = append(m.Members, d.user)
	}
	for _, d := range nodes {
		d.join(chat, m)
	}
}

// write sends a text; its id is its own and in the order of time.
func (d *node) write(chat packet.ChatID, text string) packet.PacketID {
	d.n.t.Helper()
	return d.send(Draft{Chat: chat, Type: typeText, Content: []byte(text)})
}

func (d *node) send(draft Draft) packet.PacketID {
	d.n.t.Helper()
	d.n.ids++
	binary.BigEndian.PutUint64(draft.ID[8:], d.n.ids)
	d.update(func(tx store.Tx) error {
		p, err := d.svc.Append(tx, draft)
		if err != nil {
			return err
		}
		return d.message(tx, &p)
	})
	d.svc.appended(draft.Chat)
	return draft.ID
}

func (d *node) message(tx store.Tx, p *packet.Packet) error {
	h := &p.Header
	id, err := store.MessageID(tx, h)
	if err != nil {
		return err
	}
	added, err := tx.AddMessage(store.Message{
		ID: id, Chat: h.Chat, Author: h.Author, Plugin: "text", Kind: "text", Body: string(p.Content),
		SentAt: h.SentAt, Order: h.Order(), Entry: h.Key(), Own: h.Author == d.user,
	})
	if err != nil || added {
		return err
	}
	d.n.t.Errorf("%s handles %s a second time", d.user, h.Key())
	return nil
}

// host handles what can be handled, and gives whether there was any.
func (d *node) host() (some bool) {
	d.n.t.Helper()
	for more := true; more; some = some || more {
		changed := map[packet.ChatID]bool{}
		// Lazy, as the real one: what a power loss undoes is handled again.
		must(d.n.t, d.store.Update(context.Background(), store.Lazy, func(tx store.Tx) error {
			entries, err := tx.Unhandled(d.types, "", 100, 1<<20)
			more = len(entries) > 0
			for i := range entries {
				if err := d.handle(tx, &entries[i].Packet, changed); err != nil {
					return err
				}
			}
			return err
		}))
		for chat := range changed {
			bus.Publish(d.bus, bus.ChatChanged, bus.ChatChange{Chat: chat})
		}
	}
	return some
}

// handle makes of a packet what its plugin would.
func (d *node) handle(tx store.Tx, p *packet.Packet, changed map[packet.ChatID]bool) error {
	h := &p.Header
	var err error
	switch h.Type {
	case typeMembers:
		changed[h.Chat] = true
		err = d.handleChange(tx, p)
	case typeList:
		changed[h.Chat] = true
		var m store.Membership
		if err = json.Unmarshal(p.Content, &m); err == nil {
			err = tx.PutMembership(h.Chat, m)
		}
	default:
		err = d.message(tx, p)
	}
	if err != nil {
		return err
	}
	return tx.SetEntryState(h.Key(), store.EntryHandled, 0, "")
}

// connect makes a wire.
func (n *network) connect(a, b *node) *wire {
	n.links += 2
	w := &wire{ends: [2]*node{a, b}}
	for i, peer := range []*node{b, a} {
		w.links[i] = bus.Link{ID: n.links + uint64(i), User: peer.user, Device: peer.id.Device(), Key: peer.id.Key()}
		bus.Publish(w.ends[i].bus, bus.LinkUp, w.links[i])
	}
	n.wires = append(n.wires, w)
	return w
}

func (n *network) cut(w *wire) {
	if i := slices.Index(n.wires, w); i >= 0 {
		n.wires = slices.Delete(n.wires, i, i+1)
		for i, d := range w.ends {
			bus.Publish(d.bus, bus.LinkDown, w.links[i])
		}
	}
}

func (n *network) wire(a, b *node) *wire {
	for _, w := range n.wires {
		if w.ends[0] == a && w.ends[1] == b || w.ends[0] == b && w.ends[1] == a {
			return w
		}
	}
	return nil
}

// work lets a node take what came to it, and gives whether there was any.
func (d *node) work() bool {
	e, ok := d.svc.events.TryNext()
	if ok {
		d.svc.process(d.n.t.Context(), d.svc.batch(e))
	}
	d.svc.tick(d.n.t.Context())
	return ok
}

// pump moves the frames of one turn from an end of a wire onto it.
func (n *network) pump(w *wire, from int) bool {
	n.t.Helper()
	d := w.ends[from]
	d.svc.mu.Lock()
	l := d.svc.links[w.links[from].ID]
	d.svc.mu.Unlock()
	if l == nil || !l.busy() {
		return false
	}
	frames, err := d.svc.next(n.t.Context(), l)
	must(n.t, err)
	for _, f := range frames {
		b, err := packet.AppendFrame(nil, f)
		must(n.t, err)
		f2, err := packet.ReadFrame(bytes.NewReader(b), packet.MaxFrame)
		must(n.t, err)
		w.ways[1-from] = append(w.ways[1-from], f2)
		n.frames[fmt.Sprintf("%T", f)]++
		d.svc.sent(l, f)
		if n.saw != nil {
			n.saw(f2)
		}
	}
	return len(frames) > 0
}

// deliver hands the first frame of a way to its node.
func (n *network) deliver(w *wire, to int) bool {
	if len(w.ways[to]) == 0 {
		return false
	}
	f := w.ways[to][0]
	w.ways[to] = w.ways[to][1:]
	n.hand(w, to, f)
	return true
}

func (n *network) hand(w *wire, to int, f packet.Frame) {
	if p, ok := f.(*packet.Packet); ok {
		bus.Publish(w.ends[to].bus, bus.PacketReceived, bus.Received{Link: w.links[to], Packet: p})
		return
	}
	bus.Publish(w.ends[to].bus, bus.SyncReceived, bus.SyncFrame{Link: w.links[to], Frame: f})
}

// quiet lets everything happen that can, and time pass as long as something is
// due, at most for span.
func (n *network) quiet(span time.Duration) {
	n.t.Helper()
	end := n.now.Add(span)
	for steps := 0; ; steps++ {
		if steps > 200_000 {
			n.t.Fatal("the network does not come to rest")
		}
		busy := false
		worked := map[*node]bool{}
		for _, d := range n.nodes {
			worked[d] = d.work()
			busy = worked[d] || busy
		}
		for _, w := range slices.Clone(n.wires) {
			for i := range w.ends {
				busy = n.pump(w, i) || busy
				for n.deliver(w, i) {
					busy = true
				}
			}
		}
		idle := !busy
		for _, d := range n.nodes {
			if worked[d] || idle {
				busy = d.host() || busy
			}
		}
		if busy || n.pending() {
			continue
		}
		at, ok := n.due()
		if !ok || at.After(end) {
			break
		}
		n.now = at
	}
}

// busy says whether a pump may have something to say.
func (l *link) busy() bool {
	return !l.complete || len(l.tasks)+len(l.exchange)+len(l.extras)+len(l.wants)+len(l.tell)+len(l.fresh)+len(l.ephemeral)+len(l.refusals)+len(l.registers)+len(l.comparing) > 0
}

// pending says whether a pump has something to look at.
func (n *network) pending() bool {
	for _, w := range n.wires {
		for i, d := range w.ends {
			l := d.svc.links[w.links[i].ID]
			if l != nil && l.busy() {
				return true
			}
		}
	}
	return false
}

func (n *network) due() (at time.Time, ok bool) {
	for _, d := range n.nodes {
		if t, due := d.svc.deadline(); due {
			if t = t.Add(-d.skew); !ok || t.Before(at) {
				at, ok = t, true
			}
		}
	}
	return at, ok
}

// lines gives what a node shows of a chat.
func (d *node) lines(chat packet.ChatID) []string {
	d.n.t.Helper()
	var lines []string
	must(d.n.t, d.store.View(context.Background(), func(tx store.ReadTx) error {
		page := store.Page{Limit: 500}
		for {
			messages, more, err := tx.Messages(chat, page)
			if err != nil {
				return err
			}
			part := make([]string, len(messages))
			for i, m := range messages {
				part[i] = string(m.Author) + ": " + m.Body
			}
			lines = append(part, lines...)
			if !more {
				return nil
			}
			page.Before = &messages[0].Order
		}
	}))
	return lines
}

func (n *network) same(chat packet.ChatID, nodes ...*node) []string {
	n.t.Helper()
	want := nodes[0].lines(chat)
	for _, d := range nodes[1:] {
		if got := d.lines(chat); !slices.Equal(got, want) {
			only := func(a, b []string) []string {
				return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
			}
			n.t.Errorf("%s and %s do not show the same (of %d and %d); just %s has %q, just %s has %q",
				nodes[0].user, d.user, len(want), len(got), nodes[0].user, only(want, got), d.user, only(got, want))
		}
	}
	return want
}

func (n *network) noNotices() {
	n.t.Helper()
	for _, d := range n.nodes {
		for {
			notice, ok := d.notices.TryNext()
			if !ok {
				break
			}
			if notice.Subject != "store" {
				n.t.Errorf("%s was told of %s: %s", d.user, notice.Subject, notice.Text)
			}
		}
	}
}

// states gives how far a node's message came, as "user state" words.
func (d *node) states(id packet.PacketID) string {
	d.n.t.Helper()
	names := map[State]string{Queued: "queued", Sent: "sent", Delivered: "delivered", Read: "read", Failed: "failed"}
	var out []string
	must(d.n.t, d.store.View(context.Background(), func(tx store.ReadTx) error {
		m, err := tx.Message(id)
		if err != nil {
			return err
		}
		receipts, err := d.svc.Receipts(tx, m.Chat)
		if err != nil {
			return err
		}
		states, err := receipts.Of(&m)
		for _, s := range states {
			out = append(out, fmt.Sprintf("%s %s", s.User, names[s.State]))
		}
		return err
	}))
	return strings.Join(out, ", ")
}
