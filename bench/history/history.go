// Package history makes accounts with many messages for the benchmarks: once,
// through the store, and keeps them.
package history

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/parley-chat/parley/bench/people"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
)

// made names how histories are made; with another way comes another name.
const made = "1"

// History is an account with many messages, which is made once and kept in
// .cache/bench.
type History struct {
	Name     string // of its folder; another for each that is made otherwise
	Messages int
	Chats    int // over which they are spread; with 1 all are in one
}

// User is the account's.
const User = "anna"

// folder is where it is kept.
func (h *History) folder() (string, error) {
	return filepath.Abs(filepath.Join(".cache", "bench", "store-"+made+"-"+h.Name))
}

// Open gives the account and its directory, without the core.
func (h *History) Open(ctx context.Context) (*people.World, *people.Person, error) {
	folder, err := h.folder()
	if err != nil {
		return nil, nil, err
	}
	ready := filepath.Join(folder, "ready")
	if _, err := os.Stat(ready); errors.Is(err, fs.ErrNotExist) {
		if err := os.RemoveAll(folder); err != nil {
			return nil, nil, err
		}
		if err := h.make(ctx, folder); err != nil {
			return nil, nil, err
		}
		if err := os.WriteFile(ready, nil, 0o600); err != nil {
			return nil, nil, err
		}
	}
	w, err := people.OpenWorld(ctx, folder)
	if err != nil {
		return nil, nil, err
	}
	return w, w.Known(User), nil
}

// make registers the account and writes its history through the store.
func (h *History) make(ctx context.Context, folder string) error {
	fmt.Fprintf(os.Stderr, "making %d messages in %s, once\n", h.Messages, folder)
	w, err := people.OpenWorld(ctx, folder)
	if err != nil {
		return err
	}
	defer w.Close()
	p, err := w.Add(ctx, User)
	if err != nil {
		return err
	}
	if _, err := p.Client.Shutdown(ctx, &controlpb.ShutdownRequest{}); err != nil {
		return err
	}
	<-p.Core.Exited()
	databases, err := filepath.Glob(filepath.Join(p.Folders().Data, "accounts", "*", "parley.db"))
	if err != nil || len(databases) != 1 {
		return fmt.Errorf("%d databases where there should be one: %w", len(databases), err)
	}
	key, err := identity.NewVault(identity.VaultConfig{Folder: filepath.Dir(databases[0])}).Open(ctx, "")
	if err != nil {
		return err
	}
	s, err := store.Open(ctx, store.Config{Path: databases[0], Key: key, CacheKiB: 64 << 10})
	if err != nil {
		return err
	}
	return errors.Join(h.fill(ctx, s), s.Close())
}

// chatter is one chat that is being made.
type chatter struct {
	id      packet.ChatID
	peer    packet.UserID
	ids     [2]*identity.Identity // anna's and the peer's
	depth   uint64
	numbers [2]uint64
}

func (h *History) chatName(i int) (packet.ChatID, packet.UserID) {
	peer := packet.UserID(fmt.Sprintf("peer%04d", i))
	return packet.DirectChat(User, peer), peer
}

// chatOf spreads messages over the chats: the first has a hundred times as many
// as the last.
func (h *History) chatOf(n int) int {
	x := float64(uint64(n)*2_654_435_761%1_000_003) / 1_000_003
	return int(float64(h.Chats) * x * x)
}

// messageID is the n-th message's.
func messageID(n int) packet.PacketID {
	sum := packet.HashOf(fmt.Appendf(nil, "message %d", n))
	return packet.PacketID(sum[:16])
}

// MessageOf gives some message of a chat.
func (h *History) MessageOf(chat string, random *rand.Rand) []byte {
	for n := random.IntN(h.Messages); ; n = (n + 1) % h.Messages {
		if id, _ := h.chatName(h.chatOf(n)); string(id) == chat {
			m := messageID(n)
			return m[:]
		}
	}
}

// Largest is the largest chat.
func (h *History) Largest() string {
	id, _ := h.chatName(0)
	return string(id)
}

func (h *History) fill(ctx context.Context, s store.Store) error {
	chats, err := h.people(ctx, s)
	if err != nil {
		return err
	}
	words := newWriter(uint64(h.Messages))
	const batch = 5000
	for from := 0; from < h.Messages; from += batch {
		err := s.Update(ctx, store.Lazy, func(tx store.Tx) error {
			for n := from; n < min(from+batch, h.Messages); n++ {
				if err := h.add(tx, chats[h.chatOf(n)], n, words); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if from%100_000 == 0 {
			fmt.Fprintf(os.Stderr, "%d of %d messages\n", from, h.Messages)
		}
	}
	return h.read(ctx, s, chats)
}

// people makes contacts and their chats.
func (h *History) people(ctx context.Context, s store.Store) ([]*chatter, error) {
	var chats []*chatter
	err := s.Update(ctx, store.Lazy, func(tx store.Tx) error {
		seed, err := tx.Value("identity", "seed")
		if err != nil {
			return err
		}
		self, err := identity.New(User, seed)
		if err != nil {
			return err
		}
		for i := range h.Chats {
			c := &chatter{}
			c.id, c.peer = h.chatName(i)
			other, err := identity.Generate(c.peer)
			if err != nil {
				return err
			}
			c.ids = [2]*identity.Identity{self, other}
			chats = append(chats, c)
			err = errors.Join(
				tx.PutContact(store.Contact{
					User: c.peer, State: store.ContactAccepted, DisplayName: fmt.Sprintf("Peer %d", i), CreatedAt: began.UnixMicro(),
					Devices: []store.Device{{Key: other.Key(), Pinned: true}},
				}),
				tx.PutChat(store.Chat{ID: c.id, Title: string(c.peer), CreatedAt: began.UnixMicro()}),
				tx.PutMembership(c.id, store.Membership{Version: 1, Members: []packet.UserID{User, c.peer}}),
			)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return chats, err
}

// began is when the history does; it is three years long.
var began = time.Date(2023, 11, 1, 0, 0, 0, 0, time.UTC)

func (h *History) add(tx store.Tx, c *chatter, n int, words *writer) error {
	side := n / 7 % 2
	c.depth++
	c.numbers[side]++
	body := words.text()
	author := c.ids[side]
	header := packet.Header{
		ID: messageID(n), Chat: c.id, Type: "text", Author: author.User(), Device: author.Device(), Epoch: 1, Number: c.numbers[side],
		Depth: c.depth, Membership: 1, Delivery: packet.Reliable,
		SentAt: began.Add(time.Duration(n) * 3 * 365 * 24 * time.Hour / time.Duration(h.Messages)).UnixMicro(),
	}
	p, err := packet.Seal(header, []byte(body), author.Sign)
	if err != nil {
		return err
	}
	if _, err := tx.PutEntry(store.Entry{Packet: p, State: store.EntryHandled}); err != nil {
		return err
	}
	_, err = tx.AddMessage(store.Message{
		ID: header.ID, Chat: c.id, Author: header.Author, Plugin: "text", Kind: "text", Body: body, SentAt: header.SentAt,
		Order: p.Header.Order(), Entry: p.Header.Key(), Own: side == 0, Notifies: true,
	})
	return err
}

// read marks most chats as read, and what was sent as delivered.
func (h *History) read(ctx context.Context, s store.Store, chats []*chatter) error {
	return s.Update(ctx, store.Synced, func(tx store.Tx) error {
		for i, c := range chats {
			log := packet.Log{Chat: c.id, Device: c.ids[0].Device(), Epoch: 1}
			head := store.PeerHead{User: c.peer, Device: c.ids[1].Device(), Upto: c.numbers[0]}
			if _, _, err := tx.PutPeerHead(log, head, false); err != nil {
				return err
			}
			newest, _, err := tx.Messages(c.id, store.Page{Limit: 1})
			if err != nil {
				return err
			}
			if i%10 != 0 && len(newest) > 0 {
				if _, err := tx.SetRead(c.id, newest[0].Order); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
