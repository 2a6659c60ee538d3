package conn

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/packet"
)

// refusal is why a connection is refused, and what the peer is told.
type refusal struct {
	bye   packet.Bye
	cause error
}

func (r *refusal) Error() string { return fmt.Sprintf("%v: %s", r.cause, r.bye.Text) }
func (r *refusal) Unwrap() error { return r.cause }

func refuse(reason packet.ByeReason, cause error, format string, args ...any) error {
	return &refusal{packet.Bye{Reason: reason, Text: fmt.Sprintf(format, args...)}, cause}
}

// helloOf is what this device says of itself.
func helloOf(c *Config, port uint16) *packet.Hello {
	return &packet.Hello{
		Version: packet.Version, User: c.Identity.User(), Device: c.Identity.Device(), Port: port, Agent: c.Agent,
	}
}

// sendHello says who this device is.
func (m *Manager) sendHello(s *session) error {
	encoded, err := packet.AppendFrame(nil, helloOf(&m.config, m.port()))
	if err != nil {
		return fmt.Errorf("send hello: %w", err)
	}
	if _, err := s.Write(encoded); err != nil {
		return fmt.Errorf("send hello: %w", err)
	}
	return nil
}

// readHello reads the peer's Hello and holds it against what TLS proved.
func (m *Manager) readHello(s *session, user packet.UserID) (*packet.Hello, error) {
	f, _, err := s.in.next(packet.MaxHello)
	if breaksProtocol(err) {
		return nil, refuse(packet.ByeProtocol, err, "the first frame is no Hello: %v", err)
	}
	if err != nil {
		return nil, fmt.Errorf("read hello: %w", err)
	}
	switch f := f.(type) {
	case *packet.Hello:
		switch {
		case f.Version != packet.Version:
			return nil, refuse(packet.ByeVersion, ErrVersion, "%s", versionText(f.Version))
		case f.User != user || f.Device != packet.DeviceIDOf(s.PeerKey()):
			return nil, refuse(packet.ByeProtocol, ErrProtocol, "the Hello names another user or device than the TLS key")
		}
		return f, nil
	case *packet.Bye:
		return nil, &byeError{*f}
	default:
		return nil, refuse(packet.ByeProtocol, ErrProtocol, "the first frame is no Hello")
	}
}

// endSession closes a session that became no link, with a Bye if err has one.
func (m *Manager) endSession(s *session, err error) {
	if r := new(refusal); errors.As(err, &r) {
		_ = s.SetDeadline(time.Now().Add(m.timing.farewell))
		encoded, encodeErr := packet.AppendFrame(nil, &r.bye)
		if encodeErr == nil {
			if _, writeErr := s.Write(encoded); writeErr == nil && s.CloseWrite() == nil {
				drain(s.Conn) // until the peer has read it
			}
		}
	}
	_ = s.Close()
}

// judge draws the consequences of a failed exchange with user.
func (m *Manager) judge(user packet.UserID, err error) {
	switch {
	case breaksProtocol(err):
		wait := m.penalize(user)
		m.log.Warn("peer broke the protocol, no links with it for a while", "user", user, "wait", wait, "err", err)
	case errors.Is(err, ErrVersion):
		m.noticeVersion(user, err)
	}
}

// noticeVersion tells the person once that a contact's program does not match.
func (m *Manager) noticeVersion(user packet.UserID, err error) {
	m.mu.Lock()
	known := m.mismatched[user]
	m.mismatched[user] = true
	m.mu.Unlock()
	if known {
		return
	}
	m.log.Warn("protocol versions do not match", "user", user, "err", err)
	bus.Publish(m.config.Bus, bus.Noticed, bus.Notice{
		Level: "warning", Subject: "contact:" + string(user),
		Text:   fmt.Sprintf("Cannot connect with %s, whose program is of another version: %v", user, err),
		Reason: failure.Because("OTHER_VERSION", "user", user),
	})
}

// closeOn closes s when ctx ends, until stopped.
func closeOn(ctx context.Context, s *session) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = s.Close() })
}
