package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/protocol/packet/peerpb"
)

// Frame is one of: *Packet, *Hello, *Vectors, *Want, *Refusals, *Registers,
// *Ping, *Pong, *Bye, *Compare, *Stream, *BlobNews, or nil for a kind this version does
// not know.
type Frame interface{ frame() }

func (*Packet) frame()    {}
func (*Hello) frame()     {}
func (*Vectors) frame()   {}
func (*Want) frame()      {}
func (*Refusals) frame()  {}
func (*Registers) frame() {}
func (*Ping) frame()      {}
func (*Pong) frame()      {}
func (*Bye) frame()       {}

// Hello opens a link. See peerpb.Hello.
type Hello struct {
	Version  uint32
	User     UserID
	Device   DeviceID
	Port     uint16
	Features []string
	Agent    string
}

// Range is a closed range of log numbers.
type Range struct{ First, Last uint64 }

// LogVector is what somebody has of a log.
type LogVector struct {
	Device DeviceID
	Epoch  uint64
	Upto   uint64  // all numbers up to this one
	Beyond []Range // and these, ascending, disjoint, all > Upto+1
}

// Has says whether number is among them.
func (v *LogVector) Has(number uint64) bool {
	if number <= v.Upto {
		return true
	}
	for _, r := range v.Beyond {
		if r.First <= number && number <= r.Last {
			return true
		}
	}
	return false
}

// ChatVector is what somebody has of a chat.
type ChatVector struct {
	Chat       ChatID
	Membership uint64
	Logs       []LogVector
	Anew       bool // of what it was told before the sender knows nothing
}

// Vectors is a frame of chat vectors; Complete ends the first exchange.
type Vectors struct {
	Chats    []ChatVector
	Complete bool
}

// Want asks for entries of one log.
type Want struct {
	Log    Log
	Ranges []Range // ascending, disjoint
}

// Reason says why an entry was refused.
type Reason uint8

// The reasons; see peerpb.Reason.
const (
	ReasonTooLarge   = Reason(peerpb.Reason_REASON_TOO_LARGE)
	ReasonUnreadable = Reason(peerpb.Reason_REASON_UNREADABLE)
	ReasonBlocked    = Reason(peerpb.Reason_REASON_BLOCKED)
	ReasonForbidden  = Reason(peerpb.Reason_REASON_FORBIDDEN)
	ReasonQuota      = Reason(peerpb.Reason_REASON_QUOTA)
)

// Refusal is one entry that became a stub, and why.
type Refusal struct {
	Key    EntryKey
	Reason Reason
	Text   string
}

// Refusals tells an author of stubs.
type Refusals struct{ Refusals []Refusal }

// Registers carries registers.
type Registers struct{ Registers []Register }

// Ping asks for a Pong.
type Ping struct{ Nonce uint64 }

// Pong answers a Ping.
type Pong struct{ Nonce uint64 }

// ByeReason says why a link is closed.
type ByeReason uint8

// The reasons; see peerpb.ByeReason.
const (
	ByeShutdown  = ByeReason(peerpb.ByeReason_BYE_REASON_SHUTDOWN)
	ByeDuplicate = ByeReason(peerpb.ByeReason_BYE_REASON_DUPLICATE)
	ByeVersion   = ByeReason(peerpb.ByeReason_BYE_REASON_VERSION)
	ByeProtocol  = ByeReason(peerpb.ByeReason_BYE_REASON_PROTOCOL)
	ByeRefused   = ByeReason(peerpb.ByeReason_BYE_REASON_REFUSED)
)

// Bye is the last frame of a link.
type Bye struct {
	Reason ByeReason
	Text   string
}

// AppendFrame appends f with its length to b. What the other side would refuse
// is an error here, and b comes back as it was: sending it would cost the link.
func AppendFrame(b []byte, f Frame) ([]byte, error) {
	pb, err := frameToProto(f)
	if err != nil {
		return b, err
	}
	if err := checkFrame(pb); err != nil {
		return b, fmt.Errorf("encode frame: %w", err)
	}
	return appendSized(b, pb, MaxFrame)
}

// appendSized appends a message with its length; on an error b comes back as it
// was.
func appendSized(b []byte, pb proto.Message, limit int) ([]byte, error) {
	start := len(b)
	b, err := proto.MarshalOptions{}.MarshalAppend(append(b, 0, 0, 0, 0), pb)
	if err != nil {
		return b[:start], fmt.Errorf("encode frame: %w", err)
	}
	size := len(b) - start - 4
	if size > limit {
		return b[:start], fmt.Errorf("frame of %d bytes: %w", size, ErrTooLarge)
	}
	binary.BigEndian.PutUint32(b[start:], uint32(size))
	return b, nil
}

// ReadFrame reads one frame of at most limit bytes. A longer one is ErrTooLarge
// before anything is allocated for it; a malformed one is ErrMalformed. io.EOF
// comes only between frames.
func ReadFrame(r io.Reader, limit int) (Frame, error) {
	b, err := readSized(r, limit)
	if err != nil {
		return nil, err
	}
	return DecodeFrame(b)
}

// readSized reads a length of 4 bytes and as many bytes as that says.
func readSized(r io.Reader, limit int) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("frame length: %w", err)
		}
		return nil, err
	}
	size := binary.BigEndian.Uint32(length[:])
	if int64(size) > int64(limit) {
		return nil, fmt.Errorf("frame of %d bytes, at most %d here: %w", size, limit, ErrTooLarge)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("frame of %d bytes: %w", size, err)
	}
	return b, nil
}

// DecodeFrame reads one frame without its length. The result may keep parts of b.
func DecodeFrame(b []byte) (Frame, error) {
	if len(b) > MaxFrame {
		return nil, fmt.Errorf("frame of %d bytes: %w", len(b), ErrTooLarge)
	}
	if err := checkDensity(b); err != nil {
		return nil, err
	}
	var pb peerpb.Frame
	if err := proto.Unmarshal(b, &pb); err != nil {
		return nil, fmt.Errorf("frame: %w: %w", ErrMalformed, err)
	}
	return frameFromProto(&pb)
}
