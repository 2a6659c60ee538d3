package chatlog

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// mesh makes a group of people who are all linked with each other but for some
// pairs.
func mesh(t testing.TB, people int, apart func(a, b int) bool) *network {
	users := make([]packet.UserID, people)
	for i := range users {
		users[i] = packet.UserID(fmt.Sprintf("member%03d", i))
	}
	n := newNetwork(t, 1, users...)
	n.chat(group, n.nodes...)
	for i, a := range n.nodes {
		for j, b := range n.nodes[:i] {
			if apart == nil || !apart(j, i) {
				n.connect(a, b)
			}
		}
	}
	n.quiet(time.Hour)
	clear(n.frames)
	return n
}

const (
	packets = "*packet.Packet"
	vectors = "*packet.Vectors"
)

// reached waits for a message, and says who has it then.
func (n *network) reached(id packet.PacketID, within time.Duration) (users []packet.UserID) {
	n.t.Helper()
	n.quiet(within)
	for _, d := range n.nodes {
		must(n.t, d.store.View(n.t.Context(), func(tx store.ReadTx) error {
			_, err := tx.EntryByID(id)
			if isNotFound(err) {
				return nil
			}
			users = append(users, d.user)
			return err
		}))
	}
	return users
}

// A message to a large group is given to each member once, and each answers its
// author at once; that it came is told to others by a few, in case that somebody has
// no link with the author, and with what else they have to tell by all.
func TestAnnouncementsAreFew(t *testing.T) {
	t.Parallel()
	const people = 50
	n := mesh(t, people, nil)
	author := n.nodes[0]
	id := author.write(group, "hello")
	n.quiet(0)
	if want := map[string]int{packets: people - 1, vectors: people - 1}; n.frames[packets] != want[packets] || n.frames[vectors] != want[vectors] {
		t.Errorf("frames of a message until its author knows that all have it: %v; want %v", n.frames, want)
	}
	for _, r := range author.recipients(id) {
		if r.State != Delivered {
			t.Errorf("the author hears that the message is %d with %s", r.State, r.User)
		}
	}
	n.quiet(time.Minute)
	few := people - 1 + people*waves[1].width // who was told in the first wave is not in the second
	if n.frames[packets] != people-1 || n.frames[vectors] > few {
		t.Errorf("frames of a message in its first minute: %v; want at most %d vectors", n.frames, few)
	}
	n.quiet(time.Hour)
	if pairs := people * (people - 1) / 2; n.frames[vectors] > few+pairs {
		t.Errorf("frames of a message in all: %v; want at most %d vectors", n.frames, few+pairs)
	}

	// In a conversation what is told later goes with the receipts.
	clear(n.frames)
	const said = 20
	for i := range said {
		n.nodes[i*7%people].write(group, fmt.Sprint("message ", i))
		n.quiet(20 * time.Second)
	}
	n.quiet(time.Hour)
	if got := n.frames[vectors] / said; n.frames[packets] != said*(people-1) || got > few+100 {
		t.Errorf("frames of %d messages: %v; want at most %d vectors for each", said, n.frames, few+100)
	}
	n.same(group, n.nodes...)
	n.noNotices()
}

// A member list that changes nothing about who may have what is no reason to tell
// anything anew.
func TestListsAreQuiet(t *testing.T) {
	t.Parallel()
	n := mesh(t, 20, nil)
	for _, d := range n.nodes {
		d.write(group, "I am "+string(d.user))
	}
	n.quiet(time.Hour)
	clear(n.frames)
	c, _ := n.nodes[0].chat(group)
	for version := range uint64(20) {
		for _, d := range n.nodes {
			d.join(group, store.Membership{Version: 2 + version, Members: c.Members})
			n.quiet(0)
		}
	}
	n.quiet(time.Hour)
	if len(n.frames) > 0 {
		t.Errorf("20 lists of the same people cost %v", n.frames)
	}
}

// What somebody wrote reaches those with whom he has no link, soon where only some
// links are missing, and also where hardly anybody is linked with anybody. Who tells
// whom comes from the log's epoch: in the first wave all who could tell somebody may
// take it for another's to do, in the second hardly.
func TestRumoursReachAll(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		apart  func(a, b int) bool
		within time.Duration
	}{
		{"every third link is missing", func(a, b int) bool { return (a+b)%3 == 0 }, 15 * time.Second},
		{"the author has one link", func(a, b int) bool { return a == 0 && b != 7 }, 30 * time.Second},
		{"two halves with one link", func(a, b int) bool { return a < 20 != (b < 20) && (a != 3 || b != 30) }, time.Hour},
		{"a ring", func(a, b int) bool { return b-a != 1 && (a != 0 || b != 39) }, 3 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := mesh(t, 40, c.apart)
			id := n.nodes[0].write(group, "hello")
			if got := n.reached(id, c.within); len(got) != len(n.nodes) {
				t.Errorf("within %s it is with %d of %d", c.within, len(got), len(n.nodes))
			}
			n.quiet(time.Hour)
			n.same(group, n.nodes...)
			n.noNotices()
		})
	}
}

// An author who is gone before all have his message: those who have it give it to
// the rest.
func TestAuthorGoesWhileGiving(t *testing.T) {
	t.Parallel()
	n := mesh(t, 40, nil)
	author := n.nodes[0]
	id := author.write(group, "hello")
	for i, w := range slices.Clone(n.wires) {
		if w.ends[0] != author && w.ends[1] != author {
			continue
		}
		if i%13 == 0 { // three of them
			for to, d := range w.ends {
				for n.pump(w, 1-to) {
					continue
				}
				for n.deliver(w, to) && d != author {
					d.work()
				}
			}
		}
		n.cut(w)
	}
	if got := n.reached(id, 0); len(got) < 2 || len(got) > 10 {
		t.Fatalf("%d have it when the author goes", len(got))
	}
	if got := n.reached(id, 30*time.Second); len(got) != len(n.nodes) {
		t.Errorf("half a minute later %d of %d have it", len(got), len(n.nodes))
	}
}

var largePeople = flag.Int("people", 40, "how large the large group is")

// A large group: three write at once, one is away and comes back, one is removed.
// `make test` asks for 200 people without the race detector.
func TestLargeGroup(t *testing.T) {
	t.Parallel()
	n := mesh(t, *largePeople, nil)
	away, gone := n.nodes[17], n.nodes[*largePeople*3/4]
	for _, w := range slices.Clone(n.wires) {
		if w.ends[0] == away || w.ends[1] == away {
			n.cut(w)
		}
	}
	var ids []packet.PacketID
	for _, i := range []int{0, *largePeople / 2, *largePeople - 1} {
		ids = append(ids, n.nodes[i].write(group, fmt.Sprint("at once ", i)))
	}
	n.quiet(time.Minute)
	for _, id := range ids {
		if got := n.reached(id, 0); len(got) != *largePeople-1 {
			t.Errorf("a message is with %d of %d", len(got), *largePeople-1)
		}
	}
	// Its author is not there when he who was away comes back.
	for _, d := range n.nodes {
		if d != away && d != n.nodes[0] {
			n.connect(away, d)
		}
	}
	n.quiet(time.Minute)
	want := n.same(group, n.nodes...)
	if len(want) != 3 {
		t.Errorf("all show %q", want)
	}
	c, _ := n.nodes[0].chat(group)
	list := store.Membership{Version: 2, Members: slices.DeleteFunc(slices.Clone(c.Members), func(user packet.UserID) bool { return user == gone.user })}
	for _, d := range n.nodes {
		if d != gone {
			d.join(group, list)
		}
	}
	n.nodes[3].write(group, "without one")
	n.quiet(time.Minute)
	rest := slices.DeleteFunc(slices.Clone(n.nodes), func(d *node) bool { return d == gone })
	if got := n.same(group, rest...); len(got) != 4 {
		t.Errorf("those who stay show %q", got)
	}
	if got := gone.lines(group); !slices.Equal(got, want) {
		t.Errorf("who was removed shows %q", got)
	}
	n.noNotices()
}

// BenchmarkGroupMessage has a member of a group write: how many frames that costs
// until all have it and everything that follows is told, and how long all cores take.
func BenchmarkGroupMessage(b *testing.B) {
	for _, people := range []int{10, 50} {
		b.Run(fmt.Sprint(people), func(b *testing.B) {
			n := mesh(b, people, nil)
			for b.Loop() {
				n.nodes[n.ids%uint64(people)].write(group, "hello")
				n.quiet(20 * time.Second)
			}
			b.ReportMetric(float64(n.frames[packets])/float64(b.N), "packets/op")
			b.ReportMetric(float64(n.frames[vectors])/float64(b.N), "vectors/op")
		})
	}
}
