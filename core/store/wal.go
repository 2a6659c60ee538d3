package store

import (
	"encoding/binary"
	"io"
	"slices"
	"sync"

	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"
)

// The write-ahead log is encrypted in blocks of 4 KiB, but SQLite writes it in
// frames of 24 bytes and a page, which lie across them: each frame would have
// three blocks decrypted, changed and encrypted again, and each page that is read
// back two. walVFS, which stands above the encryption, collects what a transaction
// writes into whole blocks, and keeps the newest ones for whoever reads them.
//
// What is on disk when does not change: a Sync writes all blocks before it syncs,
// and the last frame of a transaction writes them too, so that a commit outlives
// the process. (Where SQLite syncs within a last frame, that one repeats the frame
// before it, to keep what is synced out of the block that is written next.) All connections are of this process, see Config.Path, and share
// what is here.

const (
	walBlock = 4096 // of the encryption
	// walDirty is how many blocks wait at most; a transaction that writes more has
	// them written on the way.
	walDirty = 128
	// walKept is how many blocks are kept for reading, about half a log.
	walKept = 512

	walHeader = 32 // bytes of the header
	walFrame  = 24 // and of a frame's
)

type walVFS struct {
	vfs.VFS

	mu   sync.Mutex // guards logs and the users of each; taken before a log's
	logs map[string]*walLog
}

func newWalVFS(below vfs.VFS) *walVFS { return &walVFS{VFS: below, logs: map[string]*walLog{}} }

func (v *walVFS) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	return vfsutil.WrapOpen(v.VFS, name, flags)
}

func (v *walVFS) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, flags, err := vfsutil.WrapOpenFilename(v.VFS, name, flags)
	if err != nil || flags&vfs.OPEN_WAL == 0 {
		return f, flags, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	path := name.String()
	log := v.logs[path]
	if log == nil {
		size, err := f.Size()
		if err != nil {
			_ = f.Close() // nothing was written
			return nil, flags, err
		}
		log = &walLog{file: f, end: size / walBlock * walBlock, blocks: map[int64]*block{}}
		log.front = log.end
		v.logs[path] = log
	} else if err := f.Close(); err != nil {
		return nil, flags, err
	}
	log.users++
	return &walFile{walLog: log, vfs: v, path: path}, flags, nil
}

// walFile is the log as one connection has it open.
type walFile struct {
	*walLog
	vfs  *walVFS
	path string
}

// Close closes the log with its last user.
func (f *walFile) Close() error {
	f.vfs.mu.Lock()
	defer f.vfs.mu.Unlock()
	if f.users--; f.users > 0 {
		return nil
	}
	delete(f.vfs.logs, f.path)
	return f.close()
}

// walLog is a log with its newest blocks.
type walLog struct {
	file  vfs.File // encrypted; whole blocks are read and written. Under mu but for Sync
	users int      // guarded by walVFS.mu

	mu     sync.Mutex // guards all below
	blocks map[int64]*block
	held   []int64 // indexes of blocks, the one kept longest first
	dirty  []int64 // of blocks to be written
	end    int64   // of the file, with what is to be written
	front  int64   // what lies beyond was written before the log began anew, and means nothing
	syncs  int     // that were asked for
	commit int64   // where the last frame of a transaction ends, 0 when it is none
}

type block struct {
	dirty bool
	data  [walBlock]byte
}

// ReadAt implements vfs.File.
func (l *walLog) ReadAt(p []byte, off int64) (n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n < len(p) {
		at := off + int64(n)
		if at >= l.end {
			return n, io.EOF
		}
		b, err := l.block(at/walBlock, l.end)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], b.data[at%walBlock:])
	}
	return n, nil
}

// WriteAt implements vfs.File.
func (l *walLog) WriteAt(p []byte, off int64) (n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if off == 0 && len(p) == walHeader {
		l.front = 0
	}
	for n < len(p) {
		at := off + int64(n)
		index, from := at/walBlock, at%walBlock
		var b *block
		if from == 0 && len(p)-n >= walBlock {
			b = l.hold(index)
		} else if b, err = l.block(index, l.front); err != nil {
			return n, err
		}
		n += copy(b.data[from:], p[n:])
		if !b.dirty {
			b.dirty = true
			l.dirty = append(l.dirty, index)
		}
		l.front = max(l.front, (index+1)*walBlock)
		l.end = max(l.end, l.front)
	}
	if len(p) == walFrame && off > 0 {
		// Bytes 4 to 8 of a frame are the size of the database after a commit, 0
		// where the transaction goes on.
		l.commit = 0
		if binary.BigEndian.Uint32(p[4:]) != 0 {
			l.commit = off + walFrame + pageSize
		}
	}
	if len(l.dirty) >= walDirty || l.commit > 0 && off+int64(len(p)) >= l.commit {
		return n, l.flush()
	}
	return n, nil
}

// block gives a block as it is now; zeros where it lies at or beyond end.
func (l *walLog) block(index, end int64) (*block, error) {
	if b := l.blocks[index]; b != nil {
		return b, nil
	}
	b := l.hold(index)
	if index*walBlock >= end {
		return b, nil
	}
	if n, err := l.file.ReadAt(b.data[:], index*walBlock); n < walBlock {
		l.drop(func(i int64) bool { return i == index })
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return b, nil
}

// hold makes room for a block, of zeros when it is not there yet.
func (l *walLog) hold(index int64) *block {
	if b := l.blocks[index]; b != nil {
		return b
	}
	b := &block{}
	if len(l.held) >= walKept {
		if i := slices.IndexFunc(l.held, func(i int64) bool { return !l.blocks[i].dirty }); i >= 0 {
			b = l.blocks[l.held[i]]
			b.data = [walBlock]byte{}
			delete(l.blocks, l.held[i])
			l.held = slices.Delete(l.held, i, i+1)
		}
	}
	l.blocks[index] = b
	l.held = append(l.held, index)
	return b
}

// drop forgets blocks.
func (l *walLog) drop(which func(int64) bool) {
	for i := range l.blocks {
		if which(i) {
			delete(l.blocks, i)
		}
	}
	l.held = slices.DeleteFunc(l.held, which)
	l.dirty = slices.DeleteFunc(l.dirty, which)
}

// flush writes what is to be written. What fails stays, for the next time.
func (l *walLog) flush() error {
	l.commit = 0
	slices.Sort(l.dirty)
	for len(l.dirty) > 0 {
		index := l.dirty[0]
		b := l.blocks[index]
		if _, err := l.file.WriteAt(b.data[:], index*walBlock); err != nil {
			return err
		}
		b.dirty = false
		l.dirty = l.dirty[1:]
	}
	l.dirty = nil
	return nil
}

// Sync implements vfs.File. Readers go on meanwhile.
func (l *walLog) Sync(flags vfs.SyncFlag) error {
	l.mu.Lock()
	l.syncs++
	err := l.flush()
	l.mu.Unlock()
	if err != nil {
		return err
	}
	return l.file.Sync(flags)
}

// synced says how often the log was synced.
func (l *walLog) synced() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.syncs
}

// Truncate implements vfs.File.
func (l *walLog) Truncate(size int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	blocks := (size + walBlock - 1) / walBlock
	if err := l.file.Truncate(blocks * walBlock); err != nil {
		return err
	}
	l.drop(func(i int64) bool { return i >= blocks })
	l.end = min(l.end, blocks*walBlock)
	l.front = min(l.front, l.end)
	return nil
}

// Size implements vfs.File.
func (l *walLog) Size() (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end, nil
}

func (l *walLog) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	// What no transaction committed is written too: the next one counts on what
	// it finds.
	err := l.flush()
	if closeErr := l.file.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (l *walLog) Lock(level vfs.LockLevel) error   { return l.file.Lock(level) }
func (l *walLog) Unlock(level vfs.LockLevel) error { return l.file.Unlock(level) }
func (l *walLog) CheckReservedLock() (bool, error) { return l.file.CheckReservedLock() }
func (l *walLog) SectorSize() int                  { return l.file.SectorSize() }
func (l *walLog) DeviceCharacteristics() vfs.DeviceCharacteristic {
	return l.file.DeviceCharacteristics()
}
