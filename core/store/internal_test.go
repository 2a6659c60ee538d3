package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/parley-chat/parley/core/store/internal/words"
	"github.com/parley-chat/parley/protocol/packet"
)

var key = bytes.Repeat([]byte{7, 1}, 16)

func openWith(t *testing.T, path string, more ...string) (*db, error) {
	t.Helper()
	steps, err := loadMigrations()
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Config{Path: path, Key: key, migrations: append(steps, more...)})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.(*db), nil
}

func put(t *testing.T, s Store, value string) {
	t.Helper()
	if err := s.Update(t.Context(), Synced, func(tx Tx) error { return tx.PutValue("n", "k", []byte(value)) }); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, s Store) (value string) {
	t.Helper()
	err := s.View(t.Context(), func(tx ReadTx) error {
		v, err := tx.Value("n", "k")
		value = string(v)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestMigration(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "db")
	s, err := openWith(t, path)
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "old")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// One that fails changes nothing.
	_, err = openWith(t, path, "CREATE TABLE extra (x); UPDATE vals SET value = 'broken'; INSERT INTO nothing VALUES (1)")
	if err == nil {
		t.Fatal("a broken migration succeeded")
	}
	s, err = openWith(t, path)
	if err != nil {
		t.Fatal(err)
	}
	if got := get(t, s); got != "old" {
		t.Errorf("after a failed migration the value is %q", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s, err = openWith(t, path, "CREATE TABLE extra (x)", "UPDATE vals SET value = CAST('new' AS BLOB)")
	if err != nil {
		t.Fatal(err)
	}
	if got := get(t, s); got != "new" {
		t.Errorf("after the migration the value is %q", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// An older program refuses it, and leaves it alone.
	if _, err := openWith(t, path); !errors.Is(err, ErrNewer) {
		t.Errorf("a newer database gives %v", err)
	}

	// The copy is of before, private, and opens.
	shipped, err := loadMigrations()
	if err != nil {
		t.Fatal(err)
	}
	backup := fmt.Sprintf("%s.v%d.bak", path, len(shipped))
	info, err := os.Stat(backup)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the copy: %v, %v", info, err)
	}
	old, err := openWith(t, backup)
	if err != nil {
		t.Fatal(err)
	}
	if got := get(t, old); got != "old" {
		t.Errorf("the copy has the value %q", got)
	}
}

// A database from before there were groups opens, and all that is in it is as it
// was.
func TestFromBeforeGroups(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	steps, err := loadMigrations()
	if err != nil {
		t.Fatal(err)
	}
	old, err := Open(t.Context(), Config{Path: path, Key: key, migrations: steps[:2]})
	if err != nil {
		t.Fatal(err)
	}
	h := packet.Header{
		ID: packet.NewPacketID(), Chat: "alice-bob", Type: "text", Author: "bob", Device: packet.DeviceID{1}, Epoch: 5, Number: 1,
		Depth: 3, Membership: 1, SentAt: 7, Delivery: packet.Reliable,
	}
	p, err := packet.Seal(h, []byte("hello"), nil)
	if err != nil {
		t.Fatal(err)
	}
	err = old.Update(t.Context(), Synced, func(writes Tx) error {
		// What the program wrote then.
		c := writes.(*tx).c
		return errors.Join(
			c.run("INSERT INTO chats (chat, title, muted, pinned, draft, created_at, membership, members, last_at, depth) VALUES ('alice-bob', '', 0, 0, '', 1, 1, '[\"alice\",\"bob\"]', 1, 3)"),
			c.run("INSERT INTO memberships (chat, version, members, cutoffs) VALUES (1, 1, '[\"alice\",\"bob\"]', 'null')"),
			c.run("INSERT INTO logs (chat, device, epoch, author, upto, open) VALUES (1, ?, 5, 'bob', 1, 1)", h.Device),
			c.run("INSERT INTO entries (log, number, packet, type, state, size, raw, content) VALUES (1, 1, ?, 'text', 1, 5, ?, ?)", h.ID, p.Raw, p.Content),
		)
	})
	if err := errors.Join(err, old.Close()); err != nil {
		t.Fatal(err)
	}
	s, err := openWith(t, path)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(t.Context(), Synced, func(tx Tx) error {
		c, err := tx.Chat("alice-bob")
		m, err2 := tx.Membership("alice-bob", 1)
		want := Membership{Version: 1, Members: []packet.UserID{"alice", "bob"}}
		if c.Membership != 1 || c.History != HistoryFromJoin || !slices.Equal(c.Members, want.Members) || !m.Same(&want) {
			t.Errorf("chat %+v, list %+v", c, m)
		}
		e, err3 := tx.EntryByID(h.ID)
		if string(e.Packet.Content) != "hello" || !bytes.Equal(e.Packet.Raw, p.Raw) {
			t.Errorf("entry %+v", e)
		}
		h.Number, h.ID = 2, packet.NewPacketID()
		next, err4 := packet.Seal(h, []byte("again"), nil)
		_, err5 := tx.PutEntry(Entry{Packet: next, State: EntryNew})
		unhandled, err6 := tx.Unhandled([]packet.Type{"text"}, "", 10, 1000)
		if len(unhandled) != 2 {
			t.Errorf("%d entries are to be handled, not 2", len(unhandled))
		}
		return errors.Join(err, err2, err3, err4, err5, err6, tx.PutMembership("alice-bob", want))
	})
	if err != nil {
		t.Error(err)
	}
}

func TestForeignDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s, err := openWith(t, path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.writer.Exec("PRAGMA application_id = 5"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := openWith(t, path); !errors.Is(err, ErrKey) {
		t.Errorf("another program's database gives %v", err)
	}
}

// TestGroupCommit has many wait while one runs: they share its commit, or the
// next one.
func TestGroupCommit(t *testing.T) {
	s, err := openWith(t, filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	const n = 200
	before := s.commits.Load()
	release := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := s.Update(t.Context(), Synced, func(Tx) error {
			<-release
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	var begun sync.WaitGroup
	for i := range n {
		begun.Add(1)
		wg.Go(func() {
			begun.Done()
			err := s.Update(t.Context(), Synced, func(tx Tx) error { return tx.PutValue("n", fmt.Sprint(i), []byte("v")) })
			if err != nil {
				t.Error(err)
			}
		})
	}
	begun.Wait()
	close(release)
	wg.Wait()
	if commits := s.commits.Load() - before; commits > n/4 {
		t.Errorf("%d updates took %d commits", n, commits)
	}
	err = s.View(t.Context(), func(tx ReadTx) error {
		values, err := tx.Values("n", "", 0)
		if len(values) != n {
			t.Errorf("%d values of %d", len(values), n)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestCancelWhileQueued cancels an Update that waits for another.
func TestCancelWhileQueued(t *testing.T) {
	s, err := openWith(t, filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	running, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := s.Update(t.Context(), Lazy, func(Tx) error {
			close(running)
			<-release
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-running
	ctx, cancel := context.WithCancel(t.Context())
	wg.Go(func() {
		ran := false
		err := s.Update(ctx, Synced, func(Tx) error {
			ran = true
			return nil
		})
		if !errors.Is(err, context.Canceled) || ran {
			t.Errorf("gave %v, ran %v", err, ran)
		}
		close(release)
	})
	cancel()
	wg.Wait()
	put(t, s, "still works")
}

// TestLost has SQLite give up the transaction in the middle of a batch: all who
// were to be committed in it hear of it.
func TestLost(t *testing.T) {
	s, err := openWith(t, filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "kept")
	running, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := s.Update(t.Context(), Synced, func(tx Tx) error {
			close(running)
			<-release
			return tx.PutValue("n", "k", []byte("lost"))
		})
		if err == nil && get(t, s) != "lost" {
			t.Error("an update that was lost gave no error")
		}
	})
	<-running
	wg.Go(func() {
		err := s.Update(t.Context(), Synced, func(t Tx) error { return t.(*tx).c.Exec("ROLLBACK") })
		if err == nil {
			t.Error("an update without a transaction gave no error")
		}
	})
	close(release)
	wg.Wait()
	put(t, s, "still works")
	if got := get(t, s); got != "still works" {
		t.Errorf("the value is %q", got)
	}
}

func TestReindex(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s, err := openWith(t, path)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(t.Context(), Synced, func(tx Tx) error {
		if err := tx.PutChat(Chat{ID: "alice-bob"}); err != nil {
			return err
		}
		for i := range byte(200) {
			m := Message{ID: [16]byte{i + 1}, Chat: "alice-bob", Body: fmt.Sprint("wonderful ", i), SentAt: int64(i)}
			m.Order[0] = i + 1
			if _, err := tx.AddMessage(m); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.writer.Exec("INSERT INTO search (search) VALUES ('delete-all'); DELETE FROM words; UPDATE meta SET value = -1 WHERE key = 'words'")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = openWith(t, path); err != nil {
		t.Fatal(err)
	}
	err = s.View(t.Context(), func(tx ReadTx) error {
		found, _, err := tx.Search(Query{Text: "wonder", Limit: 200})
		if len(found) != 200 {
			t.Errorf("%d messages are found", len(found))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if v, _, err := s.writer.number("SELECT value FROM meta WHERE key = 'words'"); v != words.Version || err != nil {
		t.Errorf("the index is of version %d, %v", v, err)
	}
}

// TestWordsVanish checks that no trace of a deleted message's rare words stays.
func TestWordsVanish(t *testing.T) {
	s, err := openWith(t, filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	count := func() (n int64) {
		n, _, err := s.writer.number("SELECT count(*) FROM words")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	message := func(id byte, body string) Message {
		m := Message{ID: [16]byte{id}, Chat: "alice-bob", Body: body}
		m.Order[0] = id
		return m
	}
	must := func(fn func(tx Tx) error) {
		t.Helper()
		if err := s.Update(t.Context(), Lazy, fn); err != nil {
			t.Fatal(err)
		}
	}
	must(func(tx Tx) error {
		err := tx.PutChat(Chat{ID: "alice-bob"})
		_, err1 := tx.AddMessage(message(1, "password hunter2"))
		_, err2 := tx.AddMessage(message(2, "password please"))
		_, err3 := tx.AddMessage(message(3, "goodbye"))
		return errors.Join(err, err1, err2, err3)
	})
	if got := count(); got != 4 {
		t.Errorf("%d words", got)
	}
	must(func(tx Tx) error { return tx.DeleteMessage([16]byte{1}) })
	if got := count(); got != 3 { // password is still used
		t.Errorf("%d words after a deletion", got)
	}
	must(func(tx Tx) error { return tx.ChangeMessage(message(2, "thanks")) })
	if got := count(); got != 2 {
		t.Errorf("%d words after a change", got)
	}
	must(func(tx Tx) error { return tx.DeleteChat("alice-bob") })
	if got := count(); got != 0 {
		t.Errorf("%d words after the chat was deleted", got)
	}
}
