package emoji

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/plugins/emoji/emojipb"
	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
)

// MaxReactions is how many different emoji of one author are shown on a message.
const MaxReactions = 20

// maxMarks is how many of one author's are remembered of a message, those that
// were taken back included.
const maxMarks = 32

// marks are what counts of one author's reactions to one message, the latest
// stamp first. They come to the same in whatever order packets come: of each
// emoji the latest stays, and of all the latest 32, so that what was forgotten is
// older than all that is there and cannot count again.
type marks []*emojipb.Mark

// readMarks reads the annotation's value.
func readMarks(value []byte) marks {
	pb := &emojipb.Marks{}
	if proto.Unmarshal(value, pb) != nil {
		return nil // written by nobody but us
	}
	return pb.GetMarks()
}

func (m marks) value() ([]byte, error) { return proto.Marshal(&emojipb.Marks{Marks: m}) }

// compareStamps orders marks by when they count, the latest first.
func compareStamps(a, b *emojipb.Mark) int {
	return cmp.Or(cmp.Compare(b.GetRevision(), a.GetRevision()), bytes.Compare(b.GetPacket(), a.GetPacket()))
}

// revision is the highest that is known.
func (m marks) revision() uint32 {
	if len(m) == 0 {
		return 0
	}
	return m[0].GetRevision()
}

// shown are the marks that are there for all to see.
func (m marks) shown() marks {
	there := slices.DeleteFunc(slices.Clone(m), (*emojipb.Mark).GetRemoved)
	return there[:min(len(there), MaxReactions)]
}

func (m marks) index(emoji string) int {
	return slices.IndexFunc(m, func(x *emojipb.Mark) bool { return x.GetEmoji() == emoji })
}

// take takes a mark up. dropped are those that count no more, perhaps the new one.
func (m marks) take(mark *emojipb.Mark) (now, dropped marks) {
	now = slices.Clone(m)
	if i := now.index(mark.GetEmoji()); i >= 0 {
		if compareStamps(now[i], mark) <= 0 {
			return m, marks{mark}
		}
		dropped = append(dropped, now[i])
		now = slices.Delete(now, i, i+1)
	}
	i, _ := slices.BinarySearchFunc(now, mark, compareStamps)
	now = slices.Insert(now, i, mark)
	if len(now) > maxMarks {
		dropped = append(dropped, now[maxMarks:]...)
		now = now[:maxMarks]
	}
	return now, dropped
}

// markOf is the mark of a packet.
func markOf(r Reaction, id packet.PacketID, at time.Time) *emojipb.Mark {
	return &emojipb.Mark{Emoji: r.Emoji, Removed: r.Remove, Revision: r.Revision, Packet: id[:], At: at.UnixMicro()}
}

// drop drops the content of the packets of marks that count no more.
func drop(dropped marks) []sdk.Effect {
	var effects []sdk.Effect
	for _, m := range dropped {
		if id, err := packet.PacketIDFromBytes(m.GetPacket()); err == nil {
			effects = append(effects, sdk.DropContent{ID: id})
		}
	}
	return effects
}
