package directory_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/directory"
	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
)

var png = []byte("\x89PNG\r\n\x1a\n and what makes a picture")

func TestLogInErrors(t *testing.T) {
	r := start(t)
	alice := newIdentity(t, "alice")
	register := func(user packet.UserID, pass string) error {
		_, err := directory.Register(t.Context(), r.target(newIdentity(t, user)), directory.Registration{Password: pass})
		return err
	}
	logIn := func(user packet.UserID, pass string, replace bool) error {
		_, err := directory.LogIn(t.Context(), r.target(newIdentity(t, user)), directory.Credentials{Password: pass, Replace: replace})
		return err
	}
	if _, err := directory.Register(t.Context(), r.target(alice), directory.Registration{Password: goodPassword, DisplayName: "Alice"}); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		err  error
		kind error
		code codes.Code
	}{
		{"taken name", register("alice", goodPassword), directory.ErrTaken, codes.AlreadyExists},
		{"short password", register("bob", "short"), directory.ErrInvalid, codes.InvalidArgument},
		{"wrong password", logIn("alice", "wrong password", false), directory.ErrPassword, codes.Unauthenticated},
		{"unknown user", logIn("nobody", goodPassword, false), directory.ErrPassword, codes.Unauthenticated},
		{"second device", logIn("alice", goodPassword, false), directory.ErrOtherDevice, codes.FailedPrecondition},
		{"second device in place of the first", logIn("alice", goodPassword, true), nil, codes.OK},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !errors.Is(tt.err, tt.kind) || status.Code(tt.err) != tt.code {
				t.Errorf("got %v (%s)", tt.err, status.Code(tt.err))
			}
			if tt.err != nil && !strings.HasSuffix(tt.err.Error(), ".") {
				t.Errorf("not a sentence: %q", tt.err)
			}
		})
	}
	login, err := directory.LogIn(t.Context(), r.target(alice), directory.Credentials{Password: goodPassword, Replace: true})
	if err != nil || login.Profile.GetDisplayName() != "Alice" {
		t.Errorf("%v, %v", login, err)
	}
}

func TestPresence(t *testing.T) {
	r := start(t)
	alice, bob := r.registered("alice", "bob"), r.registered("bob", "alice")
	p := alice.awaitPresence("bob", true)
	if len(p.Endpoints) != 1 || p.Endpoints[0] != (bus.Endpoint{Host: "192.0.2.1", Port: 4000}) ||
		len(p.Keys) != 1 || !p.Keys[0].Equal(bob.id.Key()) || p.DisplayName != "bob" {
		t.Errorf("presence is %+v", p)
	}
	if known, ok := alice.Presence("bob"); !ok || !known.Online {
		t.Errorf("known is %+v, %t", known, ok)
	}
	bob.change(func() { bob.endpoints = []bus.Endpoint{{Host: "2001:db8::1", Port: 5000}} })
	if p := alice.awaitPresence("bob", true); len(p.Endpoints) != 1 || p.Endpoints[0].Host != "2001:db8::1" {
		t.Errorf("endpoints are %v", p.Endpoints)
	}
	if err := bob.SetProfile(t.Context(), &directorypb.Profile{DisplayName: "Bob", Avatar: png}); err != nil {
		t.Fatal(err)
	}
	hash := packet.HashOf(png)
	if p := alice.awaitPresence("bob", true); p.DisplayName != "Bob" || !bytes.Equal(p.AvatarHash, hash[:]) {
		t.Errorf("profile in presence: %+v", p)
	}
	found, err := alice.LookUp(t.Context(), "bob")
	if err != nil || !bytes.Equal(found.GetProfile().GetAvatar(), png) || found.GetUser() != "bob" || len(found.GetDevices()) != 1 {
		t.Errorf("looked up %v, %v", found, err)
	}
	bob.stop()
	alice.awaitPresence("bob", false)
}

func TestContactsChange(t *testing.T) {
	r := start(t)
	alice, bob := r.registered("alice"), r.registered("bob", "alice")
	alice.change(func() { alice.contacts = []packet.UserID{"bob"} })
	alice.awaitPresence("bob", true)
	bob.awaitPresence("alice", true)
	alice.change(func() { alice.contacts = nil })
	alice.awaitPresence("bob", false)
	bob.awaitPresence("alice", false)
	if p, ok := alice.Presence("bob"); ok {
		t.Errorf("who is no contact is remembered: %+v", p)
	}
	alice.change(func() { alice.contacts = []packet.UserID{"bob"} })
	alice.awaitPresence("bob", true)
	alice.change(func() { alice.blocked = []packet.UserID{"bob"} })
	bob.awaitPresence("alice", true)
	bob.awaitPresence("alice", false)
}

func TestDeliver(t *testing.T) {
	r := start(t)
	alice, bob := r.registered("alice"), r.registered("bob")
	request := alice.request("bob", "hello")
	if err := alice.Deliver(t.Context(), "bob", request); err != nil {
		t.Fatal(err)
	}
	d := bob.awaitDelivered()
	if !bytes.Equal(d.GetPacket(), request) || d.GetFrom() != "alice" || d.GetProfile().GetDisplayName() != "alice" {
		t.Errorf("delivered %v", d)
	}
	// Not taken, so it comes again.
	bob.stop()
	bob = r.serve(bob.id)
	if again := bob.awaitDelivered(); again.GetDelivery() != d.GetDelivery() {
		t.Errorf("delivery %d came as %d", d.GetDelivery(), again.GetDelivery())
	}
	if err := bob.Took(t.Context(), d.GetDelivery()); err != nil {
		t.Fatal(err)
	}
	// Bob's session is handled in order: once this is answered the packet is taken.
	if err := bob.Deliver(t.Context(), "bob", nil); !errors.Is(err, directory.ErrInvalid) {
		t.Errorf("to oneself: %v", err)
	}
	if err := alice.Deliver(t.Context(), "bob", bob.request("alice", "hello")); !errors.Is(err, directory.ErrInvalid) {
		t.Errorf("another's packet: %v", err)
	}
	if err := alice.Deliver(t.Context(), "nobody", alice.request("nobody", "hello")); !errors.Is(err, directory.ErrNoUser) || status.Code(err) != codes.NotFound {
		t.Errorf("to nobody: %v", err)
	}
	// A second packet proves that the taken one does not come before it.
	bob.stop()
	carol := r.registered("carol")
	if err := carol.Deliver(t.Context(), "bob", carol.request("bob", "hello")); err != nil {
		t.Fatal(err)
	}
	bob = r.serve(bob.id)
	if d := bob.awaitDelivered(); d.GetFrom() != "carol" {
		t.Errorf("what was taken came again: %v", d)
	}
}

func TestCalls(t *testing.T) {
	r := start(t)
	alice := r.registered("alice")
	if _, err := alice.LookUp(t.Context(), "nobody"); !errors.Is(err, directory.ErrNoUser) {
		t.Errorf("look-up of nobody: %v", err)
	}
	if err := alice.SetProfile(t.Context(), &directorypb.Profile{Avatar: []byte("no picture")}); !errors.Is(err, directory.ErrInvalid) {
		t.Errorf("no picture: %v", err)
	}
	if err := alice.ChangePassword(t.Context(), "wrong password", "a new password"); !errors.Is(err, directory.ErrPassword) {
		t.Errorf("wrong password: %v", err)
	}
	if err := alice.ChangePassword(t.Context(), goodPassword, "a new password"); err != nil {
		t.Error(err)
	}
	if _, err := directory.LogIn(t.Context(), r.target(alice.id), directory.Credentials{Password: "a new password"}); err != nil {
		t.Error(err)
	}
	if err := alice.LogOut(t.Context()); err != nil {
		t.Error(err)
	}
	alice.awaitState(directory.ErrNotLoggedIn)
}

func TestReplacedDeviceLearnsIt(t *testing.T) {
	r := start(t)
	alice := r.registered("alice")
	if _, err := directory.LogIn(t.Context(), r.target(newIdentity(t, "alice")), directory.Credentials{Password: goodPassword, Replace: true}); err != nil {
		t.Fatal(err)
	}
	alice.awaitState(directory.ErrNotLoggedIn)
	if _, err := alice.LookUp(t.Context(), "bob"); !errors.Is(err, directory.ErrUnreachable) || !errors.Is(err, directory.ErrNotLoggedIn) {
		t.Errorf("without a session: %v", err)
	}
}

func TestTwoProcessesWithOneKey(t *testing.T) {
	r := start(t)
	first := r.registered("alice")
	second := r.serve(first.id)
	second.awaitConnected(true)
	first.awaitState(directory.ErrReplaced)
}

func TestRestartOfTheDirectory(t *testing.T) {
	r := start(t)
	alice, bob := r.registered("alice", "bob"), r.registered("bob", "alice")
	alice.awaitPresence("bob", true)
	r.stop()
	alice.awaitConnected(false)
	if p, ok := alice.Presence("bob"); !ok || !p.Online {
		t.Errorf("presence was not kept without a directory: %+v, %t", p, ok)
	}
	if err := alice.Deliver(t.Context(), "bob", alice.request("bob", "hello")); !errors.Is(err, directory.ErrUnreachable) || status.Code(err) != codes.Unavailable {
		t.Errorf("deliver without a session: %v", err)
	}
	r.start()
	alice.Wake()
	bob.Wake()
	alice.awaitConnected(true)
	bob.awaitConnected(false)
	bob.awaitConnected(true)
	// Whatever came between, it ends well.
	for {
		if p, ok := alice.Presence("bob"); ok && p.Online {
			break
		}
		next(t, "presence", alice.presence, func(bus.Presence) bool { return true })
	}
}

func TestStateTellsTheClock(t *testing.T) {
	r := start(t)
	alice := r.registered("alice")
	s := alice.State()
	if !s.Connected || s.Observed != "127.0.0.1" || s.ClockOffset == 0 || s.ClockOffset.Abs() > patience {
		t.Errorf("state is %+v", s)
	}
}
