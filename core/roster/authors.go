package roster

import (
	"context"
	"crypto/ed25519"
	"errors"
	"time"

	"golang.org/x/time/rate"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// Whoever joins a group gets entries of people of whom nothing is known here, the
// very ones that say who is in it. Their keys are looked up. A peer can name
// anybody as an author, so there is a limit to that.
const (
	maxAuthors   = 256              // that wait to be looked up
	authorsBurst = 50               // that are looked up at once,
	authorsEvery = 3 * time.Second  // and then one in so long
	authorAgain  = 10 * time.Minute // before somebody is looked up again
)

// serveAuthors looks up the keys of those whose entries cannot be verified.
func (r *Roster) serveAuthors(ctx context.Context) error {
	limit := rate.NewLimiter(rate.Every(authorsEvery), authorsBurst)
	type author struct {
		chat packet.ChatID
		user packet.UserID
	}
	asked := map[author]time.Time{}
	for {
		a, err := r.authors.Next(ctx)
		switch {
		case errors.Is(err, bus.ErrLagged):
			continue // who is left is named again
		case err != nil:
			return err
		}
		now, key := r.clock(), author{a.Chat, a.User}
		if now.Sub(asked[key]) < authorAgain || !r.strange(a) {
			continue
		}
		if err := limit.Wait(ctx); err != nil {
			return ctx.Err()
		}
		if len(asked) >= maxAuthors {
			clear(asked)
		}
		if err := r.lookUpAuthor(ctx, a.Chat, a.User); err != nil {
			if !ended(ctx, err) {
				r.cfg.Log.Info("author of a group's entry cannot be looked up", "user", a.User, "error", err)
			}
			if !final(err) {
				continue
			}
		}
		asked[key] = now
	}
}

// strange says whether nothing is known yet of the keys of an author. Who has
// pinned keys gets no other ones by this way: a change is for the user to accept.
func (r *Roster) strange(a bus.Author) bool {
	if _, _, known := r.cfg.Book.Signer(a.Chat, a.Device); known || a.User == r.self {
		return false
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	p := r.people[a.User]
	return len(p.pinned) == 0 && p.state != store.ContactBlocked
}

// lookUpAuthor keeps the keys that the directory lists for a user as those for
// which somebody vouches in a chat. Once the user is found to be a member they
// are pinned like anybody's.
func (r *Roster) lookUpAuthor(ctx context.Context, chat packet.ChatID, user packet.UserID) error {
	found, err := r.lookUp(ctx, user)
	if err != nil {
		return err
	}
	var keys []ed25519.PublicKey
	for _, k := range listedKeys(found.GetDevices()) {
		if owner, known := r.cfg.Book.Owner(packet.DeviceIDOf(k)); !known || owner == user {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	err = r.cfg.Store.Update(ctx, store.Lazy, func(tx store.Tx) error {
		if _, err := tx.Chat(chat); err != nil {
			return err
		}
		return r.Vouch(tx, chat, user, keys)
	})
	if err != nil {
		return err
	}
	return r.cfg.Store.View(ctx, func(tx store.ReadTx) error { return r.readVouched(tx, chat) })
}
