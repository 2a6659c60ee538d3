package directory

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/parley-chat/parley/protocol/packet"
)

// RemoveAccount removes a user with all that is kept of them: sessions and
// presence, pictures, requests to and from them, and last the record itself, so
// that the name is free again only when nothing of theirs is left. It is marked
// first: when the server ends before all is gone, Open goes on with it. Errors:
// ErrNoUser, ErrState.
func (d *Directory) RemoveAccount(ctx context.Context, user packet.UserID) error {
	_, err := d.ChangeAccount(ctx, user, func(a *Account) error {
		a.Removing, a.Devices, a.Password = true, nil, ""
		return nil
	})
	if err != nil {
		return err
	}
	return d.finishRemoval(ctx, user)
}

func (d *Directory) finishRemoval(ctx context.Context, user packet.UserID) error {
	for key := range d.view.requestsOf(user) {
		if err := d.requests.remove(ctx, key, 0); err != nil {
			return fmt.Errorf("remove requests: %w", err)
		}
	}
	if err := d.removeAvatars(ctx, user); err != nil {
		return fmt.Errorf("remove pictures: %w", err)
	}
	if err := d.accounts.remove(ctx, keyOf(user), 0); err != nil {
		return fmt.Errorf("remove account: %w", err)
	}
	return nil
}

// removeAvatars removes all pictures of a user: besides the one in use there can
// be one that a crash left behind.
func (d *Directory) removeAvatars(ctx context.Context, user packet.UserID) error {
	inner, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	keys, err := d.avatars.ListKeysFiltered(inner, keyOf(user)+".*")
	if err != nil {
		return fmt.Errorf("list bucket avatars: %w: %w", ErrState, err)
	}
	defer func() { _ = keys.Stop() }()
	for key := range keys.Keys() {
		if err := d.avatars.remove(ctx, key, 0); err != nil {
			return err
		}
	}
	return inner.Err()
}

// finishRemovals goes on with what was under way when the server ended.
func (d *Directory) finishRemovals(ctx context.Context) error {
	d.view.mu.RLock()
	var users []packet.UserID
	for user, a := range d.view.accounts {
		if a.Removing {
			users = append(users, user)
		}
	}
	d.view.mu.RUnlock()
	for _, user := range users {
		if err := d.finishRemoval(ctx, user); err != nil {
			return err
		}
	}
	return nil
}

// requestsOf gives the keys of all requests to and from a user.
func (v *view) requestsOf(user packet.UserID) map[string]struct{} {
	v.mu.RLock()
	defer v.mu.RUnlock()
	keys := map[string]struct{}{}
	for to, requests := range v.kept {
		for key := range requests {
			if to == user || key.from == user {
				keys[requestKey(to, key)] = struct{}{}
			}
		}
	}
	return keys
}

// keptForNobody removes a request that was stored while its receiver or sender
// was being removed.
func (d *Directory) keptForNobody(ctx context.Context, to packet.UserID, key keptKey, revision uint64) error {
	d.view.mu.RLock()
	gone := !d.view.has(to) || !d.view.has(key.from)
	d.view.mu.RUnlock()
	if !gone {
		return nil
	}
	err := d.requests.remove(ctx, requestKey(to, key), revision)
	if err != nil && !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return err
	}
	return ErrNoUser
}

// has says whether there is a user who is not being removed. To be called with
// mu held.
func (v *view) has(user packet.UserID) bool {
	a := v.accounts[user]
	return a != nil && !a.Removing
}
