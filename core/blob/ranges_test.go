package blob

import (
	"path/filepath"
	"testing"

	"github.com/parley-chat/parley/protocol/packet"
)

// TestRanges: what is said to be here is, in order and in bounds, and all of it is
// said sooner or later.
func TestRanges(t *testing.T) {
	const n = 1000
	l, err := openLedger(filepath.Join(t.TempDir(), "pieces"), n*packet.PieceSize)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.close() }()
	want := map[uint64]bool{}
	for i := range uint64(n) {
		if i%7 < 3 || i > 900 {
			want[i] = true
			if err := l.put(i, packet.Hash{1}, packet.PieceSize, true); err != nil {
				t.Fatal(err)
			}
		}
	}
	told := map[uint64]bool{}
	for range 1000 {
		rs := l.ranges(packet.MaxRanges)
		if len(rs) == 0 || len(rs) > packet.MaxRanges {
			t.Fatalf("%d ranges", len(rs))
		}
		if _, err := packet.AppendStreamFrame(nil, &packet.BlobInfo{Size: n * packet.PieceSize, Have: rs}); err != nil {
			t.Fatalf("%v: %v", rs, err)
		}
		for _, r := range rs {
			for i := r.First; i <= r.Last; i++ {
				if told[i] = true; !want[i] {
					t.Fatalf("piece %d is not here", i)
				}
			}
		}
	}
	if len(told) != len(want) {
		t.Errorf("%d of %d pieces were told of", len(told), len(want))
	}
	for i := range uint64(n) {
		if err := l.put(i, packet.Hash{1}, packet.PieceSize, true); err != nil {
			t.Fatal(err)
		}
	}
	if rs := l.ranges(packet.MaxRanges); rs != nil {
		t.Errorf("of all pieces it says %v", rs)
	}
}
