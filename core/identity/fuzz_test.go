package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/parley-chat/parley/protocol/packet"
)

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{strings.Repeat("k", KeySize), strings.Repeat("0f", KeySize) + "\n", "", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "0x0f"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		key, err := parseKey(b)
		if err != nil {
			return
		}
		if len(key) != KeySize {
			t.Fatalf("a key of %d bytes", len(key))
		}
		again, err := parseKey([]byte(hex.EncodeToString(key) + "\n"))
		if err != nil || !bytes.Equal(again, key) {
			t.Fatalf("%x became %x, %v", key, again, err)
		}
	})
}

// FuzzParseRecord: what is taken as key.json cannot make opening it cost more
// than the most that Parley itself would write.
func FuzzParseRecord(f *testing.F) {
	for _, rec := range []record{
		{Version: 1, ID: strings.Repeat("ab", 16), Place: PlaceFile, Check: strings.Repeat("cd", 16)},
		{Version: 1, ID: strings.Repeat("ab", 16), Place: PlacePassphrase, Check: strings.Repeat("cd", 16), Sealed: &sealed{
			argonParams: argonParams{Time: 1, Memory: 64, Threads: 1}, KDF: "argon2id", AEAD: "chacha20poly1305",
			Salt: make([]byte, saltSize), Nonce: make([]byte, 12), Key: make([]byte, KeySize+16),
		}},
	} {
		b, err := json.Marshal(rec)
		if err != nil {
			f.Fatal(err)
		}
		if _, err := parseRecord("key.json", b); err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Add([]byte(`{"version":99}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		rec, err := parseRecord("key.json", b)
		if err != nil {
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "key.json") {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		if s := rec.Sealed; s != nil && (s.Time > maxArgon.Time || s.Memory > maxArgon.Memory || s.Threads > maxArgon.Threads || s.Threads == 0) {
			t.Fatalf("costs %+v", s.argonParams)
		}
		c, err := json.Marshal(rec)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseRecord("key.json", c)
		if err != nil || !reflect.DeepEqual(again, rec) {
			t.Fatalf("%+v became %+v, %v", rec, again, err)
		}
	})
}

// FuzzPeerKey: a certificate gives an Ed25519 key or nothing.
func FuzzPeerKey(f *testing.F) {
	id, err := Generate("alice")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(id.Certificate().Certificate[0])
	f.Add([]byte{0x30, 0x82})
	f.Fuzz(func(t *testing.T, der []byte) {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return // crypto/tls refuses it before
		}
		key, err := PeerKey(tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}})
		if err != nil {
			if !errors.Is(err, ErrNoDeviceKey) {
				t.Fatal(err)
			}
			return
		}
		if len(key) != ed25519.PublicKeySize {
			t.Fatalf("a key of %d bytes", len(key))
		}
	})
}

var safetyPattern = regexp.MustCompile(`^\d{5}( \d{5}){11}$`)

// FuzzSafetyNumber: both sides see the same digits, whatever the order of the
// keys, and others as soon as a key is another.
func FuzzSafetyNumber(f *testing.F) {
	f.Add("alice", []byte("0123456789abcdef0123456789abcdef"), "bob", []byte("fedcba9876543210fedcba9876543210ABCDEFGHIJKLMNOPABCDEFGHIJKLMNOP"))
	f.Fuzz(func(t *testing.T, a string, aKeys []byte, b string, bKeys []byte) {
		cut := func(raw []byte) (keys []ed25519.PublicKey) {
			for ; len(raw) >= ed25519.PublicKeySize; raw = raw[ed25519.PublicKeySize:] {
				keys = append(keys, ed25519.PublicKey(raw[:ed25519.PublicKeySize]))
			}
			return keys
		}
		if _, err := packet.ParseUserID(a); err != nil {
			return
		}
		ka, kb := cut(aKeys), cut(bKeys)
		number := SafetyNumber(packet.UserID(a), ka, packet.UserID(b), kb)
		if !safetyPattern.MatchString(number) {
			t.Fatalf("safety number %q", number)
		}
		if other := SafetyNumber(packet.UserID(b), kb, packet.UserID(a), ka); other != number {
			t.Fatalf("%q and %q", number, other)
		}
		if len(ka) == 0 {
			return
		}
		changed := bytes.Clone(ka[0])
		changed[0] ^= 1
		if other := SafetyNumber(packet.UserID(a), append([]ed25519.PublicKey{changed}, ka[1:]...), packet.UserID(b), kb); other == number {
			t.Fatalf("the same number %q for another key", number)
		}
	})
}
