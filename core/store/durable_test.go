package store_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/parley-chat/parley/core/store"
)

// watchVFS is the operating system's, and counts what is done to write-ahead logs.
type watchVFS struct {
	vfs.VFS
	mu     sync.Mutex // guards what follows
	writes int        // since the last sync
	syncs  int
}

func (w *watchVFS) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, flags, err := vfsutil.WrapOpenFilename(w.VFS, name, flags)
	if err == nil && flags&vfs.OPEN_WAL != 0 {
		if !strings.HasSuffix(name.String(), "-wal") {
			return nil, flags, fmt.Errorf("a log named %s", name)
		}
		f = &watchFile{f, w}
	}
	return f, flags, err
}

type watchFile struct {
	vfs.File
	w *watchVFS
}

func (f *watchFile) WriteAt(p []byte, off int64) (int, error) {
	f.w.mu.Lock()
	f.w.writes++
	f.w.mu.Unlock()
	return f.File.WriteAt(p, off)
}

func (f *watchFile) Sync(flags vfs.SyncFlag) error {
	err := f.File.Sync(flags)
	f.w.mu.Lock()
	f.w.writes = 0
	f.w.syncs++
	f.w.mu.Unlock()
	return err
}

// state gives how often the log was written since the last sync, and how often it
// was synced.
func (w *watchVFS) state() (writes, syncs int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writes, w.syncs
}

func TestDurability(t *testing.T) {
	w := &watchVFS{VFS: vfs.Find("")}
	vfs.Register("watch", w)
	defer vfs.Unregister("watch")
	path := filepath.Join(t.TempDir(), "db")
	s, err := store.Open(t.Context(), store.Config{Path: path, Key: testKey, VFS: "watch"})
	if err != nil {
		t.Fatal(err)
	}
	put := func(d store.Durability, i int) (syncs int) {
		t.Helper()
		_, before := w.state()
		err := s.Update(context.Background(), d, func(tx store.Tx) error { return tx.PutValue("n", fmt.Sprint(i), []byte("v")) })
		if err != nil {
			t.Fatal(err)
		}
		_, after := w.state()
		return after - before
	}
	put(store.Synced, 0)
	for i := range 20 {
		if put(store.Synced, i) == 0 {
			t.Error("a synced commit was not synced")
		}
		if n := put(store.Lazy, 100+i); n != 0 {
			t.Errorf("a lazy commit was synced %d times", n)
		}
		// What SQLite writes behind a sync is a repeated frame that fills the sector,
		// so that the next commit shares no sector with this one.
		if writes, _ := w.state(); writes == 0 {
			t.Error("a lazy commit wrote nothing")
		}
	}
	// A synced transaction that changes nothing builds on what it saw.
	nothing := func() (syncs int) {
		t.Helper()
		_, before := w.state()
		if err := s.Update(context.Background(), store.Synced, func(store.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
		_, after := w.state()
		return after - before
	}
	if n := nothing(); n == 0 {
		t.Error("a synced transaction left lazy commits behind that it saw")
	}
	if n := nothing(); n != 0 {
		t.Errorf("with nothing to press to the disk there were %d syncs", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), store.Config{Path: path, Key: testKey, VFS: "nothing"}); err == nil {
		t.Error("a VFS that does not exist was found")
	}
}
