package packet

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	user := func(s string) (string, error) { v, err := ParseUserID(s); return string(v), err }
	chat := func(s string) (string, error) { v, err := ParseChatID(s); return string(v), err }
	typ := func(s string) (string, error) { v, err := ParseType(s); return string(v), err }
	device := func(s string) (string, error) { v, err := ParseDeviceID(s); return v.String(), err }
	id := func(s string) (string, error) { v, err := ParsePacketID(s); return v.String(), err }

	const deviceID = "tc5ikmckyy47b5k5vkybvvwvsk7ejijf"
	const packetID = "018fd5c2-9d10-7abc-8def-0123456789ab"
	tests := []struct {
		what  string
		parse func(string) (string, error)
		good  []string
		bad   []string
	}{
		{
			"user", user,
			[]string{"a", "0", "alice", "a.b_c9", "a.", strings.Repeat("z", 64)},
			[]string{"", "A", ".a", "_a", "a-b", "a:b", "a b", "a\n", "a\x00", "é", "a\u202e", strings.Repeat("z", 65)},
		},
		{
			"chat", chat,
			[]string{
				"a-b", "alice-bob", "a-" + strings.Repeat("z", 64), strings.Repeat("y", 64) + "-" + strings.Repeat("z", 64),
				"abcdefghijklmnopqrstuvwxyz", "net2019:2017000001-2017000002", "net2019:2017000001-2017000002-2017000003",
			},
			[]string{
				"", "-", "a", "a-", "-b", "b-a", "a-a", "a-b-c", "A-b", "a-b\n", "abcdefghijklmnopqrstuvwxy", "abcdefghijklmnopqrstuvwxy1",
				"net2019:", "net2019:a-b", "net2019:2017000001", "net2019:2017000001-", "net2020:2017000001-2017000002",
				strings.Repeat("y", 65) + "-" + strings.Repeat("z", 65), strings.Repeat("x", 1<<16),
			},
		},
		{
			"type", typ,
			[]string{"text", "chat.request", "a", "text.typing", "org.example.poll/vote", "org.ex-ample/vote_2.x"},
			[]string{"", ".", "a.", ".a", "a..b", "Text", "org/vote", "a.b/", "/vote", "a.b/c/d", "a b", "text\n", strings.Repeat("a", 65)},
		},
		{
			"device", device,
			[]string{deviceID, strings.Repeat("a", 32)},
			[]string{"", deviceID[1:], deviceID + "a", strings.ToUpper(deviceID), "1" + deviceID[1:], deviceID + "\n", "\n" + deviceID, deviceID[:16] + "\r\n" + deviceID[16:]},
		},
		{
			"packet id", id,
			[]string{packetID},
			[]string{
				"", packetID[1:], packetID + "0", "{" + packetID + "}", "urn:uuid:" + packetID, strings.ReplaceAll(packetID, "-", ""),
				"00000000-0000-0000-0000-000000000000", "018fd5c2-9d10-7abc-8def-0123456789ag",
			},
		},
	}
	for _, test := range tests {
		for _, s := range test.good {
			if got, err := test.parse(s); err != nil || got != s {
				t.Errorf("%s %q: got %q, %v", test.what, s, got, err)
			}
		}
		for _, s := range test.bad {
			if got, err := test.parse(s); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s %.80q: got %q, %v; want ErrMalformed", test.what, s, got, err)
			} else if len(err.Error()) > 500 {
				t.Errorf("%s: an error of %d bytes for a person to read", test.what, len(err.Error()))
			}
		}
	}
	if got, err := ParsePacketID(strings.ToUpper(packetID)); err != nil || got.String() != packetID {
		t.Errorf("an upper-case packet id: %v, %v", got, err)
	}
}

func TestFromBytes(t *testing.T) {
	for _, n := range []int{0, 15, 17} {
		if _, err := PacketIDFromBytes(make([]byte, n)); !errors.Is(err, ErrMalformed) {
			t.Errorf("packet id of %d bytes: %v", n, err)
		}
	}
	if _, err := PacketIDFromBytes(make([]byte, 16)); !errors.Is(err, ErrMalformed) {
		t.Errorf("nil packet id: %v", err)
	}
	for _, n := range []int{0, 51, 53} {
		if _, err := OrderKeyFromBytes(make([]byte, n)); !errors.Is(err, ErrMalformed) {
			t.Errorf("order key of %d bytes: %v", n, err)
		}
	}
	h := textHeader(t)
	want := h.Order()
	if got, err := OrderKeyFromBytes(want[:]); err != nil || got != want {
		t.Errorf("order key: %v, %v", got, err)
	}
}

func TestNewIDsAreWellFormed(t *testing.T) {
	if id, err := ParsePacketID(NewPacketID().String()); err != nil || id[6]>>4 != 7 {
		t.Errorf("packet id %v: %v", id, err)
	}
	chat, err := ParseChatID(string(NewGroupChat()))
	if err != nil || chat.Kind() != Group || chat == NewGroupChat() {
		t.Errorf("group chat %q: %v", chat, err)
	}
}

func TestChatKinds(t *testing.T) {
	tests := []struct {
		chat ChatID
		kind ChatKind
		peer UserID // of alice
	}{
		{"alice-bob", Direct, "bob"},
		{"aaron-alice", Direct, "aaron"},
		{"bob-carol", Direct, ""},
		{"abcdefghijklmnopqrstuvwxyz", Group, ""},
		{"net2019:2017000001-2017000002", Net2019, ""},
	}
	for _, test := range tests {
		peer, ok := test.chat.Peer("alice")
		if test.chat.Kind() != test.kind || peer != test.peer || ok != (test.peer != "") {
			t.Errorf("%s: kind %s, peer %q, %v", test.chat, test.chat.Kind(), peer, ok)
		}
	}
	if a, b := DirectChat("bob", "alice"), DirectChat("alice", "bob"); a != b || a != "alice-bob" {
		t.Errorf("%q and %q", a, b)
	}
}

// TestOrder compares the bytes of order keys with the order that the package
// doc promises.
func TestOrder(t *testing.T) {
	header := rapid.Custom(func(t *rapid.T) Header {
		// Few values, so that many headers agree in all but the last fields;
		// and the largest, where bytes could be cut.
		counter := rapid.SampledFrom([]uint64{0, 1, 255, 256, 1 << 32, maxCounter - 1, maxCounter})
		return Header{
			Depth: counter.Draw(t, "depth"), SentAt: int64(counter.Draw(t, "sent_at")), Epoch: counter.Draw(t, "epoch"),
			Number: counter.Draw(t, "number"), Device: DeviceID{rapid.SampledFrom([]byte{0, 1, 128, 255}).Draw(t, "device")},
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := header.Draw(t, "a"), header.Draw(t, "b")
		want := slices.Compare(
			[]uint64{a.Depth, uint64(a.SentAt), uint64(a.Device[0]), a.Epoch, a.Number},
			[]uint64{b.Depth, uint64(b.SentAt), uint64(b.Device[0]), b.Epoch, b.Number})
		if got := a.Order().Compare(b.Order()); got != want {
			t.Fatalf("order of %+v and %+v is %d, want %d", a, b, got, want)
		}
		if got := b.Order().Compare(a.Order()); got != -want {
			t.Fatalf("the other way round it is %d", got)
		}
	})
}

func TestNextDepthNeverOverflows(t *testing.T) {
	for seen, want := range map[uint64]uint64{0: 1, 7: 8, maxCounter - 1: maxCounter, maxCounter: maxCounter} {
		if got := NextDepth(seen); got != want {
			t.Errorf("after %d comes %d, want %d", seen, got, want)
		}
	}
}
