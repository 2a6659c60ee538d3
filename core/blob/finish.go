package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// finish moves what is all here into its place, and notes it.
func (s *Service) finish(ctx context.Context, t *target) error {
	if len(t.b.Root) > 0 && !t.trusted() {
		return fmt.Errorf("%w: its pieces are not those that %s signed", errLied, t.b.Author)
	}
	if err := t.sink.finish(ctx); err != nil {
		return err
	}
	if err := t.ledger.settle(); err != nil {
		return err
	}
	if f, ok := t.sink.(*folderSink); ok {
		t.b.Files = 0 // it may have been here before
		for i := range f.folder {
			if f.folder[i].Kind == packet.FolderFile {
				t.b.Files++
			}
		}
	}
	path, err := place(t.partial, t.b.Destination, t.b.Name, func(path string) error {
		t.b.Path = path
		return t.keep(ctx)
	})
	if err != nil {
		return err
	}
	return s.placed(ctx, &t.b, path)
}

// wasPlaced finishes what a crash interrupted between moving a blob into its
// place and noting that.
func (s *Service) wasPlaced(ctx context.Context, b *store.Blob) (bool, error) {
	now, err := s.blob(ctx, b.ID)
	if err != nil {
		return false, err
	}
	if *b = now; b.Path == "" {
		return false, nil
	}
	partial, err := os.ReadFile(s.partialPath(b.ID))
	if err != nil {
		return false, nil //nolint:nilerr // nothing was ever put anywhere
	}
	if _, err := os.Lstat(string(partial)); !errors.Is(err, fs.ErrNotExist) { //nolint:gosec // this service wrote it
		return false, nil //nolint:nilerr // it was not moved
	}
	info, err := os.Lstat(b.Path)
	if err != nil || info.IsDir() != b.Folder || !b.Folder && uint64(info.Size()) != b.Size { //nolint:gosec // not negative
		b.Path = ""
		return false, nil //nolint:nilerr // what is there is something else
	}
	return true, s.placed(ctx, b, b.Path)
}

// placed notes that a blob is done.
func (s *Service) placed(ctx context.Context, b *store.Blob, path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	done := *b
	done.State, done.Path, done.Done, done.Told, done.Reason = store.BlobDone, path, b.Size, false, ""
	done.Stamp = marshalStamp(stampOf(info))
	noted, gone := false, false
	// Synced: whoever hears that it is here finds it so after a power failure.
	err = s.cfg.Store.Update(context.WithoutCancel(ctx), store.Synced, func(tx store.Tx) error {
		noted, gone = false, false
		now, err := tx.Blob(b.ID)
		switch {
		case errors.Is(err, store.ErrNotFound), err == nil && now.State == store.BlobCancelled:
			gone = true // its chat was removed, or it was cancelled, in the last moment
			return nil
		case err != nil || now.State.Settled():
			return err
		}
		noted = true
		return tx.PutBlob(done)
	})
	if err != nil {
		return fmt.Errorf("note that a file is here: %w", err)
	}
	switch {
	case gone:
		s.takeBack(b, path)
		return nil
	case !noted:
		return nil
	}
	removePartialFolder(path)
	s.forget(b.ID)
	s.publishEnd(&done)
	if _, direct := b.Chat.Peer(s.self); !direct && len(done.Manifest) > 0 {
		s.announce(ctx, &done)
	}
	return nil
}

// takeBack removes what was moved into its place in the moment in which it was
// cancelled. It is moved out of it first, so that nothing is ever removed there.
func (s *Service) takeBack(b *store.Blob, path string) {
	partial := partialOf(b)
	if err := inPartialFolder(partial, func() error { return rename(path, partial) }); err != nil {
		s.log.Warn("a file that was cancelled in the last moment could not be removed", "path", path, "err", err)
		return
	}
	s.removeLeft(s.dir(b.ID))
}

// publishEnd tells of a blob that is settled.
func (s *Service) publishEnd(b *store.Blob) {
	bus.Publish(s.cfg.Bus, bus.BlobChanged, bus.BlobRef{ID: b.ID, Chat: b.Chat, Message: b.Message, Plugin: b.Plugin, Settled: true})
}
