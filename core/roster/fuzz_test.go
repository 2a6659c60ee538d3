package roster

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"
	"unicode/utf8"

	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/protocol/packet"
)

// FuzzIncoming: of what strangers send, the roster takes only contact packets of
// the one who is said to have sent them, in the chat of the two, with a greeting
// that can be shown.
func FuzzIncoming(f *testing.F) {
	bob, err := identity.New("bob", bytes.Repeat([]byte{3}, ed25519.SeedSize))
	if err != nil {
		f.Fatal(err)
	}
	for _, typ := range []packet.Type{packet.TypeRequest, packet.TypeAccept, packet.TypeLeave, "text"} {
		var content []byte
		if typ == packet.TypeRequest {
			content = []byte("hello")
		}
		p, err := packet.Seal(packet.Header{
			ID: packet.NewPacketID(), Chat: "alice-bob", Type: typ, Author: "bob", Device: bob.Device(), SentAt: 1, Delivery: packet.Ephemeral,
		}, content, bob.Sign)
		if err != nil {
			f.Fatal(err)
		}
		b, err := p.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	r := &Roster{self: "alice"}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := packet.Unmarshal(b)
		if err != nil {
			return
		}
		if err := r.check("bob", &p); err != nil {
			if !errors.Is(err, errDropped) && !errors.Is(err, packet.ErrMalformed) && !errors.Is(err, packet.ErrContent) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		h := &p.Header
		if h.Author != "bob" || h.Chat != "alice-bob" || !ours(h.Type) || len(p.Content) > maxGreeting || !utf8.Valid(p.Content) {
			t.Fatalf("taken: %+v %q", h, p.Content)
		}
	})
}

// FuzzStored: what the roster keeps as bytes reads back without surprise.
func FuzzStored(f *testing.F) {
	f.Add([]byte("01234567"))
	f.Add(make([]byte, 3*ed25519.PublicKeySize+1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if at := decodeTime(b); len(b) != 8 && at != 0 {
			t.Fatalf("%q is the time %d", b, at)
		}
		keys := decodeKeys(b)
		for _, k := range keys {
			if len(k) != ed25519.PublicKeySize {
				t.Fatalf("a key of %d bytes", len(k))
			}
		}
		if again := decodeKeys(encodeKeys(keys)); len(again) != len(keys) {
			t.Fatalf("%d keys became %d", len(keys), len(again))
		}
	})
}
