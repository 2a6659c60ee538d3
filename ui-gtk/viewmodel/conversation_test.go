package viewmodel

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// openChat opens a chat with bob that has these messages.
func openChat(t *testing.T, core *fakeCore, messages []*controlpb.Message, unread int, options ...func(*Config)) (*window, *Conversation, *[]Place) {
	t.Helper()
	core.contacts = []*controlpb.Contact{{User: "bob", Name: "Bob", Chat: "b", State: controlpb.ContactState_CONTACT_STATE_CONTACT}}
	chat := &controlpb.Chat{Id: "b", Kind: "direct", Members: []string{"alice", "bob"}, Unread: uint32(unread)}
	if unread > 0 {
		chat.FirstUnread = messages[len(messages)-unread].GetId()
	}
	if read := len(messages) - unread; read > 0 {
		chat.Read = messages[read-1].GetId()
	}
	core.chats = append(core.chats, chat)
	core.messages = messages
	w := openWindow(t, core, options...)
	places := &[]Place{}
	c := w.session.Conversation
	c.SetHeight((60 - besideFit) * leastHeight) // a page of 60
	c.Places.Observe(func(p Place) { *places = append(*places, p) })
	c.Open("b", nil)
	w.until("the chat is read", func() bool { return c.loaded })
	return w, c, places
}

func bodies(c *Conversation) []string {
	var list []string
	for _, r := range c.Rows.Rows() {
		list = append(list, r.Message.GetBody())
	}
	return list
}

func numbers(from, to int) []string {
	var list []string
	for n := from; n < to; n++ {
		list = append(list, fmt.Sprint(n))
	}
	return list
}

// TestChatOpens: with a page, whatever its length, and where reading stopped.
func TestChatOpens(t *testing.T) {
	for _, x := range []struct {
		all, unread int
		from, to    int
		place       Place
		edges       Edges
		below       int
	}{
		{10, 0, 0, 10, Place{}, Edges{}, 0},
		{5000, 0, 4940, 5000, Place{}, Edges{Before: true}, 0},
		{5000, 5, 4940, 5000, Place{Key: messageKey(fakeID(4995)), At: AtTop}, Edges{Before: true}, 5},
		{5000, 100, 4896, 4960, Place{Key: messageKey(fakeID(4900)), At: AtTop}, Edges{true, true}, 100},
		{5000, 3000, 1996, 2060, Place{Key: messageKey(fakeID(2000)), At: AtTop}, Edges{true, true}, 3000},
	} {
		t.Run(fmt.Sprint(x.all, "/", x.unread), func(t *testing.T) {
			core := newFakeCore()
			_, c, places := openChat(t, core, talk("b", 0, x.all), x.unread)
			if got := bodies(c); !slices.Equal(got, numbers(x.from, x.to)) {
				t.Errorf("shows %v", got)
			}
			if !slices.Equal(*places, []Place{x.place}) {
				t.Errorf("at %v", *places)
			}
			if c.Edges.Get() != x.edges || c.Below.Get() != x.below {
				t.Errorf("edges %v, below %d", c.Edges.Get(), c.Below.Get())
			}
			for _, r := range c.Rows.Rows() {
				if r.New != (r.Key == x.place.Key && x.unread > 0) {
					t.Errorf("the New line is above %s: %v", r.Message.GetBody(), r.New)
				}
			}
		})
	}
}

// TestWindowSlides: pages come on both sides, and the window stays small.
func TestWindowSlides(t *testing.T) {
	core := newFakeCore()
	w, c, _ := openChat(t, core, talk("b", 0, 1000), 0)
	largest := 0
	c.Rows.Observe(func([]Change[*MessageRow]) { largest = max(largest, c.Rows.Len()) })
	for first := 940; first > 0; {
		c.ReadAbove()
		c.ReadAbove() // while it is read: nothing
		was := first
		w.until("a page above", func() bool { return bodies(c)[0] == fmt.Sprint(max(0, was-60)) })
		first = max(0, was-60)
	}
	if got := bodies(c); !slices.Equal(got, numbers(0, 360)) || c.Edges.Get() != (Edges{Before: false, After: true}) {
		t.Fatalf("at the top: %s to %s, %v", got[0], got[len(got)-1], c.Edges.Get())
	}
	pages := core.pagesRead()
	c.ReadAbove()
	if core.pagesRead() != pages {
		t.Error("it reads above the first")
	}
	for last := 360; last < 1000; {
		c.ReadBelow()
		want := min(1000, last+60)
		w.until("a page below", func() bool { b := bodies(c); return b[len(b)-1] == fmt.Sprint(want-1) })
		last = want
	}
	if got := bodies(c); !slices.Equal(got, numbers(640, 1000)) || c.Edges.Get() != (Edges{Before: true}) {
		t.Errorf("at the end: %s to %s, %v", got[0], got[len(got)-1], c.Edges.Get())
	}
	if largest > 360 {
		t.Errorf("%d rows at once", largest)
	}
}

// TestMessagesWhileAPageIsRead: they are shown once, whether the page has them or not.
func TestMessagesWhileAPageIsRead(t *testing.T) {
	for _, x := range []struct {
		name   string
		unread int
		read   func(*Conversation)
	}{
		{"opening", 0, func(c *Conversation) {
			c.Open("", nil)
			c.Open("b", nil)
		}},
		{"below", 100, (*Conversation).ReadBelow},
		{"to the end", 100, (*Conversation).JumpToEnd},
		{"a jump", 0, func(c *Conversation) { c.around(fakeID(98)) }},
	} {
		t.Run(x.name, func(t *testing.T) {
			core := newFakeCore()
			w, c, _ := openChat(t, core, talk("b", 0, 100), x.unread)
			if x.unread > 0 && !c.Edges.Get().After {
				t.Fatal("the end is there already")
			}
			asked, answer := make(chan struct{}, 10), make(chan struct{})
			core.tell(func() {
				core.answering = func() {
					asked <- struct{}{}
					<-answer
				}
			})
			x.read(c)
			<-asked
			core.add(said("b", "bob", 100, "100"), said("b", "bob", 101, "101"))
			w.until("they came early", func() bool { return len(c.early) == 2 })
			core.tell(func() { core.answering = nil })
			close(answer)
			w.until("they are shown", func() bool { b := bodies(c); return len(b) > 0 && b[len(b)-1] == "101" })
			if got := bodies(c); len(got) < 3 || !slices.Equal(got[len(got)-3:], numbers(99, 102)) || c.Edges.Get().After {
				t.Errorf("shows %v, %v", got, c.Edges.Get())
			}
		})
	}
}

// TestJumps: to a message far away, one in sight, one that is gone, and to the end.
func TestJumps(t *testing.T) {
	core := newFakeCore()
	w, c, places := openChat(t, core, talk("b", 0, 1000), 0)
	c.Jump(fakeID(200))
	w.until("it is there", func() bool { return len(*places) == 2 })
	if p := (*places)[1]; p != (Place{Key: messageKey(fakeID(200)), At: AtMiddle, Flash: true}) {
		t.Errorf("at %v", p)
	}
	if got := bodies(c); !slices.Equal(got, numbers(171, 231)) || c.Edges.Get() != (Edges{true, true}) {
		t.Errorf("shows %v, %v", got, c.Edges.Get())
	}
	pages := core.pagesRead()
	c.Jump(fakeID(210))
	if core.pagesRead() != pages || len(*places) != 3 {
		t.Error("one in sight is read again")
	}
	var said []string
	w.session.Failures.Observe(func(s string) { said = append(said, s) })
	c.Jump(fakeID(5000))
	w.until("it is said", func() bool { return slices.Equal(said, []string{"That message is not here any more."}) })
	if c.Rows.Index(messageKey(fakeID(200))) < 0 {
		t.Error("what was shown is gone")
	}
	c.JumpToEnd()
	w.until("the end is there", func() bool { b := bodies(c); return b[len(b)-1] == "999" })
	if (*places)[len(*places)-1] != (Place{}) {
		t.Errorf("at %v", *places)
	}
}

// TestNewMessages: at the end they are shown and read, else they are counted.
func TestNewMessages(t *testing.T) {
	core := newFakeCore()
	w, c, _ := openChat(t, core, talk("b", 0, 100), 0)
	c.SetFront(true)
	c.SetEnd(true)
	core.add(said("b", "bob", 100, "100"))
	w.until("it is shown and read", func() bool { return len(taken[*controlpb.MarkReadRequest](core)) == 1 })
	if r := taken[*controlpb.MarkReadRequest](core)[0]; string(r.GetMessage()) != string(fakeID(100)) || r.GetChat() != "b" {
		t.Errorf("read up to %s", r.GetMessage())
	}
	if r := c.Rows.At(c.Rows.Len() - 1); r.New || r.Message.GetBody() != "100" {
		t.Error("what is seen as it comes is called new")
	}

	c.SetFront(false)
	core.add(said("b", "bob", 101, "101"), said("b", "bob", 102, "102"))
	w.until("it is shown", func() bool { return c.Rows.Len() == 63 })
	if r := c.Row(messageKey(fakeID(101))); !r.New || c.Row(messageKey(fakeID(102))).New {
		t.Error("the New line is not where it belongs")
	}
	if c.Below.Get() != 0 {
		t.Error("what is in sight is counted")
	}
	if c.marked != messageKey(fakeID(100)) {
		t.Error("it is read behind other windows")
	}
	c.SetFront(true)
	w.until("it is read once the window is in front", func() bool { return len(taken[*controlpb.MarkReadRequest](core)) == 2 })

	c.SetEnd(false)
	core.add(said("b", "bob", 103, "103"), said("b", "alice", 104, "104"), said("b", "bob", 105, "105"), said("x", "eve", 1, "elsewhere"))
	w.until("they are counted", func() bool { return c.Below.Get() == 2 })
	if n := len(taken[*controlpb.MarkReadRequest](core)); n != 2 {
		t.Errorf("%d times read without being seen", n)
	}
	c.SetEnd(true)
	if c.Below.Get() != 0 {
		t.Error("they are counted although the end is seen")
	}
	w.until("they are read", func() bool { return len(taken[*controlpb.MarkReadRequest](core)) == 3 })

	c.Jump(fakeID(10))
	w.until("far up", func() bool { return c.Edges.Get().After })
	c.SetEnd(true) // of the rows, not of the chat
	rows := c.Rows.Len()
	core.add(said("b", "bob", 106, "106"))
	w.until("it is counted", func() bool { return c.Below.Get() == 1 })
	if c.Rows.Len() != rows || len(taken[*controlpb.MarkReadRequest](core)) != 3 {
		t.Error("far up, what comes at the end is shown or read")
	}
}

// TestReadThoughTheListIsOlder: a message that the page has, and the list of chats does
// not tell of yet, is read too.
func TestReadThoughTheListIsOlder(t *testing.T) {
	core := newFakeCore()
	messages := talk("b", 0, 3)
	w, c, _ := openChat(t, core, messages[:2], 0, func(*Config) { core.messages = messages })
	if c.Rows.Len() != 3 {
		t.Fatalf("%d messages are shown", c.Rows.Len())
	}
	c.SetFront(true)
	c.SetEnd(true)
	w.until("it is read", func() bool { return len(taken[*controlpb.MarkReadRequest](core)) == 1 })
	if r := taken[*controlpb.MarkReadRequest](core)[0]; string(r.GetMessage()) != string(messages[2].GetId()) {
		t.Errorf("read up to %s", r.GetMessage())
	}
}

// TestUpReadersAreLeftInPeace: a burst does not push away what somebody reads.
func TestUpReadersAreLeftInPeace(t *testing.T) {
	core := newFakeCore()
	w, c, _ := openChat(t, core, talk("b", 0, 100), 0)
	c.ReadAbove()
	w.until("all is there", func() bool { return c.Rows.Len() == 100 })
	core.add(talk("b", 100, 500)...)
	w.until("all are counted", func() bool { return c.Below.Get() == 400 })
	w.until("the window is full", func() bool { return c.Edges.Get().After })
	if got := bodies(c); !slices.Equal(got, numbers(0, 360)) {
		t.Errorf("shows %s to %s", got[0], got[len(got)-1])
	}
}

// TestBurstIsDrawnInFewSteps: many messages a second are gathered.
func TestBurstIsDrawnInFewSteps(t *testing.T) {
	core := newFakeCore()
	time0 := &clock{now: time.Unix(1_700_000_000, 0)}
	w, c, _ := openChat(t, core, talk("b", 0, 100), 0, time0.use)
	c.SetEnd(true)
	drawn := 0
	c.Rows.Observe(func([]Change[*MessageRow]) { drawn++ })
	drawn = 0
	for n := 100; n < 300; n++ {
		core.add(said("b", "bob", n, fmt.Sprint(n)))
	}
	w.until("all came", func() bool { return len(c.messages) == 260 })
	if drawn > 1 {
		t.Errorf("drawn %d times within a frame", drawn)
	}
	time0.pass(frame)
	if c.Rows.Len() != 260 || drawn > 2 {
		t.Errorf("%d rows, drawn %d times", c.Rows.Len(), drawn)
	}
}

// TestBatchIsDrawnOnce: however many messages come with it.
func TestBatchIsDrawnOnce(t *testing.T) {
	core := newFakeCore()
	time0 := &clock{now: time.Unix(1_700_000_000, 0)}
	_, c, _ := openChat(t, core, talk("b", 0, 100), 0, time0.use)
	time0.pass(frame)
	drawn := 0
	c.Rows.Observe(func([]Change[*MessageRow]) { drawn++ })
	drawn = 0
	var batch []*controlpb.Event
	for _, m := range talk("b", 100, 110) {
		batch = append(batch, &controlpb.Event{Event: &controlpb.Event_MessageAdded{MessageAdded: m}})
	}
	c.handle(batch)
	if c.Rows.Len() != 70 || drawn != 1 {
		t.Errorf("%d rows, drawn %d times", c.Rows.Len(), drawn)
	}
}

// TestLateMessage: one that belongs further up is put there.
func TestLateMessage(t *testing.T) {
	core := newFakeCore()
	w, c, _ := openChat(t, core, []*controlpb.Message{said("b", "bob", 1, "1"), said("b", "bob", 3, "3")}, 0)
	m := said("b", "bob", 2, "2")
	core.tell(func() { core.messages = slices.Insert(core.messages, 1, m) }, &controlpb.Event{Event: &controlpb.Event_MessageAdded{MessageAdded: m}})
	w.until("it is in its place", func() bool { return slices.Equal(bodies(c), []string{"1", "2", "3"}) })
}

// TestChangesOfMessages: an edit, a deletion, a state, a removal; and nothing of
// other chats.
func TestChangesOfMessages(t *testing.T) {
	core := newFakeCore()
	own := said("b", "alice", 2, "mine")
	w, c, _ := openChat(t, core, []*controlpb.Message{said("b", "bob", 1, "one"), own, said("b", "bob", 3, "three")}, 0)
	change := func(m *controlpb.Message) *controlpb.Event {
		return &controlpb.Event{Event: &controlpb.Event_MessageChanged{MessageChanged: m}}
	}
	content := c.Rows.At(1).Content
	read := said("b", "alice", 2, "mine")
	read.Delivery = controlpb.Delivery_DELIVERY_READ
	core.tell(nil, change(read))
	w.until("it is read", func() bool { return c.Rows.At(1).State == Read })
	if c.Rows.At(1).Content != content {
		t.Error("its text is made anew although it is the same")
	}
	// In a group somebody may be away for long: it has left once anybody has it.
	part := said("b", "alice", 2, "mine")
	part.Delivery = controlpb.Delivery_DELIVERY_QUEUED
	part.Recipients = []*controlpb.RecipientState{
		{User: "bob", Delivery: controlpb.Delivery_DELIVERY_QUEUED}, {User: "carol", Delivery: controlpb.Delivery_DELIVERY_DELIVERED},
	}
	core.tell(nil, change(part))
	w.until("somebody has it", func() bool { return c.Rows.At(1).State == Sent })
	reached := func(state MessageState, partly bool, text string, least controlpb.Delivery, each ...controlpb.Delivery) {
		t.Helper()
		m := said("b", "alice", 2, "mine")
		m.Delivery = least
		for i, d := range each {
			m.Recipients = append(m.Recipients, &controlpb.RecipientState{User: []string{"bob", "carol", "dave"}[i], Delivery: d})
		}
		core.tell(nil, change(m))
		w.until(text, func() bool {
			r := c.Rows.At(1)
			return r.StateText == text && r.State == state && r.Partly == partly && strings.HasSuffix(r.Label, ", "+text)
		})
	}
	const delivered, seen, never = controlpb.Delivery_DELIVERY_DELIVERED, controlpb.Delivery_DELIVERY_READ, controlpb.Delivery_DELIVERY_FAILED
	reached(Delivered, true, "Delivered to 2 of 3", delivered, delivered, seen, never)
	reached(Delivered, false, "Read by 1 of 3", delivered, delivered, seen, delivered)
	reached(Failed, false, "Not delivered", never, never, never)
	reached(Delivered, true, "Delivered to 1 of 2", seen, seen, never)
	edited := said("b", "bob", 1, "uno")
	edited.Edited = true
	gone := said("b", "bob", 3, "")
	gone.Deleted = true
	failed := said("b", "alice", 2, "mine")
	failed.Delivery = controlpb.Delivery_DELIVERY_FAILED
	failed.Recipients = []*controlpb.RecipientState{{User: "bob", Delivery: controlpb.Delivery_DELIVERY_FAILED, Reason: "not wanted"}}
	core.tell(nil, change(edited), change(gone), change(failed), change(said("x", "bob", 9, "elsewhere")))
	w.until("all are changed", func() bool { return c.Rows.At(2).Content.Deleted })
	if r := c.Rows.At(0); !r.Content.Edited || r.Label != "Bob: uno, "+r.Time+", edited" {
		t.Errorf("edited: %q", r.Label)
	}
	if r := c.Rows.At(1); r.State != Failed || r.Problem != "not wanted" || !strings.HasSuffix(r.Label, "Not delivered: not wanted") {
		t.Errorf("failed: %q", r.Label)
	}
	if d, ok := c.Details(c.Rows.At(1).Key); !ok || len(d.Recipients) != 1 || d.Recipients[0] != (Recipient{User: "bob", Name: "Bob", State: "Not delivered", Reason: "not wanted", Failed: true, order: Failed}) {
		t.Errorf("details: %+v", d)
	}
	// A code that is known is said in our words; others' words are shown as theirs.
	blocked := said("b", "alice", 2, "mine")
	blocked.Delivery = controlpb.Delivery_DELIVERY_FAILED
	blocked.Recipients = []*controlpb.RecipientState{{
		User: "bob", Delivery: controlpb.Delivery_DELIVERY_FAILED, Reason: "Not from you.",
		Why: controlpb.ReasonOf(failure.Because("REFUSED_BLOCKED", "user", "bob")),
	}, {
		User: "carol", Delivery: controlpb.Delivery_DELIVERY_FAILED, Reason: "x",
		Why: controlpb.ReasonOf(failure.Because("REFUSED_UNREADABLE", "user", "carol", "why", "a\u202e\nb"+strings.Repeat("c", 500))),
	}}
	core.tell(nil, change(blocked))
	w.until("it says whose words they are", func() bool { return strings.HasPrefix(c.Rows.At(1).Problem, "carol could not read it, and says: “a") })
	d, _ := c.Details(c.Rows.At(1).Key)
	for _, r := range d.Recipients {
		if r.User == "bob" && r.Reason != "Bob takes no messages from you." ||
			r.User == "carol" && (strings.ContainsAny(r.Reason, "\u202e\n") || len(r.Reason) > 500) {
			t.Errorf("%s: %q", r.User, r.Reason)
		}
	}
	core.tell(nil, &controlpb.Event{Event: &controlpb.Event_MessageRemoved{MessageRemoved: &controlpb.MessageRemoved{Chat: "b", Id: fakeID(3)}}})
	w.until("it is removed", func() bool { return c.Rows.Len() == 2 })
}

// TestGroupsAndDays: who wrote when is said once.
func TestGroupsAndDays(t *testing.T) {
	at := func(author string, n int, when string) *controlpb.Message {
		m := said("b", author, n, fmt.Sprint(n))
		x, err := time.ParseInLocation("2006-01-02 15:04:05", when, time.Local)
		if err != nil {
			t.Fatal(err)
		}
		m.SentAt = x.UnixMicro()
		return m
	}
	core := newFakeCore()
	now := &clock{now: time.Date(2024, 3, 15, 12, 0, 0, 0, time.Local)}
	w, c, _ := openChat(t, core, []*controlpb.Message{
		at("bob", 1, "2024-03-14 09:00:00"), at("bob", 2, "2024-03-14 09:00:50"), at("bob", 3, "2024-03-14 09:02:00"),
		at("alice", 4, "2024-03-14 09:02:01"), at("alice", 5, "2024-03-14 23:59:50"), at("alice", 6, "2024-03-15 00:00:10"), at("alice", 7, "2024-03-15 00:00:20"),
	}, 1, now.use)
	look := func() []string {
		var list []string
		for _, r := range c.Rows.Rows() {
			s := r.Day
			if r.New {
				s += "|"
			}
			if r.First {
				s += "<"
			}
			if r.Last {
				s += ">"
			}
			list = append(list, s)
		}
		return list
	}
	if got := look(); !slices.Equal(got, []string{"Yesterday<", ">", "<>", "<>", "<>", "Today<>", "|<>"}) {
		t.Errorf("%q", got)
	}
	now.pass(13 * time.Hour)
	w.until("midnight passes", func() bool { return c.Rows.At(5).Day == "Yesterday" })
	if d := c.Rows.At(0).Day; d != "Thursday, 14 March" {
		t.Errorf("the first day is %q", d)
	}
}

// TestResyncKeepsThePlace: after a gap the same part of the chat is read anew.
func TestResyncKeepsThePlace(t *testing.T) {
	core := newFakeCore()
	w, c, places := openChat(t, core, talk("b", 0, 1000), 0)
	c.Jump(fakeID(500))
	w.until("it is there", func() bool { return len(*places) == 2 })
	removed := 0
	c.Rows.Observe(func(steps []Change[*MessageRow]) {
		for _, s := range steps {
			if s.Kind == Removed {
				removed++
			}
		}
	})
	core.tell(func() {
		core.messages[490] = said("b", "bob", 490, "changed")
		core.messages = append(core.messages, said("b", "bob", 1000, "1000"))
	}, &controlpb.Event{Event: &controlpb.Event_Resync{Resync: &controlpb.Resync{}}})
	w.until("what changed is seen", func() bool { return slices.Contains(bodies(c), "changed") })
	if got := bodies(c); got[0] != "471" || removed > 0 || len(*places) != 2 || !c.Edges.Get().After {
		t.Errorf("from %s, %d removed, places %v, edges %v", got[0], removed, *places, c.Edges.Get())
	}
	// The core ends and starts again; at the end what came meanwhile is seen.
	c.JumpToEnd()
	w.until("the end", func() bool { return !c.Edges.Get().After })
	c.SetEnd(true)
	w.stop()
	w.until("the loss", func() bool { return w.session.Link.Get().State == Lost })
	core.tell(func() { core.messages = append(core.messages, talk("b", 1001, 1005)...) })
	w.serve()
	w.until("what came is seen", func() bool { return slices.Contains(bodies(c), "1004") })
}

// TestOpenWithoutACore: what cannot be read yet is once there is a core.
func TestOpenWithoutACore(t *testing.T) {
	core := newFakeCore()
	core.chats = []*controlpb.Chat{{Id: "b", Kind: "direct", Members: []string{"alice", "bob"}}}
	core.messages = talk("b", 0, 3)
	w := openWindow(t, core)
	w.stop()
	w.until("the loss", func() bool { return w.session.Link.Get().State == Lost })
	c := w.session.Conversation
	c.Open("b", nil)
	w.serve()
	w.until("it is read", func() bool { return c.Rows.Len() == 3 })
}

func TestTyping(t *testing.T) {
	core := newFakeCore()
	now := &clock{now: time.Unix(1_700_000_000, 0)}
	w, c, _ := openChat(t, core, talk("b", 0, 3), 0, now.use)
	typing := func(user, data string) *controlpb.Event {
		return &controlpb.Event{Event: &controlpb.Event_PluginEvent{PluginEvent: &controlpb.PluginEvent{Plugin: "text", Name: "typing", Chat: "b", User: user, Data: []byte(data)}}}
	}
	core.tell(nil, typing("alice", `{"typing":true}`), typing("bob", `{"typing":true}`))
	w.until("it is said", func() bool { return c.Typing.Get() == "Bob is typing…" })
	core.tell(nil, typing("carol", `{"typing":true}`))
	w.until("both are said", func() bool { return c.Typing.Get() == "Bob and carol are typing…" })
	core.tell(nil, typing("carol", `{"typing":false}`))
	w.until("one has stopped", func() bool { return c.Typing.Get() == "Bob is typing…" })
	core.add(said("b", "bob", 5, "done"))
	w.until("a message ends it", func() bool { return c.Typing.Get() == "" })
	core.tell(nil, typing("bob", `{"typing":true}`))
	w.until("again", func() bool { return c.Typing.Get() != "" })
	now.pass(typingFades)
	if c.Typing.Get() != "" {
		t.Error("it does not fade")
	}
}

// TestFind: words are searched for, marked, and gone through.
func TestFind(t *testing.T) {
	core := newFakeCore()
	messages := talk("b", 0, 600)
	for _, n := range []int{10, 300, 599} {
		messages[n].Body = "green Tea"
	}
	w, c, places := openChat(t, core, messages, 0)
	c.OpenFind(true)
	c.Find("te")
	c.Find("tea")
	w.until("found", func() bool { return c.Finding.Get().Count == 3 })
	if f := c.Finding.Get(); f.At != 1 || (*places)[len(*places)-1].Key != messageKey(fakeID(599)) {
		t.Errorf("%+v, %v", f, *places)
	}
	if got := drawn(c.Row(messageKey(fakeID(599))).Content.Text); got != "p(green !Tea!)" {
		t.Errorf("marked: %s", got)
	}
	c.FindNext(false)
	w.until("the one before", func() bool { return (*places)[len(*places)-1].Key == messageKey(fakeID(300)) })
	c.FindNext(false)
	w.until("the first", func() bool { return (*places)[len(*places)-1].Key == messageKey(fakeID(10)) })
	c.FindNext(false)
	w.until("round to the newest", func() bool { return (*places)[len(*places)-1].Key == messageKey(fakeID(599)) })
	c.FindNext(true)
	w.until("and back", func() bool { return (*places)[len(*places)-1].Key == messageKey(fakeID(10)) })
	c.OpenFind(false)
	if got := drawn(c.Row(messageKey(fakeID(10))).Content.Text); got != "p(green Tea)" || c.Finding.Get() != (ChatFind{}) {
		t.Errorf("closed: %s, %+v", got, c.Finding.Get())
	}
}

func TestHeader(t *testing.T) {
	core := newFakeCore()
	w, c, _ := openChat(t, core, talk("b", 0, 3), 0)
	tell := func(x *controlpb.Contact) {
		x.User, x.Name, x.Chat = "bob", "Bob", "b"
		core.tell(nil, &controlpb.Event{Event: &controlpb.Event_Contact{Contact: x}})
	}
	if h := c.Header.Get(); h.Title != "Bob" || h.User != "bob" || h.Line != "Offline" || h.Lock != Encrypted {
		t.Errorf("%+v", h)
	}
	tell(&controlpb.Contact{State: 3, Online: true, Linked: true, Path: "lan", Verified: true})
	w.until("online", func() bool {
		return c.Header.Get().Line == "Online · local network" && c.Header.Get().Lock == Verified
	})
	tell(&controlpb.Contact{State: 3, KeyChanged: true})
	w.until("keys", func() bool { return c.Header.Get().Lock == KeyChanged && c.Header.Get().Warning != "" })
	tell(&controlpb.Contact{State: 3, Trouble: "no port\u202e"})
	w.until("trouble", func() bool { return c.Header.Get().Warning == "no port\uFFFD" })
	core.tell(nil, &controlpb.Event{Event: &controlpb.Event_ChatRemoved{ChatRemoved: "b"}})
	w.until("the chat is gone", func() bool { return c.Chat.Get() == "" && c.Rows.Len() == 0 })
}

// TestLongTextUnfolds: and only when it is asked for.
func TestLongTextUnfolds(t *testing.T) {
	core := newFakeCore()
	m := said("b", "bob", 1, strings.Repeat("word ", 5000))
	_, c, _ := openChat(t, core, []*controlpb.Message{m}, 0)
	r := c.Rows.At(0)
	if !r.Content.Text.Folded || len(r.Label) > 400 {
		t.Errorf("folded %v, label of %d", r.Content.Text.Folded, len(r.Label))
	}
	c.Unfold(r.Key, true)
	if r := c.Rows.At(0); r.Content.Text.Folded || !r.Content.Text.Cut {
		t.Error("it is not unfolded")
	}
	c.Unfold(r.Key, false)
	if !c.Rows.At(0).Content.Text.Folded {
		t.Error("it is not folded again")
	}
}

func TestCards(t *testing.T) {
	core := newFakeCore()
	m := said("b", "bob", 1, "Lunch?\n1. Noodles")
	m.Plugin, m.Kind = "poll", "org.example.poll/poll"
	m.Card = &pluginpb.Card{Title: "Lunch?\u202e", Body: "**2** votes", Buttons: []*pluginpb.Button{{Label: "Noodles", Action: "vote", Args: map[string]string{"option": "1"}}}}
	other := said("b", "bob", 2, "plain")
	other.Plugin, other.Kind = "chess", "org.example.chess/move"
	w, c, _ := openChat(t, core, []*controlpb.Message{m, other}, 0)
	r := c.Rows.At(0)
	if x := r.Content.Card; x == nil || x.Title != "Lunch?\uFFFD" || drawn(x.Body) != "p(*2* votes)" {
		t.Fatalf("card %+v", r.Content.Card)
	}
	if got := drawn(c.Rows.At(1).Content.Text); got != "p(plain)" {
		t.Errorf("an unknown kind is drawn as %s", got)
	}
	c.Press(r.Key, r.Content.Card.Buttons[0])
	w.until("it is pressed", func() bool { return len(core.asks("vote")) == 1 })
	if a := core.asks("vote")[0]; a.GetArgs()["option"] != "1" || string(a.GetMessage()) != string(fakeID(1)) || len(a.GetInvocation()) != 16 {
		t.Errorf("asked %v", a)
	}
}
