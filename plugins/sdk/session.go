package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

const (
	drainTimeout = 3 * time.Second // of the 5 the core gives a Stop
	stopTimeout  = time.Second
	leaveTimeout = 500 * time.Millisecond
)

// Service gives the gRPC service that runs p over one Session; Serve and
// plugintest use it.
func Service(p Plugin) pluginpb.PluginServer {
	return newService(p)
}

type service struct {
	pluginpb.UnimplementedPluginServer
	plugin Plugin
	quit   chan struct{} // closed by Serve: ends the session
	over   chan struct{} // closed when the session is over
	idle   chan struct{} // and then, when all the plugin's methods have returned

	mu     sync.Mutex // guards opened
	opened bool
}

func newService(p Plugin) *service {
	return &service{plugin: p, quit: make(chan struct{}), over: make(chan struct{}), idle: make(chan struct{})}
}

// Session runs until the core ends the stream or has had the answer to Stop. It
// returns when all the plugin's methods have.
func (s *service) Session(stream pluginpb.Plugin_SessionServer) error {
	s.mu.Lock()
	again := s.opened
	s.opened = true
	s.mu.Unlock()
	if again {
		return status.Error(codes.FailedPrecondition, "a plugin process has one session; it was opened before")
	}
	ctx, cancel := context.WithCancel(stream.Context())
	x := &session{
		plugin: s.plugin, stream: stream, ctx: ctx, cancel: cancel, out: newOutgoing(ctx), stopped: make(chan struct{}),
		running: map[uint64]context.CancelCauseFunc{}, lanes: map[string]chan struct{}{}, turns: make(chan struct{}, maxTurns),
	}
	x.host = newHost(x)
	err := x.run(s.quit)
	close(s.over)
	<-x.hooks.close()
	<-x.ends.close()
	close(s.idle)
	return err
}

// state of a session; it only goes up.
type state int

const (
	fresh state = iota
	starting
	started
	stopping
)

// session is one stream to the core.
type session struct {
	plugin Plugin
	stream pluginpb.Plugin_SessionServer
	ctx    context.Context // of all the plugin does; ends with the session
	cancel context.CancelFunc
	out    *outgoing
	host   *host
	hooks  tracker       // calls of the plugin's methods
	ends   tracker       // the call of stop
	turns  chan struct{} // holds a token for each Handle that may run at once

	stopped chan struct{} // closed when Stop was answered

	mu      sync.Mutex // guards all below
	running map[uint64]context.CancelCauseFunc
	lanes   map[string]chan struct{} // by chat: closed when its last Handle ends
	state   state
}

// run reads and writes until the session is over, and gives why it was if that
// is an error.
func (x *session) run(quit <-chan struct{}) error {
	failed := make(chan error, 2)
	go func() { failed <- x.read() }()
	written := make(chan struct{})
	go func() {
		defer close(written)
		if err := x.out.writeTo(x.stream); err != nil {
			failed <- err
		}
	}()
	var err error
	select {
	case err = <-failed:
	case <-quit:
	case <-x.stopped:
		// The core ends the stream now; one that does not gets its end.
		select {
		case err = <-failed:
		case <-time.After(leaveTimeout):
		}
	}
	x.cancel()
	<-written // Send must not be called when the stream's handler has returned
	if errors.Is(err, io.EOF) || status.Code(err) == codes.Canceled {
		return nil
	}
	return err
}

func (x *session) read() error {
	for {
		m, err := x.stream.Recv()
		if err != nil {
			return err
		}
		for _, r := range m.GetResponses() {
			x.host.answered(r)
		}
		for _, r := range m.GetRequests() {
			x.begin(r)
		}
	}
}

// begin starts what the core asks for. It must not block: it is the reader's.
func (x *session) begin(r *pluginpb.HookRequest) {
	id := r.GetId()
	if cancel := r.GetCancel(); cancel != nil {
		x.mu.Lock()
		end := x.running[cancel.GetId()]
		x.mu.Unlock()
		if end != nil {
			end(errCancelled)
		}
		return
	}
	if err := x.admit(r); err != nil {
		x.goHook(id, func(context.Context) { x.fail(id, err) })
		return
	}
	switch hook := r.GetHook().(type) {
	case *pluginpb.HookRequest_Describe:
		x.goHook(id, func(context.Context) {
			x.answer(&pluginpb.HookResponse{Id: id, Answer: &pluginpb.HookResponse_Describe{
				Describe: &pluginpb.DescribeResponse{Manifest: manifestOf(x.plugin)},
			}})
		})
	case *pluginpb.HookRequest_Start:
		x.goHook(id, func(context.Context) { x.start(id, hook.Start) })
	case *pluginpb.HookRequest_Handle:
		x.beginHandle(id, hook.Handle)
	case *pluginpb.HookRequest_Invoke:
		x.goHook(id, func(ctx context.Context) { x.invoke(ctx, id, hook.Invoke) })
	case *pluginpb.HookRequest_Stop:
		x.ends.run(func() { x.stop(id) })
	}
}

// manifestOf fills in what this package knows better than the plugin.
func manifestOf(p Plugin) *pluginpb.Manifest {
	m := proto.CloneOf(p.Manifest())
	if m.GetApiVersion() == 0 && m != nil {
		m.ApiVersion = APIVersion
	}
	return m
}

// admit says whether a request may come now, and moves the state.
func (x *session) admit(r *pluginpb.HookRequest) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.state == stopping {
		return Errorf(codes.Unavailable, "the plugin is stopping")
	}
	switch r.GetHook().(type) {
	case *pluginpb.HookRequest_Describe:
	case *pluginpb.HookRequest_Start:
		if x.state != fresh {
			return Errorf(codes.FailedPrecondition, "the plugin was started before")
		}
		x.state = starting
	case *pluginpb.HookRequest_Handle, *pluginpb.HookRequest_Invoke:
		if x.state != started {
			return Errorf(codes.FailedPrecondition, "the plugin is not started yet")
		}
	case *pluginpb.HookRequest_Stop:
		x.state = stopping
	default:
		return Errorf(codes.Unimplemented, "this plugin speaks version %d of the plugin API, which has no such request", APIVersion)
	}
	return nil
}

// errCancelled is the cause of a context the core has cancelled.
var errCancelled = errors.New("cancelled by the core")

// goHook runs fn in a goroutine of its own, with a context that Cancel ends.
func (x *session) goHook(id uint64, fn func(context.Context)) {
	ctx, cancel := context.WithCancelCause(x.ctx)
	x.mu.Lock()
	x.running[id] = cancel
	x.mu.Unlock()
	ran := x.hooks.run(func() {
		fn(ctx)
		x.mu.Lock()
		delete(x.running, id)
		x.mu.Unlock()
		cancel(nil)
	})
	if !ran {
		cancel(nil)
	}
}

func (x *session) answer(r *pluginpb.HookResponse) {
	_ = x.out.respond(r) // fails only when the session is over
}

func (x *session) fail(id uint64, err error) {
	x.answer(&pluginpb.HookResponse{Id: id, Answer: &pluginpb.HookResponse_Error{Error: errorProto(err)}})
}

func (x *session) start(id uint64, pb *pluginpb.StartRequest) {
	x.host.setSettings(pb.GetSettings())
	// The plugin may keep the context for what it starts: it is the session's,
	// so a deadline of this call cannot end it.
	err := x.plugin.Start(x.ctx, x.host, StartInfo{
		User: packet.UserID(pb.GetUser()), DisplayName: pb.GetDisplayName(),
		DataFolder: pb.GetDataFolder(), CacheFolder: pb.GetCacheFolder(), Locale: pb.GetLocale(),
	})
	if err != nil {
		x.fail(id, fmt.Errorf("start: %w", err))
		return
	}
	x.mu.Lock()
	x.state = max(x.state, started)
	x.mu.Unlock()
	x.answer(&pluginpb.HookResponse{Id: id, Answer: &pluginpb.HookResponse_Start{Start: &pluginpb.StartResponse{}}})
}

func (x *session) invoke(ctx context.Context, id uint64, pb *pluginpb.InvokeRequest) {
	call, err := invocationFromProto(pb)
	if err != nil {
		x.fail(id, Errorf(codes.InvalidArgument, "%w", err))
		return
	}
	result, err := x.plugin.Invoke(ctx, call, updates{x, id})
	var effects []*pluginpb.Effect
	if err == nil {
		effects, err = effectProtos(result.Effects)
	}
	switch {
	case errors.Is(context.Cause(ctx), errCancelled):
		x.fail(id, context.Canceled)
	case err != nil:
		x.fail(id, err)
	default:
		x.answer(&pluginpb.HookResponse{Id: id, Answer: &pluginpb.HookResponse_Invoke{Invoke: &pluginpb.InvokeResponse{
			Effects: effects, Result: result.Value,
		}}})
	}
}

// stop lets what is under way finish, then the plugin itself.
func (x *session) stop(id uint64) {
	idle := x.hooks.idle()
	select {
	case <-idle:
	case <-time.After(drainTimeout):
		x.mu.Lock()
		running := maps.Clone(x.running)
		x.mu.Unlock()
		for _, cancel := range running {
			cancel(errCancelled)
		}
		select {
		case <-idle:
		case <-time.After(stopTimeout / 2):
		}
	case <-x.ctx.Done():
		return
	}
	var err error
	if stopper, ok := x.plugin.(Stopper); ok {
		ctx, cancel := context.WithTimeout(x.ctx, stopTimeout)
		err = stopper.Stop(ctx)
		cancel()
	}
	if err != nil {
		x.fail(id, fmt.Errorf("stop: %w", err))
	} else {
		x.answer(&pluginpb.HookResponse{Id: id, Answer: &pluginpb.HookResponse_Stop{Stop: &pluginpb.StopResponse{}}})
	}
	x.out.flush()
	close(x.stopped)
}
