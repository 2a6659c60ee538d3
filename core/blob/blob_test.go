package blob

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

func TestFiles(t *testing.T) {
	for _, size := range []int{0, 1, packet.PieceSize - 1, packet.PieceSize, packet.PieceSize + 1, 5*packet.PieceSize + 12345} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			w := newWorld(t, "alice", "bob")
			w.link("alice", "bob")
			path := filepath.Join(t.TempDir(), "notes.txt")
			want := write(t, path, size)
			o := w.share("alice", path)
			w.fetch("bob", o)
			b := w.becomes("bob", o, store.BlobDone)
			if b.Path != filepath.Join(w.nodes["bob"].downloads(), "notes.txt") || b.Told || b.Done != uint64(size) {
				t.Errorf("it is %+v", b)
			}
			sameFile(t, b.Path, want)
			w.clean("bob", "notes.txt")
			if size > 0 {
				eventually(t, "bob has alice's word on it", func() bool { return len(w.blob("bob", o).Manifest) > 0 })
			}
			if a := w.blob("alice", o); a.State != store.BlobShared {
				t.Errorf("alice's is in state %d", a.State)
			}
		})
	}
}

func TestNamesAreNumbered(t *testing.T) {
	w := newWorld(t, "alice", "bob")
	w.link("alice", "bob")
	path := filepath.Join(t.TempDir(), "a.tar.gz")
	for range 3 {
		write(t, path, 10)
		o := w.share("alice", path)
		w.fetch("bob", o)
		w.becomes("bob", o, store.BlobDone)
	}
	w.clean("bob", "a (2).tar.gz", "a (3).tar.gz", "a.tar.gz")
}

// tree makes a folder that has everything a folder can have.
func tree(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "项目")
	write(t, filepath.Join(root, "big"), 3*packet.PieceSize+77)
	write(t, filepath.Join(root, "sub", "run.sh"), 100)
	write(t, filepath.Join(root, "sub", ".hidden"), 5)
	write(t, filepath.Join(root, "sub", "empty file"), 0)
	for i := range 300 {
		write(t, filepath.Join(root, "many", fmt.Sprintf("%03d", i)), 4096)
	}
	for _, err := range []error{
		os.Chmod(filepath.Join(root, "sub", "run.sh"), 0o755),
		os.Mkdir(filepath.Join(root, "empty folder"), 0o755),
		os.Mkdir(filepath.Join(root, "read only"), 0o755),
		os.WriteFile(filepath.Join(root, "read only", "file"), []byte("kept"), 0o400),
		os.Chmod(filepath.Join(root, "read only"), 0o555),
		os.Symlink("../big", filepath.Join(root, "sub", "link")),
		os.Symlink("/etc/passwd", filepath.Join(root, "sub", "out")),
		os.Chtimes(filepath.Join(root, "big"), time.Unix(1e9, 0), time.Unix(1e9, 0)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(root, "read only"), 0o755) })
	return root
}

// describe lists a tree in words.
func describe(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := fmt.Sprintf("%v", info.Mode())
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			text += " to " + to
		case info.Mode().IsRegular():
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" %d %x %v", info.Size(), packet.HashOf(content), info.ModTime().UnixMicro())
		}
		all[rel] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func sameTree(t *testing.T, from, to string) {
	t.Helper()
	want, got := describe(t, from), describe(t, to)
	for path, text := range want {
		if path == "sub/out" {
			if got[path] != "" {
				t.Errorf("a link that leads out came along: %s", got[path])
			}
			continue
		}
		if got[path] != text {
			t.Errorf("%s was %s and is %s", path, text, got[path])
		}
		delete(got, path)
	}
	for path := range got {
		t.Errorf("%s is there too", path)
	}
}

func TestFolders(t *testing.T) {
	w := newWorld(t, "alice", "bob")
	w.link("alice", "bob")
	root := tree(t)
	o := w.share("alice", root)
	if o.Files != 305 || !o.Folder {
		t.Errorf("prepared as %d files", o.Files)
	}
	w.fetch("bob", o)
	b := w.becomes("bob", o, store.BlobDone)
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(b.Path, "read only"), 0o755) })
	if b.Files != 305 || !b.Folder {
		t.Errorf("%d files came", b.Files)
	}
	sameTree(t, root, b.Path)
	w.clean("bob", "项目")
}

// TestEmptyFolder: a folder with nothing in it arrives as that, with the
// permissions of any new folder.
func TestEmptyFolder(t *testing.T) {
	w := newWorld(t, "alice", "bob")
	w.link("alice", "bob")
	root := filepath.Join(t.TempDir(), "later")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	o := w.share("alice", root)
	w.fetch("bob", o)
	b := w.becomes("bob", o, store.BlobDone)
	info, err := os.Lstat(b.Path)
	if err != nil || !b.Folder || !info.IsDir() || info.Mode().Perm() != 0o777&^umask() {
		t.Errorf("an empty folder came as %v, %v", info.Mode(), err)
	}
	w.clean("bob", "later")
}

// TestLargeIndex: an index of several pieces, whose last one has content too.
func TestLargeIndex(t *testing.T) {
	root := filepath.Join(t.TempDir(), "many")
	long := strings.Repeat("x", 240)
	for i := range 4500 {
		write(t, filepath.Join(root, fmt.Sprintf("%s%05d", long, i)), i%3)
	}
	w := newWorld(t, "alice", "bob")
	w.link("alice", "bob")
	o := w.share("alice", root)
	if o.IndexSize <= packet.PieceSize {
		t.Fatalf("the index has %d bytes only", o.IndexSize)
	}
	w.fetch("bob", o)
	b := w.becomes("bob", o, store.BlobDone)
	sameTree(t, root, b.Path)
}

// TestLeftOut: what of a folder cannot be shared is named, and the rest is shared.
func TestLeftOut(t *testing.T) {
	w := newWorld(t, "alice", "bob")
	w.link("alice", "bob")
	root := filepath.Join(t.TempDir(), "things")
	want := write(t, filepath.Join(root, "good"), 10)
	write(t, filepath.Join(root, "caf\xe9"), 10)
	write(t, filepath.Join(root, "latin \xfc", "inside"), 10)
	for _, err := range []error{
		os.Symlink("/etc/passwd", filepath.Join(root, "out")),
		os.Symlink("good", filepath.Join(root, "within")),
		syscall.Mkfifo(filepath.Join(root, "pipe"), 0o600),
		os.Mkdir(filepath.Join(root, "locked"), 0),
		os.WriteFile(filepath.Join(root, "secret"), []byte("x"), 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(root, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	b, err := w.nodes["alice"].service.Prepare(t.Context(), "file", root)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, l := range b.Left {
		got[l.Path] = l.Why
	}
	all := map[string]string{
		`caf\xe9`: "its name is not UTF-8: rename it", `latin \xfc`: "its name is not UTF-8: rename it",
		"out": "it is a link that leads out of the folder", "pipe": "it is a pipe", "socket": "it is a socket",
		"locked": "this account may not read it", "secret": "this account may not read it",
	}
	files := uint32(1)
	if os.Geteuid() == 0 { // who may read everything
		delete(all, "locked")
		delete(all, "secret")
		files++
	}
	if !maps.Equal(got, all) || int(b.LeftCount) != len(all) || b.Files != files {
		t.Errorf("left out is %q (%d), and %d files are shared", got, b.LeftCount, b.Files)
	}
	o := w.share("alice", root)
	w.fetch("bob", o)
	sameFile(t, filepath.Join(w.becomes("bob", o, store.BlobDone).Path, "good"), want)

	// Many are counted, and of a folder of nothing else nothing is shared.
	root = filepath.Join(t.TempDir(), "many")
	for i := range 3 * maxLeft {
		write(t, filepath.Join(root, fmt.Sprintf("\xff%02d", i)), 1)
	}
	if _, err := w.nodes["alice"].service.Prepare(t.Context(), "file", root); !errors.Is(err, ErrUnreadable) || !strings.Contains(err.Error(), "not UTF-8") {
		t.Errorf("a folder of nothing else: %v", err)
	}
	write(t, filepath.Join(root, "good"), 1)
	if b, err := w.nodes["alice"].service.Prepare(t.Context(), "file", root); err != nil || b.LeftCount != 3*maxLeft || len(b.Left) != maxLeft {
		t.Errorf("%d are left out, %d of them named: %v", b.LeftCount, len(b.Left), err)
	}
}
