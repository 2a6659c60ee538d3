package roster

import (
	"context"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
)

// Request asks user to be a contact. If user asks already, it accepts. When the
// directory cannot be reached, the request waits until it can. Asking again
// sends the request again.
func (r *Roster) Request(ctx context.Context, user packet.UserID, greeting string) error {
	if err := r.checkUser(user); err != nil {
		return err
	}
	if len(greeting) > maxGreeting || !utf8.ValidString(greeting) {
		return failure.New(ErrInvalid, "a greeting is text of at most %d bytes, and this one has %d: shorten it", maxGreeting, len(greeting)).Because("GREETING_TOO_LONG", "limit", maxGreeting)
	}
	if err := r.mayRequest(user); err != nil {
		return err
	}
	found, err := r.lookUp(ctx, user)
	if err != nil && (!unreachable(err) || ctx.Err() != nil) {
		return err
	}
	return r.update(ctx, store.Synced, user, func(s *step) error {
		switch s.state() {
		case store.ContactAccepted:
			return errContact(s.user, s.name())
		case store.ContactBlocked:
			return errBlocked(s.user, s.name())
		case store.ContactIncoming:
			return s.accept()
		case 0, store.ContactAcquaintance:
			if err := s.add(store.ContactOutgoing); err != nil {
				return err
			}
		}
		s.c.State, s.c.Greeting, s.refresh = store.ContactOutgoing, greeting, true
		if err := s.learn(found); err != nil {
			return err
		}
		return s.send(packet.TypeRequest, []byte(greeting))
	})
}

func (r *Roster) checkUser(user packet.UserID) error {
	if _, err := packet.ParseUserID(string(user)); err != nil {
		return failure.New(ErrInvalid, "%.70q is not a user id: 1 to 64 of a-z, 0-9, \".\" and \"_\", starting with a letter or digit", string(user)).Because("INVALID_USER", "user", user)
	}
	if user == r.self {
		return failure.New(ErrInvalid, "%s is yourself: give the user id of somebody else", user).Because("YOURSELF", "user", user)
	}
	return nil
}

func errContact(user packet.UserID, name string) error {
	return failure.New(ErrContact, "%s is a contact already", name).Because("IS_CONTACT", "user", user)
}

func errBlocked(user packet.UserID, name string) error {
	return failure.New(ErrBlocked, "%s is blocked: unblock first, then ask", name).Because("BLOCKED", "user", user)
}

// mayRequest saves a look-up whose outcome would not matter.
func (r *Roster) mayRequest(user packet.UserID) error {
	r.mu.RLock()
	p := r.people[user]
	r.mu.RUnlock()
	switch p.state {
	case store.ContactAccepted:
		return errContact(user, p.name(user))
	case store.ContactBlocked:
		return errBlocked(user, p.name(user))
	}
	return nil
}

// lookUp asks the directory for a user.
func (r *Roster) lookUp(ctx context.Context, user packet.UserID) (*directorypb.LookUpResponse, error) {
	ctx, cancel := call(ctx)
	defer cancel()
	found, err := r.cfg.Directory.LookUp(ctx, user)
	if status.Code(err) == codes.NotFound {
		return nil, failure.New(ErrNoUser, "the directory knows no user %q: check the spelling", string(user)).Because("NO_USER", "user", user)
	}
	if err == nil && found.GetUser() != string(user) {
		return nil, status.Errorf(codes.Internal, "the directory answered for %q when asked for %q", found.GetUser(), user)
	}
	return found, err
}

// learn takes keys and profile from a look-up; nil is none.
func (s *step) learn(found *directorypb.LookUpResponse) error {
	if found == nil {
		return nil
	}
	s.setProfile(found.GetProfile())
	return s.observe(listedKeys(found.GetDevices()))
}

// Answer accepts or declines a request. Declining tells nobody.
func (r *Roster) Answer(ctx context.Context, user packet.UserID, accept bool) error {
	return r.update(ctx, store.Synced, user, func(s *step) error {
		switch {
		case accept && s.state() == store.ContactAccepted:
			return nil // asked twice
		case s.state() != store.ContactIncoming:
			return failure.New(store.ErrNotFound, "there is no request of %s to answer", s.name()).Because("NO_REQUEST", "user", user)
		case accept:
			return s.accept()
		}
		return s.forget()
	})
}

// accept makes an asking or asked person a contact and says so.
func (s *step) accept() error {
	if err := s.openChat(); err != nil {
		return err
	}
	return s.send(packet.TypeAccept, nil)
}

// forget removes a request of another's; somebody with whom there is a history
// goes back to having left.
func (s *step) forget() error {
	history, err := s.hasChat()
	if err != nil {
		return err
	}
	if history {
		s.c.State, s.c.Greeting = store.ContactLeft, ""
	} else {
		s.c = nil
	}
	return nil
}

// Remove ends a contact, with or without the history. The other side is told.
// A request of the other's is declined; a blocked person stays blocked.
// Idempotent.
func (r *Roster) Remove(ctx context.Context, user packet.UserID, eraseHistory bool) error {
	if err := r.checkUser(user); err != nil {
		return err
	}
	return r.update(ctx, store.Synced, user, func(s *step) error {
		if eraseHistory {
			if err := s.eraseChat(); err != nil {
				return err
			}
		}
		switch s.state() {
		case 0, store.ContactAcquaintance:
			return nil
		case store.ContactBlocked:
			s.c = &store.Contact{User: user, State: store.ContactBlocked, DisplayName: s.c.DisplayName, CreatedAt: s.c.CreatedAt}
			if err := s.put(keyListed, nil); err != nil {
				return err
			}
			return s.dropPackets()
		case store.ContactAccepted, store.ContactOutgoing:
			if err := s.send(packet.TypeLeave, nil); err != nil {
				return err
			}
		}
		s.c, s.refresh, s.disconnect = nil, true, "no longer a contact"
		return nil // a member of a common group becomes an acquaintance
	})
}

// Block blocks a user, contact or not: nothing of that user is taken, and that
// user sees this one as offline. Unblocking goes back to what was before.
// Idempotent.
func (r *Roster) Block(ctx context.Context, user packet.UserID, block bool) error {
	if err := r.checkUser(user); err != nil {
		return err
	}
	return r.update(ctx, store.Synced, user, func(s *step) error {
		if block == (s.state() == store.ContactBlocked) {
			return nil
		}
		s.refresh = true
		switch {
		case !block && s.c.Before == 0:
			s.c = nil
		case !block:
			s.c.State, s.c.Before = s.c.Before, 0
		case s.c == nil:
			return s.add(store.ContactBlocked)
		default:
			s.c.State, s.c.Before = store.ContactBlocked, s.c.State
			s.disconnect = "not available"
			return s.put(keyHeld, nil)
		}
		if s.c != nil {
			s.wake = true // the outbox holds back what is for the blocked
		}
		return nil
	})
}

// Rename sets the nickname that is shown here only; empty removes it.
func (r *Roster) Rename(ctx context.Context, user packet.UserID, nickname string) error {
	if err := checkName("a nickname", nickname); err != nil {
		return err
	}
	return r.update(ctx, store.Synced, user, func(s *step) error {
		if s.c == nil {
			return failure.New(store.ErrNotFound, "%s is not among your contacts", user).Because("NO_CONTACT", "user", user)
		}
		s.c.Nickname = nickname
		return nil
	})
}
