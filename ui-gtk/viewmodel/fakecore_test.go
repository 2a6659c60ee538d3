package viewmodel

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/ui-gtk/texts"
)

// fakeCore is a core in memory, behind the real control API.
type fakeCore struct {
	controlpb.UnimplementedControlServer

	mu       sync.Mutex // guards all below
	status   *controlpb.Status
	contacts []*controlpb.Contact
	chats    []*controlpb.Chat
	plugins  []*controlpb.Plugin
	settings map[string]*controlpb.Settings // by plugin
	watchers map[chan *controlpb.Event]struct{}
	asked    []any // requests that change something, in order
	refuse   error // what those are answered with

	fakeChats
	found func(*controlpb.SearchRequest) (*controlpb.SearchResponse, error)
}

func newFakeCore() *fakeCore {
	return &fakeCore{
		status:   &controlpb.Status{State: controlpb.AccountState_ACCOUNT_STATE_OPEN, User: "alice", DisplayName: "Alice"},
		watchers: map[chan *controlpb.Event]struct{}{},
	}
}

func (f *fakeCore) GetStatus(context.Context, *controlpb.GetStatusRequest) (*controlpb.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status, nil
}

func (f *fakeCore) ListContacts(context.Context, *controlpb.ListContactsRequest) (*controlpb.ListContactsResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &controlpb.ListContactsResponse{Contacts: f.contacts}, nil
}

func (f *fakeCore) ListChats(context.Context, *controlpb.ListChatsRequest) (*controlpb.ListChatsResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &controlpb.ListChatsResponse{Chats: f.chats}, nil
}

func (f *fakeCore) ListPlugins(context.Context, *controlpb.ListPluginsRequest) (*controlpb.ListPluginsResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &controlpb.ListPluginsResponse{Plugins: f.plugins}, nil
}

func (f *fakeCore) RequestContact(_ context.Context, r *controlpb.RequestContactRequest) (*controlpb.Contact, error) {
	return &controlpb.Contact{User: r.GetUser()}, f.take(r)
}

func (f *fakeCore) SetChat(_ context.Context, r *controlpb.SetChatRequest) (*controlpb.Chat, error) {
	return &controlpb.Chat{Id: r.GetId()}, f.take(r)
}

func (f *fakeCore) RemoveChat(_ context.Context, r *controlpb.RemoveChatRequest) (*controlpb.RemoveChatResponse, error) {
	return &controlpb.RemoveChatResponse{}, f.take(r)
}

func (f *fakeCore) LogInNet2019(_ context.Context, r *controlpb.LogInNet2019Request) (*controlpb.Net2019Status, error) {
	return &controlpb.Net2019Status{On: true}, f.take(r)
}

func (f *fakeCore) LogOutNet2019(_ context.Context, r *controlpb.LogOutNet2019Request) (*controlpb.LogOutNet2019Response, error) {
	return &controlpb.LogOutNet2019Response{}, f.take(r)
}

func (f *fakeCore) CreateNet2019Group(_ context.Context, r *controlpb.CreateNet2019GroupRequest) (*controlpb.Chat, error) {
	return &controlpb.Chat{Id: group2019}, f.take(r)
}

func (f *fakeCore) LeaveNet2019Group(_ context.Context, r *controlpb.LeaveNet2019GroupRequest) (*controlpb.LeaveNet2019GroupResponse, error) {
	return &controlpb.LeaveNet2019GroupResponse{}, f.take(r)
}

// take notes a request.
func (f *fakeCore) take(r any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, r)
	return f.refuse
}

func (f *fakeCore) Watch(_ *controlpb.WatchRequest, stream grpc.ServerStreamingServer[controlpb.Event]) error {
	events := make(chan *controlpb.Event, 1024)
	f.mu.Lock()
	f.watchers[events] = struct{}{}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.watchers, events)
		f.mu.Unlock()
	}()
	if err := stream.Send(&controlpb.Event{Event: &controlpb.Event_Watching{Watching: &controlpb.Watching{}}}); err != nil {
		return err
	}
	for {
		select {
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		case e := <-events:
			if err := stream.Send(e); err != nil {
				return err
			}
		}
	}
}

// tell changes the core, if change is there, and tells those who watch.
func (f *fakeCore) tell(change func(), events ...*controlpb.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if change != nil {
		change()
	}
	for w := range f.watchers {
		for _, e := range events {
			w <- e
		}
	}
}

type fakeConnection struct {
	controlpb.ControlClient
	conn *grpc.ClientConn
}

func (c fakeConnection) Close() error { return c.conn.Close() }

// window is a session in front of a fake core, with a loop of its own, which is
// the test's goroutine.
type window struct {
	t       testing.TB
	core    *fakeCore
	session *Session
	queue   *Queue
	woken   chan struct{}

	mu     sync.Mutex // guards server and refuse
	server *grpc.Server
	at     *bufconn.Listener
	refuse error // what connecting ends with
}

// openWindow starts a session and waits until it has loaded.
func openWindow(t testing.TB, core *fakeCore, options ...func(*Config)) *window {
	t.Helper()
	w := &window{t: t, core: core, woken: make(chan struct{}, 1)}
	w.queue = NewQueue(func() {
		select {
		case w.woken <- struct{}{}:
		default:
		}
	})
	w.serve()
	cfg := Config{Loop: w.queue, Connect: w.connect, Texts: texts.New("en")}
	for _, o := range options {
		o(&cfg)
	}
	w.session = NewSession(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.session.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		w.stop()
		for {
			select {
			case <-done:
				return
			case <-w.woken:
				w.queue.Run()
			}
		}
	})
	w.until("the window is connected", func() bool { return w.session.Link.Get().State == Connected })
	return w
}

func (w *window) serve() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at, w.server = bufconn.Listen(1<<20), grpc.NewServer()
	controlpb.RegisterControlServer(w.server, w.core)
	server, at := w.server, w.at
	go func() { _ = server.Serve(at) }()
}

// stop kills the core.
func (w *window) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.server.Stop()
}

func (w *window) connect(context.Context) (Core, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse != nil {
		return nil, w.refuse
	}
	at := w.at
	conn, err := grpc.NewClient("passthrough:///core", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return at.DialContext(ctx) }))
	if err != nil {
		return nil, err
	}
	return fakeConnection{controlpb.NewControlClient(conn), conn}, nil
}

// until runs the loop until ok holds, which may tell of the core: that wakes nobody by
// being asked something.
func (w *window) until(what string, ok func() bool) {
	w.t.Helper()
	limit := time.After(time.Minute)
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		w.queue.Run()
		if ok() {
			return
		}
		select {
		case <-w.woken:
		case <-again.C:
		case <-limit:
			w.t.Fatalf("never: %s", what)
		}
	}
}
