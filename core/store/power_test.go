package store_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3/vfs"
	"pgregory.net/rapid"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/core/store/storetest"
	"github.com/parley-chat/parley/protocol/packet"
)

var crashPoints = flag.Int("crashes", 40, "how many power losses are tried")

// TestPowerLoss writes to a database, and has the power fail at many moments:
// what was not synced is dropped, kept, torn at sector borders or comes in another
// order. Then the database opens, is whole, and has what one of the commits left:
// none before the last that was acknowledged as synced. `make test` asks for 2,000
// moments without the race detector.
func TestPowerLoss(t *testing.T) {
	const lives = 4
	for life := range uint64(lives) {
		t.Run(fmt.Sprint("life ", life), func(t *testing.T) {
			t.Parallel()
			h := live(t, life, 90)
			random := rand.New(rand.NewPCG(life, 1))
			for range *crashPoints / lives {
				h.crash(t, random)
				if t.Failed() {
					return
				}
			}
		})
	}
}

// TestSoakPowerLoss goes on with other lives for as long as PARLEY_SOAK says.
func TestSoakPowerLoss(t *testing.T) {
	span, err := time.ParseDuration(os.Getenv("PARLEY_SOAK"))
	if err != nil {
		t.Skip("PARLEY_SOAK says for how long; see make soak")
	}
	first := uint64(time.Now().UnixNano())
	moments := 0
	life := first
	for end := time.Now().Add(span); time.Now().Before(end) && !t.Failed(); life++ {
		h := live(t, life, 200)
		random := rand.New(rand.NewPCG(life, 1))
		for range 200 {
			h.crash(t, random)
			moments++
		}
	}
	t.Logf("%d moments in %d lives from %d on", moments, life-first, first)
}

// history is a database's life as the disk saw it.
type history struct {
	life    uint64
	ops     []diskOp
	commits []commit // the first is the empty database
}

// commit is one Update, with the state it left.
type commit struct {
	begun, done int // how many ops there were before and after it
	durability  store.Durability
	state       *storetest.Fake
	digest      packet.Hash // of what state has
}

// live makes a database do many random things; the same ones for the same seed.
func live(t *testing.T, seed uint64, updates int) *history {
	t.Helper()
	name := fmt.Sprintf("record-%d-%p", seed, t)
	r := &recorder{VFS: vfs.Find("")}
	vfs.Register(name, r)
	defer vfs.Unregister(name)
	path := filepath.Join(t.TempDir(), "db")
	random := rand.New(rand.NewPCG(seed, 0))
	fake := storetest.New(t)
	real := openOn(t, path, name)
	h := &history{life: seed, commits: []commit{{done: r.len(), state: fake.Copy(t), digest: digest(t, fake)}}}
	draw := rapid.Custom(drawn.draw)
	for i := range updates {
		if random.IntN(60) == 0 { // the log is taken over, deleted and made again
			must(t, real.Close())
			real = openOn(t, path, name)
		}
		var calls []operation
		for range 1 + random.IntN(8) {
			calls = append(calls, draw.Example(int(random.Uint32())))
		}
		if random.IntN(4) == 0 {
			calls = append(calls, bulk(random))
		}
		if i == 0 {
			calls = []operation{func(tx store.Tx) (string, error) { return "", tx.PutChat(store.Chat{ID: drawn.chats[0]}) }}
		}
		undo := random.IntN(8) == 0
		c := commit{begun: r.len()}
		if random.IntN(3) == 0 {
			c.durability = store.Lazy
		}
		if undo {
			c.durability = store.Lazy // nothing is promised of what failed
		}
		performAt(t, fake, store.Lazy, calls, undo)
		performAt(t, real, c.durability, calls, undo)
		c.done, c.state, c.digest = r.len(), fake.Copy(t), digest(t, fake)
		h.commits = append(h.commits, c)
	}
	must(t, real.Close())
	h.ops = r.ops
	return h
}

// bulk writes what needs many pages.
func bulk(random *rand.Rand) operation {
	value := make([]byte, 1+random.IntN(60_000))
	for i := range value {
		value[i] = byte(random.Uint32())
	}
	key := fmt.Sprint("bulk ", random.IntN(4))
	return func(tx store.Tx) (string, error) { return "bulk", tx.PutValue("n", key, value) }
}

func openOn(t *testing.T, path, vfs string) store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{Path: path, Key: testKey, VFS: vfs})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func performAt(t *testing.T, s store.Store, d store.Durability, calls []operation, undo bool) {
	t.Helper()
	err := s.Update(t.Context(), d, func(tx store.Tx) error {
		for _, call := range calls {
			_, err := call(tx)
			if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrExists) && !errors.Is(err, store.ErrConflict) {
				return err
			}
		}
		if undo {
			return errUndo
		}
		return nil
	})
	if !(undo && errors.Is(err, errUndo)) {
		must(t, err)
	}
}

// crash has the power fail at a random moment, at times once more while the
// database is opened, and looks at what is there.
func (h *history) crash(t *testing.T, random *rand.Rand) {
	t.Helper()
	first := h.commits[0].done
	at := first + random.IntN(len(h.ops)-first+1)
	how := loss(random.IntN(int(losses)))
	where := fmt.Sprintf("life %d, loss %d at %d of %d", h.life, how, at, len(h.ops))
	files := disk{}.after(h.ops[:at], how, random)
	folder := t.TempDir()
	if random.IntN(4) == 0 {
		if files = h.again(t, files, random, where); files == nil {
			return
		}
	}
	files.put(t, folder)
	s, err := store.Open(t.Context(), store.Config{Path: filepath.Join(folder, "db"), Key: testKey})
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Errorf("%s: close: %v", where, err)
		}
		must(t, os.RemoveAll(folder))
	}()
	if err := store.Check(t.Context(), s); err != nil {
		t.Errorf("%s: %v", where, err)
	}
	h.compare(t, s, at, where)
	// It goes on from there.
	err = s.Update(t.Context(), store.Synced, func(tx store.Tx) error { return tx.PutValue("after", "k", []byte("v")) })
	if err != nil {
		t.Errorf("%s: write: %v", where, err)
	}
}

// again has the power fail while a database is opened and closed after a loss.
func (h *history) again(t *testing.T, files disk, random *rand.Rand, where string) disk {
	t.Helper()
	name := fmt.Sprintf("again-%d-%p", h.life, t)
	r := &recorder{VFS: vfs.Find("")}
	vfs.Register(name, r)
	defer vfs.Unregister(name)
	folder := t.TempDir()
	files.put(t, folder)
	s, err := store.Open(t.Context(), store.Config{Path: filepath.Join(folder, "db"), Key: testKey, VFS: name})
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return nil
	}
	must(t, s.Close())
	must(t, os.RemoveAll(folder))
	return files.after(r.ops[:random.IntN(len(r.ops)+1)], loss(random.IntN(int(losses))), random)
}

func (d disk) put(t *testing.T, folder string) {
	t.Helper()
	for name, content := range d {
		must(t, os.WriteFile(filepath.Join(folder, name), content, 0o600))
	}
}

// compare says whether a store has what one of the commits left that may be the
// last after a loss at the moment at.
func (h *history) compare(t *testing.T, s store.Store, at int, where string) {
	t.Helper()
	oldest, newest := 0, 0
	for i, c := range h.commits {
		if c.done <= at && c.durability == store.Synced {
			oldest = i
		}
		if c.begun <= at {
			newest = i
		}
	}
	got := digest(t, s)
	if slices.ContainsFunc(h.commits[oldest:newest+1], func(c commit) bool { return c.digest == got }) {
		return
	}
	t.Errorf("%s: it has none of the states %d to %d; from the oldest (-want +got):\n%s",
		where, oldest, newest, storetest.Same(dumpAll(t, h.commits[oldest].state), dumpAll(t, s)))
}

// digest stands for everything in a store.
func digest(t *testing.T, s store.Store) packet.Hash {
	t.Helper()
	return packet.HashOf(fmt.Appendf(nil, "%x", dumpAll(t, s)))
}

func dumpAll(t *testing.T, s store.Store) (all map[string]any) {
	t.Helper()
	must(t, s.View(context.Background(), func(tx store.ReadTx) (err error) {
		all, err = storetest.Dump(tx, drawn.chats...)
		return err
	}))
	return all
}
