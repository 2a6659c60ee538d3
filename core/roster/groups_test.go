package roster

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/core/store/storetest"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
)

// group sets a version of a group's member list, as the group's plugin does.
func (n *node) group(chat packet.ChatID, version uint64, members ...packet.UserID) {
	n.t.Helper()
	n.must(n.store.Update(n.t.Context(), store.Synced, func(tx store.Tx) error {
		if err := tx.PutChat(store.Chat{ID: chat, Title: "group", CreatedAt: 1}); err != nil {
			return err
		}
		return tx.PutMembership(chat, store.Membership{Version: version, Members: members})
	}))
	bus.Publish(n.bus, bus.ChatChanged, bus.ChatChange{Chat: chat})
	synctest.Wait()
}

func (n *node) lists(user packet.UserID) bool {
	contacts, _ := n.roster.Lists()
	return slices.Contains(contacts, user)
}

// wantMet checks whether two who are no contacts can link for their groups.
func (n *node) wantMet(other *node, met bool) {
	n.t.Helper()
	if met {
		time.Sleep(2 * presenceTime) // in vain, of who is offline
		synctest.Wait()
	}
	user := other.id.User()
	p := n.book.Person(user)
	trusted := len(p.Keys) == 1 && p.Keys[0].Equal(other.id.Key())
	if p.Linkable != met || met && (!trusted || !p.GroupsOnly) || n.lists(user) != met {
		n.t.Errorf("%s and %s: linkable %v, trusted %v, groups only %v, listed %v; want %v", n.id.User(), user, p.Linkable, trusted, p.GroupsOnly, n.lists(user), met)
	}
	want := store.ContactState(0)
	if met {
		want = store.ContactAcquaintance
	}
	n.wantState(user, want)
}

// Alice and carol know bob, and are in a group with him: they find each other,
// also without the directory later, and lose each other with the group.
func TestAcquaintances(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob, carol := w.join("alice"), w.join("bob"), w.join("carol")
		w.friends(alice, bob)
		w.friends(bob, carol)
		carol.must(carol.roster.SetProfile(t.Context(), &controlpb.SetProfileRequest{SetDisplayName: true, DisplayName: "Carol C.", SetAvatar: true, Avatar: png}))
		chat := packet.NewGroupChat()
		for _, n := range []*node{alice, bob, carol} {
			n.group(chat, 1, "alice", "bob", "carol")
		}
		alice.wantMet(carol, true)
		carol.wantMet(alice, true)
		alice.wantState("bob", store.ContactAccepted)
		c := alice.contact("carol")
		if !c.GetOnline() || c.GetName() != "Carol C." || len(c.GetAvatar()) == 0 || c.GetSafetyNumber() == "" || c.GetChat() != "" {
			t.Errorf("acquaintance %v", c)
		}
		if alice.hasChat("carol") {
			t.Error("there is a direct chat")
		}
		if alice.roster.Name("carol") != "Carol C." {
			t.Errorf("called %q", alice.roster.Name("carol"))
		}

		// After a restart without the directory the keys are there.
		alice.stop()
		alice.start()
		alice.wantMet(carol, true)
		alice.connect()

		// Bob takes carol out. She is still told so, and then it is over.
		link := alice.linkUp(carol)
		alice.group(chat, 2, "alice", "bob")
		alice.wantMet(carol, true)
		time.Sleep(partingTalk / 2)
		alice.wantMet(carol, true)
		time.Sleep(partingTalk)
		synctest.Wait()
		alice.wantMet(carol, false)
		if alice.book.Person("bob").GroupsOnly || !alice.lists("bob") {
			t.Error("bob went with her")
		}
		bus.Publish(alice.bus, bus.LinkDown, link)
		synctest.Wait()

		// What she said can still be verified, but not as a link or elsewhere.
		for range 2 {
			if user, key, ok := alice.book.Signer(chat, carol.id.Device()); !ok || user != "carol" || !key.Equal(carol.id.Key()) {
				t.Errorf("signer %s, %v", user, ok)
			}
			if _, _, ok := alice.book.Device(carol.id.Device()); ok {
				t.Error("her device is still trusted")
			}
			if _, _, ok := alice.book.Signer(packet.DirectChat("alice", "carol"), carol.id.Device()); ok {
				t.Error("her old key counts in a direct chat")
			}
			alice.restart()
		}
		alice.must(alice.store.Update(t.Context(), store.Synced, func(tx store.Tx) error { return tx.DeleteChat(chat) }))
		bus.Publish(alice.bus, bus.ChatChanged, bus.ChatChange{Chat: chat, Removed: true})
		synctest.Wait()
		if _, _, ok := alice.book.Signer(chat, carol.id.Device()); ok || alice.value(keyPast+"carol") != nil {
			t.Error("her key outlives the group")
		}
	})
}

// Who does not come to hear that it is over is waited for, not for ever, and
// also when the core was restarted or crashed in between.
func TestDepartures(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob, carol := w.join("alice"), w.join("bob"), w.join("carol")
		one, two := packet.NewGroupChat(), packet.NewGroupChat()
		alice.group(one, 1, "alice", "bob", "carol")
		alice.group(two, 1, "alice", "bob")
		alice.wantMet(bob, true)
		alice.wantMet(carol, true)
		// This account is taken out: the same for all whom it shares nothing with.
		alice.group(one, 2, "bob", "carol")
		time.Sleep(time.Hour)
		alice.restart()
		alice.wantMet(bob, true)
		alice.wantMet(carol, true)
		alice.group(one, 3, "alice", "bob", "carol") // and in again
		time.Sleep(partingMost)
		synctest.Wait()
		alice.wantMet(carol, true)
		alice.group(one, 4)
		time.Sleep(partingMost - time.Hour)
		synctest.Wait()
		alice.wantMet(carol, true)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		alice.wantMet(carol, false)
		alice.wantMet(bob, true)

		// The list changed and nothing came of it: found at the next start.
		alice.stop()
		alice.must(alice.store.Update(t.Context(), store.Synced, func(tx store.Tx) error {
			if err := tx.PutMembership(one, store.Membership{Version: 5, Members: []packet.UserID{"alice", "carol"}}); err != nil {
				return err
			}
			return tx.PutMembership(two, store.Membership{Version: 2, Members: []packet.UserID{"alice"}})
		}))
		alice.start()
		alice.connect()
		alice.wantMet(carol, true)
		alice.wantMet(bob, true)
		alice.linkUp(bob)
		time.Sleep(partingTalk + time.Second)
		synctest.Wait()
		alice.wantMet(bob, false)
	})
}

// What somebody is besides: asked, asking, a contact, gone, blocked.
func TestAcquaintanceBesides(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		chat := packet.NewGroupChat()
		alice.group(chat, 1, "alice", "bob")
		bob.group(chat, 1, "alice", "bob")
		alice.wantMet(bob, true)
		linkable := func(when string, n *node, user packet.UserID, linkable, only bool) {
			t.Helper()
			if p := n.book.Person(user); p.Linkable != linkable || p.GroupsOnly != only {
				t.Errorf("%s: linkable %v, groups only %v", when, p.Linkable, p.GroupsOnly)
			}
		}
		alice.request("bob", "hello")
		alice.wantState("bob", store.ContactOutgoing)
		bob.wantState("alice", store.ContactIncoming)
		linkable("asking", bob, "alice", true, true)
		bob.answer("alice", true)
		bob.wantState("alice", store.ContactAccepted)
		linkable("contact", bob, "alice", true, false)
		alice.must(alice.roster.Rename(t.Context(), "bob", "Bobby"))

		alice.must(alice.roster.Remove(t.Context(), "bob", false))
		alice.wantMet(bob, true)
		if c := alice.contact("bob"); c.GetNickname() != "" {
			t.Errorf("kept %v", c)
		}
		bob.wantState("alice", store.ContactLeft)
		linkable("left", bob, "alice", true, true)
		if !bob.lists("alice") || !bob.contact("alice").GetOnline() {
			t.Error("who left as a contact is lost to the group")
		}

		alice.must(alice.roster.Block(t.Context(), "bob", true))
		alice.wantState("bob", store.ContactBlocked)
		if p := alice.book.Person("bob"); p.Linkable || !p.Blocked || alice.lists("bob") {
			t.Errorf("blocked: %+v", p)
		}
		if bob.contact("alice").GetOnline() {
			t.Error("the blocked one sees that alice is there")
		}
		alice.group(chat, 2, "alice", "bob", "carol")
		alice.wantState("bob", store.ContactBlocked)
		alice.must(alice.roster.Block(t.Context(), "bob", false))
		alice.wantMet(bob, true)

		// The group ends while he is blocked.
		alice.must(alice.roster.Block(t.Context(), "bob", true))
		alice.group(chat, 3, "alice", "carol")
		time.Sleep(partingMost + time.Hour)
		synctest.Wait()
		alice.wantState("bob", store.ContactBlocked)
		alice.must(alice.roster.Block(t.Context(), "bob", false))
		alice.wantMet(bob, false)
		if err := alice.roster.Remove(t.Context(), "carol", false); err != nil {
			t.Errorf("remove an acquaintance: %v", err)
		}
		alice.wantState("carol", store.ContactAcquaintance)
	})
}

// An acquaintance's keys change as a contact's do, and can be accepted.
func TestAcquaintanceKeys(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, carol := w.join("alice"), w.join("carol")
		chat := packet.NewGroupChat()
		alice.group(chat, 1, "alice", "carol")
		carol.group(chat, 1, "alice", "carol")
		alice.wantMet(carol, true)
		old := carol.id
		carol = w.reinstall(carol)
		carol.group(chat, 1, "alice", "carol")
		wantKeys := func(changed bool) {
			t.Helper()
			if c := alice.contact("carol"); c.GetKeyChanged() != changed || alice.book.Person("carol").Linkable == changed {
				t.Errorf("changed %v", c.GetKeyChanged())
			}
		}
		wantKeys(true)
		if got := alice.noticed(); !slices.Equal(got, []string{"warning contact:carol"}) {
			t.Errorf("noticed %v", got)
		}
		if _, _, ok := alice.book.Signer(chat, carol.id.Device()); ok {
			t.Error("the new key counts before it was accepted")
		}
		alice.must(alice.roster.AcceptKeys(t.Context(), "carol", alice.contact("carol").GetNewSafetyNumber()))
		wantKeys(false)
		alice.wantMet(carol, true)
		for _, device := range []packet.DeviceID{old.Device(), carol.id.Device()} {
			if user, _, ok := alice.book.Signer(chat, device); !ok || user != "carol" {
				t.Error("what she said with one of the keys cannot be verified")
			}
		}
		if _, _, ok := alice.book.Device(old.Device()); ok {
			t.Error("the old key is still trusted")
		}
	})
}

// Who is offline in a group says nothing by presence: the directory is asked for
// the keys, as soon as it can answer and as often as it allows.
func TestKeysOfMembersAreLookedUp(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, carol := w.join("alice"), w.join("carol")
		carol.stop()
		alice.disconnect()
		chat := packet.NewGroupChat()
		alice.group(chat, 1, "alice", "carol", "nobody")
		if _, _, ok := alice.book.Signer(chat, carol.id.Device()); ok {
			t.Fatal("known from nowhere")
		}
		alice.connect()
		alice.wantMet(carol, true)
		if p := alice.book.Person("nobody"); p.Linkable {
			t.Error("linkable without keys")
		}
		before := alice.dir.looked()
		time.Sleep(time.Hour)
		if alice.dir.looked() != before {
			t.Errorf("%d look-ups without a cause", alice.dir.looked()-before)
		}
	})
}

// Presence tells the keys of who is there: a large group is no reason to look
// everybody up.
func TestKeysComeByPresence(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob, carol := w.join("alice"), w.join("bob"), w.join("carol")
		carol.stop()
		before := alice.dir.looked()
		chat := packet.NewGroupChat()
		for _, n := range []*node{alice, bob} {
			n.group(chat, 1, "alice", "bob", "carol")
		}
		alice.wantMet(bob, true)
		alice.wantMet(carol, true)
		if n := alice.dir.looked() - before; n != 1 {
			t.Errorf("%d were looked up, not carol alone", n)
		}
	})
}

// A large group whose members are away has more to be looked up than the directory
// answers at once. Meanwhile the user finds people all the same.
func TestLookUpsLeaveRoom(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice := w.join("alice")
		w.join("bob")
		alice.dir.set(func(d *fakeDirectory) { d.limit = rate.NewLimiter(rate.Every(2*time.Second), 5) })
		members := []packet.UserID{"alice"}
		for i := range 50 {
			members = append(members, packet.UserID(fmt.Sprintf("member%02d", i)))
		}
		alice.group(packet.NewGroupChat(), 1, members...)
		found := 0
		for range 10 {
			time.Sleep(7 * time.Second)
			if _, err := alice.dir.LookUp(t.Context(), "bob"); err == nil {
				found++
			}
		}
		if found < 7 {
			t.Errorf("bob was found %d times of 10", found)
		}
		time.Sleep(5 * time.Minute)
		if n := alice.dir.looked() - found; n != 50 {
			t.Errorf("%d members were looked up", n)
		}
	})
}

func TestVouchedKeys(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob, carol := w.join("alice"), w.join("bob"), w.join("carol")
		w.friends(alice, bob)
		alice.disconnect()
		chat, other := packet.NewGroupChat(), packet.NewGroupChat()
		vouch := func(chat packet.ChatID, user packet.UserID, keys ...ed25519.PublicKey) {
			t.Helper()
			alice.must(alice.store.Update(t.Context(), store.Synced, func(tx store.Tx) error {
				return alice.roster.Vouch(tx, chat, user, keys)
			}))
		}
		spare := newKey(t)
		alice.group(chat, 1, "alice", "bob", "carol")
		changes := bus.Subscribe(alice.bus, bus.ContactChanged, 10)
		defer changes.Close()
		vouch(chat, "carol", carol.id.Key(), bob.id.Key(), ed25519.PublicKey("short"), spare)
		vouch(chat, "dave", spare)
		vouch(chat, "alice", newKey(t))
		vouch(packet.DirectChat("alice", "carol"), "carol", carol.id.Key())
		alice.group(chat, 1, "alice", "bob", "carol")
		if c, ok := changes.TryNext(); !ok || !c.Acquaintance {
			t.Errorf("nobody is told to look again: %v", c)
		}
		want := func(chat packet.ChatID, key ed25519.PublicKey, want packet.UserID) {
			t.Helper()
			if user, _, _ := alice.book.Signer(chat, packet.DeviceIDOf(key)); user != want {
				t.Errorf("signer %q, want %q", user, want)
			}
		}
		for range 2 {
			want(chat, carol.id.Key(), "carol")
			want(chat, bob.id.Key(), "bob") // who has it counts, not what is said
			want(chat, spare, "")           // two are said to have it
			want(other, carol.id.Key(), "")
			want(packet.DirectChat("alice", "carol"), carol.id.Key(), "")
			if _, _, ok := alice.book.Device(carol.id.Device()); ok || alice.book.Person("carol").Linkable {
				t.Error("a vouched key is good for a link")
			}
			alice.stop()
			alice.start()
		}
		// What is said of keys keeps nobody from having his own.
		vouch(chat, "mallory", carol.id.Key())
		alice.group(chat, 1, "alice", "bob", "carol")
		alice.connect()
		alice.wantMet(carol, true)
		want(chat, carol.id.Key(), "carol")

		alice.must(alice.store.Update(t.Context(), store.Synced, func(tx store.Tx) error { return tx.DeleteChat(chat) }))
		bus.Publish(alice.bus, bus.ChatChanged, bus.ChatChange{Chat: chat, Removed: true})
		synctest.Wait()
		if alice.value(vouchedPrefix(chat)+"carol") != nil {
			t.Error("kept for a chat that is gone")
		}
	})
}

func TestVouchedKeysAreBounded(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice := w.join("alice")
		chat := packet.NewGroupChat()
		alice.group(chat, 1, "alice", "carol")
		var last ed25519.PublicKey
		for range 2 * maxDevices {
			last = newKey(t)
			alice.must(alice.store.Update(t.Context(), store.Synced, func(tx store.Tx) error {
				return alice.roster.Vouch(tx, chat, "carol", []ed25519.PublicKey{last})
			}))
		}
		keys := splitKeys(alice.value(vouchedPrefix(chat) + "carol"))
		if len(keys) != maxDevices || !keys[maxDevices-1].Equal(last) {
			t.Errorf("%d keys", len(keys))
		}
	})
}

// The directory's list holds contacts first.
func TestListsHaveRoomForContacts(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice := w.device("alice", storetest.New(t))
		var members []packet.UserID
		for i := range maxPeople {
			members = append(members, packet.UserID(fmt.Sprintf("m%05d", i)))
		}
		alice.must(alice.store.Update(t.Context(), store.Synced, func(tx store.Tx) error {
			for _, m := range members {
				if err := tx.PutContact(store.Contact{User: m, State: store.ContactAcquaintance}); err != nil {
					return err
				}
			}
			if err := tx.PutContact(store.Contact{User: "zoe", State: store.ContactAccepted}); err != nil {
				return err
			}
			chat := packet.NewGroupChat()
			if err := tx.PutChat(store.Chat{ID: chat}); err != nil {
				return err
			}
			return tx.PutMembership(chat, store.Membership{Version: 1, Members: append(members, "alice")})
		}))
		alice.start()
		contacts, _ := alice.roster.Lists()
		if len(contacts) != maxPeople || contacts[len(contacts)-1] != "zoe" || !slices.IsSorted(contacts) {
			t.Errorf("%d listed, the last is %s", len(contacts), contacts[len(contacts)-1])
		}
		// Neither do they take contacts' room in the roster.
		if err := alice.roster.Request(t.Context(), "yann", ""); errors.Is(err, ErrFull) {
			t.Errorf("request: %v", err)
		}
	})
}

// The other side may have ended a link first, because it knew first.
func TestDepartureEndedByTheOther(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		chat := packet.NewGroupChat()
		alice.group(chat, 1, "alice", "bob")
		link := alice.linkUp(bob)
		link.Since = time.Now()
		alice.group(chat, 2, "alice")
		time.Sleep(partingTalk / 3)
		bus.Publish(alice.bus, bus.LinkDown, link)
		synctest.Wait()
		alice.wantMet(bob, true) // too short to be sure
		alice.linkUp(bob)
		time.Sleep(partingTalk * 2 / 3)
		bus.Publish(alice.bus, bus.LinkDown, link)
		synctest.Wait()
		alice.wantMet(bob, false)
	})
}

// Who joins a group gets entries of people of whom nothing is known here: they
// are looked up, once, and within a limit; who has pinned keys is not.
func TestUnknownAuthors(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob, carol := w.join("alice"), w.join("bob"), w.join("carol")
		w.friends(alice, bob)
		chat := packet.NewGroupChat()
		alice.group(chat, 1, "alice", "bob")
		named := func(user packet.UserID, device packet.DeviceID) {
			bus.Publish(alice.bus, bus.AuthorUnknown, bus.Author{Chat: chat, User: user, Device: device})
			synctest.Wait()
		}
		lookUps := alice.dir.looked
		before := lookUps()
		alice.dir.set(func(d *fakeDirectory) { d.err = errors.New("gone for a while") })
		named("carol", carol.id.Device())
		alice.dir.set(func(d *fakeDirectory) { d.err = nil })
		for range 5 {
			named("carol", carol.id.Device())
			named("carol", packet.DeviceIDOf(newKey(t))) // which is none of hers
			named("bob", packet.DeviceIDOf(newKey(t)))
			named("alice", packet.DeviceIDOf(newKey(t)))
		}
		if n := lookUps() - before; n != 1 {
			t.Errorf("%d look-ups", n)
		}
		if user, _, ok := alice.book.Signer(chat, carol.id.Device()); !ok || user != "carol" {
			t.Error("carol's key is not known")
		}
		if _, _, ok := alice.book.Device(carol.id.Device()); ok || alice.contact("carol") != nil {
			t.Error("she is more than an author")
		}
		tries := func() int { alice.dir.mu.Lock(); defer alice.dir.mu.Unlock(); return alice.dir.tries }
		before = tries()
		for i := range maxAuthors {
			named(packet.UserID(fmt.Sprintf("a%d", i)), packet.DeviceIDOf(newKey(t)))
		}
		if n := tries() - before; n == 0 || n > authorsBurst {
			t.Errorf("the directory was asked %d times at once", n)
		}
	})
}
