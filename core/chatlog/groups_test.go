package chatlog

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// texts counts the texts by others that a node has, whole and without content.
func (d *node) texts(chat packet.ChatID) (whole, without int) {
	for _, e := range d.entries(chat) {
		switch {
		case e.Packet.Header.Type != typeText:
		case len(e.Packet.Content) > 0:
			whole++
		default:
			without++
		}
	}
	return whole, without
}

// graph makes a group by changes, as its plugin does, and links all with the
// owner. Everybody is a contact of everybody.
func graph(t *testing.T, all bool, users ...packet.UserID) *network {
	n := newNetwork(t, 1, users...)
	for _, d := range n.nodes {
		d.acquainted()
	}
	n.found(all, n.nodes[1:]...)
	for _, d := range n.nodes[1:] {
		n.connect(n.nodes[0], d)
	}
	n.quiet(time.Minute)
	return n
}

// Who was removed hears of it, also from another than the one who removed him, and
// gets nothing that comes after, not even that there is something.
func TestRemovedGetsNothingNew(t *testing.T) {
	n := graph(t, false, "alice", "bob", "carol")
	alice, bob, carol := n.nodes[0], n.nodes[1], n.nodes[2]
	alice.write(group, "for all")
	n.quiet(time.Minute)
	n.cut(n.wire(alice, carol))
	alice.change(change{Op: "remove", User: "carol", Cutoffs: alice.ends("carol", 0)})
	n.quiet(time.Minute)
	for i := range 5 {
		alice.write(group, fmt.Sprint("without carol ", i))
		bob.write(group, fmt.Sprint("me too ", i))
	}
	n.quiet(time.Minute)
	n.connect(bob, carol)
	n.quiet(time.Minute)
	if c, _ := carol.chat(group); len(c.Members) != 2 {
		t.Errorf("carol believes that the members are %v", c.Members)
	}
	n.connect(alice, carol)
	bob.write(group, "still without her")
	n.quiet(time.Hour)
	if whole, without := carol.texts(group); whole != 1 || without != 0 {
		t.Errorf("carol has %d entries, and %d without content", whole, without)
	}
	for _, w := range []*wire{n.wire(alice, carol), n.wire(bob, carol)} {
		n.cut(w)
		n.connect(w.ends[0], w.ends[1]) // she asks for all there is
		n.give(n.wire(w.ends[0], carol), w.ends[0], &packet.Want{Log: bobLog(t, bob), Ranges: []packet.Range{{First: 1, Last: 1000}}})
	}
	n.quiet(time.Hour)
	if whole, without := carol.texts(group); whole != 1 || without != 0 {
		t.Errorf("after asking carol has %d entries, and %d without content", whole, without)
	}
	// She is invited again, and writes in a new log.
	alice.change(change{Op: "invite", User: "carol"})
	n.quiet(time.Minute)
	carol.write(group, "here I am")
	n.quiet(time.Minute)
	alice.write(group, "welcome")
	n.quiet(time.Minute)
	for _, d := range []*node{alice, bob} {
		if lines := d.lines(group); len(lines) != 14 || lines[13] != "alice: welcome" {
			t.Errorf("%s shows %q", d.user, lines)
		}
	}
	n.expect(group, []string{"alice: for all", "carol: here I am", "alice: welcome"}, carol)
}

// bobLog is the log that a node writes its texts in.
func bobLog(t *testing.T, d *node) (log packet.Log) {
	must(t, d.store.View(t.Context(), func(tx store.ReadTx) error {
		epoch, err := presentEpoch(tx, group, talk)
		log = packet.Log{Chat: group, Device: d.id.Device(), Epoch: epoch}
		return err
	}))
	return log
}

// Somebody who joins late has everything of before without content, or all of it,
// as the group's setting says, from whoever has it.
func TestJoinsLate(t *testing.T) {
	for _, all := range []bool{false, true} {
		t.Run(fmt.Sprint(all), func(t *testing.T) {
			n := newNetwork(t, 1, "alice", "bob", "carol", "dave")
			alice, bob, carol, dave := n.nodes[0], n.nodes[1], n.nodes[2], n.nodes[3]
			for _, d := range n.nodes {
				d.acquainted()
			}
			n.found(all, bob, carol)
			w := n.connect(alice, bob)
			for i := range 3 {
				alice.write(group, fmt.Sprint("a", i))
				bob.write(group, fmt.Sprint("b", i))
			}
			n.quiet(time.Minute)
			alice.change(change{Op: "invite", User: "dave"})
			n.quiet(time.Minute)
			alice.write(group, "dave comes")
			n.quiet(time.Minute)
			n.cut(w)
			n.connect(bob, dave) // who neither invited him nor wrote it all
			n.quiet(time.Minute)
			want := 1
			if all {
				want = 7
			}
			if lines := dave.lines(group); len(lines) != want || lines[want-1] != "alice: dave comes" {
				t.Errorf("dave shows %q", lines)
			}
			dave.write(group, "hello")
			n.quiet(time.Minute)
			if lines := bob.lines(group); len(lines) != 8 || lines[7] != "dave: hello" {
				t.Errorf("bob shows %q", lines)
			}
			// He passes on what he has: as much as the next may have.
			n.cut(n.wire(bob, dave))
			n.connect(dave, carol)
			n.quiet(time.Hour)
			if whole, without := carol.texts(group); all && whole != 8 || !all && whole != 2 || without > 0 {
				t.Errorf("carol has %d from dave, %d without content", whole, without)
			}
			n.connect(bob, carol)
			n.quiet(time.Hour)
			n.expect(group, bob.lines(group), bob, carol)
		})
	}
}

// What of the past joiners have is for each entry as the setting was when it was
// written, whatever it is when they join.
func TestSettingOfThePast(t *testing.T) {
	n := graph(t, false, "alice", "bob", "carol", "dave")
	alice, bob, carol, dave := n.nodes[0], n.nodes[1], n.nodes[2], n.nodes[3]
	for _, d := range []*node{carol, dave} {
		alice.change(change{Op: "remove", User: d.user})
		n.cut(n.wire(alice, d))
	}
	n.quiet(time.Minute)
	write := func(text string) {
		alice.write(group, text)
		n.quiet(time.Minute)
	}
	write("for two")
	alice.change(change{Op: "history", All: true})
	n.quiet(time.Minute)
	write("for all")
	alice.change(change{Op: "invite", User: "carol"})
	n.quiet(time.Minute)
	n.connect(bob, carol)
	n.quiet(time.Minute)
	n.expect(group, []string{"alice: for all"}, carol)
	alice.change(change{Op: "history", All: false})
	n.quiet(time.Minute)
	write("for three")
	alice.change(change{Op: "invite", User: "dave"})
	n.quiet(time.Minute)
	n.connect(carol, dave) // who has not got all herself
	n.quiet(time.Minute)
	n.expect(group, []string{"alice: for all"}, dave)
	write("for four")
	n.expect(group, []string{"alice: for two", "alice: for all", "alice: for three", "alice: for four"}, alice, bob)
	n.expect(group, []string{"alice: for all", "alice: for three", "alice: for four"}, carol)
	n.expect(group, []string{"alice: for all", "alice: for four"}, dave)
}

// Who was removed, and comes to believe that he was not by what others do who have not
// heard of it all, hears of all that it takes to know better.
func TestBelievesToBeIn(t *testing.T) {
	n := graph(t, false, "alice", "bob", "carol")
	alice, bob, carol := n.nodes[0], n.nodes[1], n.nodes[2]
	alice.change(change{Op: "promote", User: "bob"})
	alice.change(change{Op: "remove", User: "carol"})
	n.quiet(time.Minute)
	n.cut(n.wire(alice, bob))
	alice.change(change{Op: "remove", User: "bob"}) // of which carol is told nothing
	n.quiet(time.Minute)
	bob.change(change{Op: "invite", User: "carol"})
	n.connect(bob, carol)
	n.quiet(time.Hour)
	if c, _ := carol.chat(group); slices.Contains(c.Members, "carol") {
		t.Errorf("carol still believes that the members are %v", c.Members)
	}
}

// The only one who is there was invited by somebody of whom one has not heard either.
func TestInvitedByTheUnknown(t *testing.T) {
	n := newNetwork(t, 1, "alice", "bob", "carol", "dave")
	alice, bob, carol, dave := n.nodes[0], n.nodes[1], n.nodes[2], n.nodes[3]
	for _, d := range n.nodes {
		d.acquainted()
	}
	n.found(false, dave)
	alice.change(change{Op: "invite", User: "carol"})
	n.connect(alice, carol)
	n.quiet(time.Minute)
	alice.change(change{Op: "promote", User: "carol"})
	n.quiet(time.Minute)
	carol.change(change{Op: "invite", User: "bob"})
	n.connect(carol, bob)
	n.quiet(time.Minute)
	carol.write(group, "bob, tell dave")
	n.quiet(time.Minute)
	for _, w := range slices.Clone(n.wires) {
		n.cut(w)
	}
	w := n.connect(bob, dave)
	for busy := true; busy; { // dave handles nothing until all is here
		busy = bob.work() || dave.work()
		for i := range w.ends {
			busy = n.pump(w, i) || n.deliver(w, i) || busy
		}
	}
	n.quiet(time.Hour)
	n.expect(group, []string{"carol: bob, tell dave"}, bob, dave)
}

// Who was removed is told by an admin, and by him alone, that he is invited again, with
// a number under which others know another change. That admin is removed himself,
// before: what he says counts for nobody.
func TestToldAlone(t *testing.T) {
	n := graph(t, false, "alice", "bob", "mallory")
	alice, bob, mallory := n.nodes[0], n.nodes[1], n.nodes[2]
	alice.change(change{Op: "promote", User: "mallory"})
	alice.change(change{Op: "remove", User: "bob"})
	n.quiet(time.Minute)
	before, _ := mallory.chat(group)
	var lies []*packet.Packet
	for i, c := range []change{{Op: "history"}, {Op: "invite", User: "bob"}} {
		c.Parents = mallory.dag().heads()
		content, err := json.Marshal(c)
		must(t, err)
		lies = append(lies, forge(t, mallory.id, packet.Header{
			ID: packet.PacketID{3, 15: byte(i)}, Chat: group, Type: typeMembers, Author: "mallory", Device: mallory.id.Device(),
			Membership: before.Membership, SentAt: n.now.UnixMicro(), Depth: 9, Epoch: 1, Number: 1,
		}, string(content)))
	}
	for _, w := range slices.Clone(n.wires) {
		n.cut(w)
	}
	n.whisper(mallory, alice, lies[0])
	n.whisper(mallory, bob, lies[1])
	for _, d := range []*node{alice, bob} {
		for d.work() || d.host() {
			continue
		}
	}
	if c, _ := bob.chat(group); !slices.Contains(c.Members, "bob") {
		t.Fatalf("bob was told that he is a member, and has %v", c.Members)
	}
	alice.change(change{Op: "remove", User: "mallory", Cutoffs: alice.ends("mallory", 0)})
	n.connect(alice, bob)
	n.quiet(time.Hour)
	if c, _ := bob.chat(group); slices.Contains(c.Members, "bob") {
		t.Errorf("bob still believes that the members are %v", c.Members)
	}
}

// Two who are no contacts are removed together, by somebody who had no right to it any
// more: who of them hears so tells the other.
func TestRemovedTogether(t *testing.T) {
	n := graph(t, false, "alice", "bob", "carol", "dave")
	alice, bob, carol, dave := n.nodes[0], n.nodes[1], n.nodes[2], n.nodes[3]
	for _, d := range []*node{bob, carol} {
		d.update(func(tx store.Tx) error { return errors.Join(tx.DeleteContact("bob"), tx.DeleteContact("carol")) })
		n.cut(n.wire(alice, d))
		n.connect(d, dave)
	}
	alice.change(change{Op: "promote", User: "dave"})
	n.connect(bob, carol)
	n.quiet(time.Minute)
	n.cut(n.wire(alice, dave))
	dave.change(change{Op: "remove", User: "bob"})
	dave.change(change{Op: "remove", User: "carol"})
	n.quiet(time.Minute)
	if c, _ := carol.chat(group); len(c.Members) != 2 {
		t.Errorf("carol has the members %v", c.Members)
	}
	alice.change(change{Op: "remove", User: "dave"})
	n.connect(alice, bob)
	n.quiet(time.Hour)
	for _, d := range []*node{alice, bob, carol} {
		if c, _ := d.chat(group); len(c.Members) != 3 {
			t.Errorf("%s has the members %v", d.user, c.Members)
		}
	}
}

// A change that a member passes on without its content is not one that says nothing.
func TestBareChange(t *testing.T) {
	n := graph(t, false, "alice", "bob", "carol")
	alice, bob, carol := n.nodes[0], n.nodes[1], n.nodes[2]
	alice.change(change{Op: "invite", User: "dave"})
	var bare packet.Packet
	must(t, alice.store.View(t.Context(), func(tx store.ReadTx) error {
		epoch, err := presentEpoch(tx, group, changes)
		if err != nil {
			return err
		}
		all, err := tx.Entries(packet.Log{Chat: group, Device: alice.id.Device(), Epoch: epoch}, 1, noLimit, 100, 1<<20, false)
		bare = all[len(all)-1].Packet
		bare.Content = nil
		return err
	}))
	n.cut(n.wire(alice, bob))
	n.cut(n.wire(alice, carol))
	n.give(n.connect(bob, carol), bob, &bare)
	n.quiet(time.Minute)
	n.connect(alice, bob)
	n.quiet(time.Minute)
	if c, _ := bob.chat(group); !slices.Contains(c.Members, "dave") {
		t.Errorf("bob has the members %v", c.Members)
	}
}

// A member who gives an entry without its content keeps nobody from it for whom
// it is: others are asked, also when it was not known yet for whom it is.
func TestBareCopies(t *testing.T) {
	bare := func(p *packet.Packet) *packet.Packet {
		q := *p
		q.Content = nil
		return &q
	}
	for _, known := range []bool{true, false} {
		t.Run(fmt.Sprint("list known ", known), func(t *testing.T) {
			n := newNetwork(t, 1, "alice", "bob", "carol", "dave")
			alice, bob, carol, dave := n.nodes[0], n.nodes[1], n.nodes[2], n.nodes[3]
			n.chat(group, n.nodes...)
			without := members(2, "alice", "bob", "carol")
			all := members(3, "alice", "bob", "carol", "dave")
			for _, d := range []*node{alice, carol, dave} {
				d.join(group, without)
				d.join(group, all)
			}
			if known {
				bob.join(group, without)
			}
			p := forge(t, alice.id, packet.Header{Chat: group, Author: "alice", Device: alice.id.Device(), Membership: 2}, "not for dave")
			w := n.connect(bob, dave)
			n.quiet(time.Minute)
			n.give(w, bob, bare(p))
			n.quiet(time.Minute)
			if got := bob.lines(group); len(got) != 0 {
				t.Errorf("bob shows %q", got)
			}
			bob.join(group, without)
			bob.join(group, all)
			n.quiet(time.Minute)
			w = n.connect(carol, bob)
			n.give(w, bob, p)
			n.quiet(time.Minute)
			n.expect(group, []string{"alice: not for dave"}, bob)
			// From one for whom it is too, no content means that it was deleted.
			q := forge(t, alice.id, packet.Header{Chat: group, Author: "alice", Device: alice.id.Device(), Membership: 2, Number: 2, Depth: 2}, "deleted")
			n.give(w, bob, bare(q))
			n.give(w, bob, q)
			n.quiet(time.Minute)
			n.expect(group, []string{"alice: not for dave"}, bob)
			// So it does from whoever joined later, if it was for him, too.
			shared := members(4, "alice", "bob")
			shared.History = store.HistoryAll
			for _, d := range []*node{bob, carol} {
				d.join(group, shared)
				d.join(group, members(5, "alice", "bob", "carol", "dave"))
			}
			n.give(w, bob, bare(forge(t, alice.id, packet.Header{Chat: group, Author: "alice", Device: alice.id.Device(), Membership: 4, Number: 3, Depth: 3}, "deleted")))
			n.quiet(time.Minute)
			if _, without := bob.texts(group); without != 2 {
				t.Errorf("bob has %d entries without content", without)
			}
		})
	}
}

// What somebody claims to have written as a member of a list that does not have
// him counts nowhere, nor what names a list that is the sum of others.
func TestMemberWhoIsNone(t *testing.T) {
	n, alice, bob, carol := trio(t)
	without := members(2, "alice", "bob")
	back := members(3, "alice", "bob", "carol")
	sum := members(4, "alice", "bob", "carol")
	sum.Merged = true
	for _, d := range n.nodes {
		for _, m := range []store.Membership{without, back, sum} {
			d.join(group, m)
		}
	}
	w := n.connect(alice, carol)
	n.connect(alice, bob)
	n.quiet(time.Minute)
	for number, under := range map[uint64]uint64{1: 2, 2: 4, 3: 3} {
		n.give(w, alice, forge(t, carol.id, packet.Header{
			Chat: group, Author: "carol", Device: carol.id.Device(), Number: number, Depth: number, Membership: under,
		}, fmt.Sprint("under ", under)))
	}
	alice.write(group, "go on")
	n.quiet(time.Minute)
	n.expect(group, []string{"alice: go on", "carol: under 3"}, alice, bob)
	id := alice.write(group, "again") // nor does she write under it
	must(t, alice.store.View(t.Context(), func(tx store.ReadTx) error {
		e, err := tx.EntryByID(id)
		if e.Packet.Header.Membership != 3 {
			t.Errorf("alice writes under the list %d, not 3", e.Packet.Header.Membership)
		}
		return err
	}))
}

// One who was removed goes on without end: so much is kept, by whomever it comes,
// and the others go on.
func TestEndlessLogOfOneRemoved(t *testing.T) {
	n, alice, bob, carol := trio(t)
	removal := members(2, "alice", "bob")
	removal.Cutoffs = []store.Cutoff{{User: "carol", EntryKey: packet.EntryKey{Log: packet.Log{Chat: group, Device: carol.id.Device(), Epoch: 1}, Number: 3}}, {
		User: "carol", EntryKey: packet.EntryKey{Log: packet.Log{Chat: group, Device: bob.id.Device(), Epoch: 1}, Number: 0},
	}}
	alice.join(group, removal)
	w := n.connect(alice, bob) // who has not heard of it, or helps her
	n.quiet(time.Minute)
	for number := uint64(1); number <= 2000; number++ {
		n.give(w, alice, carol.text(group, number, fmt.Sprint(number)))
	}
	alice.write(group, "go on")
	n.quiet(time.Minute)
	must(t, alice.store.View(t.Context(), func(tx store.ReadTx) error { // a removal of carol says nothing of bob
		l, err := alice.svc.list(tx, group, 2)
		if l.limit(packet.Log{Chat: group, Device: bob.id.Device(), Epoch: 1}, "bob") != noLimit {
			t.Error("bob's log ends with carol's removal")
		}
		return err
	}))
	if e := alice.entries(group); len(e) != 3+maxPast {
		t.Errorf("alice keeps %d entries of carol's", len(e))
	}
	bob.join(group, removal)
	n.quiet(time.Minute)
	n.expect(group, []string{"carol: 1", "alice: go on", "carol: 2", "carol: 3"}, alice, bob)
}

// A member writes under lists that are not there, without end: so much is kept
// until they are, the member is named, and the others go on.
func TestEndlessWaiting(t *testing.T) {
	n, alice, bob, carol := trio(t)
	w := n.connect(alice, bob) // who passes it on; what carol's own core makes of it is no matter
	n.quiet(time.Minute)
	for number := uint64(1); number <= maxWaiting+500; number++ {
		n.give(w, alice, forge(t, carol.id, packet.Header{
			Chat: group, Author: "carol", Device: carol.id.Device(), Number: number, Depth: number, Membership: 1 << 50,
		}, "under no list"))
		if number%500 == 0 {
			n.quiet(time.Second)
		}
	}
	n.quiet(time.Minute)
	if e := alice.entries(group); len(e) != maxWaiting {
		t.Errorf("alice keeps %d entries", len(e))
	}
	if !alice.noticed("contact:carol") {
		t.Error("nobody is named")
	}
	alice.write(group, "hello")
	bob.write(group, "hello")
	n.quiet(time.Minute)
	if lines := n.same(group, alice, bob); len(lines) != 2 {
		t.Errorf("they show %q", lines)
	}
	if e := bob.entries(group); len(e) != 1 {
		t.Errorf("bob has %d entries: what waits is passed on", len(e))
	}
}

// Who is invited may have to wait for the key of one whose changes came before:
// until then the one who invited is asked for nothing else, and then for them.
func TestGuest(t *testing.T) {
	n := newNetwork(t, 1, "alice", "bob", "dave")
	alice, bob, dave := n.nodes[0], n.nodes[1], n.nodes[2]
	for _, d := range n.nodes {
		d.acquainted()
	}
	n.found(false, bob)
	w := n.connect(alice, bob)
	alice.change(change{Op: "promote", User: "bob"})
	n.quiet(time.Minute)
	n.cut(w)
	dave.book.Remove("alice")
	bob.change(change{Op: "invite", User: "dave"})
	bob.write(group, "secret, as long as dave is no member")
	n.quiet(time.Minute)
	bob.write(group, "hello dave")
	n.connect(bob, dave)
	n.quiet(time.Minute)
	if c, ok := dave.chat(group); !ok || len(c.Members) > 0 {
		t.Errorf("dave has the members %v before he knows who made the group", c.Members)
	}
	dave.book.Set("alice", identity.Person{Keys: []ed25519.PublicKey{alice.id.Key()}})
	bus.Publish(dave.bus, bus.ContactChanged, bus.ContactChange{})
	n.quiet(time.Hour)
	if c, _ := dave.chat(group); len(c.Members) != 3 {
		t.Errorf("dave has the members %v", c.Members)
	}
	n.expect(group, []string{"bob: hello dave"}, dave)
}

// Who removes what was said in a group that he left is no worse a member when he is
// invited again: nobody takes for deleted what he has no more, and all get what he says.
func TestClear(t *testing.T) {
	n := graph(t, false, "alice", "bob", "dave")
	alice, bob, dave := n.nodes[0], n.nodes[1], n.nodes[2]
	clear := func() (err error) {
		must(t, bob.store.Update(t.Context(), store.Synced, func(tx store.Tx) error {
			err = bob.svc.Clear(tx, group)
			return nil
		}))
		return err
	}
	alice.write(group, "one")
	n.quiet(time.Minute)
	n.cut(n.wire(alice, dave))
	alice.write(group, "two")
	bob.write(group, "three")
	n.quiet(time.Minute)
	if err := clear(); !errors.Is(err, ErrMember) {
		t.Errorf("a member clears a chat: %v", err)
	}
	n.cut(n.wire(alice, bob))
	old := bobLog(t, bob)
	alice.change(change{Op: "remove", User: "bob", Cutoffs: alice.ends("bob", 0)})
	n.connect(alice, bob)
	n.quiet(time.Minute)
	must(t, clear())
	if entries := bob.entries(group); slices.ContainsFunc(entries, func(e store.Entry) bool { return e.Packet.Header.Type != typeMembers }) {
		t.Errorf("bob has %d entries", len(entries))
	}
	alice.change(change{Op: "invite", User: "bob"})
	n.quiet(time.Minute)
	n.cut(n.wire(alice, bob))
	n.connect(bob, dave)
	n.quiet(time.Hour)
	bob.write(group, "here again")
	n.quiet(time.Minute)
	n.expect(group, []string{"alice: one", "bob: here again"}, dave)
	n.connect(alice, dave)
	n.quiet(time.Hour)
	n.expect(group, []string{"alice: one", "alice: two", "bob: three", "bob: here again"}, alice, dave)
	n.expect(group, []string{"bob: here again"}, bob)
	if bobLog(t, bob) == old {
		t.Error("bob goes on in a log of which he has nothing more")
	}
}

// What a member deleted for himself others get from somebody else, and its author
// hears nothing of it.
func TestDeletedForOneself(t *testing.T) {
	n := graph(t, false, "alice", "bob", "dave")
	alice, bob, dave := n.nodes[0], n.nodes[1], n.nodes[2]
	n.cut(n.wire(alice, dave))
	id := alice.write(group, "one")
	alice.write(group, "two")
	n.quiet(time.Minute)
	bob.update(func(tx store.Tx) error {
		e, err := tx.EntryByID(id)
		return errors.Join(err, tx.DeleteMessage(id), tx.SetEntryState(e.Packet.Header.Key(), store.EntryStub, 0, ""))
	})
	n.connect(bob, dave)
	n.cut(n.wire(alice, bob))
	n.quiet(time.Hour)
	n.expect(group, nil, dave)
	n.connect(alice, bob) // whom it is not told as a refusal
	n.quiet(time.Hour)
	if got := alice.states(id); got != "bob delivered, dave queued" {
		t.Errorf("alice hears: %s", got)
	}
	n.connect(alice, dave)
	n.quiet(time.Hour)
	n.expect(group, []string{"alice: one", "alice: two"}, alice, dave)
}
