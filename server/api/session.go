package api

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/server/directory"
	"github.com/parley-chat/parley/server/limit"
)

// flushTimeout bounds how long a session that ends waits for what is being
// sent.
const flushTimeout = time.Second

// stream is one Session call. Its handler only waits for the end, because gRPC
// has nothing but the handler's return to end a Recv or Send from outside with
// a status of one's own. A second goroutine receives, one after the other, and
// owns the directory's session. A third one sends, and is there only while
// there is something to send: most sessions are idle most of the time, and a
// goroutine is a good part of what they cost.
type stream struct {
	service *Service
	grpc    directorypb.Directory_SessionServer
	caller  caller
	user    packet.UserID
	lease   *time.Timer
	pace    limit.Bucket  // owned by the receiver
	done    chan struct{} // closed by end
	session atomic.Pointer[directory.Session]
	legacy  atomic.Pointer[legacy] // nil for most: who has asked for 2019

	mu       sync.Mutex // guards all below; taken under a session's own
	err      error      // why it ended
	ended    bool
	flushing bool
	again    bool          // there is more to send than the flusher may have seen
	idle     chan struct{} // closed when the flusher is gone, if somebody waits
}

// Session implements directorypb.DirectoryServer.
func (s *Service) Session(grpc directorypb.Directory_SessionServer) error {
	c, a, err := s.account(grpc.Context())
	if err != nil {
		return err
	}
	if wait := s.limits.session.Take(string(a.User)); wait > 0 {
		return exhausted("This device connects too often.", wait)
	}
	defer c.meter.lift()()
	st := &stream{service: s, grpc: grpc, caller: c, user: a.User, done: make(chan struct{})}
	st.lease = time.AfterFunc(s.lease, func() { st.end(errLease) })
	defer st.lease.Stop()
	s.receivers.Add(1)
	// It outlives the handler by the time it takes to remove the presence.
	go st.receive()
	<-st.done
	st.awaitFlush()
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.err
}

// end ends the session; the first error stays.
func (st *stream) end(err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.ended {
		st.ended, st.err = true, err
		close(st.done)
	}
}

// receive handles what the client sends, until the session ends or a message
// needed more of the stack than a keep-alive. A stack that has grown would stay
// large for as long as the session waits, because Go shrinks one only while
// less than a quarter of it is in use: so a new goroutine goes on.
func (st *stream) receive() {
	for {
		req, err := st.grpc.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			st.end(err)
			break
		}
		st.lease.Reset(st.service.lease)
		if st.paced(costOf(req)) != nil {
			break
		}
		if err := st.handle(st.grpc.Context(), req); err != nil {
			st.end(statusOf(st.service.log, err))
			break
		}
		if req.GetKeepAlive() == nil {
			go st.receive()
			return
		}
	}
	st.legacy.Load().end()
	if s := st.session.Load(); s != nil {
		s.Close()
	}
	st.service.receivers.Done()
}

var errEnded = errors.New("session has ended")

// paced waits until the client may send another message of that cost.
func (st *stream) paced(cost int) error {
	for {
		wait := st.pace.Take(st.service.message, cost, time.Now())
		select {
		case <-st.done:
			return errEnded
		default:
		}
		if wait <= 0 {
			return nil
		}
		select {
		case <-st.done:
			return errEnded
		case <-time.After(wait):
		}
	}
}

// costOf counts a message as several when it is much work: lists are compared
// with those of everybody on them.
func costOf(req *directorypb.SessionRequest) int {
	size := func(c *directorypb.SetContacts) int { return (len(c.GetContacts()) + len(c.GetBlocked())) / 100 }
	return 1 + size(req.GetSetContacts()) + size(req.GetBegin().GetContacts()) + len(req.GetSetNet2019().GetWatched())/100
}

func (st *stream) handle(ctx context.Context, req *directorypb.SessionRequest) error {
	session := st.session.Load()
	if begin := req.GetBegin(); (begin != nil) != (session == nil) {
		return errBegin
	} else if begin != nil {
		return st.begin(ctx, begin)
	}
	switch r := req.GetRequest().(type) {
	case *directorypb.SessionRequest_KeepAlive:
		session.KeepAlive()
	case *directorypb.SessionRequest_Publish:
		endpoints, err := parseEndpoints(r.Publish)
		if err != nil {
			return err
		}
		if err := session.Publish(ctx, endpoints); err != nil {
			return err
		}
		st.moved(session)
	case *directorypb.SessionRequest_SetContacts:
		lists, err := parseLists(r.SetContacts)
		if err != nil {
			return err
		}
		return session.SetLists(ctx, lists)
	case *directorypb.SessionRequest_Deliver:
		session.Receipt(st.deliver(ctx, r.Deliver))
	case *directorypb.SessionRequest_Took:
		return session.Took(ctx, r.Took.GetDelivery())
	case *directorypb.SessionRequest_Relay:
		user, err := ParseUser(r.Relay.GetUser())
		if err != nil {
			return err
		}
		if len(r.Relay.GetPayload()) > directory.MaxRelay {
			return invalid("A relayed message has at most %d KiB.", directory.MaxRelay>>10)
		}
		return session.Relay(user, r.Relay.GetPayload())
	case *directorypb.SessionRequest_SetNet2019:
		st.setNet2019(session, r.SetNet2019)
	default:
		// A kind of a later version: what is not understood is not an error.
	}
	return nil
}

func (st *stream) begin(ctx context.Context, begin *directorypb.Begin) error {
	endpoints, err := parseEndpoints(begin.GetPublish())
	if err != nil {
		return err
	}
	lists, err := parseLists(begin.GetContacts())
	if err != nil {
		return err
	}
	if len(begin.GetAgent()) > packet.MaxAgent {
		return invalid("The program's name has at most %d bytes.", packet.MaxAgent)
	}
	observed := ""
	if st.caller.addr.IsValid() {
		observed = st.caller.addr.String()
	}
	session, err := st.service.dir.Begin(ctx, directory.Start{
		Key: st.caller.key, Endpoints: endpoints, Lists: lists, Observed: observed, Wake: st.wake,
		Over: func(cause error) { st.end(statusOf(st.service.log, cause)) },
	})
	if err != nil {
		return err
	}
	st.session.Store(session)
	st.wake()
	return nil
}

// deliver keeps a packet for somebody. What is wrong with it concerns that
// packet alone and is said in its receipt.
func (st *stream) deliver(ctx context.Context, d *directorypb.Deliver) *directorypb.Receipt {
	err := func() error {
		to, kind, err := parseDeliver(d, st.user, st.caller.key)
		if err != nil {
			return err
		}
		if wait := st.service.limits.deliver.Take(string(st.user)); wait > 0 {
			return exhausted("Too many requests were sent.", wait)
		}
		err = st.service.dir.Keep(ctx, to, st.user, kind, d.GetPacket())
		if errors.Is(err, directory.ErrNoUser) {
			return status.Errorf(codes.NotFound, "There is no user %s here.", to)
		}
		return statusOf(st.service.log, err)
	}()
	s := status.Convert(err)
	return &directorypb.Receipt{Id: d.GetId(), Code: int32(s.Code()), Message: s.Message()}
}

// wake has what waits sent. It never blocks.
func (st *stream) wake() {
	if st.session.Load() == nil {
		return // begin wakes once it is there
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case st.flushing:
		st.again = true
	case !st.ended:
		st.flushing = true
		go st.flush()
	}
}

// flush sends what waits, and is gone.
func (st *stream) flush() {
	session := st.session.Load()
	for {
		m := session.Next(st.grpc.Context())
		if m == nil {
			m = st.legacy.Load().next()
		}
		if m != nil {
			if err := st.grpc.Send(m); err != nil {
				st.end(err)
				st.flushed(true)
				return
			}
			continue
		}
		if st.flushed(false) {
			return
		}
	}
}

// flushed notes that the flusher goes; not ok when there is more to send.
func (st *stream) flushed(failed bool) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.again && !failed {
		st.again = false
		return false
	}
	st.flushing = false
	if st.idle != nil {
		close(st.idle)
		st.idle = nil
	}
	return true
}

// awaitFlush waits for the flusher, but not for long: with a client that does
// not read it would wait forever, and the handler's return is what ends it.
func (st *stream) awaitFlush() {
	st.mu.Lock()
	var idle chan struct{}
	if st.flushing {
		idle = make(chan struct{})
		st.idle = idle
	}
	st.mu.Unlock()
	if idle == nil {
		return
	}
	timeout := time.NewTimer(flushTimeout)
	defer timeout.Stop()
	select {
	case <-idle:
	case <-timeout.C:
	case <-st.grpc.Context().Done():
	}
}
