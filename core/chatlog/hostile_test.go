package chatlog

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// forge makes a packet that key signs, whatever it says.
func forge(t testing.TB, key *identity.Identity, h packet.Header, content string) *packet.Packet {
	t.Helper()
	if h.ID.IsZero() {
		h.ID = packet.NewPacketID()
	}
	if h.Delivery == 0 {
		h.Delivery = packet.Reliable
	}
	if h.Delivery == packet.Reliable {
		h.Epoch, h.Depth, h.Number = max(h.Epoch, 1), max(h.Depth, 1), max(h.Number, 1)
	}
	h.Type = cmp.Or(h.Type, typeText)
	if h.Membership == 0 {
		h.Membership = 1
	}
	p, err := packet.Seal(h, []byte(content), key.Sign)
	must(t, err)
	return &p
}

// text is a forged text of one's own.
func (d *node) text(chat packet.ChatID, number uint64, content string) *packet.Packet {
	return forge(d.n.t, d.id, packet.Header{Chat: chat, Author: d.user, Device: d.id.Device(), Number: number, Depth: number}, content)
}

// give hands a frame to one end of a wire as if the other had sent it.
func (n *network) give(w *wire, to *node, f packet.Frame) {
	for i, d := range w.ends {
		if d == to {
			n.hand(w, i, f)
		}
	}
}

func (d *node) noticed(words string) bool {
	for {
		notice, ok := d.notices.TryNext()
		if !ok {
			return false
		}
		if strings.Contains(notice.Subject+" "+notice.Text, words) {
			return true
		}
	}
}

func TestForgedPackets(t *testing.T) {
	n, alice, bob, carol := trio(t)
	w := n.connect(bob, carol)
	n.quiet(time.Minute)
	stranger, err := identity.Generate("alice")
	must(t, err)
	for name, p := range map[string]*packet.Packet{
		"carol signs as alice's device": forge(t, carol.id, packet.Header{Chat: group, Author: "alice", Device: alice.id.Device()}, "x"),
		"carol's device says alice":     forge(t, carol.id, packet.Header{Chat: group, Author: "alice", Device: carol.id.Device()}, "x"),
		"a device nobody knows":         forge(t, stranger, packet.Header{Chat: group, Author: "alice", Device: stranger.Device()}, "x"),
		"bob's own":                     forge(t, carol.id, packet.Header{Chat: group, Author: "bob", Device: bob.id.Device()}, "x"),
		"bob's device, carol's name":    forge(t, bob.id, packet.Header{Chat: group, Author: "carol", Device: bob.id.Device()}, "x"),
		"a chat that is not there":      forge(t, carol.id, packet.Header{Chat: "zzzzzzzzzzzzzzzzzzzzzzzzzz", Author: "carol", Device: carol.id.Device()}, "x"),
		"under no member list":          {Header: packet.Header{}},
	} {
		if p.Raw == nil {
			h := packet.Header{ID: packet.NewPacketID(), Chat: group, Type: typeText, Author: "dave", Device: carol.id.Device(), Epoch: 1, Number: 1, Depth: 1, Delivery: packet.Reliable}
			q, err := packet.Seal(h, nil, carol.id.Sign)
			must(t, err)
			p = &q
		}
		t.Run(name, func(t *testing.T) {
			n.give(w, bob, p)
			n.quiet(time.Minute)
			if got := bob.lines(group); len(got) != 0 {
				t.Errorf("bob shows %q", got)
			}
			must(t, bob.store.View(t.Context(), func(tx store.ReadTx) error {
				if _, err := tx.EntryByID(p.Header.ID); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("it was stored: %v", err)
				}
				return nil
			}))
		})
	}
	// Whose key it is that the signature is not by is known: who gave it is named.
	if !bob.noticed("contact:carol carol passed on a message as if") {
		t.Error("carol is not named")
	}
	n.noNotices()
}

// A member who passes an entry on with another content cannot make others refuse
// it; the true one is asked for elsewhere.
func TestSpoiltOnTheWay(t *testing.T) {
	n, alice, bob, carol := trio(t)
	w := n.connect(alice, bob)
	alice.write(group, "true")
	n.quiet(time.Minute)
	n.cut(w)
	n.connect(bob, carol)
	n.quiet(0)
	var p packet.Packet
	must(t, alice.store.View(t.Context(), func(tx store.ReadTx) error {
		heads, err := tx.Heads(group)
		must(t, err)
		entries, err := tx.Entries(packet.Log{Chat: group, Device: alice.id.Device(), Epoch: heads[0].Epoch}, 1, 1, 1, 100, false)
		p = entries[0].Packet
		return err
	}))
	d := newNetwork(t, 1, "alice", "bob", "carol", "dave") // a fresh carol, with the same keys
	d.chat(group, d.nodes[:3]...)
	carol, bob = d.nodes[2], d.nodes[1]
	wc := d.connect(bob, carol)
	d.quiet(time.Minute)
	spoilt := p
	spoilt.Content = []byte("false")
	d.give(wc, carol, &spoilt)
	d.quiet(time.Minute)
	if got := carol.lines(group); len(got) != 0 {
		t.Errorf("carol shows %q", got)
	}
	d.give(wc, carol, &p)
	d.quiet(time.Minute)
	if got := carol.lines(group); len(got) != 1 || got[0] != "alice: true" {
		t.Errorf("carol shows %q", got)
	}
}

func TestEquivocation(t *testing.T) {
	n, alice, bob := pair(t)
	w := n.connect(alice, bob)
	n.quiet(time.Minute)
	n.give(w, bob, alice.text(direct, 1, "one thing"))
	n.give(w, bob, alice.text(direct, 1, "another"))
	n.quiet(time.Minute)
	if got := bob.lines(direct); !slices.Equal(slices.Sorted(slices.Values(got)), []string{"alice: another", "alice: one thing"}) {
		t.Errorf("bob shows %q", got)
	}
	if !bob.noticed("contact:alice alice sent two different") {
		t.Error("alice was not named")
	}
}

// One says different things under one number to two people, amid a thousand
// other messages and with other numbers as well. Their vectors are the same; both end
// up with all of it, and know who it was.
func TestEquivocationToTwo(t *testing.T) {
	n, alice, bob, carol := trio(t)
	const last = 1000
	lies := []uint64{1, 63, 64, 65, 300, last}
	for number := range uint64(last + 1) {
		switch {
		case number == 0:
		case slices.Contains(lies, number):
			n.whisper(carol, alice, carol.text(group, number, fmt.Sprint("heads ", number)))
			n.whisper(carol, bob, carol.text(group, number, fmt.Sprint("tails ", number)))
		default:
			p := carol.text(group, number, fmt.Sprint(number))
			n.whisper(carol, alice, p)
			n.whisper(carol, bob, p)
		}
	}
	n.quiet(0)
	n.connect(alice, bob)
	frames := 0
	n.saw = func(f packet.Frame) {
		if p, ok := f.(*packet.Packet); ok || f != nil {
			frames++
			if ok && !slices.Contains(lies, p.Header.Number) {
				t.Errorf("entry %s was passed on, which is the same for both", p.Header.Key())
			}
		}
	}
	n.quiet(time.Minute)
	n.saw = nil
	if got := n.same(group, alice, bob); len(got) != last+len(lies) {
		t.Errorf("they show %d lines", len(got))
	}
	if t.Logf("%d frames", frames); frames > 60 {
		t.Errorf("%d frames were needed", frames)
	}
	for _, d := range []*node{alice, bob} {
		if !d.noticed("contact:carol carol sent two different") {
			t.Errorf("%s is not told", d.user)
		}
	}
	for _, l := range alice.svc.links {
		if len(l.doubts) > 0 || len(alice.svc.comparing.grown) > 0 {
			t.Errorf("it goes on: %d doubts, %d logs to compare", len(l.doubts), len(alice.svc.comparing.grown))
		}
	}
	// What comes later at an old place is found, though digests were kept.
	n.whisper(carol, bob, carol.text(group, 100, "a third thing"))
	n.quiet(time.Minute)
	if got := n.same(group, alice, bob); len(got) != last+len(lies)+1 {
		t.Errorf("they show %d lines in the end", len(got))
	}
}

// What waits for ever, because nobody knows its list, hides nothing else of its number,
// nor holds up what follows, whichever comes first.
func TestWaitingTwinHidesNothing(t *testing.T) {
	for _, name := range []string{"it comes last", "it comes first"} {
		t.Run(name, func(t *testing.T) {
			n, alice, bob, carol := trio(t)
			said := []*packet.Packet{
				carol.text(group, 1, "one"), carol.text(group, 2, "two"),
				forge(t, carol.id, packet.Header{Chat: group, Author: "carol", Device: carol.id.Device(), Number: 1, Membership: 999}, "under no list"),
			}
			if name == "it comes first" {
				slices.Reverse(said)
			}
			n.connect(alice, bob)
			for _, p := range said {
				n.whisper(carol, alice, p)
				n.quiet(time.Minute)
			}
			if got := n.same(group, alice, bob); !slices.Equal(slices.Sorted(slices.Values(got)), []string{"carol: one", "carol: two"}) {
				t.Errorf("they show %q", got)
			}
		})
	}
}

// A liar hides nothing of a log behind what waits for ever with some, so that others
// have less of it.
func TestTwinBeforeWhatWaits(t *testing.T) {
	n, alice, bob, carol := trio(t)
	n.connect(alice, bob)
	n.whisper(carol, alice, carol.text(group, 1, "one thing"))
	for number := uint64(2); number < 5; number++ {
		n.whisper(carol, alice, forge(t, carol.id, packet.Header{
			Chat: group, Author: "carol", Device: carol.id.Device(), Number: number, Depth: number, Membership: 999,
		}, "under no list"))
	}
	n.quiet(time.Minute)
	n.whisper(carol, alice, carol.text(group, 1, "another"))
	n.quiet(time.Minute)
	if got := n.same(group, alice, bob); len(got) != 2 {
		t.Errorf("they show %q", got)
	}
}

// Who compares without end, or what is not there, gets nothing that costs.
func TestHostileCompare(t *testing.T) {
	n, alice, bob, carol := trio(t)
	n.connect(alice, bob)
	w := n.connect(bob, carol)
	for i := range 200 {
		alice.write(group, fmt.Sprint(i))
	}
	n.quiet(time.Minute)
	var heads []store.Head
	must(t, bob.store.View(t.Context(), func(tx store.ReadTx) (err error) {
		heads, err = tx.Heads(group)
		return err
	}))
	alices := packet.LogDigest{Device: alice.id.Device(), Epoch: heads[0].Epoch, Digests: make([]packet.Digest, 1)}
	at := func(first, last uint64, digests int) packet.LogDigest {
		d := alices
		d.Places, d.Digests = packet.Range{First: first, Last: last}, make([]packet.Digest, digests)
		return d
	}
	answers := 0
	n.saw = func(f packet.Frame) {
		if c, ok := f.(*packet.Compare); ok {
			answers += len(c.Logs)
		}
	}
	strange := at(1, 1, 1)
	strange.Device = packet.DeviceIDOf([]byte("nobody's"))
	for _, d := range []packet.LogDigest{at(2, 66, 1), at(1, 201, 1), at(1, 1<<40, 1), strange} {
		n.give(w, bob, &packet.Compare{Chat: group, Logs: []packet.LogDigest{d}})
		n.give(w, bob, &packet.Compare{Chat: direct, Logs: []packet.LogDigest{d}})
	}
	n.quiet(0)
	if answers > 0 {
		t.Errorf("%d answers to what cannot be compared", answers)
	}
	for range 1000 {
		n.give(w, bob, &packet.Compare{Chat: group, Logs: []packet.LogDigest{at(1, 200, 1), at(1, 200, 4), at(7, 7, 1)}})
	}
	for bob.work() {
	}
	for _, l := range bob.svc.links {
		if len(l.comparing) > maxComparing || len(l.doubts) > maxDoubts {
			t.Errorf("kept: %d frames, %d doubts", len(l.comparing), len(l.doubts))
		}
	}
	n.quiet(time.Minute)
	if answers == 0 {
		t.Error("no answers to what can be")
	}
	carol.write(group, "still talking")
	n.quiet(time.Minute)
	if got := bob.lines(group); len(got) != 201 {
		t.Errorf("bob shows %d lines", len(got))
	}
}

// Whatever is wrong with a change, those to whom its author does not give it get it
// from others: what he does afterwards is not behind a gap for them alone.
func TestBadChangesReachAll(t *testing.T) {
	n, alice, bob, carol := trio(t)
	taken := alice.write(group, "mine")
	n.connect(alice, bob)
	w := n.connect(bob, carol)
	n.quiet(time.Minute)
	change := func(number uint64, id packet.PacketID, content string) *packet.Packet {
		return forge(t, carol.id, packet.Header{
			ID: id, Chat: group, Type: typeInvite, Author: "carol", Device: carol.id.Device(), Epoch: 7, Number: number,
		}, content)
	}
	damaged, bare := change(3, packet.PacketID{}, "three"), change(4, packet.PacketID{}, "four")
	whole := []packet.Packet{*damaged, *bare}
	damaged.Content, bare.Content = []byte("other"), nil
	for _, p := range []*packet.Packet{
		change(1, packet.PacketID{}, strings.Repeat("x", 5<<10)), change(2, taken, "two"), damaged, bare, change(5, packet.PacketID{}, "five"),
	} {
		n.give(w, bob, p)
	}
	n.quiet(time.Minute)
	numbers := func(d *node) (have []uint64) {
		for _, e := range d.entries(group) {
			if e.Packet.Header.Epoch == 7 && e.State != store.EntryStub && e.Packet.CheckContent() == nil {
				have = append(have, e.Packet.Header.Number)
			}
		}
		return have
	}
	for _, d := range []*node{bob, alice} {
		if got := fmt.Sprint(numbers(d)); got != "[1 2 5]" {
			t.Errorf("%s has %s", d.user, got)
		}
	}
	n.give(w, bob, &whole[0])
	n.give(w, bob, &whole[1])
	n.quiet(time.Hour)
	for _, d := range []*node{bob, alice} {
		if got := fmt.Sprint(numbers(d)); got != "[1 2 3 4 5]" {
			t.Errorf("in the end %s has %s", d.user, got)
		}
	}
}

// Who takes the id of a message that others have not got yet, or says two things under
// one id, keeps nothing from them: all is shown, each under its own author, and not in secret.
func TestCopiedID(t *testing.T) {
	n, alice, bob, carol := trio(t)
	id := alice.write(group, "true")
	say := func(number uint64, content string) *packet.Packet {
		return forge(t, carol.id, packet.Header{ID: id, Chat: group, Author: "carol", Device: carol.id.Device(), Number: number, Depth: 5 + number}, content)
	}
	n.whisper(carol, bob, say(1, "copied"))
	n.whisper(carol, bob, say(2, "and again"))
	n.quiet(time.Minute)
	n.connect(alice, bob)
	n.quiet(time.Minute)
	if got := n.same(group, alice, bob); !slices.Equal(got, []string{"alice: true", "carol: copied", "carol: and again"}) {
		t.Errorf("they show %q", got)
	}
	if !bob.noticed("A message of alice has the same id as one of carol") || !alice.noticed("A message of carol has the same id as one of alice") {
		t.Error("they are not told")
	}
	ids := map[string]map[packet.UserID]packet.PacketID{}
	for _, d := range []*node{alice, bob} {
		for _, m := range d.messages(group) {
			if ids[m.Body] == nil {
				ids[m.Body] = map[packet.UserID]packet.PacketID{}
			}
			ids[m.Body][d.user] = m.ID
			must(t, d.store.View(t.Context(), func(tx store.ReadTx) error {
				of, err := store.MessageOf(tx, m.Author, id)
				if of.Author != m.Author {
					t.Errorf("%s finds the message of %s for %s", d.user, of.Author, m.Author)
				}
				return err
			}))
		}
	}
	if again := ids["and again"]; again["alice"] != again["bob"] || ids["true"]["alice"] != id || ids["copied"]["bob"] != id {
		t.Errorf("they have the ids %v", ids)
	}
}

func TestNumbersFarAhead(t *testing.T) {
	n, alice, bob := pair(t)
	w := n.connect(alice, bob)
	n.quiet(time.Minute)
	n.give(w, bob, alice.text(direct, 5_000_000, "far"))
	for i := range uint64(100) {
		n.give(w, bob, alice.text(direct, 2*i+2, "gap"))
	}
	n.quiet(time.Minute)
	must(t, bob.store.View(t.Context(), func(tx store.ReadTx) error {
		heads, err := tx.Heads(direct)
		if len(heads) == 0 || heads[0].Epoch != 1 || len(heads[0].Beyond) != packet.MaxRanges || highest(heads[0].LogVector) > 1000 {
			t.Errorf("bob has %+v", heads)
		}
		return err
	}))
	for i := range uint64(100) {
		n.give(w, bob, alice.text(direct, 2*i+1, "fill"))
	}
	n.quiet(time.Minute)
	if got := bob.lines(direct); len(got) < 128 {
		t.Errorf("bob shows %d lines", len(got))
	}
}

// A peer that claims thousands of chats and logs costs nothing that lasts.
func TestHostileVectors(t *testing.T) {
	n, _, bob, carol := trio(t)
	w := n.connect(bob, carol)
	n.quiet(time.Minute)
	v := &packet.Vectors{}
	for range 2000 {
		v.Chats = append(v.Chats, packet.ChatVector{Chat: packet.NewGroupChat(), Logs: []packet.LogVector{{Device: carol.id.Device(), Epoch: 1, Upto: 9}}})
	}
	logs := packet.ChatVector{Chat: group, Membership: 1}
	for i := range uint64(5000) {
		device := packet.DeviceIDOf([]byte(fmt.Sprint(i)))
		logs.Logs = append(logs.Logs,
			packet.LogVector{Device: carol.id.Device(), Epoch: 1 + i, Upto: 9},
			packet.LogVector{Device: bob.id.Device(), Epoch: 1 + i, Upto: 1 << 40},
			packet.LogVector{Device: device, Epoch: 1, Upto: 9})
	}
	v.Chats = append(v.Chats, logs)
	n.give(w, bob, v)
	n.give(w, bob, v)
	for range 3000 {
		n.give(w, bob, &packet.Want{Log: packet.Log{Chat: group, Device: packet.DeviceIDOf([]byte(fmt.Sprint(n.rng.Uint64()))), Epoch: 1}, Ranges: []packet.Range{{First: 1, Last: 1 << 40}}})
	}
	for bob.work() {
	}
	for _, l := range bob.svc.links {
		if len(l.claims) > maxStrangeLogs+maxStrangeDevices || len(l.audits) > maxStrangeLogs || len(l.serve) > maxServing || len(l.shared) > 1 {
			t.Errorf("kept: %d claims, %d audits, %d to serve, %d chats", len(l.claims), len(l.audits), len(l.serve), len(l.shared))
		}
	}
	n.quiet(time.Hour)
	if chats := len(bob.chats()); chats != 1 {
		t.Errorf("%d chats are stored", chats)
	}
	carol.write(group, "still talking")
	n.quiet(time.Minute)
	if got := bob.lines(group); len(got) != 1 {
		t.Errorf("bob shows %q", got)
	}
	n.cut(w)
	n.quiet(time.Minute)
	if len(bob.svc.pulls) != 0 {
		t.Errorf("%d pulls are left", len(bob.svc.pulls))
	}
}

func (d *node) chats() (chats []store.Chat) {
	must(d.n.t, d.store.View(d.n.t.Context(), func(tx store.ReadTx) (err error) {
		chats, err = tx.Chats()
		return err
	}))
	return chats
}

// Wanting everything for ever does not keep new messages back.
func TestEndlessWant(t *testing.T) {
	n, alice, bob := pair(t)
	for i := range 500 {
		alice.write(direct, fmt.Sprint(i))
	}
	w := n.connect(alice, bob)
	n.quiet(time.Minute)
	_, heads := ownLogs(t, alice)
	log := packet.Log{Chat: direct, Device: alice.id.Device(), Epoch: heads[0].Epoch}
	id := alice.write(direct, "new")
	for range 5 {
		n.give(w, alice, &packet.Want{Log: log, Ranges: []packet.Range{{First: 1, Last: 1 << 40}}})
		alice.work()
		n.pump(w, 0)
	}
	for _, f := range w.ways[1] {
		if p, ok := f.(*packet.Packet); ok && p.Header.ID == id {
			return
		}
	}
	t.Errorf("the new message is not among %d frames", len(w.ways[1]))
}

// Who has claimed to have a log and gives nothing is left for another.
func TestSilentSource(t *testing.T) {
	n := newNetwork(t, 3, "alice", "bob", "carol", "dave")
	n.chat(group, n.nodes...)
	alice, bob, carol, dave := n.nodes[0], n.nodes[1], n.nodes[2], n.nodes[3]
	n.connect(alice, bob)
	alice.write(group, "hello")
	n.quiet(time.Minute)
	_ = dave
	n.cut(n.wire(alice, bob))
	var log packet.Log
	must(t, bob.store.View(t.Context(), func(tx store.ReadTx) error {
		heads, err := tx.Heads(group)
		log = packet.Log{Chat: group, Device: heads[0].Device, Epoch: heads[0].Epoch}
		return err
	}))
	w := n.connect(carol, dave) // dave says that he has it
	n.quiet(time.Second)
	n.give(w, carol, &packet.Vectors{Chats: []packet.ChatVector{{Chat: group, Membership: 1, Logs: []packet.LogVector{{Device: log.Device, Epoch: log.Epoch, Upto: 3}}}}})
	n.quiet(time.Second)
	n.connect(bob, carol)
	n.quiet(time.Minute)
	if got := carol.lines(group); len(got) != 1 {
		t.Errorf("carol shows %q", got)
	}
}

func TestRegistersOfOthers(t *testing.T) {
	n, alice, bob, carol := trio(t)
	w := n.connect(bob, carol)
	n.quiet(time.Minute)
	seal := func(key *identity.Identity, author packet.UserID, device packet.DeviceID, name packet.Type, version uint64) packet.Register {
		r, err := packet.SealRegister(packet.Register{Chat: group, Author: author, Device: device, Name: name, Value: []byte("x"), Version: version}, key.Sign)
		must(t, err)
		return r
	}
	rs := &packet.Registers{Registers: []packet.Register{
		seal(carol.id, "alice", alice.id.Device(), "forged", 1),
		seal(carol.id, "alice", carol.id.Device(), "forged", 1),
		seal(carol.id, "dave", carol.id.Device(), "forged", 1),
		seal(alice.id, "alice", alice.id.Device(), "relayed", 1),
	}}
	for i := range 200 {
		rs.Registers = append(rs.Registers, seal(carol.id, "carol", carol.id.Device(), packet.Type(fmt.Sprint("many", i)), 1))
	}
	n.give(w, bob, rs)
	n.quiet(time.Minute)
	must(t, bob.store.View(t.Context(), func(tx store.ReadTx) error {
		all, err := tx.Registers(group)
		if len(all) != 1+maxRegisterNames {
			t.Errorf("%d registers were kept", len(all))
		}
		for _, r := range all {
			if r.Name == "forged" {
				t.Errorf("a forged register of %s was kept", r.Author)
			}
		}
		return err
	}))
}

// A full disk holds what comes, with its credit, and nothing is lost.
func TestStoreFails(t *testing.T) {
	n, alice, bob := pair(t)
	w := n.connect(alice, bob)
	n.quiet(time.Minute)
	released := 0
	bob.store.Fail(errors.New("odd"))
	bus.Publish(bob.bus, bus.PacketReceived, bus.Received{Link: w.links[1], Packet: alice.text(direct, 1, "lost"), Release: func() { released++ }})
	bob.work()
	bob.store.Fail(nil)
	if released != 1 {
		t.Errorf("credit came back %d times", released)
	}
	alice.write(direct, "after")
	n.quiet(time.Minute)
	if got := bob.lines(direct); len(got) != 1 || got[0] != "alice: after" {
		t.Errorf("bob shows %q", got)
	}
}
