package file

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/plugins/file/filepb"
	"github.com/parley-chat/parley/plugins/file/picture"
	"github.com/parley-chat/parley/protocol/packet"
)

// Limits of file.proto.
const (
	MaxName    = 1 << 10
	MaxCaption = 2 << 10
	MaxReason  = 200
	maxSide    = 1_000_000
)

// Errors of decoding, worded for people.
var (
	ErrMalformed = errors.New("malformed content")
	ErrLimit     = errors.New("outside the limits")
)

var (
	mediaPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9!#$&^_.+-]{0,62}/[a-z0-9][a-z0-9!#$&^_.+-]{0,62}$`)
	pictures     = []string{picture.GIF, picture.PNG, picture.JPEG, picture.WebP}
)

// Offer is the content of a packet "file" or "image".
type Offer struct {
	Blob          packet.BlobID
	Name          string // as its author calls it: any bytes
	Size          uint64
	Folder        bool
	Files         uint32 // of a folder
	Media         string // media type, or empty
	Caption       string
	Width, Height uint32 // of an image
	Animated      bool
	Thumbnail     string          // a JPEG, or empty
	ReplyTo       packet.PacketID // or zero
}

// State is the content of a packet "file.state".
type State struct {
	Message packet.PacketID
	Kind    filepb.Kind
	Reason  string
}

// Delete is the content of a packet "file.delete".
type Delete struct{ Message packet.PacketID }

var deterministic = proto.MarshalOptions{Deterministic: true}

// Encode gives the bytes of the content.
func (o Offer) Encode() ([]byte, error) {
	pb := &filepb.Offer{
		Blob: o.Blob[:], Name: []byte(o.Name), Size: o.Size, Folder: o.Folder, Files: o.Files, MediaType: o.Media, Caption: []byte(o.Caption),
		Width: o.Width, Height: o.Height, Animated: o.Animated, Thumbnail: []byte(o.Thumbnail),
	}
	if !o.ReplyTo.IsZero() {
		pb.ReplyTo = o.ReplyTo[:]
	}
	return deterministic.Marshal(pb)
}

// DecodeOffer reads what Encode wrote, and what later versions write, and checks
// it, the thumbnail too. Errors: ErrMalformed or ErrLimit, wrapped.
func DecodeOffer(t packet.Type, b []byte) (Offer, error) {
	pb := &filepb.Offer{}
	if err := proto.Unmarshal(b, pb); err != nil {
		return Offer{}, fmt.Errorf("offer: %w", ErrMalformed)
	}
	blob, err := packet.BlobIDFromBytes(pb.GetBlob())
	if err != nil {
		return Offer{}, fmt.Errorf("offer: its blob: %w", ErrMalformed)
	}
	o := Offer{
		Blob: blob, Name: string(pb.GetName()), Size: pb.GetSize(), Folder: pb.GetFolder(), Files: pb.GetFiles(), Media: pb.GetMediaType(),
		Caption: string(pb.GetCaption()), Width: pb.GetWidth(), Height: pb.GetHeight(), Animated: pb.GetAnimated(), Thumbnail: string(pb.GetThumbnail()),
	}
	if len(pb.GetReplyTo()) > 0 {
		if o.ReplyTo, err = messageID(pb.GetReplyTo()); err != nil {
			return Offer{}, fmt.Errorf("offer: reply to: %w", err)
		}
	}
	return o, o.check(t)
}

func (o Offer) check(t packet.Type) error {
	image := t == TypeImage
	switch {
	case o.Name == "" || len(o.Name) > MaxName:
		return fmt.Errorf("offer: a name of %d bytes, 1 to %d are possible: %w", len(o.Name), MaxName, ErrLimit)
	case o.Size > packet.MaxBlob:
		return fmt.Errorf("offer: %d bytes, at most 16 TiB are possible: %w", o.Size, ErrLimit)
	case o.Files > packet.MaxEntries:
		return fmt.Errorf("offer: %d files, at most %d are possible: %w", o.Files, packet.MaxEntries, ErrLimit)
	case !o.Folder && o.Files > 0:
		return fmt.Errorf("offer: no folder, but with files in it: %w", ErrMalformed)
	case o.Media != "" && !mediaPattern.MatchString(o.Media):
		return fmt.Errorf("offer: media type: %w", ErrMalformed)
	case len(o.Caption) > MaxCaption:
		return fmt.Errorf("offer: a caption of %d bytes, at most %d are possible: %w", len(o.Caption), MaxCaption, ErrLimit)
	case !utf8.ValidString(o.Caption):
		return fmt.Errorf("offer: the caption is not valid UTF-8: %w", ErrMalformed)
	case image && (o.Folder || !slices.Contains(pictures, o.Media)):
		return fmt.Errorf("offer: an image of a type that is none: %w", ErrMalformed)
	case image && (o.Width == 0 || o.Height == 0), o.Width > maxSide || o.Height > maxSide:
		return fmt.Errorf("offer: %d x %d pixels: %w", o.Width, o.Height, ErrLimit)
	case o.Thumbnail != "":
		if err := picture.CheckThumbnail([]byte(o.Thumbnail)); err != nil {
			return fmt.Errorf("offer: %w: %w", err, ErrMalformed)
		}
	}
	return nil
}

func messageID(b []byte) (packet.PacketID, error) {
	id, err := packet.PacketIDFromBytes(b)
	if err != nil {
		return id, fmt.Errorf("message id of %d bytes: %w", len(b), ErrMalformed)
	}
	return id, nil
}

// Encode gives the bytes of the content.
func (s State) Encode() ([]byte, error) {
	return deterministic.Marshal(&filepb.State{Message: s.Message[:], Kind: s.Kind, Reason: []byte(s.Reason)})
}

// DecodeState reads what Encode wrote; see DecodeOffer. A later version's kind
// is well-formed.
func DecodeState(b []byte) (State, error) {
	pb := &filepb.State{}
	if err := proto.Unmarshal(b, pb); err != nil {
		return State{}, fmt.Errorf("state: %w", ErrMalformed)
	}
	id, err := messageID(pb.GetMessage())
	if err != nil {
		return State{}, fmt.Errorf("state: %w", err)
	}
	s := State{Message: id, Kind: pb.GetKind(), Reason: string(pb.GetReason())}
	switch {
	case s.Kind == filepb.Kind_KIND_UNSPECIFIED:
		return State{}, fmt.Errorf("state: no kind: %w", ErrMalformed)
	case len(s.Reason) > MaxReason:
		return State{}, fmt.Errorf("state: a reason of %d bytes, at most %d are possible: %w", len(s.Reason), MaxReason, ErrLimit)
	case !utf8.ValidString(s.Reason):
		return State{}, fmt.Errorf("state: the reason is not valid UTF-8: %w", ErrMalformed)
	}
	return s, nil
}

// Encode gives the bytes of the content.
func (d Delete) Encode() ([]byte, error) {
	return deterministic.Marshal(&filepb.Delete{Message: d.Message[:]})
}

// DecodeDelete reads what Encode wrote; see DecodeOffer.
func DecodeDelete(b []byte) (Delete, error) {
	pb := &filepb.Delete{}
	if err := proto.Unmarshal(b, pb); err != nil {
		return Delete{}, fmt.Errorf("delete: %w", ErrMalformed)
	}
	id, err := messageID(pb.GetMessage())
	if err != nil {
		return Delete{}, fmt.Errorf("delete: %w", err)
	}
	return Delete{Message: id}, nil
}
