package viewmodel

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/controlpb"
)

func (f *fakeCore) LogIn(ctx context.Context, r *controlpb.LogInRequest) (*controlpb.LogInResponse, error) {
	if r.GetDirectory() == "never.example.org" {
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	if err := f.take(r); err != nil {
		return nil, err
	}
	return &controlpb.LogInResponse{User: r.GetUser(), Fingerprint: "ab12", PinnedNow: true}, nil
}

func (f *fakeCore) Unlock(_ context.Context, r *controlpb.UnlockRequest) (*controlpb.UnlockResponse, error) {
	return &controlpb.UnlockResponse{}, f.take(r)
}

// lastAsked gives what was asked last.
func (f *fakeCore) lastAsked() any {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.asked) == 0 {
		return nil
	}
	return f.asked[len(f.asked)-1]
}

func (f *fakeCore) setRefuse(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse = err
}

// withReason is an error as the core makes it.
func withReason(code codes.Code, reason, text string, params ...any) error {
	return failure.Status(code, text, failure.Because(reason, params...))
}

// ofDirectory is an error of the directory's.
func ofDirectory(code codes.Code, reason, text string) error {
	return failure.Status(code, text, &errdetails.ErrorInfo{Reason: reason, Domain: failure.DirectoryDomain})
}

// loggedOut is a window without an account.
func loggedOut(t *testing.T) (*window, *fakeCore, *Login) {
	t.Helper()
	core := newFakeCore()
	core.status = &controlpb.Status{State: controlpb.AccountState_ACCOUNT_STATE_NONE}
	w := openWindow(t, core)
	return w, core, w.session.Login
}

func TestLoginNeedsAllFields(t *testing.T) {
	_, core, l := loggedOut(t)
	for _, c := range []struct {
		form LoginForm
		want LoginField
	}{
		{LoginForm{User: "alice", Password: "x"}, FieldDirectory},
		{LoginForm{Directory: " ", User: "alice", Password: "x"}, FieldDirectory},
		{LoginForm{Directory: "d.example.org", Password: "x"}, FieldUser},
		{LoginForm{Directory: "d.example.org", User: "alice"}, FieldPassword},
	} {
		l.Form = c.form
		l.Submit()
		if v := l.View.Get(); v.Field != c.want || v.Problem == "" || v.Busy != "" {
			t.Errorf("%+v: %+v", c.form, v)
		}
	}
	if core.lastAsked() != nil {
		t.Error("the core was asked")
	}
}

func TestLoginSucceeds(t *testing.T) {
	w, core, l := loggedOut(t)
	l.Form = LoginForm{Register: true, Directory: " d.example.org ", User: "alice ", Password: " keep spaces ", Name: "Alice ", Invite: " code "}
	l.Submit()
	if l.View.Get().Busy == "" {
		t.Error("nothing says that something is under way")
	}
	l.Submit() // a second click does nothing
	w.until("it is logged in", func() bool { return l.Pinned.Get() == "ab12" })
	want := &controlpb.LogInRequest{Register: true, Directory: "d.example.org", User: "alice", Password: " keep spaces ", DisplayName: "Alice", Invite: "code"}
	if got, ok := core.lastAsked().(*controlpb.LogInRequest); !ok || !proto.Equal(got, want) {
		t.Errorf("asked for %v", got)
	}
	core.mu.Lock()
	asked := len(core.asked)
	core.mu.Unlock()
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	if l.Form.Password != "" || l.View.Get().Busy != "" {
		t.Errorf("the password is kept: %+v, %+v", l.Form, l.View.Get())
	}
	l.Seen()
	if l.Pinned.Get() != "" {
		t.Error("the fingerprint is shown for ever")
	}
}

// TestLoginErrorsAreBesideTheirField: whatever code and reason the core gives.
func TestLoginErrorsAreBesideTheirField(t *testing.T) {
	w, core, l := loggedOut(t)
	for _, c := range []struct {
		err   error
		field LoginField
		asks  func(LoginView) bool
	}{
		{status.Error(codes.Unauthenticated, "said by a directory of before"), FieldPassword, nil},
		{ofDirectory(codes.Unauthenticated, "WRONG_PASSWORD", "The user name or the password is wrong."), FieldPassword, nil},
		{status.Error(codes.AlreadyExists, "said by a directory of before"), FieldUser, nil},
		{ofDirectory(codes.AlreadyExists, "USER_TAKEN", "This user name is taken; choose another."), FieldUser, nil},
		{withReason(codes.Unavailable, "DIRECTORY", "of another version"), FieldDirectory, nil},
		{withReason(codes.Unavailable, "DIRECTORY_NOBODY", "Nothing listens at d.example.org:7410; check the port, and whether the directory is running."), FieldDirectory, nil},
		{withReason(codes.FailedPrecondition, "PIN_MISMATCH", "The directory shows another certificate than before."), FieldFingerprint, func(v LoginView) bool { return v.AskFingerprint }},
		{withReason(codes.FailedPrecondition, "OTHER_DEVICE", "Another device is logged in."), FieldNone, func(v LoginView) bool { return v.OtherDevice }},
		{withReason(codes.Unauthenticated, "PASSPHRASE", "the account is protected by a passphrase"), FieldPassphrase, func(v LoginView) bool { return v.AskPassphrase }},
		{ofDirectory(codes.PermissionDenied, "INVITE_NEEDED", "This directory asks for an invite; ask whoever runs it for one."), FieldInvite, func(v LoginView) bool { return v.AskInvite }},
		{ofDirectory(codes.PermissionDenied, "CLOSED", "This directory makes no new accounts; ask whoever runs it for one."), FieldNone, nil},
		{ofDirectory(codes.InvalidArgument, "PASSWORD_BOUNDS", "A password has 8 to 128 bytes of UTF-8."), FieldPassword, nil},
		{withReason(codes.InvalidArgument, "INVALID_USER", `"A b" cannot be a user id`), FieldUser, nil},
		{withReason(codes.InvalidArgument, "DIRECTORY_ADDRESS", `"x y" is no address of a directory: give a host name or IP address`), FieldDirectory, nil},
		{withReason(codes.InvalidArgument, "FINGERPRINT", `"zz" cannot be a fingerprint: it has 64 hexadecimal digits`), FieldFingerprint, nil},
		{withReason(codes.ResourceExhausted, "DISK_FULL", "no space left"), FieldNone, nil},
	} {
		core.setRefuse(c.err)
		l.Form = LoginForm{Register: true, Directory: "d.example.org", User: "alice", Password: "x"}
		l.Submit()
		w.until("it is refused", func() bool { return l.View.Get().Busy == "" })
		v := l.View.Get()
		if v.Field != c.field || v.Problem == "" || c.asks != nil && !c.asks(v) {
			t.Errorf("%v: %+v", c.err, v)
		}
		if l.Form.User != "alice" || l.Form.Password != "x" {
			t.Error("what was written is lost")
		}
	}
}

func TestLoginReplacesTheOtherDevice(t *testing.T) {
	w, core, l := loggedOut(t)
	core.setRefuse(withReason(codes.FailedPrecondition, "OTHER_DEVICE", "Another device is logged in."))
	l.Form = LoginForm{Directory: "d.example.org", User: "alice", Password: "x"}
	l.Submit()
	w.until("it asks", func() bool { return l.View.Get().OtherDevice })
	core.setRefuse(nil)
	l.Replace()
	w.until("it is logged in", func() bool { return l.Pinned.Get() != "" })
	if r, ok := core.lastAsked().(*controlpb.LogInRequest); !ok || !r.GetReplace() {
		t.Errorf("%v", r)
	}
}

func TestLoginCanBeCancelled(t *testing.T) {
	w, _, l := loggedOut(t)
	l.Form = LoginForm{Directory: "never.example.org", User: "alice", Password: "x"}
	l.Submit()
	l.Cancel()
	w.until("it has ended", func() bool { return l.View.Get().Busy == "" })
	if v := l.View.Get(); v.Problem != "" {
		t.Errorf("who cancels is told %q", v.Problem)
	}
}

func TestHostHere(t *testing.T) {
	w, core, l := loggedOut(t)
	if l.CanHost() {
		t.Error("a directory can be started without a program")
	}
	fail := errors.New("parley-server is not installed")
	w.session.cfg.Host = func(context.Context) (Hosted, error) { return Hosted{}, fail }
	l.HostHere()
	w.until("it fails", func() bool { return l.View.Get().Problem == fail.Error() })
	if l.View.Get().Field != FieldDirectory {
		t.Error("not beside the directory")
	}
	w.session.cfg.Host = func(context.Context) (Hosted, error) { return Hosted{Address: "localhost:7410", Invite: "code"}, nil }
	l.HostHere()
	w.until("it runs", func() bool { return l.View.Get().Hosted != nil })
	if l.Form.Directory != "localhost:7410" || l.Form.Invite != "code" || !l.Form.Register || l.View.Get().Problem != "" {
		t.Errorf("%+v, %+v", l.Form, l.View.Get())
	}
	l.Form.User, l.Form.Password = "alice", "x"
	l.Submit()
	w.until("it is logged in", func() bool { return core.lastAsked() != nil && l.View.Get().Busy == "" })
	if l.Pinned.Get() != "" {
		t.Error("the fingerprint of one's own directory is asked about")
	}
}

func TestUnlock(t *testing.T) {
	w, core, l := loggedOut(t)
	locked := &controlpb.Status{State: controlpb.AccountState_ACCOUNT_STATE_LOCKED, StateText: "it needs its passphrase"}
	core.setRefuse(withReason(codes.Unauthenticated, "PASSPHRASE", "the account is protected by a passphrase"))
	core.tell(func() { core.status = locked }, &controlpb.Event{Event: &controlpb.Event_Status{Status: locked}})
	w.until("it is locked", func() bool { return w.session.Stage() == Locked })
	w.until("the passphrase is asked for", func() bool { return l.View.Get().AskPassphrase })
	if v := l.View.Get(); v.Problem != "" || v.Field != FieldNone {
		t.Errorf("who has written nothing is told of a problem: %+v", v)
	}
	l.Form.Passphrase = "wrong"
	l.Unlock()
	w.until("it is refused", func() bool { return l.View.Get().Field == FieldPassphrase })
	core.setRefuse(nil)
	l.Form.Passphrase = "right"
	l.Unlock()
	w.until("it is taken", func() bool { return l.Form.Passphrase == "" })
	if r, ok := core.lastAsked().(*controlpb.UnlockRequest); !ok || r.GetPassphrase() != "right" {
		t.Errorf("%v", r)
	}
}
