package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/server/admin"
)

// fact is something that was written: what was acknowledged last, and what is
// being written now. After a crash either may be true, and nothing else.
type fact struct {
	mu           sync.Mutex // guards all below
	acknowledged string
	underWay     *string
	changes      int // since it was settled
}

// change writes a new value, and notes what came of it. What a server that is too
// busy may have written or not is asked for again: write is to take it for written
// when it was.
func (k *killed) change(f *fact, to string, write func(again bool) error) error {
	f.mu.Lock()
	f.underWay = &to
	f.mu.Unlock()
	err := write(false)
	for busy(err) && !k.over.Load() {
		time.Sleep(50 * time.Millisecond) // who is refused waits, and tries again
		err = write(true)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.acknowledged, f.underWay = to, nil
		f.changes++
	}
	return err
}

// busy says whether the server could not do something in time.
func busy(err error) bool {
	var refused *admin.Error
	if errors.As(err, &refused) {
		return refused.Kind == admin.KindUnavailable
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted:
		return true
	default:
		return false
	}
}

func (f *fact) may() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.underWay == nil {
		return []string{f.acknowledged}
	}
	return []string{f.acknowledged, *f.underWay}
}

func (f *fact) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changes
}

// settle compares what was found with what may be, and goes on from it.
func (f *fact) settle(t *testing.T, what, found string) {
	t.Helper()
	if may := f.may(); !slices.Contains(may, found) {
		t.Errorf("%s: %q is left, want one of %q", what, found, may)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.acknowledged, f.underWay, f.changes = found, nil, 0
}

// killed is a server that is killed while accounts change in every way.
type killed struct {
	t            *testing.T
	data, config string
	p            *process
	// Of accounts of these names.
	password, profile, disabled, removed, invited fact

	over   atomic.Bool   // the server is killed, or is to be at once
	next   atomic.Uint64 // makes names
	random *rand.Rand
	ids    map[packet.UserID]*identity.Identity
	code   string // of the invite
}

// Whatever was acknowledged before a kill -9 holds after it: passwords, profiles,
// what the operator disabled, removed and added, and the uses of invites.
func TestKillLosesNoAcknowledgedChange(t *testing.T) {
	kills(t, 2)
}

func TestSoakKill(t *testing.T) {
	soak, err := time.ParseDuration(os.Getenv("PARLEY_SOAK"))
	if err != nil {
		t.Skip("set PARLEY_SOAK to a duration")
	}
	end := time.Now().Add(soak)
	for time.Now().Before(end) {
		kills(t, 10)
	}
}

func kills(t *testing.T, rounds int) {
	k := &killed{t: t, data: t.TempDir(), config: filepath.Join(t.TempDir(), "server.toml"), ids: map[packet.UserID]*identity.Identity{},
		random: rand.New(rand.NewPCG(3, 9))} //nolint:gosec // no secret
	unlimited := "registration = \"invite\"\n[limits]\nregister.burst = 0\nset-profile.burst = 0\n"
	if err := os.WriteFile(k.config, []byte(unlimited), 0o600); err != nil {
		t.Fatal(err)
	}
	k.start()
	to := k.operator()
	invite, err := to.CreateInvite(t.Context(), admin.CreateInvite{Uses: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	k.code = invite.Code
	for _, user := range []packet.UserID{"password", "profile", "disabled"} {
		if k.ids[user], err = identity.Generate(user); err == nil {
			err = k.register(k.ids[user])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	k.password.acknowledged, k.profile.acknowledged = goodPassword, "profile"
	k.disabled.acknowledged, k.removed.acknowledged, k.invited.acknowledged = "false", "", fmt.Sprint(len(k.ids))
	for range rounds {
		k.round()
	}
}

func (k *killed) start() {
	k.p = startProcess(k.t, k.data, "--config", k.config)
}

func (k *killed) operator() admin.Admin {
	k.t.Helper()
	to, closeAdmin, err := admin.Open(k.t.Context(), k.data, slog.New(slog.DiscardHandler))
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(closeAdmin)
	return to
}

// as gives a client with the device of one of the first users.
func (k *killed) as(user packet.UserID) (directorypb.DirectoryClient, func()) {
	return k.device(k.ids[user])
}

func (k *killed) device(id *identity.Identity) (directorypb.DirectoryClient, func()) {
	conn, err := grpc.NewClient(k.p.addr, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		InsecureSkipVerify: true, Certificates: []tls.Certificate{id.Certificate()},
	})))
	if err != nil {
		k.t.Fatal(err)
	}
	return directorypb.NewDirectoryClient(conn), func() { _ = conn.Close() }
}

// register makes an account with the invite.
func (k *killed) register(id *identity.Identity) error {
	client, done := k.device(id)
	defer done()
	_, err := client.Register(context.Background(), &directorypb.RegisterRequest{User: string(id.User()), Password: goodPassword, Invite: k.code})
	return err
}

// round changes everything until the server is killed, and looks at what is left.
func (k *killed) round() {
	k.t.Helper()
	to := k.operator() // through the server, and not the folder of one that was killed
	var all sync.WaitGroup
	var mu sync.Mutex // guards ended
	var ended []error // of those who change
	for _, work := range []func() error{
		k.changePassword, k.setProfile, k.invite,
		func() error { return k.disable(to) }, func() error { return k.addAndRemove(to) },
	} {
		all.Go(func() {
			var err error
			for err == nil {
				err = work()
			}
			mu.Lock()
			defer mu.Unlock()
			ended = append(ended, err)
		})
	}
	facts := []*fact{&k.password, &k.profile, &k.disabled, &k.removed, &k.invited}
	for end := time.Now().Add(3 * patience); slices.ContainsFunc(facts, func(f *fact) bool { return f.count() < 2 }); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			var counts []int
			for _, f := range facts {
				counts = append(counts, f.count())
			}
			mu.Lock()
			k.t.Errorf("not everything was changed twice: password, profile, disabled, removed and invited %v times, and those ended: %v", counts, ended)
			mu.Unlock()
			break
		}
	}
	// The moment of the kill wanders; this is not a wait for anything.
	time.Sleep(time.Duration(k.random.IntN(30_000)) * time.Microsecond)
	k.over.Store(true)
	if err := k.p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		k.t.Fatal(err)
	}
	_ = k.p.cmd.Wait()
	all.Wait()
	k.over.Store(false)
	k.start()
	k.check()
}

func (k *killed) changePassword() error {
	client, done := k.as("password")
	defer done()
	before := k.password.may()[0]
	after := fmt.Sprint(goodPassword, k.next.Add(1))
	return k.change(&k.password, after, func(again bool) error {
		_, err := client.ChangePassword(context.Background(), &directorypb.ChangePasswordRequest{OldPassword: before, NewPassword: after})
		if again && status.Code(err) == codes.Unauthenticated {
			_, err = client.ChangePassword(context.Background(), &directorypb.ChangePasswordRequest{OldPassword: after, NewPassword: after})
		}
		return err
	})
}

func (k *killed) setProfile() error {
	client, done := k.as("profile")
	defer done()
	name := fmt.Sprint(k.next.Add(1))
	return k.change(&k.profile, name, func(bool) error {
		_, err := client.SetProfile(context.Background(), &directorypb.SetProfileRequest{
			Profile: &directorypb.Profile{DisplayName: name, Avatar: pictureOf(name)},
		})
		return err
	})
}

func pictureOf(name string) []byte { return append([]byte("\x89PNG\r\n\x1a\n"), name...) }

func (k *killed) disable(to admin.Admin) error {
	is := k.disabled.may()[0] == "false"
	return k.change(&k.disabled, fmt.Sprint(is), func(bool) error {
		return to.SetDisabled(context.Background(), admin.SetDisabled{User: "disabled", Disabled: is})
	})
}

const removedPrefix = "removed"

// addAndRemove adds the one account of its kind, or removes it.
func (k *killed) addAndRemove(to admin.Admin) error {
	if there := k.removed.may()[0]; there != "" {
		return k.change(&k.removed, "", func(again bool) error {
			return unless(again, admin.KindNotFound, to.RemoveUser(context.Background(), there))
		})
	}
	name := fmt.Sprint(removedPrefix, k.next.Add(1))
	return k.change(&k.removed, name, func(again bool) error {
		return unless(again, admin.KindExists, to.AddUser(context.Background(), admin.AddUser{User: name, Password: goodPassword}))
	})
}

// unless gives an error, but for one of a second try that says that the first did it.
func unless(again bool, did admin.Kind, err error) error {
	var refused *admin.Error
	if again && errors.As(err, &refused) && refused.Kind == did {
		return nil
	}
	return err
}

// invite has one more account made with the invite.
func (k *killed) invite() error {
	used, err := strconv.Atoi(k.invited.may()[0])
	if err != nil {
		return err
	}
	id, err := identity.Generate(packet.UserID(fmt.Sprint("invited", k.next.Add(1))))
	if err != nil {
		return err
	}
	return k.change(&k.invited, fmt.Sprint(used+1), func(again bool) error {
		err := k.register(id)
		if again && status.Code(err) == codes.AlreadyExists {
			return nil
		}
		return err
	})
}

// check looks at what is there after the server was started again.
func (k *killed) check() {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), 3*patience)
	defer cancel()
	client, done := k.as("password")
	defer done()
	password := "none of them"
	for _, may := range k.password.may() {
		_, err := client.LogIn(ctx, &directorypb.LogInRequest{User: "password", Password: may})
		for ; busy(err) && ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
			_, err = client.LogIn(ctx, &directorypb.LogInRequest{User: "password", Password: may})
		}
		if err == nil {
			password = may
		}
	}
	k.password.settle(k.t, "password", password)

	client, done = k.as("profile")
	defer done()
	found, err := client.LookUp(ctx, &directorypb.LookUpRequest{User: "profile"})
	if err != nil {
		k.t.Fatal(err)
	}
	name := found.GetProfile().GetDisplayName()
	k.profile.settle(k.t, "name", name)
	if picture := found.GetProfile().GetAvatar(); string(picture) != string(pictureOf(name)) {
		k.t.Errorf("the picture of %q is %q", name, picture)
	}

	to := k.operator()
	users, err := to.Users(ctx)
	if err != nil {
		k.t.Fatal(err)
	}
	removed, invited := "", 0
	for _, u := range users {
		switch {
		case u.User == "disabled":
			k.disabled.settle(k.t, "disabled", fmt.Sprint(u.Disabled))
		case strings.HasPrefix(u.User, removedPrefix):
			removed += u.User
		}
		if !strings.HasPrefix(u.User, removedPrefix) {
			invited++
		}
	}
	k.removed.settle(k.t, "removed", removed)
	k.invited.settle(k.t, "accounts made with the invite", fmt.Sprint(invited))
	invites, err := to.Invites(ctx)
	if err != nil || len(invites) != 1 || invites[0].Used != invited {
		k.t.Errorf("%d accounts were made with the invite: %+v, %v", invited, invites, err)
	}
}
