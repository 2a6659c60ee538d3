package blob

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

const (
	of2019   packet.ChatID = "net2019:2017000001-2017000002-2017000003"
	wang, li packet.UserID = "net2019:2017000002", "net2019:2017000003"
)

// pushed gives alice a blob in a chat of 2019.
func (w *world) pushed(b store.Blob) store.Blob {
	w.t.Helper()
	alice := w.nodes["alice"]
	b.Chat, b.Plugin, b.CreatedAt = of2019, "file", 1
	b.Message = packet.NewPacketID()
	if b.ID = packet.BlobID(b.Message); b.Own {
		b.ID = packet.NewBlobID()
	}
	err := alice.store.Update(w.t.Context(), store.Lazy, func(tx store.Tx) error {
		if err := tx.PutChat(store.Chat{ID: of2019, CreatedAt: 1}); err != nil {
			return err
		}
		return tx.PutBlob(b)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

func (n *node) row(id packet.BlobID) *store.Blob {
	n.w.t.Helper()
	b, err := n.service.blob(n.w.t.Context(), id)
	if err != nil {
		n.w.t.Fatal(err)
	}
	return &b
}

// TestPushedProgress: what another package moves is told as all transfers are, before
// there is a row of it too.
func TestPushedProgress(t *testing.T) {
	w := newWorld(t, "alice", "bob")
	alice := w.nodes["alice"]
	s := alice.service
	changes := bus.Subscribe(alice.bus, bus.BlobChanged, 16)
	defer changes.Close()
	told := func(id packet.BlobID) {
		t.Helper()
		if ref, err := changes.Next(t.Context()); err != nil || ref.ID != id || ref.Chat != of2019 || ref.Settled {
			t.Errorf("told of %+v, %v", ref, err)
		}
	}
	status := func(id packet.BlobID, done uint64, peers ...packet.UserID) {
		t.Helper()
		if st := s.Status(alice.row(id)); st.Done != done || !slices.Equal(st.Peers, peers) {
			t.Errorf("%+v, where %d bytes are done with %v", st, done, peers)
		}
	}

	message := packet.NewPacketID()
	early := store.Blob{ID: packet.BlobID(message), Chat: of2019, Message: message, Size: 1000}
	s.Moved(&early, wang, 300, 300)
	told(early.ID)
	s.mu.Lock()
	s.meters[early.ID].told = time.Now().Add(time.Hour) // what follows comes too soon to be told, on any machine
	s.mu.Unlock()
	row := early
	row.State, row.Plugin, row.CreatedAt = store.BlobOffered, "file", 1
	w.pushed(store.Blob{State: store.BlobOffered, Size: 1}) // the chat
	if err := s.update(t.Context(), func(tx store.Tx) error { return tx.PutBlob(row) }); err != nil {
		t.Fatal(err)
	}
	status(row.ID, 300, wang)
	s.Moved(&early, wang, 200, 500)
	status(row.ID, 500, wang)
	s.Stopped(t.Context(), &early, wang)
	told(row.ID)
	status(row.ID, 500)
	s.Fail(t.Context(), row.ID, "no more")
	if b := alice.row(row.ID); b.State != store.BlobFailed || b.Reason != "no more" {
		t.Errorf("%+v", b)
	}
	if ref, err := changes.Next(t.Context()); err != nil || !ref.Settled {
		t.Errorf("%+v, %v", ref, err)
	}
	s.Stopped(t.Context(), &early, wang)
	never := store.Blob{ID: packet.NewBlobID(), Chat: of2019, Size: 10}
	s.Moved(&never, wang, 5, 5)
	s.Stopped(t.Context(), &never, wang)
	cancelled := w.pushed(store.Blob{State: store.BlobCancelled, Size: 10})
	s.Moved(&cancelled, wang, 5, 5)
	s.Changed(cancelled.ID)
	s.mu.Lock()
	if len(s.meters) > 0 {
		t.Errorf("%d meters stay", len(s.meters))
	}
	s.mu.Unlock()
}

// TestPushedToAll: one's own is as far as with who has got most; who hangs up has
// nothing of it; and it is done once it went to all.
func TestPushedToAll(t *testing.T) {
	w := newWorld(t, "alice", "bob")
	alice := w.nodes["alice"]
	s := alice.service
	path := filepath.Join(t.TempDir(), "mine")
	if err := os.WriteFile(path, make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	own := w.pushed(store.Blob{State: store.BlobShared, Own: true, Size: 1000, Path: path})
	is := func(done uint64) {
		t.Helper()
		if st := s.Status(alice.row(own.ID)); st.Done != done {
			t.Errorf("%+v, where %d bytes are done", st, done)
		}
	}
	s.Moved(&own, wang, 600, 600)
	s.Moved(&own, li, 200, 200)
	is(600)
	s.Stopped(t.Context(), &own, wang) // hung up
	is(200)
	s.Moved(&own, wang, 100, 100)
	is(200)
	s.Moved(&own, li, 800, 1000)
	s.Stopped(t.Context(), &own, li)
	is(1000)
	s.Stopped(t.Context(), &own, wang)
	is(1000)
	s.Sent(t.Context(), own.ID)
	is(1000)
	if b := alice.row(own.ID); b.State != store.BlobDone || b.Path != path {
		t.Errorf("%+v", b)
	}
	s.Fail(t.Context(), own.ID, "late")
	if b := alice.row(own.ID); b.State != store.BlobDone {
		t.Errorf("%+v", b)
	}
	native := w.share("alice", path)
	s.Sent(t.Context(), native.ID)
	s.Fail(t.Context(), native.ID, "not pushed")
	if b := alice.row(native.ID); b.State != store.BlobShared {
		t.Errorf("a native one: %+v", b)
	}
}
