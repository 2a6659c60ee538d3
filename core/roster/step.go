package roster

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"reflect"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/packet"
)

// namespace of the roster's values, with the keys below; each of the prefixes
// is followed by a user id.
const (
	namespace = "roster"

	keyOutbox = "outbox/" // encoded packet that the directory has not taken yet
	keySent   = "sent/"   // time of the latest packet made for the user, 8 bytes
	keySeen   = "seen/"   // and "/", device id: time of the latest packet taken, 8 bytes
	keyHeld   = "held/"   // encoded packet signed by a key that is not pinned
	keyListed = "listed/" // the keys the directory lists, while they are not the pinned ones

	keyPast     = "past/"     // keys that were trusted while the user was in a common group
	keyDeparted = "departed/" // time at which the last common group ended, 8 bytes
	keyVouched  = "vouched/"  // and chat id, "/", user id: keys for which the chat's members vouch

	keyProfile   = "profile"           // encoded directorypb.Profile: one's own
	keyUnsettled = "profile/unsettled" // the directory does not have it yet
)

// step is one change of one person in one transaction, and what is to be done
// once it is committed.
type step struct {
	r    *Roster
	tx   store.Tx
	user packet.UserID
	// c is the contact, nil when there is none. Its slices are replaced and
	// never changed in place.
	c *store.Contact

	before  *store.Contact
	version uint64 // place among all transactions
	touched bool   // what the book says of the person changed, though c did not
	past    []ed25519.PublicKey

	chatChanged bool
	chatRemoved bool
	disconnect  string         // close links, and why
	refresh     bool           // the directory's lists changed
	fetch       want           // what has to be looked up, if anything
	sent        *packet.Packet // also to be given to links
	wake        bool           // the outbox has something to look at
	notices     []bus.Notice
}

// update makes a change of one person and does what follows from it. Once the
// transaction began it is finished, so that memory and disk agree.
func (r *Roster) update(ctx context.Context, d store.Durability, user packet.UserID, fn func(*step) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var done *step
	err := r.cfg.Store.Update(context.WithoutCancel(ctx), d, func(tx store.Tx) error {
		s := &step{r: r, tx: tx, user: user}
		if err := s.load(); err != nil {
			return err
		}
		if err := fn(s); err != nil {
			return err
		}
		if err := s.save(); err != nil {
			return err
		}
		s.version = r.seq.Add(1)
		done = s
		return nil
	})
	if err != nil {
		return err
	}
	r.settle(ctx, done)
	return nil
}

func (s *step) load() error {
	c, err := s.tx.Contact(s.user)
	switch {
	case notFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("read contact %s: %w", s.user, err)
	}
	before := c
	s.c, s.before = &c, &before
	return nil
}

func (s *step) save() error {
	s.acquaint()
	past, err := s.value(keyPast)
	if err != nil {
		return err
	}
	s.past = decodeKeys(past)
	switch {
	case reflect.DeepEqual(s.c, s.before):
		return nil
	case s.c == nil:
		if err := s.tx.DeleteContact(s.user); err != nil {
			return fmt.Errorf("delete contact %s: %w", s.user, err)
		}
		if err := s.put(keyListed, nil); err != nil {
			return err
		}
		return s.put(keyHeld, nil)
	}
	if err := s.tx.PutContact(*s.c); err != nil {
		return fmt.Errorf("store contact %s: %w", s.user, err)
	}
	return s.retitle()
}

// retitle keeps the direct chat's stored title the name of the person.
func (s *step) retitle() error {
	chat, err := s.tx.Chat(s.chat())
	if notFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read chat with %s: %w", s.user, err)
	}
	name := nameOf(s.user, s.c.Nickname, s.c.DisplayName)
	if chat.Title == name {
		return nil
	}
	chat.Title = name
	s.chatChanged = true
	if err := s.tx.PutChat(chat); err != nil {
		return fmt.Errorf("store chat with %s: %w", s.user, err)
	}
	return nil
}

// settle does what follows from a committed step.
func (r *Roster) settle(ctx context.Context, s *step) {
	changed := s.touched || !reflect.DeepEqual(s.c, s.before)
	if changed {
		r.apply(s)
	}
	if s.sent != nil {
		r.sendLinks(ctx, s.user, s.sent)
	}
	if s.wake {
		wake(r.kick)
	}
	if s.disconnect != "" {
		r.cfg.Links.Disconnect(s.user, packet.ByeRefused, s.disconnect)
	}
	if changed {
		bus.Publish(r.cfg.Bus, bus.ContactChanged, bus.ContactChange{
			User: s.user, Removed: s.c == nil, Acquaintance: acquainted(s.before) && acquainted(s.c),
		})
	}
	if s.chatChanged || s.chatRemoved {
		bus.Publish(r.cfg.Bus, bus.ChatChanged, bus.ChatChange{Chat: s.chat(), Removed: s.chatRemoved})
	}
	for _, n := range s.notices {
		bus.Publish(r.cfg.Bus, bus.Noticed, n)
	}
	if s.fetch != 0 && s.c != nil {
		r.want(s.user, s.fetch)
	}
	if s.refresh {
		r.cfg.Directory.Refresh()
	}
}

// apply shows a committed step in memory and in the book, unless a later one of
// the same person was faster.
func (r *Roster) apply(s *step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.version < r.applied[s.user] {
		return
	}
	r.applied[s.user] = s.version
	if s.c == nil {
		delete(r.people, s.user)
		if r.cfg.Book.Remove(s.user); len(s.past) > 0 {
			r.cfg.Book.Set(s.user, identity.Person{Past: s.past})
		}
		return
	}
	p := personOf(*s.c)
	p.near, p.past = r.groups.near(s.user), s.past
	r.people[s.user] = p
	r.cfg.Book.Set(s.user, p.book())
}

func (s *step) chat() packet.ChatID { return packet.DirectChat(s.r.self, s.user) }

func (s *step) state() store.ContactState {
	if s.c == nil {
		return 0
	}
	return s.c.State
}

func (s *step) name() string {
	if s.c == nil {
		return string(s.user)
	}
	return nameOf(s.user, s.c.Nickname, s.c.DisplayName)
}

func (s *step) now() int64 { return s.r.clock().UnixMicro() }

// add begins a contact.
func (s *step) add(state store.ContactState) error {
	if n := s.r.count(func(p person) bool { return p.state != store.ContactAcquaintance }); n >= maxPeople {
		return failure.New(ErrFull, "there are %d contacts, requests and blocked people already, which is the most there can be: remove some first", n).Because("CONTACTS_FULL", "limit", n)
	}
	if s.c == nil {
		s.c = &store.Contact{User: s.user, CreatedAt: s.now()}
	}
	s.c.State = state
	return nil
}

// openChat makes the person a contact with a chat.
func (s *step) openChat() error {
	s.c.State = store.ContactAccepted
	s.refresh = true
	id := s.chat()
	_, err := s.tx.Chat(id)
	if err != nil && !notFound(err) {
		return fmt.Errorf("read chat with %s: %w", s.user, err)
	}
	if notFound(err) {
		if err := s.tx.PutChat(store.Chat{ID: id, Title: s.name(), CreatedAt: s.now()}); err != nil {
			return fmt.Errorf("make chat with %s: %w", s.user, err)
		}
	}
	s.chatChanged = true
	a, b, _ := id.Users()
	if err := s.tx.PutMembership(id, store.Membership{Version: 1, Members: []packet.UserID{a, b}}); err != nil {
		return fmt.Errorf("make member list of chat with %s: %w", s.user, err)
	}
	return nil
}

func (s *step) eraseChat() error {
	_, err := s.tx.Chat(s.chat())
	if notFound(err) {
		return nil
	}
	if err == nil {
		err = s.tx.DeleteChat(s.chat())
	}
	if err != nil {
		return fmt.Errorf("erase chat with %s: %w", s.user, err)
	}
	s.chatRemoved = true
	return nil
}

func (s *step) hasChat() (bool, error) {
	_, err := s.tx.Chat(s.chat())
	if notFound(err) {
		return false, nil
	}
	return err == nil, err
}

func (s *step) notice(level string, reason *errdetails.ErrorInfo, format string, args ...any) {
	s.notices = append(s.notices, bus.Notice{Level: level, Subject: "contact:" + string(s.user), Text: fmt.Sprintf(format, args...), Reason: reason})
}

// value gives one of the person's values, nil when there is none.
func (s *step) value(prefix string) ([]byte, error) {
	return readValue(s.tx, prefix+string(s.user))
}

func (s *step) put(prefix string, value []byte) error {
	if err := s.tx.PutValue(namespace, prefix+string(s.user), value); err != nil {
		return fmt.Errorf("store %s%s: %w", prefix, s.user, err)
	}
	return nil
}

func readValue(tx store.ReadTx, key string) ([]byte, error) {
	b, err := tx.Value(namespace, key)
	if notFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return b, nil
}

func encodeTime(t int64) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(max(t, 0)))
}

func decodeTime(b []byte) int64 {
	if len(b) != 8 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(b))
}
