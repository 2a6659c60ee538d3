package directory

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Bounds of invites.
const (
	MaxInvites    = 10_000
	MaxInviteUses = 10_000
	MaxInviteNote = 200 // bytes
	// keepSpent is how long an invite that nobody can use any more is listed.
	keepSpent = 30 * 24 * time.Hour
)

const (
	invitePrefix = "invite." // of keys; no user's key has a dot
	codeBytes    = 15        // 120 bits, 24 characters
	inviteID     = 12        // characters of the hash that name an invite
)

// Invite lets somebody make an account. Of its code only a hash is kept: codes
// are random, so that hash needs no salt and no cost.
type Invite struct {
	ID        string `json:"-"`
	Note      string `json:"note,omitempty"` // the operator's
	Uses      int    `json:"uses"`           // accounts that it is for
	Used      int    `json:"used"`
	CreatedAt int64  `json:"created_at"`           // Unix microseconds
	ExpiresAt int64  `json:"expires_at,omitempty"` // Unix microseconds; 0: never

	revision uint64
}

// Usable says whether another account can be made with it at a time.
func (i *Invite) Usable(at time.Time) bool { return i.Used < i.Uses && !i.expired(at) }

func (i *Invite) expired(at time.Time) bool { return i.ExpiresAt != 0 && at.UnixMicro() >= i.ExpiresAt }

var codeEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// newCode makes a code that can be read out: "abcdef-ghijkl-mnopqr-stuvwx".
func newCode() string {
	b := make([]byte, codeBytes)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	s := strings.ToLower(codeEncoding.EncodeToString(b))
	return strings.Join([]string{s[:6], s[6:12], s[12:18], s[18:]}, "-")
}

// hashCode hashes a code as people type it: case and separators do not matter.
func hashCode(code string) string {
	plain := strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(code))
	sum := sha256.Sum256([]byte(plain))
	return hex.EncodeToString(sum[:])
}

// CreateInvite stores an invite of which Note, Uses and ExpiresAt are given, and
// gives its code, which is told this once. Errors: ErrTooManyInvites, ErrState.
func (d *Directory) CreateInvite(ctx context.Context, i Invite) (Invite, string, error) {
	if err := d.pruneInvites(ctx, time.Now()); err != nil {
		return Invite{}, "", err
	}
	if len(d.Invites()) >= MaxInvites {
		return Invite{}, "", ErrTooManyInvites
	}
	code := newCode()
	hash := hashCode(code)
	i.CreatedAt, i.Used = time.Now().UnixMicro(), 0
	value, err := json.Marshal(i)
	if err != nil {
		return Invite{}, "", fmt.Errorf("encode invite: %w", err)
	}
	if _, err := d.accounts.write(ctx, func(ctx context.Context) (uint64, error) {
		return d.accounts.Create(ctx, invitePrefix+hash, value)
	}); err != nil {
		return Invite{}, "", err
	}
	i.ID = hash[:inviteID]
	return i, code, nil
}

// Invites gives all invites, oldest first.
func (d *Directory) Invites() []Invite {
	d.view.mu.RLock()
	defer d.view.mu.RUnlock()
	all := make([]Invite, 0, len(d.view.invites))
	for _, i := range d.view.invites {
		all = append(all, *i)
	}
	slices.SortFunc(all, func(a, b Invite) int { return int(a.CreatedAt - b.CreatedAt) })
	return all
}

// RevokeInvite removes an invite by its id or its code; accounts that were made
// with it stay. Errors: ErrNoInvite, ErrState.
func (d *Directory) RevokeInvite(ctx context.Context, idOrCode string) error {
	hash := d.view.findInvite(idOrCode)
	if hash == "" {
		return ErrNoInvite
	}
	return d.accounts.remove(ctx, invitePrefix+hash, 0)
}

func (v *view) findInvite(idOrCode string) string {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if hash := hashCode(idOrCode); v.invites[hash] != nil {
		return hash
	}
	for hash := range v.invites {
		if hash[:inviteID] == idOrCode {
			return hash
		}
	}
	return ""
}

// pruneInvites removes invites that nobody could use for long.
func (d *Directory) pruneInvites(ctx context.Context, now time.Time) error {
	var spent []string
	d.view.mu.RLock()
	for hash, i := range d.view.invites {
		if !i.Usable(now) && max(i.CreatedAt, i.ExpiresAt) < now.Add(-keepSpent).UnixMicro() {
			spent = append(spent, hash)
		}
	}
	d.view.mu.RUnlock()
	for _, hash := range spent {
		if err := d.accounts.remove(ctx, invitePrefix+hash, 0); err != nil {
			return err
		}
	}
	return nil
}

// CheckInvite says whether an account could be made with a code now: nil or
// ErrNoInvite.
func (d *Directory) CheckInvite(code string) error {
	_, _, err := d.invite(code)
	return err
}

func (d *Directory) invite(code string) (hash string, i *Invite, err error) {
	hash = hashCode(code)
	d.view.mu.RLock()
	defer d.view.mu.RUnlock()
	if i = d.view.invites[hash]; i == nil || !i.Usable(time.Now()) {
		return "", nil, ErrNoInvite
	}
	return hash, i, nil
}

// CreateInvited is CreateAccount with an invite's code: the account is stored
// and the invite used in one write, so that there is never the one without the
// other. Errors besides: ErrNoInvite.
func (d *Directory) CreateInvited(ctx context.Context, a Account, code string) error {
	release, err := d.view.claimKeys(a.User, nil, a.Devices)
	if err != nil {
		return err
	}
	defer release()
	value, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode account: %w", err)
	}
	for range maxConflicts {
		hash, i, err := d.invite(code)
		if err != nil {
			return err
		}
		used := *i
		used.Used++
		invite, err := json.Marshal(used)
		if err != nil {
			return fmt.Errorf("encode invite: %w", err)
		}
		_, err = d.accounts.write(ctx, func(ctx context.Context) (uint64, error) {
			last, err := d.lastOf(ctx, keyOf(a.User))
			if err != nil {
				return 0, err
			}
			return d.accounts.batch(ctx, d.conn, []record{
				{key: invitePrefix + hash, value: invite, last: i.revision},
				{key: keyOf(a.User), value: value, last: last},
			})
		})
		if errors.Is(err, jetstream.ErrKeyExists) {
			return ErrExists
		}
		if !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			return err
		}
		if err := d.catchUpInvite(ctx, hash); err != nil {
			return err
		}
	}
	return fmt.Errorf("make account: too many changes at once: %w", ErrState)
}

// lastOf gives the revision that a key which is free has: that of its removal,
// or 0. When it is not free the error is jetstream.ErrKeyExists.
func (d *Directory) lastOf(ctx context.Context, key string) (uint64, error) {
	m, err := d.stream.GetLastMsgForSubject(ctx, d.accounts.subject(key))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if m.Header.Get(headerOperation) == "" {
		return 0, jetstream.ErrKeyExists
	}
	return m.Sequence, nil
}

// catchUpInvite waits until the view has an invite as it is stored.
func (d *Directory) catchUpInvite(ctx context.Context, hash string) error {
	entry, err := d.accounts.get(ctx, invitePrefix+hash)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return ErrNoInvite
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	return d.accounts.seen.wait(ctx, entry.Revision())
}

// applyInvite follows the invites in the accounts bucket.
func (d *Directory) applyInvite(hash string, entry jetstream.KeyValueEntry) {
	if len(hash) != hex.EncodedLen(sha256.Size) {
		d.log.Error("record with a bad key", "bucket", "accounts", "record", entry.Revision())
		return
	}
	var i *Invite
	if entry.Operation() == jetstream.KeyValuePut {
		i = &Invite{}
		if err := json.Unmarshal(entry.Value(), i); err != nil {
			d.log.Error("invite cannot be read; it cannot be used", "record", entry.Revision(), "error", err)
			i = nil
		}
	}
	d.view.mu.Lock()
	defer d.view.mu.Unlock()
	if i == nil {
		delete(d.view.invites, hash)
		return
	}
	i.ID, i.revision = hash[:inviteID], entry.Revision()
	d.view.invites[hash] = i
}
