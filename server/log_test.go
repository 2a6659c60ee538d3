package server_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/server"
	"github.com/parley-chat/parley/server/admin"
	"github.com/parley-chat/parley/server/api"
	"github.com/parley-chat/parley/server/directory"
	"github.com/parley-chat/parley/server/state"
)

// journal is a log that is read.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// personal is all that tells of people in the test below: names, what they
// say, secrets, and where they are.
var personal = regexp.MustCompile(`(?i)quux|127\.0\.0\.7|203\.0\.113\.77`)

// The log tells what happens and names nobody, at any level.
func TestLogNamesNobody(t *testing.T) {
	var log journal
	r := start(t, func(c *server.Config) {
		c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c.Registration = api.RegistrationInvite
		c.Limits = &api.Limits{LogInAccount: api.Limit{Burst: 1, Every: time.Hour}}
	})
	r.from = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 7)}
	operator, closeAdmin, err := admin.Open(t.Context(), r.cfg.Data, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer closeAdmin()
	invite, err := operator.CreateInvite(t.Context(), admin.CreateInvite{Uses: 5, Note: "for quux"})
	if err != nil {
		t.Fatal(err)
	}
	const pass = "quux-secret"
	register := func(user string) *device {
		d := r.device()
		_, err := d.Register(t.Context(), &directorypb.RegisterRequest{User: user, Password: pass, DisplayName: "Quux", Invite: invite.Code})
		wantCode(t, err, codes.OK)
		return d
	}
	zoe, yan := register("zoe.quux"), register("yan.quux")
	wantCode(t, r.device().registerWith("zoe.quux", "quux-code"), codes.PermissionDenied)
	wantCode(t, r.device().registerWith("zoe.quux", invite.Code), codes.AlreadyExists)
	for range 3 {
		_ = r.device().logIn("zoe.quux", "quux-guess", true)
	}
	_, err = zoe.SetProfile(t.Context(), &directorypb.SetProfileRequest{Profile: &directorypb.Profile{DisplayName: "Zoe Quux", Avatar: png}})
	wantCode(t, err, codes.OK)
	_, err = zoe.lookUp("nobody.quux")
	wantCode(t, err, codes.NotFound)
	wantCode(t, zoe.logIn("zoe.quux", pass, false), codes.OK)
	a := zoe.begin(lists{contacts: []string{"yan.quux"}}, endpoint("203.0.113.77", 7411))
	b := yan.begin(lists{contacts: []string{"zoe.quux"}}, endpoint("203.0.113.77", 7412))
	b.awaitPresence("zoe.quux", true)
	if got := a.deliver(1, "yan.quux", zoe.packet(packet.TypeRequest, "zoe.quux", "yan.quux", "hello quux")); got.GetCode() != 0 {
		t.Fatal(got)
	}
	b.awaitDelivered()
	a.deliver(2, "yan.quux", []byte("quux"))
	bad := yan.open()
	bad.send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_Relay{Relay: &directorypb.Relay{User: "quux"}}})
	bad.ended()
	_, err = zoe.ChangePassword(t.Context(), &directorypb.ChangePasswordRequest{OldPassword: pass, NewPassword: pass + "!"})
	wantCode(t, err, codes.OK)
	for _, err := range []error{
		operator.AddUser(t.Context(), admin.AddUser{User: "xen.quux", Name: "Xen Quux", Password: pass}),
		operator.SetPassword(t.Context(), admin.SetPassword{User: "xen.quux", Password: pass, LogOut: true}),
		operator.SetDisabled(t.Context(), admin.SetDisabled{User: "yan.quux", Disabled: true}),
		operator.RemoveUser(t.Context(), "xen.quux"),
		operator.RevokeInvite(t.Context(), invite.Code),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	_ = operator.RemoveUser(t.Context(), "nobody.quux")
	if err := r.backup(filepath.Join(t.TempDir(), "backup")); err != nil {
		t.Fatal(err)
	}
	_, err = zoe.DeleteAccount(t.Context(), &directorypb.DeleteAccountRequest{Password: pass + "!"})
	wantCode(t, err, codes.OK)
	r.stop()

	text := log.String()
	for _, says := range []string{"serving", "account made", "logged in", "password changed", "account removed by its user", "operator: account disabled", "shutting down"} {
		if !strings.Contains(text, says) {
			t.Errorf("the log does not say %q", says)
		}
	}
	for line := range strings.Lines(text) {
		if personal.MatchString(line) || strings.Contains(line, invite.Code) {
			t.Error(line)
		}
	}
}

// What the log is told when records fail names nobody either.
func TestErrorsNameNobody(t *testing.T) {
	var log journal
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	st, err := state.Open(t.TempDir(), state.Options{Log: logger})
	if err != nil {
		t.Fatal(err)
	}
	d, err := directory.Open(t.Context(), directory.Config{Conn: st.Conn(), Log: logger})
	if err != nil {
		t.Fatal(err)
	}
	const zoe, yan packet.UserID = "zoe.quux", "yan.quux"
	for _, user := range []packet.UserID{zoe, yan} {
		if err := d.CreateAccount(t.Context(), directory.Account{User: user, Password: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	_, code, err := d.CreateInvite(t.Context(), directory.Invite{Uses: 1, Note: "quux"})
	if err != nil {
		t.Fatal(err)
	}
	same := func(*directory.Account) error { return nil }
	exists := d.CreateAccount(t.Context(), directory.Account{User: zoe})
	_, unknown := d.ChangeAccount(t.Context(), "nobody.quux", same)
	st.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, changed := d.ChangeAccount(ctx, zoe, same)
	_, _, invited := d.CreateInvite(ctx, directory.Invite{Uses: 1})
	errs := map[string]error{
		"taken": exists, "unknown": unknown, "change": changed, "invite": invited,
		"create":  d.CreateAccount(ctx, directory.Account{User: "xen.quux"}),
		"invited": d.CreateInvited(ctx, directory.Account{User: "xen.quux"}, code),
		"profile": d.SetProfile(ctx, zoe, "Quux", png),
		"remove":  d.RemoveAccount(ctx, zoe),
		"keep":    d.Keep(ctx, zoe, yan, packet.TypeRequest, []byte("quux")),
		"revoke":  d.RevokeInvite(ctx, code),
		"export":  d.Export(ctx, func(directory.Record) error { return errors.New("emitted") }),
	}
	d.Close()
	for what, err := range errs {
		if err == nil || personal.MatchString(err.Error()) || strings.Contains(err.Error(), code) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if text := log.String(); personal.MatchString(text) {
		t.Error(text)
	}
}
