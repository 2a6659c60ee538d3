package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"
	"github.com/ncruces/go-sqlite3/vfs/adiantum"
)

// encrypting gives the name of a VFS that encrypts what it keeps in another,
// named base, and makes up for what the operating system's one lacks: it does
// not tell a full disk from a broken one, and does not sync the folder of a new
// journal.
func encrypting(base string) (string, error) {
	name := "parley-" + base
	if vfs.Find(name) != nil {
		return name, nil
	}
	below := vfs.Find(base)
	if below == nil {
		return "", fmt.Errorf("no SQLite VFS is named %q", base)
	}
	vfs.Register(name, newWalVFS(adiantum.Wrap(baseVFS{below, base == ""}, nil)))
	return name, nil
}

type baseVFS struct {
	vfs.VFS
	system bool // the operating system's
}

func (b baseVFS) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, flags, err := vfsutil.WrapOpen(b.VFS, name, flags)
	return wrapFile(f, ""), flags, tag(err)
}

func (b baseVFS) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	folder := ""
	if b.system && flags&vfs.OPEN_CREATE != 0 && flags&(vfs.OPEN_MAIN_JOURNAL|vfs.OPEN_WAL) != 0 {
		folder = filepath.Dir(name.String())
	}
	f, flags, err := vfsutil.WrapOpenFilename(b.VFS, name, flags)
	return wrapFile(f, folder), flags, tag(err)
}

func wrapFile(f vfs.File, folder string) vfs.File {
	if f == nil {
		return nil
	}
	return &baseFile{File: f, folder: folder}
}

// baseFile is a file below the encryption.
type baseFile struct {
	vfs.File
	folder string // to be synced with the first sync, "" when it is done
}

func (f *baseFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	return n, tag(err)
}

func (f *baseFile) Truncate(size int64) error { return tag(f.File.Truncate(size)) }

func (f *baseFile) Sync(flags vfs.SyncFlag) error {
	if err := f.File.Sync(flags); err != nil || f.folder == "" {
		return tag(err)
	}
	d, err := os.Open(f.folder)
	if err != nil {
		return tag(err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return tag(err)
	}
	f.folder = ""
	return nil
}

// DeviceCharacteristics leaves out what needs methods that are not passed on.
func (f *baseFile) DeviceCharacteristics() vfs.DeviceCharacteristic {
	return f.File.DeviceCharacteristics() &^ vfs.IOCAP_BATCH_ATOMIC
}

func (f *baseFile) SizeHint(size int64) error       { return tag(vfsutil.WrapSizeHint(f.File, size)) }
func (f *baseFile) SharedMemory() vfs.SharedMemory  { return vfsutil.WrapSharedMemory(f.File) }
func (f *baseFile) LockState() vfs.LockLevel        { return vfsutil.WrapLockState(f.File) }
func (f *baseFile) HasMoved() (bool, error)         { return vfsutil.WrapHasMoved(f.File) }
func (f *baseFile) BusyHandler(handler func() bool) { vfsutil.WrapBusyHandler(f.File, handler) }
func (f *baseFile) Unwrap() vfs.File                { return f.File }

// tag gives an error of the operating system the code SQLite has for it.
func tag(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return vfs.SystemError(err, sqlite3.FULL)
	case errors.Is(err, syscall.EROFS):
		return vfs.SystemError(err, sqlite3.READONLY)
	}
	return err
}
