package store

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// TestLockIsLetGo: who lets go of a database can have it again at once, also while a
// process is being started, which has the lock's file open until it runs its own
// program.
func TestLockIsLetGo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db.lock")
	unlock, err := lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(path); !errors.Is(err, ErrBusy) {
		t.Errorf("locked twice: %v", err)
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	child := -1 // what it has of the lock's file
	for _, e := range fds {
		fd, err := strconv.Atoi(e.Name())
		if to, linkErr := os.Readlink("/proc/self/fd/" + e.Name()); err != nil || linkErr != nil || to != path {
			continue
		}
		if child, err = syscall.Dup(fd); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = syscall.Close(child) }()
		break
	}
	if child < 0 {
		t.Fatal("the lock's file is not open")
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	again, err := lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := again(); err != nil {
		t.Error(err)
	}
}
