package main

import (
	"context"
	"crypto/tls"
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
	"google.golang.org/grpc/credentials"

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

// change writes a new value, and notes what came of it.
func (f *fact) change(to string, write func() error) error {
	f.mu.Lock()
	f.underWay = &to
	f.mu.Unlock()
	err := write()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.acknowledged, f.underWay = to, nil
		f.changes++
	}
	return err
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
		if k.ids[user], err = k.registered(user); err != nil {
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
func (k *killed) register(user packet.UserID) error {
	_, err := k.registered(user)
	return err
}

func (k *killed) registered(user packet.UserID) (*identity.Identity, error) {
	id, err := identity.Generate(user)
	if err != nil {
		return nil, err
	}
	client, done := k.device(id)
	defer done()
	_, err = client.Register(context.Background(), &directorypb.RegisterRequest{User: string(user), Password: goodPassword, Invite: k.code})
	return id, err
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
	if err := k.p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		k.t.Fatal(err)
	}
	_ = k.p.cmd.Wait()
	all.Wait()
	k.start()
	k.check()
}

func (k *killed) changePassword() error {
	client, done := k.as("password")
	defer done()
	before := k.password.may()[0]
	after := fmt.Sprint(goodPassword, k.next.Add(1))
	return k.password.change(after, func() error {
		_, err := client.ChangePassword(context.Background(), &directorypb.ChangePasswordRequest{OldPassword: before, NewPassword: after})
		return err
	})
}

func (k *killed) setProfile() error {
	client, done := k.as("profile")
	defer done()
	name := fmt.Sprint(k.next.Add(1))
	return k.profile.change(name, func() error {
		_, err := client.SetProfile(context.Background(), &directorypb.SetProfileRequest{
			Profile: &directorypb.Profile{DisplayName: name, Avatar: pictureOf(name)},
		})
		return err
	})
}

func pictureOf(name string) []byte { return append([]byte("\x89PNG\r\n\x1a\n"), name...) }

func (k *killed) disable(to admin.Admin) error {
	is := k.disabled.may()[0] == "false"
	return k.disabled.change(fmt.Sprint(is), func() error {
		return to.SetDisabled(context.Background(), admin.SetDisabled{User: "disabled", Disabled: is})
	})
}

const removedPrefix = "removed"

// addAndRemove adds the one account of its kind, or removes it.
func (k *killed) addAndRemove(to admin.Admin) error {
	if there := k.removed.may()[0]; there != "" {
		return k.removed.change("", func() error { return to.RemoveUser(context.Background(), there) })
	}
	name := fmt.Sprint(removedPrefix, k.next.Add(1))
	return k.removed.change(name, func() error {
		return to.AddUser(context.Background(), admin.AddUser{User: name, Password: goodPassword})
	})
}

// invite has one more account made with the invite.
func (k *killed) invite() error {
	used, err := strconv.Atoi(k.invited.may()[0])
	if err != nil {
		return err
	}
	return k.invited.change(fmt.Sprint(used+1), func() error { return k.register(packet.UserID(fmt.Sprint("invited", k.next.Add(1)))) })
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
		if _, err := client.LogIn(ctx, &directorypb.LogInRequest{User: "password", Password: may}); err == nil {
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
