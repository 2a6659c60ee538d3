package storetest

import (
	"math/rand/v2"
	"testing"
)

// Copy makes a store with what f has now, as a backup would: for tests of what
// happens when it is put back. Closed at the end of the test.
func (f *Fake) Copy(t testing.TB) *Fake {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	c := &Fake{state: f.state}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Crash makes a store with what a power loss would leave of f: all that a Synced
// commit pressed to the disk, and of the Lazy ones since then the first few, as
// random has it. Closed at the end of the test.
func (f *Fake) Crash(t testing.TB, random *rand.Rand) *Fake {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	c := &Fake{state: f.state}
	if i := random.IntN(len(f.undone) + 1); i < len(f.undone) {
		c.state = f.undone[i]
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
