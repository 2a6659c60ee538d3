package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/core/store/storetest"
	"github.com/parley-chat/parley/protocol/packet"
)

const chat = packet.ChatID("alice-bob")

// write commits n messages, each by itself, with bodies "secret words <i>".
func write(t testing.TB, s store.Store, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		err := s.Update(context.Background(), store.Synced, func(tx store.Tx) error {
			if err := tx.PutChat(store.Chat{ID: chat}); err != nil {
				return err
			}
			e := storetest.Entry("alice", packet.Log{Chat: chat, Epoch: 1}, uint64(i+1), uint64(i+1), "text", fmt.Sprint("secret content ", i))
			_, err := tx.PutEntry(e)
			if err != nil {
				return err
			}
			_, err = tx.AddMessage(storetest.Message(chat, uint64(i+1), fmt.Sprint("secret words ", i)))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// bodies gives all messages, oldest first.
func bodies(s store.Store) (out []string, err error) {
	err = s.View(context.Background(), func(tx store.ReadTx) error {
		page := store.Page{After: &packet.OrderKey{}, Limit: 500}
		for more := true; more; {
			var messages []store.Message
			var err error
			if messages, more, err = tx.Messages(chat, page); err != nil {
				return err
			}
			for _, m := range messages {
				out = append(out, m.Body)
				page.After = &m.Order
			}
		}
		return nil
	})
	return out, err
}

// intact checks that exactly the messages 0 to n-1 are there, and found.
func intact(t *testing.T, s store.Store, n int) {
	t.Helper()
	got, err := bodies(s)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != n {
		t.Errorf("%d messages, not %d", len(got), n)
	}
	for i, body := range got {
		if body != fmt.Sprint("secret words ", i) {
			t.Errorf("message %d is %q", i, body)
		}
	}
	if n == 0 {
		return
	}
	err = s.View(context.Background(), func(tx store.ReadTx) error {
		found, _, err := tx.Search(store.Query{Text: fmt.Sprint("secret ", n-1), Limit: 1})
		if err == nil && len(found) != 1 {
			err = errors.New("the last message is not found")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if err := store.Check(context.Background(), s); err != nil {
		t.Error(err)
	}
}

func reopen(t *testing.T, path string, n int) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{Path: path, Key: testKey})
	if err != nil {
		t.Fatal(err)
	}
	intact(t, s, n)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// copyFolder copies the files as they are now, as after a crash.
func copyFolder(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestEncryptedAndPrivate(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "account")
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	var logged bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := store.Open(t.Context(), store.Config{Path: filepath.Join(folder, "db"), Key: testKey, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, 0, 20)
	if _, err := bodies(s); err != nil { // a reader, too
		t.Fatal(err)
	}
	look := func(when string) {
		files := 0
		err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			want := fs.FileMode(0o600)
			if entry.IsDir() {
				want = 0o700
			}
			if info.Mode().Perm() != want {
				t.Errorf("%s: %s has mode %v", when, path, info.Mode())
			}
			if entry.IsDir() {
				return nil
			}
			files++
			content, err := os.ReadFile(path)
			for _, plain := range []string{"secret", "words", "alice", "SQLite", "CREATE", string(testKey)} {
				if bytes.Contains(content, []byte(plain)) {
					t.Errorf("%s: %s holds %q in plain", when, path, plain)
				}
			}
			return err
		})
		if err != nil || files == 0 {
			t.Errorf("%s: %d files, %v", when, files, err)
		}
	}
	look("open")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	look("closed")
	if strings.Contains(logged.String(), "secret") || strings.Contains(logged.String(), fmt.Sprintf("%x", testKey)) {
		t.Errorf("the log says %s", logged.String())
	}
	reopen(t, filepath.Join(folder, "db"), 20)
}

func TestWrongKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s, err := store.Open(t.Context(), store.Config{Path: path, Key: testKey})
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, 0, 5)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string][]byte{"wrong": bytes.Repeat([]byte{9}, 32), "short": testKey[:31], "none": nil} {
		_, err := store.Open(t.Context(), store.Config{Path: path, Key: key})
		if !errors.Is(err, store.ErrKey) {
			t.Errorf("a %s key gives %v", name, err)
		}
		if err != nil && len(key) > 0 && strings.Contains(err.Error(), fmt.Sprintf("%x", key)) {
			t.Errorf("the error quotes the key: %v", err)
		}
	}
	reopen(t, path, 5)
}

func TestNotADatabase(t *testing.T) {
	for name, test := range map[string]struct {
		content []byte
		want    error
	}{
		"empty": {nil, store.ErrCorrupt},
		"short": {[]byte("hello"), store.ErrCorrupt},
		"text":  {bytes.Repeat([]byte("hello "), 5000), store.ErrKey},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "db")
			if err := os.WriteFile(path, test.content, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := store.Open(t.Context(), store.Config{Path: path, Key: testKey})
			if !errors.Is(err, test.want) {
				t.Errorf("Open gave %v", err)
			}
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, test.content) {
				t.Error("the file was changed")
			}
		})
	}
}

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
	defer s.Close()
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
	defer got.Close()
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

func TestSecondOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := open(t, path)
	if _, err := store.Open(t.Context(), store.Config{Path: path, Key: testKey}); !errors.Is(err, store.ErrBusy) {
		t.Errorf("a second Open gives %v", err)
	}
	command := exec.Command(os.Args[0], "-test.run", "^TestHelperOpen$")
	command.Env = append(os.Environ(), "STORE_HELPER="+path)
	out, err := command.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte(store.ErrBusy.Error())) {
		t.Errorf("a second process got %s, %v", out, err)
	}
	write(t, s, 0, 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	reopen(t, path, 3)
}

// TestHelperOpen is the second process of TestSecondOpen.
func TestHelperOpen(t *testing.T) {
	path := os.Getenv("STORE_HELPER")
	if path == "" {
		t.Skip("only for TestSecondOpen")
	}
	s, err := store.Open(t.Context(), store.Config{Path: path, Key: testKey})
	if err == nil {
		_ = s.Close()
	}
	fmt.Println(err)
}

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
