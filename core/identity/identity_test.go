package identity

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"regexp"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parley-chat/parley/protocol/packet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keyOf is the key of a seed of 32 equal bytes.
func keyOf(b byte) ed25519.PublicKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize)).Public().(ed25519.PublicKey)
}

func TestSafetyNumberGolden(t *testing.T) {
	// People compare these across versions: a change of this number is a change
	// that every user sees.
	const want = "02935 07285 74569 19902 00349 52986 71751 56692 61815 71077 13142 26254"
	alice, bob := []ed25519.PublicKey{keyOf(1)}, []ed25519.PublicKey{keyOf(2)}
	if got := SafetyNumber("alice", alice, "bob", bob); got != want {
		t.Errorf("safety number\n got %s\nwant %s", got, want)
	}
}

func TestSafetyNumber(t *testing.T) {
	alice, bob := []ed25519.PublicKey{keyOf(1)}, []ed25519.PublicKey{keyOf(2), keyOf(3)}
	number := SafetyNumber("alice", alice, "bob", bob)
	if !regexp.MustCompile(`^([0-9]{5} ){11}[0-9]{5}$`).MatchString(number) {
		t.Errorf("%q is not 12 groups of 5 digits", number)
	}
	same := map[string]string{
		"from the other side": SafetyNumber("bob", bob, "alice", alice),
		"devices turned":      SafetyNumber("alice", alice, "bob", []ed25519.PublicKey{keyOf(3), keyOf(2)}),
	}
	for name, other := range same {
		if other != number {
			t.Errorf("%s: %s, want %s", name, other, number)
		}
	}
	different := map[string]string{
		"another key":      SafetyNumber("alice", alice, "bob", []ed25519.PublicKey{keyOf(2), keyOf(4)}),
		"one device fewer": SafetyNumber("alice", alice, "bob", bob[:1]),
		"another user":     SafetyNumber("alice", alice, "bobby", bob),
		"keys exchanged":   SafetyNumber("alice", bob, "bob", alice),
	}
	for name, other := range different {
		if other == number {
			t.Errorf("%s: the same number", name)
		}
	}
	if bob[0][0] != keyOf(2)[0] {
		t.Error("the caller's keys were sorted")
	}
}

func TestNew(t *testing.T) {
	id, err := Generate("alice")
	if err != nil {
		t.Fatal(err)
	}
	again, err := New("alice", id.Seed())
	if err != nil {
		t.Fatal(err)
	}
	if !again.Key().Equal(id.Key()) || again.Device() != id.Device() || again.User() != "alice" {
		t.Error("the same seed made another identity")
	}
	if !ed25519.Verify(id.Key(), []byte("hello"), again.Sign([]byte("hello"))) {
		t.Error("signature does not verify")
	}
	for _, n := range []int{0, 31, 33} {
		if _, err := New("alice", make([]byte, n)); err == nil {
			t.Errorf("a seed of %d bytes was taken", n)
		}
	}
}

// handshake connects two identities by TLS and gives what the server learned.
func handshake(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	a, b := net.Pipe()
	defer func() { _ = a.Close() }()
	defer func() { _ = b.Close() }()
	deadline := time.Now().Add(time.Minute)
	_, _ = a.SetDeadline(deadline), b.SetDeadline(deadline)
	s, c := tls.Server(a, server), tls.Client(b, client)
	var wg sync.WaitGroup
	wg.Go(func() {
		if c.Handshake() == nil {
			_, _ = c.Read(make([]byte, 1)) // session tickets, then the end
		}
	})
	err := s.Handshake()
	state := s.ConnectionState()
	_ = a.Close()
	wg.Wait()
	return state, err
}

func TestPeerKeyOverTLS(t *testing.T) {
	alice, err := Generate("alice")
	if err != nil {
		t.Fatal(err)
	}
	bob, err := Generate("bob")
	if err != nil {
		t.Fatal(err)
	}
	server := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{alice.Certificate()}, ClientAuth: tls.RequireAnyClientCert}
	client := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{bob.Certificate()}, InsecureSkipVerify: true}
	state, err := handshake(t, server, client)
	if err != nil {
		t.Fatal(err)
	}
	key, err := PeerKey(state)
	if err != nil || !key.Equal(bob.Key()) {
		t.Errorf("key %x, %v; want %x", key, err, bob.Key())
	}
}

func TestPeerKeyRefuses(t *testing.T) {
	id, err := Generate("alice")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(id.Certificate().Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if cert.NotAfter.Before(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("certificate ends at %s", cert.NotAfter)
	}
	for name, certs := range map[string][]*x509.Certificate{
		"none":          nil,
		"chain":         {cert, cert},
		"other key":     {{PublicKey: "rsa"}},
		"key too short": {{PublicKey: ed25519.PublicKey{1, 2}}},
	} {
		if _, err := PeerKey(tls.ConnectionState{PeerCertificates: certs}); !errors.Is(err, ErrNoDeviceKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBook(t *testing.T) {
	b := NewBook()
	k1, k2 := keyOf(1), keyOf(2)
	if p := b.Person("bob"); p.Linkable || p.Blocked || len(p.Keys) > 0 {
		t.Errorf("an empty book knows %+v", p)
	}
	b.Set("bob", Person{Keys: []ed25519.PublicKey{k1}, Linkable: true})
	if user, key, ok := b.Device(packet.DeviceIDOf(k1)); !ok || user != "bob" || !key.Equal(k1) {
		t.Errorf("device of bob: %s %v", user, ok)
	}
	b.Set("bob", Person{Keys: []ed25519.PublicKey{k2}})
	if _, _, ok := b.Device(packet.DeviceIDOf(k1)); ok {
		t.Error("a key that was replaced is still bob's")
	}
	if user, _, ok := b.Device(packet.DeviceIDOf(k2)); !ok || user != "bob" {
		t.Error("the new key is not bob's")
	}
	b.Remove("bob")
	if _, _, ok := b.Device(packet.DeviceIDOf(k2)); ok || len(b.Person("bob").Keys) > 0 {
		t.Error("bob was not forgotten")
	}
}

func TestBookKeepsItsOwnKeys(t *testing.T) {
	b := NewBook()
	keys := []ed25519.PublicKey{keyOf(1)}
	b.Set("bob", Person{Keys: keys})
	keys[0] = keyOf(2)
	if !b.Person("bob").Keys[0].Equal(keyOf(1)) {
		t.Error("the book's keys changed with the caller's")
	}
}

// Two users who name one key: the last one has it, and taking the first one out
// must not take it from the second.
func TestBookSharedKey(t *testing.T) {
	b := NewBook()
	k := keyOf(1)
	b.Set("bob", Person{Keys: []ed25519.PublicKey{k}})
	b.Set("mallory", Person{Keys: []ed25519.PublicKey{k}})
	b.Remove("bob")
	if user, _, ok := b.Device(packet.DeviceIDOf(k)); !ok || user != "mallory" {
		t.Errorf("device is of %q", user)
	}
}

func TestBookLinkable(t *testing.T) {
	b := NewBook()
	b.Set("bob", Person{Linkable: true})
	b.Set("carol", Person{})
	b.Set("mallory", Person{Linkable: true, Blocked: true})
	if got := fmt.Sprint(b.Linkable()); got != "[bob]" {
		t.Errorf("linkable: %s", got)
	}
}

// Whose signature it is: who has the key, in groups also who had it, and then
// what that group's members say.
func TestBookSigner(t *testing.T) {
	b := NewBook()
	here, elsewhere, direct := packet.NewGroupChat(), packet.NewGroupChat(), packet.DirectChat("alice", "bob")
	k := []ed25519.PublicKey{keyOf(1), keyOf(2), keyOf(3), keyOf(4)}
	b.Set("bob", Person{Keys: k[:1], Past: k[1:2]})
	says := map[packet.UserID][]ed25519.PublicKey{"mallory": k, "dave": k[3:]}
	if !b.Vouch(here, says) || b.Vouch(here, says) {
		t.Error("does not say what changed")
	}
	for _, tt := range []struct {
		chat packet.ChatID
		want [4]packet.UserID
	}{
		{here, [4]packet.UserID{"bob", "bob", "mallory", ""}},
		{elsewhere, [4]packet.UserID{"bob", "bob", "", ""}},
		{direct, [4]packet.UserID{"bob", "", "", ""}},
	} {
		for i, want := range tt.want {
			if user, key, ok := b.Signer(tt.chat, packet.DeviceIDOf(k[i])); user != want || ok != (want != "") || ok && !key.Equal(k[i]) {
				t.Errorf("%s, key %d: %q, want %q", tt.chat.Kind(), i, user, want)
			}
		}
	}
	if owner, ok := b.Owner(packet.DeviceIDOf(k[1])); !ok || owner != "bob" {
		t.Error("a past key is nobody's")
	}
	if _, ok := b.Owner(packet.DeviceIDOf(k[2])); ok {
		t.Error("a key is somebody's because a member says so")
	}
	b.Remove("bob")
	if user, _, _ := b.Signer(here, packet.DeviceIDOf(k[1])); user != "mallory" {
		t.Errorf("after bob was forgotten: %q", user)
	}
	if !b.Vouch(here, nil) || b.Vouch(here, nil) {
		t.Error("not forgotten, or twice")
	}
	if _, _, ok := b.Signer(here, packet.DeviceIDOf(k[2])); ok {
		t.Error("still vouched for")
	}
}

func TestBookConcurrently(t *testing.T) {
	b := NewBook()
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	for i := range byte(4) {
		wg.Go(func() {
			user := packet.UserID(fmt.Sprintf("user%d", i))
			for n := range 200 {
				b.Set(user, Person{Keys: []ed25519.PublicKey{keyOf(i)}, Linkable: n%2 == 0})
				if p := b.Person(user); len(p.Keys) != 1 {
					t.Errorf("%s has %d keys", user, len(p.Keys))
				}
			}
		})
	}
	reader := make(chan struct{})
	go func() {
		defer close(reader)
		for ctx.Err() == nil {
			b.Linkable()
			b.Device(packet.DeviceIDOf(keyOf(1)))
		}
	}()
	wg.Wait()
	cancel()
	<-reader
}
