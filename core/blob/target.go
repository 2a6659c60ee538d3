package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/zeebo/blake3"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/bytesize"
	"github.com/parley-chat/parley/protocol/packet"
)

// target is a blob that comes together on this disk. What it does with pieces is
// for several sources at once.
type target struct {
	s       *Service
	b       store.Blob
	partial string
	group   bool // others than its author may have it
	ledger  *ledger

	mu      sync.Mutex // guards all below
	sink    sink
	head    *fileSink // the pieces that have the index, until it is complete
	claims  []*claim  // what each source is to give
	claimed bitmap    // the pieces in them
	givers  []*giver  // the sources that were met
	sure    bool      // the hashes were held against the manifest, and are it
}

// openTarget opens what there is of a blob, and what is needed for the rest.
func (s *Service) openTarget(ctx context.Context, b store.Blob) (t *target, err error) {
	t = &target{s: s, b: b, partial: partialOf(&b), claimed: newBitmap(packet.Pieces(b.Size))}
	_, direct := b.Chat.Peer(s.self)
	t.group = !direct
	defer func() {
		if err != nil {
			t.close()
			t, err = nil, diskError(b.Destination, err)
		}
	}()
	// That it can be made is seen before anything is fetched.
	if err := inPartialFolder(t.partial, func() error { return nil }); err != nil {
		return t, err
	}
	if err := writeFile(filepath.Join(s.dir(b.ID), partialFile), []byte(t.partial)); err != nil {
		return t, err
	}
	if t.ledger, err = s.ledgers.open(b.ID, s.ledgerPath(b.ID), b.Size); err != nil {
		return t, err
	}
	if t.ledger.count() > 0 {
		if _, err := os.Lstat(t.partial); errors.Is(err, fs.ErrNotExist) && !t.hasHead() {
			s.log.Warn("what came of a file is gone; it is fetched anew", "blob", b.ID)
			if err := t.ledger.clear(); err != nil {
				return t, err
			}
		}
	}
	if err := t.roomLeft(); err != nil {
		return t, err
	}
	if b.IndexSize > 0 {
		if err := t.openFolder(); err != nil {
			return t, err
		}
	}
	if t.ledger.doubted() {
		return t, t.verify(ctx)
	}
	return t, nil
}

// partialOf is where a blob that is fetched comes together.
func partialOf(b *store.Blob) string {
	return filepath.Join(b.Destination, partialFolder, b.ID.String())
}

// diskError says in words what the disk does not let be done.
func diskError(folder string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errNoRoom):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: make room in %s", errNoRoom, shownPath(folder))
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return &diskFault{fmt.Sprintf("%s cannot be written: choose another download folder", shownPath(folder))}
	case errors.Is(err, syscall.ENAMETOOLONG):
		return &diskFault{"a name in it is too long for the disk"}
	case errors.Is(err, errDisk), errors.Is(err, errLied), errors.Is(err, errCorrupt), errors.Is(err, errRobbed), errors.Is(err, context.Canceled):
		return err
	}
	return &diskFault{fmt.Sprintf("%s cannot be written: %v", shownPath(folder), err)}
}

// diskFault: the disk does not take it, and waiting will not help.
type diskFault struct{ text string }

func (e *diskFault) Error() string { return e.text }

// Is implements what errors.Is asks.
func (e *diskFault) Is(target error) bool { return target == errDisk } //nolint:errorlint // the sentinel itself

// errDisk is what every diskFault is.
var errDisk = errors.New("the disk does not take it")

// roomLeft says whether what is still to come fits on the disk.
func (t *target) roomLeft() error {
	free, err := room(t.b.Destination)
	if err != nil {
		return err
	}
	done, _ := t.ledger.done()
	if need := t.b.Size - done; free < need+reserve {
		return fmt.Errorf("%w: %s more are needed in %s, and %s are free", errNoRoom,
			bytesize.Text(need+reserve), shownPath(t.b.Destination), bytesize.Text(free))
	}
	return nil
}

func (t *target) headPath() string { return filepath.Join(t.s.dir(t.b.ID), "head") }

func (t *target) hasHead() bool {
	_, err := os.Lstat(t.headPath())
	return err == nil
}

// headPieces is how many pieces have some of the index.
func (t *target) headPieces() uint64 { return packet.Pieces(uint64(t.b.IndexSize)) }

// openFolder goes on with a folder: with its index, or with its content once the
// index is here.
func (t *target) openFolder() error {
	index, err := os.ReadFile(t.s.indexPath(t.b.ID))
	if errors.Is(err, fs.ErrNotExist) {
		t.head, err = openFileSink(t.headPath())
		if err == nil {
			err = t.endHead()
		}
		return err
	}
	if err != nil {
		return err
	}
	return t.openSink(index)
}

// endHead turns from the index to the content once the index is complete. It is
// harmless to be done again.
func (t *target) endHead() error {
	for i := range t.headPieces() {
		if !t.ledger.has(i) {
			return nil
		}
	}
	index := make([]byte, t.b.IndexSize)
	if _, err := t.head.ReadAt(index, 0); err != nil {
		return err
	}
	folder, _, err := packet.DecodeFolder(index)
	if err != nil {
		return fmt.Errorf("%w: its index is broken: %w", errLied, err)
	}
	if newLayout(folder, uint64(len(index))).size != t.b.Size {
		return fmt.Errorf("%w: its index is of another size", errLied)
	}
	if err := t.openSink(index); err != nil {
		return err
	}
	// The last of these pieces has content behind the index.
	at := uint64(t.b.IndexSize)
	rest := make([]byte, min(t.headPieces()*packet.PieceSize, t.b.Size)-at)
	if _, err := t.head.ReadAt(rest, int64(at)); err != nil { //nolint:gosec // bounded by MaxIndex
		return err
	}
	if _, err := t.sink.WriteAt(rest, int64(at)); err != nil { //nolint:gosec // see above
		return err
	}
	// The index, written last, says that all this is done.
	temporary := t.s.indexPath(t.b.ID) + ".new"
	if err := writeFile(temporary, index); err != nil {
		return err
	}
	if err := os.Rename(temporary, t.s.indexPath(t.b.ID)); err != nil {
		return err
	}
	_ = t.head.Close()
	t.head = nil
	return os.Remove(t.headPath())
}

func (t *target) openSink(index []byte) (err error) {
	t.sink, err = openFolderSink(t.partial, index)
	if err != nil {
		t.sink = nil
	}
	return err
}

// learn takes what a source says the blob is, the first time.
func (t *target) learn(ctx context.Context, info *packet.BlobInfo) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if info.Size != t.b.Size || t.sink != nil && info.IndexSize != t.b.IndexSize {
		return fmt.Errorf("%w: it has %d bytes, not %d", errLied, info.Size, t.b.Size)
	}
	if t.sink != nil || t.head != nil {
		return nil
	}
	if info.IndexSize == 0 {
		f, err := openPartial(t.partial)
		if err != nil {
			return diskError(t.b.Destination, err)
		}
		t.sink = f
		return nil
	}
	t.b.IndexSize, t.b.Folder = info.IndexSize, true
	if err := t.keep(ctx); err != nil {
		return err
	}
	return diskError(t.b.Destination, t.openFolder())
}

// keep notes what was learned of the blob.
func (t *target) keep(ctx context.Context) error {
	return t.s.update(ctx, func(tx store.Tx) error {
		now, err := tx.Blob(t.b.ID)
		if err != nil {
			return err
		}
		now.IndexSize, now.Folder, now.Path = t.b.IndexSize, t.b.Folder, t.b.Path
		now.Root, now.Manifest, now.Signature, now.Files = t.b.Root, t.b.Manifest, t.b.Signature, t.b.Files
		return tx.PutBlob(now)
	})
}

// verify reads what the ledger claims, after a power failure.
func (t *target) verify(ctx context.Context) error {
	t.s.log.Info("verifying what came of a file before the machine went down", "blob", t.b.ID)
	if t.sink == nil && t.head == nil {
		if _, err := os.Lstat(t.partial); err != nil {
			return t.ledger.clear()
		}
		f, err := openPartial(t.partial)
		if err != nil {
			return err
		}
		t.sink = f
	}
	buffer := make([]byte, packet.PieceSize)
	for i := range t.ledger.n {
		if err := ctx.Err(); err != nil {
			return err
		}
		hash, _, known, err := t.ledger.slot(i)
		if err != nil {
			return err
		}
		if !known {
			continue
		}
		p := buffer[:packet.PieceLength(t.b.Size, i)]
		here := t.ledger.has(i)
		if here {
			_, err := t.at(i).ReadAt(p, int64(i)*packet.PieceSize) //nolint:gosec // bounded by MaxBlob
			here = err == nil && packet.HashOf(p) == hash
		}
		got := uint32(0)
		if here {
			got = uint32(len(p)) //nolint:gosec // at most a piece
		}
		if err := t.ledger.put(i, hash, got, here); err != nil {
			return err
		}
	}
	t.ledger.believe()
	return nil
}

// at gives where a piece goes.
func (t *target) at(piece uint64) sink {
	if t.head != nil && piece < t.headPieces() {
		return headSink{t.head}
	}
	return t.sink
}

// headSink is the head as a sink.
type headSink struct{ *fileSink }

func (headSink) finish(context.Context) error { return nil }

// incoming is a piece that is being written.
type incoming struct {
	t      *target
	claim  *claim
	to     sink
	number uint64
	want   packet.Hash
	hash   *blake3.Hasher
	at     int // how much of it is here
	length int
}

// piece begins to write a piece from the offset of its frame on. What came of it
// before is read again, for its hash, which is taken with the hasher that is given.
func (t *target) piece(c *claim, f *packet.Piece, hash *blake3.Hasher) (*incoming, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	to := t.at(f.Number)
	hash.Reset()
	in := &incoming{t: t, claim: c, to: to, number: f.Number, want: f.Hash, hash: hash, at: int(f.Offset), length: packet.PieceLength(t.b.Size, f.Number)}
	if f.Offset > 0 {
		before := make([]byte, f.Offset)
		if _, err := to.ReadAt(before, int64(f.Number)*packet.PieceSize); err != nil { //nolint:gosec // bounded by MaxBlob
			return nil, err
		}
		_, _ = in.hash.Write(before)
	}
	return in, nil
}

// write writes the next bytes of the piece, and notes it when it is whole. A piece
// that another source has taken over is errRobbed.
func (in *incoming) write(p []byte) error {
	_, _ = in.hash.Write(p)
	here := in.at+len(p) == in.length
	corrupt := here && packet.Hash(in.hash.Sum(nil)) != in.want
	if err := in.put(p, here, corrupt); err != nil {
		return diskError(in.t.b.Destination, err)
	}
	if corrupt {
		return fmt.Errorf("piece %d: %w", in.number, errCorrupt)
	}
	in.at += len(p)
	if _, head := in.to.(headSink); here && head {
		return in.t.headCame()
	}
	return nil
}

// put writes to the disk, and to the ledger, and settles the piece when it is whole.
// Of a broken piece what is there is worth nothing.
func (in *incoming) put(p []byte, here, corrupt bool) error {
	in.t.mu.Lock()
	defer in.t.mu.Unlock()
	if !in.claim.holds(in.number) {
		return errRobbed
	}
	if corrupt {
		err := in.t.ledger.put(in.number, in.want, 0, false)
		in.t.came(in.claim)
		return err
	}
	if _, err := in.to.WriteAt(p, int64(in.number)*packet.PieceSize+int64(in.at)); err != nil { //nolint:gosec // bounded by MaxBlob
		return err
	}
	err := in.t.ledger.put(in.number, in.want, uint32(in.at+len(p)), here) //nolint:gosec // at most a piece
	if err == nil && here {
		in.t.came(in.claim)
	}
	return err
}

// headCame looks whether the index is complete.
func (t *target) headCame() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.head == nil {
		return nil
	}
	return diskError(t.b.Destination, t.endHead())
}

// partOf says how much of a piece is here though it is not whole.
func (t *target) partOf(number uint64) (offset int) {
	_, got, known, err := t.ledger.slot(number)
	if err != nil || !known || t.ledger.has(number) || int(got) >= packet.PieceLength(t.b.Size, number) {
		return 0
	}
	return int(got)
}

func (t *target) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sink != nil {
		_ = t.sink.Close()
	}
	if t.head != nil {
		_ = t.head.Close()
	}
	if t.ledger != nil {
		_ = t.s.ledgers.leave(t.ledger)
	}
}
