package chatlog

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

func TestAppend(t *testing.T) {
	n, alice, _ := pair(t)
	id := packet.NewPacketID()
	for name, c := range map[string]struct {
		draft Draft
		want  error
	}{
		"unknown chat":   {Draft{Chat: "alice-carol", Type: typeText}, ErrUnknownChat},
		"too large":      {Draft{Chat: direct, Type: typeTiny, Content: make([]byte, 9)}, ErrTooLarge},
		"far too large":  {Draft{Chat: direct, Type: typeText, Content: make([]byte, packet.MaxContent+1)}, ErrTooLarge},
		"the roster's":   {Draft{Chat: direct, Type: packet.TypeLeave}, ErrDraft},
		"malformed type": {Draft{Chat: direct, Type: "Text!"}, packet.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			err := alice.store.Update(t.Context(), store.Synced, func(tx store.Tx) error {
				_, err := alice.svc.Append(tx, c.draft)
				return err
			})
			if !errors.Is(err, c.want) {
				t.Errorf("error is %v", err)
			}
		})
	}
	alice.update(func(tx store.Tx) error {
		first, err := alice.svc.Append(tx, Draft{ID: id, Chat: direct, Type: typeText, Content: []byte("a")})
		must(t, err)
		second, err := alice.svc.Append(tx, Draft{ID: id, Chat: direct, Type: typeText, Content: []byte("b")})
		if string(second.Raw) != string(first.Raw) {
			t.Error("the same id gave another entry")
		}
		return err
	})
	n.nodes[1].join(direct, store.Membership{Version: 2, Members: []packet.UserID{"alice"}})
	err := n.nodes[1].store.Update(t.Context(), store.Synced, func(tx store.Tx) error {
		_, err := n.nodes[1].svc.Append(tx, Draft{Chat: direct, Type: typeText})
		return err
	})
	if !errors.Is(err, ErrNotMember) {
		t.Errorf("error is %v", err)
	}
}

// force appends without looking, as a core with other plugins would.
func (d *node) force(chat packet.ChatID, t packet.Type, content string) packet.PacketID {
	d.svc.cfg.Type = func(packet.Type) Type { return Type{} }
	return d.send(Draft{Chat: chat, Type: t, Content: []byte(content)})
}

func TestRefusals(t *testing.T) {
	n, alice, bob := pair(t)
	n.connect(alice, bob)
	id := alice.force(direct, typeTiny, "far more than eight bytes")
	alice.write(direct, "and on")
	n.quiet(time.Minute)
	if got := alice.states(id); got != "bob failed" {
		t.Errorf("state is %q", got)
	}
	if got := bob.lines(direct); len(got) != 1 || got[0] != "alice: and on" {
		t.Errorf("bob shows %q", got)
	}
	must(t, alice.store.View(t.Context(), func(tx store.ReadTx) error {
		m, err := tx.Message(id)
		must(t, err)
		r, err := alice.svc.Receipts(tx, direct)
		must(t, err)
		states, err := r.Of(&m)
		if states[0].Reason != packet.ReasonTooLarge || !strings.Contains(states[0].Text, "at most 8") {
			t.Errorf("it says %+v", states[0])
		}
		return err
	}))
}

// A refusal that the author could not hear comes with the next exchange.
func TestRefusalLater(t *testing.T) {
	n, alice, bob, carol := trio(t)
	w := n.connect(alice, bob)
	id := alice.write(group, "to both")
	n.quiet(time.Minute)
	n.cut(w)
	carol.book.Set("alice", identity.Person{Keys: carol.book.Person("alice").Keys, Blocked: true})
	w = n.connect(bob, carol)
	n.quiet(time.Minute)
	if got := carol.lines(group); len(got) != 0 {
		t.Errorf("carol shows %q of one she blocked", got)
	}
	n.cut(w)
	n.connect(alice, carol)
	n.quiet(time.Minute)
	if got := alice.states(id); got != "bob delivered, carol failed" {
		t.Errorf("state is %q", got)
	}
}

// A stub is no source: who lacks the entry asks others for it.
func TestStubIsNoSource(t *testing.T) {
	n, alice, bob, carol := trio(t)
	bob.book.Set("alice", identity.Person{Keys: bob.book.Person("alice").Keys, Blocked: true})
	w := n.connect(alice, bob)
	alice.write(group, "1")
	n.quiet(time.Minute)
	n.cut(w)
	n.connect(bob, carol)
	n.quiet(time.Minute)
	if len(carol.svc.pulls) != 0 {
		t.Error("carol tries to get a stub")
	}
	n.connect(alice, carol)
	n.quiet(time.Minute)
	if got := carol.lines(group); len(got) != 1 {
		t.Errorf("carol shows %q", got)
	}
}

func TestDeletedContent(t *testing.T) {
	n, alice, bob := pair(t)
	id := alice.write(direct, "secret")
	alice.write(direct, "next")
	alice.update(func(tx store.Tx) error {
		e, err := tx.EntryByID(id)
		must(t, err)
		return tx.DropContent(e.Packet.Header.Key())
	})
	n.connect(alice, bob)
	n.quiet(time.Minute)
	if got := bob.lines(direct); len(got) != 1 || got[0] != "alice: next" {
		t.Errorf("bob shows %q", got)
	}
	if got := alice.states(id); got != "bob delivered" {
		t.Errorf("state is %q", got)
	}
}

// Who was asked to join gets what is said, and nobody waits for him.
func TestInvitedIsNoRecipient(t *testing.T) {
	n, alice, bob, carol := trio(t)
	list := store.Membership{Version: 2, Members: []packet.UserID{"alice", "bob", "carol"}, Invited: []packet.UserID{"carol"}}
	for _, d := range n.nodes {
		d.join(group, list)
	}
	n.connect(alice, bob)
	id := alice.write(group, "hello")
	n.quiet(time.Minute)
	if got := alice.states(id); got != "bob delivered" {
		t.Errorf("state is %q", got)
	}
	n.connect(alice, carol)
	n.quiet(time.Minute)
	n.expect(group, []string{"alice: hello"}, n.nodes...)
	list.Version, list.Invited = 3, nil
	for _, d := range n.nodes {
		d.join(group, list)
	}
	if got := alice.states(id); got != "bob delivered, carol delivered" {
		t.Errorf("state is %q when she has joined", got)
	}
}

func TestReadReceipts(t *testing.T) {
	n, alice, bob := pair(t)
	n.connect(alice, bob)
	first := alice.write(direct, "1")
	second := alice.write(direct, "2")
	n.quiet(time.Minute)
	read := func(id packet.PacketID) {
		var place packet.OrderKey
		must(t, bob.store.View(t.Context(), func(tx store.ReadTx) error {
			m, err := tx.Message(id)
			place = m.Order
			return err
		}))
		must(t, bob.svc.WriteRegister(t.Context(), direct, packet.RegisterRead, place[:]))
	}
	for {
		if _, ok := alice.changes.TryNext(); !ok {
			break
		}
	}
	read(first)
	n.quiet(time.Minute)
	if got := alice.states(first) + ", " + alice.states(second); got != "bob read, bob delivered" {
		t.Errorf("states are %q", got)
	}
	if ref, ok := alice.changes.TryNext(); !ok || ref.ID != first {
		t.Error("front ends did not hear of it")
	}
	n.cut(n.wire(alice, bob))
	read(second)
	read(first) // the last writer wins, however foolish
	read(second)
	n.connect(alice, bob)
	n.quiet(time.Minute)
	if got := alice.states(second); got != "bob read" {
		t.Errorf("state is %q", got)
	}
}

func TestSentState(t *testing.T) {
	n, alice, bob := pair(t)
	w := n.connect(alice, bob)
	n.quiet(time.Minute)
	id := alice.write(direct, "on its way")
	for range 5 {
		n.pump(w, 0)
	}
	if got := alice.states(id); got != "bob sent" {
		t.Errorf("state is %q", got)
	}
	n.cut(w)
	alice.work()
	if got := alice.states(id); got != "bob queued" {
		t.Errorf("state is %q", got)
	}
}

func TestEphemeral(t *testing.T) {
	n, alice, bob, carol := trio(t)
	for _, d := range []*node{bob, carol} {
		n.connect(alice, d)
	}
	n.quiet(time.Minute)
	toBob := bus.Subscribe(bob.bus, bus.PacketStored("typing"), 100)
	toCarol := bus.Subscribe(carol.bus, bus.PacketStored("typing"), 100)
	must(t, alice.svc.Emit(t.Context(), Draft{Chat: group, Type: "typing"}, nil))
	must(t, alice.svc.Emit(t.Context(), Draft{Chat: group, Type: "typing", Content: []byte("b")}, []packet.UserID{"bob"}))
	n.quiet(time.Minute)
	count := func(q *bus.Queue[bus.Stored]) (n int) {
		for {
			s, ok := q.TryNext()
			if !ok {
				return n
			}
			if s.Ephemeral != nil && s.Ephemeral.Header.Author == "alice" {
				n++
			}
		}
	}
	if b, c := count(toBob), count(toCarol); b != 2 || c != 1 {
		t.Errorf("bob got %d, carol %d", b, c)
	}
	for range 1000 { // nobody takes them
		must(t, alice.svc.Emit(t.Context(), Draft{Chat: group, Type: "typing", Content: make([]byte, 1000)}, nil))
	}
	for _, l := range alice.svc.links {
		if len(l.ephemeral) > maxEphemeral {
			t.Errorf("%d wait for one link", len(l.ephemeral))
		}
	}
	spoilt := forge(t, carol.id, packet.Header{Chat: group, Type: "typing", Author: "carol", Device: alice.id.Device(), Delivery: packet.Ephemeral}, "")
	n.give(n.wire(alice, bob), bob, spoilt)
	n.quiet(time.Minute)
	if count(toBob) > maxEphemeral {
		t.Error("a forged one came through")
	}
}

// A chat that becomes shared while the link is up needs no new link, whoever
// learns of it first.
func TestSharedLater(t *testing.T) {
	for name, order := range map[string][2]int{"author first": {0, 1}, "reader first": {1, 0}} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t, 1, "alice", "bob")
			alice, bob := n.nodes[0], n.nodes[1]
			n.connect(alice, bob)
			n.quiet(time.Minute)
			for _, i := range order {
				n.nodes[i].join(direct, store.Membership{Version: 1, Members: []packet.UserID{"alice", "bob"}})
				n.nodes[i].write(direct, "hello from "+string(n.nodes[i].user))
				n.quiet(time.Minute)
			}
			if got := n.same(direct, alice, bob); len(got) != 2 {
				t.Errorf("they show %q", got)
			}
		})
	}
}

func members(version uint64, users ...packet.UserID) store.Membership {
	return store.Membership{Version: version, Members: users}
}

// Entries under a list that is not known yet wait for it.
func TestWaitingForMembers(t *testing.T) {
	n, alice, bob, carol := trio(t)
	n.connect(alice, bob)
	n.quiet(time.Minute)
	alice.join(group, members(2, "alice", "bob", "carol", "dave"))
	id := alice.write(group, "under the new list")
	n.quiet(time.Minute)
	if got := bob.lines(group); len(got) != 0 {
		t.Errorf("bob shows %q", got)
	}
	if got := alice.states(id); got != "bob delivered, carol queued, dave queued" {
		t.Errorf("state is %q", got)
	}
	bob.join(group, members(2, "alice", "bob", "carol", "dave"))
	n.quiet(time.Minute)
	if got := bob.lines(group); len(got) != 1 {
		t.Errorf("bob shows %q", got)
	}
	_ = carol
}

// cutoffs gives the ends of a user's logs as a node has them, or at a number.
func (d *node) cutoffs(user packet.UserID, at uint64) (cutoffs []store.Cutoff) {
	must(d.n.t, d.store.View(d.n.t.Context(), func(tx store.ReadTx) error {
		heads, err := tx.Heads(group)
		for _, h := range heads {
			if h.Author == user {
				log := packet.Log{Chat: group, Device: h.Device, Epoch: h.Epoch}
				cutoffs = append(cutoffs, store.Cutoff{User: user, EntryKey: packet.EntryKey{Log: log, Number: min(h.Upto, at)}})
			}
		}
		return err
	}))
	return cutoffs
}

// After a removal all show the same of the removed one, whether they had more of
// him or less; and when it turns out to be void, all of him.
func TestCutoff(t *testing.T) {
	n, alice, bob, carol := trio(t)
	w := n.connect(bob, carol)
	carol.write(group, "1")
	carol.write(group, "2")
	n.quiet(time.Minute)
	n.cut(w)
	n.connect(alice, bob)
	n.quiet(time.Minute)
	w = n.connect(bob, carol)
	late := carol.write(group, "3, too late")
	n.quiet(time.Second)
	n.cut(w)
	removal := members(2, "alice", "bob")
	removal.Cutoffs = bob.cutoffs("carol", 2)
	for _, d := range []*node{alice, bob} {
		d.join(group, removal)
	}
	n.quiet(time.Minute)
	n.expect(group, []string{"carol: 1", "carol: 2"}, alice, bob)
	// She hears of it, and what she wrote to nobody is marked.
	carol.join(group, removal)
	if got := carol.states(late); got != "alice failed, bob failed" {
		t.Errorf("the line that came too late is %q", got)
	}
	// She comes back later, in a new log, and is understood.
	back := members(3, "alice", "bob", "carol")
	back.Cutoffs = removal.Cutoffs
	for _, d := range n.nodes {
		d.join(group, back)
	}
	n.connect(bob, carol)
	carol.write(group, "back")
	n.quiet(time.Minute)
	n.expect(group, []string{"carol: 1", "carol: 2", "carol: back"}, alice, bob)
	if got := carol.states(late); got != "alice failed, bob failed" {
		t.Errorf("the line that came too late is %q", got)
	}
	// The removal was by somebody who had been removed himself: it never was.
	for _, d := range n.nodes {
		d.join(group, members(4, "alice", "bob", "carol"))
	}
	n.quiet(time.Minute)
	n.expect(group, []string{"carol: 1", "carol: 2", "carol: 3, too late", "carol: back"}, alice, bob, carol)
	if got := carol.states(late); got != "alice queued, bob delivered" {
		t.Errorf("the line that came too late is %q", got)
	}
}

// One who was removed and knows it can be taken in again.
func TestTakenInAgain(t *testing.T) {
	n, alice, bob, carol := trio(t)
	alice.acquainted()
	bob.acquainted()
	n.connect(alice, bob)
	list := func(m store.Membership) {
		alice.join(group, m)
		alice.sendList(m)
		n.quiet(time.Second)
	}
	list(members(2, "alice", "bob"))
	bob.join(group, members(3, "alice", "carol")) // he hears of it by another way
	list(members(3, "alice", "carol"))
	alice.write(group, "not for bob")
	list(members(4, "alice", "bob", "carol"))
	alice.write(group, "hello again")
	n.quiet(time.Second)
	n.expect(group, []string{"alice: hello again"}, bob)
	for _, e := range bob.entries(group) {
		if string(e.Packet.Content) == "not for bob" {
			t.Error("bob has what was written while he was no member")
		}
	}
	_ = carol
}

// Two logs that begin in one moment reach a linked peer at once, not only when he
// asks for what he misses.
func TestLogsBegunTogether(t *testing.T) {
	n, alice, bob := pair(t)
	n.connect(alice, bob)
	alice.write(direct, "1")
	n.quiet(time.Minute)
	for _, text := range []string{"2", "3"} {
		alice.send(Draft{Chat: direct, Type: typeInvite, Content: []byte(text)})
	}
	n.quiet(time.Second)
	n.expect(direct, []string{"alice: 1", "alice: 2", "alice: 3"}, alice, bob)
}

// Of entries that were written before a removal those count that it says count,
// whatever other lists there were in between.
func TestNoGapBeforeCutoff(t *testing.T) {
	n, alice, bob, carol := trio(t)
	carol.write(group, "1")
	lists := []store.Membership{members(2, "alice", "bob"), members(3, "alice", "bob", "carol"), members(4, "alice", "bob")}
	carol.join(group, lists[0])
	carol.join(group, lists[1])
	carol.write(group, "2")
	lists[2].Cutoffs = carol.cutoffs("carol", 2)
	alice.join(group, lists[0])
	alice.join(group, lists[1])
	n.cut(func() *wire { w := n.connect(alice, carol); n.quiet(time.Minute); return w }())
	alice.join(group, lists[2])
	for _, m := range lists {
		bob.join(group, m)
	}
	n.connect(alice, bob)
	n.quiet(time.Minute)
	n.expect(group, []string{"carol: 1", "carol: 2"}, alice, bob)
}

// An invitation opens a chat, also for one who joins late, and only if a contact
// sends it.
func TestInvitation(t *testing.T) {
	n := newNetwork(t, 1, "alice", "bob", "carol")
	alice, bob, carol := n.nodes[0], n.nodes[1], n.nodes[2]
	n.connect(alice, bob)
	n.connect(alice, carol)
	n.quiet(time.Minute)
	bob.update(func(tx store.Tx) error {
		return tx.PutContact(store.Contact{User: "alice", State: store.ContactAccepted})
	})
	alice.join(group, members(1, "alice", "carol"))
	carol.join(group, members(1, "alice", "carol"))
	before := alice.write(group, "before")
	n.quiet(time.Minute)
	alice.join(group, members(2, "alice", "bob", "carol"))
	alice.send(Draft{Chat: group, Type: typeInvite, Content: []byte("come in")})
	alice.write(group, "after")
	n.quiet(time.Minute)
	if got := bob.lines(group); len(got) != 1 || got[0] != "alice: come in" {
		t.Fatalf("bob shows %q", got)
	}
	bob.join(group, members(1, "alice", "carol"))
	for _, d := range []*node{bob, carol} { // what the group plugin makes of it
		d.join(group, members(2, "alice", "bob", "carol"))
	}
	n.quiet(time.Minute)
	n.expect(group, []string{"alice: before", "alice: come in", "alice: after"}, alice, carol)
	n.expect(group, []string{"alice: come in", "alice: after"}, bob) // what was said before is not his
	if e := bob.entries(group); len(e) != 3 || !e[0].Dropped || e[0].State != store.EntryHandled || len(e[0].Packet.Content) > 0 {
		t.Errorf("bob has %+v", e)
	}
	if got := alice.states(before); got != "carol delivered" { // bob is none of its recipients
		t.Errorf("what was said before is %q", got)
	}
	if w := n.connect(carol, bob); true {
		n.give(w, bob, forge(t, carol.id, packet.Header{Chat: "zzzzzzzzzzzzzzzzzzzzzzzzzz", Type: typeInvite, Author: "carol", Device: carol.id.Device()}, "not a contact"))
		n.quiet(time.Minute)
		if len(bob.chats()) != 1 {
			t.Error("a stranger opened a chat")
		}
	}
}

// entries gives all entries of a chat by others.
func (d *node) entries(chat packet.ChatID) (all []store.Entry) {
	d.n.t.Helper()
	must(d.n.t, d.store.View(d.n.t.Context(), func(tx store.ReadTx) error {
		heads, err := tx.Heads(chat)
		for _, h := range heads {
			if h.Author == d.user {
				continue
			}
			entries, err := tx.Entries(packet.Log{Chat: chat, Device: h.Device, Epoch: h.Epoch}, 1, noLimit, 10_000, 1<<30, true)
			if err != nil {
				return err
			}
			all = append(all, entries...)
		}
		return err
	}))
	return all
}
