package viewmodel

import (
	"context"

	"github.com/parley-chat/parley/protocol/controlpb"
)

// ChangePassword changes the password of the directory; done hears why it was not
// changed, or an empty text.
func (s *Session) ChangePassword(old, next string, done func(problem string)) {
	switch {
	case next == "":
		done(s.Texts().T("Choose a new password."))
		return
	case old == next:
		done(s.Texts().T("The new password is the old one."))
		return
	}
	s.call(func(ctx context.Context, core Core) error {
		_, err := core.ChangePassword(ctx, &controlpb.ChangePasswordRequest{OldPassword: old, NewPassword: next})
		return err
	}, s.problem(done))
}

// LogOut unbinds this device. What is stored stays.
func (s *Session) LogOut() {
	s.ask(func(ctx context.Context, core Core) error {
		_, err := core.LogOut(ctx, &controlpb.LogOutRequest{})
		return err
	})
}

// DeleteAccount has the directory forget the account; done hears why it did not,
// or an empty text.
func (s *Session) DeleteAccount(password string, done func(problem string)) {
	s.call(func(ctx context.Context, core Core) error {
		_, err := core.DeleteAccount(ctx, &controlpb.DeleteAccountRequest{Password: password})
		return err
	}, s.problem(done))
}

// problem makes what hears a sentence of what hears an error.
func (s *Session) problem(done func(string)) func(error) {
	return func(err error) {
		if err != nil {
			done(s.Sentence(err))
			return
		}
		done("")
	}
}

// KeyPlaceName says where the key of the database is kept.
func (s *Session) KeyPlaceName(place string) string {
	t := s.Texts()
	switch place {
	case "secret-service":
		return t.T("in the desktop's keyring")
	case "file":
		return t.T("in a file that only you can read")
	case "passphrase":
		return t.T("made from your passphrase")
	}
	return place
}

// PathName is what a way to somebody is called.
func (s *Session) PathName(path string) string {
	t := s.Texts()
	switch path {
	case "lan":
		return t.T("local network")
	case "direct":
		return t.T("direct")
	case "relay":
		return t.T("relay")
	case "loopback":
		return t.T("this computer")
	}
	return path
}
