package roster

import (
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/core/store/storetest"
	"github.com/parley-chat/parley/protocol/packet"
)

// reinstall gives a user a new device that knows nothing.
func (w *world) reinstall(n *node) *node {
	w.t.Helper()
	n.stop()
	again := w.device(n.id.User(), storetest.New(w.t))
	again.start()
	again.connect()
	return again
}

// wantChanged checks that alice sees bob's keys as changed, or as fine.
func wantChanged(t *testing.T, alice *node, changed bool) {
	t.Helper()
	c := alice.contact("bob")
	if c.GetKeyChanged() != changed || (c.GetNewSafetyNumber() != "") != changed {
		t.Errorf("key changed: %v, new number %q; want %v", c.GetKeyChanged(), c.GetNewSafetyNumber(), changed)
	}
	if alice.book.Person("bob").Linkable == changed {
		t.Errorf("linkable: %v", !changed)
	}
}

func TestReinstalledPeer(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		w.friends(alice, bob)
		alice.must(alice.roster.SetVerified(t.Context(), "bob", true))
		alice.linkUp(bob)
		alice.noticed()

		bob = w.reinstall(bob)
		bob.request("alice", "new phone")
		wantChanged(t, alice, true)
		if got := alice.noticed(); !slices.Equal(got, []string{"warning contact:bob"}) {
			t.Errorf("noticed %v", got)
		}
		if !alice.links.closedFor("bob") {
			t.Error("links were not closed")
		}
		if alice.boxed() != 0 {
			t.Error("the directory still has the request")
		}
		bob.wantState("alice", store.ContactOutgoing)
		if key := alice.book.Person("bob").Keys; len(key) != 1 || key[0].Equal(bob.id.Key()) {
			t.Error("the new key is trusted")
		}

		// It is there after a restart, and said only once.
		alice.restart()
		wantChanged(t, alice, true)
		if got := alice.noticed(); len(got) > 0 {
			t.Errorf("noticed again %v", got)
		}

		c := alice.contact("bob")
		if c.GetNewSafetyNumber() != bob.contact("alice").GetSafetyNumber() {
			t.Error("the two sides show different numbers")
		}
		for _, wrong := range []string{"", c.GetSafetyNumber(), strings.Repeat("00000 ", 12)} {
			if err := alice.roster.AcceptKeys(t.Context(), "bob", wrong); !errors.Is(err, ErrKeys) {
				t.Errorf("number %q: %v", wrong, err)
			}
		}
		if err := alice.roster.SetVerified(t.Context(), "bob", true); !errors.Is(err, ErrKeys) {
			t.Errorf("verified while changed: %v", err)
		}
		wantChanged(t, alice, true)
		alice.must(alice.roster.AcceptKeys(t.Context(), "bob", strings.ReplaceAll(c.GetNewSafetyNumber(), " ", "  ")))
		wantChanged(t, alice, false)
		now := alice.contact("bob")
		if now.GetSafetyNumber() != c.GetNewSafetyNumber() || now.GetVerified() {
			t.Errorf("contact %v", now)
		}
		if keys := alice.book.Person("bob").Keys; len(keys) != 1 || !keys[0].Equal(bob.id.Key()) {
			t.Error("the old key is still trusted, or the new one is not")
		}
		// The request that was held back had its answer.
		alice.wantState("bob", store.ContactAccepted)
		bob.wantState("alice", store.ContactAccepted)
		if err := alice.roster.AcceptKeys(t.Context(), "bob", c.GetNewSafetyNumber()); !errors.Is(err, ErrKeys) {
			t.Errorf("accepted twice: %v", err)
		}
	})
}

// Presence and look-ups tell of new keys, too; and of old ones that are gone.
func TestObservedKeys(t *testing.T) {
	k1, k2 := newKey(t), newKey(t)
	tests := []struct {
		name    string
		listed  func(bob ed25519.PublicKey) []ed25519.PublicKey
		changed bool
		trusted int
		closed  bool
	}{
		{"the same", func(b ed25519.PublicKey) []ed25519.PublicKey { return []ed25519.PublicKey{b} }, false, 1, false},
		{"none", func(ed25519.PublicKey) []ed25519.PublicKey { return nil }, false, 1, false},
		{"malformed", func(ed25519.PublicKey) []ed25519.PublicKey { return []ed25519.PublicKey{{1, 2, 3}} }, false, 1, false},
		{"another", func(ed25519.PublicKey) []ed25519.PublicKey { return []ed25519.PublicKey{k1} }, true, 1, true},
		{"one more", func(b ed25519.PublicKey) []ed25519.PublicKey { return []ed25519.PublicKey{k1, b} }, true, 1, true},
		{"two others", func(ed25519.PublicKey) []ed25519.PublicKey { return []ed25519.PublicKey{k1, k2, k1} }, true, 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				alice, bob := w.join("alice"), w.join("bob")
				w.friends(alice, bob)
				bus.Publish(alice.bus, bus.PresenceChanged, bus.Presence{User: "bob", Online: true, Keys: tt.listed(bob.id.Key())})
				synctest.Wait()
				wantChanged(t, alice, tt.changed)
				if keys := alice.book.Person("bob").Keys; len(keys) != tt.trusted || !keys[0].Equal(bob.id.Key()) {
					t.Errorf("%d keys are trusted", len(keys))
				}
				if alice.links.closedFor("bob") != tt.closed {
					t.Errorf("links closed: %v", !tt.closed)
				}
				if !tt.changed {
					return
				}
				number := identity.SafetyNumber("alice", []ed25519.PublicKey{alice.id.Key()}, "bob", cleanKeys(tt.listed(bob.id.Key())))
				if got := alice.contact("bob").GetNewSafetyNumber(); got != number {
					t.Errorf("new number %q, want %q", got, number)
				}
				// The directory takes it back: all is as it was.
				bus.Publish(alice.bus, bus.PresenceChanged, bus.Presence{User: "bob", Online: true, Keys: []ed25519.PublicKey{bob.id.Key()}})
				synctest.Wait()
				wantChanged(t, alice, false)
			})
		})
	}
}

func newKey(t *testing.T) ed25519.PublicKey {
	t.Helper()
	key, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// A device that the directory revoked is trusted no more.
func TestRevokedDevice(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		lost := newKey(t)
		w.hub.mu.Lock()
		w.hub.account("bob").keys = []ed25519.PublicKey{bob.id.Key(), lost}
		w.hub.mu.Unlock()
		w.friends(alice, bob)
		if _, _, ok := alice.book.Device(packet.DeviceIDOf(lost)); !ok {
			t.Fatal("the second device was not pinned")
		}
		w.hub.mu.Lock()
		w.hub.account("bob").keys = []ed25519.PublicKey{bob.id.Key()}
		w.hub.mu.Unlock()
		w.hub.presences()
		synctest.Wait()
		if _, _, ok := alice.book.Device(packet.DeviceIDOf(lost)); ok {
			t.Error("the lost device is trusted")
		}
		wantChanged(t, alice, false)
	})
}

// Nothing goes to changed keys, not even by way of the directory.
func TestNothingSentToChangedKeys(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		w.friends(alice, bob)
		bob.must(bob.roster.Remove(t.Context(), "alice", false))
		alice.wantState("bob", store.ContactLeft)
		bob = w.reinstall(bob)
		alice.request("bob", "are you there?") // the look-up tells of the new key
		wantChanged(t, alice, true)
		bob.wantState("alice", none)
		alice.must(alice.roster.AcceptKeys(t.Context(), "bob", alice.contact("bob").GetNewSafetyNumber()))
		bob.wantState("alice", store.ContactIncoming)
	})
}

// A packet of the old key still counts while the new one waits.
func TestOldKeyWhileChanged(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		w.friends(alice, bob)
		bob.disconnect()
		other := newKey(t)
		alice.deliver("bob", bob.seal("alice", packet.TypeLeave, "", 1<<60), bob.id.Key(), other)
		alice.wantState("bob", store.ContactLeft)
		if !alice.contact("bob").GetKeyChanged() {
			t.Error("the new key went unnoticed")
		}
	})
}

// What was held back of a key is gone with the contact, or when somebody else's
// key is accepted.
func TestHeldPacket(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		w.friends(alice, bob)
		bob.disconnect()
		mallory := w.device("mallory", storetest.New(t))
		leave := mallory.sealHeader(packet.Header{Author: "bob", Chat: "alice-bob", Type: packet.TypeLeave, SentAt: 1 << 60}, "")
		alice.deliver("bob", leave, mallory.id.Key())
		wantChanged(t, alice, true)
		alice.wantState("bob", store.ContactAccepted)
		if alice.value("held/bob") == nil {
			t.Fatal("not held")
		}
		k := newKey(t)
		bus.Publish(alice.bus, bus.PresenceChanged, bus.Presence{User: "bob", Online: true, Keys: []ed25519.PublicKey{k}})
		synctest.Wait()
		alice.must(alice.roster.AcceptKeys(t.Context(), "bob", alice.contact("bob").GetNewSafetyNumber()))
		alice.wantState("bob", store.ContactAccepted)
		alice.deliver("bob", leave, mallory.id.Key())
		alice.must(alice.roster.Remove(t.Context(), "bob", true))
		if alice.value("held/bob") != nil || alice.value("listed/bob") != nil {
			t.Error("it stays after the contact is gone")
		}
	})
}

func TestTrustStrangers(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice := w.join("alice")
		w.join("bob")
		if err := alice.roster.AcceptKeys(t.Context(), "bob", "1"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("accept: %v", err)
		}
		if err := alice.roster.SetVerified(t.Context(), "bob", true); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("verify: %v", err)
		}
		alice.disconnect()
		alice.request("bob", "hello")
		if err := alice.roster.SetVerified(t.Context(), "bob", true); !errors.Is(err, ErrKeys) {
			t.Errorf("verify without keys: %v", err)
		}
	})
}
