package directory

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"net"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
)

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"directory.example.org", "directory.example.org:7410", "[::1]", "::1", "[::1]:80", "a:b:c", ":", "host:0", "\x00:1", "a/b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		address, err := ParseAddress(s)
		if err != nil {
			var told *Error
			if !errors.As(err, &told) || !errors.Is(told.Kind, ErrAddress) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		if _, _, err := net.SplitHostPort(address); err != nil {
			t.Fatal(err)
		}
		if again, err := ParseAddress(address); err != nil || again != address {
			t.Fatalf("%q became %q and then %q, %v", s, address, again, err)
		}
	})
}

func add(f *testing.F, m proto.Message) {
	b, err := proto.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
}

func shown(t *testing.T, p *directorypb.Profile) {
	name := p.GetDisplayName()
	if !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxDisplayName || strings.ContainsFunc(name, unicode.IsControl) {
		t.Fatalf("display name %q", name)
	}
	if len(p.GetAvatar()) > maxAvatar || len(p.GetAvatarHash()) != 0 && len(p.GetAvatarHash()) != len(packet.Hash{}) {
		t.Fatalf("picture of %d bytes, hash of %d", len(p.GetAvatar()), len(p.GetAvatarHash()))
	}
	if hash := packet.HashOf(p.GetAvatar()); len(p.GetAvatar()) > 0 && !bytes.Equal(hash[:], p.GetAvatarHash()) {
		t.Fatal("a picture with the hash of another")
	}
}

// FuzzPresence: what a directory says of people, as it comes off the wire.
func FuzzPresence(f *testing.F) {
	add(f, &directorypb.Presence{
		User: "bob", Online: true, Endpoints: []*directorypb.Endpoint{{Host: "::ffff:192.0.2.1", Port: 7}},
		Devices: []*directorypb.Device{{Key: make([]byte, ed25519.PublicKeySize)}}, Profile: &directorypb.Profile{DisplayName: "B\u202eob\n", Avatar: []byte("x")},
	})
	add(f, &directorypb.Presence{User: "bob"})
	f.Fuzz(func(t *testing.T, b []byte) {
		pb := &directorypb.Presence{}
		if proto.Unmarshal(b, pb) != nil {
			return // gRPC refuses it before
		}
		shown(t, cleanProfile(pb.GetProfile()))
		p, ok := parsePresence(pb)
		if !ok {
			return
		}
		if _, err := packet.ParseUserID(string(p.User)); err != nil || len(p.Endpoints) > maxEndpoints || len(p.Keys) > maxDevices {
			t.Fatalf("%+v, %v", p, err)
		}
		for _, k := range p.Keys {
			if len(k) != ed25519.PublicKeySize {
				t.Fatalf("a key of %d bytes", len(k))
			}
		}
		if !samePresence(p, p) {
			t.Fatalf("%+v is not itself", p)
		}
	})
}

// FuzzDelivered: what a directory hands over is by the one it names, and of the
// types that go this way.
func FuzzDelivered(f *testing.F) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	p, err := packet.Seal(packet.Header{
		ID: packet.NewPacketID(), Chat: "alice-bob", Type: packet.TypeRequest, Author: "bob",
		Device: packet.DeviceIDOf(key.Public().(ed25519.PublicKey)), SentAt: 1, Delivery: packet.Ephemeral,
	}, []byte("hello"), func(b []byte) []byte { return ed25519.Sign(key, b) })
	if err != nil {
		f.Fatal(err)
	}
	raw, err := p.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	add(f, &directorypb.Delivered{Delivery: 7, From: "bob", Packet: raw, Devices: []*directorypb.Device{{Key: key.Public().(ed25519.PublicKey)}}})
	add(f, &directorypb.Delivered{Delivery: 7, From: "carol", Packet: raw})
	f.Fuzz(func(t *testing.T, b []byte) {
		pb := &directorypb.Delivered{}
		if proto.Unmarshal(b, pb) != nil {
			return
		}
		d, ok := parseDelivered(pb)
		if !ok {
			return
		}
		shown(t, d.GetProfile())
		p, err := packet.Unmarshal(d.GetPacket())
		if err != nil || string(p.Header.Author) != d.GetFrom() || p.Header.Type == packet.Type("text") {
			t.Fatalf("%+v, %v", p.Header, err)
		}
	})
}
