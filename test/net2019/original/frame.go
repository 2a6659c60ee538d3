package original

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The kinds of frames.
const (
	Text         = 0
	Image        = 1
	File         = 2
	Request      = 3
	GroupRequest = 4
	Accept       = 5
	GroupAccept  = 6
	Deleted      = 7
	LoggedOut    = 8
	VideoRequest = 9
	VideoAnswer  = 10
)

// Frame is what two clients say to each other.
type Frame struct {
	Chat    string // all ids, ascending, joined by "-"
	Port    int    // where the sender listens
	Kind    int
	Sender  string
	Content string
	Length  int64 // of the file that follows
}

// Bytes are the frame as it is sent, with its length before it.
func (f Frame) Bytes() []byte {
	s := fmt.Sprintf("%s_%d_%d_%s_%s_%d", f.Chat, f.Port, f.Kind, f.Sender, f.Content, f.Length)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...)
}

// Parse reads a frame without its length.
func Parse(b []byte) (Frame, error) {
	if !utf8.Valid(b) {
		return Frame{}, fmt.Errorf("%.80q is no UTF-8", b)
	}
	fields := strings.SplitN(string(b), "_", 4)
	if len(fields) < 4 {
		return Frame{}, fmt.Errorf("%.80q has too few fields", b)
	}
	const sender = 10 // bytes
	rest := fields[3]
	end := strings.LastIndex(rest, "_")
	if end <= sender || rest[sender] != '_' {
		return Frame{}, fmt.Errorf("%.80q has no sender, or nothing behind it", b)
	}
	f := Frame{Chat: fields[0], Sender: rest[:sender], Content: rest[sender+1 : end]}
	var errs [3]error
	f.Port, errs[0] = strconv.Atoi(fields[1])
	f.Kind, errs[1] = strconv.Atoi(fields[2])
	f.Length, errs[2] = strconv.ParseInt(rest[end+1:], 10, 64)
	for _, err := range errs {
		if err != nil {
			return Frame{}, fmt.Errorf("%.80q: %w", b, err)
		}
	}
	return f, nil
}

// ChatOf names the chat of some people.
func ChatOf(ids ...string) string {
	return strings.Join(slices.Sorted(slices.Values(ids)), "-")
}
