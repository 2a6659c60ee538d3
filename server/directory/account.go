package directory

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/parley-chat/parley/protocol/packet"
)

// Device is a device key that is bound to an account.
type Device struct {
	Key     []byte `json:"key"`
	BoundAt int64  `json:"bound_at"` // Unix microseconds
}

// Account is one user's record. Values that the directory gives are shared and
// not to be changed.
type Account struct {
	User        packet.UserID `json:"-"`
	Password    string        `json:"password"` // PHC string
	DisplayName string        `json:"display_name"`
	AvatarHash  []byte        `json:"avatar_hash,omitempty"` // empty: no picture
	Devices     []Device      `json:"devices,omitempty"`
	CreatedAt   int64         `json:"created_at"` // Unix microseconds
	// Disabled: the operator lets nobody use the account.
	Disabled bool `json:"disabled,omitempty"`
	// Removing: it is being removed, and for everybody else it is gone.
	Removing bool `json:"removing,omitempty"`

	revision uint64
}

// Has says whether key is one of the account's devices.
func (a *Account) Has(key ed25519.PublicKey) bool {
	return slices.ContainsFunc(a.Devices, func(d Device) bool { return bytes.Equal(d.Key, key) })
}

// Bind makes key the account's only device. Binding what is bound changes
// nothing.
func (a *Account) Bind(key ed25519.PublicKey) {
	if len(a.Devices) == 1 && a.Has(key) {
		return
	}
	a.Devices = []Device{{Key: key, BoundAt: time.Now().UnixMicro()}}
}

// Unbind removes key from the account's devices.
func (a *Account) Unbind(key ed25519.PublicKey) {
	a.Devices = slices.DeleteFunc(slices.Clone(a.Devices), func(d Device) bool { return bytes.Equal(d.Key, key) })
}

// Account gives a user's record, or ErrNoUser.
func (d *Directory) Account(user packet.UserID) (*Account, error) {
	d.view.mu.RLock()
	defer d.view.mu.RUnlock()
	if a := d.view.accounts[user]; a != nil && !a.Removing {
		return a, nil
	}
	return nil, ErrNoUser
}

// Accounts gives all records, by user id.
func (d *Directory) Accounts() []*Account {
	d.view.mu.RLock()
	defer d.view.mu.RUnlock()
	all := make([]*Account, 0, len(d.view.accounts))
	for _, a := range d.view.accounts {
		if !a.Removing {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, func(a, b *Account) int { return strings.Compare(string(a.User), string(b.User)) })
	return all
}

// Online says whether a user has presence now.
func (d *Directory) Online(user packet.UserID) bool {
	d.view.mu.RLock()
	defer d.view.mu.RUnlock()
	return d.view.online[user] != nil
}

// Owner gives the record of the account a device key is bound to, or
// ErrNotBound.
func (d *Directory) Owner(key ed25519.PublicKey) (*Account, error) {
	d.view.mu.RLock()
	defer d.view.mu.RUnlock()
	if a := d.view.owner(key); a != nil {
		return a, nil
	}
	return nil, ErrNotBound
}

// CreateAccount stores a new account; when it returns nil the account is on
// disk. Errors: ErrExists, ErrKeyTaken, ErrState.
func (d *Directory) CreateAccount(ctx context.Context, a Account) error {
	release, err := d.view.claimKeys(a.User, nil, a.Devices)
	if err != nil {
		return err
	}
	defer release()
	value, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode account: %w", err)
	}
	_, err = d.accounts.write(ctx, func(ctx context.Context) (uint64, error) {
		return d.accounts.Create(ctx, keyOf(a.User), value)
	})
	if errors.Is(err, jetstream.ErrKeyExists) {
		return ErrExists
	}
	return err
}

// maxConflicts bounds how often a change is tried anew because another one came
// between.
const maxConflicts = 16

// ChangeAccount has change alter a copy of a user's record and stores it; when
// it returns nil the change is on disk. An error of change is returned and
// nothing is stored. Errors besides: ErrNoUser, ErrKeyTaken, ErrState.
func (d *Directory) ChangeAccount(ctx context.Context, user packet.UserID, change func(*Account) error) (*Account, error) {
	for range maxConflicts {
		old, err := d.Account(user)
		if err != nil {
			return nil, err
		}
		changed := *old
		if err := change(&changed); err != nil {
			return nil, err
		}
		err = d.updateAccount(ctx, old, &changed)
		if errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			if err := d.catchUp(ctx, user); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		return &changed, nil
	}
	return nil, fmt.Errorf("change account: too many changes at once: %w", ErrState)
}

// catchUp waits until the view has a user's record as it is stored.
func (d *Directory) catchUp(ctx context.Context, user packet.UserID) error {
	entry, err := d.accounts.get(ctx, keyOf(user))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return ErrNoUser
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	return d.accounts.seen.wait(ctx, entry.Revision())
}

func (d *Directory) updateAccount(ctx context.Context, old, changed *Account) error {
	release, err := d.view.claimKeys(old.User, old.Devices, changed.Devices)
	if err != nil {
		return err
	}
	defer release()
	value, err := json.Marshal(changed)
	if err != nil {
		return fmt.Errorf("encode account: %w", err)
	}
	// The key stays claimed until the view knows whose it is.
	_, err = d.accounts.write(ctx, func(ctx context.Context) (uint64, error) {
		return d.accounts.Update(ctx, keyOf(old.User), value, old.revision)
	})
	return err
}

// SetProfile sets a user's public name and picture; an empty avatar removes it.
func (d *Directory) SetProfile(ctx context.Context, user packet.UserID, name string, avatar []byte) error {
	var hash []byte
	if len(avatar) > 0 {
		sum := packet.HashOf(avatar)
		hash = sum[:]
		// Stored before it is named, so that no record names what is not there.
		if err := d.putAvatar(ctx, avatarKey(user, hash), avatar); err != nil {
			return err
		}
	}
	var before []byte
	_, err := d.ChangeAccount(ctx, user, func(a *Account) error {
		before = a.AvatarHash
		a.DisplayName, a.AvatarHash = name, hash
		return nil
	})
	if errors.Is(err, ErrNoUser) && len(hash) > 0 {
		// Removed meanwhile, maybe after its pictures were.
		return errors.Join(err, d.avatars.remove(ctx, avatarKey(user, hash), 0))
	}
	if err != nil {
		return err
	}
	if len(before) > 0 && !bytes.Equal(before, hash) {
		if err := d.avatars.remove(ctx, avatarKey(user, before), 0); err != nil {
			d.log.Warn("old picture was not removed", "error", err)
		}
	}
	return nil
}

func (d *Directory) putAvatar(ctx context.Context, key string, avatar []byte) error {
	_, err := d.avatars.write(ctx, func(ctx context.Context) (uint64, error) {
		return d.avatars.Put(ctx, key, avatar)
	})
	return err
}

// Avatar gives the account's picture, or nothing when it has none or has got
// another one meanwhile.
func (d *Directory) Avatar(ctx context.Context, a *Account) ([]byte, error) {
	if len(a.AvatarHash) == 0 {
		return nil, nil
	}
	entry, err := d.avatars.get(ctx, avatarKey(a.User, a.AvatarHash))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return entry.Value(), nil
}

func avatarKey(user packet.UserID, hash []byte) string {
	return keyOf(user) + "." + hex.EncodeToString(hash)
}

// applyAccount follows the accounts bucket.
func (d *Directory) applyAccount(entry jetstream.KeyValueEntry) {
	if hash, ok := strings.CutPrefix(entry.Key(), invitePrefix); ok {
		d.applyInvite(hash, entry)
		return
	}
	user, err := userOf(entry.Key())
	if err != nil {
		d.log.Error("record with a bad key", "bucket", "accounts", "record", entry.Revision())
		return
	}
	var a *Account
	if entry.Operation() == jetstream.KeyValuePut {
		a = &Account{}
		if err := json.Unmarshal(entry.Value(), a); err != nil {
			d.log.Error("account cannot be read; it counts as it was before", "record", entry.Revision(), "error", err)
			return
		}
		a.User, a.revision = user, entry.Revision()
	}
	cause := ErrNotBound
	if a != nil && a.Disabled {
		cause = ErrDisabled
	}
	for _, s := range d.view.setAccount(user, a) {
		s.end(cause)
	}
}
