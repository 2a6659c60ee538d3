package store_test

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"

	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"
)

// recorder is the operating system's VFS, and keeps what is done to files, so that
// what a disk would have after a power loss can be made for any moment.
type recorder struct {
	vfs.VFS
	mu  sync.Mutex // guards ops
	ops []diskOp
}

// diskOp is one thing done to a file. Until the file is synced it may or may not
// get to the disk, in any order and in parts.
type diskOp struct {
	file string // without the folder; a file keeps its name when it is renamed
	kind diskOpKind
	at   int64 // of a write; the size, of a truncation
	data []byte
}

type diskOpKind int

const (
	opWrite diskOpKind = iota + 1
	opTruncate
	opDelete
	opSync // also a folder's, for a file that was deleted and is made again
)

func (r *recorder) note(o diskOp) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, o)
}

func (r *recorder) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ops)
}

// fileName takes away the folder, and what create puts behind the name until the
// file is whole.
func fileName(path string) string { return strings.TrimSuffix(filepath.Base(path), ".new") }

func (r *recorder) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, out, err := vfsutil.WrapOpenFilename(r.VFS, name, flags)
	if err != nil || name == nil {
		return f, out, err
	}
	file := fileName(name.String())
	r.remade(file)
	return &recordedFile{f, r, file}, out, nil
}

// remade notes that a file that was deleted is there again: the store makes its
// files before SQLite opens them, and syncs the folder.
func (r *recorder) remade(file string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.ops) - 1; i >= 0; i-- {
		if r.ops[i].file == file {
			if r.ops[i].kind == opDelete {
				r.ops = append(r.ops, diskOp{file: file, kind: opSync})
			}
			return
		}
	}
}

func (r *recorder) Delete(name string, syncDir bool) error {
	err := r.VFS.Delete(name, syncDir)
	if err == nil {
		r.note(diskOp{file: fileName(name), kind: opDelete})
		if syncDir {
			r.note(diskOp{file: fileName(name), kind: opSync})
		}
	}
	return err
}

type recordedFile struct {
	vfs.File
	r    *recorder
	name string
}

func (f *recordedFile) WriteAt(p []byte, off int64) (int, error) {
	f.r.note(diskOp{file: f.name, kind: opWrite, at: off, data: append([]byte(nil), p...)})
	return f.File.WriteAt(p, off)
}

func (f *recordedFile) Truncate(size int64) error {
	f.r.note(diskOp{file: f.name, kind: opTruncate, at: size})
	return f.File.Truncate(size)
}

// Sync presses nothing to the real disk: the test has no need of it.
func (f *recordedFile) Sync(vfs.SyncFlag) error {
	f.r.note(diskOp{file: f.name, kind: opSync})
	return nil
}

func (f *recordedFile) SharedMemory() vfs.SharedMemory  { return vfsutil.WrapSharedMemory(f.File) }
func (f *recordedFile) LockState() vfs.LockLevel        { return vfsutil.WrapLockState(f.File) }
func (f *recordedFile) BusyHandler(handler func() bool) { vfsutil.WrapBusyHandler(f.File, handler) }
func (f *recordedFile) Unwrap() vfs.File                { return f.File }

// loss is what becomes of what was not synced when the power fails.
type loss int

const (
	lossAll     loss = iota // nothing of it is there
	lossNone                // all of it is
	lossSome                // each write is or is not, whatever the order
	lossSectors             // each sector of each write is or is not
	lossTorn                // all but the last write is, and of that some sectors
	losses
)

// sector is what a disk writes as a whole.
const sector = 512

// disk is the content of files.
type disk map[string][]byte

// after gives what is on a disk when the power fails after ops.
func (d disk) after(ops []diskOp, how loss, random *rand.Rand) disk {
	synced := map[string]int{} // up to where a file is safe
	for i, o := range ops {
		if o.kind == opSync {
			synced[o.file] = i
		}
	}
	last := map[string]int{}
	for i, o := range ops {
		if o.kind != opSync {
			last[o.file] = i
		}
	}
	out := disk{}
	for name, content := range d {
		out[name] = append([]byte(nil), content...)
	}
	for i, o := range ops {
		switch {
		case o.kind == opSync:
		case i < synced[o.file], how == lossNone, how == lossTorn && i < last[o.file]:
			out.apply(o, nil)
		case how == lossAll:
		case how == lossSome || o.kind != opWrite:
			if random.IntN(2) == 0 {
				out.apply(o, nil)
			}
		default:
			out.apply(o, random)
		}
	}
	return out
}

// apply does one thing; with random it loses sectors of a write.
func (d disk) apply(o diskOp, random *rand.Rand) {
	content, there := d[o.file]
	switch o.kind {
	case opDelete:
		delete(d, o.file)
		return
	case opTruncate:
		if there || o.at > 0 {
			d[o.file] = resize(content, o.at)
		}
		return
	}
	for at := int64(0); at < int64(len(o.data)); {
		// Sectors are the disk's: a write need not begin with one.
		end := min(at+sector-(o.at+at)%sector, int64(len(o.data)))
		if random == nil || random.IntN(2) == 0 {
			if int64(len(content)) < o.at+end {
				content = resize(content, o.at+end)
			}
			copy(content[o.at+at:], o.data[at:end])
		}
		at = end
	}
	d[o.file] = content
}

func resize(b []byte, size int64) []byte {
	if size <= int64(len(b)) {
		return b[:size]
	}
	return append(b, make([]byte, size-int64(len(b)))...)
}
