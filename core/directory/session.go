package directory

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/packet/net2019"
)

const (
	maxPending  = 64 // Delivers without a receipt
	receiptTime = 20 * time.Second
)

// goAwayError ends a session because the directory asked for it.
type goAwayError struct{}

func (*goAwayError) Error() string {
	return "The directory is restarting; connecting again in a moment."
}

func (*goAwayError) Unwrap() error { return ErrUnreachable }

// session is one Session call. Its goroutines: Serve's, which sends and waits,
// and a receiver.
type session struct {
	client *Client
	link   *link
	stream directorypb.Directory_SessionClient
	out    chan *directorypb.SessionRequest // taken by the sender
	done   chan struct{}                    // closed when the session is over

	received chan struct{} // closed when the receiver has ended
	recvErr  error         // why it has; written before received is closed

	// watchdog ends the session when the directory is silent.
	watchdog *time.Timer

	mu      sync.Mutex // guards all below
	lastID  uint64
	pending map[uint64]chan *directorypb.Receipt

	// Owned by the sender: what the directory knows.
	endpoints []bus.Endpoint
	contacts  []packet.UserID
	blocked   []packet.UserID
	net2019   uint64 // serial of the wish
}

func milliseconds(n uint32) time.Duration { return time.Duration(n) * time.Millisecond }

var errNetworkLost = &Error{Kind: ErrUnreachable, Text: "This device has lost the network by which it was connected to the directory; connecting again when it can.",
	Why: failure.Because("DIRECTORY_NETWORK_LOST")}

var errSilent = &Error{Kind: ErrUnreachable, Text: "The directory has gone silent; connecting again.", Why: failure.Because("DIRECTORY_LOST")}

// connect has one session, and says why it ended.
func (c *Client) connect(ctx context.Context) error {
	l, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &session{
		client: c, link: l, out: make(chan *directorypb.SessionRequest),
		done: make(chan struct{}), received: make(chan struct{}), pending: map[uint64]chan *directorypb.Receipt{},
	}
	s.watchdog = time.AfterFunc(c.cfg.timing.begin, func() { cancel(errSilent) })
	defer s.watchdog.Stop()
	if s.stream, err = l.client.Session(ctx); err != nil {
		return s.reason(ctx, err)
	}
	go func() {
		defer close(s.received)
		s.recvErr = s.receive()
	}()
	err = s.send(ctx)
	cancel(err)
	<-s.received // nothing of this session is published after it
	c.mu.Lock()
	c.session = nil
	c.mu.Unlock()
	close(s.done)
	if err == nil {
		err = s.recvErr
	}
	return s.reason(ctx, err)
}

// dial connects, and begins anew when the network changes meanwhile: what was
// sent into the old one is lost, and waiting for it to be sent again takes longer.
func (c *Client) dial(ctx context.Context) (*link, error) {
	for {
		dialing, cancel := context.WithCancel(ctx)
		connected, watched := make(chan struct{}), make(chan struct{})
		woken := false
		go func() {
			defer close(watched)
			select {
			case <-c.wake:
				woken = true
				cancel()
			case <-connected:
			}
		}()
		l, err := dial(dialing, c.cfg.target(), false)
		close(connected)
		<-watched
		cancel()
		if err == nil || !woken || ctx.Err() != nil {
			return l, err
		}
	}
}

// reason says why the session ended.
func (s *session) reason(ctx context.Context, err error) error {
	var own *Error
	var away *goAwayError
	switch cause := context.Cause(ctx); {
	case errors.As(err, &away):
		return away
	case errors.As(cause, &own):
		return own
	case errors.As(err, &own):
		return own
	case errors.Is(err, io.EOF):
		return &Error{Kind: ErrUnreachable, Text: "The directory ended the session.", Why: failure.Because("DIRECTORY_LOST"), cause: err}
	}
	// The context is over by now for our own reason, which is none of the call's.
	return callError(context.WithoutCancel(ctx), s.link.address, err, ErrNotLoggedIn)
}

// send begins the session and sends what is to be sent until it ends. It gives
// nil when the receiver has the reason.
func (s *session) send(ctx context.Context) error {
	if err := s.sendBegin(); err != nil {
		return s.sendFailed(err)
	}
	timing := s.client.cfg.timing
	keepAlive := time.NewTicker(timing.keepAlive)
	defer keepAlive.Stop()
	var gather <-chan time.Time
	for {
		var req *directorypb.SessionRequest
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.received:
			return nil
		case req = <-s.out:
		case <-keepAlive.C:
			req = keepAliveRequest()
		case <-s.client.wake:
			if !s.client.cfg.alive(s.link.local) {
				return errNetworkLost
			}
			// If no answer comes the watchdog bites sooner than it would.
			s.watchdog.Reset(timing.probe)
			req = keepAliveRequest()
		case <-s.client.refresh:
			if gather == nil {
				gather = time.After(timing.coalesce)
			}
		case <-gather:
			gather = nil
			if err := s.sendChanges(); err != nil {
				return s.sendFailed(err)
			}
		}
		if req != nil {
			if err := s.stream.Send(req); err != nil {
				return s.sendFailed(err)
			}
		}
	}
}

// sendFailed leaves it to the receiver to say why a Send failed: gRPC says no
// more than io.EOF.
func (s *session) sendFailed(err error) error {
	if errors.Is(err, io.EOF) {
		<-s.received
		return nil
	}
	return err
}

func keepAliveRequest() *directorypb.SessionRequest {
	return &directorypb.SessionRequest{Request: &directorypb.SessionRequest_KeepAlive{KeepAlive: &directorypb.KeepAlive{}}}
}

func (s *session) sendBegin() error {
	s.readLists()
	s.endpoints = s.client.endpoints()
	err := s.stream.Send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_Begin{Begin: &directorypb.Begin{
		Publish: publish(s.endpoints), Contacts: s.lists(), Agent: s.client.cfg.Agent,
	}}})
	if err != nil {
		return err
	}
	return s.sendNet2019()
}

// sendChanges sends what differs from what the directory knows.
func (s *session) sendChanges() error {
	contacts, blocked := s.contacts, s.blocked
	s.readLists()
	if !slices.Equal(contacts, s.contacts) || !slices.Equal(blocked, s.blocked) {
		err := s.stream.Send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_SetContacts{SetContacts: s.lists()}})
		if err != nil {
			return err
		}
	}
	endpoints := s.client.endpoints()
	if !slices.Equal(endpoints, s.endpoints) {
		s.endpoints = endpoints
		err := s.stream.Send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_Publish{Publish: publish(endpoints)}})
		if err != nil {
			return err
		}
	}
	return s.sendNet2019()
}

// readLists reads contacts and blocked users anew. What a directory does not
// take is cut off.
func (s *session) readLists() {
	tidy := func(what string, users []packet.UserID) []packet.UserID {
		users = slices.Clone(users)
		slices.Sort(users)
		users = slices.Compact(users)
		if len(users) > maxContacts {
			s.client.cfg.Log.Warn("list is too long for the directory, and cut", "list", what, "users", len(users))
			users = users[:maxContacts]
		}
		return users
	}
	contacts, blocked := s.client.cfg.Contacts()
	s.contacts, s.blocked = tidy("contacts", contacts), tidy("blocked", blocked)
	s.client.setWatched(s.contacts)
}

func (s *session) lists() *directorypb.SetContacts {
	names := func(users []packet.UserID) []string {
		out := make([]string, len(users))
		for i, user := range users {
			out[i] = string(user)
		}
		return out
	}
	return &directorypb.SetContacts{Contacts: names(s.contacts), Blocked: names(s.blocked)}
}

func (c *Client) endpoints() []bus.Endpoint {
	endpoints := slices.Clone(c.cfg.Endpoints())
	return endpoints[:min(len(endpoints), maxEndpoints)]
}

func publish(endpoints []bus.Endpoint) *directorypb.Publish {
	pb := &directorypb.Publish{}
	for _, e := range endpoints {
		pb.Endpoints = append(pb.Endpoints, &directorypb.Endpoint{Host: e.Host, Port: uint32(e.Port)})
	}
	return pb
}

// start makes the session the client's.
func (s *session) start(b *directorypb.Begun) {
	c := s.client
	c.returns.advise(milliseconds(b.GetSpreadMs()))
	c.forgetRevisions()
	c.mu.Lock()
	c.session = s
	c.mu.Unlock()
	state := bus.DirectoryState{Connected: true, Observed: observed(b.GetObservedHost())}
	if t := b.GetTime(); t > 0 && t < 1<<53 {
		state.ClockOffset = time.Since(time.UnixMicro(t))
	}
	c.setState(state)
	c.cfg.Log.Info("connected to the directory", "address", s.link.address)
}

// receive takes what the directory sends until the session ends.
func (s *session) receive() error {
	c := s.client
	begun := false
	for {
		m, err := s.stream.Recv()
		if err != nil {
			return err
		}
		s.watchdog.Reset(c.cfg.timing.silence) // first, so that a probe's shorter time comes after it
		if b := m.GetBegun(); (b != nil) == begun {
			return &Error{Kind: ErrProtocol, Text: "The directory did not begin the session as it should."}
		} else if b != nil {
			begun = true
			s.start(b)
		}
		if err := s.handle(m); err != nil {
			return err
		}
	}
}

func (s *session) handle(m *directorypb.SessionResponse) error {
	c := s.client
	switch r := m.GetResponse().(type) {
	case *directorypb.SessionResponse_Net2019State:
		c.net2019Answered(r.Net2019State)
	case *directorypb.SessionResponse_Presence:
		if net2019.IsName(r.Presence.GetUser()) {
			c.setLocated(r.Presence)
			return nil
		}
		p, ok := parsePresence(r.Presence)
		if !ok {
			c.cfg.Log.Warn("malformed presence from the directory ignored")
			return nil
		}
		c.setPresence(p, r.Presence.GetRevision())
	case *directorypb.SessionResponse_Receipt:
		s.mu.Lock()
		waiter := s.pending[r.Receipt.GetId()]
		delete(s.pending, r.Receipt.GetId())
		s.mu.Unlock()
		if waiter != nil {
			waiter <- r.Receipt
		}
	case *directorypb.SessionResponse_Delivered:
		d, ok := parseDelivered(r.Delivered)
		if !ok {
			c.cfg.Log.Warn("malformed packet from the directory ignored")
			return nil
		}
		bus.Publish(c.cfg.Bus, bus.DirectoryDelivered, d)
	case *directorypb.SessionResponse_KeepAlive:
		c.returns.advise(milliseconds(r.KeepAlive.GetSpreadMs()))
	case *directorypb.SessionResponse_GoAway:
		c.returns.advise(milliseconds(r.GoAway.GetSpreadMs()))
		return &goAwayError{}
	}
	// Relay: nothing uses it yet.
	return nil
}

// Deliver hands an encoded packet to a user by way of the directory; nil once
// the directory has handed it over or keeps it. Besides the kinds of every
// call: ErrNoUser, ErrInvalid, ErrLimit.
func (c *Client) Deliver(ctx context.Context, to packet.UserID, encoded []byte) error {
	ctx, cancel := context.WithTimeout(ctx, receiptTime)
	defer cancel()
	s, err := c.current()
	if err != nil {
		return err
	}
	id, receipt, err := s.expectReceipt()
	if err != nil {
		return err
	}
	defer s.dropReceipt(id)
	err = s.request(ctx, &directorypb.SessionRequest{Request: &directorypb.SessionRequest_Deliver{
		Deliver: &directorypb.Deliver{Id: id, To: string(to), Packet: encoded},
	}})
	if err != nil {
		return err
	}
	select {
	case r := <-receipt:
		return receiptError(r)
	case <-s.done:
		return lost()
	case <-ctx.Done():
		return timedOut(ctx, s.link.address)
	}
}

// Took tells the directory that a delivered packet is stored here. When that
// gets lost the packet comes again in the next session.
func (c *Client) Took(ctx context.Context, delivery uint64) error {
	s, err := c.current()
	if err != nil {
		return err
	}
	return s.request(ctx, &directorypb.SessionRequest{Request: &directorypb.SessionRequest_Took{
		Took: &directorypb.Took{Delivery: delivery},
	}})
}

func lost() error {
	return &Error{Kind: ErrUnreachable, Text: "The connection to the directory broke before it answered.", Why: failure.Because("DIRECTORY_LOST")}
}

// request has the sender send something.
func (s *session) request(ctx context.Context, req *directorypb.SessionRequest) error {
	select {
	case s.out <- req:
		return nil
	case <-s.done:
		return lost()
	case <-ctx.Done():
		return timedOut(ctx, s.link.address)
	}
}

func (s *session) expectReceipt() (uint64, chan *directorypb.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) >= maxPending {
		return 0, nil, &Error{Kind: ErrLimit, Text: "Too much is being handed to the directory at once; try again in a moment.", Retry: time.Second,
			Why: failure.Because("DIRECTORY_BUSY")}
	}
	s.lastID++
	ch := make(chan *directorypb.Receipt, 1)
	s.pending[s.lastID] = ch
	return s.lastID, ch, nil
}

func (s *session) dropReceipt(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pending, id)
}

func receiptError(r *directorypb.Receipt) error {
	code := codes.Code(r.GetCode())
	if code == codes.OK {
		return nil
	}
	e := &Error{Kind: ErrInternal, Text: sentence(r.GetMessage())}
	for _, k := range kindCodes {
		if k.code == code {
			e.Kind = k.kind
			break
		}
	}
	if e.Text == "" {
		e.Text = "The directory refused the packet and did not say why."
	}
	return e
}
