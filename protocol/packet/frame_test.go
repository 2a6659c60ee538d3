package packet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"
)

// message appends a protobuf field of bytes.
func message(b []byte, num protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), value)
}

// varint appends a protobuf field of a number.
func varint(b []byte, num protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), value)
}

func TestFramesFollowEachOther(t *testing.T) {
	var stream []byte
	var sent []Frame
	for _, f := range frames(t) {
		var err error
		if stream, err = AppendFrame(stream, f); err != nil {
			t.Fatal(err)
		}
		sent = append(sent, f)
	}
	// As the network gives them: a byte at a time.
	r := iotest.OneByteReader(bytes.NewReader(stream))
	for _, want := range sent {
		got, err := ReadFrame(r, MaxFrame)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
	}
	if _, err := ReadFrame(r, MaxFrame); err != io.EOF { //nolint:errorlint // documented: exactly io.EOF between frames
		t.Errorf("at the end: %v, want io.EOF", err)
	}
}

func TestReadFrameOfABrokenStream(t *testing.T) {
	whole, err := AppendFrame(nil, &Ping{Nonce: 1})
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n < len(whole); n++ {
		if _, err := ReadFrame(bytes.NewReader(whole[:n]), MaxFrame); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %d bytes: %v, want io.ErrUnexpectedEOF", n, err)
		}
	}
	broken := errors.New("cable pulled")
	for n := range len(whole) {
		r := io.MultiReader(bytes.NewReader(whole[:n]), iotest.ErrReader(broken))
		if _, err := ReadFrame(r, MaxFrame); !errors.Is(err, broken) {
			t.Errorf("read error after %d bytes: %v", n, err)
		}
	}
}

func TestReadFrameLimits(t *testing.T) {
	tests := []struct {
		name   string
		length uint32
		limit  int
	}{
		{"largest length", 1<<32 - 1, MaxFrame},
		{"sign bit", 1 << 31, MaxFrame},
		{"one too many", MaxFrame + 1, MaxFrame},
		{"one too many for a hello", MaxHello + 1, MaxHello},
		{"limit of 0", 1, 0},
		{"limit below 0", 1, -1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := &counter{r: io.MultiReader(bytes.NewReader(binary.BigEndian.AppendUint32(nil, test.length)), zeros{})}
			var err error
			cost := allocated(func() { _, err = ReadFrame(r, test.limit) })
			if !errors.Is(err, ErrTooLarge) {
				t.Errorf("got %v, want ErrTooLarge", err)
			}
			if cost > 8<<10 || r.n != 4 {
				t.Errorf("cost %d bytes of memory and read %d", cost, r.n)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type counter struct {
	r io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

// allocated says how many bytes f allocates, freed ones included.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestHostileFramesAreCheap sends frames of the largest size that are made to
// cost as much as they can.
func TestHostileFramesAreCheap(t *testing.T) {
	device := bytes.Repeat([]byte{1}, 20)
	chat := message(nil, 1, []byte("a-b"))
	log := varint(message(nil, 1, device), 2, 1)
	tests := []struct {
		name  string
		field protowire.Number // of the frame
		head  []byte           // stands before the items
		num   protowire.Number // of the items
		item  []byte
		want  error
		limit uint64 // MiB
	}{
		{"empty chats", 3, nil, 1, nil, ErrMalformed, 1},
		{"empty logs", 3, nil, 1, bytes.Repeat(message(nil, 3, nil), 100), ErrMalformed, 1},
		{"empty ranges", 4, nil, 4, nil, ErrMalformed, 1},
		{"many ranges", 4, append(bytes.Clone(chat), varint(message(nil, 2, device), 3, 1)...), 4, varint(varint(nil, 1, 1), 2, 1), ErrTooLarge, 1},
		{"many ranges in a log", 3, nil, 1, append(bytes.Clone(chat), message(nil, 3, append(bytes.Clone(log), bytes.Repeat(message(nil, 4, varint(varint(nil, 1, 1), 2, 1)), MaxRanges+1)...))...), ErrTooLarge, 1},
		{"empty refusals", 5, nil, 1, nil, ErrMalformed, 1},
		{"empty registers", 6, nil, 1, nil, ErrMalformed, 1},
		{"many features", 1, nil, 5, []byte("x"), ErrTooLarge, 1},
		{"unknown fields", 3, nil, 999, nil, nil, 16},
		{"smallest chats", 3, nil, 1, chat, nil, 72},
		{"smallest logs", 3, nil, 1, append(bytes.Clone(chat), bytes.Repeat(message(nil, 3, log), 1000)...), nil, 48},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			body := bytes.Clone(test.head)
			item := message(nil, test.num, test.item)
			for len(body)+len(item)+8 <= MaxFrame {
				body = append(body, item...)
			}
			frame := message(nil, test.field, body)
			var err error
			cost := allocated(func() { _, err = DecodeFrame(frame) })
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if cost > test.limit<<20 {
				t.Errorf("cost %d KiB of memory, at most %d MiB", cost>>10, test.limit)
			}
			t.Logf("%d KiB of memory for %d KiB", cost>>10, len(frame)>>10)
		})
	}
}

func TestBadFrames(t *testing.T) {
	device := bytes.Repeat([]byte{1}, 20)
	rng := func(first, last uint64) []byte { return message(nil, 4, varint(varint(nil, 1, first), 2, last)) }
	want := func(device []byte, epoch uint64, ranges ...[]byte) []byte {
		b := varint(message(message(nil, 1, []byte("a-b")), 2, device), 3, epoch)
		return message(nil, 4, append(b, bytes.Join(ranges, nil)...))
	}
	vector := func(membership, epoch, upto uint64, ranges ...[]byte) []byte {
		log := append(varint(varint(message(nil, 1, device), 2, epoch), 3, upto), bytes.Join(ranges, nil)...)
		return message(nil, 3, message(nil, 1, message(varint(message(nil, 1, []byte("a-b")), 2, membership), 3, log)))
	}
	refusal := func(number, reason uint64) []byte {
		b := varint(message(message(nil, 1, []byte("a-b")), 2, device), 3, 1)
		return message(nil, 5, message(nil, 1, varint(varint(b, 4, number), 5, reason)))
	}
	hello := func(user string, device []byte, port uint64, feature string) []byte {
		b := varint(message(message(varint(nil, 1, Version), 2, []byte(user)), 3, device), 4, port)
		return message(nil, 1, message(b, 5, []byte(feature)))
	}
	tests := []struct {
		name string
		b    []byte
		want error
	}{
		{"text", []byte("GET / HTTP/1.1\r\n\r\n"), ErrMalformed},
		{"length beyond the end", []byte{0x1a, 0xff, 0xff, 0xff, 0xff, 0x0f}, ErrMalformed},
		{"length that overflows", []byte{0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, ErrMalformed},
		{"empty packet", message(nil, 2, nil), ErrMalformed},
		{"empty want", message(nil, 4, nil), ErrMalformed},
		{"too large", make([]byte, MaxFrame+1), ErrTooLarge},

		{"hello of nobody", hello("", device, 1, "x"), ErrMalformed},
		{"hello without device", hello("a", nil, 1, "x"), ErrMalformed},
		{"hello with a port out of range", hello("a", device, 65536, "x"), ErrMalformed},
		{"hello with a feature of two lines", hello("a", device, 1, "x\ny"), ErrMalformed},
		{"hello with a long feature", hello("a", device, 1, strings.Repeat("x", MaxFeature+1)), ErrMalformed},

		{"vector with membership out of range", vector(1<<63, 1, 0), ErrMalformed},
		{"vector without epoch", vector(0, 0, 0), ErrMalformed},
		{"vector up to out of range", vector(0, 1, 1<<64-1, rng(1, 1)), ErrMalformed},
		{"vector with a range that belongs to upto", vector(0, 1, 3, rng(4, 5)), ErrMalformed},
		{"vector with ranges that touch", vector(0, 1, 3, rng(5, 6), rng(7, 8)), ErrMalformed},
		{"vector with a range that is upside down", vector(0, 1, 3, rng(9, 8)), ErrMalformed},
		{"vector with ranges that descend", vector(0, 1, 3, rng(9, 10), rng(5, 6)), ErrMalformed},
		{"vector with a range out of range", vector(0, 1, 3, rng(9, 1<<64-1), rng(1, 1)), ErrMalformed},

		{"want of entry 0", want(device, 1, rng(0, 5)), ErrMalformed},
		{"want of a short device", want(device[1:], 1), ErrMalformed},
		{"want with epoch out of range", want(device, 1<<63), ErrMalformed},
		{"want with ranges that overlap", want(device, 1, rng(1, 5), rng(5, 6)), ErrMalformed},

		{"refusal of entry 0", refusal(0, 1), ErrMalformed},
		{"refusal with number out of range", refusal(1<<63, 1), ErrMalformed},
		{"refusal with a reason that wraps", refusal(1, 256), ErrMalformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if f, err := DecodeFrame(test.b); !errors.Is(err, test.want) {
				t.Errorf("got %+v, %v; want %v", f, err, test.want)
			}
		})
	}
}

// TestOwnMistakesStayHere: a frame that the other side would close the link for
// is not sent.
func TestOwnMistakesStayHere(t *testing.T) {
	log := Log{"a-b", DeviceID{1}, 1}
	many := make([]Range, MaxRanges+1)
	for i := range many {
		many[i] = Range{uint64(10 * (i + 1)), uint64(10 * (i + 1))}
	}
	tests := []struct {
		name  string
		frame Frame
		want  error
	}{
		{"nothing", nil, ErrMalformed},
		{"hello of nobody", &Hello{Version: Version}, ErrMalformed},
		{"want with ranges that touch", &Want{log, []Range{{1, 2}, {3, 4}}}, ErrMalformed},
		{"want with many ranges", &Want{log, many}, ErrTooLarge},
		{"want of no log", &Want{}, ErrMalformed},
		{"vector with many ranges", &Vectors{Chats: []ChatVector{{Chat: "a-b", Logs: []LogVector{{Device: DeviceID{1}, Epoch: 1, Beyond: many}}}}}, ErrTooLarge},
		{"packet of nobody", &Packet{}, ErrMalformed},
		{"frame that is too large", &Registers{[]Register{readRegister(t)}}, nil},
	}
	tests[len(tests)-1].want = ErrTooLarge
	registers := tests[len(tests)-1].frame.(*Registers)
	for len(registers.Registers)*len(registers.Registers[0].Raw) < MaxFrame {
		registers.Registers = append(registers.Registers, registers.Registers[0])
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if b, err := AppendFrame([]byte("before"), test.frame); !errors.Is(err, test.want) || string(b) != "before" {
				t.Errorf("got %d bytes, %v; want %v", len(b), err, test.want)
			}
		})
	}
}

func TestLaterVersions(t *testing.T) {
	t.Run("kind of frame", func(t *testing.T) {
		for _, b := range [][]byte{nil, message(nil, 20, []byte("manifest")), varint(nil, 15, 1)} {
			if f, err := DecodeFrame(b); f != nil || err != nil {
				t.Errorf("%x: got %+v, %v; want it ignored", b, f, err)
			}
		}
	})
	t.Run("field in each frame", func(t *testing.T) {
		for name, want := range frames(t) {
			b, err := AppendFrame(nil, want)
			if err != nil {
				t.Fatal(err)
			}
			num, typ, n := protowire.ConsumeTag(b[4:])
			body, m := protowire.ConsumeBytes(b[4+n:])
			if typ != protowire.BytesType || m < 0 {
				t.Fatalf("%s is no message", name)
			}
			later := message(message(nil, num, message(bytes.Clone(body), 300, []byte("new"))), 301, []byte("newer"))
			got, err := DecodeFrame(later)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	})
	t.Run("hello", func(t *testing.T) {
		// Another version may mean something else by every field but the first.
		f, err := DecodeFrame(message(nil, 1, message(varint(nil, 1, 2), 2, []byte("Alice@Example"))))
		if hello, ok := f.(*Hello); err != nil || !ok || hello.Version != 2 || hello.User != "" {
			t.Errorf("got %+v, %v; want nothing but the version", f, err)
		}
	})
	t.Run("reasons", func(t *testing.T) {
		f, err := DecodeFrame(message(nil, 9, varint(nil, 1, 1<<20)))
		if bye, ok := f.(*Bye); err != nil || !ok || bye.Reason != 0 {
			t.Errorf("got %+v, %v; want a Bye without reason", f, err)
		}
	})
}

func TestTextFromPeersIsFitToShow(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"plain", "larger than 64 KiB", "larger than 64 KiB"},
		{"other scripts", "太大了 слишком большой", "太大了 слишком большой"},
		{"terminal commands", "\x1b[2Jgone\x07\u009b1m", "[2Jgone1m"},
		{"turned direction", "\u202egpj.exe\u2066", "gpj.exe"},
		{"more lines", "one\r\ntwo\u2028three", "one  twothree"},
		{"cut", strings.Repeat("x", 300), strings.Repeat("x", MaxReason)},
		{"cut between characters", strings.Repeat("x", MaxReason-1) + "é", strings.Repeat("x", MaxReason-1)},
		{"nothing but what is taken away", strings.Repeat("\u202e", 10_000), ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f, err := DecodeFrame(message(nil, 9, message(nil, 2, []byte(test.text))))
			if err != nil {
				t.Fatal(err)
			}
			if got := f.(*Bye).Text; got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			b, err := AppendFrame(nil, &Bye{Text: test.text})
			if err != nil {
				t.Fatal(err)
			}
			if f, err = DecodeFrame(b[4:]); err != nil || f.(*Bye).Text != test.want {
				t.Errorf("sent: got %+v, %v; want %q", f, err, test.want)
			}
		})
	}
	rapid.Check(t, func(t *rapid.T) {
		got := cutText(string(rapid.SliceOf(rapid.Byte()).Draw(t, "text")), 20)
		if len(got) > 20 || !utf8.ValidString(got) || strings.ContainsFunc(got, unicode.IsControl) || cutText(got, 20) != got {
			t.Fatalf("got %q", got)
		}
	})
}

// TestEveryFrameTravels: decode(encode(x)) is x.
func TestEveryFrameTravels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := frameGen.Draw(t, "frame")
		b, err := AppendFrame(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ReadFrame(bytes.NewReader(b), MaxFrame)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

var (
	userGen = rapid.Custom(func(t *rapid.T) UserID {
		return UserID(rapid.StringMatching(`[a-z0-9][a-z0-9._]{0,63}`).Draw(t, "user"))
	})
	countGen  = rapid.Uint64Range(1, maxCounter)
	deviceGen = rapid.Custom(func(t *rapid.T) DeviceID {
		return DeviceID(rapid.SliceOfN(rapid.Byte(), 20, 20).Draw(t, "device"))
	})
	chatGen = rapid.Custom(func(t *rapid.T) ChatID {
		a, b := userGen.Draw(t, "a"), userGen.Draw(t, "b")
		if a == b || rapid.Bool().Draw(t, "group") {
			return ChatID(rapid.StringMatching(`[a-z2-7]{26}`).Draw(t, "chat"))
		}
		return DirectChat(a, b)
	})
	logGen = rapid.Custom(func(t *rapid.T) Log {
		return Log{chatGen.Draw(t, "chat"), deviceGen.Draw(t, "device"), countGen.Draw(t, "epoch")}
	})
	frameGen = rapid.OneOf(
		rapid.Custom(func(t *rapid.T) Frame { return &Ping{rapid.Uint64().Draw(t, "nonce")} }),
		rapid.Custom(func(t *rapid.T) Frame { return &Pong{rapid.Uint64().Draw(t, "nonce")} }),
		rapid.Custom(func(t *rapid.T) Frame {
			return &Bye{ByeReason(rapid.Byte().Draw(t, "reason")), rapid.StringMatching(`[ -~]{0,200}`).Draw(t, "text")}
		}),
		rapid.Custom(func(t *rapid.T) Frame {
			return &Hello{
				Version: Version, User: userGen.Draw(t, "user"), Device: deviceGen.Draw(t, "device"), Port: rapid.Uint16().Draw(t, "port"),
				Features: rapid.SliceOfN(rapid.StringMatching(`[a-z][a-z0-9-]{0,31}`), 0, MaxFeatures).Draw(t, "features"),
				Agent:    rapid.StringMatching(`[ -~]{0,64}`).Draw(t, "agent"),
			}
		}),
		rapid.Custom(func(t *rapid.T) Frame { return &Want{logGen.Draw(t, "log"), drawRanges(t, 1)} }),
		rapid.Custom(func(t *rapid.T) Frame {
			v := &Vectors{Complete: rapid.Bool().Draw(t, "complete")}
			for i := range rapid.IntRange(0, 4).Draw(t, "chats") {
				c := ChatVector{Chat: chatGen.Draw(t, fmt.Sprint("chat", i)), Membership: rapid.Uint64Range(0, maxCounter).Draw(t, "membership"), Anew: rapid.Bool().Draw(t, "anew")}
				for range rapid.IntRange(0, 3).Draw(t, "logs") {
					upto := rapid.Uint64Range(0, 1<<40).Draw(t, "upto")
					c.Logs = append(c.Logs, LogVector{deviceGen.Draw(t, "device"), countGen.Draw(t, "epoch"), upto, drawRanges(t, upto+2)})
				}
				v.Chats = append(v.Chats, c)
			}
			return v
		}),
		rapid.Custom(func(t *rapid.T) Frame {
			c := &Compare{Chat: chatGen.Draw(t, "chat")}
			for i := range rapid.IntRange(0, 3).Draw(t, "logs") {
				first := countGen.Draw(t, fmt.Sprint("first", i))
				d := LogDigest{
					Device: deviceGen.Draw(t, "device"), Epoch: countGen.Draw(t, "epoch"), Answer: rapid.Bool().Draw(t, "answer"),
					Places: Range{first, rapid.Uint64Range(first, maxCounter).Draw(t, "last")},
				}
				d.Digests = make([]Digest, 1)
				if parts := Parts(d.Places); len(parts) > 1 && rapid.Bool().Draw(t, "parts") {
					d.Digests = make([]Digest, len(parts))
				}
				c.Logs = append(c.Logs, d)
			}
			return c
		}),
		rapid.Custom(func(t *rapid.T) Frame {
			return &Refusals{rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Refusal {
				return Refusal{
					EntryKey{Log: logGen.Draw(t, "log"), Number: countGen.Draw(t, "number")},
					Reason(rapid.Byte().Draw(t, "reason")), rapid.StringMatching(`[ -~]{0,200}`).Draw(t, "text"),
				}
			}), 0, 4).Draw(t, "refusals")}
		}),
		rapid.Custom(func(t *rapid.T) Frame {
			h := Header{
				ID: NewPacketID(), Chat: chatGen.Draw(t, "chat"), Type: "text", Author: userGen.Draw(t, "author"), Device: DeviceIDOf(public(aliceKey)),
				Epoch: countGen.Draw(t, "epoch"), Number: countGen.Draw(t, "number"), Depth: countGen.Draw(t, "depth"),
				Membership: rapid.Uint64Range(0, maxCounter).Draw(t, "membership"), SentAt: rapid.Int64Range(0, maxCounter).Draw(t, "sent"), Delivery: Reliable,
			}
			if a, _, ok := h.Chat.Users(); ok {
				h.Author = a
			}
			p, err := Seal(h, rapid.SliceOf(rapid.Byte()).Draw(t, "content"), signer(aliceKey))
			if err != nil {
				t.Fatal(err)
			}
			return &p
		}),
	)
)

// drawRanges gives ranges that ascend from first and do not touch.
func drawRanges(t *rapid.T, first uint64) []Range {
	var rs []Range
	for range rapid.IntRange(0, MaxRanges).Draw(t, "ranges") {
		r := Range{First: first + rapid.Uint64Range(0, 1000).Draw(t, "gap")}
		r.Last = r.First + rapid.Uint64Range(0, 1000).Draw(t, "length")
		rs = append(rs, r)
		first = r.Last + 2
	}
	return rs
}
