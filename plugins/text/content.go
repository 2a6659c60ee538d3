package text

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/plugins/text/textpb"
	"github.com/parley-chat/parley/protocol/packet"
)

// MaxBody is the most bytes a text may have.
const MaxBody = 64 << 10

// Errors of decoding and of CheckBody, worded for people.
var (
	ErrEmpty     = errors.New("the text is empty: write something first")
	ErrTooLong   = errors.New("the text is too long: at most 65,536 bytes (64 KiB) fit; send it in parts or as a file")
	ErrUTF8      = errors.New("the text is not valid UTF-8: send it as a file, or convert it first")
	ErrMalformed = errors.New("malformed content")
)

// Text is the content of a packet "text".
type Text struct {
	Body    string
	ReplyTo packet.PacketID // or zero
}

// Edit is the content of a packet "text.edit".
type Edit struct {
	Message  packet.PacketID
	Body     string
	Revision uint32
}

// Delete is the content of a packet "text.delete".
type Delete struct{ Message packet.PacketID }

// Typing is the content of a packet "text.typing".
type Typing struct{ Typing bool }

// CheckBody checks what a person wants to send: what checkBytes takes, and not
// only white space.
func CheckBody(body string) error {
	if err := checkBytes(body); err != nil {
		return err
	}
	if strings.TrimSpace(body) == "" {
		return ErrEmpty
	}
	return nil
}

// outOfBounds says to a person why CheckBody does not take a text.
func outOfBounds(err error) error {
	e := sdk.Errorf(codes.InvalidArgument, "%w", err)
	switch {
	case errors.Is(err, ErrEmpty):
		return e.Because("EMPTY")
	case errors.Is(err, ErrTooLong):
		return e.Because("TOO_LONG", "limit", MaxBody>>10)
	case errors.Is(err, ErrUTF8):
		return e.Because("NOT_TEXT")
	}
	return e
}

// checkBytes is the rule for what comes from others. It knows no tables of
// characters, so all versions agree on it for ever.
func checkBytes(body string) error {
	switch {
	case body == "":
		return ErrEmpty
	case len(body) > MaxBody:
		return fmt.Errorf("%w; this one has %d", ErrTooLong, len(body))
	case !utf8.ValidString(body):
		return ErrUTF8
	}
	return nil
}

var deterministic = proto.MarshalOptions{Deterministic: true}

// Encode gives the bytes of the content.
func (t Text) Encode() ([]byte, error) {
	pb := &textpb.Text{Body: []byte(t.Body)}
	if !t.ReplyTo.IsZero() {
		pb.ReplyTo = t.ReplyTo[:]
	}
	return deterministic.Marshal(pb)
}

// encodeIn is Encode for a chat. In one of 2019 a text is its body and nothing more.
func (t Text) encodeIn(chat packet.ChatID) ([]byte, error) {
	if chat.Kind() != packet.Net2019 {
		return t.Encode()
	}
	if !t.ReplyTo.IsZero() {
		return nil, sdk.Errorf(codes.FailedPrecondition, "The protocol of 2019 has no replies: send it as a message of its own.").Because("NET2019_REPLY")
	}
	return []byte(t.Body), nil
}

// decodeIn is DecodeText for a chat.
func decodeIn(chat packet.ChatID, b []byte) (Text, error) {
	if chat.Kind() != packet.Net2019 {
		return DecodeText(b)
	}
	t := Text{Body: string(b)}
	return t, checkBytes(t.Body)
}

// DecodeText reads what Encode wrote, and what later versions write. Errors: one
// of this package's, wrapped.
func DecodeText(b []byte) (Text, error) {
	pb := &textpb.Text{}
	if err := proto.Unmarshal(b, pb); err != nil {
		return Text{}, fmt.Errorf("text: %w", ErrMalformed)
	}
	t := Text{Body: string(pb.GetBody())}
	if err := checkBytes(t.Body); err != nil {
		return Text{}, err
	}
	if len(pb.GetReplyTo()) > 0 {
		id, err := messageID(pb.GetReplyTo())
		if err != nil {
			return Text{}, fmt.Errorf("text: reply to: %w", err)
		}
		t.ReplyTo = id
	}
	return t, nil
}

func messageID(b []byte) (packet.PacketID, error) {
	id, err := packet.PacketIDFromBytes(b)
	if err != nil {
		return id, fmt.Errorf("message id of %d bytes: %w", len(b), ErrMalformed)
	}
	return id, nil
}

func (e Edit) proto() *textpb.Edit {
	return &textpb.Edit{Message: e.Message[:], Body: []byte(e.Body), Revision: e.Revision}
}

// Encode gives the bytes of the content.
func (e Edit) Encode() ([]byte, error) { return deterministic.Marshal(e.proto()) }

// DecodeEdit reads what Encode wrote; see DecodeText.
func DecodeEdit(b []byte) (Edit, error) {
	pb := &textpb.Edit{}
	if err := proto.Unmarshal(b, pb); err != nil {
		return Edit{}, fmt.Errorf("edit: %w", ErrMalformed)
	}
	id, err := messageID(pb.GetMessage())
	if err != nil {
		return Edit{}, fmt.Errorf("edit: %w", err)
	}
	e := Edit{Message: id, Body: string(pb.GetBody()), Revision: pb.GetRevision()}
	return e, checkBytes(e.Body)
}

func (d Delete) proto() *textpb.Delete { return &textpb.Delete{Message: d.Message[:]} }

// Encode gives the bytes of the content.
func (d Delete) Encode() ([]byte, error) { return deterministic.Marshal(d.proto()) }

// DecodeDelete reads what Encode wrote; see DecodeText.
func DecodeDelete(b []byte) (Delete, error) {
	pb := &textpb.Delete{}
	if err := proto.Unmarshal(b, pb); err != nil {
		return Delete{}, fmt.Errorf("delete: %w", ErrMalformed)
	}
	id, err := messageID(pb.GetMessage())
	if err != nil {
		return Delete{}, fmt.Errorf("delete: %w", err)
	}
	return Delete{Message: id}, nil
}

// Encode gives the bytes of the content.
func (t Typing) Encode() ([]byte, error) {
	return deterministic.Marshal(&textpb.Typing{Typing: t.Typing})
}

// DecodeTyping reads what Encode wrote; see DecodeText.
func DecodeTyping(b []byte) (Typing, error) {
	pb := &textpb.Typing{}
	if err := proto.Unmarshal(b, pb); err != nil {
		return Typing{}, fmt.Errorf("typing: %w", ErrMalformed)
	}
	return Typing{Typing: pb.GetTyping()}, nil
}
