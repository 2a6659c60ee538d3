package viewmodel

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
)

// Chats are the chats of the account: pinned ones first, then the latest.
type Chats struct {
	session *Session
	byID    map[string]*controlpb.Chat

	Rows List[ChatRow]
	// Unread is the number of messages that are not read, in chats that are not
	// muted.
	Unread Value[int]
	// Changed tells the id of a chat that changed or is gone.
	Changed Signal[string]
}

// ChatRow is a chat as the list on the left shows it.
type ChatRow struct {
	Chat *controlpb.Chat
	// Title and Line, its last line, are harmless to show.
	Title, Line string
	// Contact is the other one of a direct chat, or nil.
	Contact *controlpb.Contact
}

// RowKey implements Row.
func (r ChatRow) RowKey() string { return r.Chat.GetId() }

// Same implements Row.
func (r ChatRow) Same(o ChatRow) bool {
	return r.Title == o.Title && r.Line == o.Line && proto.Equal(r.Chat, o.Chat) && proto.Equal(r.Contact, o.Contact)
}

func newChats(s *Session) *Chats {
	c := &Chats{session: s, byID: map[string]*controlpb.Chat{}}
	s.Contacts.Changed.Observe(func(user string) {
		if chat := s.Contacts.Get(user).GetChat(); c.byID[chat] != nil {
			c.arrange()
			c.Changed.emit(chat)
		}
	})
	return c
}

// Get gives a chat, or nil. It must not be changed.
func (c *Chats) Get(id string) *controlpb.Chat { return c.byID[id] }

// Row gives a chat as it is shown; ok is false when there is none.
func (c *Chats) Row(id string) (row ChatRow, ok bool) {
	x := c.byID[id]
	if x == nil {
		return ChatRow{}, false
	}
	return c.row(x), true
}

func (c *Chats) row(x *controlpb.Chat) ChatRow {
	r := ChatRow{Chat: x, Title: client.PrintableLine(x.GetTitle())}
	if x.GetKind() == "direct" {
		for _, m := range x.GetMembers() {
			if m != c.session.User() {
				r.Contact, r.Title = c.session.Contacts.Get(m), c.session.Contacts.Name(m)
			}
		}
	}
	if r.Title == "" {
		r.Title = c.session.Texts().T("Chat")
	}
	r.Line = c.line(x)
	return r
}

// line is what the list says below the title.
func (c *Chats) line(x *controlpb.Chat) string {
	t, m := c.session.Texts(), x.GetLast()
	switch {
	case m == nil:
		return ""
	case m.GetDeleted():
		return t.T("Message deleted")
	}
	line := client.PrintableLine(firstRunes(m.GetBody(), 200))
	switch {
	case m.GetOwn():
		return t.F("You: %s", line)
	case x.GetKind() != "direct":
		return c.session.Contacts.Name(m.GetAuthor()) + ": " + line
	}
	return line
}

// firstRunes cuts a text that is only shown in part.
func firstRunes(s string, n int) string {
	for i := range s {
		if n--; n < 0 {
			return s[:i]
		}
	}
	return s
}

func (c *Chats) load(all []*controlpb.Chat) {
	before := c.byID
	c.byID = make(map[string]*controlpb.Chat, len(all))
	for _, x := range all {
		c.byID[x.GetId()] = x
	}
	c.arrange()
	for id := range before {
		if c.byID[id] == nil {
			c.Changed.emit(id)
		}
	}
	for id := range c.byID {
		c.Changed.emit(id)
	}
}

func (c *Chats) handle(batch []*controlpb.Event) {
	changed := map[string]struct{}{}
	for _, e := range batch {
		switch e := e.GetEvent().(type) {
		case *controlpb.Event_Chat:
			c.byID[e.Chat.GetId()] = e.Chat
			changed[e.Chat.GetId()] = struct{}{}
		case *controlpb.Event_ChatRemoved:
			delete(c.byID, e.ChatRemoved)
			changed[e.ChatRemoved] = struct{}{}
		}
	}
	if len(changed) == 0 {
		return
	}
	c.arrange()
	for id := range changed {
		c.Changed.emit(id)
	}
}

func (c *Chats) arrange() {
	rows := make([]ChatRow, 0, len(c.byID))
	unread := 0
	for _, x := range c.byID {
		rows = append(rows, c.row(x))
		if !x.GetMuted() {
			unread += int(x.GetUnread())
		}
	}
	slices.SortFunc(rows, func(a, b ChatRow) int {
		if a.Chat.GetPinned() != b.Chat.GetPinned() {
			if a.Chat.GetPinned() {
				return -1
			}
			return 1
		}
		if x, y := a.Chat.GetLast().GetSentAt(), b.Chat.GetLast().GetSentAt(); x != y {
			if x > y {
				return -1
			}
			return 1
		}
		if n := strings.Compare(strings.ToLower(a.Title), strings.ToLower(b.Title)); n != 0 {
			return n
		}
		return strings.Compare(a.RowKey(), b.RowKey())
	})
	c.Rows.set(rows)
	if unread != c.Unread.Get() {
		c.Unread.set(unread)
	}
}

// Relabel writes all rows anew, after the language changed.
func (c *Chats) Relabel() { c.arrange() }

// Mute mutes a chat or not.
func (c *Chats) Mute(id string, muted bool) {
	c.set(&controlpb.SetChatRequest{Id: id, Muted: &muted})
}

// Pin keeps a chat on top or not.
func (c *Chats) Pin(id string, pinned bool) {
	c.set(&controlpb.SetChatRequest{Id: id, Pinned: &pinned})
}

func (c *Chats) set(req *controlpb.SetChatRequest) {
	c.session.ask(func(ctx context.Context, core Core) error {
		_, err := core.SetChat(ctx, req)
		return err
	})
}
