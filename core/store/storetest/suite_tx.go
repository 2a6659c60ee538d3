package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

var errStop = errors.New("stop")

var transactionTests = []subtest{
	{"undo everything on error", func(t *tester) {
		t.chats()
		t.put(Entry("alice", aliceLog, 1, 1, "text", "one"))
		t.add(Message(chatA, 1, "first"))
		before := t.dump()
		err := t.s.Update(context.Background(), store.Synced, func(tx store.Tx) error {
			t.meddle(tx)
			return errStop
		})
		t.is(err, errStop)
		t.same(before, t.dump())
	}},
	{"undo on panic", func(t *tester) {
		t.chats()
		before := t.dump()
		err := t.s.Update(context.Background(), store.Synced, func(tx store.Tx) error {
			t.meddle(tx)
			panic("oops")
		})
		if err == nil {
			t.Error("a panic was committed")
		}
		t.same(before, t.dump())
		t.update(func(tx store.Tx) error { return tx.PutValue("n", "still", []byte("works")) })
	}},
	{"undo when the goroutine ends", func(t *tester) {
		var wg sync.WaitGroup
		wg.Go(func() {
			_ = t.s.Update(context.Background(), store.Synced, func(tx store.Tx) error {
				_ = tx.PutValue("n", "k", []byte("v"))
				runtime.Goexit()
				return nil
			})
		})
		wg.Wait()
		t.view(func(tx store.ReadTx) error {
			_, err := tx.Value("n", "k")
			t.is(err, store.ErrNotFound)
			return nil
		})
		t.update(func(tx store.Tx) error { return tx.PutValue("n", "still", []byte("works")) })
	}},
	{"a view sees one moment", func(t *tester) {
		t.update(func(tx store.Tx) error { return tx.PutValue("n", "k", []byte("before")) })
		t.view(func(tx store.ReadTx) error {
			done := make(chan error)
			go func() {
				done <- t.s.Update(context.Background(), store.Lazy, func(tx store.Tx) error {
					return tx.PutValue("n", "k", []byte("after"))
				})
			}()
			if err := <-done; err != nil {
				return err
			}
			v, err := tx.Value("n", "k")
			t.same("before", string(v))
			return err
		})
		t.view(func(tx store.ReadTx) error {
			v, err := tx.Value("n", "k")
			t.same("after", string(v))
			return err
		})
	}},
	{"views within views", func(t *tester) {
		var nest func(depth int) error
		nest = func(depth int) error {
			if depth == 0 {
				return nil
			}
			return t.s.View(context.Background(), func(store.ReadTx) error { return nest(depth - 1) })
		}
		if err := nest(6); err != nil {
			t.Error(err)
		}
	}},
	{"each of many stands or falls alone", func(t *tester) {
		const n = 100
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				d := store.Synced
				if i%3 == 0 {
					d = store.Lazy
				}
				err := t.s.Update(context.Background(), d, func(tx store.Tx) error {
					v, err := tx.Value("n", "count")
					if err != nil && !errors.Is(err, store.ErrNotFound) {
						return err
					}
					if err := tx.PutValue("n", "count", append(v, 'x')); err != nil {
						return err
					}
					if i%4 == 0 {
						return errStop
					}
					return tx.PutValue("n", fmt.Sprint("item", i), []byte{1})
				})
				if i%4 == 0 {
					t.is(err, errStop)
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		t.view(func(tx store.ReadTx) error {
			count, err := tx.Value("n", "count")
			t.same(n*3/4, len(count))
			items, _ := tx.Values("n", "item", 0)
			t.same(n*3/4, len(items))
			return err
		})
	}},
	{"cancelled", func(t *tester) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		t.is(t.s.Update(ctx, store.Synced, func(store.Tx) error { return nil }), context.Canceled)
		t.is(t.s.View(ctx, func(store.ReadTx) error { return nil }), context.Canceled)
	}},
	{"closed", func(t *tester) {
		for range 2 {
			if err := t.s.Close(); err != nil {
				t.Error(err)
			}
		}
		t.is(t.s.Update(context.Background(), store.Synced, func(store.Tx) error { return nil }), store.ErrClosed)
		t.is(t.s.View(context.Background(), func(store.ReadTx) error { return nil }), store.ErrClosed)
	}},
	{"close waits", func(t *tester) {
		running, release, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			err := t.s.Update(context.Background(), store.Synced, func(tx store.Tx) error {
				close(running)
				<-release
				return tx.PutValue("n", "k", []byte("v"))
			})
			if err != nil {
				t.Errorf("an Update that ran before Close: %v", err)
			}
			close(ended)
		})
		<-running
		wg.Go(func() {
			if err := t.s.Close(); err != nil {
				t.Error(err)
			}
			select {
			case <-ended:
			default:
				// Update gets its result a moment after the store has let go of it.
				<-ended
			}
		})
		close(release)
		wg.Wait()
	}},
	{"slices are copies", func(t *tester) {
		t.chats()
		value := []byte("value")
		m := Message(chatA, 1, "x")
		m.Data = []byte("data")
		t.update(func(tx store.Tx) error {
			_, err := tx.AddMessage(m)
			return errors.Join(err, tx.PutValue("n", "k", value))
		})
		value[0], m.Data[0] = 'X', 'X'
		for range 2 {
			t.view(func(tx store.ReadTx) error {
				v, err := tx.Value("n", "k")
				t.same("value", string(v))
				got, err2 := tx.Message(m.ID)
				t.same("data", string(got.Data))
				v[0], got.Data[0] = 'Y', 'Y'
				return errors.Join(err, err2)
			})
		}
	}},
}

// meddle changes something of each kind.
func (t *tester) meddle(tx store.Tx) {
	t.Helper()
	a := Annotation(Message(chatA, 1, ""), "reaction", "bob", "wow")
	_, e1 := tx.PutEntry(Entry("bob", bobLog, 1, 5, "text", "hi"))
	_, e2 := tx.AddMessage(Message(chatA, 2, "second"))
	_, _, e3 := tx.PutPeerHead(aliceLog, store.PeerHead{User: "bob", Device: bobDevice, Upto: 1}, false)
	found, _, e4 := tx.Search(store.Query{Text: "second", Limit: 10})
	if len(found) != 1 {
		t.Errorf("a message added in this transaction is found %d times", len(found))
	}
	err := errors.Join(e1, e2, e3, e4,
		tx.PutValue("settings", "a", []byte("1")), tx.PutContact(store.Contact{User: "bob"}),
		tx.PutMembership(chatA, store.Membership{Version: 1, Members: []packet.UserID{"bob", "alice"}}),
		tx.PutAnnotation(a), tx.DeleteChat(chatB), tx.PutInvocation(store.Invocation{ID: ID(9)}))
	if err != nil {
		t.Error(err)
	}
}

// Dump gives all that the reading methods say of some chats.
func Dump(tx store.ReadTx, chats ...packet.ChatID) (map[string]any, error) {
	all := map[string]any{}
	var errs []error
	keep := func(name string, value any, err error) {
		all[name] = value
		errs = append(errs, err)
	}
	contacts, err := tx.Contacts()
	keep("contacts", contacts, err)
	list, err := tx.Chats()
	keep("chats", list, err)
	for _, namespace := range []string{"settings", "n"} {
		values, err := tx.Values(namespace, "", 0)
		keep("values "+namespace, values, err)
	}
	for _, chat := range chats {
		name := " of " + string(chat)
		heads, err := tx.Heads(chat)
		keep("heads"+name, heads, err)
		for _, h := range heads {
			log := packet.Log{Chat: chat, Device: h.Device, Epoch: h.Epoch}
			entries, err := tx.Entries(log, 0, 1<<62, 1<<20, 1<<40, true)
			keep(fmt.Sprint("entries", name, log), entries, err)
			twins, err := tx.Twins(packet.EntryKey{Log: log}, 1<<62, 1<<20, 1<<40)
			keep(fmt.Sprint("twins", name, log), twins, err)
			digests, err := tx.Digests(log, 0, 1<<62)
			keep(fmt.Sprint("digests", name, log), digests, err)
			stubs, err := tx.Stubs(log, 1<<20)
			keep(fmt.Sprint("stubs", name, log), stubs, err)
			peers, err := tx.PeerHeads(log)
			keep(fmt.Sprint("peer heads", name, log), peers, err)
			one, err := tx.Head(log)
			keep(fmt.Sprint("head", name, log), one, err)
			waiting, err := tx.Waiting(log, 0, 1<<62, 1<<20, 1<<40)
			keep(fmt.Sprint("waiting", name, log), waiting, err)
			own, err := tx.OwnMessages(log, 0, 1<<62, 1<<20)
			keep(fmt.Sprint("own messages", name, log), own, err)
		}
		depth, err := tx.Depth(chat)
		keep("depth"+name, depth, err)
		unhandled, err := tx.Unhandled([]packet.Type{"text", "image"}, chat, 1<<20, 1<<40)
		keep("unhandled"+name, unhandled, err)
		registers, err := tx.Registers(chat)
		keep("registers"+name, registers, err)
		messages, _, err := tx.Messages(chat, store.Page{Limit: store.MaxPage})
		keep("messages"+name, messages, err)
		var ids []packet.PacketID
		for _, m := range messages {
			ids = append(ids, m.ID)
		}
		annotations, err := tx.Annotations(ids)
		keep("annotations"+name, annotations, err)
	}
	for _, word := range []string{"hello", "h", "second", "世界", "wow", "你好世"} {
		found, more, err := tx.Search(store.Query{Text: word, Limit: store.MaxResults})
		slices.SortStableFunc(found, func(a, b store.Message) int { // of one moment any order is right
			return cmp.Or(cmp.Compare(b.SentAt, a.SentAt), bytes.Compare(a.ID[:], b.ID[:]))
		})
		keep("search "+word, found, err)
		keep("more of "+word, more, nil)
	}
	return all, errors.Join(errs...)
}

func (t *tester) dump() (all map[string]any) {
	t.Helper()
	t.view(func(tx store.ReadTx) (err error) {
		all, err = Dump(tx, chatA, chatB)
		return err
	})
	return all
}
