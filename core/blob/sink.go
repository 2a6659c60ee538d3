package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"time"

	"github.com/parley-chat/parley/protocol/packet"
)

// partialFolder, below a destination, holds what has not all come yet: on the
// same file system, so that moving it into place is one step.
const partialFolder = ".parley"

// inPartialFolder does what puts path into the folder for partial files, and makes
// that before. The end of another fetch, perhaps of another account that has the same
// destination, removes it as soon as nothing is in it, which may be between the two.
func inPartialFolder(path string, put func() error) (err error) {
	const tries = 100
	for range tries {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
		if errors.Is(err, fs.ErrExist) {
			continue // it was there, and had gone when it was looked at
		}
		if err == nil {
			err = put()
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return err
}

// sink is where a blob comes together: a partial file, or a folder of partial
// files. It is for one goroutine at a time, but for ReadAt of different ones.
type sink interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// finish makes what the index says besides content, and has all of it reach
	// the disk. Nothing is written afterwards.
	finish(ctx context.Context) error
}

// fileSink is a partial file.
type fileSink struct{ *os.File }

// openPartial opens a partial file, and makes it when there is none.
func openPartial(path string) (*fileSink, error) {
	var s *fileSink
	err := inPartialFolder(path, func() (err error) {
		s, err = openFileSink(path)
		return err
	})
	return s, err
}

func openFileSink(path string) (*fileSink, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	return &fileSink{f}, nil
}

func (s *fileSink) finish(context.Context) error {
	if err := s.Chmod(0o666 &^ umask()); err != nil {
		return err
	}
	return s.Sync()
}

// folderSink is a folder of partial files. Nothing in it is ever reached through
// a link: links are made last, and each path is opened beneath the root.
type folderSink struct {
	root  *os.Root
	index []byte
	*layout
	open   *os.File
	opened int
}

func openFolderSink(dir string, index []byte) (*folderSink, error) {
	folder, _, err := packet.DecodeFolder(index)
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	var root *os.Root
	err = inPartialFolder(dir, func() (err error) {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		root, err = os.OpenRoot(dir)
		return err
	})
	if err != nil {
		return nil, err
	}
	s := &folderSink{root: root, index: index, layout: newLayout(harmless(folder), uint64(len(index))), opened: -1}
	for i := range s.folder {
		if e := &s.folder[i]; e.Kind == packet.FolderFolder {
			err := root.Mkdir(e.Path, 0o700)
			if errors.Is(err, fs.ErrExist) { // maybe finished before, and shut
				err = root.Chmod(e.Path, 0o700)
			}
			if err != nil {
				_ = root.Close()
				return nil, err
			}
		}
	}
	return s, nil
}

// harmless gives a folder with the names that it is to have here: those that
// SafeName changes, but for hidden files, which are as they are in a folder.
func harmless(folder packet.Folder) packet.Folder {
	out := make(packet.Folder, len(folder))
	names := map[string]string{".": "."} // of folders, as they are called here
	taken := make(map[string]bool, len(folder))
	next := map[string]int{} // numbers to try, of names that were taken
	for i, e := range folder {
		dir, name := path.Split(e.Path)
		parent := names[path.Clean("./"+dir)]
		safe := safeWithin(name)
		wish := path.Join(parent, safe)
		at := wish
		for n := max(next[wish], 2); taken[at]; n++ {
			at, next[wish] = path.Join(parent, numbered(safe, n)), n+1
		}
		taken[at] = true
		if e.Kind == packet.FolderFolder {
			names[path.Clean(e.Path)] = at
		}
		e.Path = at
		out[i] = e
	}
	return out
}

func safeWithin(name string) string {
	if len(name) > 1 && name[0] == '.' {
		return "." + shorten(SafeName(name[1:]), maxName-1)
	}
	return SafeName(name)
}

// use has a file be the one that is open.
func (s *folderSink) use(i int) error {
	if s.opened == i {
		return nil
	}
	if err := s.leave(); err != nil {
		return err
	}
	f, err := s.file(s.folder[i].Path)
	if err != nil {
		return err
	}
	s.open, s.opened = f, i
	return nil
}

// file opens a file to be written, or makes it; one that was finished before may
// not let be written.
func (s *folderSink) file(at string) (*os.File, error) {
	const flags = os.O_RDWR | os.O_CREATE | syscall.O_NOFOLLOW
	f, err := s.root.OpenFile(at, flags, 0o600)
	if errors.Is(err, fs.ErrPermission) && s.root.Chmod(at, 0o600) == nil {
		f, err = s.root.OpenFile(at, flags, 0o600)
	}
	return f, err
}

func (s *folderSink) leave() error {
	if s.open == nil {
		return nil
	}
	err := s.open.Close()
	s.open, s.opened = nil, -1
	return err
}

// each gives the parts of [off, off+n) that are in files, in order.
func (s *folderSink) each(off int64, n int, do func(part [2]int, within int64) error) error {
	for done := 0; done < n; {
		at := uint64(off) + uint64(done) //nolint:gosec // offsets are of the content, which is bounded
		switch {
		case at >= s.size:
			return io.EOF
		case at < uint64(len(s.index)):
			done += min(n-done, len(s.index)-int(at)) //nolint:gosec // less than the index
			continue
		}
		file, within := s.at(at)
		m := int(min(uint64(n-done), s.folder[s.files[file]].Size-within)) //nolint:gosec // at most n
		if err := s.use(s.files[file]); err != nil {
			return err
		}
		if err := do([2]int{done, done + m}, int64(within)); err != nil { //nolint:gosec // see above
			return err
		}
		done += m
	}
	return nil
}

// WriteAt implements io.WriterAt. What is the index's goes nowhere: it is kept
// already.
func (s *folderSink) WriteAt(p []byte, off int64) (int, error) {
	err := s.each(off, len(p), func(part [2]int, within int64) error {
		_, err := s.open.WriteAt(p[part[0]:part[1]], within)
		return err
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// ReadAt implements io.ReaderAt.
func (s *folderSink) ReadAt(p []byte, off int64) (int, error) {
	if off < int64(len(s.index)) {
		copy(p, s.index[off:])
	}
	err := s.each(off, len(p), func(part [2]int, within int64) error {
		_, err := s.open.ReadAt(p[part[0]:part[1]], within)
		return err
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close implements io.Closer.
func (s *folderSink) Close() error { return errors.Join(s.leave(), s.root.Close()) }

func (s *folderSink) finish(ctx context.Context) error {
	if err := s.leave(); err != nil {
		return err
	}
	mask := umask()
	// Folders last and from the inside out: one that may not be written to is
	// filled before.
	for pass, kind := range []packet.FolderKind{packet.FolderFile, packet.FolderLink, packet.FolderFolder} {
		for n := range s.folder {
			i := n
			if pass == 2 {
				i = len(s.folder) - 1 - n
			}
			if s.folder[i].Kind != kind {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := s.dress(&s.folder[i], mask); err != nil {
				return fmt.Errorf("%s: %w", s.folder[i].Path, err)
			}
		}
	}
	if err := s.root.Chmod(".", 0o777&^mask); err != nil {
		return err
	}
	return syncRoot(s.root)
}

// dress gives an entry what it has besides content. Bits beyond the nine are
// none of the index's, so nothing becomes setuid.
func (s *folderSink) dress(e *packet.FolderEntry, mask fs.FileMode) error {
	mode := e.Mode &^ mask
	switch e.Kind {
	case packet.FolderLink:
		err := s.root.Symlink(e.Target, e.Path)
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	case packet.FolderFile:
		if e.Size == 0 {
			f, err := s.file(e.Path)
			if err != nil {
				return err
			}
			_ = f.Close()
		}
	}
	if mode != 0o600 || e.Kind == packet.FolderFolder {
		if err := s.root.Chmod(e.Path, mode); err != nil {
			return err
		}
	}
	at := time.UnixMicro(e.Modified)
	return s.root.Chtimes(e.Path, at, at)
}

// umask is what the user wants new files not to allow. Reading it changes it for
// a moment, so that is done once, before anything else runs.
var umask = func() func() fs.FileMode {
	mask := fs.FileMode(syscall.Umask(0o077)) //nolint:gosec // nine bits
	syscall.Umask(int(mask))
	return func() fs.FileMode { return mask }
}()

// place moves a finished file or folder to a free name in a folder, and gives
// where it is then. chosen is told each name before it is tried, so that a crash
// in the middle can be understood.
func place(partial, folder, name string, chosen func(path string) error) (string, error) {
	for n := 1; n < 10_000; n++ {
		to := filepath.Join(folder, numbered(name, n))
		if _, err := os.Lstat(to); err == nil {
			continue
		}
		if err := chosen(to); err != nil {
			return "", err
		}
		err := rename(partial, to)
		switch {
		case errors.Is(err, fs.ErrExist):
			continue // somebody was quicker
		case err != nil:
			return "", err
		}
		return to, syncFolder(folder)
	}
	return "", fmt.Errorf("no name like %s is free in %s: %w", name, folder, fs.ErrExist)
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return f.Sync()
}
