package chatlog

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// BenchmarkReceive commits batches of 100 entries of a contact's, in a direct
// chat and in a group of 200 whose members changed 500 times, each of whom has
// written.
func BenchmarkReceive(b *testing.B) {
	for _, c := range []struct {
		name           string
		chat           packet.ChatID
		people, before int
	}{{"direct", direct, 2, 1}, {"group", group, 200, 500}} {
		b.Run(c.name, func(b *testing.B) {
			key := bytes.Repeat([]byte{1}, 32)
			alice, err := identity.New("alice", key)
			must(b, err)
			bob, err := identity.Generate("bob")
			must(b, err)
			s, err := store.Open(b.Context(), store.Config{Path: filepath.Join(b.TempDir(), "db"), Key: key})
			must(b, err)
			defer func() { _ = s.Close() }()
			book := identity.NewBook()
			book.Set("bob", identity.Person{Keys: []ed25519.PublicKey{bob.Key()}, Linkable: true})
			var users []packet.UserID
			for i := range c.people - 2 {
				users = append(users, packet.UserID(fmt.Sprintf("member%03d.of.the.group", i)))
			}
			users = append(users, "alice", "bob")
			must(b, s.Update(b.Context(), store.Synced, func(tx store.Tx) error {
				err := tx.PutChat(store.Chat{ID: c.chat, CreatedAt: 1})
				for v := 1; v <= c.before && err == nil; v++ {
					err = tx.PutMembership(c.chat, store.Membership{Version: uint64(v), Members: users[min(len(users)-2, c.before-v):]})
				}
				for i, user := range users[:c.people-2] {
					h := packet.Header{
						ID: packet.NewPacketID(), Chat: c.chat, Type: typeText, Author: user, Device: packet.DeviceID{byte(i + 1), 7}, Epoch: 1, Number: 1,
						Depth: 1, Membership: uint64(c.before), Delivery: packet.Reliable,
					}
					p, err2 := packet.Seal(h, []byte("hello"), bob.Sign)
					if err != nil || err2 != nil {
						return err2
					}
					_, err = tx.PutEntry(store.Entry{Packet: p, State: store.EntryHandled})
				}
				return err
			}))
			svc := New(Config{Identity: alice, Book: book, Bus: bus.New(), Store: s, Type: typeOf})
			defer svc.Close()
			must(b, svc.catchUp(b.Context()))
			link := bus.Link{ID: 1, User: "bob", Device: bob.Device(), Key: bob.Key()}
			must(b, svc.linkUp(b.Context(), link))
			number := uint64(0)
			for b.Loop() {
				b.StopTimer()
				events := make([]event, 100)
				for i := range events {
					number++
					p, err := packet.Seal(packet.Header{
						ID: packet.NewPacketID(), Chat: c.chat, Type: typeText, Author: "bob", Device: bob.Device(), Epoch: 1, Number: number, Depth: number,
						Membership: uint64(c.before), Delivery: packet.Reliable,
					}, []byte("hello"), bob.Sign)
					must(b, err)
					events[i] = event{kind: packetCame, link: link, packet: &p}
				}
				b.StartTimer()
				must(b, svc.commit(b.Context(), events))
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/100, "µs/entry")
			head := uint64(0)
			must(b, s.View(b.Context(), func(tx store.ReadTx) error {
				heads, err := tx.Heads(c.chat)
				for _, h := range heads {
					if h.Device == bob.Device() {
						head = h.Upto
					}
				}
				return err
			}))
			if head != number {
				b.Fatalf("%d of %d entries were taken", head, number)
			}
		})
	}
}
