package blob

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"syscall"

	"github.com/parley-chat/parley/protocol/packet"
)

// stamp is how a file was when it was prepared. That it is still so is taken to
// say that its content is.
type stamp struct {
	Device   uint64 `json:"device"`
	Inode    uint64 `json:"inode"`
	Size     int64  `json:"size"`
	Modified int64  `json:"modified"` // Unix nanoseconds
}

func stampOf(info fs.FileInfo) stamp {
	s := stamp{Size: info.Size(), Modified: info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.Device, s.Inode = st.Dev, st.Ino
	}
	return s
}

// content is the bytes of a blob that is here: one's own, or one that was fetched,
// be it in part. ReadAt is for one goroutine at a time.
type content interface {
	io.ReaderAt
	io.Closer
	// check says whether it is still what it was: nil, or ErrChanged.
	check() error
}

// explain says in words why a file cannot be read.
func explain(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s is not there: %w", name, ErrNotFound)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: this account may not read it: %w", name, ErrUnreadable)
	}
	return fmt.Errorf("%s: %w: %w", name, ErrUnreadable, reason(err))
}

// reason is an error without the path that it is about, since peers are told: where
// a file is on this disk is nobody else's business.
func reason(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// fileContent is a single file.
type fileContent struct {
	*os.File
	want stamp
	name string
}

// openFile opens a file as it was prepared. Opening never waits, as it would for
// a pipe that took the file's place.
func openFile(path string, want stamp) (*fileContent, error) {
	name := filepath.Base(path)
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, explain(name, err)
	}
	c := &fileContent{File: f, want: want, name: name}
	if err := c.check(); err != nil {
		_ = f.Close()
		return nil, err
	}
	return c, nil
}

func (c *fileContent) check() error {
	info, err := c.Stat()
	if err != nil {
		return explain(c.name, err)
	}
	if !info.Mode().IsRegular() || stampOf(info) != c.want {
		return fmt.Errorf("%s %w", c.name, ErrChanged)
	}
	return nil
}

// partialFileContent is a file of which some has come.
type partialFileContent struct{ *os.File }

func (*partialFileContent) check() error { return nil }

// folderContent is a folder's index followed by the content of its files. Of
// the files one is open at a time.
type folderContent struct {
	root    *os.Root
	name    string
	index   []byte
	partial bool // still being fetched: files have neither their size nor their time yet
	*layout

	open   *os.File
	opened int // entry that is open
}

// layout says where in the content the files of a folder are.
type layout struct {
	folder packet.Folder
	files  []int    // entries that are files with content
	starts []uint64 // where each of them begins
	size   uint64   // of everything
}

func newLayout(folder packet.Folder, indexSize uint64) *layout {
	l := &layout{folder: folder, size: indexSize}
	for i := range folder {
		if folder[i].Kind == packet.FolderFile && folder[i].Size > 0 {
			l.files = append(l.files, i)
			l.starts = append(l.starts, l.size)
			l.size += folder[i].Size
		}
	}
	return l
}

// at gives the file that has the byte at off, which must be behind the index,
// and where in it that is.
func (l *layout) at(off uint64) (file int, within uint64) {
	n := sort.Search(len(l.starts), func(i int) bool { return l.starts[i] > off }) - 1
	return n, off - l.starts[n]
}

// openFolder opens a folder as it was prepared; one that was fetched has the names
// that were given to it here.
func openFolder(path string, index []byte, own, partial bool) (content, error) {
	folder, _, err := packet.DecodeFolder(index)
	if err != nil {
		return nil, fmt.Errorf("index of %s: %w", filepath.Base(path), err)
	}
	if !own {
		folder = harmless(folder)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, explain(filepath.Base(path), err)
	}
	return &folderContent{
		root: root, name: filepath.Base(path), index: index, partial: partial, layout: newLayout(folder, uint64(len(index))), opened: -1,
	}, nil
}

// ReadAt implements io.ReaderAt.
func (c *folderContent) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		at := uint64(off) + uint64(n) //nolint:gosec // offsets are of the content, which is bounded
		switch {
		case at >= c.size:
			return n, io.EOF
		case at < uint64(len(c.index)):
			n += copy(p[n:], c.index[at:])
			continue
		}
		file, within := c.at(at)
		entry := &c.folder[c.files[file]]
		if err := c.use(c.files[file]); err != nil {
			return n, err
		}
		part := p[n:min(uint64(len(p)), uint64(n)+entry.Size-within)]
		m, err := c.open.ReadAt(part, int64(within)) //nolint:gosec // see above
		n += m
		if m < len(part) {
			if err == io.EOF {
				return n, fmt.Errorf("%s/%s %w", c.name, entry.Path, ErrChanged)
			}
			return n, explain(c.name+"/"+entry.Path, err)
		}
	}
	return n, nil
}

// use has an entry be the one that is open.
func (c *folderContent) use(i int) error {
	if c.opened == i {
		return nil
	}
	if err := c.leave(); err != nil {
		return err
	}
	entry := &c.folder[i]
	f, err := c.root.OpenFile(filepath.FromSlash(entry.Path), os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return explain(c.name+"/"+entry.Path, err)
	}
	c.open, c.opened = f, i
	return c.check()
}

func (c *folderContent) leave() error {
	if c.open == nil {
		return nil
	}
	err := c.check()
	_ = c.open.Close()
	c.open, c.opened = nil, -1
	return err
}

// check looks at the file that is open; each is looked at when it is opened and
// when it is left.
func (c *folderContent) check() error {
	if c.open == nil {
		return nil
	}
	entry := &c.folder[c.opened]
	info, err := c.open.Stat()
	if err != nil {
		return explain(c.name+"/"+entry.Path, err)
	}
	if c.partial {
		return nil
	}
	if !info.Mode().IsRegular() || uint64(info.Size()) != entry.Size || info.ModTime().UnixMicro() != entry.Modified { //nolint:gosec // sizes are not negative
		return fmt.Errorf("%s/%s %w", c.name, entry.Path, ErrChanged)
	}
	return nil
}

// Close implements io.Closer.
func (c *folderContent) Close() error {
	if c.open != nil {
		_ = c.open.Close()
		c.open = nil
	}
	return c.root.Close()
}

// marshalStamp is for the store.
func marshalStamp(s stamp) []byte {
	b, _ := json.Marshal(s) // numbers only
	return b
}

func unmarshalStamp(b []byte) (s stamp, err error) {
	err = json.Unmarshal(b, &s)
	return s, err
}
