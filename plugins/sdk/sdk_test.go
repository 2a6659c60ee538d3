package sdk_test

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// The test binary is its own plugin: see process_test.go.
func TestMain(m *testing.M) {
	if mode := os.Getenv("SDK_TEST_PLUGIN"); mode != "" {
		os.Exit(sdk.Serve(processPlugin(mode)))
	}
	goleak.VerifyTestMain(m)
}

// feature is a plugin made of functions; those that are nil do nothing.
type feature struct {
	manifest *pluginpb.Manifest
	start    func(context.Context, sdk.Host, sdk.StartInfo) error
	handle   func(context.Context, sdk.Packet) ([]sdk.Effect, error)
	event    func(context.Context, sdk.Event) ([]sdk.Effect, error)
	invoke   func(context.Context, sdk.Invocation, sdk.Updates) (sdk.Result, error)
	stop     func(context.Context) error

	host sdk.Host
}

func (f *feature) Manifest() *pluginpb.Manifest {
	if f.manifest == nil {
		return &pluginpb.Manifest{Name: "test", Version: "1.0.0", Summary: "A plugin for tests"}
	}
	return f.manifest
}

func (f *feature) Start(ctx context.Context, host sdk.Host, info sdk.StartInfo) error {
	f.host = host
	if f.start == nil {
		return nil
	}
	return f.start(ctx, host, info)
}

func (f *feature) Handle(ctx context.Context, p sdk.Packet) ([]sdk.Effect, error) {
	if f.handle == nil {
		return nil, nil
	}
	return f.handle(ctx, p)
}

func (f *feature) HandleEvent(ctx context.Context, e sdk.Event) ([]sdk.Effect, error) {
	if f.event == nil {
		return nil, nil
	}
	return f.event(ctx, e)
}

func (f *feature) Invoke(ctx context.Context, call sdk.Invocation, updates sdk.Updates) (sdk.Result, error) {
	if f.invoke == nil {
		return sdk.Result{}, nil
	}
	return f.invoke(ctx, call, updates)
}

func (f *feature) Stop(ctx context.Context) error {
	if f.stop == nil {
		return nil
	}
	return f.stop(ctx)
}

// wire is the core's end of a session, message by message.
type wire struct {
	grpc.ServerStream
	t        *testing.T
	ctx      context.Context
	toPlugin chan *pluginpb.CoreMessage
	toCore   chan *pluginpb.PluginMessage
	over     chan error // what Session gave
	cancel   context.CancelFunc
	last     uint64

	// What has come and was not asked for yet.
	responses []*pluginpb.HookResponse
	requests  []*pluginpb.HostRequest
	messages  int
}

func (w *wire) Context() context.Context { return w.ctx }

func (w *wire) Recv() (*pluginpb.CoreMessage, error) {
	select {
	case m, ok := <-w.toPlugin:
		if !ok {
			return nil, io.EOF
		}
		return m, nil
	case <-w.ctx.Done():
		return nil, w.ctx.Err()
	}
}

func (w *wire) Send(m *pluginpb.PluginMessage) error {
	if size := proto.Size(m); size > 4<<20 {
		w.t.Errorf("message of %d bytes", size)
	}
	select {
	case w.toCore <- proto.CloneOf(m):
		return nil
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
}

// open opens a session; started unless the test begins with what comes before.
func open(t *testing.T, f *feature, started bool) *wire {
	t.Helper()
	w := &wire{
		t: t, toPlugin: make(chan *pluginpb.CoreMessage, 1024), toCore: make(chan *pluginpb.PluginMessage, 1024), over: make(chan error, 1),
	}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	service := sdk.Service(f)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.over <- service.Session(w)
	}()
	t.Cleanup(func() {
		w.cancel()
		<-done
	})
	if started {
		id := w.ask(&pluginpb.HookRequest{Hook: &pluginpb.HookRequest_Start{Start: &pluginpb.StartRequest{User: "alice"}}})
		if r := w.answer(id); r.GetStart() == nil {
			t.Fatalf("start: %v", r)
		}
	}
	return w
}

// ask sends a request and gives its id.
func (w *wire) ask(r *pluginpb.HookRequest) uint64 {
	w.last++
	r.Id = w.last
	w.toPlugin <- &pluginpb.CoreMessage{Requests: []*pluginpb.HookRequest{r}}
	return w.last
}

func (w *wire) reply(r *pluginpb.HostResponse) {
	w.toPlugin <- &pluginpb.CoreMessage{Responses: []*pluginpb.HostResponse{r}}
}

// take waits for the next message and keeps what is in it.
func (w *wire) take() {
	w.t.Helper()
	select {
	case m := <-w.toCore:
		w.messages++
		w.responses = append(w.responses, m.GetResponses()...)
		w.requests = append(w.requests, m.GetRequests()...)
	case <-time.After(time.Minute):
		w.t.Fatal("the plugin says nothing")
	}
}

// answer waits for the next answer to a request, updates included.
func (w *wire) answer(id uint64) *pluginpb.HookResponse {
	w.t.Helper()
	for {
		for i, r := range w.responses {
			if r.GetId() == id {
				w.responses = slices.Delete(w.responses, i, i+1)
				return r
			}
		}
		w.take()
	}
}

// request waits for the plugin's next request.
func (w *wire) request() *pluginpb.HostRequest {
	w.t.Helper()
	for len(w.requests) == 0 {
		w.take()
	}
	r := w.requests[0]
	w.requests = w.requests[1:]
	return r
}

// unanswered takes what has come and fails when there is an answer to id.
func (w *wire) unanswered(id uint64) {
	w.t.Helper()
	synctest.Wait()
	for len(w.toCore) > 0 {
		w.take()
	}
	for _, r := range w.responses {
		if r.GetId() == id {
			w.t.Fatalf("request %d was answered: %v", id, r)
		}
	}
}

func wantCode(t *testing.T, r *pluginpb.HookResponse, code codes.Code) {
	t.Helper()
	if got := codes.Code(r.GetError().GetCode()); got != code { //nolint:gosec // a code
		t.Errorf("code %s (%q), want %s", got, r.GetError().GetMessage(), code)
	}
	if code != codes.OK && r.GetError().GetMessage() == "" {
		t.Error("an error without a text")
	}
}

// handle is a Handle of packets with these contents.
func handle(chat packet.ChatID, contents ...string) *pluginpb.HookRequest {
	r := &pluginpb.HandleRequest{Chat: string(chat)}
	for _, c := range contents {
		id := packet.NewPacketID()
		r.Items = append(r.Items, &pluginpb.Item{Item: &pluginpb.Item_Packet{Packet: &pluginpb.Packet{
			Id: id[:], Chat: string(chat), Type: "org.example.test/x", Author: "bob", Content: []byte(c),
		}}})
	}
	return &pluginpb.HookRequest{Hook: &pluginpb.HookRequest_Handle{Handle: r}}
}

func invoke(action string) *pluginpb.HookRequest {
	id := packet.NewPacketID()
	return &pluginpb.HookRequest{Hook: &pluginpb.HookRequest_Invoke{Invoke: &pluginpb.InvokeRequest{Invocation: id[:], Action: action}}}
}

func cancelOf(id uint64) *pluginpb.HookRequest {
	return &pluginpb.HookRequest{Hook: &pluginpb.HookRequest_Cancel{Cancel: &pluginpb.CancelRequest{Id: id}}}
}

func stop() *pluginpb.HookRequest {
	return &pluginpb.HookRequest{Hook: &pluginpb.HookRequest_Stop{Stop: &pluginpb.StopRequest{}}}
}

// value is an effect that is easy to recognise.
func value(key string) sdk.Effect { return sdk.PutValue{Key: key, Value: []byte("v")} }

func keys(r *pluginpb.HookResponse) string {
	var all []string
	for _, o := range r.GetHandle().GetOutcomes() {
		switch {
		case o.GetRefuse() != "":
			all = append(all, "!"+o.GetRefuse())
		case len(o.GetEffects()) == 0:
			all = append(all, "-")
		default:
			all = append(all, o.GetEffects()[0].GetPutValue().GetKey())
		}
	}
	return strings.Join(all, " ")
}
