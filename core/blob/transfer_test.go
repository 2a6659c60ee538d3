package blob

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// faulty meddles with what a source writes.
type faulty struct {
	net.Conn
	write func(b []byte) ([]byte, error)
}

func (f *faulty) Write(b []byte) (int, error) {
	out, err := f.write(b)
	if err != nil {
		_ = f.Close()
		return 0, err
	}
	if _, err := f.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}

var errFault = errors.New("a fault that the test made")

// failsAfter ends every stream after so many bytes.
func (w *world) failsAfter(n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.meddle = func(_ packet.UserID, c net.Conn) net.Conn {
		var sent atomic.Int64
		return &faulty{c, func(b []byte) ([]byte, error) {
			if sent.Add(int64(len(b))) > n {
				return nil, errFault
			}
			return b, nil
		}}
	}
}

// endsAfter ends all streams once so many bytes went over them together.
func (w *world) endsAfter(n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var sent atomic.Int64
	w.meddle = func(_ packet.UserID, c net.Conn) net.Conn {
		return &faulty{c, func(b []byte) ([]byte, error) {
			if sent.Add(int64(len(b))) > n {
				return nil, errFault
			}
			return b, nil
		}}
	}
}

func (w *world) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.meddle = nil
}

// TestResume: a transfer that is cut again and again goes on where it was, within
// a piece.
func TestResume(t *testing.T) {
	for name, make := range map[string]func(t *testing.T) string{
		"file": func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "film")
			write(t, path, 6*packet.PieceSize+5)
			return path
		},
		"folder": tree,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "alice", "bob")
			path := make(t)
			o := w.share("alice", path)
			w.failsAfter(packet.PieceSize/2 + 100) // never a whole piece
			w.link("alice", "bob")
			w.fetch("bob", o)
			b := w.becomes("bob", o, store.BlobDone)
			if o.Folder {
				t.Cleanup(func() { _ = os.Chmod(filepath.Join(b.Path, "read only"), 0o755) })
				sameTree(t, path, b.Path)
			} else {
				want, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				sameFile(t, b.Path, want)
			}
			// What is in flight when a stream ends is sent again, and no more.
			if sent, most := w.wires.Load(), int64(o.Size)*3/2; sent > most {
				t.Errorf("%d bytes went over the wire for %d", sent, o.Size)
			}
		})
	}
}

// TestSlowLink: what comes a little at a time counts as it comes: it is shown, and
// is not fetched again.
func TestSlowLink(t *testing.T) {
	w := newWorld(t, "alice", "bob")
	path := filepath.Join(t.TempDir(), "film")
	want := write(t, path, packet.PieceSize)
	o := w.share("alice", path)
	const some = 10_000
	stop := make(chan struct{})
	goOn := sync.OnceFunc(func() { close(stop) })
	t.Cleanup(goOn)
	w.mu.Lock()
	w.meddle = func(_ packet.UserID, c net.Conn) net.Conn {
		return &faulty{c, func(b []byte) ([]byte, error) {
			if len(b) < chunk {
				return b, nil
			}
			if _, err := c.Write(b[:some]); err != nil {
				return nil, err
			}
			<-stop
			return nil, errFault
		}}
	}
	w.mu.Unlock()
	w.link("alice", "bob")
	w.fetch("bob", o)
	eventually(t, "what came is shown", func() bool {
		b := w.blob("bob", o)
		return w.nodes["bob"].service.Status(&b).Done == some
	})
	w.heal()
	sent := w.wires.Load()
	goOn()
	sameFile(t, w.becomes("bob", o, store.BlobDone).Path, want)
	if n := w.wires.Load() - sent; n > packet.PieceSize {
		t.Errorf("%d bytes came after the %d", n, some)
	}
}

// TestLimits: under a limit less is sent at a time, so that the other side never
// takes a slow source for a dead one, and all the same in time.
func TestLimits(t *testing.T) {
	w := newWorld(t, "alice", "bob")
	path := filepath.Join(t.TempDir(), "film")
	want := write(t, path, packet.PieceSize+packet.PieceSize/2)
	o := w.share("alice", path)
	const limit = 64 << 10
	var largest atomic.Int64
	w.mu.Lock()
	w.meddle = func(_ packet.UserID, c net.Conn) net.Conn {
		return &faulty{c, func(b []byte) ([]byte, error) {
			largest.Store(max(largest.Load(), int64(len(b))))
			return b, nil
		}}
	}
	w.mu.Unlock()
	w.nodes["alice"].service.SetLimits(limit, 0)
	w.nodes["bob"].service.SetLimits(0, limit)
	w.link("alice", "bob")
	w.fetch("bob", o)
	eventually(t, "the limit holds it up", func() bool { return w.wires.Load() > packet.PieceSize })
	if n := largest.Load(); n > limit {
		t.Errorf("%d bytes were sent at a time, with %d bytes a second", n, limit)
	}
	for _, user := range []packet.UserID{"alice", "bob"} {
		w.nodes[user].service.SetLimits(0, 0)
	}
	sameFile(t, w.becomes("bob", o, store.BlobDone).Path, want)
}

// TestStreamsAreKept for the next fetch, but not for so long that the other side has
// closed them.
func TestStreamsAreKept(t *testing.T) {
	w := newWorld(t, "alice", "bob")
	path := filepath.Join(t.TempDir(), "film")
	write(t, path, 100)
	w.link("alice", "bob")
	bob := w.nodes["bob"].service
	link := w.nodes["bob"].Links()[0].ID
	var kept *stream
	fetched := func() *stream {
		o := w.share("alice", path)
		w.fetch("bob", o)
		w.becomes("bob", o, store.BlobDone)
		bob.mu.Lock()
		defer bob.mu.Unlock()
		if n := len(bob.idle[link]); n != 1 || len(bob.streams) != 1 {
			t.Fatalf("%d streams, %d of them idle", len(bob.streams), n)
		}
		return bob.idle[link][0]
	}
	if kept = fetched(); fetched() != kept {
		t.Error("a stream was opened though there was one")
	}
	bob.mu.Lock()
	kept.left = time.Time{}
	bob.mu.Unlock()
	if fetched() == kept {
		t.Error("an old stream was used")
	}
}

// TestEndsBesideBegins: the folder for partial files, which the end of a fetch removes
// when nothing is in it, goes at any time, and no other fetch fails by that.
func TestEndsBesideBegins(t *testing.T) {
	w := newWorld(t, "alice", "bob")
	path := filepath.Join(t.TempDir(), "film")
	want := write(t, path, 100)
	offers := []offer{w.share("alice", tree(t))}
	for range 20 {
		offers = append(offers, w.share("alice", path))
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				removePartialFolder(filepath.Join(w.nodes["bob"].downloads(), "any"))
			}
		}
	}()
	w.link("alice", "bob")
	for _, o := range offers {
		w.fetch("bob", o)
	}
	for i, o := range offers {
		b := w.becomes("bob", o, store.BlobDone)
		if i > 0 {
			sameFile(t, b.Path, want)
			continue
		}
		t.Cleanup(func() { _ = os.Chmod(filepath.Join(b.Path, "read only"), 0o755) })
	}
	close(stop)
	<-stopped
}

// TestRestarts: both sides end in the middle, and nothing that came is fetched
// again.
func TestRestarts(t *testing.T) {
	w := newWorld(t, "alice", "bob")
	path := filepath.Join(t.TempDir(), "film")
	want := write(t, path, 8*packet.PieceSize)
	o := w.share("alice", path)
	for i, user := range []packet.UserID{"bob", "alice", "bob"} {
		w.endsAfter(2*packet.PieceSize + packet.PieceSize/4)
		if i == 0 {
			w.fetch("bob", o)
		}
		before := w.wires.Load()
		w.link("alice", "bob")
		eventually(t, "some of it comes", func() bool { return w.wires.Load() > before+packet.PieceSize })
		w.nodes[user].halt()
		w.cut()
		w.nodes[user].start()
	}
	w.heal()
	w.link("alice", "bob")
	b := w.becomes("bob", o, store.BlobDone)
	sameFile(t, b.Path, want)
	if sent := w.wires.Load(); sent > int64(len(want))*5/4 {
		t.Errorf("%d bytes went over the wire for %d", sent, len(want))
	}
}

// TestPowerFailure: what the ledger claims is believed only if the machine did
// not go down since.
func TestPowerFailure(t *testing.T) {
	w := newWorld(t, "alice", "bob")
	path := filepath.Join(t.TempDir(), "film")
	want := write(t, path, 6*packet.PieceSize)
	o := w.share("alice", path)
	w.endsAfter(4*packet.PieceSize + 10000)
	w.link("alice", "bob")
	w.fetch("bob", o)
	eventually(t, "some of it comes", func() bool { return w.wires.Load() > 3*packet.PieceSize })
	bob := w.nodes["bob"]
	bob.halt()
	w.cut()
	// As if written in another boot, and of one piece the bytes were lost.
	ledger, err := os.OpenFile(bob.service.ledgerPath(o.ID), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.WriteAt([]byte("another boot"), 24); err != nil {
		t.Fatal(err)
	}
	_ = ledger.Close()
	partial := filepath.Join(bob.downloads(), partialFolder, o.ID.String())
	f, err := os.OpenFile(partial, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 4096), packet.PieceSize+500); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	w.heal()
	bob.start()
	w.link("alice", "bob")
	b := w.becomes("bob", o, store.BlobDone)
	sameFile(t, b.Path, want)
}

// TestCorruptPieces are found and fetched again.
func TestCorruptPieces(t *testing.T) {
	w := newWorld(t, "alice", "bob")
	path := filepath.Join(t.TempDir(), "film")
	want := write(t, path, 4*packet.PieceSize)
	o := w.share("alice", path)
	var once sync.Once
	w.meddle = func(_ packet.UserID, c net.Conn) net.Conn {
		return &faulty{c, func(b []byte) ([]byte, error) {
			if len(b) == chunk { // content
				once.Do(func() {
					b = append([]byte{}, b...)
					b[1000] ^= 1
				})
			}
			return b, nil
		}}
	}
	w.link("alice", "bob")
	w.fetch("bob", o)
	b := w.becomes("bob", o, store.BlobDone)
	sameFile(t, b.Path, want)

	// One that is broken each time is an end.
	o = w.share("alice", path)
	w.mu.Lock()
	w.meddle = func(_ packet.UserID, c net.Conn) net.Conn {
		return &faulty{c, func(b []byte) ([]byte, error) {
			if len(b) == chunk {
				b = append([]byte{}, b...)
				b[1000] ^= 1
			}
			return b, nil
		}}
	}
	w.mu.Unlock()
	w.cut()
	w.link("alice", "bob")
	w.fetch("bob", o)
	if b := w.becomes("bob", o, store.BlobFailed); b.Told || b.Reason == "" {
		t.Errorf("it failed as %+v", b)
	}
	w.clean("bob", partialFolder, "film") // what came may be tried again
	w.steer("bob", o, Cancel)
	w.clean("bob", "film")
}

// TestChangedSources are noticed by both sides.
func TestChangedSources(t *testing.T) {
	file := func(t *testing.T) (path, inside string) {
		path = filepath.Join(t.TempDir(), "film")
		write(t, path, 6*packet.PieceSize)
		return path, path
	}
	folder := func(t *testing.T) (path, inside string) {
		path = filepath.Join(t.TempDir(), "films")
		inside = filepath.Join(path, "b")
		write(t, filepath.Join(path, "a"), 3*packet.PieceSize)
		write(t, inside, 3*packet.PieceSize)
		return path, inside
	}
	for name, c := range map[string]struct {
		make   func(t *testing.T) (path, inside string)
		change func(path string) error
	}{
		"shorter":      {file, func(path string) error { return os.Truncate(path, 5*packet.PieceSize) }},
		"longer":       {file, func(path string) error { return os.Truncate(path, 7*packet.PieceSize) }},
		"written to":   {file, func(path string) error { return os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)) }},
		"gone":         {file, os.Remove},
		"in a folder":  {folder, func(path string) error { return os.Truncate(path, 5) }},
		"gone from it": {folder, os.Remove},
		"a link now": {folder, func(path string) error {
			return errors.Join(os.Remove(path), os.Symlink("/etc/passwd", path))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "alice", "bob")
			path, inside := c.make(t)
			o := w.share("alice", path)
			w.endsAfter(packet.PieceSize + packet.PieceSize/2)
			w.fetch("bob", o)
			w.link("alice", "bob")
			eventually(t, "some of it comes", func() bool { return w.wires.Load() > packet.PieceSize })
			w.cut()
			alice := w.nodes["alice"].service
			eventually(t, "alice has closed it", func() bool {
				alice.mu.Lock()
				defer alice.mu.Unlock()
				return len(alice.shares) == 0
			})
			if err := c.change(inside); err != nil {
				t.Fatal(err)
			}
			w.heal()
			w.link("alice", "bob")
			b := w.becomes("bob", o, store.BlobFailed)
			a := w.becomes("alice", o, store.BlobFailed)
			if a.Told || b.Told || a.Reason == "" || b.Reason == "" {
				t.Errorf("alice reads %q, bob %q", a.Reason, b.Reason)
			}
			t.Logf("alice: %s; bob: %s", a.Reason, b.Reason)
		})
	}
}

// TestSteering: pause, resume and cancel, by either side.
func TestSteering(t *testing.T) {
	for _, who := range []packet.UserID{"alice", "bob"} {
		t.Run(string(who), func(t *testing.T) {
			w := newWorld(t, "alice", "bob")
			path := filepath.Join(t.TempDir(), "film")
			want := write(t, path, 20*packet.PieceSize)
			o := w.share("alice", path)
			w.nodes["alice"].service.SetLimits(4<<20, 0)
			w.link("alice", "bob")
			w.fetch("bob", o)
			eventually(t, "some of it comes", func() bool { return w.wires.Load() > packet.PieceSize })
			w.steer(who, o, Pause)
			if who == "alice" {
				w.waiting("bob", o, "paused by alice")
			} else {
				eventually(t, "how far it is is noted", func() bool { return w.blob("bob", o).Done > 0 })
				if b := w.becomes("bob", o, store.BlobPaused); b.Reason != "" {
					t.Errorf("paused for %q", b.Reason)
				}
			}
			w.cut()
			w.link("alice", "bob")
			w.nodes["alice"].service.SetLimits(0, 0)
			if b := w.blob("bob", o); b.State == store.BlobDone {
				t.Error("a paused transfer goes on")
			}
			w.steer(who, o, Resume)
			b := w.becomes("bob", o, store.BlobDone)
			sameFile(t, b.Path, want)
			if sent := w.wires.Load(); sent > int64(len(want))*3/2 {
				t.Errorf("%d bytes went over the wire for %d", sent, len(want))
			}
		})
	}
	for _, who := range []packet.UserID{"alice", "bob"} {
		t.Run("cancelled by "+string(who), func(t *testing.T) {
			w := newWorld(t, "alice", "bob")
			path := filepath.Join(t.TempDir(), "film")
			write(t, path, 20*packet.PieceSize)
			o := w.share("alice", path)
			w.nodes["alice"].service.SetLimits(4<<20, 0)
			w.link("alice", "bob")
			w.fetch("bob", o)
			eventually(t, "some of it comes", func() bool { return w.wires.Load() > packet.PieceSize })
			w.steer(who, o, Cancel)
			b := w.becomes("bob", o, store.BlobCancelled)
			if told := who == "bob"; b.Told != told {
				t.Errorf("bob's plugin is told %v", b.Told)
			}
			w.clean("bob")
			if who == "bob" { // who wants it after all gets it
				w.nodes["alice"].service.SetLimits(0, 0)
				w.fetch("bob", o)
				w.becomes("bob", o, store.BlobDone)
			}
		})
	}
}

// TestResumedBeforeThePauseIsHeard: its author pauses a file and goes on before
// the other side, to which much is under way still, has read that it was paused.
func TestResumedBeforeThePauseIsHeard(t *testing.T) {
	w := newWorld(t, "alice", "bob")
	path := filepath.Join(t.TempDir(), "film")
	want := write(t, path, 20*packet.PieceSize)
	o := w.share("alice", path)
	paused, heard := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.meddle = func(_ packet.UserID, c net.Conn) net.Conn {
		return &faulty{c, func(b []byte) ([]byte, error) {
			f, err := packet.ReadStreamFrame(bytes.NewReader(b), packet.MaxStreamFrame)
			if end, ok := f.(*packet.BlobEnd); err == nil && ok && end.Code == packet.BlobPaused {
				once.Do(func() { close(paused) })
				<-heard
			}
			return b, nil
		}}
	}
	w.nodes["alice"].service.SetLimits(4<<20, 0)
	w.link("alice", "bob")
	w.fetch("bob", o)
	bob := w.nodes["bob"].service
	eventually(t, "something came", func() bool { b := w.blob("bob", o); return bob.Status(&b).Done > 0 })
	w.steer("alice", o, Pause)
	<-paused
	alice := w.nodes["alice"]
	err := alice.store.Update(t.Context(), store.Lazy, func(tx store.Tx) error { return alice.service.Steer(tx, "file", o.ID, Resume, "") })
	if err != nil {
		t.Fatal(err)
	}
	bob.mu.Lock()
	f := bob.fetches[o.ID]
	bob.mu.Unlock()
	bob.hear(o.ID, w.nodes["bob"].Links()[0].ID) // the news of that, come ahead
	eventually(t, "the news are heard", func() bool { return len(f.wake) == 0 })
	alice.service.SetLimits(0, 0)
	close(heard)
	sameFile(t, w.becomes("bob", o, store.BlobDone).Path, want)
}

// TestCancelledAndKilled: what came of a blob that was cancelled goes when the
// service begins, if it ended before.
func TestCancelledAndKilled(t *testing.T) {
	w := newWorld(t, "alice", "bob")
	path := filepath.Join(t.TempDir(), "film")
	write(t, path, 4*packet.PieceSize)
	o := w.share("alice", path)
	w.endsAfter(packet.PieceSize)
	w.link("alice", "bob")
	w.fetch("bob", o)
	w.clean("bob", partialFolder)
	bob := w.nodes["bob"]
	bob.halt()
	w.steer("bob", o, Cancel)
	bob.start()
	w.clean("bob")
}

// TestWhatCannotBeNoted: that the author's own disk is full, as it were, is no end
// of what it offers, and tells nobody where its files are.
func TestWhatCannotBeNoted(t *testing.T) {
	w := newWorld(t, "alice", "bob")
	path := filepath.Join(t.TempDir(), "film")
	want := write(t, path, 2*packet.PieceSize)
	o := w.share("alice", path)
	ledger := w.nodes["alice"].service.ledgerPath(o.ID)
	if err := os.MkdirAll(ledger, 0o700); err != nil { // in the ledger's place
		t.Fatal(err)
	}
	w.link("alice", "bob")
	w.fetch("bob", o)
	w.waiting("bob", o, "alice says: it cannot be given now: is a directory")
	if b := w.blob("alice", o); b.State != store.BlobShared {
		t.Errorf("it is in state %d: %s", b.State, b.Reason)
	}
	if err := os.Remove(ledger); err != nil {
		t.Fatal(err)
	}
	sameFile(t, w.becomes("bob", o, store.BlobDone).Path, want)
}

// TestCancelledInTheLastMoment: what was in its place already when it was noted as
// cancelled is not left there, and nothing else is touched.
func TestCancelledInTheLastMoment(t *testing.T) {
	w := newWorld(t, "alice", "bob")
	path := filepath.Join(t.TempDir(), "film")
	write(t, path, 100)
	o := w.share("alice", path)
	w.fetch("bob", o)
	bob := w.nodes["bob"]
	w.waiting("bob", o, "alice is not connected")
	b := w.blob("bob", o)
	place := filepath.Join(bob.downloads(), "film (2)")
	kept := write(t, filepath.Join(bob.downloads(), "film"), 7)
	write(t, place, 100)
	w.steer("bob", o, Cancel)
	w.clean("bob", "film", "film (2)")
	eventually(t, "nothing is fetched any more", func() bool {
		bob.service.mu.Lock()
		defer bob.service.mu.Unlock()
		return len(bob.service.fetches) == 0
	})
	// As it would have gone on had it been all here.
	if err := errors.Join(os.MkdirAll(filepath.Dir(partialOf(&b)), 0o700), writeFile(bob.service.partialPath(b.ID), []byte(partialOf(&b)))); err != nil {
		t.Fatal(err)
	}
	if err := bob.service.placed(t.Context(), &b, place); err != nil {
		t.Fatal(err)
	}
	w.clean("bob", "film")
	sameFile(t, filepath.Join(bob.downloads(), "film"), kept)
	if b := w.blob("bob", o); b.State != store.BlobCancelled {
		t.Errorf("it is in state %d", b.State)
	}
}

// TestOffers are noted, and nothing is fetched before it is asked for.
func TestOffers(t *testing.T) {
	w := newWorld(t, "alice", "bob")
	w.link("alice", "bob")
	path := filepath.Join(t.TempDir(), "film")
	write(t, path, 100)
	o := w.share("alice", path)
	bob := w.nodes["bob"]
	for range 2 {
		err := bob.store.Update(t.Context(), store.Lazy, func(tx store.Tx) error {
			return bob.service.Fetch(tx, Want{Blob: o.ID, Message: o.message.ID, Plugin: "file", Name: o.Name, Size: o.Size, Offer: true})
		})
		if err != nil {
			t.Fatal(err)
		}
		bob.service.Changed(o.ID)
		if b := w.blob("bob", o); b.State != store.BlobOffered && b.State != store.BlobDone {
			t.Fatalf("it is in state %d", b.State)
		}
		if n := w.wires.Load(); n != 0 && w.blob("bob", o).State == store.BlobOffered {
			t.Errorf("%d bytes came", n)
		}
		w.fetch("bob", o) // the second time the offer changes nothing
		w.becomes("bob", o, store.BlobDone)
	}
	w.steer("bob", o, Cancel) // too late
	if b := w.blob("bob", o); b.State != store.BlobDone {
		t.Errorf("it is in state %d", b.State)
	}
}

// TestOfferedByTwo: who offers another's blob as his own, and is heard first, does not
// keep it from who asks for it where its author offers it.
func TestOfferedByTwo(t *testing.T) {
	w := newWorld(t, "alice", "bob", "carol")
	w.link("alice", "bob")
	w.link("carol", "bob")
	path := filepath.Join(t.TempDir(), "film")
	want := write(t, path, 100)
	o := w.share("alice", path)
	other := filepath.Join(t.TempDir(), "other")
	write(t, other, 7)
	theirs := w.share("carol", other)
	bob := w.nodes["bob"]
	err := bob.store.Update(t.Context(), store.Lazy, func(tx store.Tx) error {
		return bob.service.Fetch(tx, Want{Blob: o.ID, Message: theirs.message.ID, Plugin: "file", Name: "other", Size: 7, Offer: true})
	})
	if err != nil {
		t.Fatal(err)
	}
	if b := w.blob("bob", o); b.State != store.BlobOffered || b.Author != "carol" {
		t.Fatalf("it is in state %d, by %s", b.State, b.Author)
	}
	w.fetch("bob", o)
	if b := w.becomes("bob", o, store.BlobDone); b.Author != "alice" || b.Message != o.message.ID {
		t.Errorf("it is %s's", b.Author)
	}
	sameFile(t, filepath.Join(bob.downloads(), "film"), want)
}

// TestFromOthers: with the author away, whoever has it gives it, and what is not
// as the author signed it is not taken.
func TestFromOthers(t *testing.T) {
	for _, honest := range []bool{true, false} {
		w := newWorld(t, "alice", "bob", "carol")
		path := filepath.Join(t.TempDir(), "film")
		want := write(t, path, 5*packet.PieceSize+1)
		o := w.share("alice", path)
		w.link("alice", "bob")
		w.fetch("bob", o)
		w.becomes("bob", o, store.BlobDone)
		eventually(t, "bob has alice's word", func() bool { return len(w.blob("bob", o).Manifest) > 0 })
		w.cut()
		if !honest {
			// Bob's file is another one, though it looks the same to his core.
			b := w.blob("bob", o)
			info, err := os.Stat(b.Path)
			if err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(b.Path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte("forged"), 2*packet.PieceSize+9); err != nil {
				t.Fatal(err)
			}
			_ = f.Close()
			if err := os.Chtimes(b.Path, info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
		}
		w.fetch("carol", o)
		w.waiting("carol", o, "alice is not connected")
		w.link("bob", "carol")
		if !honest {
			w.waiting("carol", o, "bob says: what comes is not what the author signed")
			w.link("alice", "carol")
		}
		c := w.becomes("carol", o, store.BlobDone)
		sameFile(t, c.Path, want)
	}
}

// TestStrangersGetNothing: a blob is for the members of its chat.
func TestStrangersGetNothing(t *testing.T) {
	w := newWorld(t, "alice", "bob", "mallory")
	path := filepath.Join(t.TempDir(), "film")
	write(t, path, 100)
	o := w.share("alice", path)
	alice := w.nodes["alice"]
	err := alice.store.Update(t.Context(), store.Lazy, func(tx store.Tx) error {
		return tx.PutMembership(w.chat, store.Membership{Version: 2, Members: []packet.UserID{"alice", "bob"}})
	})
	if err != nil {
		t.Fatal(err)
	}
	w.link("alice", "mallory")
	w.fetch("mallory", o)
	if b := w.becomes("mallory", o, store.BlobFailed); b.Reason != "alice does not have it any more" {
		t.Errorf("mallory reads %q", b.Reason)
	}
}
