// Package admin is what the operator of a directory does with it: accounts,
// invites, backups. The same operations work through a private socket in the
// data folder while the server runs, and on the folder itself while it does not.
package admin

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/server/api"
	"github.com/parley-chat/parley/server/backup"
	"github.com/parley-chat/parley/server/directory"
)

// Admin is what an operator can do. Its errors are of type *Error, whose text is
// a sentence for the operator.
type Admin interface {
	AddUser(ctx context.Context, add AddUser) error
	Users(ctx context.Context) ([]User, error)
	SetPassword(ctx context.Context, set SetPassword) error
	SetDisabled(ctx context.Context, set SetDisabled) error
	RemoveUser(ctx context.Context, user string) error
	CreateInvite(ctx context.Context, create CreateInvite) (Created, error)
	Invites(ctx context.Context) ([]Invite, error)
	RevokeInvite(ctx context.Context, idOrCode string) error
	// Backup writes a backup, which is whole only when it returns nil.
	Backup(ctx context.Context, w io.Writer) error
}

// AddUser makes an account that no device is logged in to yet.
type AddUser struct {
	User     string `json:"user"`
	Name     string `json:"name,omitempty"`
	Password string `json:"password"`
}

// User is one account as the operator sees it.
type User struct {
	User     string     `json:"user"`
	Name     string     `json:"name"`
	Online   bool       `json:"online"` // false while the server does not run
	Disabled bool       `json:"disabled"`
	Devices  int        `json:"devices"`
	Created  time.Time  `json:"created"`
	LoggedIn *time.Time `json:"logged_in,omitempty"` // when the device that is logged in was
}

// SetPassword sets a password without the old one.
type SetPassword struct {
	User     string `json:"user"`
	Password string `json:"password"`
	LogOut   bool   `json:"log_out,omitempty"` // and logs the device out
}

// SetDisabled disables or enables an account.
type SetDisabled struct {
	User     string `json:"user"`
	Disabled bool   `json:"disabled"`
}

// CreateInvite makes an invite.
type CreateInvite struct {
	Note    string        `json:"note,omitempty"`
	Uses    int           `json:"uses"`
	Expires time.Duration `json:"expires,omitempty"` // from now; 0: never
}

// Created is a new invite with its code, which is told this once.
type Created struct {
	Invite
	Code string `json:"code"`
}

// Invite is one invite, without its code.
type Invite struct {
	ID      string     `json:"id"`
	Note    string     `json:"note,omitempty"`
	Uses    int        `json:"uses"`
	Used    int        `json:"used"`
	Usable  bool       `json:"usable"`
	Created time.Time  `json:"created"`
	Expires *time.Time `json:"expires,omitempty"`
}

// Hasher hashes passwords.
type Hasher interface {
	Hash(ctx context.Context, password string) (string, error)
}

// Operator does what Admin says on an open directory.
type Operator struct {
	Directory *directory.Directory
	Hasher    Hasher
	// Files go into backups besides the records.
	Files []backup.File
	Log   *slog.Logger
}

var _ Admin = (*Operator)(nil)

// AddUser implements Admin.
func (o *Operator) AddUser(ctx context.Context, add AddUser) error {
	user, err := api.ParseUser(add.User)
	if err != nil {
		return errorOf(err)
	}
	name, err := api.ParseName(add.Name, user)
	if err != nil {
		return errorOf(err)
	}
	hash, err := o.Hasher.Hash(ctx, add.Password)
	if err != nil {
		return errorOf(err)
	}
	err = o.Directory.CreateAccount(ctx, directory.Account{User: user, Password: hash, DisplayName: name, CreatedAt: time.Now().UnixMicro()})
	return o.did(err, "account made")
}

// Users implements Admin.
func (o *Operator) Users(context.Context) ([]User, error) {
	all := o.Directory.Accounts()
	users := make([]User, len(all))
	for i, a := range all {
		users[i] = User{
			User: string(a.User), Name: a.DisplayName, Online: o.Directory.Online(a.User), Disabled: a.Disabled,
			Devices: len(a.Devices), Created: time.UnixMicro(a.CreatedAt).UTC(),
		}
		if n := len(a.Devices); n > 0 {
			users[i].LoggedIn = when(a.Devices[n-1].BoundAt)
		}
	}
	return users, nil
}

// SetPassword implements Admin.
func (o *Operator) SetPassword(ctx context.Context, set SetPassword) error {
	user, err := o.known(set.User)
	if err != nil {
		return err
	}
	hash, err := o.Hasher.Hash(ctx, set.Password)
	if err != nil {
		return errorOf(err)
	}
	_, err = o.Directory.ChangeAccount(ctx, user, func(a *directory.Account) error {
		a.Password = hash
		if set.LogOut {
			a.Devices = nil
		}
		return nil
	})
	return o.did(err, "password set")
}

// SetDisabled implements Admin.
func (o *Operator) SetDisabled(ctx context.Context, set SetDisabled) error {
	user, err := o.known(set.User)
	if err != nil {
		return err
	}
	_, err = o.Directory.ChangeAccount(ctx, user, func(a *directory.Account) error {
		a.Disabled = set.Disabled
		return nil
	})
	if set.Disabled {
		return o.did(err, "account disabled")
	}
	return o.did(err, "account enabled")
}

// RemoveUser implements Admin.
func (o *Operator) RemoveUser(ctx context.Context, name string) error {
	user, err := o.known(name)
	if err != nil {
		return err
	}
	return o.did(o.Directory.RemoveAccount(ctx, user), "account removed")
}

// known gives the id of a user that there is.
func (o *Operator) known(name string) (packet.UserID, error) {
	user, err := api.ParseUser(name)
	if err != nil {
		return "", errorOf(err)
	}
	if _, err := o.Directory.Account(user); err != nil {
		return "", &Error{KindNotFound, "There is no user " + name + "; parley-server user list shows all."}
	}
	return user, nil
}

// CreateInvite implements Admin.
func (o *Operator) CreateInvite(ctx context.Context, create CreateInvite) (Created, error) {
	switch {
	case create.Uses < 1 || create.Uses > directory.MaxInviteUses:
		return Created{}, invalid("An invite is for 1 to %d accounts, not %d.", directory.MaxInviteUses, create.Uses)
	case create.Expires < 0:
		return Created{}, invalid("An invite cannot expire before it is made.")
	case len(create.Note) > directory.MaxInviteNote:
		return Created{}, invalid("A note has at most %d bytes.", directory.MaxInviteNote)
	}
	i := directory.Invite{Note: create.Note, Uses: create.Uses}
	if create.Expires > 0 {
		i.ExpiresAt = time.Now().Add(create.Expires).UnixMicro()
	}
	made, code, err := o.Directory.CreateInvite(ctx, i)
	if err := o.did(err, "invite made"); err != nil {
		return Created{}, err
	}
	return Created{Invite: inviteOf(&made), Code: code}, nil
}

// Invites implements Admin.
func (o *Operator) Invites(context.Context) ([]Invite, error) {
	all := o.Directory.Invites()
	invites := make([]Invite, len(all))
	for i := range all {
		invites[i] = inviteOf(&all[i])
	}
	return invites, nil
}

// RevokeInvite implements Admin.
func (o *Operator) RevokeInvite(ctx context.Context, idOrCode string) error {
	return o.did(o.Directory.RevokeInvite(ctx, idOrCode), "invite revoked")
}

// Backup implements Admin.
func (o *Operator) Backup(ctx context.Context, w io.Writer) error {
	return o.did(backup.Write(ctx, w, backup.Source{Directory: o.Directory, Files: o.Files}), "backup made")
}

// did logs what the operator did, without whom it concerns, or gives the error.
func (o *Operator) did(err error, what string) error {
	if err != nil {
		return errorOf(err)
	}
	o.Log.Info("operator: " + what)
	return nil
}

func inviteOf(i *directory.Invite) Invite {
	invite := Invite{ID: i.ID, Note: i.Note, Uses: i.Uses, Used: i.Used, Usable: i.Usable(time.Now()), Created: *when(i.CreatedAt)}
	if i.ExpiresAt != 0 {
		invite.Expires = when(i.ExpiresAt)
	}
	return invite
}

func when(micros int64) *time.Time {
	t := time.UnixMicro(micros).UTC()
	return &t
}
