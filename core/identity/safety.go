package identity

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/zeebo/blake3"

	"github.com/parley-chat/parley/protocol/packet"
)

// SafetyNumber is what two people compare to know that nobody stands between
// them: the same 60 digits on both sides, in 12 groups of 5, half of them from
// each one's user id and device keys.
func SafetyNumber(a packet.UserID, aKeys []ed25519.PublicKey, b packet.UserID, bKeys []ed25519.PublicKey) string {
	halves := []string{safetyHalf(a, aKeys), safetyHalf(b, bKeys)}
	slices.Sort(halves)
	return strings.Join(halves, " ")
}

func safetyHalf(user packet.UserID, keys []ed25519.PublicKey) string {
	sorted := slices.Clone(keys)
	slices.SortFunc(sorted, func(x, y ed25519.PublicKey) int { return bytes.Compare(x, y) })
	h := blake3.NewDeriveKey("parley 2026 safety number v1")
	_, _ = h.Write([]byte(string(user) + "\x00")) // never fails
	for _, key := range sorted {
		_, _ = h.Write(key)
	}
	sum := make([]byte, 6*8)
	_, _ = h.Digest().Read(sum)
	groups := make([]string, 6)
	for i := range groups {
		groups[i] = fmt.Sprintf("%05d", binary.BigEndian.Uint64(sum[8*i:])%100000)
	}
	return strings.Join(groups, " ")
}
