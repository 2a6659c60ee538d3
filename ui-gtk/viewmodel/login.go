package viewmodel

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/ui-gtk/texts"
)

// Login is the first run, logging in, and unlocking.
type Login struct {
	session *Session
	cancel  context.CancelFunc // ends what is under way; nil when nothing is

	// Form is what was written so far. Pages write it, and read it when they are
	// drawn anew.
	Form LoginForm
	// View is what else is seen.
	View Value[LoginView]
	// Pinned is the fingerprint of a directory that was met for the first time, until
	// it was seen; else empty.
	Pinned Value[string]
}

// LoginForm is what a person writes.
type LoginForm struct {
	// Register makes the account first.
	Register                        bool
	Directory, User, Password, Name string
	Invite, Passphrase, Fingerprint string
}

// LoginField is a field of the form.
type LoginField int

// Fields of the form. FieldNone is for what no field has caused.
const (
	FieldNone LoginField = iota
	FieldDirectory
	FieldUser
	FieldPassword
	FieldName
	FieldInvite
	FieldPassphrase
	FieldFingerprint
)

// LoginView is what is seen beside the form.
type LoginView struct {
	// Busy says what is under way; empty when nothing is.
	Busy string
	// Problem is what went wrong, and Field what caused it.
	Problem string
	Field   LoginField
	// Fields that are only there when somebody asks for them.
	AskInvite, AskPassphrase, AskFingerprint bool
	// OtherDevice asks whether the device that is logged in shall be replaced.
	OtherDevice bool
	// Hosted is the directory that was started on this computer.
	Hosted *Hosted
}

func newLogin(s *Session) *Login {
	l := &Login{session: s, Form: LoginForm{Register: true}}
	locked := false
	s.Status.Observe(func(*controlpb.Status) {
		was := locked
		if locked = s.Stage() == Locked; locked && !was {
			l.probe()
		}
	})
	return l
}

// probe asks whether a passphrase opens what is locked. What needed none, and can be
// opened by now, is opened.
func (l *Login) probe() {
	l.session.call(func(ctx context.Context, core Core) error {
		_, err := core.Unlock(ctx, &controlpb.UnlockRequest{})
		return err
	}, func(err error) {
		v := l.View.Get()
		v.AskPassphrase = client.Reason(err) == "PASSPHRASE"
		l.View.set(v)
	})
}

// loginTimeout ends a log-in that comes to nothing: the core tries several
// addresses of a directory, and waits for the first session.
const loginTimeout = 90 * time.Second

// Submit logs in with the form, or makes the account.
func (l *Login) Submit() { l.submit(false) }

// Replace logs in and has the other device logged out.
func (l *Login) Replace() { l.submit(true) }

func (l *Login) submit(replace bool) {
	if l.cancel != nil {
		return
	}
	t, f := l.session.Texts(), l.Form
	if field, problem := f.missing(t); problem != "" {
		l.fail(field, problem)
		return
	}
	busy := t.T("Logging in…")
	if f.Register {
		busy = t.T("Creating the account…")
	}
	req := &controlpb.LogInRequest{
		Directory: strings.TrimSpace(f.Directory), User: strings.TrimSpace(f.User), Password: f.Password, Register: f.Register,
		Replace: replace, Pin: strings.TrimSpace(f.Fingerprint), Passphrase: f.Passphrase,
	}
	if f.Register {
		req.DisplayName, req.Invite = strings.TrimSpace(f.Name), strings.TrimSpace(f.Invite)
	}
	var met *controlpb.LogInResponse
	l.run(busy, loginTimeout, func(ctx context.Context, core Core) (err error) {
		met, err = core.LogIn(ctx, req)
		return err
	}, func(err error) {
		if err != nil {
			l.refused(err)
			return
		}
		hosted := l.View.Get().Hosted
		l.Form = LoginForm{Directory: f.Directory}
		l.View.set(LoginView{})
		if met.GetPinnedNow() && (hosted == nil || hosted.Address != req.GetDirectory()) {
			l.Pinned.set(met.GetFingerprint())
		}
	})
}

// Seen says that the fingerprint was seen.
func (l *Login) Seen() { l.Pinned.set("") }

// missing gives a field that must not be empty and is.
func (f LoginForm) missing(t *texts.Texts) (LoginField, string) {
	for _, x := range []struct {
		field         LoginField
		value, advice string
	}{
		{FieldDirectory, f.Directory, t.T("Say where: a name like directory.example.org, which somebody gave you.")},
		{FieldUser, f.User, t.T("Choose a user name.")},
		{FieldPassword, f.Password, t.T("A password is needed.")},
	} {
		if strings.TrimSpace(x.value) == "" {
			return x.field, x.advice
		}
	}
	return FieldNone, ""
}

// run shows busy, does something that can be cancelled, and hands its error on.
func (l *Login) run(busy string, limit time.Duration, do func(context.Context, Core) error, done func(error)) {
	v := l.View.Get()
	v.Busy, v.Problem, v.Field, v.OtherDevice = busy, "", FieldNone, false
	l.View.set(v)
	own, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	l.session.callFor(limit, func(ctx context.Context, core Core) error {
		ctx, end := context.WithCancel(ctx)
		defer end()
		defer context.AfterFunc(own, end)()
		return do(ctx, core)
	}, func(err error) {
		cancelled := own.Err() != nil
		cancel()
		l.cancel = nil
		v := l.View.Get()
		v.Busy = ""
		l.View.set(v)
		if !cancelled || err == nil {
			done(err)
		}
	})
}

// Cancel ends what is under way.
func (l *Login) Cancel() {
	if l.cancel != nil {
		l.cancel()
	}
}

func (l *Login) fail(field LoginField, problem string) {
	v := l.View.Get()
	v.Problem, v.Field = problem, field
	l.View.set(v)
}

// refused shows why a log-in did not work, beside what caused it.
func (l *Login) refused(err error) {
	v := l.View.Get()
	v.Field, v.Problem = l.cause(err), l.session.Sentence(err)
	switch v.Field {
	case FieldInvite:
		v.AskInvite = true
	case FieldPassphrase:
		v.AskPassphrase = true
	case FieldFingerprint:
		v.AskFingerprint = true
	}
	v.OtherDevice = v.OtherDevice || client.Reason(err) == "OTHER_DEVICE"
	l.View.set(v)
}

// cause gives the field that caused an error.
func (l *Login) cause(err error) LoginField {
	why := client.Info(err)
	if f, ok := loginFields[why.GetReason()]; ok {
		return f
	}
	if strings.HasPrefix(why.GetReason(), "DIRECTORY") { // it is not reached
		return FieldDirectory
	}
	switch status.Code(err) {
	case codes.Unauthenticated:
		return FieldPassword
	case codes.AlreadyExists, codes.NotFound:
		return FieldUser
	}
	return FieldNone
}

// loginFields is what field caused an error, of the core's reasons and the
// directory's.
var loginFields = map[string]LoginField{
	"PIN_MISMATCH": FieldFingerprint, "DIRECTORY_UNTRUSTED": FieldFingerprint, "FINGERPRINT": FieldFingerprint,
	"PASSPHRASE": FieldPassphrase, "WRONG_PASSPHRASE": FieldPassphrase, "PASSPHRASE_TOO_SHORT": FieldPassphrase, "PASSPHRASE_TOO_LONG": FieldPassphrase,
	"INVITE_NEEDED": FieldInvite, "INVITE_INVALID": FieldInvite,
	"WRONG_PASSWORD": FieldPassword, "PASSWORD_BOUNDS": FieldPassword,
	"INVALID_USER": FieldUser, "USER_TAKEN": FieldUser,
	"NAME_TOO_LONG": FieldName, "NAME_CHARACTERS": FieldName, "NAME_SPACES": FieldName,
	"OTHER_DEVICE": FieldNone,
}

// HostHere starts a directory on this computer, and fills in where it is.
func (l *Login) HostHere() {
	if l.cancel != nil || l.session.cfg.Host == nil {
		return
	}
	var at Hosted
	l.run(l.session.Texts().T("Starting a directory on this computer…"), loginTimeout, func(ctx context.Context, _ Core) (err error) {
		at, err = l.session.cfg.Host(ctx)
		return err
	}, func(err error) {
		if err != nil {
			l.fail(FieldDirectory, l.session.Sentence(err))
			return
		}
		l.Form.Directory, l.Form.Invite, l.Form.Register = at.Address, at.Invite, true
		v := l.View.Get()
		v.Hosted = &at // which fills in the invite, too
		l.View.set(v)
	})
}

// CanHost says whether a directory can be started on this computer.
func (l *Login) CanHost() bool { return l.session.cfg.Host != nil }

// Unlock opens the account that is locked, with the form's passphrase if one is
// asked for.
func (l *Login) Unlock() {
	if l.cancel != nil {
		return
	}
	passphrase := l.Form.Passphrase
	l.run(l.session.Texts().T("Unlocking…"), loginTimeout, func(ctx context.Context, core Core) error {
		_, err := core.Unlock(ctx, &controlpb.UnlockRequest{Passphrase: passphrase})
		return err
	}, func(err error) {
		if err == nil {
			l.Form.Passphrase = ""
			return
		}
		v := l.View.Get()
		v.Problem = l.session.Sentence(err)
		if reason := client.Reason(err); reason == "PASSPHRASE" || reason == "WRONG_PASSPHRASE" {
			v.AskPassphrase = true
			v.Field = FieldPassphrase
		}
		l.View.set(v)
	})
}
