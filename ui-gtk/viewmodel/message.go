package viewmodel

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"reflect"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// MessageState is how far a message of one's own is.
type MessageState int

// States of a message; others' have none.
const (
	NoState MessageState = iota
	Queued
	Sent
	Delivered
	Read
	Failed
)

// MessageRow is a message as it is drawn.
type MessageRow struct {
	Message *controlpb.Message
	Key     string // of its id
	// Author is what its author is called here, Time the time of the day.
	Author, Time string
	// Day is the day to write above it, or empty. New: the line that says that
	// what follows was not read is above it.
	Day string
	New bool
	// First and Last of a group: messages of one author, under a minute apart.
	First, Last bool
	State       MessageState
	// StateText says State in words, in a group to how many it came. Partly: it came to
	// some, and never will to the others.
	StateText string
	Partly    bool
	// Problem says why it failed. Unsent: the core has not taken it yet, or not
	// at all when it failed.
	Problem string
	Unsent  bool
	// Event is what happened to the group, if it tells that; nothing else of the
	// message is drawn then.
	Event string
	// Colour is the author's, from 1 to AvatarColours.
	Colour int
	// Content is what was written; the same pointer as long as it is the same.
	Content *Content
	// File is the file, picture or folder that it is, or nil.
	File *Transfer
	// Reactions are nil where there are none; the same pointer as long as they are
	// the same.
	Reactions *Reactions
	// Label says all of it in one sentence, for those who do not see it.
	Label string
}

// Content is what was written in a message.
type Content struct {
	Deleted, Edited bool
	Text            Text
	Quote           *QuoteRow
	Card            *Card
}

// QuoteRow is the message that was answered.
type QuoteRow struct {
	ID           []byte
	Author, Line string
}

// Card is what a plugin draws.
type Card struct {
	Title   string
	Body    Text
	Image   []byte
	Buttons []*pluginpb.Button
}

// RowKey implements Row.
func (r *MessageRow) RowKey() string { return r.Key }

// Same implements Row.
func (r *MessageRow) Same(o *MessageRow) bool {
	if r == o {
		return true
	}
	a, b := *r, *o
	a.Message, b.Message = nil, nil
	a.File, b.File = nil, nil
	return a == b && reflect.DeepEqual(r.File, o.File)
}

func messageKey(id []byte) string { return hex.EncodeToString(id) }

const grouped = time.Minute

// drawing is what one pass of making rows needs to know.
type drawing struct {
	now     time.Time
	newFrom string // key of the message above which the "New" line is
	find    []string
	direct  bool
}

// row makes the row of a message between two others, either of which may be nil;
// was is its row before, or nil.
func (c *Conversation) row(d *drawing, m, before, after *controlpb.Message, was *MessageRow) *MessageRow {
	t := c.session.Texts()
	r := &MessageRow{Message: m, Key: messageKey(m.GetId()), Author: c.session.Contacts.Name(m.GetAuthor())}
	at := time.UnixMicro(m.GetSentAt())
	r.Time = t.Clock(at)
	r.New = r.Key == d.newFrom
	if before == nil || !sameDay(time.UnixMicro(before.GetSentAt()), at) {
		r.Day = t.Day(at, d.now)
	}
	r.First = r.Day != "" || r.New || !sameGroup(before, m)
	r.Last = after == nil || messageKey(after.GetId()) == d.newFrom || !sameGroup(m, after)
	_, r.Colour = AvatarLook(m.GetAuthor(), "")
	if r.Event = c.session.groupEvent(m); r.Event != "" {
		r.Content, r.Label = &Content{}, r.Event+", "+r.Time
		if was != nil {
			r.Content = was.Content
		}
		return r
	}
	c.state(r)
	if was != nil && sameContent(was.Message, m) && c.contentOf[r.Key] == contentLook(d, c.unfolded[r.Key]) {
		r.Content = was.Content
	} else {
		r.Content = c.content(d, m, c.unfolded[r.Key])
		c.contentOf[r.Key] = contentLook(d, c.unfolded[r.Key])
	}
	if !m.GetDeleted() {
		r.File = c.transfer(m)
		if was != nil && reflect.DeepEqual(was.File, r.File) {
			r.File = was.File
		}
		r.Reactions = c.reactions(m, was)
	}
	r.Label = c.label(r)
	return r
}

// contentLook is what a message's content depends on besides the message.
func contentLook(d *drawing, full bool) string {
	look := strings.Join(d.find, "\x00")
	if full {
		look += "\x00full"
	}
	return look
}

func sameContent(a, b *controlpb.Message) bool {
	return a == b || a.GetBody() == b.GetBody() && a.GetDeleted() == b.GetDeleted() && a.GetEdited() == b.GetEdited() &&
		bytes.Equal(a.GetData(), b.GetData()) && slices.Equal(mentioned(a), mentioned(b)) && proto.Equal(a.GetCard(), b.GetCard()) && proto.Equal(a.GetReplyTo(), b.GetReplyTo())
}

func sameDay(a, b time.Time) bool {
	y, m, d := a.Date()
	y2, m2, d2 := b.Date()
	return y == y2 && m == m2 && d == d2
}

func sameGroup(a, b *controlpb.Message) bool {
	if a == nil || b == nil || a.GetAuthor() != b.GetAuthor() || (a.GetKind() == groupKind) != (b.GetKind() == groupKind) {
		return false
	}
	apart := time.Duration(b.GetSentAt()-a.GetSentAt()) * time.Microsecond
	return apart > -grouped && apart < grouped && sameDay(time.UnixMicro(a.GetSentAt()), time.UnixMicro(b.GetSentAt()))
}

// state fills in how far a message of one's own is.
func (c *Conversation) state(r *MessageRow) {
	c.reach(r)
	r.StateText = c.stateText(r.State)
	if r.Unsent || r.State == NoState || r.State == Failed {
		return
	}
	reach, t := client.ReachOf(r.Message), c.session.Texts()
	if reach.Partly() {
		r.Partly, r.State = true, min(r.State, Delivered)
	}
	switch n, read := reach.Uneven(); {
	case n == 0:
	case read:
		r.StateText = t.F("Read by %[1]d of %[2]d", n, reach.All)
	default:
		r.StateText = t.F("Delivered to %[1]d of %[2]d", n, reach.All)
	}
}

// reach fills in the state alone.
func (c *Conversation) reach(r *MessageRow) {
	m := r.Message
	if !m.GetOwn() || m.GetDeleted() {
		return
	}
	if o := c.session.outbox.get(m.GetId()); o != nil && o.shown {
		r.Unsent, r.State = true, Queued
		if o.problem != "" {
			r.State, r.Problem = Failed, o.problem
		}
		return
	}
	switch m.GetDelivery() {
	case controlpb.Delivery_DELIVERY_SENT:
		r.State = Sent
	case controlpb.Delivery_DELIVERY_DELIVERED:
		r.State = Delivered
	case controlpb.Delivery_DELIVERY_READ:
		r.State = Read
	case controlpb.Delivery_DELIVERY_FAILED:
		r.State = Failed
		for _, x := range m.GetRecipients() {
			if x.GetDelivery() == controlpb.Delivery_DELIVERY_FAILED && (x.GetReason() != "" || x.GetWhy() != nil) {
				r.Problem = c.session.tell(x.GetWhy(), x.GetReason())
			}
		}
	default:
		r.State = Queued
		// It has left once anybody has it: in a group, somebody is often away for long.
		if slices.ContainsFunc(m.GetRecipients(), func(x *controlpb.RecipientState) bool {
			return x.GetDelivery() >= controlpb.Delivery_DELIVERY_SENT && x.GetDelivery() != controlpb.Delivery_DELIVERY_FAILED
		}) {
			r.State = Sent
		}
	}
}

// stateText says a state in words.
func (c *Conversation) stateText(s MessageState) string {
	t := c.session.Texts()
	switch s {
	case Queued:
		return t.T("Waiting to be sent")
	case Sent:
		return t.T("Sent")
	case Delivered:
		return t.T("Delivered")
	case Read:
		return t.T("Read")
	case Failed:
		return t.T("Not delivered")
	}
	return ""
}

// content makes what is drawn of what was written.
func (c *Conversation) content(d *drawing, m *controlpb.Message, full bool) *Content {
	x := &Content{Deleted: m.GetDeleted(), Edited: m.GetEdited()}
	if x.Deleted {
		return x
	}
	if q := m.GetReplyTo(); q != nil && len(q.GetId()) > 0 {
		x.Quote = &QuoteRow{ID: q.GetId(), Author: c.session.Contacts.Name(q.GetAuthor()), Line: client.PrintableLine(q.GetBody())}
		if q.GetAuthor() == "" {
			x.Quote.Author = ""
		}
		if q.GetDeleted() {
			x.Quote.Line = c.session.Texts().T("Message deleted")
		} else if x.Quote.Line == "" {
			x.Quote.Line = c.session.Texts().T("Message")
		}
	}
	if card := m.GetCard(); card != nil && (card.GetTitle() != "" || card.GetBody() != "" || len(card.GetImage()) > 0 || len(card.GetButtons()) > 0) {
		x.Card = &Card{
			Title: client.PrintableLine(firstRunes(card.GetTitle(), 300)), Body: ParseText(card.GetBody(), full, d.find),
			Image: card.GetImage(), Buttons: card.GetButtons()[:min(len(card.GetButtons()), maxButtons)],
		}
		return x
	}
	x.Text = c.mark(ParseText(m.GetBody(), full, d.find), m)
	return x
}

// maxButtons bounds what a card may draw.
const maxButtons = 24

// label says all of a row in one sentence.
func (c *Conversation) label(r *MessageRow) string {
	t := c.session.Texts()
	author := r.Author
	if r.Message.GetOwn() {
		author = t.T("You")
	}
	said := client.PrintableLine(firstRunes(r.Message.GetBody(), 300))
	switch {
	case r.Content.Deleted:
		said = t.T("Message deleted")
	case r.Content.Card != nil && r.Content.Card.Title != "":
		said = r.Content.Card.Title
	case r.File != nil:
		said = r.File.Name + ", " + r.File.Line
	}
	// Translators: who wrote, what, and when.
	label := t.F("%[1]s: %[2]s, %[3]s", author, said, r.Time)
	if r.Content.Edited {
		label += ", " + t.T("edited")
	}
	if r.Reactions != nil {
		label += ", " + r.Reactions.label
	}
	if r.StateText != "" {
		label += ", " + r.StateText
	}
	if r.Problem != "" {
		label += ": " + r.Problem
	}
	return label
}

// Details is all that is known of how a message came to people.
type Details struct {
	Sent       string
	Recipients []Recipient
	Reactions  []Reaction
}

// Recipient is one person's part of Details.
type Recipient struct {
	User, Name, State, Reason string
	Failed                    bool
	order                     MessageState
}

// Details gives what is known of a message, or false when it is not in sight.
func (c *Conversation) Details(key string) (Details, bool) {
	r := c.Row(key)
	if r == nil {
		return Details{}, false
	}
	d := Details{Sent: c.session.Texts().Moment(time.UnixMicro(r.Message.GetSentAt()), c.session.cfg.Now())}
	if r.Reactions != nil {
		d.Reactions = r.Reactions.List
	}
	for _, x := range r.Message.GetRecipients() {
		state := Queued
		switch x.GetDelivery() {
		case controlpb.Delivery_DELIVERY_SENT:
			state = Sent
		case controlpb.Delivery_DELIVERY_DELIVERED:
			state = Delivered
		case controlpb.Delivery_DELIVERY_READ:
			state = Read
		case controlpb.Delivery_DELIVERY_FAILED:
			state = Failed
		}
		d.Recipients = append(d.Recipients, Recipient{
			User: x.GetUser(), Name: c.session.Contacts.Name(x.GetUser()), State: c.stateText(state),
			Reason: c.session.tell(x.GetWhy(), x.GetReason()), Failed: state == Failed, order: state,
		})
	}
	// Those whom it reached farthest first, and before them those whom it never will.
	slices.SortStableFunc(d.Recipients, func(a, b Recipient) int {
		return cmp.Or(cmp.Compare(b.order, a.order), strings.Compare(fold(a.Name), fold(b.Name)))
	})
	return d, true
}
