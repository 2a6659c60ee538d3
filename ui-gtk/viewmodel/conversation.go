package viewmodel

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/protocol/controlpb"
)

// Bounds of what is read and shown of a chat at once. A page fills the place where
// the rows are drawn: how long that takes is how long a chat takes to open.
const (
	usualHeight = 700 // of that place until it is known, in pixels
	leastHeight = 46  // of most rows, in pixels
	besideFit   = 4   // rows that a page has more than the place
	largestPage = 80
	pagesKept   = 6   // of rows
	maxRead     = 500 // what the core gives at once
)

// typingFades is how long a notice of typing counts.
const typingFades = 6 * time.Second

// Conversation is the one chat that is shown: a window of its messages, which
// follows the core, and the composer.
type Conversation struct {
	session *Session

	// Chat is the id of the chat that is shown; empty for none.
	Chat Value[string]
	// Header is what stands above the messages.
	Header Value[Header]
	// Rows are the messages in the window, never more than six pages.
	Rows List[*MessageRow]
	// Places says where to scroll to.
	Places Signal[Place]
	// Below is how many messages came that are further down than what is seen.
	Below Value[int]
	// Edges says whether the chat goes on above and below the rows.
	Edges Value[Edges]
	// Typing says who is typing, or nothing.
	Typing Value[string]
	// Problem says why the chat cannot be read, or nothing.
	Problem Value[string]
	// Finding is the search in this chat.
	Finding Value[ChatFind]
	// Composer is where one writes.
	Composer *Composer

	user     string // of the account
	chat     string
	opening  int  // counts openings and replacements of the window: answers to older ones are not wanted
	loaded   bool // the window was read once
	messages []*controlpb.Message
	before   bool // there is more
	after    bool
	reading  [2]bool              // a page above, below is being read
	target   []byte               // the message to open at, until the window is read
	rereads  bool                 // the window is to be read again
	early    []*controlpb.Message // that came while it is read whether the window reaches the end
	blobs    map[string]*controlpb.Blob
	height   int // of the place where the rows are drawn, in pixels

	newFrom   string // key of the message below the "New" line
	marked    string // key of the message up to which is read, as was told the core
	front     bool   // the window is in front of others
	end       bool   // the end is seen
	arranging bool   // soon
	gathering bool   // events are being handled, after which the rows are made
	gathered  bool   // an event changed rows
	arranged  time.Time
	watching  bool // the day
	unfolded  map[string]bool
	contentOf map[string]string // what the contents of rows were made with
	typists   map[string]func() // stops forgetting them
	find      find
}

// Header is what stands above the messages.
type Header struct {
	Chat, Title string
	// User is the other one of a chat of two, Contact what is known of him or her;
	// empty and nil in others.
	User    string
	Contact *controlpb.Contact
	// Line says presence and path, or how many are in the chat.
	Line     string
	Presence Presence
	// Picked is whose avatar it has: see ChatRow.
	Picked string
	// Lock says how the chat is protected.
	Lock          Lock
	LockText      string
	Muted, Pinned bool
	// Avatar is its picture as others sent it, or nil. Group is what is known of a
	// group, or nil.
	Avatar []byte
	Group  *Group
	// Away says why nothing can be written here, or nothing; Invited: one may join.
	Away    string
	Invited bool
	// Warning is something that a person should act on, or empty.
	Warning string
}

// Lock is how a chat is protected.
type Lock int

// Locks.
const (
	Encrypted    Lock = iota // and the keys were not compared
	Verified                 // the keys were compared in person
	KeyChanged               // the keys are others than before
	NotEncrypted             // nothing is: the chat is one of 2019
)

// PlaceAt is where in sight a message shall be.
type PlaceAt int

// Places.
const (
	AtEnd PlaceAt = iota // the end of the chat; no message
	AtTop
	AtMiddle
)

// Place is where to scroll to. Flash: show for a moment which message it is.
type Place struct {
	Key   string
	At    PlaceAt
	Flash bool
}

// Edges says whether the chat goes on above and below the rows.
type Edges struct{ Before, After bool }

func newConversation(s *Session) *Conversation {
	c := &Conversation{session: s, height: usualHeight}
	c.Composer = newComposer(c)
	c.reset()
	s.Chats.Changed.Observe(func(id string) {
		if id == c.chat && id != "" {
			c.Composer.learn()
			c.headline()
			c.readUp()
		}
	})
	s.Contacts.Changed.Observe(func(string) {
		if c.chat != "" {
			c.headline()
			c.changed()
		}
	})
	s.Status.Observe(func(st *controlpb.Status) {
		if st.GetState() != controlpb.AccountState_ACCOUNT_STATE_OPEN && st != nil {
			c.Open("", nil)
		}
		if user := st.GetUser(); user != "" && user != c.user {
			if c.user != "" { // what one account wrote is not shown to the next
				c.Open("", nil)
				c.Composer.forget()
			}
			c.user = user
		}
	})
	s.Loaded.Observe(func(struct{}) {
		if c.chat == "" {
			return
		}
		c.reading = [2]bool{}
		if !c.loaded {
			c.read()
		} else {
			c.reread()
		}
	})
	return c
}

func (c *Conversation) reset() {
	c.opening++
	c.loaded, c.messages, c.before, c.after = false, nil, false, false
	c.reading, c.rereads, c.early = [2]bool{}, false, nil
	c.newFrom, c.marked, c.end = "", "", false
	c.blobs, c.unfolded, c.contentOf = map[string]*controlpb.Blob{}, map[string]bool{}, map[string]string{}
	for _, stop := range c.typists {
		stop()
	}
	c.typists = map[string]func(){}
	c.Typing.set("")
	c.Below.set(0)
	c.find = find{}
	c.Finding.set(ChatFind{})
	c.Problem.set("")
}

// Open shows a chat: at a message, or where reading stopped when it is nil. An
// empty id shows none.
func (c *Conversation) Open(chat string, message []byte) {
	if chat == c.chat {
		if message != nil {
			c.Jump(message)
		}
		return
	}
	c.Composer.leave()
	c.reset()
	c.chat, c.target = chat, message
	c.Rows.set(nil)
	c.Edges.set(Edges{})
	c.headline()
	c.Chat.set(chat)
	c.session.Chats.SetCurrent(chat)
	c.Composer.enter(chat)
	if chat != "" {
		c.read()
	}
}

// SetHeight tells how high the place is where the rows are drawn, in pixels.
func (c *Conversation) SetHeight(pixels int) { c.height = pixels }

// page is how many messages are read at once.
func (c *Conversation) page() int { return min(c.height/leastHeight+besideFit, largestPage) }

// most is how many are in the window.
func (c *Conversation) most() int { return pagesKept * c.page() }

// read reads the window for the first time: the end, or where reading stopped when
// that is further up.
func (c *Conversation) read() {
	if c.target != nil {
		c.around(c.target)
		return
	}
	x := c.session.Chats.Get(c.chat)
	unread, first := int(x.GetUnread()), x.GetFirstUnread()
	if unread == 0 || len(first) == 0 {
		unread, first = 0, nil
	}
	page := uint32(c.page()) //nolint:gosec // a few dozen
	end := &controlpb.ListMessagesRequest{Chat: c.chat, Limit: page}
	asked := []*controlpb.ListMessagesRequest{end}
	if unread > c.page()-besideFit {
		asked = []*controlpb.ListMessagesRequest{
			{Chat: c.chat, Before: first, Limit: besideFit}, {Chat: c.chat, After: first, Inclusive: true, Limit: page},
		}
	}
	c.list(func(ctx context.Context, core Core) ([]*controlpb.ListMessagesResponse, error) {
		pages, err := listPages(ctx, core, asked...)
		if status.Code(err) == codes.NotFound && len(asked) > 1 { // it was removed meanwhile
			pages, err = listPages(ctx, core, end)
		}
		return pages, err
	}, func(pages []*controlpb.ListMessagesResponse) {
		c.loaded = true
		last := len(pages) - 1
		c.messages, c.before, c.after = pages[0].GetMessages(), pages[0].GetMore(), false
		if last > 0 {
			c.messages, c.after = append(c.messages, pages[last].GetMessages()...), pages[last].GetMore()
		}
		c.newFrom = messageKey(first)
		// Not what the page ends with: the list of chats may be older than it.
		if read := x.GetRead(); len(read) > 0 {
			c.marked = messageKey(read)
		}
		c.arrange()
		if c.Rows.Index(c.newFrom) >= 0 {
			c.Below.set(unread)
			c.Places.emit(Place{Key: c.newFrom, At: AtTop})
		} else {
			c.Places.emit(Place{})
		}
		c.takeEarly(c.added)
	})
}

// list has pages read; done is called unless another chat is shown meanwhile, or the
// window was replaced.
func (c *Conversation) list(read func(context.Context, Core) ([]*controlpb.ListMessagesResponse, error), done func([]*controlpb.ListMessagesResponse)) {
	opening := c.opening
	var pages []*controlpb.ListMessagesResponse
	c.session.call(func(ctx context.Context, core Core) (err error) {
		pages, err = read(ctx, core)
		return err
	}, func(err error) {
		if opening != c.opening {
			return
		}
		c.answered(err)
		if err == nil {
			done(pages)
		} else {
			c.reading = [2]bool{}
		}
	})
}

// listPages reads pages, one after the other.
func listPages(ctx context.Context, core Core, asked ...*controlpb.ListMessagesRequest) ([]*controlpb.ListMessagesResponse, error) {
	pages := make([]*controlpb.ListMessagesResponse, 0, len(asked))
	for _, req := range asked {
		page, err := core.ListMessages(ctx, req)
		if err != nil {
			return nil, err
		}
		pages = append(pages, page)
	}
	return pages, nil
}

// readPage reads one page beside the window.
func (c *Conversation) readPage(asked *controlpb.ListMessagesRequest, done func(*controlpb.ListMessagesResponse)) {
	asked.Chat, asked.Limit = c.chat, uint32(c.page()) //nolint:gosec // a few dozen
	c.list(func(ctx context.Context, core Core) ([]*controlpb.ListMessagesResponse, error) {
		return listPages(ctx, core, asked)
	}, func(pages []*controlpb.ListMessagesResponse) { done(pages[0]) })
}

// keepEarly keeps what came while it is read whether the window reaches the end.
func (c *Conversation) keepEarly(m *controlpb.Message) {
	if len(c.early) < maxRead {
		c.early = append(c.early, m)
	}
}

// takeEarly takes what came while a page was read that may be the last, and is in it
// or came too late for that.
func (c *Conversation) takeEarly(take func(*controlpb.Message)) {
	early := c.early
	c.early = nil
	for _, m := range early {
		if c.index(m.GetId()) < 0 {
			take(m)
		}
	}
	if len(early) >= maxRead {
		c.reread()
	}
}

// answered shows why the chat cannot be read. Without a core it is read once there
// is one.
func (c *Conversation) answered(err error) {
	problem := ""
	if err != nil && status.Code(err) != codes.Unavailable && status.Code(err) != codes.Canceled {
		problem = c.session.Sentence(err)
	}
	if problem != c.Problem.Get() {
		c.Problem.set(problem)
	}
}

// around replaces the window by one around a message, and shows that.
func (c *Conversation) around(id []byte) {
	c.replacing()
	opening, half := c.opening, uint32(c.page()/2) //nolint:gosec // a few dozen
	var above, below *controlpb.ListMessagesResponse
	c.session.call(func(ctx context.Context, core Core) (err error) {
		above, err = core.ListMessages(ctx, &controlpb.ListMessagesRequest{Chat: c.chat, Before: id, Inclusive: true, Limit: half})
		if err != nil {
			return err
		}
		below, err = core.ListMessages(ctx, &controlpb.ListMessagesRequest{Chat: c.chat, After: id, Limit: half})
		return err
	}, func(err error) {
		if opening != c.opening {
			return
		}
		c.reading[1] = false
		if status.Code(err) == codes.NotFound && !c.loaded {
			c.target = nil
			c.read()
			return
		}
		if status.Code(err) == codes.NotFound {
			c.session.Failures.emit(c.session.Texts().T("That message is not here any more."))
			return
		}
		c.answered(err)
		if err != nil {
			return
		}
		c.target, c.loaded = nil, true
		c.messages = append(above.GetMessages(), below.GetMessages()...)
		c.before, c.after = above.GetMore(), below.GetMore()
		c.end = false
		c.arrange()
		c.Places.emit(Place{Key: messageKey(id), At: AtMiddle, Flash: true})
		c.takeEarly(c.put)
	})
}

// replacing notes that the window is being replaced: answers for the one before are
// not wanted any more.
func (c *Conversation) replacing() {
	c.opening++
	c.reading, c.rereads, c.early = [2]bool{false, true}, false, nil
}

// Jump shows a message of this chat.
func (c *Conversation) Jump(id []byte) {
	if c.Rows.Index(messageKey(id)) >= 0 {
		c.Places.emit(Place{Key: messageKey(id), At: AtMiddle, Flash: true})
		return
	}
	c.around(id)
}

// JumpToEnd shows the end of the chat.
func (c *Conversation) JumpToEnd() {
	if !c.after {
		c.Places.emit(Place{})
		return
	}
	c.replacing()
	c.readPage(&controlpb.ListMessagesRequest{}, func(resp *controlpb.ListMessagesResponse) {
		c.reading[1] = false
		c.messages, c.before, c.after = resp.GetMessages(), resp.GetMore(), false
		c.arrange()
		c.Places.emit(Place{})
		c.takeEarly(c.put)
	})
}

// ReadAbove reads a page above the rows, if there is one.
func (c *Conversation) ReadAbove() {
	if !c.before || c.reading[0] || len(c.messages) == 0 {
		return
	}
	c.reading[0] = true
	c.readPage(&controlpb.ListMessagesRequest{Before: c.messages[0].GetId()}, func(resp *controlpb.ListMessagesResponse) {
		c.reading[0] = false
		c.messages = append(c.unknown(resp.GetMessages()), c.messages...)
		c.before = resp.GetMore()
		c.dropBelow()
		c.arrange()
	})
}

// ReadBelow reads a page below the rows, if there is one.
func (c *Conversation) ReadBelow() {
	if !c.after || c.reading[1] || len(c.messages) == 0 {
		return
	}
	c.reading[1] = true
	last := c.messages[len(c.messages)-1].GetId()
	c.readPage(&controlpb.ListMessagesRequest{After: last}, func(resp *controlpb.ListMessagesResponse) {
		c.reading[1] = false
		c.messages = append(c.messages, c.unknown(resp.GetMessages())...)
		c.after = resp.GetMore()
		c.dropAbove(0)
		c.arrange()
		c.takeEarly(c.put)
	})
}

// unknown gives those of a page that are not in the window.
func (c *Conversation) unknown(page []*controlpb.Message) []*controlpb.Message {
	return slices.DeleteFunc(page, func(m *controlpb.Message) bool { return c.index(m.GetId()) >= 0 })
}

// dropAbove keeps the window small after something came at its end, and makes room
// for more.
func (c *Conversation) dropAbove(room int) {
	if len(c.messages) > c.most() {
		over := len(c.messages) - c.most() + room
		c.messages, c.before = slices.Clone(c.messages[over:]), true
	}
}

// dropBelow keeps it small after something came at its beginning.
func (c *Conversation) dropBelow() {
	if most := c.most(); len(c.messages) > most {
		c.messages, c.after = c.messages[:most:most], true
	}
}

func (c *Conversation) index(id []byte) int {
	for i := len(c.messages) - 1; i >= 0; i-- {
		if bytes.Equal(c.messages[i].GetId(), id) {
			return i
		}
	}
	return -1
}

// reread reads the window again and keeps its place.
func (c *Conversation) reread() {
	if c.rereads {
		return
	}
	c.rereads = true
	page := c.page()
	req := &controlpb.ListMessagesRequest{Chat: c.chat, Limit: uint32(page)} //nolint:gosec // at most maxRead, like the others
	switch {
	case len(c.messages) == 0:
	case !c.after && c.end: // what came meanwhile is to be seen
		req.Limit = uint32(max(page, len(c.messages)))
	default:
		req.After, req.Inclusive, req.Limit = c.messages[0].GetId(), true, uint32(min(maxRead, max(len(c.messages)+page, 2*page)))
	}
	opening := c.opening
	c.session.call(func(ctx context.Context, core Core) error {
		resp, err := core.ListMessages(ctx, req)
		if status.Code(err) == codes.NotFound && req.After != nil { // the first of the rows is gone
			req.After, req.Inclusive, req.Limit = nil, false, uint32(page) //nolint:gosec // a few dozen
			resp, err = core.ListMessages(ctx, req)
		}
		c.session.cfg.Loop.Post(func() {
			if opening != c.opening {
				return
			}
			c.rereads = false
			c.answered(err)
			if err != nil {
				return
			}
			c.messages = resp.GetMessages()
			if req.After == nil {
				c.before, c.after = resp.GetMore(), false
			} else {
				c.after = resp.GetMore()
			}
			c.dropBelow()
			c.arrange()
			c.readUp()
		})
		return nil
	}, func(err error) {
		if err != nil && opening == c.opening {
			c.rereads = false
		}
	})
}

// handle takes events of the core.
func (c *Conversation) handle(batch []*controlpb.Event) {
	c.gathering = true
	defer func() {
		c.gathering = false
		if c.gathered {
			c.gathered = false
			c.changed()
		}
	}()
	c.session.outbox.handle(batch)
	if c.chat == "" {
		return
	}
	for _, e := range batch {
		switch e := e.GetEvent().(type) {
		case *controlpb.Event_MessageAdded:
			if e.MessageAdded.GetChat() == c.chat {
				c.added(e.MessageAdded)
			}
		case *controlpb.Event_MessageChanged:
			if i := c.index(e.MessageChanged.GetId()); i >= 0 {
				c.messages[i] = e.MessageChanged
				c.changed()
			}
		case *controlpb.Event_MessageRemoved:
			if i := c.index(e.MessageRemoved.GetId()); i >= 0 {
				c.messages = slices.Delete(slices.Clone(c.messages), i, i+1)
				c.changed()
			}
		case *controlpb.Event_Blob:
			if i := c.index(e.Blob.GetBlob().GetMessage()); i >= 0 {
				c.blobs[string(e.Blob.GetBlob().GetId())] = e.Blob
				c.changed()
			}
		case *controlpb.Event_PluginEvent:
			c.pluginEvent(e.PluginEvent)
		case *controlpb.Event_ChatRemoved:
			if e.ChatRemoved == c.chat {
				c.Open("", nil)
				return
			}
		}
	}
}

// added takes a new message.
func (c *Conversation) added(m *controlpb.Message) {
	c.forgetTypist(m.GetAuthor())
	if !c.loaded {
		c.keepEarly(m)
		return
	}
	if c.index(m.GetId()) >= 0 {
		return
	}
	seen := c.front && c.end && !c.after
	if !m.GetOwn() {
		if !seen && (c.newFrom == "" || c.allRead()) {
			c.newFrom = messageKey(m.GetId())
		}
		if !c.end || c.after {
			c.Below.set(c.Below.Get() + 1)
		}
	}
	c.put(m)
}

// put puts a new message into the window, when that reaches the end of the chat.
func (c *Conversation) put(m *controlpb.Message) {
	if c.reading[1] {
		c.keepEarly(m)
	}
	if c.after {
		return
	}
	if last := len(c.messages) - 1; last >= 0 && m.GetSentAt() < c.messages[last].GetSentAt() {
		c.reread() // where it belongs only the core knows
		return
	}
	if len(c.messages) >= c.most() && !c.end {
		c.after = true // who reads further up is left in peace
		c.changed()
		return
	}
	c.messages = append(c.messages, m)
	c.dropAbove(c.page()) // seldom, since all that stays moves up
	c.changed()
}

// allRead says whether what is in the window was read, so that the "New" line may
// move.
func (c *Conversation) allRead() bool {
	for i := len(c.messages) - 1; i >= 0; i-- {
		if !c.messages[i].GetOwn() {
			return messageKey(c.messages[i].GetId()) == c.marked
		}
	}
	return true
}

// changed has the rows made anew, soon.
func (c *Conversation) changed() {
	if c.gathering {
		c.gathered = true
		return
	}
	if c.arranging {
		return
	}
	if wait := frame/2 - c.session.cfg.Now().Sub(c.arranged); wait > 0 && wait <= frame/2 {
		c.arranging = true
		c.session.cfg.After(wait, func() {
			if c.arranging {
				c.arrange()
			}
		})
		return
	}
	c.arrange()
}

// arrange makes the rows.
func (c *Conversation) arrange() {
	c.arranging, c.arranged = false, c.session.cfg.Now()
	if !c.loaded {
		return
	}
	all := c.messages
	if !c.after {
		all = slices.Concat(all, c.session.outbox.unsent(c.chat, func(id []byte) bool { return c.index(id) >= 0 }))
	}
	was := make(map[string]*MessageRow, c.Rows.Len())
	for _, r := range c.Rows.Rows() {
		was[r.Key] = r
	}
	x := c.session.Chats.Get(c.chat)
	d := &drawing{now: c.arranged, newFrom: c.newFrom, find: c.find.words, direct: ofTwo(x)}
	rows := make([]*MessageRow, 0, len(all))
	for i, m := range all {
		var before, after *controlpb.Message
		if i > 0 {
			before = all[i-1]
		}
		if i+1 < len(all) {
			after = all[i+1]
		}
		r := c.row(d, m, before, after, was[messageKey(m.GetId())])
		if old := was[r.Key]; old != nil && old.Message == m && old.Same(r) {
			r = old
		}
		rows = append(rows, r)
	}
	kept := make(map[string]string, len(rows))
	blobs := make(map[string]*controlpb.Blob)
	for _, r := range rows {
		kept[r.Key] = c.contentOf[r.Key]
		for _, b := range r.Message.GetBlobs() {
			if id := string(b.GetBlob().GetId()); c.blobs[id] != nil {
				blobs[id] = c.blobs[id]
			}
		}
	}
	c.contentOf, c.blobs = kept, blobs
	c.Rows.set(rows)
	if e := (Edges{c.before, c.after}); e != c.Edges.Get() {
		c.Edges.set(e)
	}
	if !c.watching {
		c.watching = true
		c.watchDay()
	}
	c.readUp()
}

// watchDay names the days anew when another has begun: a timer for midnight would
// be late where the computer sleeps.
func (c *Conversation) watchDay() {
	c.session.cfg.After(dayCheck, func() {
		if c.session.ctx.Err() != nil {
			return // the window is closed
		}
		if dayOf(c.session.cfg.Now()) != dayOf(c.arranged) {
			c.changed()
		}
		c.watchDay()
	})
}

// Relabel writes all rows anew, after the language changed.
func (c *Conversation) Relabel() {
	clear(c.contentOf)
	c.headline()
	c.arrange()
	c.sayTyping()
	c.Composer.look()
}

// Row gives a row by its key, or nil.
func (c *Conversation) Row(key string) *MessageRow {
	if i := c.Rows.Index(key); i >= 0 {
		return c.Rows.At(i)
	}
	return nil
}

// Unfold shows a long text in full, or folds it again.
func (c *Conversation) Unfold(key string, full bool) {
	if c.Row(key) != nil && c.unfolded[key] != full {
		c.unfolded[key] = full
		c.arrange()
	}
}

// Unfolded says whether a long text is shown in full.
func (c *Conversation) Unfolded(key string) bool { return c.unfolded[key] }

// SetFront says whether the window is in front of others, so that what it shows is
// seen.
func (c *Conversation) SetFront(front bool) {
	c.front = front
	c.readUp()
}

// SetEnd says whether the end of the rows is in sight.
func (c *Conversation) SetEnd(end bool) {
	c.end = end
	if end && !c.after && c.Below.Get() != 0 {
		c.Below.set(0)
	}
	c.readUp()
}

// readUp tells the core that all is read, when it was seen.
func (c *Conversation) readUp() {
	if !c.loaded || !c.front || !c.end || c.after || c.session.core == nil {
		return
	}
	last := ""
	var id []byte
	for i := len(c.messages) - 1; i >= 0; i-- {
		if !c.messages[i].GetOwn() {
			id = c.messages[i].GetId()
			last = messageKey(id)
			break
		}
	}
	if last == "" || last == c.marked {
		return
	}
	was := c.marked
	c.marked = last
	opening := c.opening
	c.session.call(func(ctx context.Context, core Core) error {
		_, err := core.MarkRead(ctx, &controlpb.MarkReadRequest{Chat: c.chat, Message: id})
		return err
	}, func(err error) {
		if err != nil && opening == c.opening && c.marked == last {
			c.marked = was // told again with the next message, or connection
		}
	})
}

// headline makes the header.
func (c *Conversation) headline() {
	chat := c.session.Chats.Get(c.chat)
	if chat == nil {
		c.Header.set(Header{Chat: c.chat})
		return
	}
	row := c.session.Chats.row(chat) // invitations are not among the rows
	t := c.session.Texts()
	h := Header{Chat: c.chat, Title: row.Title, Contact: row.Contact, Muted: row.Chat.GetMuted(), Pinned: row.Chat.GetPinned()}
	h.Presence, h.Picked, h.Avatar, h.Group = row.Presence(), row.Picked(), row.Avatar(), row.Group
	h.LockText = t.T("End-to-end encrypted")
	if row.Open {
		h.Lock, h.LockText = NotEncrypted, t.T("Not encrypted")
	}
	if !ofTwo(row.Chat) {
		h.Line = c.session.groupLine(row.Chat)
		switch {
		case row.Group == nil:
		case row.Group.Role == RoleInvited:
			h.Invited, h.Away = true, t.F("%s invites you to this group.", c.session.Contacts.Name(row.Group.By))
		case row.Group.Role == RoleNone && row.Group.Withdrawn:
			h.Away = t.T("The invitation to this group was withdrawn.")
		case row.Group.Role == RoleNone:
			h.Away = t.T("You are not in this group any more.")
		}
		c.Header.set(h)
		return
	}
	for _, m := range row.Chat.GetMembers() {
		if m != c.session.User() {
			h.User = m
		}
	}
	x := row.Contact
	switch path := PathText(t, x.GetPath()); {
	case x.GetLinked() && path != "":
		// Translators: the other one is online; and over what the link goes: "direct".
		h.Line = t.F("Online · %s", path)
	case x.GetOnline() || x.GetLinked():
		h.Line = t.T("Online")
	default:
		h.Line = t.T("Offline")
	}
	switch {
	case x.GetKeyChanged():
		h.Lock, h.LockText = KeyChanged, t.T("Keys changed")
		h.Warning = t.F("The keys of %s have changed. Nothing is sent until you accept the new ones.", row.Title)
	case x.GetVerified():
		h.Lock, h.LockText = Verified, t.T("End-to-end encrypted, keys compared")
	}
	switch x.GetState() {
	case controlpb.ContactState_CONTACT_STATE_LEFT:
		h.Line = t.T("Not a contact any more")
	case controlpb.ContactState_CONTACT_STATE_OUTGOING:
		h.Line = t.T("Has not answered your request yet")
	case controlpb.ContactState_CONTACT_STATE_BLOCKED:
		h.Line = t.T("Blocked")
	case controlpb.ContactState_CONTACT_STATE_CONTACT:
		if h.Warning == "" {
			h.Warning = c.session.tell(x.GetTroubleReason(), x.GetTrouble())
		}
	}
	c.Header.set(h)
}

// pluginEvent shows who is typing.
func (c *Conversation) pluginEvent(e *controlpb.PluginEvent) {
	if e.GetName() != "typing" || e.GetChat() != c.chat || e.GetUser() == c.session.User() || e.GetUser() == "" {
		return
	}
	data := struct {
		Typing bool `json:"typing"`
	}{Typing: true}
	if len(e.GetData()) > 0 && json.Unmarshal(e.GetData(), &data) != nil {
		return
	}
	user := e.GetUser()
	if !data.Typing {
		c.forgetTypist(user)
		return
	}
	if stop := c.typists[user]; stop != nil {
		stop()
	}
	c.typists[user] = c.session.cfg.After(typingFades, func() { c.forgetTypist(user) })
	c.sayTyping()
}

func (c *Conversation) forgetTypist(user string) {
	if stop := c.typists[user]; stop != nil {
		stop()
		delete(c.typists, user)
		c.sayTyping()
	}
}

func (c *Conversation) sayTyping() {
	t := c.session.Texts()
	names := make([]string, 0, len(c.typists))
	for user := range c.typists {
		names = append(names, c.session.Contacts.Name(user))
	}
	slices.Sort(names)
	line := ""
	switch len(names) {
	case 0:
	case 1:
		line = t.F("%s is typing…", names[0])
	case 2:
		line = t.F("%[1]s and %[2]s are typing…", names[0], names[1])
	default:
		line = t.N("%d person is typing…", "%d people are typing…", len(names))
	}
	if line != c.Typing.Get() {
		c.Typing.set(line)
	}
}

// ChatFind is a search in the chat.
type ChatFind struct {
	Open  bool
	Query string
	// Busy: an answer is awaited. Count is how many messages were found, At which of
	// them, from 1 for the newest, is shown. More: there are more than Count.
	Busy      bool
	Count, At int
	More      bool
}

type find struct {
	words []string
	found [][]byte
	turn  int // counts queries
	stop  func()
}

// findAfter is how long the query must stay the same before it is searched for.
const findAfter = 250 * time.Millisecond

// OpenFind opens or closes the search.
func (c *Conversation) OpenFind(open bool) {
	if c.find.stop != nil {
		c.find.stop()
	}
	c.find = find{turn: c.find.turn + 1}
	c.Finding.set(ChatFind{Open: open})
	c.arrange()
}

// Find searches for words.
func (c *Conversation) Find(query string) {
	query = strings.TrimSpace(firstRunes(query, 200))
	f := c.Finding.Get()
	if !f.Open || query == f.Query {
		return
	}
	if c.find.stop != nil {
		c.find.stop()
	}
	c.find.turn++
	c.find.found = nil
	c.Finding.set(ChatFind{Open: true, Query: query, Busy: query != ""})
	if query == "" {
		c.find.words = nil
		c.arrange()
		return
	}
	c.find.stop = c.session.cfg.After(findAfter, func() { c.search(query) })
}

func (c *Conversation) search(query string) {
	turn, chat := c.find.turn, c.chat
	var resp *controlpb.SearchResponse
	c.session.call(func(ctx context.Context, core Core) (err error) {
		resp, err = core.Search(ctx, &controlpb.SearchRequest{Query: query, Chat: chat, Limit: 200})
		return err
	}, func(err error) {
		if turn != c.find.turn || chat != c.chat {
			return
		}
		if err != nil {
			c.session.Failures.emit(c.session.Sentence(err))
		}
		c.find.words = strings.Fields(strings.ToLower(query))
		c.find.found = nil
		for _, m := range resp.GetMessages() {
			c.find.found = append(c.find.found, m.GetId())
		}
		c.Finding.set(ChatFind{Open: true, Query: query, Count: len(c.find.found), More: resp.GetMore(), At: min(1, len(c.find.found))})
		c.arrange()
		c.showFound()
	})
}

// FindNext goes to the next older one that was found, or with back to the newer.
func (c *Conversation) FindNext(back bool) {
	f := c.Finding.Get()
	if f.Count == 0 {
		return
	}
	step := 1
	if back {
		step = -1
	}
	f.At = (f.At-1+step+f.Count)%f.Count + 1
	c.Finding.set(f)
	c.showFound()
}

func (c *Conversation) showFound() {
	if f := c.Finding.Get(); f.At > 0 {
		c.Jump(c.find.found[f.At-1])
	}
}

// Mute and Pin set what is this account's own of the chat.
func (c *Conversation) Mute(muted bool) { c.session.Chats.Mute(c.chat, muted) }

// Pin keeps the chat on top, or not.
func (c *Conversation) Pin(pinned bool) { c.session.Chats.Pin(c.chat, pinned) }

// lastOwnText gives the newest text of one's own in the window, or nil; nil too while
// a newer one is not sent: whoever means that one is not to change another.
func (c *Conversation) lastOwnText() *MessageRow {
	for i := c.Rows.Len() - 1; i >= 0; i-- {
		switch r := c.Rows.At(i); {
		case r.Unsent:
			return nil
		case editable(r):
			return r
		}
	}
	return nil
}

func editable(r *MessageRow) bool {
	m := r.Message
	return m.GetOwn() && !r.Unsent && !m.GetDeleted() && cmp.Or(m.GetPlugin(), textPlugin) == textPlugin && m.GetKind() == textKind
}
