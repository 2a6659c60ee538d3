package vector

import (
	"slices"

	"github.com/parley-chat/parley/protocol/packet"
)

// maxRanges bounds a set that Put makes.
const maxRanges = 256

// Put gives ranges, which are ascending and disjoint, with number in them. When
// they would be more than 256, the first two become one.
func Put(ranges []packet.Range, number uint64) []packet.Range {
	// Of a vector whose first number is missing all is beyond.
	v := packet.LogVector{Beyond: shift(ranges, 1)}
	if !Add(&v, number+1) {
		return ranges
	}
	ranges = shift(v.Beyond, ^uint64(0))
	if len(ranges) > maxRanges {
		ranges[1].First = ranges[0].First
		ranges = ranges[1:]
	}
	return ranges
}

// Take gives ranges without number.
func Take(ranges []packet.Range, number uint64) []packet.Range {
	i := slices.IndexFunc(ranges, func(r packet.Range) bool { return r.First <= number && number <= r.Last })
	if i < 0 {
		return ranges
	}
	r := ranges[i]
	var rest []packet.Range
	if r.First < number {
		rest = append(rest, packet.Range{First: r.First, Last: number - 1})
	}
	if number < r.Last {
		rest = append(rest, packet.Range{First: number + 1, Last: r.Last})
	}
	return slices.Concat(ranges[:i], rest, ranges[i+1:])
}

// shift gives ranges moved by n.
func shift(ranges []packet.Range, n uint64) []packet.Range {
	out := make([]packet.Range, len(ranges))
	for i, r := range ranges {
		out[i] = packet.Range{First: r.First + n, Last: r.Last + n}
	}
	return out
}
