package net2019

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/internal/gate"
	"github.com/parley-chat/parley/protocol/packet"
	wire "github.com/parley-chat/parley/protocol/packet/net2019"
)

// run is one time of being logged in, from start to stop.
type run struct {
	s      *Service
	set    setting
	ctx    context.Context //nolint:containedctx // lives exactly as long as the run
	cancel context.CancelFunc
	group  sync.WaitGroup
	first  chan error // has room for one: what came of the first log-in

	asks  chan struct{} // wakes who asks a server; has room for one
	steer chan struct{} // wakes who dials; has room for one

	reading chan struct{} // held by who reads a long frame; has room for maxReading

	gate *gate.Gate
	port uint16 // listened on; set before anything else runs

	mu      sync.Mutex // guards all below; taken after Service.mu
	serial  uint64     // of the latest link
	places  map[wire.ID]*place
	pairs   map[pairKey]*pair
	invited map[packet.ChatID]wire.ID // groups opened by somebody who is no contact yet
	calls   map[wire.ID]time.Time     // when a call was last told of, and
	long    map[wire.ID]time.Time     // a text that was too long
	lost    map[wire.ID]bool          // who were connected before, without a farewell since
}

// place is what is known of where somebody is.
type place struct {
	online bool
	where  netip.AddrPort
	asked  time.Time // when a server was last asked; zero: not in this session
}

// start begins a run; one that is off does nothing.
func (s *Service) start(ctx context.Context, set setting) *run {
	r := newRun(ctx, s, set)
	r.lost = s.lastLinked()
	s.mu.Lock()
	s.run = r
	s.mu.Unlock()
	if !set.On {
		r.first <- nil
		s.report(0, false, nil)
		return r
	}
	r.group.Go(r.serve)
	return r
}

func newRun(ctx context.Context, s *Service, set setting) *run {
	r := &run{
		s: s, set: set, first: make(chan error, 1), asks: make(chan struct{}, 1), steer: make(chan struct{}, 1),
		gate: gate.New(unknown), places: map[wire.ID]*place{}, pairs: map[pairKey]*pair{}, invited: map[packet.ChatID]wire.ID{}, calls: map[wire.ID]time.Time{},
		long: map[wire.ID]time.Time{}, reading: make(chan struct{}, maxReading),
	}
	r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx)) // stop ends it, with farewells
	return r
}

// stop ends the run and waits for it. leave says that the user goes for good, and
// not only Parley.
func (r *run) stop(leave bool) {
	r.mu.Lock()
	var links []*link
	for _, p := range r.pairs {
		links = append(links, p.links...)
	}
	r.mu.Unlock()
	var saying sync.WaitGroup
	for _, l := range links {
		// In a group a farewell ends the group for the others.
		saying.Go(func() { l.farewell(leave || !l.chat.Group()) })
	}
	saying.Wait()
	r.cancel()
	r.group.Wait()
	r.noneOnline()
}

// outcome waits for what comes of the first log-in.
func (r *run) outcome(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.s.cfg.timing.outcome, errSlow)
	defer cancel()
	select {
	case err := <-r.first:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-r.ctx.Done():
		return errClosed
	}
}

var errSlow = failure.New(ErrUnreachable, "The log-in to net2019 got no answer; check the address, and whether the server is running.").Because("NET2019_SLOW")

// tell says what came of a log-in, if it is the first, and reports it.
func (r *run) tell(in bool, err error) {
	if r.ctx.Err() != nil {
		return
	}
	r.s.report(r.port, in, err)
	select {
	case r.first <- err:
	default:
	}
}

// serve listens and logs in until the run ends.
func (r *run) serve() {
	var wait backoff
	for {
		l, port, err := r.listen()
		if err == nil {
			r.port = port
			r.serveOn(l)
			return
		}
		r.tell(false, err)
		if !wait.pause(r.ctx, r.s.cfg.timing) {
			return
		}
	}
}

// serveOn logs in, with a listener.
func (r *run) serveOn(l net.Listener) {
	var group sync.WaitGroup
	defer context.AfterFunc(r.ctx, func() { _ = l.Close() })()
	group.Go(func() { r.accept(l) })
	group.Go(r.dialAll)
	if r.set.Server == "" {
		group.Go(r.serveNative)
	} else {
		group.Go(r.serveServer)
	}
	group.Wait()
}

// listen gives a listener where others are told to connect.
func (r *run) listen() (net.Listener, uint16, error) {
	listen := func(port uint16) (net.Listener, uint16, error) {
		l, err := new(net.ListenConfig).Listen(r.ctx, "tcp", net.JoinHostPort(r.s.cfg.Host, strconv.Itoa(int(port))))
		if err != nil {
			return nil, 0, err
		}
		return l, l.Addr().(*net.TCPAddr).AddrPort().Port(), nil
	}
	if r.set.Port != 0 {
		l, port, err := listen(r.set.Port)
		if err != nil {
			why := err.Error()
			if errors.Is(err, syscall.EADDRINUSE) {
				why = "another program has it"
			}
			return nil, 0, failure.New(ErrPort, "Nobody of 2019 can connect: port %d cannot be listened on: %s. Choose another (parley login --net2019 ... --port N).", r.set.Port, why).Because("NET2019_PORT", "port", r.set.Port, "why", why)
		}
		return l, port, nil
	}
	l, port, err := listen(wire.DefaultPort)
	for range 16 {
		if err == nil && wire.CheckPort(port) == nil {
			return l, port, nil
		}
		if err == nil {
			_ = l.Close()
		}
		l, port, err = listen(0)
	}
	if err == nil {
		_ = l.Close()
		err = fmt.Errorf("port %d is not one that the protocol takes", port)
	}
	return nil, 0, failure.New(ErrPort, "Nobody of 2019 can connect: %v", err).Because("NET2019_NO_PORT", "why", err)
}

// backoff is a pause that grows.
type backoff struct{ last time.Duration }

// pause waits; false when ctx has ended.
func (b *backoff) pause(ctx context.Context, t timing) bool {
	b.last = min(max(2*b.last, t.backoff), t.pause)
	timer := time.NewTimer(b.last)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
