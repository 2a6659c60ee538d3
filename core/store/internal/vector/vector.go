// Package vector keeps the vector of a log while entries arrive in any order.
package vector

import (
	"slices"

	"github.com/parley-chat/parley/protocol/packet"
)

// Add notes that number is there now. It gives false when it was before.
func Add(v *packet.LogVector, number uint64) bool {
	if number == 0 || v.Has(number) {
		return false
	}
	if number == v.Upto+1 {
		v.Upto = number
		if len(v.Beyond) > 0 && v.Beyond[0].First == number+1 {
			v.Upto = v.Beyond[0].Last
			v.Beyond = slices.Delete(v.Beyond, 0, 1)
		}
		return true
	}
	i, _ := slices.BinarySearchFunc(v.Beyond, number, func(r packet.Range, n uint64) int {
		if r.First < n {
			return -1
		}
		return 1
	})
	left := i > 0 && v.Beyond[i-1].Last+1 == number
	right := i < len(v.Beyond) && v.Beyond[i].First == number+1
	switch {
	case left && right:
		v.Beyond[i-1].Last = v.Beyond[i].Last
		v.Beyond = slices.Delete(v.Beyond, i, i+1)
	case left:
		v.Beyond[i-1].Last = number
	case right:
		v.Beyond[i].First = number
	default:
		v.Beyond = slices.Insert(v.Beyond, i, packet.Range{First: number, Last: number})
	}
	return true
}

// Highest is the highest number in v, 0 when it is empty.
func Highest(v *packet.LogVector) uint64 {
	if n := len(v.Beyond); n > 0 {
		return v.Beyond[n-1].Last
	}
	return v.Upto
}
