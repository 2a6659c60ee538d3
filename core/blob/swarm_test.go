package blob

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// given counts what each source writes, and does to it what a test wants.
type given struct {
	mu    sync.Mutex // guards bytes
	bytes map[packet.UserID]int64
}

func (g *given) of(user packet.UserID) int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.bytes[user]
}

// count has what sources write counted from now on, and changed by what is there
// for each.
func (w *world) count(change map[packet.UserID]func(net.Conn) func([]byte) ([]byte, error)) *given {
	g := &given{bytes: map[packet.UserID]int64{}}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.meddle = func(from packet.UserID, c net.Conn) net.Conn {
		each := func(b []byte) ([]byte, error) { return b, nil }
		if change[from] != nil {
			each = change[from](c)
		}
		return &faulty{c, func(b []byte) ([]byte, error) {
			out, err := each(b)
			g.mu.Lock()
			g.bytes[from] += int64(len(out))
			g.mu.Unlock()
			return out, err
		}}
	}
	return g
}

// everywhere has a blob be with these users, and all of them away again.
func (w *world) everywhere(o offer, users ...packet.UserID) {
	w.t.Helper()
	for _, user := range users {
		w.link(o.Author, user)
		w.fetch(user, o)
	}
	for _, user := range users {
		w.becomes(user, o, store.BlobDone)
		eventually(w.t, "the author's word is known", func() bool { return len(w.blob(user, o).Manifest) > 0 })
	}
	w.cut()
}

// TestSwarm: a blob comes from its author and from others at once: from a quick
// and a slow one, from one that stops in the middle without a word, from one that
// lies and from one that goes. Pieces come from all the honest, none is written by
// two, and it does not wait for who gives nothing any more.
func TestSwarm(t *testing.T) {
	const size = 40*packet.PieceSize + 77
	w := newWorld(t, "alice", "bob", "carol", "dave", "mallory", "zoe")
	path := filepath.Join(t.TempDir(), "film")
	want := write(t, path, size)
	o := w.share("alice", path)
	w.everywhere(o, "bob", "carol", "dave", "mallory")

	stopped, lied := make(chan struct{}), atomic.Int64{}
	t.Cleanup(func() { close(stopped) })
	g := w.count(map[packet.UserID]func(net.Conn) func([]byte) ([]byte, error){
		"carol": func(net.Conn) func([]byte) ([]byte, error) {
			var sent atomic.Int64
			return func(b []byte) ([]byte, error) {
				if sent.Add(int64(len(b))) > 2*packet.PieceSize+chunk {
					<-stopped
					return nil, errFault
				}
				return b, nil
			}
		},
		"dave": func(net.Conn) func([]byte) ([]byte, error) {
			var sent atomic.Int64
			return func(b []byte) ([]byte, error) {
				if sent.Add(int64(len(b))) > 3*packet.PieceSize+chunk {
					return nil, errFault
				}
				return b, nil
			}
		},
		"mallory": func(net.Conn) func([]byte) ([]byte, error) {
			return func(b []byte) ([]byte, error) {
				if len(b) == chunk {
					lied.Add(1)
					return make([]byte, chunk), nil
				}
				return b, nil
			}
		},
	})
	w.nodes["alice"].service.SetLimits(4<<20, 0)
	for _, user := range []packet.UserID{"mallory", "carol", "dave", "bob", "alice"} {
		w.nodes[user].service.SetLimits(map[packet.UserID]uint64{"alice": 8 << 20, "bob": 30 << 20}[user], 0)
		w.link(user, "zoe")
	}
	w.fetch("zoe", o)
	b := w.becomes("zoe", o, store.BlobDone)
	sameFile(t, b.Path, want)
	total := int64(0)
	for _, user := range []packet.UserID{"alice", "bob", "carol", "dave"} {
		n := g.of(user)
		total += n
		t.Logf("%s gave %d bytes", user, n)
		if n < packet.PieceSize {
			t.Errorf("%s gave %d bytes only", user, n)
		}
	}
	if lied.Load() == 0 {
		t.Error("nobody lied")
	}
	// What was under way where a source was left behind came in vain.
	if total > size*3/2 {
		t.Errorf("%d bytes came for %d", total, size)
	}
}

// TestPartOfIt: who has some of a blob gives that, tells when there is more, and
// nothing while it is paused.
func TestPartOfIt(t *testing.T) {
	for name, make := range map[string]func(t *testing.T) string{
		"file": func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "film")
			write(t, path, 12*packet.PieceSize+5)
			return path
		},
		"folder": func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "films")
			write(t, filepath.Join(path, "a"), 5*packet.PieceSize+1)
			write(t, filepath.Join(path, "CON"), 100) // has another name elsewhere
			write(t, filepath.Join(path, "z", "b"), 6*packet.PieceSize)
			return path
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "alice", "bob", "carol", "zoe")
			path := make(t)
			o := w.share("alice", path)
			w.everywhere(o, "carol")
			w.endsAfter(7 * packet.PieceSize)
			w.link("alice", "bob")
			w.fetch("bob", o)
			bob := w.nodes["bob"].service
			has := func(user packet.UserID) uint64 {
				b := w.blob(user, o)
				return w.nodes[user].service.Status(&b).Done
			}
			eventually(t, "bob gets some of it", func() bool { return has("bob") > 5*packet.PieceSize })
			w.cut()
			w.waiting("bob", o, "alice is not connected")
			some := has("bob")

			g := w.count(nil)
			w.steer("bob", o, Pause)
			w.fetch("zoe", o)
			w.link("bob", "zoe")
			w.waiting("zoe", o, "bob says: it is not here yet")
			if n := g.of("bob"); n > chunk {
				t.Errorf("bob gave %d bytes while it was paused", n)
			}
			w.steer("bob", o, Resume)
			// All of the pieces, but not the part of one.
			eventually(t, "zoe gets what bob has", func() bool { return has("zoe") > 0 && has("zoe") >= some/packet.PieceSize*packet.PieceSize })
			if b := w.blob("zoe", o); b.State != store.BlobWanted {
				t.Fatalf("it is in state %d", b.State)
			}

			// Whatever comes to bob comes to zoe.
			w.link("bob", "carol")
			b := w.becomes("zoe", o, store.BlobDone)
			if o.Folder {
				sent := filepath.Join(filepath.Dir(path), "sent")
				if err := os.Rename(path, sent); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(filepath.Join(sent, "CON"), filepath.Join(sent, "_CON")); err != nil {
					t.Fatal(err)
				}
				sameTree(t, sent, b.Path)
			} else {
				want, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				sameFile(t, b.Path, want)
			}
			if n := g.of("alice"); n != 0 {
				t.Errorf("alice gave %d bytes", n)
			}
			w.clean("zoe", filepath.Base(o.Name))
			eventually(t, "no ledger is open", func() bool {
				bob.ledgers.mu.Lock()
				defer bob.ledgers.mu.Unlock()
				return len(bob.ledgers.opened) == 0
			})
		})
	}
}

// TestOnceIsEnough: those who fetch at the same time give each other what they
// have, so that the author gives far less than all of it to each.
func TestOnceIsEnough(t *testing.T) {
	const size = 100 * packet.PieceSize
	w := newWorld(t, "alice", "bob", "carol", "dave")
	path := filepath.Join(t.TempDir(), "film")
	want := write(t, path, size)
	o := w.share("alice", path)
	g := w.count(nil)
	w.nodes["alice"].service.SetLimits(25<<20, 0)
	users := []packet.UserID{"bob", "carol", "dave"}
	for i, user := range users {
		w.link("alice", user)
		for _, other := range users[:i] {
			w.link(other, user)
		}
	}
	for _, user := range users {
		w.fetch(user, o)
	}
	for _, user := range users {
		sameFile(t, w.becomes(user, o, store.BlobDone).Path, want)
	}
	n := g.of("alice")
	t.Logf("alice gave %.2f times all of it to three", float64(n)/size)
	if n > 2*size+size/2 {
		t.Errorf("alice gave %d bytes of %d to three", n, size)
	}
}

// TestLiarsCannotEndIt: what somebody but the author says of a blob does not end
// it.
func TestLiarsCannotEndIt(t *testing.T) {
	const size = 3 * packet.PieceSize
	for name, script := range map[string]func(c net.Conn, r *packet.BlobRequest) error{
		"another size": func(c net.Conn, r *packet.BlobRequest) error {
			return say(c, &packet.BlobInfo{Request: r.Request, Size: size + 1}, &packet.BlobEnd{Request: r.Request})
		},
		"a folder": func(c net.Conn, r *packet.BlobRequest) error {
			return say(c, &packet.BlobInfo{Request: r.Request, Size: size, IndexSize: 9}, &packet.BlobEnd{Request: r.Request})
		},
		"withdrawn": func(c net.Conn, r *packet.BlobRequest) error {
			return say(c, &packet.BlobEnd{Request: r.Request, Code: packet.BlobWithdrawn, Text: "gone"})
		},
		"no pieces": func(c net.Conn, r *packet.BlobRequest) error {
			return say(c, &packet.BlobInfo{Request: r.Request, Size: size, Have: []packet.Range{{First: 9, Last: 10}}}, &packet.BlobEnd{Request: r.Request})
		},
		"a forged word": func(c net.Conn, r *packet.BlobRequest) error {
			m, err := packet.SealManifest(packet.Manifest{Blob: r.Blob, Chat: r.Chat, Author: "alice", Device: packet.DeviceID{1}, Size: size},
				func([]byte) []byte { return make([]byte, 64) })
			return errors.Join(err, say(c, &packet.BlobInfo{Request: r.Request, Size: size, Manifest: &m}, &packet.BlobEnd{Request: r.Request}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "alice", "mallory", "zoe")
			path := filepath.Join(t.TempDir(), "film")
			want := write(t, path, size)
			o := w.share("alice", path)
			asked := make(chan struct{}, 1)
			w.script(func(c net.Conn, r *packet.BlobRequest) error {
				select {
				case asked <- struct{}{}:
				default: // it may be asked any number of times
				}
				return script(c, r)
			})
			w.fetch("zoe", o)
			w.link("mallory", "zoe")
			<-asked
			w.heal()
			w.link("alice", "zoe")
			sameFile(t, w.becomes("zoe", o, store.BlobDone).Path, want)
		})
	}
}

// TestPoisonedParts: a member who gives the first part of a piece wrongly and goes
// away does not have the author blamed for the whole.
func TestPoisonedParts(t *testing.T) {
	w := newWorld(t, "alice", "mallory", "zoe")
	path := filepath.Join(t.TempDir(), "film")
	want := write(t, path, 8*packet.PieceSize)
	o := w.share("alice", path)
	w.everywhere(o, "mallory")
	zoe := w.nodes["zoe"].service
	parts := func() (n int) {
		l, err := zoe.ledgers.open(o.ID, zoe.ledgerPath(o.ID), o.Size)
		if err != nil {
			return 0
		}
		defer func() { _ = zoe.ledgers.leave(l) }()
		for i := range l.n {
			if _, got, known, err := l.slot(i); err == nil && known && got > 0 && !l.has(i) {
				n++
			}
		}
		return n
	}
	w.count(map[packet.UserID]func(net.Conn) func([]byte) ([]byte, error){
		"mallory": func(net.Conn) func([]byte) ([]byte, error) {
			full, chunks := parts() >= maxCorrupt, 0
			return func(b []byte) ([]byte, error) {
				switch {
				case full:
					return nil, errFault
				case len(b) != chunk:
					return b, nil
				}
				if chunks++; chunks == 3 {
					return nil, errFault
				}
				return make([]byte, chunk), nil
			}
		},
	})
	w.link("mallory", "zoe")
	w.fetch("zoe", o)
	eventually(t, "parts of pieces came that are wrong", func() bool { return parts() >= maxCorrupt })
	w.cut()
	w.link("alice", "zoe")
	sameFile(t, w.becomes("zoe", o, store.BlobDone).Path, want)
}
