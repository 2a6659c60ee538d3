package store_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/parley-chat/parley/core/store"
)

// mounted gives a tiny file system of its own.
func mounted(t *testing.T, options string) string {
	t.Helper()
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, options); err != nil {
		t.Skipf("cannot mount a tmpfs here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return folder
}

func TestFullDisk(t *testing.T) {
	folder := mounted(t, "size=4m")
	path := filepath.Join(folder, "db")
	s, err := store.Open(t.Context(), store.Config{Path: path, Key: testKey})
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, 0, 10)
	ballast, err := os.Create(filepath.Join(folder, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = ballast.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	big := bytes.Repeat([]byte("x"), 100_000)
	for range 3 {
		err = s.Update(t.Context(), store.Synced, func(tx store.Tx) error { return tx.PutValue("n", "k", big) })
		if !errors.Is(err, store.ErrFull) {
			t.Errorf("on a full disk Update gives %v", err)
		}
	}
	intact(t, s, 10)
	reopenable := copyFolder(t, folder)
	if err := errors.Join(ballast.Close(), os.Remove(ballast.Name())); err != nil {
		t.Fatal(err)
	}
	write(t, s, 10, 10) // it goes on when there is space again
	intact(t, s, 20)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	reopen(t, path, 20)
	reopen(t, filepath.Join(reopenable, "db"), 10)
}

func TestOpenOnFullDisk(t *testing.T) {
	folder := mounted(t, "size=64k")
	if err := os.WriteFile(filepath.Join(folder, "ballast"), make([]byte, 60<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "db")
	if _, err := store.Open(t.Context(), store.Config{Path: path, Key: testKey}); !errors.Is(err, store.ErrFull) {
		t.Errorf("Open gave %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half a database is left: %v", err)
	}
}

func TestReadOnlyFolder(t *testing.T) {
	folder := mounted(t, "size=4m")
	path := filepath.Join(folder, "db")
	s, err := store.Open(t.Context(), store.Config{Path: path, Key: testKey})
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, 0, 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	remount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("", folder, "", syscall.MS_REMOUNT|flags, ""); err != nil {
			t.Skipf("cannot remount: %v", err)
		}
	}
	remount(syscall.MS_RDONLY)
	for _, path := range []string{path, filepath.Join(folder, "new"), filepath.Join(folder, "sub", "new")} {
		if _, err := store.Open(t.Context(), store.Config{Path: path, Key: testKey}); !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("Open of %s gives %v", path, err)
		}
	}
	remount(0)
	reopen(t, path, 3)
}
