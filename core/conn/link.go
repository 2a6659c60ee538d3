package conn

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/protocol/packet"
)

// readBuffer is for small frames; the bytes of large ones pass it.
const readBuffer = 4 << 10

// session is an authenticated connection from before its Hello on.
type session struct {
	Conn
	pace *pace
	in   *counting // frames are read from here
}

func newSession(c Conn) *session {
	p := &pace{conn: c}
	return &session{Conn: c, pace: p, in: &counting{r: bufio.NewReaderSize(p, readBuffer)}}
}

// counting counts what is read, for the size of frames.
type counting struct {
	r *bufio.Reader
	n int
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += n
	return n, err
}

// next reads a frame and says how many bytes it took.
func (c *counting) next(limit int) (f packet.Frame, size int, err error) {
	c.n = 0
	f, err = packet.ReadFrame(c, limit)
	return f, c.n, err
}

// link is a settled connection. One goroutine reads and owns its life (serve),
// one writes (write, in write.go).
type link struct {
	m        *Manager
	info     bus.Link
	s        *session
	dialed   bool
	endpoint bus.Endpoint // where the peer listens, as far as known
	previous *link        // that it replaces, set when it is taken

	ctx    context.Context // ends when the link is to close; its cause says why
	cancel context.CancelCauseFunc
	bye    *packet.Bye // set before ctx ends and not after; nil for none
	once   sync.Once

	receive budget            // of frames that the core has not released
	send    budget            // of frames in queue
	queue   chan []byte       // frames of Send, encoded; never closed
	urgent  chan packet.Frame // Ping and Pong, which pass the queue

	up        atomic.Bool // between LinkUp and LinkDown
	roundTrip atomic.Int64
	pinged    atomic.Pointer[ping]
	down      chan struct{} // closed after LinkDown
}

type ping struct {
	nonce uint64
	sent  time.Time
}

func (m *Manager) newLink(s *session, user packet.UserID, endpoint bus.Endpoint, dialed bool) *link {
	l := &link{
		m: m, s: s, dialed: dialed, endpoint: endpoint,
		info: bus.Link{
			ID: m.lastID.Add(1), User: user, Device: packet.DeviceIDOf(s.PeerKey()), Key: s.PeerKey(),
			Path: s.Path(), Remote: s.RemoteAddr().String(), Since: time.Now(),
		},
		receive: newBudget(m.config.Limits.ReceiveFrames, m.config.Limits.ReceiveBytes),
		send:    newBudget(m.config.Limits.SendFrames, m.config.Limits.SendBytes),
		queue:   make(chan []byte, m.config.Limits.SendFrames), // the budget fits, so putting never blocks
		urgent:  make(chan packet.Frame, 16),
		down:    make(chan struct{}),
	}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	return l
}

func (l *link) closing() bool { return l.ctx.Err() != nil }

// close has the link end, for cause, with bye when there is one. It does not
// wait; the first call counts.
func (l *link) close(cause error, bye *packet.Bye) {
	l.once.Do(func() {
		l.bye = bye
		l.cancel(cause)
		l.s.pace.stop(l.m.timing.farewell)
	})
}

// serve is the life of a link that was taken: LinkUp, frames, LinkDown. The link
// that it replaces is down before it is up.
func (l *link) serve() {
	if l.previous != nil {
		<-l.previous.down
		l.previous = nil
	}
	l.s.pace.start(l.m.timing.dead, l.m.timing.write)
	var writer sync.WaitGroup
	writer.Go(l.write)
	if !l.closing() {
		l.up.Store(true)
		l.m.log.Info("link is up", "user", l.info.User, "link", l.info.ID, "path", l.info.Path, "remote", l.info.Remote, "dialed", l.dialed)
		bus.Publish(l.m.config.Bus, bus.LinkUp, l.info)
		l.end(l.read())
		l.m.forget(l) // so that nobody finds it after LinkDown
		bus.Publish(l.m.config.Bus, bus.LinkDown, l.info)
	}
	l.m.release(l, context.Cause(l.ctx))
	close(l.down)
	writer.Wait()
	l.leave()
}

// end closes the link after reading or writing failed.
func (l *link) end(err error) {
	var timeout interface{ Timeout() bool }
	switch {
	case breaksProtocol(err):
		l.close(err, &packet.Bye{Reason: packet.ByeProtocol, Text: err.Error()})
	case errors.As(err, &timeout) && timeout.Timeout():
		l.close(fmt.Errorf("%w: %w", ErrDead, err), nil)
	default:
		l.close(err, nil)
	}
}

// leave closes the connection. After a Bye it waits a moment for the peer to
// close, since data that nobody reads would reset the connection, and the Bye
// with it.
func (l *link) leave() {
	if l.bye != nil && l.s.CloseWrite() == nil {
		_ = l.s.SetReadDeadline(time.Now().Add(l.m.timing.farewell))
		drain(l.s.Conn)
	}
	_ = l.s.Close()
}

// drain reads and forgets, up to 4 MiB.
func drain(c Conn) {
	scrap := make([]byte, readBuffer)
	for left := 4 << 20; left > 0; {
		n, err := c.Read(scrap)
		if err != nil {
			return
		}
		left -= n
	}
}

// read dispatches frames until the link ends.
func (l *link) read() error {
	for {
		f, size, err := l.s.in.next(packet.MaxFrame)
		if err != nil {
			return err
		}
		switch f := f.(type) {
		case nil: // of a later version
		case *packet.Ping:
			l.sendUrgent(&packet.Pong{Nonce: f.Nonce})
		case *packet.Pong:
			if p := l.pinged.Load(); p != nil && p.nonce == f.Nonce {
				l.roundTrip.Store(int64(time.Since(p.sent)))
			}
		case *packet.Bye:
			return &byeError{*f}
		case *packet.Hello:
			return fmt.Errorf("a second Hello: %w", ErrProtocol)
		case *packet.Packet:
			release, err := l.credit(size)
			if err != nil {
				return err
			}
			bus.Publish(l.m.config.Bus, bus.PacketReceived, bus.Received{Link: l.info, Packet: f, Release: release})
		case *packet.Stream:
			if err := l.m.announced(l, f); err != nil {
				return err
			}
		case *packet.BlobNews:
			release, err := l.credit(size)
			if err != nil {
				return err
			}
			bus.Publish(l.m.config.Bus, bus.BlobNewsReceived, bus.SyncFrame{Link: l.info, Frame: f, Release: release})
		default:
			release, err := l.credit(size)
			if err != nil {
				return err
			}
			bus.Publish(l.m.config.Bus, bus.SyncReceived, bus.SyncFrame{Link: l.info, Frame: f, Release: release})
		}
	}
}

// credit waits until the core has room for a frame. Meanwhile nothing is read,
// so TCP holds the peer back, and its silence does not count.
func (l *link) credit(size int) (release func(), err error) {
	if !l.receive.tryTake(size) {
		if err := l.receive.take(l.ctx, size); err != nil {
			return nil, context.Cause(l.ctx)
		}
		l.s.pace.resumed()
	}
	return sync.OnceFunc(func() { l.receive.put(size) }), nil
}

// pace sets the deadlines of a connection and notices when the last bytes came.
// It is silent until started: before, whoever shakes hands sets deadlines.
type pace struct {
	conn Conn

	mu      sync.Mutex // guards all below, and the order of deadlines
	dead    time.Duration
	write   time.Duration
	heard   time.Time // when bytes came last
	probing time.Duration
	probed  time.Time // the deadline of a probe, zero for none
	stopped bool
	grace   time.Time // the deadline of writing once stopped
}

// start sets deadlines from now on.
func (p *pace) start(dead, write time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead, p.write, p.heard = dead, write, time.Now()
	if !p.stopped {
		_ = p.conn.SetDeadline(time.Time{})
	}
}

// stop wakes the reader for good, and the writer unless it ends within grace.
func (p *pace) stop(grace time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	p.grace = time.Now().Add(grace)
	_ = p.conn.SetReadDeadline(time.Unix(1, 0))
	_ = p.conn.SetWriteDeadline(p.grace)
}

// Read implements io.Reader for the one who reads frames.
func (p *pace) Read(b []byte) (int, error) {
	if err := p.beforeRead(); err != nil {
		return 0, err
	}
	n, err := p.conn.Read(b)
	if n > 0 {
		p.mu.Lock()
		p.heard, p.probed = time.Now(), time.Time{}
		p.mu.Unlock()
	}
	return n, err
}

func (p *pace) beforeRead() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return os.ErrDeadlineExceeded
	}
	if p.dead > 0 {
		deadline := time.Now().Add(p.dead)
		if !p.probed.IsZero() && p.probed.Before(deadline) {
			deadline = p.probed
		}
		_ = p.conn.SetReadDeadline(deadline)
	}
	return nil
}

// Write implements io.Writer for the one who writes frames: in chunks, so that
// the deadline is one for progress and not for the whole of a large frame.
func (p *pace) Write(b []byte) (int, error) {
	const chunk = 64 << 10
	for done := 0; ; {
		p.beforeWrite()
		n, err := p.conn.Write(b[done:min(len(b), done+chunk)])
		done += n
		if err != nil || done == len(b) {
			return done, err
		}
	}
}

func (p *pace) beforeWrite() {
	p.mu.Lock()
	defer p.mu.Unlock()
	deadline := p.grace
	if !p.stopped {
		deadline = time.Now().Add(p.write)
	}
	_ = p.conn.SetWriteDeadline(deadline)
}

// probe gives the peer so long for a sign of life. A second probe does not
// lengthen the first.
func (p *pace) probe(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped || p.dead == 0 || !p.probed.IsZero() {
		return
	}
	p.probing, p.probed = d, time.Now().Add(d)
	_ = p.conn.SetReadDeadline(p.probed)
}

// resumed says that reading goes on after a pause, which is not the peer's.
func (p *pace) resumed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.probed.IsZero() {
		p.probed = time.Now().Add(p.probing)
	}
}

// silence says how long nothing came.
func (p *pace) silence() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.heard)
}

// probe asks the peer for a sign of life within d.
func (l *link) probe(d time.Duration) {
	l.s.pace.probe(d)
	l.sendPing()
}
