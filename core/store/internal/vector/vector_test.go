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

// TestPutTake puts and takes numbers in any order and compares with a set.
func TestPutTake(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ranges []packet.Range
		set := map[uint64]bool{}
		for _, n := range rapid.SliceOf(rapid.Int64Range(-30, 30)).Draw(t, "numbers") {
			switch number := uint64(max(n, -n)) + 1; {
			case n < 0:
				ranges = vector.Take(ranges, number)
				delete(set, number)
			default:
				ranges = vector.Put(ranges, number)
				set[number] = true
			}
			last := uint64(0)
			for _, r := range ranges {
				if r.First > r.Last || r.First <= last+1 && last > 0 {
					t.Fatalf("%v are not apart", ranges)
				}
				for last = r.First; last < r.Last; last++ {
					if !set[last] {
						t.Fatalf("%d is in %v", last, ranges)
					}
				}
			}
			for n := range set {
				in := false
				for _, r := range ranges {
					in = in || r.First <= n && n <= r.Last
				}
				if !in {
					t.Fatalf("%d is not in %v", n, ranges)
				}
			}
		}
	})
}
