package control_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/control"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/core/store/storetest"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errNobody = errors.New("nobody is logged in")

const (
	self   = packet.UserID("alice")
	peer   = packet.UserID("bob")
	member = packet.UserID("mia")
)

var chat = packet.DirectChat(self, peer)

// fixture is a server over a store in memory, with a front end.
type fixture struct {
	t      *testing.T
	bus    *bus.Bus
	store  store.Store
	core   *fakeCore
	front  controlpb.ControlClient
	clock  int64
	socket string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, bus: bus.New(), store: storetest.New(t), clock: 1000}
	f.core = &fakeCore{account: &control.Account{
		Self: self, Store: f.store, People: fakePeople{}, Plugins: fakePlugins{}, Receipts: fakeReceipts{},
		SetRead: func(ctx context.Context, chat packet.ChatID, place packet.OrderKey) error {
			return f.store.Update(ctx, store.Lazy, func(tx store.Tx) error {
				_, err := tx.SetRead(chat, place)
				return err
			})
		},
	}}
	folder, err := os.MkdirTemp("", "pc") // short: a socket's path is bounded
	if err != nil {
		t.Fatal(err)
	}
	f.socket = filepath.Join(folder, "run", "control.sock")
	server, err := control.Listen(control.Config{
		Core: f.core, Bus: f.bus, Socket: f.socket, Log: slog.New(slog.DiscardHandler), Status: statusOf,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx) }()
	conn, err := grpc.NewClient("unix:"+f.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	f.front = controlpb.NewControlClient(conn)
	t.Cleanup(func() {
		_ = conn.Close()
		cancel()
		if err := <-served; !errors.Is(err, context.Canceled) {
			t.Errorf("Serve ended with %v", err)
		}
		_ = os.RemoveAll(folder)
	})
	f.update(func(tx store.Tx) error {
		if err := tx.PutChat(store.Chat{ID: chat, CreatedAt: 1}); err != nil {
			return err
		}
		return tx.PutMembership(chat, store.Membership{Version: 1, Members: []packet.UserID{self, peer}})
	})
	return f
}

func statusOf(err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return status.Error(codes.NotFound, err.Error())
	case errors.Is(err, control.ErrInvalid):
		return status.Error(codes.InvalidArgument, err.Error())
	case errors.Is(err, control.ErrNotNow), errors.Is(err, errNobody):
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	return err
}

func (f *fixture) update(fn func(store.Tx) error) {
	f.t.Helper()
	if err := f.store.Update(f.t.Context(), store.Synced, fn); err != nil {
		f.t.Fatal(err)
	}
}

// add stores a message of author and gives its id.
func (f *fixture) add(author packet.UserID, body string, change ...func(*store.Message)) packet.PacketID {
	f.t.Helper()
	f.clock++
	h := packet.Header{ID: packet.NewPacketID(), Chat: chat, Author: author, Depth: uint64(f.clock), SentAt: f.clock, Epoch: 1, Number: uint64(f.clock)}
	m := store.Message{
		ID: h.ID, Chat: chat, Author: author, Plugin: "text", Kind: "text", Body: body, SentAt: h.SentAt, Order: h.Order(),
		Entry: h.Key(), Own: author == self, Notifies: true,
	}
	for _, c := range change {
		c(&m)
	}
	f.update(func(tx store.Tx) error {
		_, err := tx.AddMessage(m)
		return err
	})
	return m.ID
}

func (f *fixture) list(req *controlpb.ListMessagesRequest) []string {
	f.t.Helper()
	req.Chat = string(chat)
	resp, err := f.front.ListMessages(f.t.Context(), req)
	if err != nil {
		f.t.Fatal(err)
	}
	var bodies []string
	for _, m := range resp.GetMessages() {
		bodies = append(bodies, m.GetBody())
	}
	return bodies
}

func TestPages(t *testing.T) {
	f := newFixture(t)
	var ids []packet.PacketID
	for i := range 120 {
		ids = append(ids, f.add(peer, fmt.Sprintf("m%d", i)))
	}
	for _, test := range []struct {
		name        string
		req         *controlpb.ListMessagesRequest
		first, last string
		count       int
	}{
		{"newest", &controlpb.ListMessagesRequest{}, "m70", "m119", 50},
		{"before", &controlpb.ListMessagesRequest{Before: ids[70][:], Limit: 10}, "m60", "m69", 10},
		{"before, inclusive", &controlpb.ListMessagesRequest{Before: ids[70][:], Limit: 10, Inclusive: true}, "m61", "m70", 10},
		{"after", &controlpb.ListMessagesRequest{After: ids[70][:], Limit: 10}, "m71", "m80", 10},
		{"after, at the end", &controlpb.ListMessagesRequest{After: ids[117][:]}, "m118", "m119", 2},
		{"by id", &controlpb.ListMessagesRequest{Ids: [][]byte{ids[3][:], ids[1][:]}}, "m3", "m1", 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := f.list(test.req)
			if len(got) != test.count || got[0] != test.first || got[len(got)-1] != test.last {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestBadRequests(t *testing.T) {
	f := newFixture(t)
	id := f.add(peer, "x")
	ctx := t.Context()
	list := func(req *controlpb.ListMessagesRequest) func() error {
		return func() error { _, err := f.front.ListMessages(ctx, req); return err }
	}
	for _, test := range []struct {
		name string
		call func() error
		want codes.Code
		says string
	}{
		{"chat id", list(&controlpb.ListMessagesRequest{Chat: "no such thing!"}), codes.InvalidArgument, "chat id"},
		{"unknown chat", list(&controlpb.ListMessagesRequest{Chat: "a-b"}), codes.NotFound, ""},
		{"message id", list(&controlpb.ListMessagesRequest{Chat: string(chat), Before: []byte("short")}), codes.InvalidArgument, "16 bytes"},
		{"unknown message", list(&controlpb.ListMessagesRequest{Chat: string(chat), Before: make16(7)}), codes.NotFound, ""},
		{"both directions", list(&controlpb.ListMessagesRequest{Chat: string(chat), Before: id[:], After: id[:]}), codes.InvalidArgument, "not both"},
		{"page too long", list(&controlpb.ListMessagesRequest{Chat: string(chat), Limit: 501}), codes.InvalidArgument, "500"},
		{"search too long", func() error {
			_, err := f.front.Search(ctx, &controlpb.SearchRequest{Query: strings.Repeat("x", 2000)})
			return err
		}, codes.InvalidArgument, "1024"},
		{"user id", func() error {
			_, err := f.front.RequestContact(ctx, &controlpb.RequestContactRequest{User: "Not A User"})
			return err
		}, codes.InvalidArgument, "user id"},
		{"draft too long", func() error {
			draft := strings.Repeat("x", 70_000)
			_, err := f.front.SetChat(ctx, &controlpb.SetChatRequest{Id: string(chat), Draft: &draft})
			return err
		}, codes.InvalidArgument, "draft"},
		{"invoke without a request", func() error {
			stream, err := f.front.Invoke(ctx, &controlpb.InvokeRequest{Plugin: "text"})
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		}, codes.InvalidArgument, "request"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := test.call()
			if status.Code(err) != test.want || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %v with %q", err, test.want, test.says)
			}
		})
	}
}

func make16(b byte) []byte {
	id := make([]byte, 16)
	id[0] = b
	return id
}

func TestChatShowsUnreadAndLast(t *testing.T) {
	f := newFixture(t)
	f.add(self, "mine")
	first := f.add(peer, "one")
	last := f.add(peer, "two")
	get := func() *controlpb.Chat {
		t.Helper()
		resp, err := f.front.ListChats(t.Context(), &controlpb.ListChatsRequest{})
		if err != nil || len(resp.GetChats()) != 1 {
			t.Fatalf("%v, %v", resp, err)
		}
		return resp.GetChats()[0]
	}
	c := get()
	if c.GetUnread() != 2 || string(c.GetFirstUnread()) != string(first[:]) || c.GetLast().GetBody() != "two" || c.GetTitle() != "name of bob" {
		t.Errorf("before reading: %v", c)
	}
	if _, err := f.front.MarkRead(t.Context(), &controlpb.MarkReadRequest{Chat: string(chat), Message: first[:]}); err != nil {
		t.Fatal(err)
	}
	if c = get(); c.GetUnread() != 1 || string(c.GetFirstUnread()) != string(last[:]) || string(c.GetRead()) != string(first[:]) {
		t.Errorf("after reading one: %v", c)
	}
	if _, err := f.front.MarkRead(t.Context(), &controlpb.MarkReadRequest{Chat: string(chat)}); err != nil {
		t.Fatal(err)
	}
	if c = get(); c.GetUnread() != 0 || c.GetFirstUnread() != nil {
		t.Errorf("after reading all: %v", c)
	}
}

func TestMessageAsShown(t *testing.T) {
	f := newFixture(t)
	question := f.add(peer, strings.Repeat("长", 300))
	answer := f.add(self, "yes", func(m *store.Message) { m.ReplyTo = question })
	lost := f.add(self, "to what?", func(m *store.Message) { m.ReplyTo = packet.NewPacketID() })
	f.update(func(tx store.Tx) error {
		return tx.PutAnnotation(store.Annotation{Chat: chat, Message: answer, Kind: "reaction", Author: peer, Value: []byte("👍")})
	})
	resp, err := f.front.ListMessages(t.Context(), &controlpb.ListMessagesRequest{Chat: string(chat), Ids: [][]byte{answer[:], lost[:]}})
	if err != nil {
		t.Fatal(err)
	}
	m := resp.GetMessages()[0]
	if q := m.GetReplyTo(); q.GetAuthor() != "bob" || len([]rune(q.GetBody())) != 200 {
		t.Errorf("quote: %v", q)
	}
	if len(m.GetAnnotations()) != 1 || string(m.GetAnnotations()[0].GetValue()) != "👍" {
		t.Errorf("annotations: %v", m.GetAnnotations())
	}
	if m.GetDelivery() != controlpb.Delivery_DELIVERY_DELIVERED || len(m.GetRecipients()) != 2 {
		t.Errorf("delivery is %v of %v", m.GetDelivery(), m.GetRecipients())
	}
	if q := resp.GetMessages()[1].GetReplyTo(); len(q.GetId()) != 16 || q.GetBody() != "" {
		t.Errorf("quote of a message that is not here: %v", q)
	}
}

// next reads events until one that is wanted.
func next(t *testing.T, events controlpb.Control_WatchClient, want func(*controlpb.Event) bool) *controlpb.Event {
	t.Helper()
	for {
		e, err := events.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if want(e) {
			return e
		}
	}
}

func TestWatch(t *testing.T) {
	f := newFixture(t)
	events, err := f.front.Watch(t.Context(), &controlpb.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	next(t, events, func(e *controlpb.Event) bool { return e.GetWatching() != nil })

	id := f.add(peer, "hello")
	bus.Publish(f.bus, bus.MessageAdded, bus.MessageRef{Chat: chat, ID: id})
	if e := next(t, events, func(*controlpb.Event) bool { return true }); e.GetMessageAdded().GetBody() != "hello" {
		t.Errorf("got %v", e)
	}
	bus.Publish(f.bus, bus.ContactChanged, bus.ContactChange{User: peer})
	if e := next(t, events, func(*controlpb.Event) bool { return true }); e.GetContact().GetUser() != "bob" {
		t.Errorf("got %v", e)
	}
	bus.Publish(f.bus, bus.ContactChanged, bus.ContactChange{User: "carol", Removed: true})
	if e := next(t, events, func(*controlpb.Event) bool { return true }); e.GetContactRemoved() != "carol" {
		t.Errorf("got %v", e)
	}
	bus.Publish(f.bus, bus.PluginPublished, bus.PluginEvent{Plugin: "text", Name: "typing", Chat: chat, User: peer})
	if e := next(t, events, func(*controlpb.Event) bool { return true }); e.GetPluginEvent().GetName() != "typing" {
		t.Errorf("got %v", e)
	}
	bus.Publish(f.bus, bus.ProfileChanged, struct{}{})
	if e := next(t, events, func(*controlpb.Event) bool { return true }); e.GetStatus() == nil {
		t.Errorf("got %v", e)
	}
	bus.Publish(f.bus, bus.Noticed, bus.Notice{Level: "error", Subject: "disk", Text: "full"})
	if e := next(t, events, func(*controlpb.Event) bool { return true }); e.GetNotice().GetText() != "full" {
		t.Errorf("got %v", e)
	}
	f.update(func(tx store.Tx) error { return tx.DeleteChat(chat) })
	bus.Publish(f.bus, bus.ChatChanged, bus.ChatChange{Chat: chat, Removed: true})
	if e := next(t, events, func(*controlpb.Event) bool { return true }); e.GetChatRemoved() != string(chat) {
		t.Errorf("got %v", e)
	}
}

// Who is no contact but in a group too is told of only to who asks.
func TestAcquaintances(t *testing.T) {
	f := newFixture(t)
	for _, asked := range []bool{false, true} {
		list, err := f.front.ListContacts(t.Context(), &controlpb.ListContactsRequest{Acquaintances: asked})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(list.GetContacts()); got != map[bool]int{false: 1, true: 2}[asked] || list.GetContacts()[0].GetUser() != string(peer) {
			t.Errorf("asked %v: %v", asked, list)
		}
		events, err := f.front.Watch(t.Context(), &controlpb.WatchRequest{Acquaintances: asked})
		if err != nil {
			t.Fatal(err)
		}
		next(t, events, func(e *controlpb.Event) bool { return e.GetWatching() != nil })
		bus.Publish(f.bus, bus.ContactChanged, bus.ContactChange{Acquaintance: true}) // nobody in particular
		bus.Publish(f.bus, bus.ContactChanged, bus.ContactChange{User: member, Acquaintance: true})
		bus.Publish(f.bus, bus.ContactChanged, bus.ContactChange{User: peer})
		if asked {
			if e := next(t, events, func(*controlpb.Event) bool { return true }); e.GetContact().GetUser() != string(member) {
				t.Errorf("asked: %v", e)
			}
		}
		if e := next(t, events, func(*controlpb.Event) bool { return true }); e.GetContact().GetUser() != string(peer) {
			t.Errorf("asked %v: %v", asked, e)
		}
		// Who was a contact until now is gone for who does not ask.
		bus.Publish(f.bus, bus.ContactChanged, bus.ContactChange{User: member})
		e := next(t, events, func(*controlpb.Event) bool { return true })
		if gone := e.GetContactRemoved() == string(member); gone == asked || asked && e.GetContact().GetUser() != string(member) {
			t.Errorf("asked %v: %v", asked, e)
		}
	}
}

// A front end that does not read is told to read the state anew, and holds up
// nobody.
func TestWatchLagging(t *testing.T) {
	f := newFixture(t)
	events, err := f.front.Watch(t.Context(), &controlpb.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	next(t, events, func(e *controlpb.Event) bool { return e.GetWatching() != nil })
	big := make([]byte, 16<<10)
	for range 50_000 {
		bus.Publish(f.bus, bus.PluginPublished, bus.PluginEvent{Plugin: "text", Name: "flood", Data: big})
	}
	next(t, events, func(e *controlpb.Event) bool { return e.GetResync() != nil })
	id := f.add(peer, "after the flood")
	bus.Publish(f.bus, bus.MessageAdded, bus.MessageRef{Chat: chat, ID: id})
	next(t, events, func(e *controlpb.Event) bool { return e.GetMessageAdded().GetBody() == "after the flood" })
}

func TestWithoutAccount(t *testing.T) {
	f := newFixture(t)
	f.core.account = nil
	if s, err := f.front.GetStatus(t.Context(), &controlpb.GetStatusRequest{}); err != nil || s.GetVersion() != "test" {
		t.Errorf("status: %v, %v", s, err)
	}
	if _, err := f.front.ListChats(t.Context(), &controlpb.ListChatsRequest{}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("chats: %v", err)
	}
}

func TestInvokeStreams(t *testing.T) {
	f := newFixture(t)
	stream, err := f.front.Invoke(t.Context(), &controlpb.InvokeRequest{Plugin: "text", Request: &pluginpb.InvokeRequest{Action: "count"}})
	if err != nil {
		t.Fatal(err)
	}
	for want := range uint64(3) {
		resp, err := stream.Recv()
		if err != nil || resp.GetUpdate().GetProgress().GetDone() != want {
			t.Fatalf("update %d: %v, %v", want, resp, err)
		}
	}
	if resp, err := stream.Recv(); err != nil || string(resp.GetResult().GetResult()) != "done" {
		t.Errorf("result: %v, %v", resp, err)
	}
}

func TestSocketIsPrivate(t *testing.T) {
	f := newFixture(t)
	for path, want := range map[string]os.FileMode{f.socket: 0o600, filepath.Dir(f.socket): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %o", path, info.Mode(), err, want)
		}
	}
}

// The chat of a group that one is not in is removed; it is there again when something
// comes of it, and one who is in it must leave first.
func TestRemoveChat(t *testing.T) {
	f := newFixture(t)
	group := packet.ChatID("aaaaaaaaaaaaaaaaaaaaaaaaaa")
	f.core.account.ClearChat = func(tx store.Tx, id packet.ChatID) error {
		return tx.ClearChat(id, func(packet.Type) bool { return false })
	}
	said := storetest.Message(group, 1, "secret words")
	f.update(func(tx store.Tx) error {
		return errors.Join(tx.PutChat(store.Chat{ID: chat}), tx.PutChat(store.Chat{ID: group, CreatedAt: 5}))
	})
	member := func(version uint64, members ...packet.UserID) {
		f.update(func(tx store.Tx) error {
			_, err := tx.AddMessage(said)
			return errors.Join(tx.PutMembership(group, store.Membership{Version: version, Members: members}), err)
		})
	}
	remove := func(id packet.ChatID, want codes.Code) {
		t.Helper()
		_, err := f.front.RemoveChat(t.Context(), &controlpb.RemoveChatRequest{Id: string(id)})
		if status.Code(err) != want {
			t.Errorf("removing %s: %v, want %s", id, err, want)
		}
	}
	listed := func() int {
		t.Helper()
		list, err := f.front.ListChats(t.Context(), &controlpb.ListChatsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return len(list.GetChats())
	}
	member(1, self, peer)
	remove("?", codes.InvalidArgument)
	remove("bbbbbbbbbbbbbbbbbbbbbbbbbb", codes.NotFound)
	remove(chat, codes.FailedPrecondition)
	remove(group, codes.FailedPrecondition)
	if n := listed(); n != 2 {
		t.Errorf("%d chats, want 2", n)
	}
	member(2, peer)
	events, err := f.front.Watch(t.Context(), &controlpb.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	next(t, events, func(e *controlpb.Event) bool { return e.GetWatching() != nil })
	remove(group, codes.OK)
	if e := next(t, events, func(*controlpb.Event) bool { return true }); e.GetChatRemoved() != string(group) {
		t.Errorf("got %v", e)
	}
	remove(group, codes.NotFound)
	if _, err := f.front.ListChats(t.Context(), &controlpb.ListChatsRequest{Id: string(group)}); status.Code(err) != codes.NotFound {
		t.Errorf("listing what was removed: %v", err)
	}
	if n := listed(); n != 1 {
		t.Errorf("%d chats, want 1", n)
	}
	found, err := f.front.Search(t.Context(), &controlpb.SearchRequest{Query: "secret"})
	if err != nil || len(found.GetMessages()) != 0 {
		t.Errorf("found %v, %v", found, err)
	}
	member(3, self, peer)
	if n := listed(); n != 2 {
		t.Errorf("invited again: %d chats, want 2", n)
	}
}
