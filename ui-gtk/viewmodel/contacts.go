package viewmodel

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/protocol/controlpb"
)

// Contacts are the people of the account, by user id.
type Contacts struct {
	session *Session
	byUser  map[string]*controlpb.Contact
	rows    *sorted[ContactRow]
	asking  *sorted[ContactRow]
	asked   *sorted[ContactRow]
	loading bool // all is being read; so are the chats, right after

	// Rows are contacts and requests in both directions, by name; requests first.
	Rows List[ContactRow]
	// Incoming are those who ask to become a contact, and Outgoing those who were
	// asked and have not answered, by name.
	Incoming, Outgoing List[ContactRow]
	// Changed tells the user id of whoever changed or is gone.
	Changed Signal[string]
}

// ContactRow is a contact as a list shows it.
type ContactRow struct {
	Contact *controlpb.Contact
	Name    string
	folded  string // Name, to be compared and searched
}

// RowKey implements Row.
func (r ContactRow) RowKey() string { return r.Contact.GetUser() }

// Same implements Row.
func (r ContactRow) Same(o ContactRow) bool {
	return r.Name == o.Name && (r.Contact == o.Contact || proto.Equal(r.Contact, o.Contact))
}

func newContacts(s *Session) *Contacts {
	c := &Contacts{session: s, byUser: map[string]*controlpb.Contact{}}
	byName := func(a, b ContactRow) int { return strings.Compare(a.folded, b.folded) }
	c.asking, c.asked = newSorted(&c.Incoming, byName), newSorted(&c.Outgoing, byName)
	c.rows = newSorted(&c.Rows, func(a, b ContactRow) int {
		return cmp.Or(contactRank(a.Contact)-contactRank(b.Contact), byName(a, b))
	})
	return c
}

// Get gives a contact, or nil. It must not be changed.
func (c *Contacts) Get(user string) *controlpb.Contact { return c.byUser[user] }

// Name is what a person is called here, harmless to show on one line.
func (c *Contacts) Name(user string) string {
	if user == c.session.User() {
		if name := tidyName(c.session.Status.Get().GetDisplayName()); name != "" {
			return name
		}
	}
	name := tidyName(c.byUser[user].GetName())
	if IsNet2019(user) && (name == "" || name == user) {
		return net2019Name(user)
	}
	if name != "" {
		return name
	}
	return tidy(user, maxShownName)
}

func (c *Contacts) load(all []*controlpb.Contact) {
	before := c.byUser
	c.byUser = make(map[string]*controlpb.Contact, len(all))
	for _, x := range all {
		c.byUser[x.GetUser()] = x
	}
	rows := make([]ContactRow, 0, len(c.byUser))
	var asking, asked []ContactRow
	for _, x := range c.byUser {
		r := c.row(x)
		if !acquaintance(x) {
			rows = append(rows, r)
		}
		switch x.GetState() {
		case controlpb.ContactState_CONTACT_STATE_INCOMING:
			asking = append(asking, r)
		case controlpb.ContactState_CONTACT_STATE_OUTGOING:
			asked = append(asked, r)
		}
	}
	c.rows.set(rows)
	c.asking.set(asking)
	c.asked.set(asked)
	c.loading = true
	defer func() { c.loading = false }()
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

func (c *Contacts) row(x *controlpb.Contact) ContactRow {
	name := c.Name(x.GetUser())
	return ContactRow{Contact: x, Name: name, folded: fold(name)}
}

func (c *Contacts) handle(batch []*controlpb.Event) {
	var changed []string // in the order in which they changed first
	note := func(user string) {
		if !slices.Contains(changed, user) {
			changed = append(changed, user)
		}
	}
	for _, e := range batch {
		switch e := e.GetEvent().(type) {
		case *controlpb.Event_Contact:
			c.byUser[e.Contact.GetUser()] = e.Contact
			note(e.Contact.GetUser())
		case *controlpb.Event_ContactRemoved:
			delete(c.byUser, e.ContactRemoved)
			note(e.ContactRemoved)
		}
	}
	if len(changed) == 0 {
		return
	}
	c.arrange(changed)
	for _, user := range changed {
		c.Changed.emit(user)
	}
}

// arrange puts some people to where they belong.
func (c *Contacts) arrange(users []string) {
	var rows, asking, asked []ContactRow
	var gone, notAsking, notAsked []string
	for _, user := range users {
		x := c.byUser[user]
		if x == nil {
			gone, notAsking, notAsked = append(gone, user), append(notAsking, user), append(notAsked, user)
			continue
		}
		r := c.row(x)
		if acquaintance(x) {
			gone = append(gone, user)
		} else {
			rows = append(rows, r)
		}
		if x.GetState() == controlpb.ContactState_CONTACT_STATE_INCOMING {
			asking = append(asking, r)
		} else {
			notAsking = append(notAsking, user)
		}
		if x.GetState() == controlpb.ContactState_CONTACT_STATE_OUTGOING {
			asked = append(asked, r)
		} else {
			notAsked = append(notAsked, user)
		}
	}
	c.rows.update(rows, gone...)
	c.asking.update(asking, notAsking...)
	c.asked.update(asked, notAsked...)
}

// acquaintance says whether somebody is no contact, and known by a group alone.
func acquaintance(x *controlpb.Contact) bool {
	return x.GetState() == controlpb.ContactState_CONTACT_STATE_ACQUAINTANCE
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
