package packet

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/parley-chat/parley/protocol/packet/peerpb"
)

// shape says how few bytes a repeated message can have when it is well-formed,
// and how many of it there may be.
type shape struct {
	least int // bytes, without tag and length
	most  int // in one parent; 0: as many as there is room for
	in    map[protowire.Number]shape
}

// The repeated messages of a frame by field number; see peer.proto. An item
// costs many times its encoding once decoded (an empty one 100 bytes for 2), so
// one frame of nothing but empty items would take 100 MiB before the first of
// them was found to be malformed.
var (
	rangeShape = shape{least: 4, most: MaxRanges}
	logShape   = shape{least: 22 + 2, in: map[protowire.Number]shape{4: rangeShape}}
	chatShape  = shape{least: 2 + len("a-b"), in: map[protowire.Number]shape{3: logShape}}

	frameShape = shape{in: map[protowire.Number]shape{
		1: {in: map[protowire.Number]shape{5: {most: MaxFeatures}}},              // Hello.features
		3: {in: map[protowire.Number]shape{1: chatShape}},                        // Vectors.chats
		4: {in: map[protowire.Number]shape{4: rangeShape}},                       // Want.ranges
		5: {in: map[protowire.Number]shape{1: {least: 2 + len("a-b") + 22 + 4}}}, // Refusals.refusals
		6: {in: map[protowire.Number]shape{1: {least: 66 + 30}}},                 // Registers.registers

		10: {in: map[protowire.Number]shape{2: {least: 22 + 2 + 2 + 2 + 18, most: MaxCompared}}}, // Compare.logs
		17: {in: map[protowire.Number]shape{2: {least: len(BlobID{}), most: MaxBlobNews}}},       // BlobNews.blobs
	}}
	streamShape = shape{in: map[protowire.Number]shape{
		4: {in: map[protowire.Number]shape{5: {most: MaxRanges}}}, // BlobInfo.have
	}}
	folderShape = shape{in: map[protowire.Number]shape{1: {least: 2 + 1 + 2, most: MaxEntries}}} // Folder.entries
)

// checkDensity refuses a frame whose parts are smaller or more than those of a
// well-formed one can be, before anything is allocated for them.
func checkDensity(b []byte) error { return frameShape.check(b) }

func (s shape) check(b []byte) error {
	var counts [18]int // by the numbers above
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("frame: %w: %w", ErrMalformed, protowire.ParseError(n))
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
			return fmt.Errorf("frame: %w: %w", ErrMalformed, protowire.ParseError(n))
		}
		value := b[:n]
		b = b[n:]
		item, ok := s.in[num]
		if !ok || typ != protowire.BytesType {
			continue
		}
		value, _ = protowire.ConsumeBytes(value)
		counts[num]++
		if len(value) < item.least {
			return fmt.Errorf("frame with an item of %d bytes in field %d: %w", len(value), num, ErrMalformed)
		}
		if item.most > 0 && counts[num] > item.most {
			return fmt.Errorf("frame with more than %d items in field %d: %w", item.most, num, ErrTooLarge)
		}
		if item.in != nil {
			if err := item.check(value); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkFrame applies to what this side is about to send all that it asks of
// what others send.
func checkFrame(pb *peerpb.Frame) error {
	_, err := frameFromProto(pb)
	return err
}

// cutText makes a peer's sentence fit to be shown on one line: at most limit
// bytes of valid UTF-8, without control and format characters, which could
// drive a terminal or turn the direction of what stands around it.
func cutText(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp):
			return -1
		}
		return r
	}, s[:min(len(s), 4*limit)]) // enough, and no work for what is cut anyhow
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
