package store_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/core/store/storetest"
	"github.com/parley-chat/parley/protocol/packet"
)

// model draws operations and says in words what each gave.
type model struct {
	chats   []packet.ChatID
	bodies  []string
	devices []packet.DeviceID
}

var drawn = model{
	chats:   []packet.ChatID{"alice-bob", "alice-carol"},
	bodies:  []string{"hello world", "Hellos", "second 你好世界", "世界", "wow", "help me, second one", ""},
	devices: []packet.DeviceID{{1}, {2}},
}

// operation is one call, with its arguments drawn, to be made on each store.
type operation func(tx store.Tx) (string, error)

func (m model) draw(t *rapid.T) operation {
	chat := rapid.SampledFrom(m.chats).Draw(t, "chat")
	n := rapid.Uint64Range(1, 12).Draw(t, "n")
	body := rapid.SampledFrom(m.bodies).Draw(t, "body")
	device := rapid.SampledFrom(m.devices).Draw(t, "device")
	log := packet.Log{Chat: chat, Device: device, Epoch: 1}
	key := packet.EntryKey{Log: log, Number: n}
	state := rapid.SampledFrom([]store.EntryState{
		store.EntryNew, store.EntryNew, store.EntryHandled, store.EntryStub, store.EntrySetAside, store.EntryWaiting,
	}).Draw(t, "state")
	message := storetest.Message(chat, n, body)
	message.Notifies = rapid.Bool().Draw(t, "notifies")
	if rapid.Bool().Draw(t, "of an entry") {
		message.Entry = key
	}
	annotation := storetest.Annotation(message, rapid.SampledFrom([]string{"pin", "reaction"}).Draw(t, "kind"), "bob", body)
	kind := rapid.SampledFrom([]packet.Type{"text", "text", "image"}).Draw(t, "type")
	members := rapid.SliceOfN(rapid.SampledFrom([]packet.UserID{"alice", "bob", "carol"}), 1, 3).Draw(t, "members")
	reset := rapid.Bool().Draw(t, "reset")
	blob := storetest.Blob(message, n%4)
	blob.State = store.BlobState(rapid.IntRange(int(store.BlobShared), int(store.BlobCancelled)).Draw(t, "blob state"))
	blob.Told = rapid.Bool().Draw(t, "told")
	return rapid.SampledFrom([]operation{
		func(tx store.Tx) (string, error) {
			e := storetest.Entry("alice", log, n, n, kind, body)
			e.State = state
			added, err := tx.PutEntry(e)
			return fmt.Sprint("entry added ", added), err
		},
		func(tx store.Tx) (string, error) {
			return "state", tx.SetEntryState(key, state, packet.ReasonForbidden, "no")
		},
		func(tx store.Tx) (string, error) {
			e := storetest.Entry("alice", log, n, n+20, kind, body)
			e.State = state
			added, err := tx.PutTwin(e)
			return fmt.Sprint("twin added ", added), err
		},
		func(tx store.Tx) (string, error) { return "drop", tx.DropContent(key) },
		func(tx store.Tx) (string, error) {
			n, err := tx.AddAttempt(key)
			return fmt.Sprint("attempt ", n), err
		},
		func(tx store.Tx) (string, error) {
			added, err := tx.AddMessage(message)
			return fmt.Sprint("message added ", added), err
		},
		func(tx store.Tx) (string, error) { return "changed", tx.ChangeMessage(message) },
		func(tx store.Tx) (string, error) { return "deleted", tx.DeleteMessage(message.ID) },
		func(tx store.Tx) (string, error) { return "withdrawn", tx.WithdrawMessage(message.ID) },
		func(tx store.Tx) (string, error) { return "blob put", tx.PutBlob(blob) },
		func(tx store.Tx) (string, error) { return "blob gone", tx.DeleteBlob(blob.ID) },
		func(tx store.Tx) (string, error) { return "annotated", tx.PutAnnotation(annotation) },
		func(tx store.Tx) (string, error) {
			return "annotation gone", tx.DeleteAnnotation(annotation.Message, annotation.Kind, annotation.Author)
		},
		func(tx store.Tx) (string, error) {
			moved, err := tx.SetRead(chat, message.Order)
			return fmt.Sprint("read ", moved), err
		},
		func(tx store.Tx) (string, error) {
			before, changed, err := tx.PutPeerHead(log, store.PeerHead{User: "bob", Device: device, Upto: n}, reset)
			return fmt.Sprint("peer head ", before, changed), err
		},
		func(tx store.Tx) (string, error) {
			return "chat", tx.PutChat(store.Chat{ID: chat, Title: body, CreatedAt: int64(n)})
		},
		func(tx store.Tx) (string, error) {
			return "membership", tx.PutMembership(chat, store.Membership{Version: n, Members: members})
		},
		func(tx store.Tx) (string, error) {
			if n > 2 { // seldom
				return "", nil
			}
			return "chat gone", tx.DeleteChat(chat)
		},
		func(tx store.Tx) (string, error) {
			if n > 4 { // seldom
				return "", nil
			}
			return "chat cleared", tx.ClearChat(chat, func(t packet.Type) bool { return t == "image" })
		},
		func(tx store.Tx) (string, error) {
			next, err := tx.NextNumber(log)
			return fmt.Sprint("next ", next), err
		},
		func(tx store.Tx) (string, error) {
			found, more, err := tx.Search(store.Query{Text: body, Limit: 3})
			return fmt.Sprint("found ", found, more), err
		},
	}).Draw(t, "operation")
}

var errUndo = errors.New("undo")

// TestModel makes the same random calls on the database and on the fake, which
// must give the same, transaction by transaction.
func TestModel(t *testing.T) {
	// Each check opens a database twice; -rapid.checks asks for more of them.
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		if err := flag.Set("rapid.checks", "20"); err != nil {
			t.Fatal(err)
		}
	}
	base := t.TempDir()
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		folder := filepath.Join(base, fmt.Sprint(runs))
		defer func() { _ = os.RemoveAll(folder) }() // the test's folder goes anyway
		path := filepath.Join(folder, "db")
		real, err := store.Open(context.Background(), store.Config{Path: path, Key: testKey})
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = real.Close() }()
		fake := storetest.New(t)
		for _, s := range []store.Store{real, fake} {
			err := s.Update(context.Background(), store.Lazy, func(tx store.Tx) error { return tx.PutChat(store.Chat{ID: drawn.chats[0]}) })
			if err != nil {
				rt.Fatal(err)
			}
		}
		for range rapid.IntRange(1, 12).Draw(rt, "transactions") {
			var calls []operation
			for range rapid.IntRange(1, 8).Draw(rt, "calls") {
				calls = append(calls, drawn.draw(rt))
			}
			undo := rapid.IntRange(0, 4).Draw(rt, "undo") == 0
			if want, got := perform(rt, fake, calls, undo), perform(rt, real, calls, undo); storetest.Same(want, got) != "" {
				rt.Fatalf("the calls differ (-fake +real):\n%s", storetest.Same(want, got))
			}
			if want, got := dump(rt, fake), dump(rt, real); storetest.Same(want, got) != "" {
				rt.Fatalf("the content differs (-fake +real):\n%s", storetest.Same(want, got))
			}
		}
		if err := real.Close(); err != nil {
			rt.Fatal(err)
		}
		if real, err = store.Open(context.Background(), store.Config{Path: path, Key: testKey}); err != nil {
			rt.Fatal(err)
		}
		if want, got := dump(rt, fake), dump(rt, real); storetest.Same(want, got) != "" {
			rt.Fatalf("the content differs after opening again (-fake +real):\n%s", storetest.Same(want, got))
		}
	})
}

func perform(t *rapid.T, s store.Store, calls []operation, undo bool) (said []string) {
	err := s.Update(context.Background(), store.Lazy, func(tx store.Tx) error {
		for _, call := range calls {
			result, err := call(tx)
			for _, kind := range []error{store.ErrNotFound, store.ErrExists, store.ErrConflict} {
				if errors.Is(err, kind) {
					result, err = kind.Error(), nil
				}
			}
			if err != nil {
				return err
			}
			said = append(said, result)
		}
		if undo {
			return errUndo
		}
		return nil
	})
	if err != nil && !(undo && errors.Is(err, errUndo)) {
		t.Fatal(err)
	}
	return said
}

func dump(t *rapid.T, s store.Store) (all map[string]any) {
	err := s.View(context.Background(), func(tx store.ReadTx) (err error) {
		all, err = storetest.Dump(tx, drawn.chats...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
