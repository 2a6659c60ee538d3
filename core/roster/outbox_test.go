package roster

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/core/store/storetest"
	"github.com/parley-chat/parley/protocol/packet"
)

// wait lets time pass, and what falls due happen.
func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestRequestWhileOffline(t *testing.T) {
	for _, restart := range []bool{false, true} {
		inWorld(t, func(t *testing.T, w *world) {
			alice, bob := w.join("alice"), w.join("bob")
			alice.disconnect()
			alice.request("bob", "hello")
			alice.wantState("bob", store.ContactOutgoing)
			if p := alice.book.Person("bob"); p.Linkable {
				t.Error("links are wanted with somebody without keys")
			}
			if restart {
				alice.restart()
			} else {
				alice.connect()
			}
			bob.wantState("alice", store.ContactIncoming)
			if alice.contact("bob").GetSafetyNumber() == "" {
				t.Error("the keys were not pinned")
			}
			bob.answer("alice", true)
			alice.wantState("bob", store.ContactAccepted)
		})
	}
}

func TestRequestNobodyWhileOffline(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice := w.join("alice")
		alice.disconnect()
		alice.request("nobody", "hello")
		alice.connect()
		alice.wantState("nobody", none)
		if got := alice.noticed(); !slices.Equal(got, []string{"error contact:nobody"}) {
			t.Errorf("noticed %v", got)
		}
		if alice.value("outbox/nobody") != nil {
			t.Error("it still waits")
		}
	})
}

func TestAnswerWhileOffline(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		alice.request("bob", "hello")
		bob.disconnect()
		bob.answer("alice", true)
		bob.wantState("alice", store.ContactAccepted)
		alice.wantState("bob", store.ContactOutgoing)
		bob.stop()
		alice.disconnect()
		bob.start()
		bob.connect()
		alice.connect() // the directory kept it
		alice.wantState("bob", store.ContactAccepted)
	})
}

// Only the last word goes out.
func TestNewerReplacesOlder(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		alice.disconnect()
		alice.request("bob", "hello")
		alice.must(alice.roster.Remove(t.Context(), "bob", true))
		alice.connect()
		if !slices.Equal(alice.dir.delivers, []packet.Type{packet.TypeLeave}) {
			t.Errorf("sent %v", alice.dir.delivers)
		}
		bob.wantState("alice", none)
	})
}

// The clock going back must not make packets look old.
func TestClockGoesBack(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		w.friends(alice, bob)
		alice.roster.clock = func() time.Time { return time.Unix(1000, 0) }
		alice.must(alice.roster.Remove(t.Context(), "bob", false))
		bob.wantState("alice", store.ContactLeft)
		alice.request("bob", "sorry")
		bob.wantState("alice", store.ContactIncoming)
	})
}

func TestRetries(t *testing.T) {
	slow, err := status.New(codes.ResourceExhausted, "slow down").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		err    error
		before time.Duration // nothing is tried sooner
		after  time.Duration // it is tried by then
	}{
		{"hiccup", status.Error(codes.Unavailable, "hiccup"), 900 * time.Millisecond, time.Second},
		{"any error", errors.New("broken pipe"), 900 * time.Millisecond, time.Second},
		{"logged out meanwhile", status.Error(codes.Unauthenticated, "log in again"), 900 * time.Millisecond, time.Second},
		{"asked to wait", slow.Err(), 59 * time.Second, time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				alice, bob := w.join("alice"), w.join("bob")
				w.friends(alice, bob)
				alice.dir.set(func(d *fakeDirectory) { d.err = tt.err })
				alice.must(alice.roster.Remove(t.Context(), "bob", false))
				alice.dir.set(func(d *fakeDirectory) { d.err = nil })
				wait(tt.before)
				bob.wantState("alice", store.ContactAccepted)
				wait(tt.after - tt.before)
				bob.wantState("alice", store.ContactLeft)
			})
		})
	}
}

func TestRetriesBackOff(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		w.friends(alice, bob)
		alice.dir.set(func(d *fakeDirectory) { d.err, d.tries = errors.New("down"), 0 })
		alice.must(alice.roster.Remove(t.Context(), "bob", false))
		wait(time.Hour)
		tries := 0
		alice.dir.set(func(d *fakeDirectory) { tries, d.err = d.tries, nil })
		if tries < 12 || tries > 40 {
			t.Errorf("tried %d times in an hour", tries)
		}
		wait(retryMost)
		bob.wantState("alice", store.ContactLeft)
	})
}

// One person's packet that the directory does not want must not hold up the others'.
func TestRefusedForGood(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		w.friends(alice, bob)
		alice.dir.set(func(d *fakeDirectory) { d.err = status.Error(codes.PermissionDenied, "not allowed") })
		alice.must(alice.roster.Remove(t.Context(), "bob", false))
		if alice.value("outbox/bob") != nil {
			t.Error("it waits for ever")
		}
	})
}

// The core dies after the commit and before the directory heard of it.
func TestRestartBeforeTook(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		alice.dir.set(func(d *fakeDirectory) { d.tookErr = errors.New("connection lost") })
		bob.request("alice", "hello")
		if alice.boxed() != 1 {
			t.Fatal("taken")
		}
		alice.answer("bob", false)
		alice.dir.set(func(d *fakeDirectory) { d.tookErr = nil })
		alice.restart()
		alice.wantState("bob", none) // declined stays declined
		if alice.boxed() != 0 {
			t.Error("not taken now")
		}
	})
}

// What waits for the directory goes over a link, too, if there is one.
func TestLinkCarriesWhatWaits(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		w.friends(alice, bob)
		alice.disconnect()
		alice.linkUp(bob)
		alice.must(alice.roster.Remove(t.Context(), "bob", false))
		if len(alice.links.sent) != 1 || alice.links.sent[0].Header.Type != packet.TypeLeave || !alice.links.closedFor("bob") {
			t.Errorf("sent %v, closed %v", alice.links.sent, alice.links.closed)
		}

		alice.connect()
		bob.request("alice", "again")
		alice.disconnect()
		alice.answer("bob", true)
		if len(alice.links.sent) != 1 {
			t.Fatal("sent without a link")
		}
		alice.linkUp(bob)
		if len(alice.links.sent) != 2 || alice.links.sent[1].Header.Type != packet.TypeAccept {
			t.Errorf("sent %v", alice.links.sent)
		}
		if alice.value("outbox/bob") == nil {
			t.Error("a link is not the sure way")
		}
	})
}

// A store with an outbox that somebody damaged must not stop the others.
func TestDamagedOutbox(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := storetest.New(t)
		alice := w.device("alice", s)
		bob := w.join("bob")
		alice.must(s.Update(t.Context(), store.Synced, func(tx store.Tx) error {
			return tx.PutValue(namespace, keyOutbox+"carol", []byte("garbage"))
		}))
		alice.start()
		alice.connect()
		alice.request("bob", "hello")
		bob.wantState("alice", store.ContactIncoming)
		if alice.value("outbox/carol") != nil {
			t.Error("garbage waits for ever")
		}
	})
}
