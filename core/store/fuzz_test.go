package store

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/parley-chat/parley/core/store/internal/words"
	"github.com/parley-chat/parley/protocol/packet"
)

func fuzzStore(f *testing.F) *db {
	f.Helper()
	s, err := Open(f.Context(), Config{Path: filepath.Join(f.TempDir(), "db"), Key: key})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	return s.(*db)
}

// FuzzSearch: whatever a person types is a search and never an error of the
// query language.
func FuzzSearch(f *testing.F) {
	s := fuzzStore(f)
	chat := packet.DirectChat("alice", "bob")
	err := s.Update(f.Context(), Lazy, func(tx Tx) error {
		if err := tx.PutChat(Chat{ID: chat, CreatedAt: 1}); err != nil {
			return err
		}
		if err := tx.PutMembership(chat, Membership{Version: 1, Members: []packet.UserID{"alice", "bob"}}); err != nil {
			return err
		}
		for i, body := range []string{"the quick brown fox", "今天天气很好", "100% \"quoted\" AND NOT (this)"} {
			h := packet.Header{ID: packet.NewPacketID(), Chat: chat, Author: "bob", Depth: uint64(i + 1), SentAt: 1, Epoch: 1, Number: uint64(i + 1)}
			if _, err := tx.AddMessage(Message{ID: h.ID, Chat: chat, Author: "bob", Plugin: "text", Kind: "text", Body: body, SentAt: 1, Order: h.Order()}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{"fox", "天气", "\"", "a OR b", "NEAR(", "*", "col:x", "-x", "^", "\x00", "\xff", "100%"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > words.MaxQuery {
			return
		}
		for _, in := range []packet.ChatID{"", chat} {
			err := s.View(t.Context(), func(tx ReadTx) error {
				_, _, err := tx.Search(Query{Text: text, Chat: in, Limit: 10})
				return err
			})
			if err != nil {
				t.Fatalf("searching for %q: %v", text, err)
			}
		}
	})
}

// FuzzStoredJSON: a column of JSON that is not as it was written is damage that
// is said, and not a panic or somebody's keys.
func FuzzStoredJSON(f *testing.F) {
	s := fuzzStore(f)
	err := s.Update(f.Context(), Lazy, func(tx Tx) error { return tx.PutContact(Contact{User: "bob", State: ContactAccepted, CreatedAt: 1}) })
	if err != nil {
		f.Fatal(err)
	}
	f.Add(`[{"key":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}]`)
	f.Add(`[]`)
	f.Add(`{"x":1}`)
	f.Add(`[[[[`)
	f.Fuzz(func(t *testing.T, text string) {
		undo := errors.New("undo")
		err := s.Update(t.Context(), Lazy, func(w Tx) error {
			if err := w.(*tx).c.run("UPDATE contacts SET devices = ?", text); err != nil {
				return err
			}
			c, err := w.Contact("bob")
			if err != nil && !errors.Is(err, ErrCorrupt) {
				return err
			}
			if err == nil && c.User != "bob" {
				t.Errorf("%q gives %+v", text, c)
			}
			return undo
		})
		if !errors.Is(err, undo) {
			t.Fatal(err)
		}
	})
}

// FuzzRanges: the numbers of a log beyond its first gap, as they are stored.
func FuzzRanges(f *testing.F) {
	f.Add(encodeRanges([]packet.Range{{First: 3, Last: 9}, {First: 11, Last: 11}}))
	f.Add([]byte("0123456789"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ranges := decodeRanges(b)
		if again := decodeRanges(encodeRanges(ranges)); len(ranges) != len(b)/16 || !slices.Equal(again, ranges) {
			t.Fatalf("%v became %v", ranges, again)
		}
	})
}
