package group

import (
	"errors"
	"fmt"
	"testing"

	"github.com/parley-chat/parley/protocol/packet"
)

// apart is a group of an owner and two admins, of whom anna stands above bob,
// and a member carol, who all know the same.
func apart(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, 1, "owner", "anna", "bob", "carol", "dave")
	var invite []Operation
	for _, rep := range w.replicas[1:4] {
		invite = append(invite, Operation{Verb: VerbInvite, User: rep.user})
	}
	w.must(0, invite...)
	for i := 1; i < 4; i++ {
		w.everything(w.replicas[i])
		w.must(i, Operation{Verb: VerbAccept})
	}
	w.everything(w.replicas[0])
	w.must(0, Operation{Verb: VerbSetRole, User: "anna", Role: RoleAdmin}, Operation{Verb: VerbSetRole, User: "bob", Role: RoleAdmin})
	for _, rep := range w.replicas {
		w.everything(rep)
	}
	return w
}

func (w *world) must(i int, operations ...Operation) Signed {
	w.t.Helper()
	c, ok := w.act(w.replicas[i], operations...)
	if !ok {
		w.t.Fatalf("%s may not do %+v", w.replicas[i].user, operations)
	}
	return c
}

func (w *world) want(roles map[packet.UserID]Role) {
	w.t.Helper()
	w.settle()
	for user, role := range roles {
		if got := w.replicas[0].graph.Known().State.Person(user).Role; got != role {
			w.t.Errorf("%s is %q, not %q", user, got, role)
		}
	}
}

const (
	owner = iota
	anna
	bob
	carol
)

func TestAtOnce(t *testing.T) {
	remove := func(user packet.UserID) Operation { return Operation{Verb: VerbRemove, User: user} }
	invite := func(user packet.UserID) Operation { return Operation{Verb: VerbInvite, User: user} }
	role := func(user packet.UserID, r Role) Operation { return Operation{Verb: VerbSetRole, User: user, Role: r} }
	for _, c := range []struct {
		name string
		do   func(w *world)
		want map[packet.UserID]Role
	}{
		{"both count", func(w *world) { w.must(anna, invite("dave")); w.must(bob, role("carol", RoleAdmin)) },
			map[packet.UserID]Role{"dave": RoleInvited, "carol": RoleAdmin}},
		{"invited twice", func(w *world) { w.must(anna, invite("dave")); w.must(bob, invite("dave")) }, map[packet.UserID]Role{"dave": RoleInvited}},
		{"who was removed invited somebody meanwhile", func(w *world) { w.must(bob, invite("dave")); w.must(anna, remove("bob")) },
			map[packet.UserID]Role{"bob": RoleNone, "dave": RoleNone}},
		{"removed and left", func(w *world) { w.must(carol, Operation{Verb: VerbLeave}); w.must(bob, remove("carol")) }, map[packet.UserID]Role{"carol": RoleNone}},
		{"the higher removal undoes what the removed one did", func(w *world) { w.must(bob, remove("carol")); w.must(owner, remove("bob")) },
			map[packet.UserID]Role{"bob": RoleNone, "carol": RoleMember}},
		{"removal by one who is removed", func(w *world) { w.must(anna, remove("bob")); w.must(owner, remove("anna")) },
			map[packet.UserID]Role{"anna": RoleNone, "bob": RoleAdmin}},
		{"demoted and used the right meanwhile", func(w *world) { w.must(bob, invite("dave")); w.must(owner, role("bob", RoleMember)) },
			map[packet.UserID]Role{"bob": RoleMember, "dave": RoleNone}},
		{"the owner leaves", func(w *world) { w.must(owner, Operation{Verb: VerbLeave}); w.must(bob, role("carol", RoleAdmin)) },
			map[packet.UserID]Role{"owner": RoleNone, "anna": RoleOwner, "carol": RoleAdmin}},
		{"two owners", func(w *world) { w.must(owner, role("bob", RoleOwner)); w.must(anna, remove("carol")) },
			map[packet.UserID]Role{"owner": RoleAdmin, "bob": RoleOwner, "carol": RoleNone}},
		{"accepted while removed", func(w *world) {
			w.must(anna, invite("dave"))
			w.everything(w.replicas[4])
			w.must(4, Operation{Verb: VerbAccept})
			w.must(anna, remove("dave"))
		}, map[packet.UserID]Role{"dave": RoleNone}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := apart(t)
			c.do(w)
			w.want(c.want)
		})
	}
}

// An owner who gave his place away, and was then removed, signs a change that pretends
// to be from before.
func TestBackdated(t *testing.T) {
	for seed := range 20 { // ids decide nothing
		w := apart(t)
		old, _ := w.replicas[owner].graph.Parents()
		w.must(owner, Operation{Verb: VerbSetRole, User: "anna", Role: RoleOwner})
		w.everything(w.replicas[anna])
		w.must(anna, Operation{Verb: VerbRemove, User: "owner"})
		w.ids += uint64(seed) //nolint:gosec // small
		for _, o := range []Operation{
			{Verb: VerbRemove, User: "anna"}, {Verb: VerbInvite, User: "dave"}, {Verb: VerbSetRole, User: "bob", Role: RoleOwner}, {Verb: VerbLeave},
		} {
			w.sign("owner", w.packet(), Change{Parents: old, Operations: []Operation{o}})
		}
		w.want(map[packet.UserID]Role{"owner": RoleNone, "anna": RoleOwner, "bob": RoleAdmin, "dave": RoleNone})
	}
}

func TestForged(t *testing.T) {
	for _, c := range []struct {
		name   string
		author packet.UserID
		o      Operation
	}{
		{"a member invites", "carol", Operation{Verb: VerbInvite, User: "dave"}},
		{"a member introduces", "carol", Operation{Verb: VerbIntroduce, User: "dave"}},
		{"a member removes", "carol", Operation{Verb: VerbRemove, User: "bob"}},
		{"an admin removes the owner", "anna", Operation{Verb: VerbRemove, User: "owner"}},
		{"an admin removes one above", "bob", Operation{Verb: VerbRemove, User: "anna"}},
		{"an admin demotes one above", "bob", Operation{Verb: VerbSetRole, User: "anna", Role: RoleMember}},
		{"an admin makes himself owner", "anna", Operation{Verb: VerbSetRole, User: "anna", Role: RoleOwner}},
		{"a member makes himself admin", "carol", Operation{Verb: VerbSetRole, User: "carol", Role: RoleAdmin}},
		{"a member names the group", "carol", Operation{Verb: VerbSetTitle, Text: "Mine"}},
		{"a stranger accepts", "dave", Operation{Verb: VerbAccept}},
		{"a stranger leaves", "dave", Operation{Verb: VerbLeave}},
		{"a stranger joins changes", "dave", Operation{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := apart(t)
			rep := w.replicas[owner]
			parents, _ := rep.graph.Parents()
			change := Change{Parents: parents}
			if c.o.Verb != VerbNone {
				change.Operations = []Operation{c.o}
			}
			s := w.sign(c.author, w.packet(), change)
			if _, err := rep.graph.Add(s); !errors.Is(err, ErrForged) {
				t.Fatalf("got %v", err)
			}
			child := w.sign("anna", w.packet(), Change{Parents: []ChangeID{s.ID}})
			if _, err := rep.graph.Add(child); !errors.Is(err, ErrForged) {
				t.Errorf("what builds on it: %v", err)
			}
		})
	}
}

// Somebody else begins a history of the same chat.
func TestForeignRoot(t *testing.T) {
	w := apart(t)
	root := Change{Operations: []Operation{{Verb: VerbCreate, Text: "Mine", History: HistoryAll}}}
	if _, err := w.replicas[owner].graph.Add(w.sign("anna", w.packet(), root)); !errors.Is(err, ErrForged) {
		t.Errorf("of a member: %v", err)
	}
	if _, err := NewGraph(w.chat).Add(w.sign("mallory", w.packet(), root)); !errors.Is(err, ErrForged) {
		t.Errorf("before the true one: %v", err)
	}
	// The creator signs two: one of them counts, for everybody.
	w = apart(t)
	w.sign("owner", w.all[0].Packet, root)
	w.settle()
}

func TestVersionsAscend(t *testing.T) {
	w := apart(t)
	w.must(anna, Operation{Verb: VerbInvite, User: "dave"})
	w.must(bob, Operation{Verb: VerbSetTitle, Text: "Two"})
	w.settle()
	g := w.replicas[0].graph
	merged := g.Known()
	if !merged.Merged || !g.Split() {
		t.Fatal("it is not seen that there are two ends")
	}
	for version := range w.replicas[0].lists {
		if version > merged.Version {
			t.Errorf("version %d is above the one of all, %d", version, merged.Version)
		}
	}
	w.must(carol) // joins them
	w.settle()
	if k := g.Known(); k.Merged || k.Version <= merged.Version || k.Version>>versionShift != uint64(g.Len()) || k.Version >= 1<<62 {
		t.Errorf("joined: %+v after %+v", k, merged)
	}
}

func TestMembersWithoutEndAreRefused(t *testing.T) {
	w := apart(t)
	for i := range maxByMember + 5 {
		parents, _ := w.replicas[carol].graph.Parents()
		s := w.sign("carol", w.packet(), Change{Parents: parents})
		if _, err := w.replicas[carol].graph.Add(s); errors.Is(err, ErrFull) != (i >= maxByMember-1) {
			t.Fatalf("change %d: %v", i, err)
		}
	}
}

// large is a group of 200 with 1,000 changes.
func large(t testing.TB) (*Graph, func() Signed) {
	t.Helper()
	n := uint64(0)
	id := func() packet.PacketID { n++; return packet.PacketID{byte(n >> 16), byte(n >> 8), byte(n), 1} }
	first := id()
	g := NewGraph(ChatOf("owner", first))
	next := func(p packet.PacketID, operations ...Operation) Signed {
		parents, _ := g.Parents()
		content, err := Change{Parents: parents, Operations: operations}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		s, err := Sign(g.chat, "owner", p, content)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	add := func(s Signed) {
		if _, err := g.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	add(next(first, Operation{Verb: VerbCreate, Text: "Large", History: HistoryAll}))
	for i := range 199 {
		add(next(id(), Operation{Verb: VerbInvite, User: packet.UserID(fmt.Sprintf("user%d", i))}))
	}
	for g.Len() < 1000 {
		add(next(id(), Operation{Verb: VerbSetTitle, Text: fmt.Sprintf("Large %d", g.Len())}))
	}
	return g, func() Signed { return next(id(), Operation{Verb: VerbSetTitle, Text: "Next"}) }
}

// To take the next change of a long history costs nothing of its length.
func TestNextChangeFoldsNothingAnew(t *testing.T) {
	g, next := large(t)
	if n := testing.AllocsPerRun(20, func() {
		if _, err := g.Add(next()); err != nil {
			t.Fatal(err)
		}
	}); n > 100 {
		t.Errorf("%.0f allocations", n)
	}
}

func BenchmarkNext(b *testing.B) {
	g, next := large(b)
	for b.Loop() {
		if g.Len() > 5000 {
			b.StopTimer()
			g, next = large(b)
			b.StartTimer()
		}
		if _, err := g.Add(next()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSplit(b *testing.B) {
	g, _ := large(b)
	all := make([]int, len(g.nodes))
	for i := range all {
		all[i] = i
	}
	for b.Loop() {
		fold(&State{}, g.nodes, all).outcomes()
	}
}

// BenchmarkApart folds 1,000 names given while apart by each of two people, of which half do
// not count.
func BenchmarkApart(b *testing.B) {
	g, _ := large(b)
	nodes, all := g.nodes[:200:200], []int{}
	for i := range 1000 {
		for k, author := range []packet.UserID{"owner", "anna"} {
			id, parents := ChangeID{byte(i), byte(i >> 8), byte(k)}, []int{len(nodes) - 2}
			if i == 0 {
				parents = []int{199}
			}
			nodes = append(nodes, node{id: id, author: author, parents: parents, operations: []Operation{{Verb: VerbSetTitle, Text: fmt.Sprint(i, k)}}})
		}
	}
	nodes[1].operations = append(nodes[1].operations, Operation{Verb: VerbInvite, User: "anna"})
	nodes[2].author, nodes[2].operations = "anna", []Operation{{Verb: VerbAccept}}
	nodes[3].operations = []Operation{{Verb: VerbSetRole, User: "anna", Role: RoleAdmin}}
	for i := range nodes {
		all = append(all, i)
	}
	for b.Loop() {
		if n := len(fold(&State{}, nodes, all).outcomes()); n != 1000 {
			b.Fatalf("%d do not count", n)
		}
	}
}
