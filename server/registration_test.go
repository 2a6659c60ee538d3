package server_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/server"
	"github.com/parley-chat/parley/server/api"
	"github.com/parley-chat/parley/server/directory"
)

func (d *device) registerWith(user, invite string) error {
	_, err := d.Register(d.t.Context(), &directorypb.RegisterRequest{User: user, Password: goodPassword, Invite: invite})
	return err
}

func mode(m api.Registration) func(*server.Config) {
	return func(cfg *server.Config) { cfg.Registration = m }
}

func (r *running) invite(uses int, expires time.Time) (id, code string) {
	r.t.Helper()
	i := directory.Invite{Uses: uses}
	if !expires.IsZero() {
		i.ExpiresAt = expires.UnixMicro()
	}
	made, code, err := r.server.Directory().CreateInvite(r.t.Context(), i)
	if err != nil {
		r.t.Fatal(err)
	}
	return made.ID, code
}

func TestClosedRegistration(t *testing.T) {
	r := start(t, mode(api.RegistrationOpen))
	alice := r.registered("alice")
	r.stop()
	r.cfg.Registration = api.RegistrationClosed
	r.start()
	wantCode(t, r.device().register("bob", goodPassword), codes.PermissionDenied)
	// Names are not told to who may not have one.
	wantCode(t, r.device().register("alice", goodPassword), codes.PermissionDenied)
	wantCode(t, r.connect(alice.key).register("alice", goodPassword), codes.OK)
	wantCode(t, r.connect(alice.key).logIn("alice", goodPassword, false), codes.OK)
}

func TestInvites(t *testing.T) {
	r := start(t, mode(api.RegistrationInvite))
	_, once := r.invite(1, time.Time{})
	id, revoked := r.invite(5, time.Now().Add(time.Hour))
	if err := r.server.Directory().RevokeInvite(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	_, expired := r.invite(5, time.Now().Add(-time.Second))
	wantCode(t, r.device().registerWith("nobody", ""), codes.PermissionDenied)
	wantCode(t, r.device().registerWith("nobody", "wrong"), codes.PermissionDenied)
	wantCode(t, r.device().registerWith("nobody", revoked), codes.PermissionDenied)
	wantCode(t, r.device().registerWith("nobody", expired), codes.PermissionDenied)

	_, twice := r.invite(2, time.Now().Add(time.Hour))
	wantCode(t, r.device().registerWith("alice", once), codes.OK)
	wantCode(t, r.device().registerWith("bob", once), codes.PermissionDenied)
	// A name that is taken uses nothing.
	wantCode(t, r.device().registerWith("alice", twice), codes.AlreadyExists)
	wantCode(t, r.device().registerWith("carol", twice), codes.OK)
	r.stop()
	r.start()
	dave := r.device()
	wantCode(t, dave.registerWith("dave", twice), codes.OK)
	// The answer got lost: the same again is the same account.
	wantCode(t, dave.registerWith("dave", twice), codes.OK)
	wantCode(t, r.device().registerWith("erin", twice), codes.PermissionDenied)

	// A name that was removed can be had again.
	if err := r.server.Directory().RemoveAccount(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	_, third := r.invite(1, time.Time{})
	wantCode(t, r.device().registerWith("alice", third), codes.OK)
}

func TestInviteIsUsedAsOftenAsItSaysInARace(t *testing.T) {
	r := start(t, mode(api.RegistrationInvite))
	const uses, people = 3, 8
	_, code := r.invite(uses, time.Time{})
	errs := make([]error, people)
	var all sync.WaitGroup
	for i := range people {
		d := r.device()
		all.Go(func() { errs[i] = d.registerWith(fmt.Sprint("user", i), code) })
	}
	all.Wait()
	made := 0
	for _, err := range errs {
		if status.Code(err) == codes.OK {
			made++
			continue
		}
		wantCode(t, err, codes.PermissionDenied)
	}
	invites := r.server.Directory().Invites()
	if made != uses || len(r.server.Directory().Accounts()) != uses || len(invites) != 1 || invites[0].Used != uses {
		t.Errorf("%d accounts were made, %v", made, invites)
	}
}

func TestDisabledAccount(t *testing.T) {
	r := start(t, nil)
	alice, bob := r.registered("alice"), r.registered("bob")
	a, b := alice.begin(lists{contacts: []string{"bob"}}), bob.begin(lists{contacts: []string{"alice"}})
	b.awaitPresence("alice", true)
	disable := func(is bool) {
		t.Helper()
		if _, err := r.server.Directory().ChangeAccount(t.Context(), "alice", func(a *directory.Account) error {
			a.Disabled = is
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	disable(true)
	if code := a.ended(); code != codes.PermissionDenied {
		t.Errorf("the session ended with %s", code)
	}
	b.awaitPresence("alice", false)
	_, err := alice.lookUp("bob")
	wantCode(t, err, codes.PermissionDenied)
	wantCode(t, alice.logIn("alice", goodPassword, false), codes.PermissionDenied)
	wantCode(t, r.device().logIn("alice", goodPassword, true), codes.PermissionDenied)
	wantCode(t, r.device().logIn("alice", "wrong password", true), codes.Unauthenticated)
	wantCode(t, alice.register("alice", goodPassword), codes.PermissionDenied)
	if code := alice.open().ended(); code != codes.PermissionDenied {
		t.Errorf("a new session ended with %s", code)
	}
	disable(false)
	wantCode(t, alice.logIn("alice", goodPassword, false), codes.OK)
	alice.begin(lists{contacts: []string{"bob"}})
	b.awaitPresence("alice", true)
}

func TestRemovedAccountLeavesNothing(t *testing.T) {
	r := start(t, nil)
	alice, bob := r.registered("alice"), r.registered("bob")
	carol := r.registered("carol")
	_, err := alice.SetProfile(t.Context(), &directorypb.SetProfileRequest{Profile: &directorypb.Profile{DisplayName: "Alice", Avatar: png}})
	wantCode(t, err, codes.OK)
	a, b := alice.begin(lists{contacts: []string{"bob"}}), bob.begin(lists{contacts: []string{"alice"}})
	b.awaitPresence("alice", true)
	// One request from her waits for carol, and one of bob's for her.
	if got := a.deliver(1, "carol", alice.packet(packet.TypeRequest, "alice", "carol", "hello")); got.GetCode() != 0 {
		t.Fatal(got)
	}
	if got := b.deliver(1, "alice", bob.packet(packet.TypeRequest, "bob", "alice", "hello")); got.GetCode() != 0 {
		t.Fatal(got)
	}
	old, err := r.server.Directory().Account("alice")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.server.Directory().RemoveAccount(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	if code := a.ended(); code != codes.Unauthenticated {
		t.Errorf("the session ended with %s", code)
	}
	b.awaitPresence("alice", false)
	_, err = bob.lookUp("alice")
	wantCode(t, err, codes.NotFound)
	wantCode(t, alice.logIn("alice", goodPassword, false), codes.Unauthenticated)
	if left, err := r.server.Directory().Avatar(t.Context(), old); err != nil || len(left) > 0 {
		t.Errorf("the picture is still there: %v", err)
	}

	// Who takes the name gets nothing of hers.
	second := r.registered("alice").begin(lists{contacts: []string{"bob"}})
	second.quiet("a request for the one before", func(m *directorypb.SessionResponse) bool { return m.GetDelivered() != nil })
	carol.begin(lists{}).quiet("a request of the one before", func(m *directorypb.SessionResponse) bool { return m.GetDelivered() != nil })
	if err := r.server.Directory().RemoveAccount(t.Context(), "nobody"); err == nil {
		t.Error("nobody was removed")
	}
}

// A removal that a crash cut short goes on when the server is there again.
func TestRemovalIsFinishedAfterACrash(t *testing.T) {
	r := start(t, nil)
	r.registered("alice")
	if _, err := r.server.Directory().ChangeAccount(t.Context(), "alice", func(a *directory.Account) error {
		a.Removing = true
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, r.device().register("alice", goodPassword), codes.AlreadyExists)
	r.stop()
	r.start()
	wantCode(t, r.device().register("alice", goodPassword), codes.OK)
}

// What was removed is gone for whoever asks next, on any connection.
func TestRevokedAtOnce(t *testing.T) {
	r := start(t, mode(api.RegistrationInvite))
	dir := r.server.Directory()
	for range 200 {
		_, code := r.invite(1, time.Time{})
		if err := dir.RevokeInvite(t.Context(), code); err != nil {
			t.Fatal(err)
		}
		if err := dir.CheckInvite(code); !errors.Is(err, directory.ErrNoInvite) {
			t.Fatalf("a revoked invite can be used: %v", err)
		}
		if err := dir.RevokeInvite(t.Context(), code); !errors.Is(err, directory.ErrNoInvite) {
			t.Fatalf("revoked again: %v", err)
		}
	}
}
