package storetest

import (
	"errors"
	"time"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

var valueTests = []subtest{
	{"values", func(t *tester) {
		t.update(func(tx store.Tx) error {
			return errors.Join(
				tx.PutValue("a", "k2", []byte("2")), tx.PutValue("a", "k1", []byte("1")), tx.PutValue("a", "x", []byte{}),
				tx.PutValue("b", "k1", []byte("other")), tx.PutValue("a", "k3", []byte("3")), tx.PutValue("a", "k1", []byte("one")),
				tx.PutValue("a", "k%", []byte("p")), tx.PutValue("a", "gone", []byte("3")), tx.PutValue("a", "gone", nil),
			)
		})
		t.view(func(tx store.ReadTx) error {
			all, err := tx.Values("a", "", 0)
			t.same([]store.Value{{Key: "k%", Bytes: []byte("p")}, {Key: "k1", Bytes: []byte("one")}, {Key: "k2", Bytes: []byte("2")},
				{Key: "k3", Bytes: []byte("3")}, {Key: "x"}}, all)
			some, err2 := tx.Values("a", "k", 2)
			t.same([]store.Value{{Key: "k%", Bytes: []byte("p")}, {Key: "k1", Bytes: []byte("one")}}, some)
			_, missing := tx.Value("a", "gone")
			t.is(missing, store.ErrNotFound)
			empty, err3 := tx.Value("a", "x")
			t.same(0, len(empty))
			return errors.Join(err, err2, err3)
		})
	}},
	{"contacts", func(t *tester) {
		bob := store.Contact{
			User: "bob", State: store.ContactAccepted, Before: store.ContactIncoming, Nickname: "B", DisplayName: "Bob",
			Avatar: []byte{1, 2}, Greeting: "hi", Verified: true, CreatedAt: 5, LastSeen: 6,
			Devices: []store.Device{{Key: []byte("key one"), Pinned: true}, {Key: []byte("key two")}},
		}
		t.update(func(tx store.Tx) error {
			return errors.Join(tx.PutContact(store.Contact{User: "zoe"}), tx.PutContact(store.Contact{User: "bob"}), tx.PutContact(bob),
				tx.PutContact(store.Contact{User: "gone"}), tx.DeleteContact("gone"), tx.DeleteContact("gone"))
		})
		t.view(func(tx store.ReadTx) error {
			got, err := tx.Contact("bob")
			t.same(bob, got)
			all, err2 := tx.Contacts()
			t.same([]store.Contact{bob, {User: "zoe"}}, all)
			_, missing := tx.Contact("gone")
			t.is(missing, store.ErrNotFound)
			return errors.Join(err, err2)
		})
	}},
	{"invocations", func(t *tester) {
		i := store.Invocation{ID: ID(1), Plugin: "text", Action: "send", Result: []byte("r"), Sent: []packet.PacketID{ID(2), ID(3)}, At: 1000}
		later := store.Invocation{ID: ID(4), At: 3000}
		t.update(func(tx store.Tx) error {
			if err := errors.Join(tx.PutInvocation(i), tx.PutInvocation(later)); err != nil {
				return err
			}
			t.is(tx.PutInvocation(store.Invocation{ID: i.ID}), store.ErrExists)
			return nil
		})
		t.view(func(tx store.ReadTx) error {
			got, err := tx.Invocation(i.ID)
			t.same(i, got)
			return err
		})
		t.update(func(tx store.Tx) error { return tx.PruneInvocations(time.UnixMicro(2000)) })
		t.view(func(tx store.ReadTx) error {
			_, err := tx.Invocation(i.ID)
			t.is(err, store.ErrNotFound)
			_, err = tx.Invocation(later.ID)
			return err
		})
	}},
	{"registers", func(t *tester) {
		t.chats()
		r := packet.Register{Chat: chatA, Author: "bob", Device: bobDevice, Name: "read", Value: []byte("v"), Version: 5, Raw: []byte("raw"), Signature: []byte("s")}
		older, newer, other := r, r, r
		older.Version, newer.Version, other.Author = 4, 6, "alice"
		t.update(func(tx store.Tx) error {
			for _, step := range []struct {
				r    packet.Register
				want bool
			}{{r, true}, {r, false}, {older, false}, {newer, true}, {other, true}} {
				got, err := tx.PutRegister(step.r)
				if err != nil {
					return err
				}
				t.same(step.want, got)
			}
			missing := r
			missing.Chat = "alice-nobody"
			_, err := tx.PutRegister(missing)
			t.is(err, store.ErrNotFound)
			return nil
		})
		t.view(func(tx store.ReadTx) error {
			all, err := tx.Registers(chatA)
			t.same([]packet.Register{other, newer}, all)
			one, err2 := tx.Register(chatA, "bob", "read")
			t.same(newer, one)
			_, missing := tx.Register(chatB, "bob", "read")
			t.is(missing, store.ErrNotFound)
			return errors.Join(err, err2)
		})
	}},
}

var chatTests = []subtest{
	{"put and list", func(t *tester) {
		t.chats()
		t.same(store.Chat{ID: chatA, CreatedAt: 1, LastAt: 1}, t.chat(chatA))
		t.add(Message(chatA, 1, "x"))
		t.update(func(tx store.Tx) error {
			// The store's own fields are not to be set from outside.
			return tx.PutChat(store.Chat{ID: chatA, Title: "T", Muted: true, Pinned: true, Draft: "d", CreatedAt: 9, Unread: 77, Membership: 3})
		})
		m := Message(chatA, 1, "x")
		want := store.Chat{ID: chatA, Title: "T", Muted: true, Pinned: true, Draft: "d", CreatedAt: 9, Last: m.ID, LastAt: m.SentAt, Unread: 1}
		t.same(want, t.chat(chatA))
		t.view(func(tx store.ReadTx) error {
			all, err := tx.Chats()
			t.same([]store.Chat{want, {ID: chatB, CreatedAt: 2, LastAt: 2}}, all)
			_, missing := tx.Chat("alice-nobody")
			t.is(missing, store.ErrNotFound)
			return err
		})
	}},
	{"memberships", func(t *tester) {
		t.chats()
		one := store.Membership{Version: 1, Members: []packet.UserID{"alice", "bob"}}
		three := store.Membership{
			Version: 3, Members: []packet.UserID{"alice", "carol"}, Invited: []packet.UserID{"carol"},
			Cutoffs: []store.Cutoff{{User: "bob", EntryKey: packet.EntryKey{Log: bobLog, Number: 4}}},
			Merged:  true, History: store.HistoryAll,
		}
		t.update(func(tx store.Tx) error {
			shuffled := store.Membership{Version: 1, Members: []packet.UserID{"bob", "alice", "bob"}}
			other := store.Membership{Version: 1, Members: []packet.UserID{"alice"}}
			err := errors.Join(tx.PutMembership(chatA, three), tx.PutMembership(chatA, shuffled), tx.PutMembership(chatA, one))
			t.is(tx.PutMembership(chatA, other), store.ErrExists)
			for _, change := range []func(*store.Membership){
				func(m *store.Membership) { m.Merged = false },
				func(m *store.Membership) { m.History = store.HistoryFromJoin },
				func(m *store.Membership) { m.Cutoffs = nil },
			} {
				changed := three
				change(&changed)
				t.is(tx.PutMembership(chatA, changed), store.ErrExists)
			}
			answered := three
			answered.Invited = nil
			err = errors.Join(err, tx.PutMembership(chatA, answered))
			t.is(tx.PutMembership("alice-nobody", one), store.ErrNotFound)
			return err
		})
		c := t.chat(chatA)
		t.same(uint64(3), c.Membership)
		t.same(three.Members, c.Members)
		t.same(three.Invited, c.Invited)
		t.same(store.HistoryAll, c.History)
		t.view(func(tx store.ReadTx) error {
			got1, err1 := tx.Membership(chatA, 1)
			t.same(one, got1)
			got3, err3 := tx.Membership(chatA, 3)
			t.same(three, got3)
			_, missing := tx.Membership(chatA, 2)
			t.is(missing, store.ErrNotFound)
			versions, err := tx.Versions(chatA)
			t.same([]uint64{1, 3}, versions)
			none, errNone := tx.Versions("alice-nobody")
			t.same(0, len(none))
			return errors.Join(err1, err3, err, errNone)
		})
	}},
	{"clear", func(t *tester) {
		t.chats()
		note := Entry("alice", aliceLog, 2, 8, "note", "kept")
		t.put(Entry("alice", aliceLog, 1, 7, "text", "one"), note, Entry("bob", bobLog, 2, 3, "text", "gap"))
		m := Message(chatA, 1, "hello there")
		m.Entry = packet.EntryKey{Log: aliceLog, Number: 1}
		other := Message(chatB, 1, "hello too")
		t.add(m, other)
		members := []packet.UserID{"alice", "bob"}
		t.update(func(tx store.Tx) error {
			return errors.Join(tx.PutAnnotation(Annotation(m, "reaction", "bob", "wow")),
				tx.PutBlob(Blob(m, 1)), tx.PutBlob(Blob(other, 2)),
				tx.PutMembership(chatA, store.Membership{Version: 1, Members: members}),
				tx.PutChat(store.Chat{ID: chatA, Title: "T", CreatedAt: 5, Muted: true, Pinned: true, Draft: "d"}))
		})
		for range 2 {
			t.update(func(tx store.Tx) error {
				keep := func(t packet.Type) bool { return t == "note" }
				return errors.Join(tx.ClearChat(chatA, keep), tx.ClearChat("alice-nobody", keep))
			})
		}
		t.same(store.Chat{ID: chatA, Title: "T", CreatedAt: 5, LastAt: 5, Membership: 1, Members: members}, t.chat(chatA))
		t.view(func(tx store.ReadTx) error {
			_, err := tx.Message(m.ID)
			t.is(err, store.ErrNotFound)
			_, err = tx.Blob(Blob(m, 1).ID)
			t.is(err, store.ErrNotFound)
			_, err1 := tx.Blob(Blob(other, 2).ID)
			found, _, err2 := tx.Search(store.Query{Text: "hello", Limit: 10})
			t.same([]string{"hello too"}, bodies(found))
			_, err3 := tx.Entry(at(aliceLog, 1))
			t.is(err3, store.ErrNotFound)
			unhandled, err3 := tx.Unhandled([]packet.Type{"text", "note"}, "", 10, 1000)
			t.same([]store.Entry{note}, unhandled)
			kept, err4 := tx.Entry(at(aliceLog, 2))
			t.same(note, kept)
			head, err5 := tx.Head(aliceLog)
			t.same(uint64(2), head.Upto)
			annotations, err6 := tx.Annotations([]packet.PacketID{m.ID})
			t.same(0, len(annotations))
			return errors.Join(err1, err2, err3, err4, err5, err6)
		})
	}},
	{"delete and make again", func(t *tester) {
		t.chats()
		t.put(Entry("alice", aliceLog, 1, 7, "text", "one"), Entry("alice", aliceLog, 2, 8, "text", "two"), Entry("bob", bobLog, 2, 3, "text", "gap"))
		m := Message(chatA, 1, "hello there")
		m.Entry = packet.EntryKey{Log: aliceLog, Number: 1}
		t.add(m, Message(chatB, 1, "hello too"))
		t.update(func(tx store.Tx) error {
			_, _, err := tx.PutPeerHead(aliceLog, store.PeerHead{User: "bob", Device: bobDevice, Upto: 1}, false)
			return errors.Join(err, tx.PutAnnotation(Annotation(m, "reaction", "bob", "wow")),
				tx.PutAnnotation(store.Annotation{Chat: chatA, Message: ID(77), Kind: "k", Author: "bob"}),
				tx.PutMembership(chatA, store.Membership{Version: 1, Members: []packet.UserID{"alice"}}),
				tx.PutRefused(packet.EntryKey{Log: aliceLog, Number: 1}, store.Refused{User: "bob"}),
				tx.DeleteChat(chatA), tx.DeleteChat(chatA))
		})
		t.view(func(tx store.ReadTx) error {
			_, err := tx.Chat(chatA)
			t.is(err, store.ErrNotFound)
			_, err = tx.Message(m.ID)
			t.is(err, store.ErrNotFound)
			_, err = tx.EntryByID(ID(hash(string(chatA)), hash(string(aliceDevice[:])), 10, 1))
			t.is(err, store.ErrNotFound)
			heads, err := tx.Heads(chatA)
			t.same(0, len(heads))
			found, _, err2 := tx.Search(store.Query{Text: "hello", Limit: 10})
			t.same([]string{"hello too"}, bodies(found))
			chats, err3 := tx.UnhandledChats([]packet.Type{"text"})
			t.same(0, len(chats))
			annotations, err4 := tx.Annotations([]packet.PacketID{m.ID, ID(77)})
			t.same(0, len(annotations))
			return errors.Join(err, err2, err3, err4)
		})
		t.update(func(tx store.Tx) error {
			next, err := tx.NextNumber(aliceLog)
			t.same(uint64(3), next)
			return errors.Join(err, tx.PutChat(store.Chat{ID: chatA, CreatedAt: 50}))
		})
		t.same(store.Chat{ID: chatA, CreatedAt: 50, LastAt: 50}, t.chat(chatA))
		t.update(func(tx store.Tx) error {
			heads, err := tx.Heads(chatA)
			t.same([]store.Head{
				{Author: "alice", LogVector: packet.LogVector{Device: aliceDevice, Epoch: 10, Upto: 2}},
				{Author: "bob", LogVector: packet.LogVector{Device: bobDevice, Epoch: 20, Beyond: []packet.Range{{First: 2, Last: 2}}}},
			}, heads)
			depth, err2 := tx.Depth(chatA)
			t.same(uint64(8), depth)
			added, err3 := tx.PutEntry(Entry("alice", aliceLog, 2, 8, "text", "two"))
			t.same(false, added)
			added, err4 := tx.PutEntry(Entry("alice", aliceLog, 3, 9, "text", "three"))
			t.same(true, added)
			entries, err5 := tx.Unhandled([]packet.Type{"text"}, chatA, 10, 1000)
			t.same([]uint64{3}, numbers(entries))
			peers, err6 := tx.PeerHeads(aliceLog)
			t.same(0, len(peers))
			return errors.Join(err, err2, err3, err4, err5, err6)
		})
	}},
	{"writing of a chat that is not there", func(t *tester) {
		t.update(func(tx store.Tx) error {
			_, err := tx.PutEntry(Entry("alice", aliceLog, 1, 1, "text", "x"))
			t.is(err, store.ErrNotFound)
			_, err = tx.AddMessage(Message(chatA, 1, "x"))
			t.is(err, store.ErrNotFound)
			_, _, err = tx.PutPeerHead(aliceLog, store.PeerHead{}, false)
			t.is(err, store.ErrNotFound)
			_, err = tx.SetRead(chatA, packet.OrderKey{1})
			t.is(err, store.ErrNotFound)
			t.is(tx.PutRefused(packet.EntryKey{Log: aliceLog, Number: 1}, store.Refused{}), store.ErrNotFound)
			t.is(tx.PutAnnotation(store.Annotation{Chat: chatA, Message: ID(1), Kind: "k"}), store.ErrNotFound)
			return nil
		})
		t.view(func(tx store.ReadTx) error {
			messages, more, err := tx.Messages(chatA, store.Page{Limit: 10})
			t.same(0, len(messages))
			t.same(false, more)
			entries, err2 := tx.Entries(aliceLog, 1, 10, 10, 10, true)
			t.same(0, len(entries))
			return errors.Join(err, err2)
		})
	}},
	{"unread", func(t *tester) {
		t.chats()
		silent, own := Message(chatA, 4, "silent"), Message(chatA, 5, "own")
		silent.Notifies, own.Own = false, true
		t.add(Message(chatA, 1, "1"), Message(chatA, 3, "3"), Message(chatA, 2, "2"), silent, own, Message(chatA, 6, "6"))
		c := t.chat(chatA)
		t.same(4, c.Unread)
		t.same(Message(chatA, 6, "").ID, c.Last)
		first := func(want packet.PacketID, is error) {
			t.Helper()
			t.view(func(tx store.ReadTx) error {
				id, err := tx.FirstUnread(chatA)
				t.is(err, is)
				t.same(want, id)
				return nil
			})
		}
		first(Message(chatA, 1, "").ID, nil)
		read := func(n uint64, moved bool, unread int) {
			t.Helper()
			t.update(func(tx store.Tx) error {
				got, err := tx.SetRead(chatA, Message(chatA, n, "").Order)
				t.same(moved, got)
				return err
			})
			t.same(unread, t.chat(chatA).Unread)
		}
		read(2, true, 2)
		read(1, false, 2)
		read(2, false, 2)
		t.same(Message(chatA, 2, "").Order, t.chat(chatA).Read)
		t.update(func(tx store.Tx) error { return tx.DeleteMessage(Message(chatA, 3, "").ID) })
		t.same(1, t.chat(chatA).Unread)
		first(Message(chatA, 6, "").ID, nil)
		read(5, true, 1)
		first(Message(chatA, 6, "").ID, nil)
		late, early := Message(chatA, 7, "7"), Message(chatA, 0, "0")
		early.Order = packet.OrderKey{51: 1}
		t.add(late, early)
		c = t.chat(chatA)
		t.same(2, c.Unread)
		t.same(late.ID, c.Last)
		t.same(late.SentAt, c.LastAt)
		read(9, true, 0)
		first(packet.PacketID{}, store.ErrNotFound)
		t.view(func(tx store.ReadTx) error {
			_, err := tx.FirstUnread("nobody-there")
			t.is(err, store.ErrNotFound)
			return nil
		})
	}},
}
