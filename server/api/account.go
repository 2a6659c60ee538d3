package api

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/packet/net2019"
	"github.com/parley-chat/parley/server/directory"
	"github.com/parley-chat/parley/server/limit"
	"github.com/parley-chat/parley/server/password"
)

// Register implements directorypb.DirectoryServer.
func (s *Service) Register(ctx context.Context, req *directorypb.RegisterRequest) (*directorypb.RegisterResponse, error) {
	c, err := callerOf(ctx)
	if err != nil {
		return nil, err
	}
	user, err := ParseUser(req.GetUser())
	if err != nil {
		return nil, err
	}
	name, err := ParseName(req.GetDisplayName(), user)
	if err != nil {
		return nil, err
	}
	if len(req.GetInvite()) > maxInvite {
		return nil, failure.Status(codes.InvalidArgument, fmt.Sprintf("An invite has at most %d bytes.", maxInvite), because("INVITE_INVALID"))
	}
	if err := password.Check(req.GetPassword()); err != nil {
		return nil, statusOf(s.log, err)
	}
	from := limit.Network(c.addr)
	if wait := s.limits.register.Take(from); wait > 0 {
		return nil, exhausted("Too many accounts were made from this address.", wait)
	}
	a, err := s.dir.Account(user)
	if err == nil && a.Has(c.key) {
		return s.registered(ctx, a, req.GetPassword())
	}
	// Before it is told whether a name is taken, and before a hash is computed.
	if err := s.admit(req.GetInvite()); err != nil {
		return nil, statusOf(s.log, err)
	}
	if err == nil {
		return nil, statusOf(s.log, directory.ErrExists)
	}
	hash, err := s.hasher.Hash(ctx, req.GetPassword())
	if err != nil {
		return nil, statusOf(s.log, err)
	}
	made := directory.Account{User: user, Password: hash, DisplayName: name, CreatedAt: s.now().UnixMicro()}
	made.Bind(c.key)
	if s.registration == RegistrationInvite {
		err = s.dir.CreateInvited(ctx, made, req.GetInvite())
	} else {
		err = s.dir.CreateAccount(ctx, made)
	}
	if err != nil {
		return nil, statusOf(s.log, err)
	}
	s.log.Debug("account made")
	return &directorypb.RegisterResponse{}, nil
}

// registered answers a Register of the device that has the account: with success,
// because the first answer may have got lost.
func (s *Service) registered(ctx context.Context, a *directory.Account, pass string) (*directorypb.RegisterResponse, error) {
	if s.hasher.Verify(ctx, a.Password, pass) != nil {
		return nil, statusOf(s.log, directory.ErrExists)
	}
	if a.Disabled {
		return nil, statusOf(s.log, directory.ErrDisabled)
	}
	return &directorypb.RegisterResponse{}, nil
}

// LogIn implements directorypb.DirectoryServer.
func (s *Service) LogIn(ctx context.Context, req *directorypb.LogInRequest) (*directorypb.LogInResponse, error) {
	c, err := callerOf(ctx)
	if err != nil {
		return nil, err
	}
	user, err := ParseUser(req.GetUser())
	if err != nil {
		return nil, err
	}
	if err := s.checkPassword(ctx, user, c, req.GetPassword()); err != nil {
		return nil, err
	}
	a, err := s.dir.ChangeAccount(ctx, user, func(a *directory.Account) error {
		if a.Disabled {
			return directory.ErrDisabled // told only to who has the password
		}
		if len(a.Devices) > 0 && !a.Has(c.key) && !req.GetReplace() {
			return errOtherDevice
		}
		a.Bind(c.key)
		return nil
	})
	if err != nil {
		return nil, statusOf(s.log, err)
	}
	profile, err := s.profile(ctx, a)
	if err != nil {
		return nil, statusOf(s.log, err)
	}
	s.log.Debug("logged in")
	return &directorypb.LogInResponse{Profile: profile}, nil
}

// checkPassword checks the password of a log-in. Failed tries count against the
// address and the account. A device that the account knows is not kept out by
// what strangers try.
func (s *Service) checkPassword(ctx context.Context, user packet.UserID, c caller, pass string) error {
	hash, known := "", false
	if a, err := s.dir.Account(user); err == nil {
		hash, known = a.Password, a.Has(c.key)
	}
	from := limit.Network(c.addr)
	if wait := s.limits.logInAddress.Take(from); wait > 0 {
		return exhausted("Too many log-ins failed from this address.", wait)
	}
	if !known {
		if wait := s.limits.logInAccount.Take(string(user)); wait > 0 {
			return exhausted("Too many log-ins to this account failed.", wait)
		}
	}
	err := s.hasher.Verify(ctx, hash, pass)
	if err == nil {
		s.limits.logInAddress.GiveBack(from)
		if !known {
			s.limits.logInAccount.GiveBack(string(user))
		}
	}
	return statusOf(s.log, err)
}

// LogOut implements directorypb.DirectoryServer.
func (s *Service) LogOut(ctx context.Context, _ *directorypb.LogOutRequest) (*directorypb.LogOutResponse, error) {
	c, err := callerOf(ctx)
	if err != nil {
		return nil, err
	}
	a, err := s.dir.Owner(c.key)
	if err != nil {
		return &directorypb.LogOutResponse{}, nil //nolint:nilerr // idempotent: it is logged out
	}
	if _, err := s.dir.ChangeAccount(ctx, a.User, func(a *directory.Account) error {
		a.Unbind(c.key)
		return nil
	}); err != nil {
		return nil, statusOf(s.log, err)
	}
	s.log.Debug("logged out")
	return &directorypb.LogOutResponse{}, nil
}

// ChangePassword implements directorypb.DirectoryServer.
func (s *Service) ChangePassword(ctx context.Context, req *directorypb.ChangePasswordRequest) (*directorypb.ChangePasswordResponse, error) {
	c, a, err := s.account(ctx)
	if err != nil {
		return nil, err
	}
	if err := password.Check(req.GetNewPassword()); err != nil {
		return nil, statusOf(s.log, err)
	}
	old := a.Password
	if err := s.checkOwnPassword(ctx, a, req.GetOldPassword()); err != nil {
		return nil, err
	}
	hash, err := s.hasher.Hash(ctx, req.GetNewPassword())
	if err != nil {
		return nil, statusOf(s.log, err)
	}
	if _, err := s.dir.ChangeAccount(ctx, a.User, func(a *directory.Account) error {
		if !a.Has(c.key) {
			return directory.ErrNotBound
		}
		if a.Password != old {
			return errWrongPassword // changed meanwhile
		}
		a.Password = hash
		return nil
	}); err != nil {
		return nil, statusOf(s.log, err)
	}
	s.log.Debug("password changed")
	return &directorypb.ChangePasswordResponse{}, nil
}

// DeleteAccount implements directorypb.DirectoryServer. Wrong passwords count as
// those of ChangePassword do.
func (s *Service) DeleteAccount(ctx context.Context, req *directorypb.DeleteAccountRequest) (*directorypb.DeleteAccountResponse, error) {
	_, a, err := s.account(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.checkOwnPassword(ctx, a, req.GetPassword()); err != nil {
		return nil, err
	}
	// All of it, also when the caller goes away: half removed it is of use to nobody.
	if err := s.dir.RemoveAccount(context.WithoutCancel(ctx), a.User); err != nil {
		return nil, statusOf(s.log, err)
	}
	s.log.Debug("account removed by its user")
	return &directorypb.DeleteAccountResponse{}, nil
}

// checkOwnPassword checks the password of a device that is logged in.
func (s *Service) checkOwnPassword(ctx context.Context, a *directory.Account, pass string) error {
	if wait := s.limits.changePassword.Take(string(a.User)); wait > 0 {
		return exhausted("The password was wrong too often.", wait)
	}
	if err := s.hasher.Verify(ctx, a.Password, pass); err != nil {
		return statusOf(s.log, err)
	}
	s.limits.changePassword.GiveBack(string(a.User))
	return nil
}

// SetProfile implements directorypb.DirectoryServer.
func (s *Service) SetProfile(ctx context.Context, req *directorypb.SetProfileRequest) (*directorypb.SetProfileResponse, error) {
	_, a, err := s.account(ctx)
	if err != nil {
		return nil, err
	}
	name, err := ParseName(req.GetProfile().GetDisplayName(), a.User)
	if err != nil {
		return nil, err
	}
	if err := checkAvatar(req.GetProfile().GetAvatar()); err != nil {
		return nil, err
	}
	if wait := s.limits.setProfile.Take(string(a.User)); wait > 0 {
		return nil, exhausted("The profile was changed too often.", wait)
	}
	if err := s.dir.SetProfile(ctx, a.User, name, req.GetProfile().GetAvatar()); err != nil {
		return nil, statusOf(s.log, err)
	}
	return &directorypb.SetProfileResponse{}, nil
}

// LookUp implements directorypb.DirectoryServer.
func (s *Service) LookUp(ctx context.Context, req *directorypb.LookUpRequest) (*directorypb.LookUpResponse, error) {
	_, me, err := s.account(ctx)
	if err != nil {
		return nil, err
	}
	if net2019.IsName(req.GetUser()) {
		return s.lookUpNet2019(me.User, req.GetUser())
	}
	user, err := ParseUser(req.GetUser())
	if err != nil {
		return nil, err
	}
	if wait := s.limits.lookUp.Take(string(me.User)); wait > 0 {
		return nil, exhausted("Too many people were looked up.", wait)
	}
	a, err := s.dir.Account(user)
	if err != nil {
		return nil, failure.Status(codes.NotFound, fmt.Sprintf("There is no user %s here.", user), because("NO_USER"))
	}
	profile, err := s.profile(ctx, a)
	if err != nil {
		return nil, statusOf(s.log, err)
	}
	pb := &directorypb.LookUpResponse{User: string(user), Profile: profile}
	for _, d := range a.Devices {
		pb.Devices = append(pb.Devices, &directorypb.Device{Key: d.Key, BoundAt: d.BoundAt})
	}
	return pb, nil
}

// account gives the caller's account.
func (s *Service) account(ctx context.Context) (caller, *directory.Account, error) {
	c, err := callerOf(ctx)
	if err != nil {
		return caller{}, nil, err
	}
	a, err := s.dir.Owner(c.key)
	if err == nil && a.Disabled {
		err = directory.ErrDisabled
	}
	if err == nil {
		c.meter.known()
	}
	return c, a, statusOf(s.log, err)
}

func (s *Service) profile(ctx context.Context, a *directory.Account) (*directorypb.Profile, error) {
	avatar, err := s.dir.Avatar(ctx, a)
	if err != nil {
		return nil, err
	}
	return &directorypb.Profile{DisplayName: a.DisplayName, Avatar: avatar, AvatarHash: a.AvatarHash}, nil
}
