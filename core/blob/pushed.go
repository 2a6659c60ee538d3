package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// What is offered in a chat of 2019 cannot be fetched: its sender pushes it when he
// likes, and another package takes it. This one knows of it, tells how far it is, and
// puts it where it is wanted. One's own is pushed by that package likewise.

// pushed says whether a blob comes so.
func pushed(b *store.Blob) bool { return b.Chat.Kind() == packet.Net2019 }

// Place puts a file that has come whole, and is at from, where a blob is wanted;
// from is gone afterwards. It may be called again after a crash. ErrNotFound,
// ErrState when it is not wanted (any more), and errors of the disk, which say
// what to do.
func (s *Service) Place(ctx context.Context, id packet.BlobID, from string) error {
	b, err := s.blob(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("blob %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return err
	}
	if !pushed(&b) || b.Own || b.State != store.BlobWanted {
		return fmt.Errorf("blob %s is not wanted: %w", id, ErrState)
	}
	if there, err := s.wasPlaced(ctx, &b); there || err != nil {
		return err
	}
	partial := partialOf(&b)
	if err := s.placePushed(ctx, &b, from, partial); err != nil {
		return diskError(b.Destination, err)
	}
	return nil
}

func (s *Service) placePushed(ctx context.Context, b *store.Blob, from, partial string) error {
	if err := os.MkdirAll(s.dir(b.ID), 0o700); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(s.dir(b.ID), partialFile), []byte(partial)); err != nil {
		return err
	}
	if _, err := os.Lstat(from); !errors.Is(err, fs.ErrNotExist) {
		if err := inPartialFolder(partial, func() error { return moveFile(from, partial) }); err != nil {
			return err
		}
	}
	f, err := openFileSink(partial)
	if err != nil {
		return err
	}
	err = errors.Join(f.finish(ctx), f.Close())
	if err != nil {
		return err
	}
	path, err := place(partial, b.Destination, b.Name, func(path string) error {
		b.Path = path
		return s.update(ctx, func(tx store.Tx) error {
			now, err := tx.Blob(b.ID)
			if err == nil {
				now.Path = path
				err = tx.PutBlob(now)
			}
			return err
		})
	})
	if err != nil {
		return err
	}
	return s.placed(ctx, b, path)
}

// moveFile moves a file, by copying it when to is on another disk.
func moveFile(from, to string) error {
	err := os.Rename(from, to)
	if !errors.Is(err, syscall.EXDEV) {
		return err
	}
	in, err := os.Open(from) //nolint:gosec // a path of the core's own
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read
	out, err := openFileSink(to)
	if err != nil {
		return err
	}
	err = out.Truncate(0)
	if err == nil {
		_, err = io.Copy(out, in)
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return os.Remove(from)
}

// Fail says that what is pushed will not come whole, or that nobody could be sent
// it, and why, for people.
func (s *Service) Fail(ctx context.Context, id packet.BlobID, reason string) {
	s.settle(ctx, id, store.BlobFailed, reason, func(b *store.Blob) bool { return pushed(b) && !b.State.Settled() })
}

// Sent says that one's own was pushed to all who are to have it: it is done, and
// nobody can have it any more.
func (s *Service) Sent(ctx context.Context, id packet.BlobID) {
	s.settle(ctx, id, store.BlobDone, "", func(b *store.Blob) bool { return pushed(b) && b.Own && !b.State.Settled() })
}

// Moved notes that n bytes of what is pushed came from a peer, or went to one, who
// is at done. Of b the identity, Size and Own count: it may not be kept yet.
func (s *Service) Moved(b *store.Blob, peer packet.UserID, n int, done uint64) {
	s.progress(b, peer, n, done)
}

// Stopped notes that what was pushed moves no more between here and a peer. One's own
// that did not go whole counts for nothing: another try begins anew.
func (s *Service) Stopped(ctx context.Context, b *store.Blob, peer packet.UserID) {
	now, err := s.blob(context.WithoutCancel(ctx), b.ID)
	if err != nil || now.State.Settled() {
		s.forget(b.ID)
		return
	}
	s.mu.Lock()
	m := s.meterOf(&now)
	if now.Own {
		if at := m.peers[peer]; at == now.Size {
			m.given[peer] = at
		}
		delete(m.peers, peer)
		m.done = 0
		for _, each := range []map[packet.UserID]uint64{m.given, m.peers} {
			for _, done := range each {
				m.done = max(m.done, done)
			}
		}
	}
	s.mu.Unlock()
	s.left(&now, peer)
}

// Room says how many bytes fit into a folder beside what is kept free.
func (s *Service) Room(folder string) (uint64, error) {
	free, err := room(folder)
	return free - min(free, reserve), err
}
