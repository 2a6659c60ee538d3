package plugintest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

const maxMessage = 4 << 20

var errDead = errors.New("the plugin's session is over")

// link carries the messages of a session, to a plugin in this process or in one
// of its own.
type link interface {
	// send hands a message over; an error says that the session is over.
	send(m *pluginpb.CoreMessage) error
	// recv gives the next message; an error says that the session is over, and
	// is nil never.
	recv() (*pluginpb.PluginMessage, error)
	// kill ends the session without ceremony and waits until the plugin is gone.
	// Idempotent.
	kill()
}

// conn is a session with a plugin.
type conn struct {
	host  *Host
	link  link
	wg    sync.WaitGroup
	asked chan *pluginpb.HostRequest
	dead  chan struct{} // closed when the session is over

	mu    sync.Mutex // guards all below
	last  uint64
	calls map[uint64]*pending
}

// pending is a request the plugin has not answered.
type pending struct {
	answer chan *pluginpb.HookResponse
	update func(*pluginpb.InvokeUpdate)
}

// dial starts the plugin.
func dial(h *Host) (*conn, error) {
	var l link
	if h.cfg.Path != "" {
		p, err := startProcess(h)
		if err != nil {
			return nil, err
		}
		l = p
	} else {
		l = startStream(h)
	}
	c := &conn{host: h, link: l, asked: make(chan *pluginpb.HostRequest, 64), dead: make(chan struct{}), calls: map[uint64]*pending{}}
	c.wg.Go(c.read)
	c.wg.Go(c.serve)
	return c, nil
}

// kill ends the session and waits until the plugin has returned.
func (c *conn) kill() {
	c.link.kill()
	c.wg.Wait()
}

func (c *conn) isDead() bool {
	select {
	case <-c.dead:
		return true
	default:
		return false
	}
}

func (c *conn) read() {
	defer close(c.dead)
	for {
		m, err := c.link.recv()
		if err != nil {
			return
		}
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
			_ = c.link.send(&pluginpb.CoreMessage{Responses: []*pluginpb.HostResponse{response}}) // fails when it is over
		case <-c.dead:
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
	return p, c.link.send(&pluginpb.CoreMessage{Requests: []*pluginpb.HookRequest{r}})
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
			err := c.link.send(&pluginpb.CoreMessage{Requests: []*pluginpb.HookRequest{{
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
		return &sdk.Error{Code: codes.Code(e.GetCode()), Text: e.GetMessage(), Reason: e.GetReason(), Metadata: e.GetMetadata()} //nolint:gosec // only shown
	}
	return nil
}
