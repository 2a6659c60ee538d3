package emoji

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/plugins/emoji/emojipb"
	"github.com/parley-chat/parley/protocol/packet"
)

// ErrMalformed is given for content that is none of a reaction.
var ErrMalformed = errors.New("malformed content")

// Reaction is the content of a packet "reaction".
type Reaction struct {
	Message  packet.PacketID
	Emoji    string // canonical
	Remove   bool
	Revision uint32
}

// Encode gives the bytes of the content.
func (r Reaction) Encode() ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(&emojipb.Reaction{
		Message: r.Message[:], Emoji: []byte(r.Emoji), Remove: r.Remove, Revision: r.Revision,
	})
}

// DecodeReaction reads what Encode wrote, and what later versions write. Errors:
// ErrMalformed or ErrNoEmoji, wrapped.
func DecodeReaction(b []byte) (Reaction, error) {
	pb := &emojipb.Reaction{}
	if err := proto.Unmarshal(b, pb); err != nil {
		return Reaction{}, fmt.Errorf("reaction: %w", ErrMalformed)
	}
	id, err := packet.PacketIDFromBytes(pb.GetMessage())
	if err != nil {
		return Reaction{}, fmt.Errorf("reaction: message id of %d bytes: %w", len(pb.GetMessage()), ErrMalformed)
	}
	emoji, err := Canonical(string(pb.GetEmoji()))
	if err != nil {
		return Reaction{}, fmt.Errorf("reaction: %w", err)
	}
	return Reaction{Message: id, Emoji: emoji, Remove: pb.GetRemove(), Revision: pb.GetRevision()}, nil
}
