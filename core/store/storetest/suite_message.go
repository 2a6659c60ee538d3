package storetest

import (
	"errors"
	"fmt"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

func full(n uint64) store.Message {
	m := Message(chatA, n, fmt.Sprint("body ", n))
	m.Search, m.ReplyTo, m.Data, m.Card = "words", ID(5), []byte("data"), []byte("card")
	m.Entry = at(aliceLog, n)
	m.Own, m.Edited = true, true
	return m
}

func order(n uint64) *packet.OrderKey {
	k := Message(chatA, n, "").Order
	return &k
}

// found checks what a search gives, newest first.
func (t *tester) found(q store.Query, want ...string) {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = 100
	}
	t.view(func(tx store.ReadTx) error {
		got, more, err := tx.Search(q)
		if d := Same(want, bodies(got)); d != "" {
			t.Errorf("search for %q (-want +got):\n%s", q.Text, d)
		}
		t.same(false, more)
		return err
	})
}

var messageTests = []subtest{
	{"add, change, delete", func(t *tester) {
		t.chats()
		m := full(1)
		t.add(m)
		get := func() (got store.Message) {
			t.view(func(tx store.ReadTx) (err error) {
				got, err = tx.Message(m.ID)
				return err
			})
			return got
		}
		t.same(m, get())
		changed := store.Message{ID: m.ID, Chat: chatB, Author: "mallory", Body: "new", Search: "s", Data: []byte("d"), Card: []byte("c"), Edited: true}
		t.update(func(tx store.Tx) error {
			added, err := tx.AddMessage(Message(chatB, 9, "x"))
			t.same(true, added)
			again := m
			again.Body = "again"
			added, err2 := tx.AddMessage(again)
			t.same(false, added)
			return errors.Join(err, err2, tx.ChangeMessage(changed))
		})
		m.Body, m.Search, m.Data, m.Card = "new", "s", []byte("d"), []byte("c")
		t.same(m, get())
		t.update(func(tx store.Tx) error {
			return errors.Join(tx.PutAnnotation(Annotation(m, "reaction", "bob", "wow")), tx.DeleteMessage(m.ID), tx.DeleteMessage(m.ID))
		})
		m.Body, m.Search, m.Data, m.Card, m.Deleted = "", "", nil, nil, true
		t.same(m, get())
		t.update(func(tx store.Tx) error {
			t.is(tx.ChangeMessage(changed), store.ErrNotFound)
			t.is(tx.PutAnnotation(Annotation(m, "reaction", "bob", "wow")), store.ErrNotFound)
			t.is(tx.DeleteMessage(ID(1)), store.ErrNotFound)
			t.is(tx.ChangeMessage(store.Message{ID: ID(1)}), store.ErrNotFound)
			annotations, err := tx.Annotations([]packet.PacketID{m.ID})
			t.same(0, len(annotations))
			return err
		})
		_ = t.s.View(t.Context(), func(tx store.ReadTx) error {
			_, err := tx.Message(ID(1))
			t.is(err, store.ErrNotFound)
			return nil
		})
	}},
	{"withdraw and add again", func(t *tester) {
		t.chats()
		first, second := Message(chatA, 1, "hello one"), Message(chatA, 2, "hello two")
		t.add(first, second)
		t.update(func(tx store.Tx) error { return tx.PutAnnotation(Annotation(second, "reaction", "alice", "wow")) })
		before := t.dump()
		t.update(func(tx store.Tx) error {
			return errors.Join(tx.WithdrawMessage(second.ID), tx.WithdrawMessage(second.ID), tx.WithdrawMessage(ID(99)))
		})
		c := t.chat(chatA)
		t.same(first.ID, c.Last)
		t.same(first.SentAt, c.LastAt)
		t.same(1, c.Unread)
		t.view(func(tx store.ReadTx) error {
			_, err := tx.Message(second.ID)
			t.is(err, store.ErrNotFound)
			found, _, err2 := tx.Search(store.Query{Text: "hello", Limit: 10})
			t.same([]string{"hello one"}, bodies(found))
			wow, _, err3 := tx.Search(store.Query{Text: "wow", Limit: 10})
			t.same(0, len(wow))
			return errors.Join(err2, err3)
		})
		t.add(second)
		t.same(before, t.dump())
		t.update(func(tx store.Tx) error {
			return errors.Join(tx.DeleteMessage(second.ID), tx.WithdrawMessage(second.ID), tx.WithdrawMessage(first.ID))
		})
		t.view(func(tx store.ReadTx) error {
			m, err := tx.Message(second.ID)
			t.same(true, m.Deleted) // a mark remains
			return err
		})
		t.update(func(tx store.Tx) error { return tx.PutChat(store.Chat{ID: "alice-dave", CreatedAt: 5}) })
		only := Message("alice-dave", 1, "only")
		t.add(only)
		t.update(func(tx store.Tx) error { return tx.WithdrawMessage(only.ID) })
		t.same(store.Chat{ID: "alice-dave", CreatedAt: 5, LastAt: 5}, t.chat("alice-dave"))
	}},
	{"bad messages", func(t *tester) {
		t.chats()
		nameless, placeless, strange := Message(chatA, 1, "x"), Message(chatA, 1, "x"), Message(chatB, 1, "x")
		nameless.ID, placeless.Order, strange.Entry = packet.PacketID{}, packet.OrderKey{}, at(aliceLog, 1)
		t.update(func(tx store.Tx) error {
			for _, m := range []store.Message{nameless, placeless, strange} {
				if _, err := tx.AddMessage(m); err == nil {
					t.Errorf("took %+v", m)
				}
			}
			return nil
		})
	}},
	{"pages", func(t *tester) {
		t.chats()
		for _, n := range []uint64{3, 1, 5, 2, 4} {
			t.add(Message(chatA, n, fmt.Sprint(n)), Message(chatB, n, "other"))
		}
		for _, test := range []struct {
			page store.Page
			want []string
			more bool
		}{
			{store.Page{Limit: 2}, []string{"4", "5"}, true},
			{store.Page{Limit: 5}, []string{"1", "2", "3", "4", "5"}, false},
			{store.Page{Limit: 2, Before: order(4)}, []string{"2", "3"}, true},
			{store.Page{Limit: 2, Before: order(4), Inclusive: true}, []string{"3", "4"}, true},
			{store.Page{Limit: 3, Before: order(4)}, []string{"1", "2", "3"}, false},
			{store.Page{Limit: 3, Before: order(1)}, nil, false},
			{store.Page{Limit: 2, After: order(2)}, []string{"3", "4"}, true},
			{store.Page{Limit: 2, After: order(2), Inclusive: true}, []string{"2", "3"}, true},
			{store.Page{Limit: 3, After: order(2)}, []string{"3", "4", "5"}, false},
			{store.Page{Limit: 3, After: order(5)}, nil, false},
			{store.Page{Limit: 500, After: &packet.OrderKey{}}, []string{"1", "2", "3", "4", "5"}, false},
			{store.Page{}, []string{"5"}, true},
		} {
			t.view(func(tx store.ReadTx) error {
				got, more, err := tx.Messages(chatA, test.page)
				t.same(test.want, bodies(got))
				t.same(test.more, more)
				return err
			})
		}
	}},
	{"two messages at one place", func(t *tester) {
		t.chats()
		one, two := Message(chatA, 1, "one"), Message(chatA, 2, "two")
		one.ID, two.ID = packet.PacketID{1}, packet.PacketID{2}
		two.Order = one.Order
		t.add(two, one)
		t.view(func(tx store.ReadTx) error {
			got, _, err := tx.Messages(chatA, store.Page{Limit: 5})
			t.same([]string{"one", "two"}, bodies(got))
			return err
		})
		t.same(two.ID, t.chat(chatA).Last)
	}},
	{"own messages", func(t *tester) {
		t.chats()
		t.add(full(3), full(1), full(2), full(4), Message(chatA, 9, "of no entry"))
		t.view(func(tx store.ReadTx) error {
			got, err := tx.OwnMessages(aliceLog, 1, 3, 10)
			t.same([]string{"body 2", "body 3"}, bodies(got))
			one, err2 := tx.OwnMessages(aliceLog, 0, 1<<64-1, 1)
			t.same([]string{"body 1"}, bodies(one))
			none, err3 := tx.OwnMessages(bobLog, 0, 100, 10)
			t.same(0, len(none))
			return errors.Join(err, err2, err3)
		})
	}},
	{"annotations", func(t *tester) {
		t.chats()
		m, later := Message(chatA, 1, "m"), Message(chatA, 2, "later")
		t.add(m)
		a, b, c := Annotation(m, "reaction", "bob", ""), Annotation(m, "reaction", "alice", ""), Annotation(m, "pin", "bob", "")
		early, foreign := Annotation(later, "reaction", "bob", "early bird"), Annotation(later, "reaction", "mallory", "nonsense")
		foreign.Chat = chatB
		t.update(func(tx store.Tx) error {
			wrong := a
			wrong.Chat = chatB
			t.is(tx.PutAnnotation(wrong), store.ErrNotFound)
			old := a
			old.Value = []byte("old")
			return errors.Join(tx.PutAnnotation(old), tx.PutAnnotation(a), tx.PutAnnotation(b), tx.PutAnnotation(c),
				tx.PutAnnotation(early), tx.PutAnnotation(foreign))
		})
		list := func(want ...store.Annotation) {
			t.Helper()
			t.view(func(tx store.ReadTx) error {
				got, err := tx.Annotations([]packet.PacketID{m.ID, m.ID, ID(3)})
				t.same(want, got)
				return err
			})
		}
		list(c, b, a)
		t.update(func(tx store.Tx) error {
			return errors.Join(tx.DeleteAnnotation(m.ID, "reaction", "alice"), tx.DeleteAnnotation(m.ID, "reaction", "alice"))
		})
		list(c, a)
		t.found(store.Query{Text: "early"})
		t.add(later)
		t.view(func(tx store.ReadTx) error {
			got, err := tx.Annotations([]packet.PacketID{later.ID})
			t.same([]store.Annotation{early}, got)
			return err
		})
		t.found(store.Query{Text: "early"}, "later")
		t.found(store.Query{Text: "nonsense"})
	}},
}

var searchTests = []subtest{
	{"words", func(t *tester) {
		t.chats()
		for i, body := range []string{
			"Hello World", "hello there, Łukasz", "Übermut tut selten gut", "I'm in the CAFÉ", "straße", "x1y2 a.b-c/d", "", "ＦＵＬＬ ｗｉｄｔｈ",
			"Ещё раз", "Ελλάδα ΟΔΟΣ", "नमस्ते दुनिया", "שָׁלוֹם", "extraordinarily supercalifragilisticexpialidociousness", "😀 party 🎉",
		} {
			t.add(Message(chatA, uint64(i+1), body))
		}
		for query, want := range map[string][]string{
			"hello":                                  {"hello there, Łukasz", "Hello World"},
			"HEL":                                    {"hello there, Łukasz", "Hello World"},
			"h":                                      {"hello there, Łukasz", "Hello World"},
			"ello":                                   nil,
			"world hello":                            {"Hello World"},
			"hello hello":                            {"hello there, Łukasz", "Hello World"},
			"hello nothing":                          nil,
			"ubermut":                                {"Übermut tut selten gut"},
			"ÜBERMUT":                                {"Übermut tut selten gut"},
			"cafe":                                   {"I'm in the CAFÉ"},
			"cafe\u0301":                             {"I'm in the CAFÉ"},
			"STRASSE":                                {"straße"},
			"x1":                                     {"x1y2 a.b-c/d"},
			"b d":                                    {"x1y2 a.b-c/d"},
			"full wid":                               {"ＦＵＬＬ ｗｉｄｔｈ"},
			"еще":                                    {"Ещё раз"},
			"ελλαδα οδος":                            {"Ελλάδα ΟΔΟΣ"},
			"नमस्":                                   {"नमस्ते दुनिया"},
			"שלום":                                   {"שָׁלוֹם"},
			"supercalifragilist":                     {"extraordinarily supercalifragilisticexpialidociousness"},
			"supercalifragilisticexpialidociousness": {"extraordinarily supercalifragilisticexpialidociousness"},
			"supercalifragilisticexpialidociousnessX": nil,
			"😀":     {"😀 party 🎉"},
			"🎉 par": {"😀 party 🎉"},
			"":      nil,
			"  ,.":  nil,
		} {
			t.found(store.Query{Text: query}, want...)
		}
	}},
	{"chinese, japanese, korean", func(t *tester) {
		t.chats()
		for i, body := range []string{"今天天气很好", "明天去北京大学吗？", "大学", "これはペンです", "안녕하세요 세계", "我用Go写程序", "气天", "北京, 京大, 大学"} {
			t.add(Message(chatA, uint64(i+1), body))
		}
		for query, want := range map[string][]string{
			"天气":    {"今天天气很好"},
			"天":     {"气天", "明天去北京大学吗？", "今天天气很好"},
			"大学":    {"北京, 京大, 大学", "大学", "明天去北京大学吗？"},
			"北京大学":  {"明天去北京大学吗？"},
			"大学 明天": {"明天去北京大学吗？"},
			"学大":    nil,
			"ペン":    {"これはペンです"},
			"ﾍﾟﾝ":   {"これはペンです"},
			"はペンで":  {"これはペンです"},
			"안녕":    {"안녕하세요 세계"},
			"세계":    {"안녕하세요 세계"},
			"go":    {"我用Go写程序"},
			"用go写":  {"我用Go写程序"},
			"写程序":   {"我用Go写程序"},
		} {
			t.found(store.Query{Text: query}, want...)
		}
	}},
	{"hostile queries", func(t *tester) {
		t.chats()
		t.add(Message(chatA, 1, `a "quoted" AND text OR near NOT * ^`))
		for _, query := range []string{
			`"`, `""`, `'`, `*`, `^`, `quoted"`, `"quoted" OR`, `AND`, `NOT`, `NEAR(a b)`, `a*`, `{tokens}: a`, `tokens:a`, `-a`, `(`, `)`, `a + b`,
			"\x00", "quo\x00ted", "\xff\xfe", "; DROP TABLE messages", "'; --", "\ue001a", "\ue0020",
		} {
			t.view(func(tx store.ReadTx) error {
				_, _, err := tx.Search(store.Query{Text: query, Limit: 10})
				if err != nil {
					t.Errorf("search for %q: %v", query, err)
				}
				return nil
			})
		}
		t.found(store.Query{Text: `QUOTED* "and" (or)`}, `a "quoted" AND text OR near NOT * ^`)
		var long []byte
		for i := range 300 {
			long = fmt.Appendf(long, "word%d ", i)
		}
		t.found(store.Query{Text: string(long)})
		t.add(Message(chatA, 2, string(long)))
		t.found(store.Query{Text: string(long)}, string(long))
		t.found(store.Query{Text: string(long) + "another"})
	}},
	{"newest first, in pages", func(t *tester) {
		t.chats()
		var want []string
		for n := uint64(25); n >= 1; n-- {
			want = append(want, fmt.Sprint("word ", n))
		}
		for _, n := range []uint64{7, 25, 1, 12} { // arrival is not what counts
			t.add(Message(chatA, n, fmt.Sprint("word ", n)))
		}
		for n := uint64(1); n <= 25; n++ {
			if n != 7 && n != 25 && n != 1 && n != 12 {
				t.add(Message(chatA, n, fmt.Sprint("word ", n)))
			}
		}
		t.found(store.Query{Text: "word"}, want...)
		var got []string
		q := store.Query{Text: "wor", Limit: 10}
		for pages := 1; ; pages++ {
			var page []store.Message
			var more bool
			t.view(func(tx store.ReadTx) (err error) {
				page, more, err = tx.Search(q)
				return err
			})
			got = append(got, bodies(page)...)
			t.same(pages < 3, more)
			if !more || pages > 3 {
				break
			}
			q.Before = page[len(page)-1].ID
		}
		t.same(want, got)
		t.view(func(tx store.ReadTx) error {
			_, _, err := tx.Search(store.Query{Text: "word", Before: ID(1), Limit: 1})
			t.is(err, store.ErrNotFound)
			return nil
		})
	}},
	{"sent in one moment", func(t *tester) {
		t.chats()
		for n := uint64(1); n <= 100; n++ {
			m := Message(chatA, n, fmt.Sprint("word ", n))
			m.SentAt = Began.UnixMicro()
			if n%3 == 0 {
				m.SentAt = -5
			}
			t.add(m)
		}
		t.view(func(tx store.ReadTx) error {
			got, _, err := tx.Search(store.Query{Text: "word", Limit: 200})
			t.same(100, len(got))
			return err
		})
	}},
	{"in a chat", func(t *tester) {
		t.chats()
		t.add(Message(chatA, 1, "hello from a"), Message(chatB, 2, "hello from b"), Message(chatA, 3, "hello again from a"))
		t.found(store.Query{Text: "hello", Chat: chatA}, "hello again from a", "hello from a")
		t.found(store.Query{Text: "hello b", Chat: chatB}, "hello from b")
		t.found(store.Query{Text: "hello", Chat: "alice-nobody"})
		t.found(store.Query{Text: "hello"}, "hello again from a", "hello from b", "hello from a")
	}},
	{"changes", func(t *tester) {
		t.chats()
		m := Message(chatA, 1, "first words")
		m.Search = "hidden"
		t.add(m, Message(chatA, 2, "other words"))
		t.found(store.Query{Text: "hidden"}, "first words")
		changed := store.Message{ID: m.ID, Body: "second thoughts"}
		t.update(func(tx store.Tx) error { return tx.ChangeMessage(changed) })
		t.found(store.Query{Text: "first"})
		t.found(store.Query{Text: "hidden"})
		t.found(store.Query{Text: "words"}, "other words")
		t.found(store.Query{Text: "thoughts"}, "second thoughts")
		said := Annotation(m, "transcript", "bob", "spoken 语音 text")
		t.update(func(tx store.Tx) error { return tx.PutAnnotation(said) })
		t.found(store.Query{Text: "spok thou"}, "second thoughts")
		t.found(store.Query{Text: "语音"}, "second thoughts")
		said.Search = "corrected"
		t.update(func(tx store.Tx) error { return tx.PutAnnotation(said) })
		t.found(store.Query{Text: "spoken"})
		t.found(store.Query{Text: "corrected second"}, "second thoughts")
		t.update(func(tx store.Tx) error { return tx.DeleteAnnotation(said.Message, said.Kind, said.Author) })
		t.found(store.Query{Text: "corrected"})
		t.found(store.Query{Text: "thoughts"}, "second thoughts")
		t.update(func(tx store.Tx) error { return tx.DeleteMessage(m.ID) })
		t.found(store.Query{Text: "thoughts"})
		t.found(store.Query{Text: "s"})
		t.update(func(tx store.Tx) error { // all in one
			m := Message(chatA, 5, "brief life")
			_, err := tx.AddMessage(m)
			return errors.Join(err, tx.ChangeMessage(store.Message{ID: m.ID, Body: "brief change"}), tx.DeleteMessage(m.ID))
		})
		t.found(store.Query{Text: "brief"})
	}},
	{"what a transaction wrote itself", func(t *tester) {
		t.chats()
		t.add(Message(chatA, 1, "hello 1"))
		t.update(func(tx store.Tx) error {
			look := func(want ...string) {
				t.Helper()
				got, _, err := tx.Search(store.Query{Text: "hello", Limit: 10})
				t.same(want, bodies(got))
				if err != nil {
					t.Error(err)
				}
			}
			_, err := tx.AddMessage(Message(chatA, 2, "hello 2"))
			look("hello 2", "hello 1")
			_, err2 := tx.AddMessage(Message(chatA, 3, "hello 3"))
			err3 := tx.DeleteMessage(Message(chatA, 2, "").ID)
			look("hello 3", "hello 1")
			return errors.Join(err, err2, err3)
		})
		err := t.s.Update(t.Context(), store.Synced, func(tx store.Tx) error {
			_, err := tx.AddMessage(Message(chatA, 4, "hello 4"))
			_, _, err2 := tx.Search(store.Query{Text: "hello", Limit: 10})
			return errors.Join(err, err2, errStop)
		})
		t.is(err, errStop)
		t.found(store.Query{Text: "hello"}, "hello 3", "hello 1")
	}},
}
