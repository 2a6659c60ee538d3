package viewmodel

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// Notifier decides what is told outside of the window: what others write, and who
// asks to become a contact. Each chat has one note, which the next one replaces,
// until it is read.
type Notifier struct {
	session     *Session
	preferences *PreferencesStore
	shown       map[string]*shownNote // by key
	unread      map[string]uint32     // by chat, as it was last known
	asking      map[string]bool       // who asks, as it was last known
	inviting    map[string]bool       // groups that were just told of
	loaded      bool
	stops       []func()

	// Notes are to be shown, each instead of an earlier one of its key.
	Notes Signal[Note]
	// Gone tells the key of a note that is to be taken away.
	Gone Signal[string]
}

// Note is what is to be shown outside of the window, harmless to show.
type Note struct {
	// Key is by what it is replaced, and what NoteChat understands.
	Key         string
	Title, Body string
	// Avatar is the picture of the person as others sent it, or nil.
	Avatar []byte
	// Reply says whether it can be answered in place.
	Reply bool
}

type shownNote struct {
	count   int
	mention bool // it tells of a mention, also where a chat is muted
}

// requestKey is what keys of notes about people who ask begin with. No chat's id
// does.
const requestKey = "request:"

// NoteChat gives the chat that a note is about, or the user who asks.
func NoteChat(key string) (chat, user string) {
	if user, ok := strings.CutPrefix(key, requestKey); ok {
		return "", user
	}
	return key, ""
}

// NewNotifier follows a session, until Close.
func NewNotifier(s *Session, p *PreferencesStore) *Notifier {
	n := &Notifier{session: s, preferences: p, shown: map[string]*shownNote{}, inviting: map[string]bool{}}
	n.learn()
	n.stops = []func(){
		s.Events.Observe(n.event),
		s.Loaded.Observe(func(struct{}) { n.reloaded() }),
		s.Chats.Changed.Observe(n.chatChanged),
		s.Contacts.Changed.Observe(n.contactChanged),
		s.Groups.Invitations.Observe(n.invitations),
		p.Value.Observe(func(p Preferences) {
			if !p.Notify {
				n.clear()
			}
		}),
		s.Status.Observe(func(*controlpb.Status) {
			if s.Stage() != Opened {
				n.clear()
				n.loaded = false
			}
		}),
	}
	return n
}

// Close stops following, and takes all notes away.
func (n *Notifier) Close() {
	for _, stop := range n.stops {
		stop()
	}
	n.clear()
}

// learn notes what is there and needs no note.
func (n *Notifier) learn() {
	n.unread, n.asking = map[string]uint32{}, map[string]bool{}
	for id, x := range n.session.Chats.byID {
		n.unread[id] = x.GetUnread()
	}
	for user, x := range n.session.Contacts.byUser {
		n.asking[user] = x.GetState() == controlpb.ContactState_CONTACT_STATE_INCOMING
	}
}

// reloaded compares what was read anew with what was known: what came while there
// was no connection is told of, and what was there at the start is not.
func (n *Notifier) reloaded() {
	if n.loaded {
		for id, x := range n.session.Chats.byID {
			if more := int(x.GetUnread()) - int(n.unread[id]); more > 0 && x.GetLast() != nil {
				n.message(x.GetLast(), more)
			}
		}
	}
	n.loaded = true
	n.learn()
}

func (n *Notifier) event(e *controlpb.Event) {
	if x := e.GetPluginEvent(); x.GetPlugin() == groupPlugin && x.GetName() == groupChanged {
		var data struct {
			Invited bool `json:"invited"`
		}
		if json.Unmarshal(x.GetData(), &data) == nil && data.Invited && len(n.inviting) < maxInviting {
			n.inviting[x.GetChat()] = true
			n.invited(x.GetChat())
		}
	}
	if m := e.GetMessageAdded(); m != nil {
		n.message(m, 1)
	}
}

// maxInviting bounds the groups that were told of and are not known yet.
const maxInviting = 100

// invitations tells of groups that one is asked to join, once it is known what they
// are, and takes that away once it was answered.
func (n *Notifier) invitations(steps []Change[InvitationRow]) {
	for _, step := range steps {
		if step.Kind == Removed {
			delete(n.inviting, step.Row.Chat)
			n.gone(step.Row.Chat)
			continue
		}
		n.invited(step.Row.Chat)
	}
}

func (n *Notifier) invited(chat string) {
	at := n.session.Groups.Invitations.Index(chat)
	if at < 0 || !n.inviting[chat] {
		return
	}
	delete(n.inviting, chat)
	if !n.preferences.Value.Get().Notify || n.session.Stage() != Opened {
		return
	}
	r := n.session.Groups.Invitations.At(at)
	n.shown[chat] = &shownNote{}
	note := Note{Key: chat, Title: n.session.Texts().F("%s invites you to a group", n.session.Contacts.Name(r.By)), Avatar: r.Group.Picture}
	if n.preferences.Value.Get().NotifyContent {
		note.Body = r.Title
	}
	n.Notes.emit(note)
}

// message tells of the newest of some messages of a chat.
func (n *Notifier) message(m *controlpb.Message, count int) {
	s := n.session
	chat := s.Chats.Get(m.GetChat())
	front := s.Conversation.front && s.Conversation.Chat.Get() == m.GetChat()
	mentioned := chat.GetKind() == kindGroup && slices.Contains(mentioned(m), s.User())
	if m.GetOwn() || m.GetDeleted() || chat.GetMuted() && !mentioned || s.Groups.unlisted(m.GetChat()) || front || !n.preferences.Value.Get().Notify || !n.notifies(m) || s.Stage() != Opened {
		return
	}
	x := n.shown[m.GetChat()]
	if x == nil {
		x = &shownNote{}
		n.shown[m.GetChat()] = x
	}
	x.count += count
	x.mention = x.mention || mentioned
	t := s.Texts()
	author := s.Contacts.Name(m.GetAuthor())
	note := Note{Key: m.GetChat(), Title: author, Avatar: s.Contacts.Get(m.GetAuthor()).GetAvatar(), Reply: true}
	_, note.Body = s.brief(m)
	if row, ok := s.Chats.Row(m.GetChat()); ok && !ofTwo(chat) {
		note.Title = row.Title
		note.Body = author + ": " + note.Body
		if picture := row.Avatar(); len(picture) > 0 {
			note.Avatar = picture
		}
		if mentioned {
			note.Title = t.F("%[1]s mentions you in %[2]s", author, row.Title)
		}
	}
	if !n.preferences.Value.Get().NotifyContent {
		note.Body = t.N("%d new message", "%d new messages", x.count)
	} else if x.count > 1 {
		note.Title = t.F("%[1]s (%[2]s)", note.Title, t.Number(x.count))
	}
	n.Notes.emit(note)
}

// notifies says whether a message is of a kind that is told of. Where nothing is
// known of the kind, it is.
func (n *Notifier) notifies(m *controlpb.Message) bool {
	for _, k := range n.session.Plugins.Get(m.GetPlugin()).GetManifest().GetMessageKinds() {
		if k.GetName() == m.GetKind() {
			return k.GetNotifies()
		}
	}
	return true
}

// chatChanged takes away the note of what was read, muted or removed.
func (n *Notifier) chatChanged(id string) {
	x := n.session.Chats.Get(id)
	if !n.session.loading { // else reloaded compares
		n.unread[id] = x.GetUnread()
	}
	shown := n.shown[id]
	if shown != nil && (x.GetUnread() == 0 || x.GetMuted() && !shown.mention) && !n.session.Groups.unlisted(id) {
		n.gone(id)
	}
}

// contactChanged tells of who asks to become a contact.
func (n *Notifier) contactChanged(user string) {
	s, key := n.session, requestKey+user
	x := s.Contacts.Get(user)
	was := n.asking[user]
	n.asking[user] = x.GetState() == controlpb.ContactState_CONTACT_STATE_INCOMING
	switch {
	case !n.asking[user]:
		n.gone(key)
	case !was && n.loaded && n.preferences.Value.Get().Notify:
		note := Note{Key: key, Title: s.Texts().F("%s asks to become a contact", s.Contacts.Name(user)), Avatar: x.GetAvatar()}
		if n.preferences.Value.Get().NotifyContent {
			note.Body = tidy(x.GetGreeting(), maxShownLine)
		}
		n.shown[key] = &shownNote{}
		n.Notes.emit(note)
	}
}

func (n *Notifier) gone(key string) {
	if n.shown[key] != nil {
		delete(n.shown, key)
		n.Gone.emit(key)
	}
}

func (n *Notifier) clear() {
	for key := range n.shown {
		n.gone(key)
	}
}

// Reply answers in a chat, which is read then.
func (n *Notifier) Reply(chat, text string) {
	if text = strings.TrimSpace(text); text == "" || n.session.Chats.Get(chat) == nil {
		return
	}
	req := &pluginpb.InvokeRequest{Action: "send", Chat: chat, Text: text}
	n.session.outbox.send(&outgoing{plugin: textPlugin, req: req, text: text, shown: true, typed: true})
	n.MarkRead(chat)
}

// MarkRead says that a chat is read.
func (n *Notifier) MarkRead(chat string) {
	last := n.session.Chats.Get(chat).GetLast()
	n.gone(chat)
	if last == nil {
		return
	}
	n.session.ask(func(ctx context.Context, core Core) error {
		_, err := core.MarkRead(ctx, &controlpb.MarkReadRequest{Chat: chat, Message: last.GetId()})
		return err
	})
}
