package text

import (
	"strings"
	"testing"

	"github.com/parley-chat/parley/protocol/packet"
)

// TestNet2019: in a chat of 2019 a text is its bytes, and has nothing beside it.
func TestNet2019(t *testing.T) {
	const chat packet.ChatID = "net2019:2017000001-2017000002"
	for _, body := range []string{"你好", "a_b_", " x\n"} {
		b, err := Text{Body: body}.encodeIn(chat)
		if err != nil || string(b) != body {
			t.Errorf("%q: %q, %v", body, b, err)
		}
		if got, err := decodeIn(chat, b); err != nil || got.Body != body {
			t.Errorf("%q: %+v, %v", body, got, err)
		}
	}
	if _, err := (Text{Body: "x", ReplyTo: packet.NewPacketID()}).encodeIn(chat); err == nil || !strings.Contains(err.Error(), "has no replies") {
		t.Errorf("a reply: %v", err)
	}
	for _, bad := range []string{"", "\xff", strings.Repeat("x", MaxBody+1)} {
		if _, err := decodeIn(chat, []byte(bad)); err == nil {
			t.Errorf("%.10q is taken", bad)
		}
	}
	native, err := Text{Body: "x"}.encodeIn("alice-bob")
	if got, err2 := decodeIn("alice-bob", native); err != nil || err2 != nil || got.Body != "x" || string(native) == "x" {
		t.Errorf("elsewhere: %q, %v, %v", native, err, err2)
	}
}
