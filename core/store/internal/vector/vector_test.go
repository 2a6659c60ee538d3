package vector_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/parley-chat/parley/core/store/internal/vector"
	"github.com/parley-chat/parley/protocol/packet"
)

// TestAdd adds numbers in any order and compares with a set of them.
func TestAdd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var v packet.LogVector
		set := map[uint64]bool{}
		highest := uint64(0)
		for _, n := range rapid.SliceOf(rapid.Uint64Range(0, 30)).Draw(t, "numbers") {
			if got, want := vector.Add(&v, n), n != 0 && !set[n]; got != want {
				t.Fatalf("Add(%d) = %v", n, got)
			}
			if n != 0 {
				set[n] = true
				highest = max(highest, n)
			}
			for i := uint64(1); i <= 31; i++ {
				if v.Has(i) != set[i] {
					t.Fatalf("%+v: Has(%d) = %v", v, i, v.Has(i))
				}
			}
			last := v.Upto
			for _, r := range v.Beyond {
				if r.First <= last+1 || r.Last < r.First {
					t.Fatalf("%+v is not in order, disjoint and apart", v)
				}
				last = r.Last
			}
			if vector.Highest(&v) != highest {
				t.Fatalf("Highest(%+v) = %d", v, vector.Highest(&v))
			}
		}
	})
}
