package packet

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/protocol/packet/peerpb"
)

func TestPacketTravels(t *testing.T) {
	p := seal(t, textHeader(t), "hello")
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	q, err := Unmarshal(b)
	if err != nil {
		t.Fatal(err)
	}
	if q.Header != p.Header || !bytes.Equal(q.Raw, p.Raw) || string(q.Content) != "hello" {
		t.Errorf("got %+v, want %+v", q, p)
	}
	if err := q.Verify(public(aliceKey)); err != nil {
		t.Error(err)
	}
	if err := q.CheckContent(); err != nil {
		t.Error(err)
	}
}

func TestForgeriesDoNotVerify(t *testing.T) {
	p := seal(t, textHeader(t), "hello")
	mallory := testKey(50)
	byMallory := textHeader(t)
	byMallory.Device = DeviceIDOf(public(mallory))
	register := readRegister(t)

	tests := []struct {
		name  string
		forge func(p *Packet)
		key   []byte
	}{
		{"another's key", func(*Packet) {}, public(bobKey)},
		{"no key", func(*Packet) {}, nil},
		{"short key", func(*Packet) {}, public(aliceKey)[:31]},
		{"no signature", func(p *Packet) { p.Signature = nil }, public(aliceKey)},
		{"changed header", func(p *Packet) { p.Raw = append(bytes.Clone(p.Raw), 0x38, 9) }, public(aliceKey)},
		{"changed signature", func(p *Packet) { p.Signature[0] ^= 1 }, public(aliceKey)},
		{"signed by one, in the name of another device", func(p *Packet) {
			q, err := Seal(byMallory, []byte("hello"), signer(aliceKey))
			if err != nil {
				t.Fatal(err)
			}
			*p = q
		}, public(aliceKey)},
		{"a register's signature", func(p *Packet) { p.Raw, p.Signature = register.Raw, register.Signature }, public(aliceKey)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			q := p
			q.Signature = bytes.Clone(p.Signature)
			test.forge(&q)
			if err := q.Verify(test.key); !errors.Is(err, ErrSignature) {
				t.Errorf("got %v, want ErrSignature", err)
			}
		})
	}
	// The same bytes signed as a register are not a signed packet.
	crossed := p
	crossed.Signature = signer(aliceKey)(append([]byte(registerContext), p.Raw...))
	if err := crossed.Verify(public(aliceKey)); !errors.Is(err, ErrSignature) {
		t.Errorf("signature of the other context: %v", err)
	}
}

func TestContentIsTheAuthors(t *testing.T) {
	p := seal(t, textHeader(t), "hello")
	for _, content := range []string{"hell0", "hello ", ""} {
		q := p
		q.Content = []byte(content)
		if err := q.CheckContent(); !errors.Is(err, ErrContent) {
			t.Errorf("content %q: %v", content, err)
		}
		if err := q.Verify(public(aliceKey)); err != nil {
			t.Errorf("without its content the header no longer verifies: %v", err)
		}
	}
}

// TestBadHeaders tries each bad header both ways: an author cannot make it, and
// a receiver does not take it from one who can.
func TestBadHeaders(t *testing.T) {
	tests := []struct {
		name   string
		change func(h *Header)
	}{
		{"no id", func(h *Header) { h.ID = PacketID{} }},
		{"no chat", func(h *Header) { h.Chat = "" }},
		{"chat not ascending", func(h *Header) { h.Chat = "bob-alice" }},
		{"no type", func(h *Header) { h.Type = "" }},
		{"type with a space", func(h *Header) { h.Type = "te xt" }},
		{"no author", func(h *Header) { h.Author = "" }},
		{"author with capitals", func(h *Header) { h.Author = "Alice" }},
		{"author who is not of the direct chat", func(h *Header) { h.Author = "mallory" }},
		{"reliable without number", func(h *Header) { h.Number = 0 }},
		{"reliable without epoch", func(h *Header) { h.Epoch = 0 }},
		{"reliable without depth", func(h *Header) { h.Depth = 0 }},
		{"number out of range", func(h *Header) { h.Number = maxCounter + 1 }},
		{"epoch out of range", func(h *Header) { h.Epoch = 1 << 63 }},
		{"depth out of range", func(h *Header) { h.Depth = 1<<64 - 1 }},
		{"membership out of range", func(h *Header) { h.Membership = 1 << 63 }},
		{"sent before 1970", func(h *Header) { h.SentAt = -1 }},
		{"sent too late", func(h *Header) { h.SentAt = maxCounter + 1 }},
		{"no delivery", func(h *Header) { h.Delivery = 0 }},
		{"unknown delivery", func(h *Header) { h.Delivery = 3 }},
		{"ephemeral with a number", func(h *Header) { h.Delivery, h.Epoch = Ephemeral, 0 }},
		{"ephemeral with an epoch", func(h *Header) { h.Delivery, h.Number = Ephemeral, 0 }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := textHeader(t)
			test.change(&h)
			if _, err := Seal(h, nil, signer(aliceKey)); !errors.Is(err, ErrMalformed) {
				t.Errorf("Seal: got %v, want ErrMalformed", err)
			}
			if _, err := Open(encodeHeader(t, h), nil, nil); !errors.Is(err, ErrMalformed) {
				t.Errorf("Open: got %v, want ErrMalformed", err)
			}
		})
	}
}

func encodeHeader(t *testing.T, h Header) []byte {
	t.Helper()
	raw, err := proto.Marshal(&peerpb.Header{
		Id: h.ID[:], Chat: string(h.Chat), Type: string(h.Type), Author: string(h.Author), Device: h.Device[:],
		Epoch: h.Epoch, Number: h.Number, Depth: h.Depth, Membership: h.Membership, SentAt: h.SentAt,
		Delivery: peerpb.Delivery(h.Delivery), ContentHash: h.ContentHash[:],
	})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestBadParts(t *testing.T) {
	good := seal(t, textHeader(t), "hello")
	field := func(num protowire.Number, value []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(bytes.Clone(good.Raw), num, protowire.BytesType), value)
	}
	number := func(num protowire.Number, value uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(bytes.Clone(good.Raw), num, protowire.VarintType), value)
	}
	tests := []struct {
		name                    string
		raw, signature, content []byte
		want                    error
	}{
		{"nothing", nil, nil, nil, ErrMalformed},
		{"not protobuf", []byte("hello"), nil, nil, ErrMalformed},
		{"cut short", good.Raw[:len(good.Raw)-1], nil, nil, ErrMalformed},
		{"large header", make([]byte, MaxHeader+1), nil, nil, ErrTooLarge},
		{"large content", good.Raw, nil, make([]byte, MaxContent+1), ErrTooLarge},
		{"short signature", good.Raw, make([]byte, 63), nil, ErrMalformed},
		{"long signature", good.Raw, make([]byte, 65), nil, ErrMalformed},
		{"id of 15 bytes", field(1, make([]byte, 15)), nil, nil, ErrMalformed},
		{"chat not UTF-8", field(2, []byte("a-b\xff")), nil, nil, ErrMalformed},
		{"device of 21 bytes", field(5, make([]byte, 21)), nil, nil, ErrMalformed},
		{"hash of 31 bytes", field(12, make([]byte, 31)), nil, nil, ErrMalformed},
		{"delivery that wraps to RELIABLE in 8 bits", number(11, 257), nil, nil, ErrMalformed},
		{"negative delivery", number(11, 1<<64-255), nil, nil, ErrMalformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := Open(test.raw, test.signature, test.content); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
	if _, err := Open(good.Raw, good.Signature, make([]byte, MaxContent)); err != nil {
		t.Errorf("content of the allowed size: %v", err)
	}
	if _, err := Unmarshal(make([]byte, MaxFrame+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("packet larger than a frame: %v", err)
	}
	if _, err := Seal(textHeader(t), make([]byte, MaxContent+1), nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Seal of large content: %v", err)
	}
}

// TestUnsignedEntriesStayHere: an entry of a log that comes from elsewhere is
// signed, an EPHEMERAL packet need not be.
func TestUnsignedEntriesStayHere(t *testing.T) {
	p, err := Seal(textHeader(t), []byte("hello"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(p.Raw, nil, p.Content); err != nil {
		t.Errorf("Open, for what the store holds: %v", err)
	}
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Unmarshal(b); !errors.Is(err, ErrMalformed) {
		t.Errorf("Unmarshal: got %v, want ErrMalformed", err)
	}
	if _, err := AppendFrame(nil, &p); !errors.Is(err, ErrMalformed) {
		t.Errorf("AppendFrame: got %v, want ErrMalformed", err)
	}
	frame, err := proto.Marshal(&peerpb.Frame{Body: &peerpb.Frame_Packet{Packet: p.proto()}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeFrame(frame); !errors.Is(err, ErrMalformed) {
		t.Errorf("DecodeFrame: got %v, want ErrMalformed", err)
	}
}

// TestLaterFieldsSurvive: what a later version adds to a header is kept, because
// it is signed, and passed on to members who understand it.
func TestLaterFieldsSurvive(t *testing.T) {
	h := textHeader(t)
	h.ContentHash = HashOf([]byte("hello"))
	raw := protowire.AppendBytes(protowire.AppendTag(encodeHeader(t, h), 200, protowire.BytesType), []byte("from the future"))
	p, err := Open(raw, signer(aliceKey)(append([]byte(packetContext), raw...)), []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if p.Header != h {
		t.Errorf("got %+v, want %+v", p.Header, h)
	}
	frame, err := AppendFrame(nil, &p)
	if err != nil {
		t.Fatal(err)
	}
	passed, err := DecodeFrame(frame[4:])
	if err != nil {
		t.Fatal(err)
	}
	q := passed.(*Packet)
	if !bytes.Equal(q.Raw, raw) {
		t.Errorf("passed on as %x, was %x", q.Raw, raw)
	}
	if err := q.Verify(public(aliceKey)); err != nil {
		t.Error(err)
	}
}

func TestRegisters(t *testing.T) {
	r := readRegister(t)
	if err := r.Verify(public(bobKey)); err != nil {
		t.Error(err)
	}
	if err := r.Verify(public(aliceKey)); !errors.Is(err, ErrSignature) {
		t.Errorf("verified by another's key: %v", err)
	}
	tests := []struct {
		name   string
		change func(r *Register)
	}{
		{"no chat", func(r *Register) { r.Chat = "" }},
		{"author who is not of the chat", func(r *Register) { r.Author = "mallory" }},
		{"bad name", func(r *Register) { r.Name = "Read" }},
		{"no version", func(r *Register) { r.Version = 0 }},
		{"version out of range", func(r *Register) { r.Version = maxCounter + 1 }},
		{"read up to no place", func(r *Register) { r.Value = r.Value[:51] }},
		{"large value", func(r *Register) { r.Name, r.Value = "org.example.x/y", make([]byte, MaxRegisterValue+1) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bad := r
			test.change(&bad)
			if _, err := SealRegister(bad, signer(bobKey)); !errors.Is(err, ErrMalformed) {
				t.Errorf("SealRegister: got %v, want ErrMalformed", err)
			}
			raw, err := proto.Marshal(&peerpb.RegisterBody{
				Chat: string(bad.Chat), Author: string(bad.Author), Device: bad.Device[:], Name: string(bad.Name), Value: bad.Value, Version: bad.Version,
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := OpenRegister(raw, r.Signature); !errors.Is(err, ErrMalformed) {
				t.Errorf("OpenRegister: got %v, want ErrMalformed", err)
			}
		})
	}
	if _, err := OpenRegister(make([]byte, MaxRegisterBody+1), r.Signature); !errors.Is(err, ErrTooLarge) {
		t.Errorf("large body: %v", err)
	}
	if _, err := OpenRegister(r.Raw, nil); !errors.Is(err, ErrMalformed) {
		t.Errorf("no signature: %v", err)
	}
}

// TestSupersedes: whatever the order in which registers come, the same one
// counts in the end.
func TestSupersedes(t *testing.T) {
	low, high := DeviceID{1}, DeviceID{2}
	ascending := []Register{
		{Version: 1, Device: high, Value: []byte("z")},
		{Version: 2, Device: low, Value: []byte("a")},
		{Version: 2, Device: low, Value: []byte("b")},
		{Version: 2, Device: high, Value: []byte("a")},
		{Version: 3, Device: low},
	}
	for i := range ascending {
		for j := range ascending {
			if got := ascending[i].Supersedes(&ascending[j]); got != (i > j) {
				t.Errorf("%d supersedes %d: %v", i, j, got)
			}
		}
	}
}

func TestHas(t *testing.T) {
	v := LogVector{Upto: 3, Beyond: []Range{{5, 5}, {8, 10}}}
	var got strings.Builder
	for n := uint64(1); n <= 11; n++ {
		if v.Has(n) {
			got.WriteByte('x')
		} else {
			got.WriteByte('.')
		}
	}
	if got.String() != "xxx.x..xxx." {
		t.Errorf("has %s", got.String())
	}
}
