package core

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/directory"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
)

// LogIn implements control.Core. What is stored here of an account is opened,
// or made, first, because the directory is told the device's key; when the
// directory then says no, what was made is removed again.
func (f facade) LogIn(ctx context.Context, req *controlpb.LogInRequest) (*controlpb.LogInResponse, error) {
	c := f.Core
	c.gate.Lock()
	defer c.gate.Unlock()
	if err := c.alive(); err != nil {
		return nil, err
	}
	a, err := f.wantedAccount(req)
	if err != nil {
		return nil, err
	}
	_, err = os.Stat(a.folder(c.cfg.Folders))
	fresh := errors.Is(err, os.ErrNotExist)

	// What runs of this account stops: its store has one user at a time.
	c.mu.Lock()
	running := c.session
	c.mu.Unlock()
	if running != nil {
		c.setSession(running.account, nil, errLoggingIn)
		if err := running.close(); err != nil {
			c.cfg.Log.Warn("session did not end well", "error", err)
		}
	}
	met, err := c.logIn(ctx, a, req)
	if err != nil {
		if fresh {
			err = errors.Join(err, os.RemoveAll(a.folder(c.cfg.Folders)))
		}
		c.restore(ctx, running, req.GetPassphrase())
		return nil, err
	}
	// The directory has bound this device: a front end that goes away now does not
	// stop what has to follow.
	ctx = context.WithoutCancel(ctx)
	if a.Pin != "" || met.PinnedNow {
		a.Pin = met.Fingerprint // as it is written everywhere
	}
	if err := writeAccount(c.cfg.Folders, a); err != nil {
		c.restore(ctx, running, req.GetPassphrase())
		return nil, err
	}
	c.openAccount(ctx, a, req.GetPassphrase())
	s, err := c.current()
	if err != nil {
		return nil, err
	}
	if err := s.adoptProfile(ctx, met.Profile, req.GetDisplayName()); err != nil {
		return nil, err
	}
	s.awaitDirectory(ctx)
	return &controlpb.LogInResponse{User: string(a.User), Fingerprint: met.Fingerprint, PinnedNow: met.PinnedNow}, nil
}

// restore opens again what ran before a log-in that failed.
func (c *Core) restore(ctx context.Context, running *session, passphrase string) {
	if running != nil && c.alive() == nil {
		c.openAccount(context.WithoutCancel(ctx), running.account, passphrase)
	}
}

// alive says that Run has not ended. Whoever opens an account asks while it
// holds gate, which Run takes to close the last one.
func (c *Core) alive() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.running {
		return ErrStopping
	}
	return nil
}

// wantedAccount says which account a log-in is about.
func (f facade) wantedAccount(req *controlpb.LogInRequest) (*account, error) {
	user, err := packet.ParseUserID(req.GetUser())
	if err != nil {
		return nil, failure.New(ErrInvalid, "%q cannot be a user id: 1 to 64 of a-z, 0-9, \".\" and \"_\", starting with a letter or digit", req.GetUser()).Because("INVALID_USER", "user", req.GetUser())
	}
	address, err := directory.ParseAddress(req.GetDirectory())
	if err != nil {
		return nil, err
	}
	if err := checkPin(req.GetPin()); err != nil {
		return nil, err
	}
	if req.GetPin() != "" && req.GetForgetPin() {
		return nil, fmt.Errorf("a fingerprint is either given or forgotten: %w", ErrInvalid)
	}
	a := &account{User: user, Directory: address, Pin: req.GetPin(), vouched: req.GetForgetPin()}
	stored, err := readAccount(f.cfg.Folders)
	switch {
	case errors.Is(err, errNoAccount):
		// It may have been logged in here before.
		stored, err = readAccountFile(filepath.Join(a.folder(f.cfg.Folders), accountName))
		if errors.Is(err, errNoAccount) {
			return a, nil
		}
		if err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	case stored.User != user || stored.Directory != address:
		return nil, fmt.Errorf("profile %s is logged in as %s at %s: log out first, or use another profile (--profile NAME): %w",
			f.cfg.Folders.Profile, stored.User, stored.Directory, ErrOtherAccount)
	}
	if a.Pin == "" && !a.vouched {
		a.Pin, a.vouched = stored.Pin, stored.Pin == ""
	}
	return a, nil
}

var pinPattern = regexp.MustCompile(`^([0-9A-Fa-f]{2}[: ]?){31}[0-9A-Fa-f]{2}$`)

func checkPin(pin string) error {
	if pin != "" && !pinPattern.MatchString(pin) {
		return failure.New(ErrInvalid, "%.100q cannot be a fingerprint: it has 64 hexadecimal digits, as parley-server prints them when it starts", pin).Because("FINGERPRINT")
	}
	return nil
}

// logIn opens or makes a's store and binds its device key at the directory.
func (c *Core) logIn(ctx context.Context, a *account, req *controlpb.LogInRequest) (met directory.Login, err error) {
	st, _, err := c.openStore(ctx, a, req.GetPassphrase(), true)
	if err != nil {
		return directory.Login{}, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	id, err := loadIdentity(ctx, st, a.User)
	if errors.Is(err, store.ErrNotFound) {
		if id, err = identity.Generate(a.User); err == nil {
			err = saveIdentity(ctx, st, id)
		}
	}
	if err != nil {
		return directory.Login{}, err
	}
	target := directory.Target{Address: a.Directory, Pin: a.Pin, Vouched: a.vouched, Identity: id, Agent: c.agent()}
	if req.GetRegister() {
		return directory.Register(ctx, target, directory.Registration{
			Password: req.GetPassword(), DisplayName: req.GetDisplayName(), Invite: req.GetInvite(),
		})
	}
	return directory.LogIn(ctx, target, directory.Credentials{Password: req.GetPassword(), Replace: req.GetReplace()})
}

// adoptProfile takes over what the directory knows of the account, or what was
// given with the registration.
func (s *session) adoptProfile(ctx context.Context, known *directorypb.Profile, name string) error {
	if known != nil {
		return s.roster.AdoptProfile(ctx, known)
	}
	if name == "" {
		return nil
	}
	return s.roster.AdoptProfile(ctx, &directorypb.Profile{DisplayName: name})
}

// sessionPatience is how long a log-in waits for the session to be there, so
// that what is asked next finds it.
const sessionPatience = 5 * time.Second

// awaitDirectory waits a moment for the session with the directory.
func (s *session) awaitDirectory(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sessionPatience)
	defer cancel()
	states := bus.Subscribe(s.core.bus, bus.DirectoryChanged, 16)
	defer states.Close()
	for !s.directory.State().Connected {
		if _, err := states.Next(ctx); err != nil && !errors.Is(err, bus.ErrLagged) {
			return
		}
	}
}

// LogOut implements control.Core. The device is unbound at the directory if
// that can be reached; here it is logged out in any case.
func (f facade) LogOut(ctx context.Context) error {
	c := f.Core
	c.gate.Lock()
	defer c.gate.Unlock()
	c.mu.Lock()
	s, a := c.session, c.account
	c.mu.Unlock()
	if a == nil {
		return ErrNoAccount
	}
	if err := ctx.Err(); err != nil {
		return err // whoever asked has gone while another call was under way
	}
	if s != nil {
		if err := s.directory.LogOut(ctx); err != nil {
			c.cfg.Log.Warn("directory was not told of the log-out", "error", err)
		}
	}
	return c.leave(s)
}

// leave logs the account out here. The caller holds gate.
func (c *Core) leave(s *session) error {
	if err := removeAccount(c.cfg.Folders); err != nil {
		return err
	}
	c.setSession(nil, nil, nil)
	if s != nil {
		return s.close()
	}
	return nil
}

// DeleteAccount implements control.Core. Only when the directory has forgotten
// the account is it logged out here; what is stored stays.
func (f facade) DeleteAccount(ctx context.Context, password string) error {
	c := f.Core
	c.gate.Lock()
	defer c.gate.Unlock()
	s, err := c.current()
	if err != nil {
		return err
	}
	if err := s.directory.DeleteAccount(ctx, password); err != nil {
		return err
	}
	return c.leave(s)
}

// Unlock implements control.Core.
func (f facade) Unlock(ctx context.Context, passphrase string) error {
	c := f.Core
	c.gate.Lock()
	defer c.gate.Unlock()
	c.mu.Lock()
	a, open, locked := c.account, c.session != nil, c.locked
	c.mu.Unlock()
	switch {
	case open:
		return nil
	case a == nil && locked != nil:
		return &LockedError{Cause: locked} // account.json is damaged: that says what to do
	case a == nil:
		return ErrNoAccount
	}
	if err := c.alive(); err != nil {
		return err
	}
	s, err := c.openSession(ctx, a, passphrase)
	switch {
	case err == nil:
		s.start(ctx, c.cfg.Log)
		c.setSession(a, s, nil)
		return nil
	case errors.Is(err, identity.ErrWrongPassphrase), ctx.Err() != nil:
		return err // says nothing new of why it is locked
	}
	c.setSession(a, nil, err)
	if place, placeErr := c.vault(a).Place(); placeErr == nil && place == identity.PlacePassphrase && passphrase == "" {
		return ErrPassphraseNeeded
	}
	return &LockedError{Cause: err}
}
