package hostile

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"fmt"
	"math"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
)

// impostor listens with a key of its own as if it were somebody, and counts who
// tells it anything.
type impostor struct {
	id     *identity.Identity
	at     *directorypb.Endpoint
	dialed atomic.Int32
	told   atomic.Int32
}

func (w *world) impostor(user packet.UserID) *impostor {
	w.t.Helper()
	id, err := identity.Generate(user)
	must(w.t, err)
	cfg := tlsOf(id, "parley/1")
	cfg.ClientAuth = tls.RequireAnyClientCert
	l, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	must(w.t, err)
	w.t.Cleanup(func() { _ = l.Close() })
	port := l.Addr().(*net.TCPAddr).Port
	i := &impostor{id: id, at: &directorypb.Endpoint{Host: "127.0.0.1", Port: uint32(port)}} //nolint:gosec // a port
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			i.dialed.Add(1)
			go func() {
				defer func() { _ = c.Close() }()
				_ = c.SetDeadline(time.Now().Add(patience))
				hello, err := packet.AppendFrame(nil, &packet.Hello{Version: packet.Version, User: user, Device: id.Device(), Port: 1})
				if err == nil {
					_, err = c.Write(hello)
				}
				for err == nil {
					if _, err = packet.ReadFrame(c, packet.MaxFrame); err == nil {
						i.told.Add(1)
					}
				}
			}()
		}
	}()
	return i
}

func (i *impostor) key() ed25519.PublicKey { return i.id.Key() }

// TestVerifiedContactCannotBeImpersonated: the directory puts another key and
// another address in bob's place.
func TestVerifiedContactCannotBeImpersonated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.lie()
	alice, bob := w.person("alice"), w.person("bob")
	w.befriend(alice, bob)
	_, err := alice.client.TrustContact(t.Context(), &controlpb.TrustContactRequest{User: "bob", SetVerified: true, Verified: true})
	must(t, err)
	number := alice.contact("bob").GetSafetyNumber()
	if other := bob.contact("alice").GetSafetyNumber(); other != number || number == "" {
		t.Fatalf("safety numbers %q and %q", number, other)
	}
	w.chat(alice, bob, "true")

	// Only another address: it is tried, and told nothing.
	evil := w.impostor("bob")
	must(t, bob.core.Stop())
	w.until("bob is gone", func() bool { return !alice.contact("bob").GetLinked() })
	d.change(func(to string, truth *directorypb.Presence) *directorypb.Presence {
		if to != "alice" || truth.GetUser() != "bob" {
			return truth
		}
		p := clone(truth)
		p.Online, p.Endpoints = true, []*directorypb.Endpoint{evil.at}
		return p
	})
	must(t, alice.send("bob", "for bob alone"))
	w.until("alice tries the impostor", func() bool { return evil.dialed.Load() > 1 })
	// And another key.
	d.change(func(to string, truth *directorypb.Presence) *directorypb.Presence {
		if to != "alice" || truth.GetUser() != "bob" {
			return truth
		}
		p := clone(truth)
		p.Online, p.Endpoints, p.Devices = true, []*directorypb.Endpoint{evil.at}, []*directorypb.Device{{Key: evil.key()}}
		return p
	})
	w.until("alice is warned", func() bool { return alice.contact("bob").GetKeyChanged() })
	c := alice.contact("bob")
	if c.GetLinked() || c.GetSafetyNumber() != number || c.GetNewSafetyNumber() == "" || c.GetNewSafetyNumber() == number {
		t.Errorf("alice sees %v", c)
	}
	must(t, alice.send("bob", "for bob alone too"))
	if evil.told.Load() != 0 {
		t.Errorf("the impostor was told %d frames", evil.told.Load())
	}
	// The truth again, and with it bob: he gets what was for him.
	bob.begin()
	d.change(nil)
	w.until("bob has all", func() bool {
		got := bob.bodies("alice")
		return slices.Contains(got, "for bob alone") && slices.Contains(got, "for bob alone too")
	})
	c = alice.contact("bob")
	if c.GetKeyChanged() || !c.GetVerified() || c.GetSafetyNumber() != number {
		t.Errorf("alice sees %v", c)
	}
	if evil.told.Load() != 0 {
		t.Errorf("the impostor was told %d frames", evil.told.Load())
	}
}

// TestNewContactHasTheSafetyNumberOfItsKey: at a first meeting the directory can
// put somebody in carol's place; the safety number is then not carol's.
func TestNewContactHasTheSafetyNumberOfItsKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.lie()
	alice, carol := w.person("alice"), w.person("carol")
	evil := w.impostor("carol")
	d.mu.Lock()
	alices, carols := d.keys["alice"], d.keys["carol"]
	d.handed = func(from string, r *directorypb.Deliver) bool {
		if from != "alice" || r.GetTo() != "carol" {
			return true
		}
		p, err := packet.Seal(packet.Header{
			ID: packet.NewPacketID(), Chat: chatOf("alice", "carol"), Type: packet.TypeAccept, Author: "carol", Device: evil.id.Device(),
			SentAt: time.Now().UnixMicro(), Delivery: packet.Ephemeral,
		}, nil, evil.id.Sign)
		if err == nil {
			var raw []byte
			if raw, err = p.Marshal(); err == nil {
				_ = d.say("alice", delivered(1<<40, "carol", raw, evil.key()))
			}
		}
		if err != nil {
			t.Error(err)
		}
		return false
	}
	d.mu.Unlock()
	d.change(func(to string, truth *directorypb.Presence) *directorypb.Presence {
		if to != "alice" || truth.GetUser() != "carol" {
			return truth
		}
		p := clone(truth)
		p.Online, p.Endpoints, p.Devices = true, []*directorypb.Endpoint{evil.at}, []*directorypb.Device{{Key: evil.key()}}
		return p
	})
	_, err := alice.client.RequestContact(t.Context(), &controlpb.RequestContactRequest{User: "carol"})
	must(t, err)
	w.until("alice takes it for carol", func() bool {
		return alice.contact("carol").GetState() == controlpb.ContactState_CONTACT_STATE_CONTACT
	})
	c := alice.contact("carol")
	keys := func(k ed25519.PublicKey) []ed25519.PublicKey { return []ed25519.PublicKey{k} }
	if want := identity.SafetyNumber("alice", keys(alices), "carol", keys(evil.key())); c.GetSafetyNumber() != want {
		t.Errorf("alice's number is %s, that of the key in use %s", c.GetSafetyNumber(), want)
	}
	if carols := identity.SafetyNumber("alice", keys(alices), "carol", keys(carols)); c.GetSafetyNumber() == carols {
		t.Error("the number is carol's")
	}
	if c.GetVerified() {
		t.Error("a new contact is said to be verified")
	}
	_ = carol
}

// TestDirectoryThatFloods: endless and giant messages, revisions of all kinds,
// packets of nobody. People who have a link chat on, and the core answers.
func TestDirectoryThatFloods(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.lie()
	alice, bob := w.person("alice"), w.person("bob")
	w.befriend(alice, bob)
	presence := func(p *directorypb.Presence) *directorypb.SessionResponse {
		return &directorypb.SessionResponse{Response: &directorypb.SessionResponse_Presence{Presence: p}}
	}
	picture := make([]byte, 60<<10)
	var many []*directorypb.Device
	for i := range 16 {
		many = append(many, &directorypb.Device{Key: bytes.Repeat([]byte{byte(i)}, ed25519.PublicKeySize)})
	}
	for _, c := range []struct {
		name string
		n    int
		make func(i int) *directorypb.SessionResponse
	}{
		{"strangers with pictures", 1500, func(i int) *directorypb.SessionResponse {
			return presence(&directorypb.Presence{User: fmt.Sprint("user", i), Online: true, Revision: uint64(i), Devices: many, Profile: &directorypb.Profile{Avatar: picture}})
		}},
		{"bob with other pictures", 1500, func(i int) *directorypb.SessionResponse {
			p := append([]byte(fmt.Sprint(i)), picture...)
			return presence(&directorypb.Presence{User: "bob", Online: true, Revision: math.MaxUint64 - 2000 + uint64(i), Devices: []*directorypb.Device{{Key: d.keys["bob"]}}, Profile: &directorypb.Profile{Avatar: p}})
		}},
		{"older revisions", 1000, func(i int) *directorypb.SessionResponse {
			return presence(&directorypb.Presence{User: "bob", Revision: uint64(1000 - i)})
		}},
		{"giants", 3, func(int) *directorypb.SessionResponse {
			return presence(&directorypb.Presence{User: "bob", Profile: &directorypb.Profile{Avatar: make([]byte, 16<<20)}})
		}},
		{"receipts of nothing", 20_000, func(i int) *directorypb.SessionResponse {
			return &directorypb.SessionResponse{Response: &directorypb.SessionResponse_Receipt{Receipt: &directorypb.Receipt{Id: uint64(1<<40 + i), Message: "x"}}}
		}},
		{"packets of nobody", 2000, func(i int) *directorypb.SessionResponse {
			return delivered(uint64(1<<41+i), "bob", bytes.Repeat([]byte{byte(i)}, 4000), many[0].GetKey())
		}},
		{"begun again", 100, func(i int) *directorypb.SessionResponse {
			return &directorypb.SessionResponse{Response: &directorypb.SessionResponse_Begun{Begun: &directorypb.Begun{Revision: uint64(i), ObservedHost: "x", Time: math.MinInt64}}}
		}},
		{"go away", 100, func(int) *directorypb.SessionResponse {
			return &directorypb.SessionResponse{Response: &directorypb.SessionResponse_GoAway{GoAway: &directorypb.GoAway{SpreadMs: math.MaxUint32}}}
		}},
		{"nothing", 1000, func(int) *directorypb.SessionResponse { return &directorypb.SessionResponse{} }},
	} {
		w.until("alice has a session before "+c.name, func() bool {
			d.mu.Lock()
			defer d.mu.Unlock()
			return d.online["alice"] != nil || c.name == "nothing" // after a "go away" it may be long
		})
		sent := 0
		for i := range c.n {
			if d.say("alice", c.make(i)) != nil {
				break // it has left
			}
			sent++
		}
		t.Logf("%s: %d", c.name, sent)
		w.chat(alice, bob, c.name)
	}
	w.bounded("alice's core", alice.core)
}
