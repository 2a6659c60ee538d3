package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/core/store/storetest"
	"github.com/parley-chat/parley/protocol/packet"
)

const benchChat = packet.ChatID("alice-bob")

// filled gives a store of n messages in 50 chats.
func filled(b *testing.B, path string, n int) store.Store {
	s := open(b, path)
	const batch = 5000
	for from := 0; from < n; from += batch {
		err := s.Update(context.Background(), store.Lazy, func(tx store.Tx) error {
			for i := from; i < min(n, from+batch); i++ {
				chat := benchChat
				if i%50 != 0 {
					chat = packet.ChatID(fmt.Sprintf("alice-p%d", i%50))
				}
				if i < 50 {
					if err := tx.PutChat(store.Chat{ID: chat}); err != nil {
						return err
					}
				}
				m := storetest.Message(chat, uint64(i+1), fmt.Sprintf("Hello again, this is message %d about topic%d, 你好世界", i, i%1000))
				if _, err := tx.AddMessage(m); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return s
}

func add(b *testing.B, s store.Store, d store.Durability, i, many int) {
	b.Helper()
	err := s.Update(context.Background(), d, func(tx store.Tx) error {
		for j := range many {
			n := uint64(1 + i*many + j)
			e := storetest.Entry("alice", packet.Log{Chat: benchChat, Epoch: 1}, n, n, "text", "hello there, how are you?")
			if _, err := tx.PutEntry(e); err != nil {
				return err
			}
			m := storetest.Message(benchChat, n, "hello there, how are you?")
			m.Entry = e.Packet.Header.Key()
			if _, err := tx.AddMessage(m); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

func BenchmarkCommit(b *testing.B) {
	for name, d := range map[string]store.Durability{"synced": store.Synced, "lazy": store.Lazy} {
		b.Run(name, func(b *testing.B) {
			s := filled(b, filepath.Join(b.TempDir(), "db"), 50)
			i := 0
			for b.Loop() {
				add(b, s, d, i, 1)
				i++
			}
		})
	}
}

func BenchmarkBatch100(b *testing.B) {
	s := filled(b, filepath.Join(b.TempDir(), "db"), 50)
	i := 0
	for b.Loop() {
		add(b, s, store.Synced, i, 100)
		i++
	}
	b.ReportMetric(float64(100*i)/b.Elapsed().Seconds(), "messages/s")
}

func BenchmarkRead(b *testing.B) {
	n := 20_000
	if many, err := strconv.Atoi(os.Getenv("STORE_MESSAGES")); err == nil {
		n = many // a million is what the store is made for
	}
	path := filepath.Join(b.TempDir(), "db")
	s := filled(b, path, n)
	b.Cleanup(func() { _ = s.Close() })
	middle := storetest.Message(benchChat, uint64(n/2), "").Order
	b.Run("open", func(b *testing.B) {
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			var err error
			if s, err = store.Open(context.Background(), store.Config{Path: path, Key: testKey}); err != nil {
				b.Fatal(err)
			}
		}
	})
	for name, read := range map[string]func(tx store.ReadTx) (int, error){
		"page": func(tx store.ReadTx) (int, error) {
			m, _, err := tx.Messages(benchChat, store.Page{Before: &middle, Limit: 50})
			return len(m), err
		},
		"chats": func(tx store.ReadTx) (int, error) {
			c, err := tx.Chats()
			return len(c), err
		},
		"search common": func(tx store.ReadTx) (int, error) {
			m, _, err := tx.Search(store.Query{Text: "messa", Limit: 50})
			return len(m), err
		},
		"search letter": func(tx store.ReadTx) (int, error) {
			m, _, err := tx.Search(store.Query{Text: "a", Limit: 50})
			return len(m), err
		},
		"search rare": func(tx store.ReadTx) (int, error) {
			m, _, err := tx.Search(store.Query{Text: "topic777 hello", Limit: 50})
			return len(m), err
		},
		"search chinese": func(tx store.ReadTx) (int, error) {
			m, _, err := tx.Search(store.Query{Text: "世界", Limit: 50})
			return len(m), err
		},
		"search in chat": func(tx store.ReadTx) (int, error) {
			m, _, err := tx.Search(store.Query{Text: "message", Chat: benchChat, Limit: 50})
			return len(m), err
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				err := s.View(context.Background(), func(tx store.ReadTx) error {
					found, err := read(tx)
					if err == nil && found == 0 {
						err = fmt.Errorf("nothing found")
					}
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
