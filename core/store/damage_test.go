package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/core/store/storetest"
)

// closed gives the folder of a closed database of n messages.
func closed(t *testing.T, n int) string {
	t.Helper()
	folder := t.TempDir()
	s, err := store.Open(t.Context(), store.Config{Path: filepath.Join(folder, "db"), Key: testKey})
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, 0, n)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return folder
}

func TestDamage(t *testing.T) {
	const n = 40
	folder := closed(t, n)
	whole, err := os.ReadFile(filepath.Join(folder, "db"))
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	damaged := map[string][]byte{
		"truncated to a page":  whole[:4096],
		"truncated in half":    whole[:len(whole)/2],
		"last page missing":    whole[:len(whole)-4096],
		"last byte missing":    whole[:len(whole)-1],
		"zeros from the third": append(bytes.Clone(whole[:3*4096]), make([]byte, len(whole)-3*4096)...),
	}
	for i := range 12 {
		b := bytes.Clone(whole)
		at := 4096 + random.IntN(len(b)-4096)
		b[at] ^= 1 << random.IntN(8)
		damaged[fmt.Sprintf("bit %d flipped at %d", i, at)] = b
	}
	for name, content := range damaged {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "db")
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := store.Open(t.Context(), store.Config{Path: path, Key: testKey})
			if err == nil {
				_ = s.Close()
			}
			if !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("Open gave %v", err)
			}
		})
	}
	reopen(t, filepath.Join(folder, "db"), n)
}

// TestDamageOfLarge has a database that is not checked as a whole when it is
// opened: what is damaged must still be an error when it is read, never other
// content.
func TestDamageOfLarge(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "db")
	s, err := store.Open(t.Context(), store.Config{Path: path, Key: testKey})
	if err != nil {
		t.Fatal(err)
	}
	const n = 1500
	filler := make([]byte, 4000)
	for i := range filler {
		filler[i] = byte('a' + i%26)
	}
	err = s.Update(t.Context(), store.Synced, func(tx store.Tx) error {
		if err := tx.PutChat(store.Chat{ID: chat}); err != nil {
			return err
		}
		for i := range uint64(n) {
			m := storetest.Message(chat, i+1, fmt.Sprint(i))
			m.Data = filler
			if _, err := tx.AddMessage(m); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	for _, at := range []int64{info.Size() / 2, info.Size()/2 + 40960} {
		if _, err := f.ReadAt(b[:], at); err != nil {
			t.Fatal(err)
		}
		b[0] ^= 4
		if _, err := f.WriteAt(b[:], at); err != nil {
			t.Fatal(err)
		}
	}
	s, err = store.Open(t.Context(), store.Config{Path: path, Key: testKey})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer func() { _ = s.Close() }() // it may say that it is damaged
	if err := store.Check(t.Context(), s); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("Check gave %v", err)
	}
	bad := 0
	for i := range uint64(n) {
		err := s.View(t.Context(), func(tx store.ReadTx) error {
			m, err := tx.Message(storetest.Message(chat, i+1, "").ID)
			if err == nil && !bytes.Equal(m.Data, filler) {
				t.Errorf("message %d has other content", i)
			}
			return err
		})
		if errors.Is(err, store.ErrCorrupt) {
			bad++
		} else if err != nil {
			t.Errorf("message %d: %v", i, err)
		}
	}
	if bad == 0 || bad > 20 {
		t.Errorf("%d messages are reported damaged", bad)
	}
}

func TestCrash(t *testing.T) {
	folder := t.TempDir()
	s := open(t, filepath.Join(folder, "db"))
	write(t, s, 0, 30)
	reopen(t, filepath.Join(copyFolder(t, folder), "db"), 30)
	write(t, s, 30, 30)
	after := copyFolder(t, folder)
	reopen(t, filepath.Join(after, "db"), 60)
	reopen(t, filepath.Join(after, "db"), 60)

	// The log lost its end: what is left is a beginning of what was committed.
	torn := copyFolder(t, folder)
	wal, err := os.ReadFile(filepath.Join(torn, "db-wal"))
	if err != nil || len(wal) == 0 {
		t.Fatalf("no write-ahead log: %v", err)
	}
	if err := os.WriteFile(filepath.Join(torn, "db-wal"), wal[:len(wal)-5000], 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := store.Open(t.Context(), store.Config{Path: filepath.Join(torn, "db"), Key: testKey})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := got.Close(); err != nil {
			t.Error(err)
		}
	}()
	rest, err := bodies(got)
	if err != nil {
		t.Fatal(err)
	}
	intact(t, got, len(rest))

	// A wrong key does no harm to what is only in the log.
	tried := copyFolder(t, folder)
	if _, err := store.Open(t.Context(), store.Config{Path: filepath.Join(tried, "db"), Key: make([]byte, 32)}); !errors.Is(err, store.ErrKey) {
		t.Errorf("a wrong key gives %v", err)
	}
	reopen(t, filepath.Join(tried, "db"), 60)

	// The first page was being written when the power failed; the log has it.
	half := copyFolder(t, folder)
	file, err := os.OpenFile(filepath.Join(half, "db"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt(make([]byte, 2048), 100); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	reopen(t, filepath.Join(half, "db"), 60)

	// The file is gone, the log is there: not a new account.
	lost := copyFolder(t, folder)
	if err := os.Remove(filepath.Join(lost, "db")); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), store.Config{Path: filepath.Join(lost, "db"), Key: testKey}); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("a lost file gives %v", err)
	}
}
