package viewmodel

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// Chats are the chats of the account: pinned ones first, then the latest.
type Chats struct {
	session *Session
	byID    map[string]*controlpb.Chat
	rows    *sorted[ChatRow]
	groups  map[string]struct{} // ids of chats that are not of two
	direct  map[string]string   // ids of chats of two, by the other one
	unread  map[string]int      // of each chat that counts
	sum     int                 // of unread
	day     time.Time           // on which the rows were written
	stopDay func()

	Rows List[ChatRow]
	// Unread is the number of messages that are not read, in chats that are not
	// muted.
	Unread Value[int]
	// Current is the chat that is open in the window, or empty.
	Current Value[string]
	// Changed tells the id of a chat that changed or is gone.
	Changed Signal[string]
}

// Sign is what a last line is a line of, where it is not only text.
type Sign string

// Signs.
const (
	SignNone    Sign = ""
	SignPicture Sign = "picture"
	SignFile    Sign = "file"
	SignFolder  Sign = "folder"
	SignVoice   Sign = "voice"
	SignCall    Sign = "call"
	SignCard    Sign = "card"
	// SignWarning: something is to be decided before anything is sent.
	SignWarning Sign = "warning"
)

// Presence is whether somebody is there.
type Presence int

// Presences.
const (
	// PresenceNone: it is not known, or makes no sense.
	PresenceNone Presence = iota
	Offline
	Online
)

// ChatRow is a chat as the list on the left shows it.
type ChatRow struct {
	Chat *controlpb.Chat
	// Title and Line, its last line, are harmless to show. With Draft, Line is what
	// is written and not sent.
	Title, Line string
	Draft       bool
	Sign        Sign
	// When the last message was sent, short; empty without one.
	When string
	// Contact is the other one of a chat of two, or nil.
	Contact *controlpb.Contact
	// Open: nothing in it is encrypted.
	Open bool
	// Group is what is known of a group, or nil.
	Group  *Group
	folded string // Title, to be compared and searched
}

// RowKey implements Row.
func (r ChatRow) RowKey() string { return r.Chat.GetId() }

// Same implements Row.
func (r ChatRow) Same(o ChatRow) bool {
	return r.Title == o.Title && r.Line == o.Line && r.Draft == o.Draft && r.Sign == o.Sign && r.When == o.When && r.Group == o.Group &&
		(r.Chat == o.Chat || proto.Equal(r.Chat, o.Chat)) && (r.Contact == o.Contact || proto.Equal(r.Contact, o.Contact))
}

// Presence is that of the other one of a chat of two.
func (r ChatRow) Presence() Presence { return presenceOf(r.Contact) }

func presenceOf(x *controlpb.Contact) Presence {
	switch {
	case x.GetState() != controlpb.ContactState_CONTACT_STATE_CONTACT && !acquaintance(x):
		return PresenceNone
	case x.GetOnline():
		return Online
	}
	return Offline
}

// Picked is who or what the row's avatar and colour are of: the other one's user id,
// or the chat's id.
func (r ChatRow) Picked() string {
	if r.Contact != nil {
		return r.Contact.GetUser()
	}
	return r.Chat.GetId()
}

// Avatar is the picture as others sent it, or nil.
func (r ChatRow) Avatar() []byte {
	if r.Contact != nil {
		return r.Contact.GetAvatar()
	}
	if r.Group != nil {
		return r.Group.Picture
	}
	return nil
}

func newChats(s *Session) *Chats {
	c := &Chats{session: s, byID: map[string]*controlpb.Chat{}, groups: map[string]struct{}{}, direct: map[string]string{}, unread: map[string]int{}}
	c.rows = newSorted(&c.Rows, func(a, b ChatRow) int {
		if a.Chat.GetPinned() != b.Chat.GetPinned() {
			if a.Chat.GetPinned() {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(b.Chat.GetLast().GetSentAt(), a.Chat.GetLast().GetSentAt()), strings.Compare(a.folded, b.folded))
	})
	s.Contacts.Changed.Observe(c.contactChanged)
	return c
}

// contactChanged writes anew the rows in which a person is named.
func (c *Chats) contactChanged(user string) {
	if c.session.Contacts.loading {
		return // all chats are read next
	}
	var ids []string
	direct := c.direct[user]
	if c.byID[direct] == nil {
		direct = ""
	}
	if direct != "" {
		ids = append(ids, direct)
	}
	for id := range c.groups {
		x := c.byID[id]
		if x.GetLast().GetAuthor() == user || x.GetKind() == kindNet2019 && slices.Contains(x.GetMembers(), user) {
			ids = append(ids, id)
		}
	}
	c.arrange(ids)
	if direct != "" {
		c.Changed.emit(direct)
	}
}

// Get gives a chat, or nil. It must not be changed.
func (c *Chats) Get(id string) *controlpb.Chat { return c.byID[id] }

// Row gives a chat as it is shown; ok is false when there is none.
func (c *Chats) Row(id string) (row ChatRow, ok bool) {
	row, ok = c.rows.now[id]
	return row, ok
}

func (c *Chats) row(x *controlpb.Chat) ChatRow {
	r := ChatRow{Chat: x, Title: tidyName(x.GetTitle()), Open: x.GetKind() == kindNet2019}
	if ofTwo(x) {
		if other := c.other(x); other != "" {
			r.Contact, r.Title = c.session.Contacts.Get(other), c.session.Contacts.Name(other)
		}
	}
	if x.GetKind() == kindNet2019 && r.Contact == nil {
		r.Title = c.net2019Title(x)
	}
	if x.GetKind() == kindGroup {
		r.Group = c.session.Groups.Get(x.GetId())
	}
	if r.Title == "" {
		r.Title = c.session.Texts().T("Chat")
	}
	r.folded = fold(r.Title)
	r.Sign, r.Line = c.line(x)
	if sent := x.GetLast().GetSentAt(); sent != 0 {
		r.When = c.session.Texts().When(time.UnixMicro(sent), c.session.cfg.Now())
	}
	if r.Contact.GetKeyChanged() {
		r.Sign, r.Line = SignWarning, c.session.Texts().T("The safety number has changed")
	}
	if draft := tidy(x.GetDraft(), maxShownLine); draft != "" && x.GetId() != c.Current.Get() {
		r.Draft, r.Sign, r.Line = true, SignNone, draft
	}
	return r
}

// net2019Title is what a group of 2019 is called, which has no name: by its people.
func (c *Chats) net2019Title(x *controlpb.Chat) string {
	var names []string
	for _, user := range x.GetMembers() {
		if user != c.session.User() {
			names = append(names, c.session.Contacts.Name(user))
		}
	}
	return tidyName(strings.Join(names, c.session.Texts().T(", ")))
}

// other gives the other one of a chat of two.
func (c *Chats) other(x *controlpb.Chat) string {
	for _, m := range x.GetMembers() {
		if m != c.session.User() {
			return m
		}
	}
	return ""
}

// kindDirect is the kind of a chat of two.
const kindDirect = "direct"

// line is what the list says below the title.
func (c *Chats) line(x *controlpb.Chat) (Sign, string) {
	t, m := c.session.Texts(), x.GetLast()
	switch {
	case m == nil:
		return SignNone, t.T("No messages yet")
	case m.GetDeleted():
		return SignNone, t.T("Message deleted")
	}
	if event := c.session.groupEvent(m); event != "" {
		return SignNone, event
	}
	sign, line := c.session.brief(m)
	switch {
	case m.GetOwn():
		return sign, t.F("You: %s", line)
	case !ofTwo(x):
		// Translators: who wrote a message, and its text.
		return sign, t.F("%[1]s: %[2]s", c.session.Contacts.Name(m.GetAuthor()), line)
	}
	return sign, line
}

// brief is a message on one line. What is no text is called what it is, since the
// name of a file says little.
func (s *Session) brief(m *controlpb.Message) (Sign, string) {
	t := s.Texts()
	name, caption, _ := strings.Cut(m.GetBody(), "\n")
	caption = tidy(caption, maxShownLine)
	switch m.GetPresentation() {
	case pluginpb.Presentation_PRESENTATION_IMAGE:
		if caption != "" {
			return SignPicture, caption
		}
		return SignPicture, t.T("Picture")
	case pluginpb.Presentation_PRESENTATION_FILE:
		if caption != "" {
			return SignFile, caption
		}
		if blobs := m.GetBlobs(); len(blobs) > 0 && blobs[0].GetBlob().GetFolder() {
			return SignFolder, t.F("Folder %s", tidy(name, maxShownLine))
		}
		return SignFile, t.F("File %s", tidy(name, maxShownLine))
	case pluginpb.Presentation_PRESENTATION_AUDIO:
		return SignVoice, t.T("Voice message")
	case pluginpb.Presentation_PRESENTATION_CALL:
		return SignCall, cmp.Or(tidy(m.GetBody(), maxShownLine), t.T("Call"))
	case pluginpb.Presentation_PRESENTATION_CARD:
		return SignCard, cmp.Or(tidy(m.GetCard().GetTitle(), maxShownLine), tidy(m.GetBody(), maxShownLine))
	}
	return SignNone, tidy(m.GetBody(), maxShownLine)
}

func (c *Chats) load(all []*controlpb.Chat) {
	before := c.byID
	c.byID = make(map[string]*controlpb.Chat, len(all))
	for _, x := range all {
		c.byID[x.GetId()] = x
	}
	c.arrangeAll()
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
	var changed []string // in the order in which they changed first
	note := func(id string) {
		if !slices.Contains(changed, id) {
			changed = append(changed, id)
		}
	}
	for _, e := range batch {
		switch e := e.GetEvent().(type) {
		case *controlpb.Event_Chat:
			c.byID[e.Chat.GetId()] = e.Chat
			note(e.Chat.GetId())
		case *controlpb.Event_ChatRemoved:
			delete(c.byID, e.ChatRemoved)
			note(e.ChatRemoved)
		}
	}
	c.arrange(changed)
	for _, id := range changed {
		c.Changed.emit(id)
	}
}

// arrangeAll writes all rows anew.
func (c *Chats) arrangeAll() {
	c.day = dayOf(c.session.cfg.Now())
	if c.stopDay == nil {
		c.watchDay()
	}
	rows := make([]ChatRow, 0, len(c.byID))
	c.groups, c.direct, c.unread, c.sum = map[string]struct{}{}, map[string]string{}, map[string]int{}, 0
	for id, x := range c.byID {
		if !c.session.Groups.unlisted(id) {
			rows = append(rows, c.row(x))
		}
		c.count(id)
	}
	c.rows.set(rows)
	c.sumUp()
}

// arrange writes some rows anew, and puts them to where they belong.
func (c *Chats) arrange(ids []string) {
	if len(ids) == 0 {
		return
	}
	var rows []ChatRow
	var gone []string
	for _, id := range ids {
		if x := c.byID[id]; x != nil && !c.session.Groups.unlisted(id) {
			rows = append(rows, c.row(x))
		} else {
			gone = append(gone, id)
		}
		c.count(id)
	}
	c.rows.update(rows, gone...)
	c.sumUp()
}

// count notes what is known of a chat beside its row.
func (c *Chats) count(id string) {
	x := c.byID[id]
	unread := int(x.GetUnread())
	if x.GetMuted() || c.session.Groups.unlisted(id) {
		unread = 0
	}
	c.sum += unread - c.unread[id]
	if unread == 0 {
		delete(c.unread, id)
	} else {
		c.unread[id] = unread
	}
	switch {
	case x == nil:
		delete(c.groups, id) // of who has gone with a direct chat, c.byID knows
	case ofTwo(x):
		c.direct[c.other(x)] = id
	default:
		c.groups[id] = struct{}{}
	}
}

func (c *Chats) sumUp() {
	if c.sum != c.Unread.Get() {
		c.Unread.set(c.sum)
	}
}

// dayCheck is how often it is looked whether another day has begun: a timer for
// midnight would be late where the computer sleeps.
const dayCheck = time.Minute

// watchDay writes the rows anew when their times read otherwise.
func (c *Chats) watchDay() {
	c.stopDay = c.session.cfg.After(dayCheck, func() {
		if c.session.ctx.Err() != nil {
			return // the window is closed
		}
		if dayOf(c.session.cfg.Now()) != c.day {
			c.arrangeAll()
		}
		c.watchDay()
	})
}

// dayOf is a day as a person counts it.
func dayOf(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
}

// Relabel writes all rows anew, after the language changed.
func (c *Chats) Relabel() { c.arrangeAll() }

// SetCurrent notes which chat is open, or none when it is empty.
func (c *Chats) SetCurrent(id string) {
	was := c.Current.Get()
	if was == id {
		return
	}
	c.Current.set(id)
	var ids []string // their drafts are shown otherwise
	for _, x := range []string{was, id} {
		if c.byID[x] != nil {
			ids = append(ids, x)
		}
	}
	c.arrange(ids)
}

// Spoken says a row to who does not see it.
func (c *Chats) Spoken(r ChatRow) string {
	t := c.session.Texts()
	parts := []string{r.Title}
	add := func(on bool, s string) {
		if on && s != "" {
			parts = append(parts, s)
		}
	}
	add(r.Open, t.T("not encrypted"))
	add(r.Presence() == Online, t.T("online"))
	add(r.Chat.GetPinned(), t.T("pinned"))
	add(r.Chat.GetMuted(), t.T("muted"))
	if n := int(r.Chat.GetUnread()); n > 0 {
		parts = append(parts, t.N("%d unread message", "%d unread messages", n))
	}
	if r.Draft {
		add(true, t.F("Draft: %s", r.Line))
	} else {
		add(true, r.Line)
	}
	add(true, r.When)
	return strings.Join(parts, ", ")
}

// Mute mutes a chat or not.
func (c *Chats) Mute(id string, muted bool) {
	c.set(&controlpb.SetChatRequest{Id: id, Muted: &muted})
}

// Pin keeps a chat on top or not.
func (c *Chats) Pin(id string, pinned bool) {
	c.set(&controlpb.SetChatRequest{Id: id, Pinned: &pinned})
}

// Removable says whether a chat can be removed: it is a group's, which one is not in.
func (c *Chats) Removable(id string) bool {
	x := c.byID[id]
	return x.GetKind() == kindGroup && len(x.GetMembers()) > 0 && !slices.Contains(x.GetMembers(), c.session.User())
}

// Remove removes the chat of a group that one is not in, with its history here.
func (c *Chats) Remove(id string) {
	c.session.ask(func(ctx context.Context, core Core) error {
		_, err := core.RemoveChat(ctx, &controlpb.RemoveChatRequest{Id: id})
		return err
	})
}

// MarkRead says that all of a chat is read.
func (c *Chats) MarkRead(id string) {
	c.session.ask(func(ctx context.Context, core Core) error {
		_, err := core.MarkRead(ctx, &controlpb.MarkReadRequest{Chat: id})
		return err
	})
}

func (c *Chats) set(req *controlpb.SetChatRequest) {
	c.session.ask(func(ctx context.Context, core Core) error {
		_, err := core.SetChat(ctx, req)
		return err
	})
}
