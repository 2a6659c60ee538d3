package conn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/protocol/packet"
)

// acceptAll takes connections until the listener is closed.
func (m *Manager) acceptAll(ctx context.Context, l Listener) error {
	delay := time.Duration(0)
	for {
		in, err := l.Accept()
		switch {
		case err == nil:
			delay = 0
			m.admit(ctx, in)
			continue
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("listen for peers: %w", err)
		}
		// Passing, as when there are too many open files: wait for it to pass.
		delay = min(max(2*delay, 5*time.Millisecond), time.Second)
		m.loud.Do(func() { m.log.Warn("cannot accept connections", "err", err) })
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(delay):
		}
	}
}

// admit has a stranger handled if the limits allow.
func (m *Manager) admit(ctx context.Context, in Incoming) {
	leave, err := m.gate.Enter(in.Remote().Addr())
	if err != nil {
		in.Drop()
		m.loud.Do(func() { m.log.Warn("connections are dropped", "err", err) })
		return
	}
	m.wg.Go(func() {
		defer leave()
		m.welcome(ctx, in)
	})
}

// welcome brings an incoming connection to the point where it is a link.
func (m *Manager) welcome(ctx context.Context, in Incoming) {
	ctx, cancel := context.WithTimeout(ctx, m.timing.handshake)
	defer cancel()
	conn, err := in.Handshake(ctx, m.mayLink)
	if err != nil {
		m.quiet.Do(func() { m.log.Info("connection refused", "remote", in.Remote(), "err", err) })
		return
	}
	user, _, known := m.config.Book.Device(packet.DeviceIDOf(conn.PeerKey()))
	switch {
	case !known: // it went while we shook hands
		_ = conn.Close()
	case conn.Protocol() == ProtocolLink:
		m.answer(ctx, newSession(conn), user, in)
	case conn.Protocol() == ProtocolStream && m.config.AcceptStream != nil:
		if err := m.welcomeStream(ctx, conn); err != nil {
			m.quiet.Do(func() { m.log.Info("stream refused", "user", user, "remote", in.Remote(), "err", err) })
			_ = conn.Close()
		}
	default:
		_ = conn.Close()
	}
}

// answer reads the peer's Hello, decides, and answers.
func (m *Manager) answer(ctx context.Context, s *session, user packet.UserID, in Incoming) {
	stop := closeOn(ctx, s)
	defer stop()
	deadline, _ := ctx.Deadline()
	_ = s.SetDeadline(deadline)
	l, err := m.considerOffer(ctx, s, user, in)
	if err != nil {
		m.log.Debug("incoming link came to nothing", "user", user, "remote", in.Remote(), "err", err)
		m.judge(user, err)
		m.endSession(s, err)
		return
	}
	// It is the link from here on, whatever happens.
	if err := m.sendHello(s); err != nil {
		l.close(err, nil)
	}
	m.wg.Go(l.serve)
}

func (m *Manager) considerOffer(ctx context.Context, s *session, user packet.UserID, in Incoming) (*link, error) {
	hello, err := m.readHello(s, user)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	wait := m.penaltyLocked(user)
	m.mu.Unlock()
	if wait > 0 {
		return nil, refuse(packet.ByeProtocol, errPenalty, "the protocol was broken a while ago: try again in %s", wait.Round(time.Second))
	}
	var endpoint bus.Endpoint
	if hello.Port != 0 {
		endpoint = bus.Endpoint{Host: in.Remote().Addr().String(), Port: hello.Port}
	}
	l := m.newLink(s, user, endpoint, false)
	err = m.settleIncoming(ctx, l)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, errDuplicate):
		return nil, refuse(packet.ByeDuplicate, err, "another link between these devices is kept")
	case errors.Is(err, errStopping):
		return nil, refuse(packet.ByeShutdown, err, "shutting down")
	case errors.Is(err, ErrNotWanted) || errors.Is(err, ErrUnknownKey):
		return nil, refuse(packet.ByeRefused, err, "%s", refusedText)
	}
	return nil, err
}

// refusedText is the same whether somebody is blocked, removed or was never
// known: it is not for the peer to learn.
const refusedText = "links between these users are not wanted"
