package group

import (
	"testing"

	"github.com/parley-chat/parley/protocol/packet"
)

// Somebody who was removed signs, as if from before, that he leaves: what he did with
// right, and others built on, stays.
func TestLeaveDatedBack(t *testing.T) {
	for seed := range 20 { // ids decide nothing
		for name, out := range map[string]Operation{
			"removed": {Verb: VerbRemove, User: "anna"},
			"demoted": {Verb: VerbSetRole, User: "anna", Role: RoleMember},
		} {
			w := apart(t)
			w.ids += uint64(seed) //nolint:gosec // small
			old, _ := w.replicas[anna].graph.Parents()
			w.must(anna, Operation{Verb: VerbInvite, User: "dave"})
			w.everything(w.replicas[4])
			w.must(4, Operation{Verb: VerbAccept})
			w.everything(w.replicas[owner])
			w.must(owner, out)
			w.sign("anna", w.packet(), Change{Parents: old, Operations: []Operation{{Verb: VerbLeave}}})
			w.sign("anna", w.packet(), Change{Parents: old, Operations: []Operation{{Verb: VerbLeave, Decline: true}}})
			want := map[packet.UserID]Role{"dave": RoleMember, "bob": RoleAdmin, "carol": RoleMember, "anna": RoleNone}
			if name == "demoted" {
				want["anna"] = RoleMember
			}
			w.want(want)
		}
	}
}

// Who gave the group away, on which others built, signs that he left before: as
// that does not count, it takes nothing back either.
func TestLeaveBeforeGivingAway(t *testing.T) {
	for seed := range 20 {
		w := apart(t)
		w.ids += uint64(seed) //nolint:gosec // small
		w.must(owner, Operation{Verb: VerbSetRole, User: "anna", Role: RoleOwner})
		w.everything(w.replicas[anna])
		w.must(anna, Operation{Verb: VerbSetTitle, Text: "Coffee"})
		w.sign("owner", w.packet(), Change{Parents: []ChangeID{w.all[0].ID}, Operations: []Operation{{Verb: VerbLeave}}})
		w.want(map[packet.UserID]Role{"owner": RoleAdmin, "anna": RoleOwner, "bob": RoleAdmin, "carol": RoleMember})
	}
}

// A removal that does not count leaves the leaving as it was, once, however often it
// was signed.
func TestLeftWhileRemovedInVain(t *testing.T) {
	for seed := range 20 {
		w := apart(t)
		w.ids += uint64(seed) //nolint:gosec // small
		old, _ := w.replicas[carol].graph.Parents()
		w.must(bob, Operation{Verb: VerbRemove, User: "carol"})
		w.must(owner, Operation{Verb: VerbRemove, User: "bob"})
		w.must(carol, Operation{Verb: VerbLeave})
		w.sign("carol", w.packet(), Change{Parents: old, Operations: []Operation{{Verb: VerbLeave}}})
		w.want(map[packet.UserID]Role{"carol": RoleNone, "bob": RoleNone, "anna": RoleAdmin})
	}
}

// Of what could be next each author has one place, however much he makes apart from
// himself, as no honest core does.
func BenchmarkApartFromOneself(b *testing.B) {
	g, _ := large(b)
	parents, _ := g.Parents()
	var all []Signed
	for i := range 1500 {
		content, err := Change{Parents: parents}.Encode()
		if err != nil {
			b.Fatal(err)
		}
		id := packet.PacketID{byte(i >> 8), byte(i), 2}
		s, err := Sign(g.chat, "owner", id, content)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, s)
	}
	for b.Loop() {
		g, _ := large(b)
		for i := range all {
			if _, err := g.Add(all[i]); err != nil {
				b.Fatal(err)
			}
		}
	}
}
