package emoji

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/parley-chat/parley/protocol/packet"
)

// Of whatever an author sends, and in whatever order it comes, the same counts;
// and what is kept is bounded.
func TestMarksConverge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 120).Draw(t, "packets")
		emoji := rapid.IntRange(1, 60).Draw(t, "emoji")
		type sent struct {
			r  Reaction
			id packet.PacketID
			at time.Time
		}
		packets := make([]sent, n)
		for i := range packets {
			packets[i] = sent{
				Reaction{
					Emoji: string(rune(0x1f400 + rapid.IntRange(0, emoji-1).Draw(t, "which"))), Remove: rapid.Bool().Draw(t, "remove"),
					Revision: rapid.Uint32Range(0, 40).Draw(t, "revision"),
				},
				packet.PacketID{byte(rapid.IntRange(0, 255).Draw(t, "id")), byte(i)}, time.UnixMicro(int64(i)),
			}
		}
		play := func(order []sent) (marks, string) {
			var m marks
			for _, p := range order {
				m, _ = m.take(markOf(p.r, p.id, p.at))
				if len(m) > maxMarks || !slices.IsSortedFunc(m, compareStamps) {
					t.Fatalf("%d marks: %v", len(m), m)
				}
			}
			value, err := m.value()
			if err != nil || len(value) > 4<<10 {
				t.Fatalf("%d bytes (%v)", len(value), err)
			}
			return m, string(value)
		}
		first, one := play(packets)
		second, other := play(append(rapid.Permutation(packets).Draw(t, "order"), packets[:n/2]...)) // some come twice
		if one != other {
			t.Fatalf("%v in one order, %v in another", first, second)
		}
		if len(first.shown()) > MaxReactions {
			t.Fatalf("%d are shown", len(first.shown()))
		}
		// And what counts is what one would say counts.
		latest := map[string]sent{}
		for _, p := range packets {
			if was, ok := latest[p.r.Emoji]; !ok || compareStamps(markOf(p.r, p.id, p.at), markOf(was.r, was.id, was.at)) < 0 {
				latest[p.r.Emoji] = p
			}
		}
		if len(latest) > maxMarks {
			return
		}
		for e, p := range latest {
			i := first.index(e)
			if i < 0 || first[i].GetRemoved() != p.r.Remove || string(first[i].GetPacket()) != string(p.id[:]) {
				t.Fatalf("of %s counts %v, not %+v", e, first, p)
			}
		}
	})
}

// The largest value there can be fits into an annotation.
func TestMarksFit(t *testing.T) {
	var m marks
	for i := range maxMarks {
		r := Reaction{Emoji: fmt.Sprintf("%054d%c", i, 'x')[:MaxEmoji], Revision: 1<<32 - 1, Remove: true}
		m, _ = m.take(markOf(r, packet.NewPacketID(), time.Unix(1<<40, 0)))
	}
	if value, err := m.value(); err != nil || len(value) > 4<<10 || len(m) != maxMarks {
		t.Errorf("%d marks have %d bytes (%v)", len(m), len(value), err)
	}
}
