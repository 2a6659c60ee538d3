package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// commits is how long n synced commits of an entry take, each in a database of its
// own; the least of five turns, because what disturbs can only add.
func commits(ctx context.Context, dir string, n int) (least time.Duration, err error) {
	self, err := identity.Generate("anna")
	if err != nil {
		return 0, err
	}
	chat := packet.NewGroupChat()
	stores := make([]store.Store, 0, n)
	defer func() {
		for _, s := range stores {
			err = errors.Join(err, s.Close())
		}
	}()
	for i := range n {
		s, err := store.Open(ctx, store.Config{Path: filepath.Join(dir, fmt.Sprint(i)), Key: make([]byte, store.KeySize)})
		if err != nil {
			return 0, err
		}
		stores = append(stores, s)
		err = s.Update(ctx, store.Synced, func(tx store.Tx) error {
			if err := tx.PutChat(store.Chat{ID: chat}); err != nil {
				return err
			}
			return tx.PutMembership(chat, store.Membership{Version: 1, Members: []packet.UserID{"anna", "bob"}})
		})
		if err != nil {
			return 0, err
		}
	}
	for turn := range uint64(5) {
		p, err := packet.Seal(packet.Header{
			ID: packet.NewPacketID(), Chat: chat, Type: "text", Author: self.User(), Device: self.Device(), Epoch: 1, Number: turn + 1,
			Depth: turn + 1, Membership: 1, SentAt: time.Now().UnixMicro(), Delivery: packet.Reliable,
		}, []byte(body), self.Sign)
		if err != nil {
			return 0, err
		}
		began := time.Now()
		for _, s := range stores {
			err := s.Update(ctx, store.Synced, func(tx store.Tx) error {
				_, err := tx.PutEntry(store.Entry{Packet: p, State: store.EntryNew})
				return err
			})
			if err != nil {
				return 0, err
			}
		}
		if took := time.Since(began); turn == 0 || took < least {
			least = took
		}
	}
	return least, nil
}
