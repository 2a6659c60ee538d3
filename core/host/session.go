package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

const (
	maxHostRequests = 64   // open at once, by plugin.proto
	maxOpenCalls    = 1024 // cancelled ones that were not answered count too
)

// session is the stream to one plugin process: requests both ways with ids,
// several in a message. A plugin that breaks the protocol on it is treated as
// one that died.
type session struct {
	name   string
	run    *running
	stream pluginpb.Plugin_SessionClient
	cancel context.CancelFunc
	out    *outgoing
	// asked are the plugin's requests, in order. Those in it and the one being
	// served are the open ones.
	asked chan *pluginpb.HostRequest

	dead chan struct{} // closed when the session is over
	wg   sync.WaitGroup

	mu     sync.Mutex // guards all below
	err    error      // why it is over
	calls  map[uint64]*call
	nextID uint64
	open   int // host requests not answered yet
}

// call is a request the core made.
type call struct {
	kind   string
	answer chan *pluginpb.HookResponse // has room for the last answer
	update func(*pluginpb.InvokeUpdate) error
}

// newSession opens the stream. The session outlives ctx; stop or kill ends it.
func newSession(name string, run *running) (*session, error) {
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := pluginpb.NewPluginClient(run.conn).Session(ctx)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("open session: %w", err)
	}
	s := &session{
		name: name, run: run, stream: stream, cancel: cancel, out: newOutgoing(),
		asked: make(chan *pluginpb.HostRequest, maxHostRequests), dead: make(chan struct{}), calls: map[uint64]*call{},
	}
	s.wg.Go(func() { s.fail(s.read()) })
	s.wg.Go(func() { s.fail(s.write()) })
	return s, nil
}

// fail ends the session; the first reason counts.
func (s *session) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.err = err
	close(s.dead)
	s.cancel()
}

func (s *session) isDead() bool {
	select {
	case <-s.dead:
		return true
	default:
		return false
	}
}

func (s *session) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *session) write() error {
	for {
		select {
		case <-s.out.wake:
		case <-s.dead:
			return errDead
		}
		for m := s.out.take(maxMessage - 1<<10); m != nil; m = s.out.take(maxMessage - 1<<10) {
			if err := s.stream.Send(m); err != nil {
				if errors.Is(err, io.EOF) {
					// The reader gets the real reason.
					<-s.dead
				}
				return fmt.Errorf("write to plugin: %w", err)
			}
		}
	}
}

func (s *session) read() error {
	for {
		m, err := s.stream.Recv()
		if err != nil {
			return readError(err)
		}
		for _, r := range m.GetResponses() {
			if err := s.answered(r); err != nil {
				return err
			}
		}
		for _, r := range m.GetRequests() {
			if err := s.requested(r); err != nil {
				return err
			}
		}
	}
}

func readError(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("plugin ended its session")
	}
	switch status.Code(err) {
	case codes.ResourceExhausted:
		return fmt.Errorf("plugin sent a message of more than %d bytes: %w", maxMessage, errProtocol)
	case codes.Unimplemented:
		return fmt.Errorf("plugin does not serve parley.plugin.v1.Plugin: %w", errProtocol)
	case codes.Unavailable:
		return errors.New("connection to plugin lost")
	}
	return fmt.Errorf("read from plugin: %w", err)
}

// answered takes one answer of the plugin.
func (s *session) answered(r *pluginpb.HookResponse) error {
	s.mu.Lock()
	c, ok := s.calls[r.GetId()]
	update := r.GetUpdate()
	if ok && update == nil {
		delete(s.calls, r.GetId())
	}
	s.mu.Unlock()
	switch {
	case !ok:
		return fmt.Errorf("plugin answered a request %d that is not open: %w", r.GetId(), errProtocol)
	case update != nil && c.update == nil:
		return fmt.Errorf("plugin sent an update to %s: %w", c.kind, errProtocol)
	case update != nil:
		if err := c.update(update); err != nil {
			return err
		}
	case r.GetAnswer() == nil:
		return fmt.Errorf("plugin sent an empty answer to %s: %w", c.kind, errProtocol)
	default:
		c.answer <- r
	}
	return nil
}

// requested takes one request of the plugin.
func (s *session) requested(r *pluginpb.HostRequest) error {
	if log := r.GetLog(); log != nil {
		return s.log(log)
	}
	s.mu.Lock()
	full := s.open >= maxHostRequests
	if !full {
		s.open++
	}
	s.mu.Unlock()
	if full {
		return s.respond(&pluginpb.HostResponse{Id: r.GetId(), Answer: &pluginpb.HostResponse_Error{Error: &pluginpb.Error{
			Code: int32(codes.ResourceExhausted), Message: fmt.Sprintf("more than %d requests are open: wait for their answers", maxHostRequests),
		}}})
	}
	s.asked <- r // has room for all that may be open
	return nil
}

// respond answers a request of the plugin; it waits while the plugin does not
// read.
func (s *session) respond(r *pluginpb.HostResponse) error {
	return s.out.put(s.stream.Context(), nil, r)
}

// served closes a request that was counted as open.
func (s *session) served() {
	s.mu.Lock()
	s.open--
	s.mu.Unlock()
}

// ask makes a request without waiting for its answer.
func (s *session) ask(ctx context.Context, kind string, request *pluginpb.HookRequest, update func(*pluginpb.InvokeUpdate) error) (uint64, *call, error) {
	c := &call{kind: kind, answer: make(chan *pluginpb.HookResponse, 1), update: update}
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return 0, nil, errNotAsked
	}
	if len(s.calls) >= maxOpenCalls {
		s.mu.Unlock()
		s.fail(fmt.Errorf("plugin left %d requests unanswered: %w", maxOpenCalls, errProtocol))
		return 0, nil, errDead
	}
	s.nextID++
	id := s.nextID
	s.calls[id] = c
	s.mu.Unlock()
	request.Id = id
	if err := s.out.put(ctx, request, nil); err != nil {
		s.mu.Lock()
		delete(s.calls, id)
		s.mu.Unlock()
		return 0, nil, s.orDead(err)
	}
	return id, c, nil
}

// orDead gives errDead when the session is over, else err.
func (s *session) orDead(err error) error {
	if s.isDead() {
		return errDead
	}
	return err
}

// call makes a request and waits for its answer. When none comes in time the
// session is over. Errors: errDead, of which errNotAsked is the case that the
// session was over before, ctx's, or a *pluginpb.Error as *PluginError.
func (s *session) call(ctx context.Context, kind string, request *pluginpb.HookRequest, within time.Duration) (*pluginpb.HookResponse, error) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	_, c, err := s.ask(ctx, kind, request, nil)
	if err != nil {
		return nil, err
	}
	select {
	case r := <-c.answer:
		return s.checkError(r)
	case <-timer.C:
		s.fail(fmt.Errorf("%s took longer than %s: %w", kind, within, errNoAnswer))
		return nil, errDead
	case <-s.dead:
		return nil, errDead
	case <-ctx.Done():
		return nil, s.orDead(ctx.Err())
	}
}

// checkError turns an answer that is an error into one.
func (s *session) checkError(r *pluginpb.HookResponse) (*pluginpb.HookResponse, error) {
	e := r.GetError()
	if e == nil {
		return r, nil
	}
	text := clean(e.GetMessage())
	if len(text) > 1<<10 {
		text = clean(text[:1<<10])
	}
	if text == "" {
		text = "failed without saying why"
	}
	code := codes.Code(max(e.GetCode(), 0)) //nolint:gosec // bounded below
	if code == codes.OK || code > codes.Unauthenticated {
		code = codes.Unknown
	}
	return nil, &PluginError{Plugin: s.name, Code: code, Text: text, Why: s.why(e)}
}

// why gives the reason of a plugin's error, in the plugin's domain; nil if it has
// none, or one that breaks the bounds: then the sentence has to do.
func (s *session) why(e *pluginpb.Error) *errdetails.ErrorInfo {
	// A plugin of the name "parley" would speak for the core.
	if s.name == failure.Domain || s.name == failure.DirectoryDomain || !failure.Valid(e.GetReason(), e.GetMetadata()) {
		return nil
	}
	return &errdetails.ErrorInfo{Reason: e.GetReason(), Domain: s.name, Metadata: e.GetMetadata()}
}

// forget says that nobody waits for an answer any more; the plugin still owes
// it.
func (s *session) forget(id uint64) {
	request := &pluginpb.HookRequest{Id: 0, Hook: &pluginpb.HookRequest_Cancel{Cancel: &pluginpb.CancelRequest{Id: id}}}
	s.mu.Lock()
	_, open := s.calls[id]
	if open {
		s.nextID++
		request.Id = s.nextID
	}
	s.mu.Unlock()
	if !open {
		return
	}
	ctx, cancel := context.WithTimeout(s.stream.Context(), time.Second)
	defer cancel()
	_ = s.out.put(ctx, request, nil) // a plugin that is not reading will not hear it
}

// stop asks the plugin to finish and exit, and waits for that at most within.
// The caller then kills what is left.
func (s *session) stop(within time.Duration) {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	_, c, err := s.ask(ctx, "Stop", &pluginpb.HookRequest{Hook: &pluginpb.HookRequest_Stop{Stop: &pluginpb.StopRequest{}}}, nil)
	if err == nil {
		select {
		case <-c.answer:
		case <-s.dead:
		case <-deadline.C:
			return
		}
	}
	_ = s.run.process.stdin.Close()
	s.fail(errHalted)
	select {
	case <-s.run.process.done:
	case <-deadline.C:
	}
}

// close ends the session and waits for its goroutines.
func (s *session) close() {
	s.fail(errHalted)
	s.wg.Wait()
}
