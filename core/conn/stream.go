package conn

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/protocol/packet"
)

// Bulk streams: connections of their own beside a control link, so that a file
// never delays a chat line. Whoever wants one makes a token and announces it on
// the link; the device that dialed the link dials the stream too, since it knows
// an address that works. The dialer's first frame repeats the token.

const (
	// streamPatience is how long an announced stream is waited for, and how long
	// a stream that came before its announcement waits for that.
	streamPatience = 15 * time.Second
	// maxStreams bounds the streams with one device, open, announced and dialed.
	maxStreams = 16
)

// streams is what there is of bulk streams. Guarded by Manager.mu.
type streams struct {
	expected map[packet.Token]*expected
	dialing  map[packet.DeviceID]int
	open     map[*stream]struct{}
	changed  chan struct{} // closed and replaced when something is expected
}

func newStreams() streams {
	return streams{expected: map[packet.Token]*expected{}, dialing: map[packet.DeviceID]int{}, open: map[*stream]struct{}{}, changed: make(chan struct{})}
}

// expected is a stream that the peer is to dial.
type expected struct {
	link bus.Link
	came chan *stream // has room for one; nil when it is the peer's wish
	gone *time.Timer
}

// stream is a Conn that is counted and can be closed from here.
type stream struct {
	Conn
	m    *Manager
	link bus.Link
	once sync.Once
}

// Close implements Conn.
func (s *stream) Close() error {
	s.once.Do(func() {
		s.m.mu.Lock()
		delete(s.m.streams.open, s)
		s.m.mu.Unlock()
	})
	return s.Conn.Close()
}

// Flush implements Flusher.
func (s *stream) Flush() error { return Flush(s.Conn) }

// OpenStream gives a bulk stream to the device at the other end of a link. It
// outlives the link. Errors: ErrLinkGone, ErrTooManyStreams, those of dialing, and
// ctx's.
func (m *Manager) OpenStream(ctx context.Context, linkID uint64) (Conn, error) {
	m.mu.Lock()
	l := m.links[linkID]
	m.mu.Unlock()
	if l == nil || l.closing() {
		return nil, fmt.Errorf("open a stream on link %d: %w", linkID, ErrLinkGone)
	}
	ctx, cancel := context.WithTimeout(ctx, streamPatience)
	defer cancel()
	var token packet.Token
	_, _ = rand.Read(token[:]) // never fails, see crypto/rand
	if l.dialed {
		if err := m.beginDial(l.info); err != nil {
			return nil, err
		}
		if err := l.enqueue(ctx, &packet.Stream{Token: token}); err != nil {
			_ = m.endDial(l.info, nil)
			return nil, err
		}
		return m.dialStream(ctx, l, token)
	}
	e := &expected{link: l.info, came: make(chan *stream, 1)}
	if err := m.expect(token, e); err != nil {
		return nil, err
	}
	defer m.unexpect(token, e)
	if err := l.enqueue(ctx, &packet.Stream{Token: token, Dial: true}); err != nil {
		return nil, err
	}
	select {
	case s := <-e.came:
		return s, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%s did not open a stream: %w", l.info.User, ctx.Err())
	case <-l.ctx.Done():
		return nil, fmt.Errorf("open a stream with %s: %w", l.info.User, ErrLinkGone)
	}
}

// expect has a stream of the peer's taken.
func (m *Manager) expect(token packet.Token, e *expected) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopping {
		return errStopping
	}
	if n := m.streamsLocked(e.link.Device); n >= maxStreams {
		return fmt.Errorf("%d streams with %s: %w", n, e.link.User, ErrTooManyStreams)
	}
	if m.streams.expected[token] != nil {
		return fmt.Errorf("stream of %s was announced twice: %w", e.link.User, ErrProtocol)
	}
	m.streams.expected[token] = e
	e.gone = time.AfterFunc(streamPatience, func() { m.unexpect(token, e) })
	close(m.streams.changed)
	m.streams.changed = make(chan struct{})
	return nil
}

func (m *Manager) unexpect(token packet.Token, e *expected) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e.gone.Stop()
	if m.streams.expected[token] == e {
		delete(m.streams.expected, token)
	}
	if e.came == nil {
		return
	}
	select {
	case s := <-e.came: // nobody waits for it any more
		go func() { _ = s.Close() }()
	default:
	}
}

// streamsLocked counts the streams with a device.
func (m *Manager) streamsLocked(device packet.DeviceID) (n int) {
	n = m.streams.dialing[device]
	for _, e := range m.streams.expected {
		if e.link.Device == device {
			n++
		}
	}
	for s := range m.streams.open {
		if s.link.Device == device {
			n++
		}
	}
	return n
}

// announced handles the peer's Stream frame.
func (m *Manager) announced(l *link, f *packet.Stream) error {
	switch {
	case m.config.AcceptStream == nil:
		return nil
	case !f.Dial:
		err := m.expect(f.Token, &expected{link: l.info})
		if errors.Is(err, ErrProtocol) {
			return err
		}
		return nil // the peer's dial comes to nothing, and it tries again
	case !l.dialed:
		return fmt.Errorf("asked to dial a stream by the one that dialed: %w", ErrProtocol)
	}
	if err := m.beginDial(l.info); err != nil {
		return nil //nolint:nilerr // not the link's: it comes to nothing, and the peer tries again
	}
	m.wg.Go(func() {
		ctx, cancel := context.WithTimeout(l.ctx, streamPatience)
		defer cancel()
		s, err := m.dialStream(ctx, l, f.Token)
		if err != nil {
			m.log.Debug("stream came to nothing", "user", l.info.User, "err", err)
			return
		}
		m.config.AcceptStream(l.info, s)
	})
	return nil
}

// beginDial counts a stream that is to be dialed.
func (m *Manager) beginDial(to bus.Link) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopping {
		return errStopping
	}
	if n := m.streamsLocked(to.Device); n >= maxStreams {
		return fmt.Errorf("%d streams with %s: %w", n, to.User, ErrTooManyStreams)
	}
	m.streams.dialing[to.Device]++
	return nil
}

// endDial counts the stream that was dialed as open, if there is one.
func (m *Manager) endDial(to bus.Link, s *stream) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.streams.dialing[to.Device]--; m.streams.dialing[to.Device] == 0 {
		delete(m.streams.dialing, to.Device)
	}
	switch {
	case s == nil:
		return nil
	case m.stopping:
		return errStopping
	}
	m.streams.open[s] = struct{}{}
	return nil
}

// dialStream dials where the link was dialed, after beginDial.
func (m *Manager) dialStream(ctx context.Context, l *link, token packet.Token) (*stream, error) {
	c, err := m.dialStreamConn(ctx, l)
	if err != nil {
		_ = m.endDial(l.info, nil)
		return nil, err
	}
	s := &stream{Conn: c, m: m, link: l.info}
	if err := m.endDial(l.info, s); err != nil {
		_ = c.Close()
		return nil, err
	}
	if err := openStream(ctx, s, token); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("open a stream with %s: %w", l.info.User, err)
	}
	return s, nil
}

func (m *Manager) dialStreamConn(ctx context.Context, l *link) (Conn, error) {
	if err := m.dials.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer m.dials.Release(1)
	return m.config.Transport.Dial(ctx, Target{
		User: l.info.User, Endpoint: l.endpoint, Protocol: ProtocolStream,
		Verify: func(key ed25519.PublicKey) error {
			if !key.Equal(l.info.Key) {
				return fmt.Errorf("another device of %s answered: %w", l.info.User, ErrWrongPeer)
			}
			return m.mayLinkWith(l.info.User, key)
		},
	})
}

func openStream(ctx context.Context, s *stream, token packet.Token) error {
	b, err := packet.AppendStreamFrame(nil, &packet.StreamOpen{Token: token})
	if err != nil {
		return err
	}
	deadline, _ := ctx.Deadline()
	_ = s.SetWriteDeadline(deadline)
	if _, err := s.Write(b); err != nil {
		return err
	}
	_ = s.SetWriteDeadline(time.Time{})
	return s.Flush()
}

// maxOpen is what an encoded StreamOpen takes.
const maxOpen = 64

// welcomeStream finds out which announced stream an incoming one is.
func (m *Manager) welcomeStream(ctx context.Context, c Conn) error {
	deadline, _ := ctx.Deadline()
	_ = c.SetReadDeadline(deadline)
	f, err := packet.ReadStreamFrame(c, maxOpen)
	if err != nil {
		return fmt.Errorf("read the stream's first frame: %w", err)
	}
	open, ok := f.(*packet.StreamOpen)
	if !ok {
		return fmt.Errorf("the stream's first frame is %T: %w", f, ErrProtocol)
	}
	_ = c.SetReadDeadline(time.Time{})
	device := packet.DeviceIDOf(c.PeerKey())
	for {
		s, asked, again := m.match(c, device, open.Token)
		switch {
		case s != nil && !asked:
			m.config.AcceptStream(s.link, s)
			return nil
		case s != nil:
			return nil
		}
		select {
		case <-again: // the announcement comes another way, maybe later
		case <-ctx.Done():
			return fmt.Errorf("stream of %s was not announced: %w", device, ErrProtocol)
		}
	}
}

// match takes an incoming stream if it is expected, and gives it to OpenStream
// if that asked for it; again is closed when more is expected.
func (m *Manager) match(c Conn, device packet.DeviceID, token packet.Token) (s *stream, asked bool, again chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.streams.expected[token]
	if e == nil || e.link.Device != device || m.stopping {
		return nil, false, m.streams.changed
	}
	delete(m.streams.expected, token)
	e.gone.Stop()
	s = &stream{Conn: c, m: m, link: e.link}
	m.streams.open[s] = struct{}{}
	if e.came != nil {
		e.came <- s // has room for the one
	}
	return s, e.came != nil, nil
}

// closeStreamsLocked closes the streams that are not allowed.
func (m *Manager) closeStreamsLocked(allowed func(*stream) bool) {
	for s := range m.streams.open {
		if !allowed(s) {
			delete(m.streams.open, s)
			_ = s.Conn.Close()
		}
	}
}
