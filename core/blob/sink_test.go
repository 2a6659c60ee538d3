package blob

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/parley-chat/parley/protocol/packet"
)

// TestFinishedAgain: a folder that was finished, and not put in its place before the
// machine or the core went down, is written to, finished and removed like any, though
// its owner may not write to what is in it.
func TestFinishedAgain(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write to everything")
	}
	index, err := packet.Folder{
		{Path: "d", Kind: packet.FolderFolder, Mode: 0o555},
		{Path: "d/empty", Kind: packet.FolderFile, Mode: 0o444},
		{Path: "d/file", Kind: packet.FolderFile, Mode: 0o400, Size: 3},
		{Path: "shut", Kind: packet.FolderFolder},
		{Path: "shut/in", Kind: packet.FolderFolder, Mode: 0o500},
		{Path: "shut/link", Kind: packet.FolderLink, Mode: 0o777, Target: "in"},
	}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), partialFolder, "blob")
	t.Cleanup(func() { _ = removePartial(dir) })
	for range 2 {
		s, err := openFolderSink(dir, index)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.WriteAt([]byte("abc"), int64(len(index))); err != nil {
			t.Error(err)
		}
		if err := s.finish(t.Context()); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		for name, mode := range map[string]os.FileMode{"d": 0o555, "d/empty": 0o444, "d/file": 0o400, "shut": 0} {
			if info, err := os.Lstat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode&^umask() {
				t.Errorf("%s: %v, %v", name, info, err)
			}
		}
	}
	if err := removePartial(dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Dir(dir)); !os.IsNotExist(err) {
		t.Errorf("something is left: %v", err)
	}
}
