package plugintest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

const maxMessage = 4 << 20

var errDead = errors.New("the plugin's session is over")

// conn is a session with a plugin that runs in this process.
type conn struct {
	host   *Host
	stream *stream
	cancel context.CancelFunc
	wg     sync.WaitGroup
	asked  chan *pluginpb.HostRequest
	dead   chan struct{} // closed when the plugin's side has returned

	mu    sync.Mutex // guards all below
	last  uint64
	calls map[uint64]*pending
}

// pending is a request the plugin has not answered.
type pending struct {
	answer chan *pluginpb.HookResponse
	update func(*pluginpb.InvokeUpdate)
}

func dial(h *Host, p sdk.Plugin) *conn {
	ctx, cancel := context.WithCancel(context.Background())
	c := &conn{
		host: h, cancel: cancel, asked: make(chan *pluginpb.HostRequest, 64), dead: make(chan struct{}), calls: map[uint64]*pending{},
		stream: &stream{ctx: ctx, toPlugin: make(chan *pluginpb.CoreMessage), toCore: make(chan *pluginpb.PluginMessage)},
	}
	service := sdk.Service(p)
	c.wg.Go(func() {
		defer close(c.dead)
		defer cancel()
		if err := service.Session(c.stream); err != nil && !errors.Is(err, context.Canceled) {
			h.t.Errorf("plugintest: session of %s: %v", h.cfg.User, err)
		}
	})
	c.wg.Go(c.read)
	c.wg.Go(c.serve)
	return c
}

// kill ends the session and waits until the plugin has returned.
func (c *conn) kill() {
	c.cancel()
	c.wg.Wait()
}

func (c *conn) isDead() bool { return c.stream.ctx.Err() != nil }

func (c *conn) read() {
	for {
		select {
		case m := <-c.stream.toCore:
			for _, r := range m.GetResponses() {
				c.answered(r)
			}
			for _, r := range m.GetRequests() {
				if log := r.GetLog(); log != nil {
					c.host.logged(log)
					continue
				}
				select {
				case c.asked <- r:
				default:
					c.host.t.Errorf("plugintest: more than %d requests of the plugin are open", cap(c.asked))
				}
			}
		case <-c.stream.ctx.Done():
			return
		}
	}
}

func (c *conn) answered(r *pluginpb.HookResponse) {
	c.mu.Lock()
	p := c.calls[r.GetId()]
	if r.GetUpdate() == nil {
		delete(c.calls, r.GetId())
	}
	c.mu.Unlock()
	switch {
	case p == nil:
		c.host.t.Errorf("plugintest: the plugin answered a request %d that is not open", r.GetId())
	case r.GetUpdate() == nil:
		p.answer <- r
	case p.update == nil:
		c.host.t.Errorf("plugintest: the plugin sent an update to something else than Invoke")
	default:
		p.update(r.GetUpdate())
	}
}

// serve answers the plugin's requests, one after the other.
func (c *conn) serve() {
	for {
		select {
		case r := <-c.asked:
			response := c.host.serve(r)
			response.Id = r.GetId()
			_ = c.stream.toThePlugin(&pluginpb.CoreMessage{Responses: []*pluginpb.HostResponse{response}}) // fails when it is over
		case <-c.stream.ctx.Done():
			return
		}
	}
}

func (c *conn) ask(r *pluginpb.HookRequest, update func(*pluginpb.InvokeUpdate)) (*pending, error) {
	p := &pending{answer: make(chan *pluginpb.HookResponse, 1), update: update}
	c.mu.Lock()
	c.last++
	r.Id = c.last
	c.calls[r.GetId()] = p
	c.mu.Unlock()
	return p, c.stream.toThePlugin(&pluginpb.CoreMessage{Requests: []*pluginpb.HookRequest{r}})
}

func (c *conn) call(ctx context.Context, r *pluginpb.HookRequest, within time.Duration) (*pluginpb.HookResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	p, err := c.ask(r, nil)
	if err != nil {
		return nil, err
	}
	select {
	case got := <-p.answer:
		return got, answerError(got)
	case <-c.dead:
		return nil, errDead
	case <-ctx.Done():
		return nil, fmt.Errorf("no answer within %s: %w", within, ctx.Err())
	}
}

func (c *conn) invoke(ctx context.Context, request *pluginpb.InvokeRequest, update func(*pluginpb.InvokeUpdate)) (*pluginpb.InvokeResponse, error) {
	r := &pluginpb.HookRequest{Hook: &pluginpb.HookRequest_Invoke{Invoke: request}}
	p, err := c.ask(r, update)
	if err != nil {
		return nil, err
	}
	cancelled := ctx.Done()
	for {
		select {
		case got := <-p.answer:
			return got.GetInvoke(), answerError(got)
		case <-c.dead:
			return nil, errDead
		case <-cancelled:
			cancelled = nil // and now it owes an answer still
			c.mu.Lock()
			c.last++
			id := c.last
			c.mu.Unlock()
			err := c.stream.toThePlugin(&pluginpb.CoreMessage{Requests: []*pluginpb.HookRequest{{
				Id: id, Hook: &pluginpb.HookRequest_Cancel{Cancel: &pluginpb.CancelRequest{Id: r.GetId()}},
			}}})
			if err != nil {
				return nil, err
			}
		}
	}
}

func answerError(r *pluginpb.HookResponse) error {
	if e := r.GetError(); e != nil {
		return &sdk.Error{Code: codes.Code(e.GetCode()), Text: e.GetMessage()} //nolint:gosec // only shown
	}
	return nil
}

// stream is the plugin's end of a session. What passes is copied and bounded, as
// on a real one.
type stream struct {
	grpc.ServerStream
	ctx      context.Context
	toPlugin chan *pluginpb.CoreMessage
	toCore   chan *pluginpb.PluginMessage
}

func (s *stream) Context() context.Context { return s.ctx }

func (s *stream) Recv() (*pluginpb.CoreMessage, error) {
	select {
	case m := <-s.toPlugin:
		return m, nil
	case <-s.ctx.Done():
		return nil, io.EOF
	}
}

func (s *stream) Send(m *pluginpb.PluginMessage) error {
	if size := proto.Size(m); size > maxMessage {
		return fmt.Errorf("message of %d bytes, at most %d are allowed", size, maxMessage)
	}
	select {
	case s.toCore <- proto.CloneOf(m):
		return nil
	case <-s.ctx.Done():
		return io.EOF
	}
}

func (s *stream) toThePlugin(m *pluginpb.CoreMessage) error {
	if size := proto.Size(m); size > maxMessage {
		return fmt.Errorf("message to the plugin of %d bytes, at most %d are allowed", size, maxMessage)
	}
	select {
	case s.toPlugin <- proto.CloneOf(m):
		return nil
	case <-s.ctx.Done():
		return errDead
	}
}
