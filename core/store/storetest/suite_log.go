package storetest

import (
	"errors"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// letter makes an entry of a log whose depth is its number.
func letter(log packet.Log, n uint64, kind packet.Type) store.Entry {
	author := packet.UserID("alice")
	if log.Device == bobDevice {
		author = "bob"
	}
	return Entry(author, log, n, n, kind, "0123456789")
}

func at(log packet.Log, n uint64) packet.EntryKey { return packet.EntryKey{Log: log, Number: n} }

var logTests = []subtest{
	{"entries", func(t *tester) {
		t.chats()
		e := letter(aliceLog, 1, "text")
		e.Packet.Signature = make([]byte, 64)
		t.put(e)
		conflict := Entry("alice", aliceLog, 1, 2, "text", "another")
		bare := e
		bare.Packet.Content = nil
		t.update(func(tx store.Tx) error {
			for _, again := range []store.Entry{e, bare} {
				added, err := tx.PutEntry(again)
				t.same(false, added)
				if err != nil {
					return err
				}
			}
			_, err := tx.PutEntry(conflict)
			t.is(err, store.ErrConflict)
			return nil
		})
		t.view(func(tx store.ReadTx) error {
			got, err := tx.Entry(at(aliceLog, 1))
			t.same(e, got)
			got, err2 := tx.EntryByID(e.Packet.Header.ID)
			t.same(e, got)
			_, missing := tx.Entry(at(aliceLog, 2))
			t.is(missing, store.ErrNotFound)
			_, missing = tx.EntryByID(ID(1))
			t.is(missing, store.ErrNotFound)
			return errors.Join(err, err2)
		})
	}},
	{"twins", func(t *tester) {
		t.chats()
		t.put(letter(bobLog, 1, "text"), letter(bobLog, 2, "text"))
		twin := func(number, depth uint64, state store.EntryState) store.Entry {
			e := Entry("bob", bobLog, number, depth, "text", "a twin")
			e.State = state
			return e
		}
		first, second := twin(1, 10, store.EntryNew), twin(1, 11, store.EntryWaiting)
		t.update(func(tx store.Tx) error {
			for _, put := range []struct {
				e     store.Entry
				added bool
			}{{letter(bobLog, 1, "text"), false}, {first, true}, {second, true}, {first, false}} {
				added, err := tx.PutTwin(put.e)
				if t.same(put.added, added); err != nil {
					return err
				}
			}
			_, err := tx.PutTwin(twin(3, 12, store.EntryNew))
			t.is(err, store.ErrNotFound)
			return nil
		})
		second.Packet.Header.Twin, first.Packet.Header.Twin = 2, 1
		ids := func(entries []store.Entry) (twins []uint32) {
			for i := range entries {
				twins = append(twins, entries[i].Packet.Header.Twin)
			}
			return twins
		}
		t.view(func(tx store.ReadTx) error {
			h, err := tx.Head(bobLog)
			t.same(packet.LogVector{Device: bobLog.Device, Epoch: bobLog.Epoch, Upto: 2}, h.LogVector)
			t.same(0, len(h.Waiting)) // not all of its entries do
			one, err2 := tx.Entry(second.Packet.Header.Key())
			t.same("a twin", string(one.Packet.Content))
			t.same(second.Packet.Header, one.Packet.Header)
			entries, err3 := tx.Entries(bobLog, 1, 9, 9, 1000, true)
			t.same([]uint32{0, 0}, ids(entries))
			twins, err4 := tx.Twins(at(bobLog, 0), 9, 9, 1000)
			t.same([]uint32{1, 2}, ids(twins))
			twins, err5 := tx.Twins(first.Packet.Header.Key(), 9, 9, 1000)
			t.same([]uint32{2}, ids(twins))
			none, err6 := tx.Waiting(bobLog, 1, 9, 9, 1000)
			t.same(0, len(none))
			digests, err7 := tx.Digests(bobLog, 1, 9)
			t.same(4, len(digests))
			t.same(store.EntryDigest{Number: 2, Digest: packet.DigestOf(entries[1].Packet.Raw)}, digests[3])
			same, err8 := tx.EntriesByID(second.Packet.Header.ID, 5)
			t.same([]uint32{0, 1, 2}, ids(same)) // these have one id, too
			unhandled, err9 := tx.Unhandled([]packet.Type{"text"}, chatA, 9, 1000)
			t.same([]uint64{1, 1, 2}, numbers(unhandled)) // one that waits holds up nobody
			return errors.Join(err, err2, err3, err4, err5, err6, err7, err8, err9)
		})
		// When all wait, the number does, until one is there that does not.
		waits := func(number uint64, handled ...uint64) {
			t.Helper()
			t.view(func(tx store.ReadTx) error {
				h, err := tx.Head(bobLog)
				if t.same(min(number, 1), uint64(len(h.Waiting))); number > 0 {
					t.same(packet.Range{First: number, Last: number}, h.Waiting[0])
				}
				unhandled, err2 := tx.Unhandled([]packet.Type{"text"}, chatA, 9, 1000)
				t.same(handled, numbers(unhandled))
				return errors.Join(err, err2)
			})
		}
		t.state(first.Packet.Header.Key(), store.EntryWaiting)
		waits(0, 1, 2)
		t.state(at(bobLog, 1), store.EntryWaiting)
		waits(1)
		third := twin(1, 13, store.EntryNew)
		t.update(func(tx store.Tx) error {
			_, err := tx.PutTwin(third)
			return err
		})
		waits(0, 1, 2)
		third.Packet.Header.Twin = 3
		t.state(third.Packet.Header.Key(), store.EntryHandled)
		waits(0, 2)
		t.state(first.Packet.Header.Key(), store.EntryNew)
		waits(0, 1, 2)
		// Each has its own state.
		t.state(second.Packet.Header.Key(), store.EntryHandled)
		t.state(at(bobLog, 1), store.EntryHandled)
		waits(0, 1, 2)
	}},
	{"bad entries", func(t *tester) {
		t.chats()
		t.update(func(tx store.Tx) error {
			stateless, torn, swapped := letter(aliceLog, 1, "text"), letter(aliceLog, 1, "text"), letter(aliceLog, 1, "text")
			stateless.State = 0
			torn.Packet.Raw = torn.Packet.Raw[:5]
			swapped.Packet.Header.Number = 2
			for _, e := range []store.Entry{stateless, torn, swapped} {
				if added, err := tx.PutEntry(e); err == nil {
					t.Errorf("took %+v: %v", e, added)
				}
			}
			return nil
		})
	}},
	{"waiting numbers", func(t *tester) {
		t.chats()
		in := func(n uint64, state store.EntryState) store.Entry {
			e := letter(bobLog, n, "text")
			e.State, e.Text = state, "noted"
			return e
		}
		waiting := func(want ...packet.Range) {
			t.Helper()
			t.view(func(tx store.ReadTx) error {
				h, err := tx.Head(bobLog)
				t.same(want, h.Waiting)
				all, err2 := tx.Heads(chatA)
				t.same([]store.Head{h}, all)
				none, err3 := tx.Head(aliceLog)
				t.same(store.Head{}, none)
				return errors.Join(err, err2, err3)
			})
		}
		t.put(in(1, store.EntryWaiting), in(2, store.EntryWaiting), in(3, store.EntryNew), in(5, store.EntryWaiting), in(4, store.EntryWaiting))
		waiting(packet.Range{First: 1, Last: 2}, packet.Range{First: 4, Last: 5})
		t.state(at(bobLog, 2), store.EntryHandled)
		t.state(at(bobLog, 4), store.EntryNew)
		t.state(at(bobLog, 4), store.EntryHandled)
		waiting(packet.Range{First: 1, Last: 1}, packet.Range{First: 5, Last: 5})
		t.state(at(bobLog, 3), store.EntryWaiting)
		t.state(at(bobLog, 5), store.EntryStub)
		waiting(packet.Range{First: 1, Last: 1}, packet.Range{First: 3, Last: 3})
		t.view(func(tx store.ReadTx) error {
			e, err := tx.Entry(at(bobLog, 1))
			t.same("", e.Text)
			e, err2 := tx.Entry(at(bobLog, 3))
			t.same(10, len(e.Packet.Content))
			return errors.Join(err, err2)
		})
		t.update(func(tx store.Tx) error {
			return errors.Join(tx.DeleteChat(chatA), tx.PutChat(store.Chat{ID: chatA}))
		})
		waiting()
		for n := uint64(10); n < 700; n += 2 { // in more than 256 places
			t.put(in(n, store.EntryWaiting))
		}
		t.view(func(tx store.ReadTx) error {
			h, err := tx.Head(bobLog)
			t.same(256, len(h.Waiting))
			t.same(packet.Range{First: 10, Last: 188}, h.Waiting[0])
			t.same(packet.Range{First: 698, Last: 698}, h.Waiting[255])
			return err
		})
	}},
	{"two packets with one id", func(t *tester) {
		t.chats()
		first := letter(aliceLog, 1, "text")
		h := letter(bobLog, 1, "text").Packet.Header
		h.ID = first.Packet.Header.ID
		p, err := packet.Seal(h, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.put(first, store.Entry{Packet: p, State: store.EntryNew})
		t.view(func(tx store.ReadTx) error {
			got, err := tx.EntryByID(h.ID)
			t.same(first, got)
			return err
		})
	}},
	{"heads and gaps", func(t *tester) {
		t.chats()
		for _, step := range []struct {
			number uint64
			upto   uint64
			beyond []packet.Range
		}{
			{3, 0, []packet.Range{{First: 3, Last: 3}}},
			{1, 1, []packet.Range{{First: 3, Last: 3}}},
			{7, 1, []packet.Range{{First: 3, Last: 3}, {First: 7, Last: 7}}},
			{5, 1, []packet.Range{{First: 3, Last: 3}, {First: 5, Last: 5}, {First: 7, Last: 7}}},
			{6, 1, []packet.Range{{First: 3, Last: 3}, {First: 5, Last: 7}}},
			{8, 1, []packet.Range{{First: 3, Last: 3}, {First: 5, Last: 8}}},
			{4, 1, []packet.Range{{First: 3, Last: 8}}},
			{2, 8, nil},
			{9, 9, nil},
		} {
			t.put(letter(aliceLog, step.number, "text"))
			t.view(func(tx store.ReadTx) error {
				heads, err := tx.Heads(chatA)
				t.same([]store.Head{{Author: "alice", LogVector: packet.LogVector{Device: aliceDevice, Epoch: 10, Upto: step.upto, Beyond: step.beyond}}}, heads)
				return err
			})
		}
		newer := aliceLog
		newer.Epoch = 11
		t.put(letter(bobLog, 1, "text"), letter(newer, 1, "text"))
		t.update(func(tx store.Tx) error {
			heads, err := tx.Heads(chatA)
			var order []uint64
			for _, h := range heads {
				order = append(order, h.Epoch)
			}
			t.same([]uint64{10, 11, 20}, order)
			next, err2 := tx.NextNumber(aliceLog)
			t.same(uint64(10), next)
			fresh := aliceLog
			fresh.Epoch = 12
			next, err3 := tx.NextNumber(fresh)
			t.same(uint64(1), next)
			depth, err4 := tx.Depth(chatA)
			t.same(uint64(9), depth)
			return errors.Join(err, err2, err3, err4)
		})
	}},
	{"ranges of entries", func(t *tester) {
		t.chats()
		for n := uint64(1); n <= 6; n++ {
			t.put(letter(aliceLog, n, "text"))
		}
		stub := letter(aliceLog, 7, "text")
		stub.State, stub.Reason, stub.Text = store.EntryStub, packet.ReasonTooLarge, "too large"
		t.put(stub)
		t.update(func(tx store.Tx) error {
			return errors.Join(tx.SetEntryState(at(aliceLog, 3), store.EntryStub, packet.ReasonBlocked, "blocked"), tx.DropContent(at(aliceLog, 2)))
		})
		for _, test := range []struct {
			first, last     uint64
			limit, maxBytes int
			stubs           bool
			want            []uint64
		}{
			{1, 100, 100, 1000, false, []uint64{1, 2, 4, 5, 6}},
			{1, 100, 100, 1000, true, []uint64{1, 2, 3, 4, 5, 6, 7}},
			{2, 5, 100, 1000, false, []uint64{2, 4, 5}},
			{1, 100, 2, 1000, false, []uint64{1, 2}},
			{4, 100, 100, 20, false, []uint64{4, 5}},
			{4, 100, 100, 1, false, []uint64{4}},
			{5, 4, 100, 100, true, nil},
			{0, 1<<64 - 1, 1, 100, true, []uint64{1}},
			{8, 100, 100, 100, true, nil},
			{1, 100, 0, 100, true, nil},
		} {
			t.view(func(tx store.ReadTx) error {
				got, err := tx.Entries(aliceLog, test.first, test.last, test.limit, test.maxBytes, test.stubs)
				t.same(test.want, numbers(got))
				return err
			})
		}
		t.view(func(tx store.ReadTx) error {
			refusals, err := tx.Stubs(aliceLog, 10)
			t.same([]packet.Refusal{
				{Key: at(aliceLog, 7), Reason: packet.ReasonTooLarge, Text: "too large"},
				{Key: at(aliceLog, 3), Reason: packet.ReasonBlocked, Text: "blocked"},
			}, refusals)
			newest, err2 := tx.Stubs(aliceLog, 1)
			t.same(1, len(newest))
			for _, n := range []uint64{2, 3, 7} {
				e, err := tx.Entry(at(aliceLog, n))
				if err != nil || len(e.Packet.Content) != 0 || len(e.Packet.Raw) == 0 {
					t.Errorf("entry %d: %+v, %v", n, e, err)
				}
				t.same(n == 2, e.Dropped)
			}
			return errors.Join(err, err2)
		})
	}},
	{"states", func(t *tester) {
		t.chats()
		t.put(letter(aliceLog, 1, "text"))
		k := at(aliceLog, 1)
		t.update(func(tx store.Tx) error {
			for want := 1; want <= 3; want++ {
				n, err := tx.AddAttempt(k)
				t.same(want, n)
				if err != nil {
					return err
				}
			}
			t.is(tx.SetEntryState(at(aliceLog, 9), store.EntryHandled, 0, ""), store.ErrNotFound)
			if err := tx.SetEntryState(k, 99, 0, ""); err == nil {
				t.Error("took a state that does not exist")
			}
			_, err := tx.AddAttempt(at(aliceLog, 9))
			t.is(err, store.ErrNotFound)
			t.is(tx.DropContent(at(aliceLog, 9)), store.ErrNotFound)
			return tx.SetEntryState(k, store.EntrySetAside, 0, "crashed")
		})
		t.view(func(tx store.ReadTx) error {
			e, err := tx.Entry(k)
			t.same(store.EntrySetAside, e.State)
			t.same("crashed", e.Text)
			t.same(3, e.Attempts)
			return err
		})
		for _, state := range []store.EntryState{store.EntryHandled, store.EntryWaiting, store.EntryNew} {
			t.update(func(tx store.Tx) error { return tx.SetEntryState(k, state, packet.ReasonForbidden, "not kept") })
			t.view(func(tx store.ReadTx) error {
				e, err := tx.Entry(k)
				t.same(state, e.State)
				t.same(packet.Reason(0), e.Reason)
				t.same("", e.Text)
				return err
			})
		}
	}},
	{"peer heads", func(t *tester) {
		t.chats()
		t.update(func(tx store.Tx) error {
			for _, step := range []struct {
				upto    uint64
				reset   bool
				before  uint64
				changed bool
			}{{0, false, 0, false}, {5, false, 0, true}, {5, false, 5, false}, {3, false, 5, false}, {3, true, 5, true}, {3, true, 3, false}, {4, false, 3, true}} {
				before, changed, err := tx.PutPeerHead(aliceLog, store.PeerHead{User: "bob", Device: bobDevice, Upto: step.upto}, step.reset)
				if err != nil {
					return err
				}
				t.same(step.before, before)
				t.same(step.changed, changed)
			}
			_, _, err := tx.PutPeerHead(aliceLog, store.PeerHead{User: "ann", Device: aliceDevice, Upto: 0}, false)
			return err
		})
		t.view(func(tx store.ReadTx) error {
			heads, err := tx.PeerHeads(aliceLog)
			t.same([]store.PeerHead{{User: "ann", Device: aliceDevice}, {User: "bob", Device: bobDevice, Upto: 4}}, heads)
			own, err2 := tx.Heads(chatA)
			t.same(0, len(own)) // there is no entry yet
			return errors.Join(err, err2)
		})
	}},
	{"refused", func(t *tester) {
		t.chats()
		bob := store.Refused{User: "bob", Reason: packet.ReasonTooLarge, Text: "too large"}
		ann := store.Refused{User: "ann", Reason: packet.ReasonBlocked, Text: "no"}
		t.update(func(tx store.Tx) error {
			return errors.Join(tx.PutRefused(at(aliceLog, 1), bob), tx.PutRefused(at(aliceLog, 1), ann), tx.PutRefused(at(aliceLog, 1), bob))
		})
		t.view(func(tx store.ReadTx) error {
			got, err := tx.Refused(at(aliceLog, 1))
			t.same([]store.Refused{ann, bob}, got)
			none, err2 := tx.Refused(at(aliceLog, 2))
			t.same(0, len(none))
			return errors.Join(err, err2)
		})
	}},
}

// unhandled checks what waits in chat A, by (device, number).
func (t *tester) unhandled(types []packet.Type, limit, maxBytes int, want ...packet.EntryKey) {
	t.Helper()
	t.view(func(tx store.ReadTx) error {
		for _, chat := range []packet.ChatID{chatA, ""} {
			entries, err := tx.Unhandled(types, chat, limit, maxBytes)
			if err != nil {
				return err
			}
			var got []packet.EntryKey
			for _, e := range entries {
				got = append(got, e.Packet.Header.Key())
			}
			t.same(want, got)
		}
		chats, err := tx.UnhandledChats(types)
		if len(want) > 0 {
			t.same([]packet.ChatID{chatA}, chats)
		} else {
			t.same(0, len(chats))
		}
		return err
	})
}

func (t *tester) state(k packet.EntryKey, s store.EntryState) {
	t.Helper()
	t.update(func(tx store.Tx) error { return tx.SetEntryState(k, s, 0, "") })
}

var unhandledTests = []subtest{
	{"order of arrival", func(t *tester) {
		t.chats()
		text := []packet.Type{"text"}
		t.unhandled(text, 10, 1000)
		a, b := func(n uint64) packet.EntryKey { return at(aliceLog, n) }, func(n uint64) packet.EntryKey { return at(bobLog, n) }
		t.put(letter(aliceLog, 1, "text"), letter(bobLog, 1, "text"), letter(bobLog, 2, "text"), letter(aliceLog, 2, "text"))
		t.unhandled(text, 10, 1000, a(1), b(1), b(2), a(2))
		t.unhandled(text, 3, 1000, a(1), b(1), b(2))
		t.unhandled(text, 10, 25, a(1), b(1))
		t.unhandled(text, 10, 0, a(1))
		t.state(a(1), store.EntryHandled)
		t.state(b(1), store.EntryStub)
		t.unhandled(text, 10, 1000, b(2), a(2))
		t.state(b(2), store.EntrySetAside)
		t.state(a(2), store.EntryHandled)
		t.unhandled(text, 10, 1000)
		t.state(a(2), store.EntryNew)
		t.unhandled(text, 10, 1000, a(2))
	}},
	{"gaps", func(t *tester) {
		t.chats()
		text := []packet.Type{"text"}
		t.put(letter(aliceLog, 2, "text"), letter(aliceLog, 4, "text"))
		t.unhandled(text, 10, 1000)
		t.put(letter(aliceLog, 1, "text"))
		t.unhandled(text, 10, 1000, at(aliceLog, 1), at(aliceLog, 2))
		t.put(letter(aliceLog, 3, "text"))
		t.unhandled(text, 10, 1000, at(aliceLog, 1), at(aliceLog, 2), at(aliceLog, 3), at(aliceLog, 4))
	}},
	{"types", func(t *tester) {
		t.chats()
		t.put(letter(aliceLog, 1, "text"), letter(aliceLog, 2, "image"), letter(aliceLog, 3, "text"), letter(bobLog, 1, "image"), letter(bobLog, 2, "text"))
		t.unhandled([]packet.Type{"text"}, 10, 1000, at(aliceLog, 1), at(aliceLog, 3), at(bobLog, 2))
		t.unhandled([]packet.Type{"image"}, 10, 1000, at(aliceLog, 2), at(bobLog, 1))
		for n := uint64(4); n < 300; n++ { // whatever else waits, and be it much
			t.put(letter(aliceLog, n, "image"))
		}
		t.put(letter(aliceLog, 300, "text"))
		t.unhandled([]packet.Type{"text"}, 10, 1000, at(aliceLog, 1), at(aliceLog, 3), at(bobLog, 2), at(aliceLog, 300))
		t.unhandled([]packet.Type{"image", "text"}, 5, 1000,
			at(aliceLog, 1), at(aliceLog, 2), at(aliceLog, 3), at(bobLog, 1), at(bobLog, 2))
		t.unhandled(nil, 10, 1000)
		t.unhandled([]packet.Type{"video"}, 10, 1000)
	}},
	{"waiting", func(t *tester) {
		t.chats()
		waiting := letter(aliceLog, 1, "text")
		waiting.State = store.EntryWaiting
		also := letter(bobLog, 1, "text")
		also.State = store.EntryWaiting
		third := letter(aliceLog, 3, "text")
		third.State = store.EntryWaiting
		t.put(also, waiting, letter(aliceLog, 2, "text"), third)
		t.unhandled([]packet.Type{"text"}, 10, 1000)
		t.view(func(tx store.ReadTx) error {
			got, err := tx.Waiting(aliceLog, 1, 100, 10, 1000)
			t.same([]store.Entry{waiting, third}, got)
			got, err2 := tx.Waiting(aliceLog, 1, 100, 1, 1000)
			t.same([]store.Entry{waiting}, got)
			got, err3 := tx.Waiting(aliceLog, 1, 100, 10, 15)
			t.same([]store.Entry{waiting}, got)
			got, err4 := tx.Waiting(aliceLog, 2, 3, 10, 0)
			t.same([]store.Entry{third}, got)
			none, err5 := tx.Waiting(aliceLog, 1, 2, 10, 1000)
			t.same([]store.Entry{waiting}, none)
			none, err6 := tx.Waiting(packet.Log{Chat: chatB, Device: bobDevice, Epoch: 1}, 1, 100, 10, 1000)
			t.same(0, len(none))
			return errors.Join(err, err2, err3, err4, err5, err6)
		})
		t.state(at(aliceLog, 1), store.EntryNew)
		t.unhandled([]packet.Type{"text"}, 10, 1000, at(aliceLog, 1), at(aliceLog, 2))
	}},
	{"many", func(t *tester) {
		t.chats()
		var want []packet.EntryKey
		t.update(func(tx store.Tx) error {
			for n := uint64(1); n <= 300; n++ {
				for _, log := range []packet.Log{aliceLog, bobLog} {
					if _, err := tx.PutEntry(letter(log, n, "text")); err != nil {
						return err
					}
					want = append(want, at(log, n))
				}
			}
			return nil
		})
		t.unhandled([]packet.Type{"text"}, 1000, 1<<20, want...)
	}},
	{"several chats", func(t *tester) {
		t.chats()
		other := packet.Log{Chat: chatB, Device: aliceDevice, Epoch: 1}
		t.put(letter(other, 1, "text"), letter(aliceLog, 1, "text"))
		t.view(func(tx store.ReadTx) error {
			chats, err := tx.UnhandledChats([]packet.Type{"text"})
			t.same(2, len(chats))
			all, err2 := tx.Unhandled([]packet.Type{"text"}, "", 10, 1000)
			t.same(2, len(all))
			one, err3 := tx.Unhandled([]packet.Type{"text"}, chatB, 10, 1000)
			t.same([]store.Entry{letter(other, 1, "text")}, one)
			return errors.Join(err, err2, err3)
		})
	}},
}
