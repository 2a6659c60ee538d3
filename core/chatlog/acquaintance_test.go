package chatlog

import (
	"slices"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// groupsOnly has d hold other for a member of a common group and no contact.
func (d *node) groupsOnly(other *node, state store.ContactState, only bool) {
	p := d.book.Person(other.user)
	p.GroupsOnly = only
	d.book.Set(other.user, p)
	d.update(func(tx store.Tx) error { return tx.PutContact(store.Contact{User: other.user, State: state}) })
	bus.Publish(d.bus, bus.ContactChanged, bus.ContactChange{User: other.user})
}

// Who is in a group too and no contact takes part in the group, and in nothing
// else: neither in a direct chat of before nor by opening another.
func TestAcquaintance(t *testing.T) {
	n, alice, bob := pair(t)
	for _, d := range []*node{alice, bob} {
		d.join(group, members(1, "alice", "bob"))
	}
	n.connect(alice, bob)
	bob.write(direct, "when we were contacts")
	n.quiet(time.Minute)
	n.cut(n.wires[0])
	bob.groupsOnly(alice, store.ContactAcquaintance, true)
	w := n.connect(alice, bob) // alice still holds bob for a contact
	alice.write(direct, "not to you any more")
	alice.write(group, "to all")
	bob.write(group, "from all")
	n.give(w, bob, forge(t, alice.id, packet.Header{Chat: direct, Type: typeText, Author: "alice", Device: alice.id.Device()}, "as if it were"))
	n.give(w, bob, forge(t, alice.id, packet.Header{Chat: "zzzzzzzzzzzzzzzzzzzzzzzzzz", Type: typeInvite, Author: "alice", Device: alice.id.Device()}, "a chat for you"))
	n.quiet(time.Minute)
	if got := bob.lines(direct); !slices.Equal(got, []string{"bob: when we were contacts"}) {
		t.Errorf("bob shows %q", got)
	}
	if got := len(bob.chats()); got != 2 {
		t.Errorf("bob has %d chats", got)
	}
	n.expect(group, []string{"alice: to all", "bob: from all"}, alice, bob)

	// Contacts again: what waited comes.
	bob.groupsOnly(alice, store.ContactAccepted, false)
	bus.Publish(bob.bus, bus.ChatChanged, bus.ChatChange{Chat: direct})
	n.quiet(time.Hour)
	if got := bob.lines(direct); !slices.Equal(got, []string{"bob: when we were contacts", "alice: not to you any more"}) {
		t.Errorf("bob shows %q", got)
	}

	// Nobody opens a chat whom the user has blocked.
	bob.groupsOnly(alice, store.ContactBlocked, false)
	n.give(w, bob, forge(t, alice.id, packet.Header{Chat: "zzzzzzzzzzzzzzzzzzzzzzzzzz", Type: typeInvite, Author: "alice", Device: alice.id.Device()}, "a chat for you"))
	n.quiet(time.Minute)
	if got := len(bob.chats()); got != 2 {
		t.Errorf("bob has %d chats", got)
	}
}

// Whose key is not known is found out: an entry of his is asked for, which says
// who he is, and all of it once somebody has found his key.
func TestUnknownAuthor(t *testing.T) {
	n, alice, bob, carol := trio(t)
	key := carol.book.Person("alice")
	carol.book.Remove("alice")
	unknown := bus.Subscribe(carol.bus, bus.AuthorUnknown, 100)
	defer unknown.Close()
	n.connect(alice, bob)
	n.connect(bob, carol)
	for range 20 {
		alice.write(group, "line")
	}
	n.quiet(time.Hour)
	if got := carol.lines(group); len(got) != 0 {
		t.Errorf("carol shows %q of somebody she cannot know", got)
	}
	asked := 0
	for {
		a, ok := unknown.TryNext()
		if !ok {
			break
		}
		if asked++; a != (bus.Author{Chat: group, User: "alice", Device: alice.id.Device()}) {
			t.Errorf("asks for %v", a)
		}
	}
	if asked == 0 || asked > 60 {
		t.Errorf("asked %d times in an hour", asked)
	}
	key.Keys, key.Past = nil, key.Keys
	carol.book.Set("alice", key)
	bus.Publish(carol.bus, bus.ContactChanged, bus.ContactChange{Acquaintance: true})
	n.quiet(time.Second)
	if got := carol.lines(group); len(got) != 20 {
		t.Errorf("carol shows %d lines", len(got))
	}
}
