package blob

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/zeebo/blake3"

	"github.com/parley-chat/parley/protocol/packet"
)

// TestNobodyTakesOverWhatIsHere: of a claim nothing is to be had any more as soon
// as its last piece is here, however long that took.
func TestNobodyTakesOverWhatIsHere(t *testing.T) {
	w := newWorld(t, "alice", "bob")
	path := filepath.Join(t.TempDir(), "film")
	content := write(t, path, 1000)
	o := w.share("alice", path)
	w.fetch("bob", o)
	w.waiting("bob", o, "alice is not connected")
	target, err := w.nodes["bob"].service.openTarget(t.Context(), w.blob("bob", o))
	if err != nil {
		t.Fatal(err)
	}
	defer target.close()
	if err := target.learn(t.Context(), &packet.BlobInfo{Size: 1000}); err != nil {
		t.Fatal(err)
	}
	slow, other := &giver{}, &giver{}
	c := target.claim(slow)
	c.since = time.Time{} // long ago
	if target.victim(other) != c {
		t.Fatal("a slow source has its last piece for itself")
	}
	in, err := target.piece(c, &packet.Piece{Length: 1000, Hash: packet.HashOf(content)}, blake3.New())
	if err != nil {
		t.Fatal(err)
	}
	if err := in.write(content); err != nil {
		t.Fatal(err)
	}
	if robbed := target.claim(other); robbed != nil {
		t.Errorf("another source is to give [%d, %d) again", robbed.next, robbed.end)
	}
}
