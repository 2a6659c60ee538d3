package viewmodel

import (
	"context"
	"errors"
	"slices"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/protocol/controlpb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func titles(w *window) []string {
	var list []string
	for _, r := range w.session.Chats.Rows.Rows() {
		list = append(list, r.Title)
	}
	return list
}

func chatOf(id, with string, sentAt int64, body string) *controlpb.Chat {
	return &controlpb.Chat{Id: id, Kind: "direct", Members: []string{"alice", with}, Last: &controlpb.Message{Author: with, Body: body, SentAt: sentAt}}
}

// TestSessionFollowsTheCore: what is there is shown, then what changes.
func TestSessionFollowsTheCore(t *testing.T) {
	core := newFakeCore()
	core.contacts = []*controlpb.Contact{{User: "bob", Name: "Bob", Chat: "b"}, {User: "carol", Name: "Carol", Chat: "c", State: controlpb.ContactState_CONTACT_STATE_INCOMING}}
	core.chats = []*controlpb.Chat{chatOf("b", "bob", 2, "hello"), chatOf("c", "carol", 1, "hi")}
	w := openWindow(t, core)
	if got := titles(w); !slices.Equal(got, []string{"Bob", "Carol"}) {
		t.Errorf("chats %v", got)
	}
	if first := w.session.Contacts.Rows.At(0).Name; first != "Carol" {
		t.Errorf("the first contact is %s, not her who asks", first)
	}
	core.tell(nil, &controlpb.Event{Event: &controlpb.Event_Chat{Chat: chatOf("c", "carol", 3, "news\nand\u202e more")}})
	w.until("Carol's chat is the first", func() bool { return slices.Equal(titles(w), []string{"Carol", "Bob"}) })
	if line := w.session.Chats.Rows.At(0).Line; line != "news and\uFFFD more" {
		t.Errorf("her last line is %q", line)
	}
	pinned := chatOf("b", "bob", 2, "hello")
	pinned.Pinned = true
	core.tell(nil, &controlpb.Event{Event: &controlpb.Event_Chat{Chat: pinned}},
		&controlpb.Event{Event: &controlpb.Event_Contact{Contact: &controlpb.Contact{User: "bob", Name: "Robert", Chat: "b"}}})
	w.until("Bob is pinned and has a new name", func() bool { return slices.Equal(titles(w), []string{"Robert", "Carol"}) })
	core.tell(func() { core.chats = core.chats[:1] }, &controlpb.Event{Event: &controlpb.Event_Resync{Resync: &controlpb.Resync{}}})
	w.until("all is read anew", func() bool {
		return slices.Equal(titles(w), []string{"Robert"}) || slices.Equal(titles(w), []string{"Bob"})
	})
}

// TestSessionSurvivesTheCore: a core that ends and starts again is followed, and
// what was shown stays meanwhile.
func TestSessionSurvivesTheCore(t *testing.T) {
	core := newFakeCore()
	core.chats = []*controlpb.Chat{chatOf("b", "bob", 2, "hello")}
	w := openWindow(t, core)
	w.stop()
	w.until("the loss is shown", func() bool { return w.session.Link.Get().State == Lost })
	if got := titles(w); len(got) != 1 {
		t.Errorf("without a core %v is shown", got)
	}
	var failure error
	w.session.Contacts.Request("dave", "", func(err error) { failure = err })
	w.until("a request fails at once", func() bool { return failure != nil })
	if s := w.session.Sentence(failure); s != "Parley is being started. Try again in a moment." {
		t.Errorf("it says %q", s)
	}
	core.tell(func() { core.chats = append(core.chats, chatOf("d", "dave", 9, "new")) })
	w.serve()
	w.until("it is connected anew, with what came meanwhile", func() bool {
		return w.session.Link.Get().State == Connected && len(titles(w)) == 2
	})
}

func TestSessionSaysWhyThereIsNoCore(t *testing.T) {
	core := newFakeCore()
	w := openWindow(t, core)
	w.mu.Lock()
	w.refuse = errors.New("no room on the disk")
	w.mu.Unlock()
	w.stop()
	w.until("the reason is shown", func() bool { return w.session.Link.Get() == Link{State: Lost, Problem: "no room on the disk"} })
	w.mu.Lock()
	w.refuse = status.Error(codes.Unimplemented, "unknown method")
	w.mu.Unlock()
	w.until("a core of another version is called one", func() bool { return w.session.Link.Get().State == Foreign })
}

// TestFailuresAreShown: what a person asked for and did not work is said.
func TestFailuresAreShown(t *testing.T) {
	core := newFakeCore()
	w := openWindow(t, core)
	var said []string
	w.session.Failures.Observe(func(s string) { said = append(said, s) })
	core.refuse = status.Error(codes.NotFound, "there is no such chat")
	w.session.Chats.Mute("x", true)
	w.until("it is said", func() bool { return slices.Equal(said, []string{"there is no such chat"}) })
}

// TestLogInOpensTheRest: once an account is open, its contacts and chats are read.
func TestLogInOpensTheRest(t *testing.T) {
	core := newFakeCore()
	core.status = &controlpb.Status{State: controlpb.AccountState_ACCOUNT_STATE_NONE}
	w := openWindow(t, core)
	if w.session.Open() {
		t.Error("open without an account")
	}
	open := &controlpb.Status{State: controlpb.AccountState_ACCOUNT_STATE_OPEN, User: "alice"}
	core.tell(func() {
		core.status = open
		core.chats = []*controlpb.Chat{chatOf("b", "bob", 2, "hello")}
	}, &controlpb.Event{Event: &controlpb.Event_Status{Status: open}})
	w.until("the chats are there", func() bool { return w.session.Open() && len(titles(w)) == 1 })
}

func (f *fakeCore) Shutdown(_ context.Context, r *controlpb.ShutdownRequest) (*controlpb.ShutdownResponse, error) {
	return &controlpb.ShutdownResponse{}, f.take(r)
}

// TestReplaceEndsTheOtherCore: one of another version is asked to end.
func TestReplaceEndsTheOtherCore(t *testing.T) {
	core := newFakeCore()
	w := openWindow(t, core)
	w.session.Replace()
	w.until("it was asked", func() bool { _, ok := core.lastAsked().(*controlpb.ShutdownRequest); return ok })
	var said []string
	w.session.Failures.Observe(func(s string) { said = append(said, s) })
	core.setRefuse(status.Error(codes.Internal, "it does not end"))
	w.session.Replace()
	w.until("that it does not end is said", func() bool { return slices.Equal(said, []string{"it does not end"}) })
}
