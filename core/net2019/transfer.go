package net2019

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
	wire "github.com/parley-chat/parley/protocol/packet/net2019"
)

// transfer is a file that is under way between here and one person. But for
// cancelled, it is for the goroutine that moves it.
type transfer struct {
	s         *Service
	blob      store.Blob // its identity, size and whose it is
	peer      packet.UserID
	done      uint64 // bytes
	accepted  bool   // somebody wanted it when that was asked
	cancelled atomic.Bool
}

// begin shows a file as one that is under way, until its end.
func (s *Service) begin(ctx context.Context, b store.Blob, peer wire.ID) *transfer {
	t := &transfer{s: s, blob: b, peer: packet.UserID(peer.Name())}
	s.mu.Lock()
	s.moving[t] = struct{}{}
	s.mu.Unlock()
	s.halt(ctx, b.ID) // it may have been cancelled before
	return t
}

func (t *transfer) moved(n int) {
	t.done += uint64(n) //nolint:gosec // not negative
	t.s.cfg.Files.Moved(&t.blob, t.peer, n, t.done)
}

func (t *transfer) end(ctx context.Context) {
	t.s.mu.Lock()
	delete(t.s.moving, t)
	t.s.mu.Unlock()
	t.s.cfg.Files.Stopped(context.WithoutCancel(ctx), &t.blob, t.peer)
}

// underWay gives the files that are.
func (s *Service) underWay() (ids []packet.BlobID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t := range s.moving {
		if !slices.Contains(ids, t.blob.ID) {
			ids = append(ids, t.blob.ID)
		}
	}
	return ids
}

// halt has a file stop that is under way, if it was cancelled.
func (s *Service) halt(ctx context.Context, id packet.BlobID) {
	if !slices.Contains(s.underWay(), id) {
		return
	}
	var b store.Blob
	err := s.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
		b, err = tx.Blob(id)
		return err
	})
	if err != nil || b.State != store.BlobCancelled {
		return // nobody can have cancelled what is not known yet
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for t := range s.moving {
		if t.blob.ID == id {
			t.cancelled.Store(true)
		}
	}
}
