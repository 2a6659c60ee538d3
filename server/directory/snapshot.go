package directory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/parley-chat/parley/protocol/packet"
)

// Record is one stored record, for backups. Presence is none: it is not kept.
type Record struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
	Value  []byte `json:"value"`
}

// ErrRecord says that a record cannot be one of a directory's.
var ErrRecord = errors.New("not a record of a directory")

// Export gives all records to emit, as they were together at one moment, which
// lies within the call; every change that was acknowledged before is in them.
// What changes later can be there in its later form, but never half: an account
// and its picture belong together.
func (d *Directory) Export(ctx context.Context, emit func(Record) error) error {
	accounts, invites, requests := d.view.copy()
	for hash, i := range invites {
		if err := emitJSON(emit, invitePrefix+hash, i); err != nil {
			return err
		}
	}
	for _, a := range accounts {
		if err := d.exportAccount(ctx, a, emit); err != nil {
			return err
		}
	}
	for _, key := range requests {
		entry, err := d.requests.get(ctx, key)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			continue // taken meanwhile
		}
		if err != nil {
			return err
		}
		if err := emit(Record{Bucket: d.requests.Bucket(), Key: key, Value: entry.Value()}); err != nil {
			return err
		}
	}
	return nil
}

// copy gives what there is at this moment. Accounts and invites are never
// changed in place, so the copy is only of pointers.
func (v *view) copy() (accounts []*Account, invites map[string]*Invite, requests []string) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	accounts = make([]*Account, 0, len(v.accounts))
	for _, a := range v.accounts {
		if !a.Removing {
			accounts = append(accounts, a)
		}
	}
	invites = make(map[string]*Invite, len(v.invites))
	for hash, i := range v.invites {
		invites[hash] = i
	}
	for to, kept := range v.kept {
		for key, r := range kept {
			if !r.expired() && v.has(to) && v.has(key.from) {
				requests = append(requests, requestKey(to, key))
			}
		}
	}
	return accounts, invites, requests
}

// exportAccount emits an account with its picture. When the picture has been
// replaced meanwhile, the account is taken as it is now.
func (d *Directory) exportAccount(ctx context.Context, a *Account, emit func(Record) error) error {
	for range maxConflicts {
		if len(a.AvatarHash) == 0 {
			break
		}
		avatar, err := d.Avatar(ctx, a)
		if err != nil {
			return err
		}
		if avatar != nil {
			if err := emit(Record{Bucket: d.avatars.Bucket(), Key: avatarKey(a.User, a.AvatarHash), Value: avatar}); err != nil {
				return err
			}
			break
		}
		now, err := d.Account(a.User)
		if errors.Is(err, ErrNoUser) {
			return nil // removed meanwhile
		}
		if err != nil {
			return err
		}
		if now.revision == a.revision {
			// Its picture is not there, which nobody has caused: the rest is worth keeping.
			d.log.Warn("a picture is missing; it is left out of the backup")
			without := *now
			without.AvatarHash, now = nil, &without
		}
		a = now
	}
	return emitJSON(emit, keyOf(a.User), a)
}

func emitJSON(emit func(Record) error, key string, v any) error {
	value, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode a record: %w", err)
	}
	return emit(Record{Bucket: "accounts", Key: key, Value: value})
}

// Import stores a record of Export in a directory that does not have it yet.
// Errors: ErrRecord, ErrExists, ErrState.
func (d *Directory) Import(ctx context.Context, r Record) error {
	b, err := d.checkRecord(r)
	if err != nil {
		return err
	}
	_, err = b.write(ctx, func(ctx context.Context) (uint64, error) {
		revision, err := b.Create(ctx, r.Key, r.Value)
		if b == &d.avatars {
			revision = 0 // no view follows pictures
		}
		return revision, err
	})
	if errors.Is(err, jetstream.ErrKeyExists) {
		return fmt.Errorf("record %s of %s: %w", r.Key, r.Bucket, ErrExists)
	}
	return err
}

// checkRecord gives the bucket of a record that may be stored.
func (d *Directory) checkRecord(r Record) (*bucket, error) {
	var b *bucket
	var err error
	switch r.Bucket {
	case "accounts":
		b = &d.accounts
		if strings.HasPrefix(r.Key, invitePrefix) {
			err = json.Unmarshal(r.Value, &Invite{})
		} else if _, err = userOf(r.Key); err == nil {
			err = json.Unmarshal(r.Value, &Account{})
		}
	case "avatars":
		b = &d.avatars
		user, hash, _ := strings.Cut(r.Key, ".")
		sum := packet.HashOf(r.Value)
		if _, err = userOf(user); err == nil && fmt.Sprintf("%x", sum[:]) != hash {
			err = errors.New("the picture is another")
		}
	case "requests":
		b = &d.requests
		_, _, err = parseRequestKey(r.Key)
	default:
		err = errors.New("no such bucket")
	}
	if err != nil {
		return nil, fmt.Errorf("record %q of %q: %w: %w", r.Key, r.Bucket, ErrRecord, err)
	}
	return b, nil
}
