package conn

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/protocol/packet"
)

// round is one try of all of a user's endpoints at once.
type round struct {
	m    *Manager
	user packet.UserID

	// hello is the right to send a Hello: one connection at a time, so that the
	// peer is not offered two.
	hello chan struct{}
	won   context.CancelFunc

	mu   sync.Mutex // guards both below
	link *link
	errs []error
}

// dialAll races a user's endpoints for a link. The first one has a head start.
func (m *Manager) dialAll(ctx context.Context, user packet.UserID, endpoints []bus.Endpoint) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &round{m: m, user: user, hello: make(chan struct{}, 1), won: cancel}
	ahead, release := context.WithCancel(ctx)
	defer release()
	defer time.AfterFunc(m.timing.headStart, release).Stop()
	var wg sync.WaitGroup
	for i, endpoint := range endpoints {
		wg.Go(func() {
			if i > 0 {
				<-ahead.Done()
			} else {
				defer release()
			}
			r.try(ctx, endpoint)
		})
	}
	wg.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.link != nil {
		return nil
	}
	return errors.Join(r.errs...)
}

// try makes one endpoint a link, or notes why not.
func (r *round) try(ctx context.Context, endpoint bus.Endpoint) {
	l, err := r.dial(ctx, endpoint)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			r.errs = append(r.errs, err)
		}
		return
	}
	r.link = l
	r.won()
}

func (r *round) dial(ctx context.Context, endpoint bus.Endpoint) (*link, error) {
	conn, err := r.connect(ctx, endpoint)
	if err != nil {
		return nil, err
	}
	s := newSession(conn)
	l, err := r.offerInTurn(ctx, s, endpoint)
	if err != nil {
		err = fmt.Errorf("dial %s at %s: %w", r.user, conn.RemoteAddr(), err)
		r.m.judge(r.user, err)
		r.m.endSession(s, err)
		return nil, err
	}
	r.m.wg.Go(l.serve)
	return l, nil
}

func (r *round) offerInTurn(ctx context.Context, s *session, endpoint bus.Endpoint) (*link, error) {
	select {
	case r.hello <- struct{}{}:
		defer func() { <-r.hello }()
		return r.offer(ctx, s, endpoint)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (r *round) connect(ctx context.Context, endpoint bus.Endpoint) (Conn, error) {
	dials := r.m.dialsOf(r.user)
	if err := dials.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer dials.Release(1)
	ctx, cancel := context.WithTimeout(ctx, r.m.timing.dial)
	defer cancel()
	return r.m.config.Transport.Dial(ctx, Target{
		User: r.user, Endpoint: endpoint, Protocol: ProtocolLink,
		Verify: func(key ed25519.PublicKey) error { return r.m.mayLinkWith(r.user, key) },
	})
}

// offer sends the Hello and takes the answer.
func (r *round) offer(ctx context.Context, s *session, endpoint bus.Endpoint) (*link, error) {
	m := r.m
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	device := packet.DeviceIDOf(s.PeerKey())
	o, err := m.beginOffer(device, cancel)
	if err != nil {
		if errors.Is(err, errLinked) {
			m.belongs(r.user, endpoint, device)
		}
		return nil, err
	}
	l, err := r.exchange(ctx, s, endpoint)
	if err != nil {
		if endErr := m.endOffer(o, nil); endErr != nil {
			err = endErr
		}
		return nil, err
	}
	if err := m.endOffer(o, l); err != nil {
		return nil, refuse(packet.ByeDuplicate, err, "another link between these devices is kept")
	}
	return l, nil
}

func (r *round) exchange(ctx context.Context, s *session, endpoint bus.Endpoint) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, r.m.timing.hello)
	defer cancel()
	defer closeOn(ctx, s)()
	deadline, _ := ctx.Deadline()
	_ = s.SetDeadline(deadline)
	err := r.m.sendHello(s)
	if err == nil {
		_, err = r.m.readHello(s, r.user)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		return nil, err
	}
	return r.m.newLink(s, r.user, endpoint, true), nil
}
