package directory

import (
	"context"
	"fmt"

	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
)

// Login is what a registration or log-in learned.
type Login struct {
	// Fingerprint of the directory's certificate; set as soon as it was met, also
	// when the log-in itself failed.
	Fingerprint string
	// PinnedNow says that the certificate was trusted because nothing was known of
	// it: Fingerprint is to be kept, as Target.Pin and Config.Pin from now on.
	PinnedNow bool
	// Profile of the account; nil after a registration.
	Profile *directorypb.Profile
}

// Registration is what a new account is made of. Its user id is that of
// Target.Identity.
type Registration struct {
	Password    string
	DisplayName string // empty: the user id
	Invite      string // for directories that ask for one
}

// Register makes an account and binds the device to it. Done again by the same
// device it succeeds again.
func Register(ctx context.Context, t Target, r Registration) (Login, error) {
	return withLink(ctx, t, func(ctx context.Context, l *link, _ *Login) error {
		_, err := l.client.Register(ctx, &directorypb.RegisterRequest{
			User: string(t.Identity.User()), Password: r.Password, DisplayName: r.DisplayName, Invite: r.Invite,
		})
		return err
	})
}

// Credentials are what a log-in needs. The user id is that of Target.Identity.
type Credentials struct {
	Password string
	// Replace logs out the device that is logged in now. Without it such a log-in
	// fails with ErrOtherDevice.
	Replace bool
}

// LogIn binds the device to an account that exists.
func LogIn(ctx context.Context, t Target, c Credentials) (Login, error) {
	return withLink(ctx, t, func(ctx context.Context, l *link, login *Login) error {
		resp, err := l.client.LogIn(ctx, &directorypb.LogInRequest{
			User: string(t.Identity.User()), Password: c.Password, Replace: c.Replace,
		})
		if err == nil {
			login.Profile = cleanProfile(resp.GetProfile())
		}
		return err
	})
}

func withLink(ctx context.Context, t Target, call func(context.Context, *link, *Login) error) (Login, error) {
	ctx, cancel := context.WithTimeout(ctx, defaultTiming().dial+callTimeout)
	defer cancel()
	l, err := dial(ctx, t, !t.Vouched)
	if err != nil {
		return Login{}, err
	}
	defer l.close()
	login := Login{Fingerprint: l.fingerprint, PinnedNow: !l.vouched}
	return login, callError(ctx, l.address, call(ctx, l, &login), ErrPassword)
}

// LookUp gives a user's profile and device keys. Besides the kinds of every
// call: ErrNoUser, ErrLimit.
func (c *Client) LookUp(ctx context.Context, user packet.UserID) (*directorypb.LookUpResponse, error) {
	var found *directorypb.LookUpResponse
	err := c.call(ctx, ErrNotLoggedIn, func(ctx context.Context, d directorypb.DirectoryClient) error {
		resp, err := d.LookUp(ctx, &directorypb.LookUpRequest{User: string(user)})
		found = resp
		return err
	})
	if err != nil {
		return nil, err
	}
	devices, ok := cleanDevices(found.GetDevices())
	if found.GetUser() != string(user) || !ok {
		return nil, &Error{Kind: ErrProtocol, Text: fmt.Sprintf("The directory gave a wrong answer when asked for %s.", user)}
	}
	return &directorypb.LookUpResponse{User: string(user), Profile: cleanProfile(found.GetProfile()), Devices: devices}, nil
}

// SetProfile sets the account's public name and picture. Besides the kinds of
// every call: ErrInvalid, ErrLimit.
func (c *Client) SetProfile(ctx context.Context, p *directorypb.Profile) error {
	return c.call(ctx, ErrNotLoggedIn, func(ctx context.Context, d directorypb.DirectoryClient) error {
		_, err := d.SetProfile(ctx, &directorypb.SetProfileRequest{
			Profile: &directorypb.Profile{DisplayName: p.GetDisplayName(), Avatar: p.GetAvatar()},
		})
		return err
	})
}

// ChangePassword needs the old one. Besides the kinds of every call:
// ErrPassword, ErrInvalid, ErrLimit.
func (c *Client) ChangePassword(ctx context.Context, oldPassword, newPassword string) error {
	return c.call(ctx, ErrPassword, func(ctx context.Context, d directorypb.DirectoryClient) error {
		_, err := d.ChangePassword(ctx, &directorypb.ChangePasswordRequest{OldPassword: oldPassword, NewPassword: newPassword})
		return err
	})
}

// DeleteAccount has the directory forget the account; the session ends. It has a
// connection of its own, like LogOut. Besides the kinds of every call:
// ErrPassword, ErrLimit.
func (c *Client) DeleteAccount(ctx context.Context, password string) error {
	return c.alone(ctx, ErrPassword, func(ctx context.Context, d directorypb.DirectoryClient) error {
		_, err := d.DeleteAccount(ctx, &directorypb.DeleteAccountRequest{Password: password})
		return err
	})
}

// LogOut unbinds this device from the account; its session ends. It has a
// connection of its own, for that of the session ends with it.
func (c *Client) LogOut(ctx context.Context) error {
	return c.alone(ctx, ErrNotLoggedIn, func(ctx context.Context, d directorypb.DirectoryClient) error {
		_, err := d.LogOut(ctx, &directorypb.LogOutRequest{})
		return err
	})
}

// alone makes a call on a connection of its own.
func (c *Client) alone(ctx context.Context, unauthenticated error, f func(context.Context, directorypb.DirectoryClient) error) error {
	ctx, cancel := context.WithTimeout(ctx, defaultTiming().dial+callTimeout)
	defer cancel()
	l, err := dial(ctx, c.cfg.target(), false)
	if err != nil {
		return err
	}
	defer l.close()
	return callError(ctx, l.address, f(ctx, l.client), unauthenticated)
}

// call makes a call on the session's connection.
func (c *Client) call(ctx context.Context, unauthenticated error, f func(context.Context, directorypb.DirectoryClient) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	s, err := c.current()
	if err != nil {
		return err
	}
	return callError(ctx, s.link.address, f(ctx, s.link.client), unauthenticated)
}
