package net2019

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/graphemes"

	"github.com/parley-chat/parley/protocol/packet"
)

const (
	// DefaultPort is where clients listen that name no port.
	DefaultPort = 2333

	// MaxSent is how long a frame that is sent may be, length included: the
	// published client loses one that comes in two pieces.
	MaxSent = 1400
	// MaxFrame is how long a frame may be that Read takes, without its length.
	MaxFrame = 64 << 10
	// MaxLong is how long one may be that Decode takes: the published client sends a
	// text as one frame, however long.
	MaxLong = 1 << 20
)

// Kind is what a frame is.
type Kind uint8

// The kinds, as they are numbered on the wire.
const (
	Text         Kind = 0  // Content is the text
	Image        Kind = 1  // Content is the name; Size bytes follow
	File         Kind = 2  // Content is the name; Size bytes follow
	Request      Kind = 3  // the first frame of a connection, which is the private chat from then on
	GroupRequest Kind = 4  // from a group's starter to every member; the chat names them all
	Accept       Kind = 5  // answers Request; the published client never sends it
	GroupAccept  Kind = 6  // the first frame of a connection between two members of a group
	Deleted      Kind = 7  // the sender has left: 7 and 8 are numbered differently in the
	LoggedOut    Kind = 8  // report and in the published client, so they are not told apart
	VideoRequest Kind = 9  // may be answered, and never taken: calls are Python pickles
	VideoAnswer  Kind = 10 // Content is Yes or No
)

// The contents of a VideoAnswer.
const (
	Yes = "y"
	No  = "n"
)

// HasBytes says whether Size bytes follow a frame of the kind.
func (k Kind) HasBytes() bool { return k == Image || k == File }

// Frame is the preamble of the protocol.
type Frame struct {
	Chat   Chat
	Port   uint16 // where the sender listens; never 0
	Kind   Kind
	Sender ID // one of Chat
	// Content is valid UTF-8 and may be empty. Of an image or a file it is a name
	// without a folder, however its sender has called it.
	Content string
	// Size is how many bytes follow, 0 for what is neither image nor file.
	Size uint64
}

// Append appends the frame with its length to b, to be sent in one write. What the
// published client would lose or fail on is an error, and b comes back as it was.
func (f Frame) Append(b []byte) ([]byte, error) {
	if err := f.check(); err != nil {
		return b, fmt.Errorf("encode net2019 frame: %w", err)
	}
	start := len(b)
	content := f.Content
	if f.Kind.HasBytes() {
		if content != SafeName(content) {
			return b, fmt.Errorf("encode net2019 frame: %.80q is no plain name of a file: %w", content, packet.ErrMalformed)
		}
		content = "./" + content
	}
	b = append(b, 0, 0, 0, 0)
	b = append(b, f.head()...)
	b = append(b, content...)
	b = append(b, '_')
	b = strconv.AppendUint(b, f.Size, 10)
	size := len(b) - start
	if size > MaxSent {
		return b[:start], fmt.Errorf("net2019 frame of %d bytes, at most %d can be sent: %w", size, MaxSent, packet.ErrTooLarge)
	}
	binary.BigEndian.PutUint32(b[start:], uint32(size-4))
	return b, nil
}

// head is all that stands before the content.
func (f Frame) head() string {
	return f.Chat.String() + "_" + strconv.Itoa(int(f.Port)) + "_" + strconv.Itoa(int(f.Kind)) + "_" + string(f.Sender) + "_"
}

func (f Frame) check() error {
	switch {
	case f.Port == 0:
		return fmt.Errorf("no port: %w", packet.ErrMalformed)
	case f.Kind > VideoAnswer:
		return fmt.Errorf("kind %d: %w", f.Kind, packet.ErrMalformed)
	case !f.Chat.Has(f.Sender):
		return fmt.Errorf("%s in chat %s: %w", f.Sender, f.Chat, packet.ErrMalformed)
	case !utf8.ValidString(f.Content):
		return fmt.Errorf("content that is not UTF-8: %w", packet.ErrMalformed)
	case f.Size > packet.MaxBlob:
		return fmt.Errorf("a file of %d bytes: %w", f.Size, packet.ErrTooLarge)
	case f.Size != 0 && !f.Kind.HasBytes():
		return fmt.Errorf("size %d of kind %d: %w", f.Size, f.Kind, packet.ErrMalformed)
	}
	return f.Chat.check()
}

// Split makes frames that can be sent of a text of any length: cut behind a line
// end or a space if there is one in the later half of a frame, else between
// characters as people see them, and only within one that does not fit as a whole.
// Other frames, and those that fit, come back alone.
func (f Frame) Split() []Frame { return f.Parts(MaxSent - 4 - len(f.head()) - len("_0")) }

// Parts is Split into frames with contents of at most room bytes.
func (f Frame) Parts(room int) []Frame {
	if f.Kind != Text || len(f.Content) <= room || room < utf8.UTFMax {
		return []Frame{f}
	}
	var all []Frame
	for rest := f.Content; rest != ""; {
		n := cut(rest, room)
		f.Content, rest = rest[:n], rest[n:]
		all = append(all, f)
	}
	return all
}

// cut says how much of s, which is not empty, goes into a frame with that room.
func cut(s string, room int) int {
	if len(s) <= room {
		return len(s)
	}
	end, space := 0, 0
	for it := graphemes.FromString(s); it.Next() && it.End() <= room; {
		end = it.End()
		switch it.Value() {
		case "\n", "\r\n", " ", "\t", "\u3000":
			space = end
		}
	}
	if space > room/2 {
		return space
	}
	if end > 0 {
		return end
	}
	for end = room; !utf8.RuneStart(s[end]); {
		end--
	}
	return end
}

// LongError is a frame longer than MaxFrame, which was not read: its Size bytes come
// next. It is a packet.ErrTooLarge.
type LongError struct{ Size uint32 }

func (e *LongError) Error() string {
	return fmt.Sprintf("net2019 frame of %d bytes, at most %d here: %v", e.Size, MaxFrame, packet.ErrTooLarge)
}

// Unwrap implements errors.Is.
func (e *LongError) Unwrap() error { return packet.ErrTooLarge }

// Read reads one frame and nothing behind it. A frame that is too long is a
// *LongError before anything is allocated for it, a malformed one
// packet.ErrMalformed. io.EOF comes only between frames.
func Read(r io.Reader) (Frame, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("net2019 frame's length: %w", err)
		}
		return Frame{}, err
	}
	size := binary.BigEndian.Uint32(length[:])
	if size > MaxFrame {
		return Frame{}, &LongError{Size: size}
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Frame{}, fmt.Errorf("net2019 frame of %d bytes: %w", size, err)
	}
	return Decode(b)
}

// Decode reads a frame without its length.
func Decode(b []byte) (Frame, error) {
	if len(b) > MaxLong {
		return Frame{}, fmt.Errorf("net2019 frame of %d bytes: %w", len(b), packet.ErrTooLarge)
	}
	if !utf8.Valid(b) {
		return Frame{}, fmt.Errorf("net2019 frame that is not UTF-8: %w", packet.ErrMalformed)
	}
	f, err := decode(string(b))
	if err != nil {
		return Frame{}, fmt.Errorf("net2019 frame: %w", err)
	}
	return f, nil
}

func decode(s string) (Frame, error) {
	chat, rest, ok1 := strings.Cut(s, "_")
	port, rest, ok2 := strings.Cut(rest, "_")
	kind, rest, ok3 := strings.Cut(rest, "_")
	end := strings.LastIndexByte(rest, '_')
	// Of sender and content: ten characters, "_", and what may be nothing.
	if !ok1 || !ok2 || !ok3 || end <= idLength || rest[idLength] != '_' {
		return Frame{}, fmt.Errorf("%.120q has not six fields: %w", s, packet.ErrMalformed)
	}
	f := Frame{Sender: ID(rest[:idLength]), Content: rest[idLength+1 : end]}
	var err error
	if f.Chat, err = ParseChat(chat); err != nil {
		return Frame{}, err
	}
	numbers := []uint64{0, 0, 0}
	for i, field := range []struct {
		text string
		most uint64
	}{{port, 1<<16 - 1}, {kind, uint64(VideoAnswer)}, {rest[end+1:], packet.MaxBlob}} {
		if numbers[i], err = number(field.text, field.most); err != nil {
			return Frame{}, err
		}
	}
	f.Port, f.Kind, f.Size = uint16(numbers[0]), Kind(numbers[1]), numbers[2]
	if f.Kind.HasBytes() {
		f.Content = SafeName(f.Content)
	} else {
		f.Size = 0 // some program may count its text there; nothing follows
	}
	return f, f.check()
}

// number reads digits alone.
func number(s string, most uint64) (uint64, error) {
	const longest = 20 // digits of a uint64
	if s == "" || len(s) > longest || digits([]byte(s)) < len(s) {
		return 0, fmt.Errorf("%.40q is no number: %w", s, packet.ErrMalformed)
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > most {
		return 0, fmt.Errorf("%.40s is more than %d: %w", s, most, packet.ErrTooLarge)
	}
	return n, nil
}
