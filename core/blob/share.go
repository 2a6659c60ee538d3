package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// share is a blob that is being given: its content and its ledger, opened once
// for all who get it.
type share struct {
	id      packet.BlobID
	users   int         // guarded by Service.mu
	stopped atomic.Bool // nothing more is given
	partial bool        // it is being fetched: what is here of it is given

	mu      sync.Mutex // guards reading the content, and what is below
	b       store.Blob
	content content
	ledger  *ledger
	index   []byte
}

func (sh *share) stop() { sh.stopped.Store(true) }

func (s *Service) closeShare(sh *share) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.content != nil {
		_ = sh.content.Close()
	}
	if sh.ledger != nil {
		_ = s.ledgers.leave(sh.ledger)
	}
}

// enterShare opens a blob to be given. The row says where it is.
func (s *Service) enterShare(b *store.Blob) (*share, error) {
	s.mu.Lock()
	sh := s.shares[b.ID]
	if sh != nil && !sh.stopped.Load() {
		sh.users++
		s.mu.Unlock()
		return sh, nil
	}
	s.mu.Unlock()
	fresh := &share{id: b.ID, b: *b, users: 1}
	if err := s.open(fresh); err != nil {
		s.closeShare(fresh)
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sh := s.shares[b.ID]; sh != nil && !sh.stopped.Load() { // somebody was quicker
		s.closeShare(fresh)
		sh.users++
		return sh, nil
	}
	s.shares[b.ID] = fresh
	return fresh, nil
}

// leaveShare lets go of one; the last closes it.
func (s *Service) leaveShare(sh *share) {
	s.mu.Lock()
	sh.users--
	last := sh.users == 0
	if last && s.shares[sh.id] == sh {
		delete(s.shares, sh.id)
	}
	s.mu.Unlock()
	if last {
		s.closeShare(sh)
	}
}

func (s *Service) open(sh *share) error {
	b := &sh.b
	path := b.Path
	if sh.partial = !b.Own && b.State == store.BlobWanted; sh.partial {
		path = partialOf(b)
	}
	var err error
	if b.Folder {
		if sh.index, err = os.ReadFile(s.indexPath(b.ID)); err != nil {
			return fmt.Errorf("%s: its index %w: %w", b.Name, ErrUnreadable, reason(err))
		}
		sh.content, err = openFolder(path, sh.index, b.Own, sh.partial)
	} else {
		sh.content, err = openSingle(b, path, sh.partial)
	}
	if err != nil {
		sh.content = nil // not a nil pointer in an interface
		return err
	}
	if err := os.MkdirAll(s.dir(b.ID), 0o700); err != nil {
		return fmt.Errorf("%w: %w", errNotNow, reason(err))
	}
	if sh.ledger, err = s.ledgers.open(b.ID, s.ledgerPath(b.ID), b.Size); err != nil {
		return fmt.Errorf("%w: %w", errNotNow, reason(err))
	}
	if sh.partial && (sh.ledger.doubted() || sh.ledger.count() == 0) {
		return fmt.Errorf("%s %w", b.Name, errNotHere)
	}
	return nil
}

// openSingle opens a blob that is one file.
func openSingle(b *store.Blob, path string, partial bool) (content, error) {
	if partial {
		f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
		if err != nil {
			return nil, explain(b.Name, err)
		}
		return &partialFileContent{f}, nil
	}
	want, bad := unmarshalStamp(b.Stamp)
	if bad != nil {
		return nil, fmt.Errorf("%s: %w", b.Name, ErrUnreadable)
	}
	f, err := openFile(path, want)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// have gives the pieces that can be given, none for all.
func (sh *share) have() []packet.Range {
	if !sh.partial {
		return nil
	}
	return sh.ledger.ranges(packet.MaxRanges)
}

// piece reads a piece into p, and gives its hash. A piece that was read before is
// not hashed again.
func (sh *share) piece(number uint64, p []byte) (packet.Hash, error) {
	if sh.partial && !sh.ledger.has(number) {
		return packet.Hash{}, fmt.Errorf("piece %d %w", number, errNotHere)
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if _, err := sh.content.ReadAt(p, int64(number)*packet.PieceSize); err != nil { //nolint:gosec // bounded by MaxBlob
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%s %w", sh.b.Name, ErrChanged) // shorter than it was
		}
		if !errors.Is(err, ErrChanged) && !errors.Is(err, ErrUnreadable) && !errors.Is(err, ErrNotFound) {
			err = explain(sh.b.Name, err)
		}
		return packet.Hash{}, err
	}
	// Next to reading a piece it costs nothing.
	if err := sh.content.check(); err != nil {
		return packet.Hash{}, err
	}
	hash, _, known, err := sh.ledger.slot(number)
	if err != nil {
		return packet.Hash{}, fmt.Errorf("%w: %w", errNotNow, reason(err))
	}
	if known {
		return hash, nil
	}
	hash = packet.HashOf(p)
	if err := sh.ledger.put(number, hash, uint32(len(p)), true); err != nil { //nolint:gosec // at most a piece
		return packet.Hash{}, fmt.Errorf("%w: %w", errNotNow, reason(err))
	}
	return hash, nil
}

// manifestOf gives the author's word, nil while it is not known.
func manifestOf(b *store.Blob) *packet.Manifest {
	if len(b.Manifest) == 0 {
		return nil
	}
	m, err := packet.OpenManifest(b.Manifest, b.Signature)
	if err != nil {
		return nil
	}
	return &m
}

// seal signs the manifest once all hashes are known, and keeps it.
func (s *Service) seal(ctx context.Context, sh *share) error {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if !sh.b.Own || len(sh.b.Manifest) > 0 || !sh.ledger.allKnown() {
		return nil
	}
	root, err := sh.ledger.root()
	if err != nil {
		return err
	}
	b := &sh.b
	m, err := packet.SealManifest(packet.Manifest{
		Blob: b.ID, Chat: b.Chat, Author: b.Author, Device: b.Device, Size: b.Size, IndexSize: b.IndexSize, Root: root,
	}, s.cfg.Identity.Sign)
	if err != nil {
		return err
	}
	b.Root, b.Manifest, b.Signature = root[:], m.Raw, m.Signature
	return s.update(ctx, func(tx store.Tx) error {
		now, err := tx.Blob(b.ID)
		if err != nil {
			return err
		}
		now.Root, now.Manifest, now.Signature = b.Root, b.Manifest, b.Signature
		return tx.PutBlob(now)
	})
}

// spoil notes that one's own blob cannot be given any more.
func (s *Service) spoil(ctx context.Context, id packet.BlobID, why error) {
	s.settle(ctx, id, store.BlobFailed, why.Error(), func(b *store.Blob) bool { return b.State == store.BlobShared })
}

// settle brings a blob to its end, if ok says so, and tells its plugin.
func (s *Service) settle(ctx context.Context, id packet.BlobID, state store.BlobState, reason string, ok func(*store.Blob) bool) {
	var b store.Blob
	done := false
	err := s.update(context.WithoutCancel(ctx), func(tx store.Tx) (err error) {
		done = false
		if b, err = tx.Blob(id); errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil || !ok(&b) {
			return err
		}
		b.State, b.Reason, b.Told = state, cutRunes(reason, maxReason), false
		done = true
		return tx.PutBlob(b)
	})
	if err != nil {
		s.log.Error("the end of a file cannot be noted", "blob", id, "err", err)
		return
	}
	if done {
		s.forget(id)
		s.publishEnd(&b)
	}
}

// maxReason bounds a reason for people, in bytes.
const maxReason = 300

// shownPath is a path for people.
func shownPath(path string) string {
	home, err := os.UserHomeDir()
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(home, path); err == nil && filepath.IsLocal(rel) {
		return filepath.Join("~", rel)
	}
	return path
}
