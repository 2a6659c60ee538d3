package roster

import (
	"context"
	"fmt"
	"slices"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/packet/net2019"
)

// Name is what a person is called here: nickname, else display name, else user
// id. It reads memory only, so it may be called inside a transaction.
func (r *Roster) Name(user packet.UserID) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.people[user].name(user)
}

// Lists gives what the directory is to know: contacts are those whose presence
// is wanted and who may see ours, with the members of common groups as far as
// the directory's limit goes; blocked those of whom nothing is wanted. Both
// ascending.
func (r *Roster) Lists() (contacts, blocked []packet.UserID) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var members []packet.UserID
	for user, p := range r.people {
		switch {
		case p.state == store.ContactBlocked:
			blocked = append(blocked, user)
		case p.wanted():
			contacts = append(contacts, user)
		case p.near:
			members = append(members, user)
		}
	}
	slices.Sort(members)
	contacts = append(contacts, members[:min(len(members), max(maxPeople-len(contacts), 0))]...)
	slices.Sort(contacts)
	slices.Sort(blocked)
	return contacts, blocked
}

// Contacts gives all people, acquaintances too and none of 2019, in the order of
// user ids.
func (r *Roster) Contacts(ctx context.Context) ([]*controlpb.Contact, error) {
	var views []*controlpb.Contact
	err := r.cfg.Store.View(ctx, func(tx store.ReadTx) error {
		contacts, err := tx.Contacts()
		if err != nil {
			return err
		}
		for i := range contacts {
			if net2019.IsName(string(contacts[i].User)) {
				continue
			}
			v, err := r.view(tx, &contacts[i])
			if err != nil {
				return err
			}
			views = append(views, v)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list contacts: %w", err)
	}
	return views, nil
}

// Contact gives one person; store.ErrNotFound when there is no such contact,
// request, blocked user or member of a common group.
func (r *Roster) Contact(ctx context.Context, user packet.UserID) (*controlpb.Contact, error) {
	var v *controlpb.Contact
	err := r.cfg.Store.View(ctx, func(tx store.ReadTx) error {
		c, err := tx.Contact(user)
		if err != nil {
			return err
		}
		v, err = r.view(tx, &c)
		return err
	})
	if notFound(err) {
		return nil, failure.New(store.ErrNotFound, "%s is not among your contacts", user).Because("NO_CONTACT", "user", user)
	}
	return v, err
}

func (r *Roster) view(tx store.ReadTx, c *store.Contact) (*controlpb.Contact, error) {
	v := &controlpb.Contact{
		User: string(c.User), State: stateOf(c.State), Name: nameOf(c.User, c.Nickname, c.DisplayName),
		Nickname: c.Nickname, DisplayName: c.DisplayName, Avatar: c.Avatar, Greeting: c.Greeting,
		SafetyNumber: r.safetyNumber(c.User, pinnedKeys(c.Devices)), KeyChanged: keyChanged(c.Devices), Verified: c.Verified,
	}
	if v.KeyChanged {
		listed, err := readValue(tx, keyListed+string(c.User))
		if err != nil {
			return nil, err
		}
		v.NewSafetyNumber = r.safetyNumber(c.User, decodeKeys(listed))
	}
	id := packet.DirectChat(r.self, c.User)
	_, err := tx.Chat(id)
	switch {
	case err == nil:
		v.Chat = string(id)
	case !notFound(err):
		return nil, err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	v.Online = r.visible(c.User)
	var first uint64
	for id, l := range r.links[c.User] {
		if first == 0 || id < first {
			first, v.Path, v.Linked = id, l.Path, true
		}
	}
	return v, nil
}

func stateOf(s store.ContactState) controlpb.ContactState {
	switch s {
	case store.ContactOutgoing:
		return controlpb.ContactState_CONTACT_STATE_OUTGOING
	case store.ContactIncoming:
		return controlpb.ContactState_CONTACT_STATE_INCOMING
	case store.ContactAccepted:
		return controlpb.ContactState_CONTACT_STATE_CONTACT
	case store.ContactBlocked:
		return controlpb.ContactState_CONTACT_STATE_BLOCKED
	case store.ContactLeft:
		return controlpb.ContactState_CONTACT_STATE_LEFT
	case store.ContactAcquaintance:
		return controlpb.ContactState_CONTACT_STATE_ACQUAINTANCE
	default:
		return controlpb.ContactState_CONTACT_STATE_UNSPECIFIED
	}
}
