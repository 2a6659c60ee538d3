package chatlog

import (
	"cmp"
	"slices"

	"github.com/parley-chat/parley/protocol/packet"
)

// Sets of numbers are ranges, ascending and disjoint.

// all gives a vector's numbers.
func all(v packet.LogVector) []packet.Range {
	if v.Upto == 0 {
		return v.Beyond
	}
	return append([]packet.Range{{First: 1, Last: v.Upto}}, v.Beyond...)
}

// minus gives what is in a and not in b.
func minus(a, b []packet.Range) []packet.Range {
	var out []packet.Range
	for _, r := range a {
		for len(b) > 0 && b[0].Last < r.First {
			b = b[1:]
		}
		for i := 0; i < len(b) && b[i].First <= r.Last && r.First <= r.Last; i++ {
			if b[i].First > r.First {
				out = append(out, packet.Range{First: r.First, Last: b[i].First - 1})
			}
			r.First = b[i].Last + 1
		}
		if r.First <= r.Last {
			out = append(out, r)
		}
	}
	return out
}

// union gives what is in a or in b; ranges that touch become one.
func union(a, b []packet.Range) []packet.Range {
	all := slices.SortedFunc(slices.Values(append(slices.Clone(a), b...)), func(x, y packet.Range) int { return cmp.Compare(x.First, y.First) })
	var out []packet.Range
	for _, r := range all {
		if n := len(out); n > 0 && r.First <= out[n-1].Last+1 {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}

// within gives the part of a that lies in [first, last].
func within(a []packet.Range, first, last uint64) []packet.Range {
	var out []packet.Range
	for _, r := range a {
		r.First, r.Last = max(r.First, first), min(r.Last, last)
		if r.First <= r.Last {
			out = append(out, r)
		}
	}
	return out
}

// without takes one number out of a.
func without(a []packet.Range, number uint64) []packet.Range {
	return minus(a, []packet.Range{{First: number, Last: number}})
}

// count says how many numbers are in a.
func count(a []packet.Range) (n uint64) {
	for _, r := range a {
		n += r.Last - r.First + 1
	}
	return n
}

func contains(a []packet.Range, number uint64) bool {
	return slices.ContainsFunc(a, func(r packet.Range) bool { return r.First <= number && number <= r.Last })
}

// vectorOf makes a vector of a set; ranges over the wire's limit are left out
// at the end.
func vectorOf(device packet.DeviceID, epoch uint64, a []packet.Range) packet.LogVector {
	v := packet.LogVector{Device: device, Epoch: epoch}
	if len(a) > 0 && a[0].First == 1 {
		v.Upto, a = a[0].Last, a[1:]
	}
	v.Beyond = a[:min(len(a), packet.MaxRanges)]
	return v
}

// add gives v with number in it.
func add(v packet.LogVector, number uint64) packet.LogVector {
	if v.Has(number) {
		return v
	}
	beyond := slices.Clone(v.Beyond)
	i, _ := slices.BinarySearchFunc(beyond, number, func(r packet.Range, n uint64) int {
		if r.First < n {
			return -1
		}
		return 1
	})
	beyond = slices.Insert(beyond, i, packet.Range{First: number, Last: number})
	if v.Upto > 0 {
		beyond = slices.Insert(beyond, 0, packet.Range{First: 1, Last: v.Upto})
	}
	joined := beyond[:1]
	for _, r := range beyond[1:] {
		if last := &joined[len(joined)-1]; r.First == last.Last+1 {
			last.Last = r.Last
		} else {
			joined = append(joined, r)
		}
	}
	v.Upto = 0
	if joined[0].First == 1 {
		v.Upto, joined = joined[0].Last, joined[1:]
	}
	v.Beyond = joined
	return v
}

func highest(v packet.LogVector) uint64 {
	if n := len(v.Beyond); n > 0 {
		return v.Beyond[n-1].Last
	}
	return v.Upto
}
