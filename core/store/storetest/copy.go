package storetest

import "testing"

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
