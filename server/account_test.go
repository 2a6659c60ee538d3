package server_test

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/server"
	"github.com/parley-chat/parley/server/api"
)

var png = []byte("\x89PNG\r\n\x1a\n and what makes a picture")

func TestRegister(t *testing.T) {
	r := start(t, nil)
	tests := []struct {
		name string
		req  *directorypb.RegisterRequest
		want codes.Code
	}{
		{"good", &directorypb.RegisterRequest{User: "alice", Password: goodPassword}, codes.OK},
		{"dots where a key has its separators", &directorypb.RegisterRequest{User: "a..b.", Password: goodPassword}, codes.OK},
		{"taken", &directorypb.RegisterRequest{User: "alice", Password: goodPassword}, codes.AlreadyExists},
		{"upper case", &directorypb.RegisterRequest{User: "Bob", Password: goodPassword}, codes.InvalidArgument},
		{"wildcard", &directorypb.RegisterRequest{User: "*", Password: goodPassword}, codes.InvalidArgument},
		{"empty user", &directorypb.RegisterRequest{Password: goodPassword}, codes.InvalidArgument},
		{"long user", &directorypb.RegisterRequest{User: strings.Repeat("a", 65), Password: goodPassword}, codes.InvalidArgument},
		{"short password", &directorypb.RegisterRequest{User: "bob", Password: "1234567"}, codes.InvalidArgument},
		{"long password", &directorypb.RegisterRequest{User: "bob", Password: strings.Repeat("1", 257)}, codes.InvalidArgument},
		{"long name", &directorypb.RegisterRequest{User: "bob", Password: goodPassword, DisplayName: strings.Repeat("x", 65)}, codes.InvalidArgument},
		{"name that turns writing round", &directorypb.RegisterRequest{User: "bob", Password: goodPassword, DisplayName: "x\u202ey"}, codes.InvalidArgument},
		{"name with a control character", &directorypb.RegisterRequest{User: "bob", Password: goodPassword, DisplayName: "x\ny"}, codes.InvalidArgument},
		{"long invite", &directorypb.RegisterRequest{User: "bob", Password: goodPassword, Invite: strings.Repeat("x", 1000)}, codes.InvalidArgument},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := r.device().Register(t.Context(), tt.req)
			wantCode(t, err, tt.want)
		})
	}
}

func TestRegisterAgainByTheSameDevice(t *testing.T) {
	r := start(t, nil)
	alice := r.registered("alice")
	wantCode(t, alice.register("alice", goodPassword), codes.OK)
	wantCode(t, alice.register("alice", "another password"), codes.AlreadyExists)
	wantCode(t, alice.register("bob", goodPassword), codes.PermissionDenied)
}

func TestNameIsGivenOnceInARace(t *testing.T) {
	r := start(t, nil)
	const devices = 8
	errs := make([]error, devices)
	var all sync.WaitGroup
	for i := range devices {
		d := r.device()
		all.Go(func() { errs[i] = d.register("alice", goodPassword) })
	}
	all.Wait()
	made := 0
	for _, err := range errs {
		if err == nil {
			made++
			continue
		}
		wantCode(t, err, codes.AlreadyExists)
	}
	if made != 1 {
		t.Errorf("%d of %d got the name", made, devices)
	}
}

func TestLogIn(t *testing.T) {
	r := start(t, nil)
	alice := r.registered("alice")

	t.Run("wrong password and unknown user look the same", func(t *testing.T) {
		wrong := r.device().logIn("alice", "wrong password", true)
		unknown := r.device().logIn("nobody", "wrong password", true)
		wantCode(t, wrong, codes.Unauthenticated)
		if wrong.Error() != unknown.Error() {
			t.Errorf("%q and %q differ", wrong, unknown)
		}
	})
	t.Run("same device", func(t *testing.T) {
		wantCode(t, alice.logIn("alice", goodPassword, false), codes.OK)
	})
	t.Run("another device asks first", func(t *testing.T) {
		wantCode(t, r.device().logIn("alice", goodPassword, false), codes.FailedPrecondition)
		_, err := alice.lookUp("alice")
		wantCode(t, err, codes.OK)
	})
	t.Run("replacing revokes and ends the session", func(t *testing.T) {
		session := alice.begin(lists{})
		second := r.device()
		wantCode(t, second.logIn("alice", goodPassword, true), codes.OK)
		if code := session.ended(); code != codes.Unauthenticated {
			t.Errorf("session of the revoked device ended with %s", code)
		}
		_, err := alice.lookUp("alice")
		wantCode(t, err, codes.Unauthenticated)
		found, err := second.lookUp("alice")
		wantCode(t, err, codes.OK)
		if len(found.GetDevices()) != 1 || string(found.GetDevices()[0].GetKey()) != string(second.public()) {
			t.Errorf("devices are %v", found.GetDevices())
		}
	})
}

func TestLogOut(t *testing.T) {
	r := start(t, nil)
	alice := r.registered("alice")
	session := alice.begin(lists{})
	for range 2 { // idempotent
		_, err := alice.LogOut(t.Context(), &directorypb.LogOutRequest{})
		wantCode(t, err, codes.OK)
	}
	if code := session.ended(); code != codes.Unauthenticated {
		t.Errorf("session ended with %s", code)
	}
	wantCode(t, r.device().logIn("alice", goodPassword, false), codes.OK)
}

func TestOnlyBoundDevices(t *testing.T) {
	r := start(t, nil)
	r.registered("alice")
	stranger := r.device()
	calls := map[string]func() error{
		"LookUp": func() error { _, err := stranger.lookUp("alice"); return err },
		"SetProfile": func() error {
			_, err := stranger.SetProfile(t.Context(), &directorypb.SetProfileRequest{})
			return err
		},
		"ChangePassword": func() error {
			_, err := stranger.ChangePassword(t.Context(), &directorypb.ChangePasswordRequest{OldPassword: goodPassword, NewPassword: goodPassword})
			return err
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) { wantCode(t, call(), codes.Unauthenticated) })
	}
	t.Run("Session", func(t *testing.T) {
		if code := stranger.open().ended(); code != codes.Unauthenticated {
			t.Errorf("got %s", code)
		}
	})
	t.Run("without a certificate", func(t *testing.T) {
		bare := r.connectWith(nil, &tls.Config{InsecureSkipVerify: true})
		if err := bare.register("bob", goodPassword); err == nil {
			t.Error("a device without a key could register")
		}
	})
}

func TestChangePassword(t *testing.T) {
	r := start(t, nil)
	alice := r.registered("alice")
	session := alice.begin(lists{})
	change := func(before, after string) error {
		_, err := alice.ChangePassword(t.Context(), &directorypb.ChangePasswordRequest{OldPassword: before, NewPassword: after})
		return err
	}
	wantCode(t, change("wrong password", "a new password"), codes.Unauthenticated)
	wantCode(t, change(goodPassword, "short"), codes.InvalidArgument)
	wantCode(t, change(goodPassword, "a new password"), codes.OK)
	wantCode(t, alice.logIn("alice", goodPassword, false), codes.Unauthenticated)
	wantCode(t, alice.logIn("alice", "a new password", false), codes.OK)
	session.quiet("session lives on", func(*directorypb.SessionResponse) bool { return false })
}

func TestDeleteAccount(t *testing.T) {
	r := start(t, func(c *server.Config) {
		c.Limits = &api.Limits{ChangePassword: api.Limit{Burst: 2, Every: time.Hour}}
	})
	alice, bob := r.registered("alice"), r.registered("bob")
	a, b := alice.begin(lists{contacts: []string{"bob"}}), bob.begin(lists{contacts: []string{"alice"}})
	b.awaitPresence("alice", true)
	remove := func(d *device, pass string) error {
		_, err := d.DeleteAccount(t.Context(), &directorypb.DeleteAccountRequest{Password: pass})
		return err
	}
	wantCode(t, remove(alice, "wrong password"), codes.Unauthenticated)
	wantCode(t, remove(r.device(), goodPassword), codes.Unauthenticated)
	wantCode(t, remove(alice, goodPassword), codes.OK)
	if code := a.ended(); code != codes.Unauthenticated {
		t.Errorf("the session ended with %s", code)
	}
	b.awaitPresence("alice", false)
	wantCode(t, alice.logIn("alice", goodPassword, false), codes.Unauthenticated)
	wantCode(t, remove(alice, goodPassword), codes.Unauthenticated)
	_, err := bob.lookUp("alice")
	wantCode(t, err, codes.NotFound)
	wantCode(t, r.device().register("alice", goodPassword), codes.OK)
	// Passwords are not guessed here either.
	for range 2 {
		wantCode(t, remove(bob, "wrong password"), codes.Unauthenticated)
	}
	wantCode(t, remove(bob, goodPassword), codes.ResourceExhausted)
}

func TestProfile(t *testing.T) {
	r := start(t, nil)
	alice, bob := r.registered("alice"), r.registered("bob")
	set := func(name string, avatar []byte) error {
		_, err := alice.SetProfile(t.Context(), &directorypb.SetProfileRequest{Profile: &directorypb.Profile{DisplayName: name, Avatar: avatar}})
		return err
	}
	wantCode(t, set("Alice", []byte("<svg/>")), codes.InvalidArgument)
	wantCode(t, set("Alice", append(png, make([]byte, 64<<10)...)), codes.InvalidArgument)
	wantCode(t, set(" Alice Liddell ", png), codes.OK)

	found, err := bob.lookUp("alice")
	wantCode(t, err, codes.OK)
	hash := packet.HashOf(png)
	if p := found.GetProfile(); p.GetDisplayName() != "Alice Liddell" || string(p.GetAvatar()) != string(png) || string(p.GetAvatarHash()) != string(hash[:]) {
		t.Errorf("profile is %v", p)
	}
	wantCode(t, set("", nil), codes.OK)
	found, err = bob.lookUp("alice")
	wantCode(t, err, codes.OK)
	if p := found.GetProfile(); p.GetDisplayName() != "alice" || len(p.GetAvatar()) != 0 || len(p.GetAvatarHash()) != 0 {
		t.Errorf("removed profile is %v", p)
	}
	_, err = bob.lookUp("carol")
	wantCode(t, err, codes.NotFound)
}

func TestLimits(t *testing.T) {
	once := api.Limit{Burst: 2, Every: time.Hour}
	tests := []struct {
		name  string
		limit func(*api.Limits)
		try   func(alice *device, r *running, i int) error
		// free is what a try gives as long as it is not one too many.
		free codes.Code
		// says is what a person reads who tries once too often.
		says string
	}{
		{"registrations from an address", func(l *api.Limits) { l.Register = api.Limit{Burst: 3, Every: time.Hour} },
			func(_ *device, r *running, i int) error {
				return r.device().register(fmt.Sprint("user", i), goodPassword)
			}, codes.OK, "Too many accounts were made from this address."},
		{"wrong passwords from an address", func(l *api.Limits) { l.LogInAddress = once },
			func(_ *device, r *running, i int) error {
				return r.device().logIn(fmt.Sprint("user", i), "wrong password", false)
			}, codes.Unauthenticated, "Too many log-ins failed from this address."},
		{"wrong passwords to an account", func(l *api.Limits) { l.LogInAccount = once },
			func(_ *device, r *running, _ int) error { return r.device().logIn("alice", "wrong password", false) }, codes.Unauthenticated,
			"Too many log-ins to this account failed."},
		{"wrong passwords to no account", func(l *api.Limits) { l.LogInAccount = once },
			func(_ *device, r *running, _ int) error { return r.device().logIn("nobody", "wrong password", false) }, codes.Unauthenticated,
			"Too many log-ins to this account failed."},
		{"wrong passwords of who is logged in", func(l *api.Limits) { l.ChangePassword = once },
			func(alice *device, _ *running, _ int) error {
				_, err := alice.ChangePassword(t.Context(), &directorypb.ChangePasswordRequest{OldPassword: "wrong password", NewPassword: goodPassword})
				return err
			}, codes.Unauthenticated, "The password was wrong too often."},
		{"profiles", func(l *api.Limits) { l.SetProfile = once },
			func(alice *device, _ *running, i int) error {
				_, err := alice.SetProfile(t.Context(), &directorypb.SetProfileRequest{Profile: &directorypb.Profile{DisplayName: fmt.Sprint(i)}})
				return err
			}, codes.OK, "The profile was changed too often."},
		{"sessions", func(l *api.Limits) { l.Session = once },
			func(alice *device, _ *running, _ int) error {
				s := alice.open()
				// Not a Begin: the session ends, having counted. One that is refused may have
				// ended before this is sent, and then says io.EOF here.
				_ = s.Send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_KeepAlive{KeepAlive: &directorypb.KeepAlive{}}})
				return s.endedWith()
			}, codes.InvalidArgument, "This device connects too often."},
		{"look-ups", func(l *api.Limits) { l.LookUp = once },
			func(alice *device, _ *running, i int) error {
				_, err := alice.lookUp(fmt.Sprint("user", i))
				return err
			}, codes.NotFound, "Too many people were looked up."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			limits := api.Limits{}
			tt.limit(&limits)
			r := start(t, func(c *server.Config) { c.Limits = &limits })
			alice := r.registered("alice")
			for i := range 2 {
				wantCode(t, tt.try(alice, r, i), tt.free)
			}
			err := tt.try(alice, r, 2)
			wantCode(t, err, codes.ResourceExhausted)
			if says := status.Convert(err).Message(); !inAnHour(says, tt.says) {
				t.Errorf("it says %q, want %q, and when to try again", says, tt.says)
			}
			for _, d := range status.Convert(err).Details() {
				if info, ok := d.(*errdetails.RetryInfo); ok && info.GetRetryDelay().AsDuration() > 0 {
					return
				}
			}
			t.Errorf("no delay is given: %v", err)
		})
	}
}

// inAnHour says whether a text tells to try again in an hour, of which some may have
// passed.
func inAnHour(text, why string) bool {
	when, ok := strings.CutPrefix(text, why+" Try again in ")
	wait, err := time.ParseDuration(strings.TrimSuffix(when, "."))
	return ok && err == nil && wait <= time.Hour && wait > time.Hour-patience
}

func TestKnownDeviceIsNotLockedOutByStrangers(t *testing.T) {
	r := start(t, func(c *server.Config) {
		c.Limits = &api.Limits{LogInAccount: api.Limit{Burst: 1, Every: time.Hour}}
	})
	alice := r.registered("alice")
	for range 3 {
		_ = r.device().logIn("alice", "wrong password", false)
	}
	wantCode(t, r.device().logIn("alice", goodPassword, true), codes.ResourceExhausted)
	wantCode(t, alice.logIn("alice", goodPassword, false), codes.OK)
}

func TestRightPasswordsAreNotCounted(t *testing.T) {
	once := api.Limit{Burst: 1, Every: time.Hour}
	r := start(t, func(c *server.Config) {
		c.Limits = &api.Limits{LogInAccount: once, LogInAddress: once}
	})
	r.registered("alice")
	for range 5 {
		wantCode(t, r.device().logIn("alice", goodPassword, true), codes.OK)
	}
}

func TestRestartKeepsAccountsAndRequests(t *testing.T) {
	r := start(t, nil)
	alice, bob := r.registered("alice"), r.registered("bob")
	_, err := alice.SetProfile(t.Context(), &directorypb.SetProfileRequest{Profile: &directorypb.Profile{DisplayName: "Alice", Avatar: png}})
	wantCode(t, err, codes.OK)
	request := alice.packet(packet.TypeRequest, "alice", "bob", "hello")
	session := alice.begin(lists{contacts: []string{"bob"}})
	if receipt := session.deliver(1, "bob", request); receipt.GetCode() != 0 {
		t.Fatal(receipt)
	}
	stopped := make(chan struct{})
	go func() { r.stop(); close(stopped) }()
	goAway := session.await("go-away", func(m *directorypb.SessionResponse) bool { return m.GetGoAway() != nil })
	if goAway.GetGoAway().GetSpreadMs() == 0 {
		t.Error("no time is given to come back in")
	}
	session.cancel()
	<-stopped
	r.start()

	alice, bob = r.connect(alice.key), r.connect(bob.key)
	wantCode(t, alice.register("bob", goodPassword), codes.AlreadyExists)
	s := bob.begin(lists{contacts: []string{"alice"}})
	if d := s.awaitDelivered(); d.GetFrom() != "alice" || string(d.GetPacket()) != string(request) ||
		d.GetProfile().GetDisplayName() != "Alice" || string(d.GetProfile().GetAvatar()) != string(png) {
		t.Errorf("delivered %v", d)
	}
	if p := s.presence["alice"]; p.GetOnline() {
		t.Error("presence is not empty after a restart")
	}
}

func TestOwnCertificateIsKept(t *testing.T) {
	r := start(t, nil)
	r.stop()
	path := filepath.Join(r.cfg.Data, "certificate.pem")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	first := fingerprintOf(t, r.cfg)
	if second := fingerprintOf(t, r.cfg); first != second || len(first) != 64 {
		t.Errorf("fingerprint changed from %s to %s", first, second)
	}
	if err := os.WriteFile(path, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := server.New(r.cfg); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a damaged certificate gives %v", err)
	}
}

func fingerprintOf(t *testing.T, cfg server.Config) string {
	t.Helper()
	s, err := server.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	return s.Fingerprint()
}

func TestStartFailures(t *testing.T) {
	r := start(t, nil)
	other := r.cfg
	other.Data = t.TempDir()
	file := filepath.Join(other.Data, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func(*server.Config)
		want   string
	}{
		{"folder in use", func(c *server.Config) { c.Data = r.cfg.Data }, "in use by another parley-server"},
		{"port in use", func(c *server.Config) { c.Listen = r.addr }, "in use by another program"},
		{"folder is a file", func(c *server.Config) { c.Data = file }, "data folder"},
		{"no folder", func(c *server.Config) { c.Data = "" }, "no data folder"},
		{"certificate without key", func(c *server.Config) { c.CertFile = file }, "both files or none"},
		{"certificate that is none", func(c *server.Config) { c.CertFile, c.KeyFile = file, file }, file},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := other
			tt.change(&cfg)
			s, err := server.New(cfg)
			if err == nil {
				s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want something with %q", err, tt.want)
			}
		})
	}
}
