package viewmodel

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
)

// Contacts are the people of the account, by user id.
type Contacts struct {
	session *Session
	byUser  map[string]*controlpb.Contact

	// Rows are contacts and requests in both directions, by name; requests first.
	Rows List[ContactRow]
	// Changed tells the user id of whoever changed or is gone.
	Changed Signal[string]
}

// ContactRow is a contact as a list shows it.
type ContactRow struct {
	Contact *controlpb.Contact
	Name    string
}

// RowKey implements Row.
func (r ContactRow) RowKey() string { return r.Contact.GetUser() }

// Same implements Row.
func (r ContactRow) Same(o ContactRow) bool {
	return r.Name == o.Name && proto.Equal(r.Contact, o.Contact)
}

func newContacts(s *Session) *Contacts {
	return &Contacts{session: s, byUser: map[string]*controlpb.Contact{}}
}

// Get gives a contact, or nil. It must not be changed.
func (c *Contacts) Get(user string) *controlpb.Contact { return c.byUser[user] }

// Name is what a person is called here, harmless to show on one line.
func (c *Contacts) Name(user string) string {
	if user == c.session.User() && c.session.Status.Get().GetDisplayName() != "" {
		return client.PrintableLine(c.session.Status.Get().GetDisplayName())
	}
	if name := client.PrintableLine(c.byUser[user].GetName()); name != "" {
		return name
	}
	return client.PrintableLine(user)
}

func (c *Contacts) load(all []*controlpb.Contact) {
	before := c.byUser
	c.byUser = make(map[string]*controlpb.Contact, len(all))
	for _, x := range all {
		c.byUser[x.GetUser()] = x
	}
	c.arrange()
	for user, x := range before {
		if !proto.Equal(x, c.byUser[user]) {
			c.Changed.emit(user)
		}
	}
	for user := range c.byUser {
		if before[user] == nil {
			c.Changed.emit(user)
		}
	}
}

func (c *Contacts) handle(batch []*controlpb.Event) {
	changed := map[string]struct{}{}
	for _, e := range batch {
		switch e := e.GetEvent().(type) {
		case *controlpb.Event_Contact:
			c.byUser[e.Contact.GetUser()] = e.Contact
			changed[e.Contact.GetUser()] = struct{}{}
		case *controlpb.Event_ContactRemoved:
			delete(c.byUser, e.ContactRemoved)
			changed[e.ContactRemoved] = struct{}{}
		}
	}
	if len(changed) == 0 {
		return
	}
	c.arrange()
	for user := range changed {
		c.Changed.emit(user)
	}
}

// arrange puts the rows in order.
func (c *Contacts) arrange() {
	rows := make([]ContactRow, 0, len(c.byUser))
	for user, x := range c.byUser {
		rows = append(rows, ContactRow{Contact: x, Name: c.Name(user)})
	}
	slices.SortFunc(rows, func(a, b ContactRow) int {
		if n := contactRank(a.Contact) - contactRank(b.Contact); n != 0 {
			return n
		}
		if n := strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)); n != 0 {
			return n
		}
		return strings.Compare(a.Contact.GetUser(), b.Contact.GetUser())
	})
	c.Rows.set(rows)
}

// contactRank puts first what waits for an answer.
func contactRank(c *controlpb.Contact) int {
	switch c.GetState() {
	case controlpb.ContactState_CONTACT_STATE_INCOMING:
		return 0
	case controlpb.ContactState_CONTACT_STATE_OUTGOING:
		return 1
	case controlpb.ContactState_CONTACT_STATE_CONTACT:
		return 2
	}
	return 3
}

// Request asks somebody to become a contact; done hears whether that was taken.
func (c *Contacts) Request(user, greeting string, done func(error)) {
	c.session.call(func(ctx context.Context, core Core) error {
		_, err := core.RequestContact(ctx, &controlpb.RequestContactRequest{User: strings.TrimSpace(user), Greeting: greeting})
		return err
	}, done)
}

// Answer accepts or declines a request.
func (c *Contacts) Answer(user string, accept bool) {
	c.session.ask(func(ctx context.Context, core Core) error {
		_, err := core.AnswerContact(ctx, &controlpb.AnswerContactRequest{User: user, Accept: accept})
		return err
	})
}

// Remove ends it, with or without the history.
func (c *Contacts) Remove(user string, erase bool) {
	c.session.ask(func(ctx context.Context, core Core) error {
		_, err := core.RemoveContact(ctx, &controlpb.RemoveContactRequest{User: user, EraseHistory: erase})
		return err
	})
}

// Block blocks or unblocks a user.
func (c *Contacts) Block(user string, block bool) {
	c.session.ask(func(ctx context.Context, core Core) error {
		_, err := core.BlockContact(ctx, &controlpb.BlockContactRequest{User: user, Block: block})
		return err
	})
}

// Rename sets the nickname shown here only; empty removes it.
func (c *Contacts) Rename(user, nickname string) {
	c.session.ask(func(ctx context.Context, core Core) error {
		_, err := core.RenameContact(ctx, &controlpb.RenameContactRequest{User: user, Nickname: nickname})
		return err
	})
}

// Verify marks the keys as compared in person, or takes the mark back.
func (c *Contacts) Verify(user string, verified bool) {
	c.session.ask(func(ctx context.Context, core Core) error {
		_, err := core.TrustContact(ctx, &controlpb.TrustContactRequest{User: user, SetVerified: true, Verified: verified})
		return err
	})
}

// AcceptKeys accepts the changed keys whose safety number was shown.
func (c *Contacts) AcceptKeys(user, newSafetyNumber string) {
	c.session.ask(func(ctx context.Context, core Core) error {
		_, err := core.TrustContact(ctx, &controlpb.TrustContactRequest{User: user, NewSafetyNumber: newSafetyNumber})
		return err
	})
}
