package password

import (
	"context"
	"errors"
	"testing"
)

// FuzzParseHash: a stored hash never makes a check cost more than the most that
// is allowed.
func FuzzParseHash(f *testing.F) {
	h, err := New(Cost{MemoryKiB: 64, Passes: 1, Lanes: 1}, 1)
	if err != nil {
		f.Fatal(err)
	}
	good, err := h.Hash(context.Background(), "correct horse battery")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("$argon2id$v=19$m=4294967295,t=4294967295,p=255$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=64,t=1,p=1$$")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		cost, salt, sum, err := parse(s)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		if cost.exceeds(maxCost) || cost.MemoryKiB == 0 || cost.Passes == 0 || cost.Lanes == 0 || len(salt) < 8 || len(sum) < 16 || len(sum) > 64 {
			t.Fatalf("%q: %+v, %d, %d", s, cost, len(salt), len(sum))
		}
	})
}
