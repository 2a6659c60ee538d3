package roster

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
)

// Packets that must do nothing, taken off the directory all the same.
func TestForgedPackets(t *testing.T) {
	tests := []struct {
		name string
		send func(alice, bob, mallory *node)
	}{
		{"no signature", func(alice, bob, _ *node) {
			p := bob.seal("alice", packet.TypeRequest, "x", 1<<60)
			p.Signature = nil
			alice.deliver("bob", p, bob.id.Key())
		}},
		{"signed by another", func(alice, bob, mallory *node) {
			p := bob.seal("alice", packet.TypeRequest, "x", 1<<60)
			p.Signature = mallory.id.Sign(p.Raw)
			alice.deliver("bob", p, bob.id.Key())
		}},
		{"device of another", func(alice, bob, mallory *node) {
			p := mallory.sealHeader(packet.Header{Author: "bob", Chat: "alice-bob", Type: packet.TypeRequest, SentAt: 1 << 60}, "x")
			alice.deliver("bob", p, bob.id.Key())
		}},
		{"sender is not the author", func(alice, bob, mallory *node) {
			alice.deliver("mallory", bob.seal("alice", packet.TypeRequest, "x", 1<<60), bob.id.Key(), mallory.id.Key())
		}},
		{"no keys given", func(alice, bob, _ *node) {
			alice.deliver("bob", bob.seal("alice", packet.TypeRequest, "x", 1<<60))
		}},
		{"malformed keys", func(alice, bob, _ *node) {
			alice.deliver("bob", bob.seal("alice", packet.TypeRequest, "x", 1<<60), bob.id.Key()[:31], nil, ed25519.PublicKey{1})
		}},
		{"too many keys", func(alice, bob, _ *node) {
			keys := []ed25519.PublicKey{bob.id.Key()}
			for i := range 40 {
				keys = append(keys, bytes.Repeat([]byte{byte(i)}, 32))
			}
			alice.deliver("bob", bob.seal("alice", packet.TypeRequest, "x", 1<<60), keys...)
		}},
		{"other content", func(alice, bob, _ *node) {
			p := bob.seal("alice", packet.TypeRequest, "x", 1<<60)
			p.Content = []byte("y")
			alice.deliver("bob", p, bob.id.Key())
		}},
		{"chat of others", func(alice, bob, _ *node) {
			alice.deliver("bob", bob.seal("mallory", packet.TypeRequest, "x", 1<<60), bob.id.Key())
		}},
		{"group chat", func(alice, bob, _ *node) {
			p := bob.sealHeader(packet.Header{Chat: packet.NewGroupChat(), Type: packet.TypeRequest, SentAt: 1 << 60}, "x")
			alice.deliver("bob", p, bob.id.Key())
		}},
		{"another type", func(alice, bob, _ *node) {
			alice.deliver("bob", bob.seal("alice", "text", "x", 1<<60), bob.id.Key())
		}},
		{"reliable", func(alice, bob, _ *node) {
			p := bob.sealHeader(packet.Header{Chat: "alice-bob", Type: packet.TypeRequest, SentAt: 1 << 60,
				Delivery: packet.Reliable, Epoch: 1, Number: 1, Depth: 1}, "x")
			alice.deliver("bob", p, bob.id.Key())
		}},
		{"long greeting", func(alice, bob, _ *node) {
			alice.deliver("bob", bob.seal("alice", packet.TypeRequest, strings.Repeat("x", 1001), 1<<60), bob.id.Key())
		}},
		{"greeting not text", func(alice, bob, _ *node) {
			alice.deliver("bob", bob.seal("alice", packet.TypeRequest, "\xff\xfe", 1<<60), bob.id.Key())
		}},
		{"huge", func(alice, bob, _ *node) {
			alice.deliver("bob", bob.seal("alice", packet.TypeRequest, strings.Repeat("x", 100_000), 1<<60), bob.id.Key())
		}},
		{"garbage", func(alice, bob, _ *node) {
			alice.deliverBytes("bob", []byte("\xff\xff\xffgarbage"), bob.id.Key())
		}},
		{"nothing", func(alice, bob, _ *node) { alice.deliverBytes("bob", nil, bob.id.Key()) }},
		{"no user", func(alice, bob, _ *node) {
			alice.deliver("Bob!", bob.seal("alice", packet.TypeRequest, "x", 1<<60), bob.id.Key())
		}},
		{"from oneself", func(alice, _, _ *node) {
			p := alice.sealHeader(packet.Header{Chat: "alice-bob", Type: packet.TypeRequest, SentAt: 1 << 60}, "x")
			alice.deliver("alice", p, alice.id.Key())
		}},
		{"with the keys of the receiver", func(alice, bob, _ *node) {
			p := alice.sealHeader(packet.Header{Author: "bob", Chat: "alice-bob", Type: packet.TypeRequest, SentAt: 1 << 60}, "x")
			alice.deliver("bob", p, alice.id.Key())
		}},
		{"nil", func(alice, _, _ *node) {
			bus.Publish(alice.bus, bus.DirectoryDelivered, &directorypb.Delivered{})
			bus.Publish(alice.bus, bus.DirectoryDelivered, (*directorypb.Delivered)(nil))
			synctest.Wait()
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				alice, bob, mallory := w.join("alice"), w.join("bob"), w.join("mallory")
				tt.send(alice, bob, mallory)
				if contacts, err := alice.roster.Contacts(t.Context()); err != nil || len(contacts) > 0 {
					t.Errorf("contacts %v, %v", contacts, err)
				}
				if alice.boxed() != 0 {
					t.Error("it will come again")
				}
				// And the true one still works.
				bob.request("alice", "hello")
				alice.wantState("bob", store.ContactIncoming)
			})
		})
	}
}

// A content that does not fit a leave or accept makes it none.
func TestContentWhereNoneBelongs(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		w.friends(alice, bob)
		alice.deliver("bob", bob.seal("alice", packet.TypeLeave, "and take this", 1<<60), bob.id.Key())
		alice.wantState("bob", store.ContactAccepted)
	})
}

// A directory that hands out what it once kept changes nothing.
func TestReplay(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		w.friends(alice, bob)
		bob.disconnect()
		leave := bob.seal("alice", packet.TypeLeave, "", 1<<60)
		request := bob.seal("alice", packet.TypeRequest, "again", 1<<60+1)
		alice.deliver("bob", leave, bob.id.Key())
		alice.wantState("bob", store.ContactLeft)
		alice.deliver("bob", request, bob.id.Key())
		alice.answer("bob", true)
		alice.deliver("bob", leave, bob.id.Key())
		alice.wantState("bob", store.ContactAccepted)
		alice.must(alice.roster.Remove(t.Context(), "bob", true))
		alice.deliver("bob", request, bob.id.Key())
		alice.wantState("bob", none)
		alice.restart()
		alice.deliver("bob", request, bob.id.Key())
		alice.wantState("bob", none)
		if alice.boxed() != 0 {
			t.Error("the directory was not told that replays were taken")
		}
	})
}

// A request and what followed it may come in the wrong order.
func TestOrder(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		alice.request("bob", "hello")
		bob.disconnect()
		accept, leave := bob.seal("alice", packet.TypeAccept, "", 1<<60), bob.seal("alice", packet.TypeLeave, "", 1<<60+1)
		alice.deliver("bob", leave, bob.id.Key())
		alice.deliver("bob", accept, bob.id.Key())
		alice.wantState("bob", store.ContactLeft)
	})
}

func TestBoundedRequests(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		alice.must(alice.store.Update(t.Context(), store.Lazy, func(tx store.Tx) error {
			for i := range maxIncoming {
				err := tx.PutContact(store.Contact{User: packet.UserID(fmt.Sprintf("spam%d", i)), State: store.ContactIncoming})
				if err != nil {
					return err
				}
			}
			return nil
		}))
		alice.restart()
		bob.request("alice", "hello")
		alice.wantState("bob", none)
		if alice.boxed() != 0 || alice.value("seen/bob/"+bob.id.Device().String()) != nil {
			t.Error("it left a trace")
		}
		alice.answer("spam0", false)
		bob.request("alice", "hello")
		alice.wantState("bob", store.ContactIncoming)
	})
}

func TestBoundedRoster(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		alice.must(alice.store.Update(t.Context(), store.Lazy, func(tx store.Tx) error {
			for i := range maxPeople {
				if err := tx.PutContact(store.Contact{User: packet.UserID(fmt.Sprintf("friend%d", i)), State: store.ContactLeft}); err != nil {
					return err
				}
			}
			return nil
		}))
		alice.restart()
		if err := alice.roster.Request(t.Context(), "bob", "hello"); !errors.Is(err, ErrFull) {
			t.Errorf("request: %v", err)
		}
		if err := alice.roster.Block(t.Context(), "bob", true); !errors.Is(err, ErrFull) {
			t.Errorf("block: %v", err)
		}
		bob.request("alice", "hello")
		alice.wantState("bob", none)
	})
}

// More than the queue holds: nothing blocks, nothing is lost for good, and every
// link gets its credit back.
func TestFlood(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		w.friends(alice, bob)
		link := alice.linkUp(bob)
		p := bob.seal("alice", packet.TypeLeave, "", 1)
		released := make(chan struct{}, 5*maxQueued)
		for range 3 * maxQueued {
			bus.Publish(alice.bus, bus.PacketReceived, bus.Received{Link: link, Packet: &p, Release: func() { released <- struct{}{} }})
		}
		synctest.Wait()
		if len(released) < 3*maxQueued {
			t.Errorf("%d of %d credits came back", len(released), 3*maxQueued)
		}
		alice.wantState("bob", store.ContactAccepted)
	})
}

func TestPacketsOverLinks(t *testing.T) {
	tests := []struct {
		name string
		make func(alice, bob, mallory *node) (bus.Link, packet.Packet)
		want store.ContactState
	}{
		{"leave", func(_, bob, _ *node) (bus.Link, packet.Packet) {
			return bus.Link{User: "bob", Device: bob.id.Device(), Key: bob.id.Key()}, bob.seal("alice", packet.TypeLeave, "", 1<<60)
		}, store.ContactLeft},
		{"leave without a signature", func(_, bob, _ *node) (bus.Link, packet.Packet) {
			p := bob.seal("alice", packet.TypeLeave, "", 1<<60)
			p.Signature = nil // the link proves the author
			return bus.Link{User: "bob", Device: bob.id.Device(), Key: bob.id.Key()}, p
		}, store.ContactLeft},
		{"of another author", func(_, bob, mallory *node) (bus.Link, packet.Packet) {
			return bus.Link{User: "mallory", Device: mallory.id.Device(), Key: mallory.id.Key()}, bob.seal("alice", packet.TypeLeave, "", 1<<60)
		}, store.ContactAccepted},
		{"of another device", func(_, bob, mallory *node) (bus.Link, packet.Packet) {
			p := mallory.sealHeader(packet.Header{Author: "bob", Chat: "alice-bob", Type: packet.TypeLeave, SentAt: 1 << 60}, "")
			return bus.Link{User: "bob", Device: bob.id.Device(), Key: bob.id.Key()}, p
		}, store.ContactAccepted},
		{"over a link of a key that is not pinned", func(_, _, mallory *node) (bus.Link, packet.Packet) {
			p := mallory.sealHeader(packet.Header{Author: "bob", Chat: "alice-bob", Type: packet.TypeLeave, SentAt: 1 << 60}, "")
			return bus.Link{User: "bob", Device: mallory.id.Device(), Key: mallory.id.Key()}, p
		}, store.ContactAccepted},
		{"with a wrong signature", func(_, bob, mallory *node) (bus.Link, packet.Packet) {
			p := bob.seal("alice", packet.TypeLeave, "", 1<<60)
			p.Signature = mallory.id.Sign(p.Raw)
			return bus.Link{User: "bob", Device: bob.id.Device(), Key: bob.id.Key()}, p
		}, store.ContactAccepted},
		{"not for the roster", func(_, bob, _ *node) (bus.Link, packet.Packet) {
			return bus.Link{User: "bob", Device: bob.id.Device(), Key: bob.id.Key()}, bob.seal("alice", "typing", "", 1<<60)
		}, store.ContactAccepted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				alice, bob, mallory := w.join("alice"), w.join("bob"), w.join("mallory")
				w.friends(alice, bob)
				bob.disconnect()
				link, p := tt.make(alice, bob, mallory)
				released := 0
				bus.Publish(alice.bus, bus.PacketReceived, bus.Received{Link: link, Packet: &p, Release: func() { released++ }})
				synctest.Wait()
				alice.wantState("bob", tt.want)
				if want := ours(p.Header.Type); (released > 0) != want {
					t.Errorf("released %d times", released)
				}
			})
		})
	}
}

// A directory that lists one person's key for another must not get the one
// taken for the other.
func TestKeyOfAnother(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob, mallory := w.join("alice"), w.join("bob"), w.join("mallory")
		w.friends(alice, bob)
		alice.deliver("mallory", mallory.seal("alice", packet.TypeRequest, "hi", 1<<60), mallory.id.Key(), bob.id.Key(), alice.id.Key())
		alice.wantState("mallory", store.ContactIncoming)
		if user, _, _ := alice.book.Device(bob.id.Device()); user != "bob" {
			t.Errorf("bob's device is of %q", user)
		}
		if keys := alice.book.Person("mallory").Keys; len(keys) != 1 || !keys[0].Equal(mallory.id.Key()) {
			t.Errorf("mallory has %d keys", len(keys))
		}
	})
}

// The disk is full: nothing is taken, so it comes again.
func TestStoreFails(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		alice.store.Fail(store.ErrFull)
		bob.request("alice", "hello")
		if alice.boxed() != 1 {
			t.Errorf("the directory keeps %d", alice.boxed())
		}
		if err := alice.roster.Block(t.Context(), "bob", true); !errors.Is(err, store.ErrFull) {
			t.Errorf("block: %v", err)
		}
		if alice.book.Person("bob").Blocked {
			t.Error("the book shows what was not stored")
		}
		alice.store.Fail(nil)
		alice.disconnect()
		alice.connect()
		alice.wantState("bob", store.ContactIncoming)
		if alice.boxed() != 0 {
			t.Error("not taken")
		}
	})
}
