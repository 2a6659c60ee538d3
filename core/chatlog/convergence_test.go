package chatlog

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

var (
	firstSeed = flag.Uint64("first", 0, "the first random network that is tried")
	seeds     = flag.Uint64("seeds", 30, "how many random networks are tried")
)

// keptSeeds once failed, and keptLies with a liar.
var (
	keptSeeds = []uint64{30, 36, 48, 54, 141, 174, 204, 549, 678, 771, 909, 1377, 1507, 2103, 2313, 4306, 526, 538, 1414, 1798, 2050, 2338, 2710, 2734, 203904, 214939, 214942, 215362, 216922, 402670, 407745}
	keptLies  = []uint64{1041, 1740, 2070, 2790, 6993, 200049, 215157}
)

// TestConvergence lets random networks do their worst: links come and go, frames
// are lost with them, come twice or out of order, networks fall apart, processes
// crash and machines lose power, clocks are wrong, stores are put back from
// backups, members are removed and taken in again. Then all are linked, and must
// show the same in the same order. `make test` asks for 1,000 seeds without the
// race detector: the network is one goroutine.
func TestConvergence(t *testing.T) {
	t.Parallel()
	try := func(seed uint64, lies bool) {
		name := fmt.Sprint(seed)
		if lies {
			name += " with a liar"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			converge(t, seed, lies)
		})
	}
	for _, seed := range keptSeeds {
		try(seed, false)
	}
	for _, seed := range keptLies {
		try(seed, true)
	}
	for i := range *seeds {
		seed := *firstSeed + i
		try(seed, false)
		if seed%3 == 0 {
			try(seed, true)
		}
	}
}

// TestSoakConvergence tries new seeds for as long as PARLEY_SOAK says.
func TestSoakConvergence(t *testing.T) {
	span, err := time.ParseDuration(os.Getenv("PARLEY_SOAK"))
	if err != nil {
		t.Skip("PARLEY_SOAK says for how long; see make soak")
	}
	first := uint64(time.Now().UnixNano())
	seed := first
	for end := time.Now().Add(span); time.Now().Before(end) && !t.Failed(); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { converge(t, seed, seed%3 == 0) })
	}
	t.Logf("%d seeds from %d on", seed-first, first)
}

func converge(t *testing.T, seed uint64, lies bool) {
	users := []packet.UserID{"alice", "bob", "carol", "dave", "erin"}[:2+seed%4]
	if lies {
		users = append(users[:max(3, len(users)-1):5], "mallory")
	}
	sc := newScene(newNetwork(t, seed, users...), seed, lies)
	for range 300 {
		sc.step()
		if lies && sc.rng.IntN(12) == 0 {
			sc.lie()
		}
	}
	sc.end()
}

// end lets the network heal, and checks what is to be true then: at first with so
// few links that some hear from others only through third people, then with all.
func (sc *scene) end() {
	for _, w := range slices.Clone(sc.wires) {
		sc.cut(w)
	}
	for len(sc.unknown) > 0 {
		sc.meet()
	}
	for _, d := range sc.nodes {
		for d.work() { // what came and waits is his too
			continue
		}
	}
	sc.honest()
	sc.last = sc.truth(sc.nodes)
	// What only somebody has who is none of them cannot be known to them.
	known := sc.truth(sc.present(group)).Version == sc.last.Version
	held := map[packet.ChatID]map[packet.PacketID]bool{}
	for _, chat := range sc.chats {
		held[chat] = sc.held(chat)
	}
	sc.sparse()
	sc.quiet(time.Hour)
	for _, chat := range sc.chats {
		// A fork shows when its author meets who has the other branch; and whom a lie made
		// a member may just know people who have not heard of it.
		if !sc.restores && sc.liar == nil && known {
			sc.check(chat, held[chat], true)
		}
	}
	for i, a := range sc.nodes {
		for _, b := range sc.nodes[i+1:] {
			if sc.wire(a, b) == nil {
				sc.connect(a, b)
			}
		}
	}
	sc.quiet(time.Hour)
	for _, chat := range sc.chats {
		sc.check(chat, held[chat], false)
		sc.receipts(chat, held[chat])
	}
	if !sc.restores && sc.liar == nil || len(sc.nodes) == 2 {
		sc.noNotices() // in a group a fork can be met before it is found
	}
	for _, d := range sc.nodes {
		sc.leftovers(d)
	}
	if sc.members {
		sc.agree()
		sc.private()
	}
	if sc.liar != nil {
		sc.alike()
	}
}

// honest checks, in the middle of it all, that nobody hears of a line as delivered
// that its recipient does not have.
func (sc *scene) honest() {
	sc.t.Helper()
	for _, l := range sc.written {
		if sc.restores {
			return // a store that was put back no longer has what it acknowledged
		}
		for _, r := range l.by.recipients(l.ID) {
			if r.State != Delivered || r.User == sc.lying() {
				continue
			}
			must(sc.t, sc.node(r.User).store.View(sc.t.Context(), func(tx store.ReadTx) error {
				_, err := tx.Entry(l.Key())
				if isNotFound(err) {
					sc.t.Errorf("%s hears that %s has line %s, which is not so", l.by.user, r.User, l.Key())
					return nil
				}
				return err
			}))
		}
	}
}

// sparse links everybody who is still in the group with just one who is.
func (sc *scene) sparse() {
	sc.connect(sc.nodes[0], sc.nodes[1]) // they have a chat of their own
	linked := slices.Clone(sc.nodes[:2])
	if len(sc.nodes) == 2 {
		return
	}
	present := sc.present(group)
	linked = slices.DeleteFunc(linked, func(d *node) bool { return !slices.Contains(present, d) })
	for _, d := range present {
		if !slices.Contains(linked, d) {
			sc.connect(d, linked[sc.rng.IntN(len(linked))])
			linked = append(linked, d)
		}
	}
}

// present gives the people of a chat.
func (sc *scene) present(chat packet.ChatID) []*node {
	if chat == direct {
		return sc.nodes[:2]
	}
	return slices.DeleteFunc(slices.Clone(sc.nodes), func(d *node) bool { return !slices.Contains(sc.last.Members, d.user) })
}

// held gives what must not be lost: the lines that count and that somebody of
// the chat has. Of a store that was thrown away nothing is left.
func (sc *scene) held(chat packet.ChatID) map[packet.PacketID]bool {
	held := map[packet.PacketID]bool{}
	for _, d := range sc.present(chat) {
		must(sc.t, d.store.View(sc.t.Context(), func(tx store.ReadTx) error {
			for _, l := range sc.written {
				e, err := tx.EntryByID(l.ID)
				if isNotFound(err) {
					continue
				}
				if err != nil {
					return err
				}
				if l.Chat == chat && sc.counts(l) && e.State != store.EntryStub && !e.Dropped {
					held[l.ID] = true
				}
			}
			return nil
		}))
	}
	return held
}

// counts says whether a line counts in the end: its author was in the list it was
// written under, and it is not beyond what the last list lets count; or that is so of
// a copy of it in another log of its author's.
func (sc *scene) counts(l *line) (counts bool) {
	if l.Chat == direct || l.by == nil {
		return l.Chat == direct || sc.countsAt(&l.Header)
	}
	must(sc.t, l.by.store.View(sc.t.Context(), func(tx store.ReadTx) error {
		copies, err := tx.EntriesByID(l.ID, 100)
		for i := range copies {
			counts = counts || sc.countsAt(&copies[i].Packet.Header)
		}
		return err
	}))
	return counts || sc.countsAt(&l.Header)
}

func (sc *scene) countsAt(l *packet.Header) bool {
	limit := uint64(0)
	if slices.Contains(sc.last.Members, l.Author) {
		limit = noLimit
	}
	for _, c := range sc.last.Cutoffs {
		if c.Log == l.Key().Log {
			limit = c.Number
		}
	}
	return l.Number <= limit && slices.Contains(sc.allLists[l.Membership].Members, l.Author)
}

// check says what all people of a chat must agree on in the end. Without those who
// left, what is missing of them may be missing for all.
func (sc *scene) check(chat packet.ChatID, held map[packet.PacketID]bool, without bool) {
	sc.t.Helper()
	written := map[packet.PacketID]*line{}
	for _, l := range sc.written {
		if l.Chat == chat {
			written[l.ID] = l
			if !sc.restores && sc.counts(l) && slices.Contains(sc.present(chat), l.by) && !held[l.ID] {
				sc.t.Errorf("%s lost its own line %s", l.by.user, l.Key())
			}
		}
	}
	must := maps.Clone(held)
	shown := map[*node]map[packet.PacketID]int{}
	for _, d := range sc.present(chat) {
		place := map[packet.PacketID]int{}
		for i, m := range d.messages(chat) {
			l := written[m.ID]
			if l == nil && m.Author != sc.lying() {
				sc.t.Errorf("%s shows %q, which nobody wrote", d.user, m.Body)
				continue
			}
			if l == nil {
				continue // see alike
			}
			if !sc.counts(l) {
				if !m.Own && !m.Deleted { // it stays with its author, and says that it failed
					sc.t.Errorf("%s shows %q of %s, which does not count", d.user, m.Body, m.Author)
				}
				continue
			}
			if !sc.mayHave(d, l) {
				sc.t.Errorf("%s shows %q of %s, which was not written to it", d.user, m.Body, m.Author)
			}
			place[m.ID] = i
			if order := l.Order(); !bytes.Equal(m.Order[:36], order[:36]) {
				sc.t.Errorf("%s has %q at another place than its author gave it", d.user, m.Body)
			}
			if before, ok := place[l.after]; held[l.after] && sc.mayHave(d, written[l.after]) && (!ok && !without || before > i) {
				sc.t.Errorf("%s shows %q before what its author had seen", d.user, m.Body)
			}
		}
		shown[d] = place
		for id := range place {
			must[id] = true // who left may have given what only he had
		}
	}
	for id := range must {
		// Nor can somebody get what is for him from one for whom it is not.
		if without && (!slices.Contains(sc.present(chat), written[id].by) || sc.members && sc.narrow(written[id])) {
			delete(must, id)
		}
	}
	for _, d := range sc.present(chat) {
		sc.complete(d, shown[d], must, written)
	}
}

// narrow says whether a line, or one before it in its log, behind which it waits, was
// written for the members of its time alone.
func (sc *scene) narrow(l *line) bool {
	return slices.ContainsFunc(sc.written, func(o *line) bool {
		return o.Key().Log == l.Key().Log && o.Number <= l.Number && o.Chat == group && sc.allLists[o.Membership].History != store.HistoryAll
	})
}

// repeated says whether an author heard nothing of a log of his for minutes, and repeated
// it in a new one.
func (sc *scene) repeated(log packet.Log, author packet.UserID) (is bool) {
	must(sc.t, sc.node(author).store.View(sc.t.Context(), func(tx store.ReadTx) error {
		limit, err := forkLimit(tx, log)
		is = limit < noLimit
		return err
	}))
	return is
}

// complete says whether d shows all that must be there.
func (sc *scene) complete(d *node, shown map[packet.PacketID]int, held map[packet.PacketID]bool, written map[packet.PacketID]*line) {
	sc.t.Helper()
	for id := range held {
		l := written[id]
		if _, ok := shown[id]; !ok && sc.mayHave(d, l) {
			sc.t.Errorf("%s does not show line %s of %s", d.user, l.Key(), l.Author)
		}
	}
}

// receipts checks that authors know what became of their lines.
func (sc *scene) receipts(chat packet.ChatID, held map[packet.PacketID]bool) {
	sc.t.Helper()
	for _, l := range sc.written {
		want := Delivered
		switch {
		case l.Chat != chat || !slices.Contains(sc.present(chat), l.by):
			continue
		case !sc.counts(l):
			want = Failed
		case !held[l.ID]:
			continue // lost with a store
		}
		for _, r := range l.by.recipients(l.ID) {
			if chat == group && !slices.Contains(sc.allLists[l.Membership].Members, r.User) {
				sc.t.Errorf("%s is a recipient of line %s, which was not written to it", r.User, l.Key())
			}
			if r.State != want && r.User != sc.lying() {
				sc.t.Errorf("%s hears of line %s that it is %d with %s, not %d", l.by.user, l.Key(), r.State, r.User, want)
			}
		}
	}
}

// messages gives what a node shows of a chat, first to last.
func (d *node) messages(chat packet.ChatID) (all []store.Message) {
	d.n.t.Helper()
	must(d.n.t, d.store.View(d.n.t.Context(), func(tx store.ReadTx) error {
		page := store.Page{Limit: store.MaxPage}
		for {
			messages, more, err := tx.Messages(chat, page)
			if err != nil || len(messages) == 0 {
				return err
			}
			if all = append(messages, all...); !more {
				return nil
			}
			page.Before = &messages[0].Order
		}
	}))
	return all
}

func (d *node) recipients(id packet.PacketID) (states []Recipient) {
	d.n.t.Helper()
	must(d.n.t, d.store.View(d.n.t.Context(), func(tx store.ReadTx) error {
		m, err := tx.Message(id)
		if err != nil {
			return err
		}
		receipts, err := d.svc.Receipts(tx, m.Chat)
		if err != nil {
			return err
		}
		states, err = receipts.Of(&m)
		return err
	}))
	return states
}

// leftovers checks that nothing is wanted, claimed or kept back at the end.
func (sc *scene) leftovers(d *node) {
	sc.t.Helper()
	for _, l := range d.svc.links {
		if len(l.audits)+len(l.wants)+len(l.serve) > 0 {
			sc.t.Errorf("%s still has %d audits, %d wants, %d to serve", d.user, len(l.audits), len(l.wants), len(l.serve))
		}
	}
	if sc.restores {
		return // what only a store knew that is gone leaves gaps
	}
	must(sc.t, d.store.View(sc.t.Context(), func(tx store.ReadTx) error {
		for _, chat := range sc.chats {
			if !slices.Contains(sc.present(chat), d) {
				continue
			}
			heads, err := tx.Heads(chat)
			if err != nil {
				return err
			}
			for _, h := range heads {
				member := slices.ContainsFunc(sc.present(chat), func(d *node) bool { return d.user == h.Author })
				if len(h.Beyond) > 0 && member && !sc.repeated(packet.Log{Chat: chat, Device: h.Device, Epoch: h.Epoch}, h.Author) {
					sc.t.Errorf("%s has a gap in %s's log: %+v", d.user, h.Author, h.LogVector)
				}
			}
		}
		return nil
	}))
}
