package group

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/parley-chat/parley/protocol/packet"
)

// replica is what one person has of a group.
type replica struct {
	user    packet.UserID
	graph   *Graph
	waiting []Signed
	lists   map[uint64]string
	told    map[ChangeID]string // what was told when it came, and when it turned
	turned  int
}

// world is a group whose members act apart; it is not safe for concurrent use.
type world struct {
	t        *testing.T
	r        *rand.Rand
	chat     packet.ChatID
	replicas []*replica
	all      []Signed // all changes made, in the order in which they were
	ids      uint64
}

func (w *world) packet() packet.PacketID {
	w.ids++
	var id packet.PacketID
	binary.BigEndian.PutUint64(id[:], w.ids)
	binary.BigEndian.PutUint64(id[8:], w.r.Uint64())
	return id
}

func newWorld(t *testing.T, seed uint64, users ...packet.UserID) *world {
	t.Helper()
	w := &world{t: t, r: rand.New(rand.NewPCG(seed, 7))} //nolint:gosec // a test
	id := w.packet()
	w.chat = ChatOf(users[0], id)
	for _, u := range users {
		w.replicas = append(w.replicas, &replica{user: u, graph: NewGraph(w.chat), lists: map[uint64]string{}, told: map[ChangeID]string{}})
	}
	root := w.sign(users[0], id, Change{Operations: []Operation{{Verb: VerbCreate, Text: "Tea", History: HistoryFromJoin}}})
	w.deliver(w.replicas[0], root)
	return w
}

// sign makes a change as it comes out of a packet.
func (w *world) sign(author packet.UserID, id packet.PacketID, c Change) Signed {
	w.t.Helper()
	content, err := c.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := Sign(w.chat, author, id, content)
	if err != nil {
		w.t.Fatal(err)
	}
	w.all = append(w.all, s)
	return s
}

// act has somebody make a change upon all that he knows; ok is false when he may
// not.
func (w *world) act(rep *replica, operations ...Operation) (Signed, bool) {
	w.t.Helper()
	parents, state := rep.graph.Parents()
	c := Change{Parents: parents, Operations: operations}
	if _, err := judge(state, &Signed{Change: c, Author: rep.user}); err != nil {
		return Signed{}, false
	}
	s := w.sign(rep.user, w.packet(), c)
	w.deliver(rep, s)
	return s, true
}

// deliver gives a change to somebody; what waits for it follows.
func (w *world) deliver(rep *replica, c Signed) {
	w.t.Helper()
	rep.waiting = append(rep.waiting, c)
	for progress := true; progress; {
		progress = false
		for i := 0; i < len(rep.waiting); i++ {
			n := rep.graph.Len()
			list, err := rep.graph.Add(rep.waiting[i])
			for at := n; at < rep.graph.Len(); at++ {
				rep.told[rep.graph.nodes[at].id] = story(rep.graph, at)
			}
			for _, id := range rep.graph.Turned(n) {
				rep.told[id] = story(rep.graph, rep.graph.index[id])
				rep.turned++
			}
			var missing *MissingError
			if errors.As(err, &missing) {
				continue
			}
			if err != nil && !errors.Is(err, ErrForged) {
				w.t.Fatal(err)
			}
			rep.waiting = slices.Delete(rep.waiting, i, i+1)
			i--
			progress = true
			if err == nil && list.State != nil {
				w.note(rep, list)
				w.note(rep, rep.graph.Known())
			}
		}
	}
}

// note keeps a list as it would be set, and checks that it never changes.
func (w *world) note(rep *replica, l List) {
	w.t.Helper()
	now := print(l)
	if before, there := rep.lists[l.Version]; there && before != now {
		w.t.Fatalf("%s: version %d was\n%s\nand is now\n%s", rep.user, l.Version, before, now)
	}
	rep.lists[l.Version] = now
}

func print(l List) string {
	var b strings.Builder
	s := l.State
	fmt.Fprintf(&b, "merged %t, title %q, description %q, history %s, picture %t\n", l.Merged, s.Title, s.Description, s.History, s.Picture != ChangeID{})
	for _, p := range s.People() {
		fmt.Fprintf(&b, "%s %s by %s; ", p.User, p.Role, p.By)
	}
	for _, c := range cutoffsOfState(s) {
		fmt.Fprintf(&b, "%s up to %d; ", c.User, c.Number)
	}
	return b.String()
}

// check: what is known is what a fold from the very beginning gives.
func (w *world) check(rep *replica) {
	w.t.Helper()
	all := make([]int, len(rep.graph.nodes))
	for i := range all {
		all[i] = i
	}
	known := rep.graph.Known()
	if fresh := print(List{State: fold(&State{}, rep.graph.nodes, all).last.state, Merged: known.Merged}); fresh != print(known) {
		w.t.Fatalf("%s: known is\n%s\nfolded anew\n%s", rep.user, print(known), fresh)
	}
	anew := *rep.graph
	anew.outcomes = fold(&State{}, rep.graph.nodes, all).outcomes()
	for i := range all {
		if now, fresh := story(rep.graph, i), story(&anew, i); now != fresh {
			w.t.Fatalf("%s tells\n%s\nfolded anew\n%s", rep.user, now, fresh)
		}
	}
}

// story is what is told of a change.
func story(g *Graph, at int) string {
	e := g.event(at)
	if len(e.Facts) == 0 {
		return ""
	}
	return e.sentence() + " " + string(mustJSON(e))
}

// settle gives everybody everything, in an order of his own.
func (w *world) settle() {
	w.t.Helper()
	for _, rep := range w.replicas {
		for _, i := range w.r.Perm(len(w.all)) {
			w.deliver(rep, w.all[i])
		}
	}
	first := w.replicas[0]
	for _, rep := range w.replicas {
		w.check(rep)
		if a, b := print(first.graph.Known()), print(rep.graph.Known()); a != b || first.graph.Known().Version != rep.graph.Known().Version {
			w.t.Fatalf("%s has (version %d)\n%s\n%s has (version %d)\n%s", first.user, first.graph.Known().Version, a, rep.user, rep.graph.Known().Version, b)
		}
		for i := range rep.graph.nodes {
			id := rep.graph.nodes[i].id
			if a, b := story(first.graph, first.graph.index[id]), story(rep.graph, i); a != b || rep.told[id] != b {
				w.t.Fatalf("%s tells\n%s\n%s tells\n%s\nand shows\n%s", first.user, a, rep.user, b, rep.told[id])
			}
		}
		for version, list := range rep.lists {
			if other, there := first.lists[version]; there && other != list {
				w.t.Fatalf("version %d is for %s\n%s\nfor %s\n%s", version, first.user, other, rep.user, list)
			}
		}
		if len(rep.waiting) > 0 {
			w.t.Fatalf("%s: %d changes still wait", rep.user, len(rep.waiting))
		}
	}
}

var crowd = []packet.UserID{"owner", "anna", "bob", "carol", "dave", "erin", "frank", "victim"}

// operation gives a random one; never one that invites the victim.
func (w *world) operation() Operation {
	user := crowd[w.r.IntN(len(crowd)-1)]
	cut := []Cutoff{{Device: packet.DeviceID{byte(len(user))}, Epoch: 1, Number: w.r.Uint64N(100)}}
	switch w.r.IntN(14) {
	case 0, 1, 2, 3:
		return Operation{Verb: VerbInvite, User: user}
	case 4, 5, 6:
		return Operation{Verb: VerbAccept}
	case 7:
		return Operation{Verb: VerbLeave, Cutoffs: cut}
	case 8:
		return Operation{Verb: VerbRemove, User: user, Cutoffs: cut}
	case 9, 10:
		return Operation{Verb: VerbSetRole, User: user, Role: []Role{RoleAdmin, RoleAdmin, RoleMember, RoleOwner}[w.r.IntN(4)]}
	case 11:
		return Operation{Verb: VerbSetTitle, Text: fmt.Sprintf("T%d", w.r.IntN(100))}
	case 12:
		return Operation{Verb: VerbSetHistory, History: HistoryAll}
	}
	return Operation{Verb: VerbSetPicture, Picture: []byte("x")}
}

// gather brings some people in, and makes some of them admins.
func (w *world) gather() {
	w.t.Helper()
	var invite, appoint []Operation
	for _, user := range crowd[1:6] {
		invite = append(invite, Operation{Verb: VerbInvite, User: user})
	}
	w.act(w.replicas[0], invite...)
	for _, rep := range w.replicas[1:6] {
		w.everything(rep)
		w.act(rep, Operation{Verb: VerbAccept})
		appoint = append(appoint, Operation{Verb: VerbSetRole, User: rep.user, Role: RoleAdmin})
	}
	w.everything(w.replicas[0])
	w.act(w.replicas[0], appoint[:3]...)
	for _, rep := range w.replicas {
		w.everything(rep)
	}
}

func (w *world) everything(rep *replica) {
	w.t.Helper()
	for _, c := range slices.Clone(w.all) {
		w.deliver(rep, c)
	}
}

// spread gives a random part of what was made to random people.
func (w *world) spread() {
	for range w.r.IntN(12) {
		w.deliver(w.replicas[w.r.IntN(len(w.replicas))], w.all[w.r.IntN(len(w.all))])
	}
}

// fork has somebody sign two changes with one packet id, upon whatever he likes of what
// he knows, and give each to another; ok is false when he may do neither.
func (w *world) fork(rep *replica) (ok bool) {
	w.t.Helper()
	id := w.packet()
	for range 2 {
		at := w.r.IntN(rep.graph.Len())
		state, _ := rep.graph.upTo([]int{at})
		c := Change{Parents: rep.graph.idsOf([]int{at}), Operations: []Operation{w.operation()}}
		if _, err := judge(state, &Signed{Change: c, Author: rep.user}); err != nil {
			continue
		}
		ok = true
		w.deliver(w.replicas[w.r.IntN(len(w.replicas))], w.sign(rep.user, id, c))
	}
	return ok
}

var seeds = flag.Uint64("seeds", 100, "how many random groups to try")

// All end with the same, also when one of the admins signs different changes for
// different people.
func TestAllAgree(t *testing.T) {
	t.Parallel()
	split, forked, turned, void, overruled := 0, 0, 0, 0, 0
	for seed := range *seeds {
		w := newWorld(t, seed, crowd...)
		w.gather()
		for range 20 + w.r.IntN(30) {
			rep := w.replicas[w.r.IntN(len(w.replicas))]
			if liar := w.replicas[1+seed%3]; rep == liar && w.fork(liar) {
				forked++
			} else {
				w.act(rep, w.operation())
			}
			w.spread()
		}
		w.settle()
		if w.replicas[0].graph.Split() {
			split++
		}
		turned += w.replicas[0].turned
		for i := range w.replicas[0].graph.nodes {
			e := w.replicas[0].graph.event(i)
			void += strings.Count(e.sentence(), "count")
			if e.Meanwhile != nil && e.Meanwhile.Facts[0].What == "title" {
				overruled++
			}
		}
		people := w.replicas[0].graph.Known().State.People()
		for i, p := range people {
			if (p.Role == RoleOwner) != (i == 0) && people[0].in() {
				t.Fatalf("seed %d: of %v the first alone is to be the owner", seed, people)
			}
		}
	}
	if split < int(*seeds/4) {
		t.Errorf("only %d of %d groups were changed apart at the end: the test tries too little", split, *seeds)
	}
	t.Logf("%d changes turned, %d do not count, %d names lost", turned, void, overruled)
	if turned < int(*seeds) || void < int(*seeds) || overruled < int(*seeds/10) {
		t.Error("too few: the test tries too little")
	}
	if forked < int(*seeds) {
		t.Errorf("two changes were signed as one %d times in %d groups: the test tries too little", forked, *seeds)
	}
}

var crowded = flag.Int("people", 60, "how many people a large group has")

// Many are invited, and each accepts without having heard of the others.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	users := []packet.UserID{"owner"}
	for i := range *crowded - 1 {
		users = append(users, packet.UserID(fmt.Sprintf("member%03d", i)))
	}
	w := newWorld(t, 1, users...)
	owner, members := w.replicas[0], w.replicas[1:]
	for part := range slices.Chunk(users[1:], 50) {
		var invite []Operation
		for _, user := range part {
			invite = append(invite, Operation{Verb: VerbInvite, User: user})
		}
		if _, ok := w.act(owner, invite...); !ok {
			t.Fatal("people cannot be invited")
		}
	}
	invited := slices.Clone(w.all)
	for _, rep := range members {
		for _, c := range invited {
			w.deliver(rep, c)
		}
		if _, ok := w.act(rep, Operation{Verb: VerbAccept}); !ok {
			t.Fatalf("%s cannot accept", rep.user)
		}
	}
	w.replicas = w.replicas[:3]
	w.settle()
	joints := 0
	for owner.graph.Split() {
		if _, ok := w.act(owner); !ok || joints > len(users) {
			t.Fatalf("what was done apart is not joined after %d changes", joints)
		}
		joints++
	}
	w.settle()
	state := owner.graph.Known().State
	for _, user := range users[1:] {
		if r := state.Person(user).Role; r != RoleMember {
			t.Errorf("%s is %s", user, r)
		}
	}
	t.Logf("joined by %d changes", joints)
}

// Whoever was removed by the owner and everybody who never was a member say what they like, upon whatever
// they know: neither gets in, nor does whom they invite.
func TestNoRightsWithoutMembership(t *testing.T) {
	t.Parallel()
	counted, forged := 0, 0
	for seed := range *seeds {
		w := newWorld(t, seed, append(slices.Clone(crowd), "mallory")...)
		owner, victim, mallory := w.replicas[0], w.replicas[len(crowd)-1], w.replicas[len(crowd)]
		must := func(c Signed, ok bool) Signed {
			if !ok {
				t.Fatalf("seed %d: a change was not allowed", seed)
			}
			return c
		}
		must(w.act(owner, Operation{Verb: VerbInvite, User: "victim"}, Operation{Verb: VerbInvite, User: "anna"}))
		w.everything(victim)
		must(w.act(victim, Operation{Verb: VerbAccept}))
		w.everything(owner)
		must(w.act(owner, Operation{Verb: VerbSetRole, User: "victim", Role: RoleAdmin}))
		removed := ChangeID{}
		before := map[packet.UserID]bool{} // whom the victim invited with right
		for range 40 {
			rep := w.replicas[w.r.IntN(len(w.replicas))]
			o := w.operation()
			switch {
			case rep == owner && (o.Verb == VerbLeave || o.Verb == VerbSetRole && o.Role == RoleOwner):
				// The owner stays it.
			case rep == victim || rep == mallory:
				c := Change{Operations: []Operation{o}}
				if o.Verb == VerbInvite {
					c.Operations[0].User = packet.UserID(fmt.Sprintf("friend%d", w.r.IntN(50)))
				}
				for range 1 + w.r.IntN(2) {
					c.Parents = append(c.Parents, w.all[w.r.IntN(len(w.all))].ID)
				}
				c.Parents = sorted(c.Parents)
				s := w.sign(rep.user, w.packet(), c)
				if removed == (ChangeID{}) && rep == victim {
					w.deliver(owner, s)
				}
				w.deliver(rep, s)
			default:
				w.act(rep, o)
			}
			w.spread()
			if removed == (ChangeID{}) && w.r.IntN(15) == 0 {
				for _, p := range owner.graph.Known().State.People() {
					before[p.User] = p.By == "victim"
				}
				if owner.graph.Known().State.Person("victim").Role != RoleNone {
					removed = must(w.act(owner, Operation{Verb: VerbRemove, User: "victim"})).ID
				}
			}
		}
		w.settle()
		state := w.replicas[0].graph.Known().State
		if p := state.Person("mallory"); p.Role != RoleNone {
			t.Fatalf("seed %d: mallory is in as %s", seed, p.Role)
		}
		if removed != (ChangeID{}) && state.Person("victim").Role != RoleNone {
			t.Fatalf("seed %d: the victim is back as %s", seed, state.Person("victim").Role)
		}
		for _, p := range state.People() {
			if p.By == "mallory" || p.By == "victim" && removed != (ChangeID{}) && !before[p.User] {
				t.Fatalf("seed %d: %s is in by %s", seed, p.User, p.By)
			}
		}
		if removed != (ChangeID{}) {
			counted++
		}
		for _, c := range w.all {
			if c.Author == "mallory" {
				if w.replicas[0].graph.Has(c.ID) {
					t.Fatalf("seed %d: a change of mallory's is taken", seed)
				}
				forged++
			}
		}
	}
	if counted < int(*seeds/2) || forged < int(*seeds) {
		t.Errorf("the victim was removed in %d of %d groups, mallory forged %d changes: too few", counted, *seeds, forged)
	}
}
