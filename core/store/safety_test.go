package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
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
