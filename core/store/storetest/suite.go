package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// The chats of the suite, and a log in each.
const (
	chatA = packet.ChatID("alice-bob")
	chatB = packet.ChatID("alice-carol")
)

var (
	aliceDevice = packet.DeviceID{1}
	bobDevice   = packet.DeviceID{2}
	aliceLog    = packet.Log{Chat: chatA, Device: aliceDevice, Epoch: 10}
	bobLog      = packet.Log{Chat: chatA, Device: bobDevice, Epoch: 20}
)

// Run proves that what open gives keeps the promises of [store.Store]. open
// gives an empty store that is closed at the end of the test.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, group := range []struct {
		name  string
		tests []subtest
	}{
		{"transactions", transactionTests},
		{"values", valueTests},
		{"chats", chatTests},
		{"logs", logTests},
		{"unhandled", unhandledTests},
		{"messages", messageTests},
		{"search", searchTests},
		{"blobs", blobTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) {
					test.run(&tester{T: t, s: open(t)})
				})
			}
		})
	}
}

type subtest struct {
	name string
	run  func(t *tester)
}

// tester runs transactions that must succeed.
type tester struct {
	*testing.T
	s store.Store
}

func (t *tester) update(fn func(tx store.Tx) error) {
	t.Helper()
	if err := t.s.Update(context.Background(), store.Lazy, fn); err != nil {
		t.Fatal(err)
	}
}

func (t *tester) view(fn func(tx store.ReadTx) error) {
	t.Helper()
	if err := t.s.View(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
}

// chats makes both chats.
func (t *tester) chats() {
	t.Helper()
	t.update(func(tx store.Tx) error {
		return errors.Join(tx.PutChat(store.Chat{ID: chatA, CreatedAt: 1}), tx.PutChat(store.Chat{ID: chatB, CreatedAt: 2}))
	})
}

func (t *tester) chat(id packet.ChatID) (c store.Chat) {
	t.Helper()
	t.view(func(tx store.ReadTx) (err error) {
		c, err = tx.Chat(id)
		return err
	})
	return c
}

// put adds entries, each of which must be new.
func (t *tester) put(entries ...store.Entry) {
	t.Helper()
	t.update(func(tx store.Tx) error {
		for _, e := range entries {
			if added, err := tx.PutEntry(e); err != nil || !added {
				t.Errorf("PutEntry(%s) = %v, %v", e.Packet.Header.Key(), added, err)
			}
		}
		return nil
	})
}

// add adds messages, each of which must be new.
func (t *tester) add(messages ...store.Message) {
	t.Helper()
	t.update(func(tx store.Tx) error {
		for _, m := range messages {
			if added, err := tx.AddMessage(m); err != nil || !added {
				t.Errorf("AddMessage(%s) = %v, %v", m.ID, added, err)
			}
		}
		return nil
	})
}

func (t *tester) is(err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("the error is %v, not %v", err, want)
	}
}

// Same compares what two stores gave, or a store and an expectation. Nil and
// empty are alike.
func Same(want, got any) string { return cmp.Diff(want, got, cmpopts.EquateEmpty()) }

func (t *tester) same(want, got any) {
	t.Helper()
	if d := Same(want, got); d != "" {
		t.Errorf("differs (-want +got):\n%s", d)
	}
}

func numbers(entries []store.Entry) []uint64 {
	var out []uint64
	for _, e := range entries {
		out = append(out, e.Packet.Header.Number)
	}
	return out
}

func bodies(messages []store.Message) []string {
	var out []string
	for _, m := range messages {
		out = append(out, m.Body)
	}
	return out
}
