package net2019

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	wire "github.com/parley-chat/parley/protocol/packet/net2019"
)

// link is one connection with one person for one chat.
type link struct {
	run    *run
	conn   *net.TCPConn
	in     *bufio.Reader
	chat   wire.Chat
	peer   wire.ID
	dialed bool // by this account
	remote netip.Addr
	serial uint64 // grows; later links have more

	// turn is held by who writes: it has room for one, and is free when empty.
	turn   chan struct{}
	closed chan struct{}
	once   sync.Once
}

// bufferSize holds most frames.
const bufferSize = 4 << 10

func newLink(r *run, conn *net.TCPConn, in *bufio.Reader, chat wire.Chat, peer wire.ID, dialed bool) *link {
	remote, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
	_ = conn.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: keepAlive, Interval: keepAlive / 3, Count: 3})
	setUserTimeout(conn, r.s.cfg.timing.write)
	return &link{
		run: r, conn: conn, in: in, chat: chat, peer: peer, dialed: dialed, remote: remote.Addr().Unmap(),
		turn: make(chan struct{}, 1), closed: make(chan struct{}),
	}
}

// keepAlive is how long a connection is silent before the system looks whether the
// other side is still there: the protocol itself has nothing for it.
const keepAlive = 15 * time.Second

// close ends the connection. Idempotent.
func (l *link) close() {
	l.once.Do(func() {
		close(l.closed)
		_ = l.conn.Close()
	})
}

func (l *link) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// take waits for the turn to write; give gives it back.
func (l *link) take(ctx context.Context) error {
	select {
	case l.turn <- struct{}{}:
		return nil
	case <-l.closed:
		return net.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *link) give() { <-l.turn }

// frame makes a frame of this account's.
func (l *link) frame(kind wire.Kind, content string) wire.Frame {
	return wire.Frame{Chat: l.chat, Port: l.run.port, Kind: kind, Sender: l.run.set.ID, Content: content}
}

// write writes frames, each in one piece and the next only when the one before has
// arrived, because the published client loses what comes in two pieces. It returns
// when all have. The caller has the turn.
func (l *link) write(ctx context.Context, frames ...wire.Frame) error {
	for _, f := range frames {
		b, err := f.Append(nil)
		if err != nil {
			return err
		}
		if err := l.writeBytes(b); err != nil {
			return err
		}
		if err := l.drained(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (l *link) writeBytes(b []byte) error {
	if err := l.conn.SetWriteDeadline(time.Now().Add(l.run.s.cfg.timing.write)); err != nil {
		return err
	}
	_, err := l.conn.Write(b)
	return err
}

var errNotTaken = errors.New("what was sent is not taken")

// Looks at what is not acknowledged, without and with pauses between them.
const (
	glances      = 32
	shortestLook = 100 * time.Microsecond
	longestLook  = 20 * time.Millisecond
	blindPause   = 2 * time.Millisecond // where the system does not tell
)

// drained waits until the other side's system has all that was written.
func (l *link) drained(ctx context.Context) error {
	for range glances { // in a near network it is there at once
		if n, ok := pending(l.conn); ok && n == 0 {
			return nil
		}
		runtime.Gosched()
	}
	limit := time.Now().Add(l.run.s.cfg.timing.write)
	for look := shortestLook; ; look = min(2*look, longestLook) {
		n, ok := pending(l.conn)
		switch {
		case l.isClosed():
			return net.ErrClosed
		case ok && n == 0:
			return nil
		case !ok:
			look, limit = blindPause, time.Time{}
		case time.Now().After(limit):
			return errNotTaken
		}
		timer := time.NewTimer(look)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-l.closed:
			timer.Stop()
			return net.ErrClosed
		case <-timer.C:
		}
		if !ok && limit.IsZero() {
			return nil
		}
	}
}

// farewell says that this account is going, if nothing else is being written, and
// closes. The published client does not notice that a connection has ended.
func (l *link) farewell(say bool) {
	defer l.close()
	if !say {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), l.run.s.cfg.timing.farewell)
	defer cancel()
	if l.take(ctx) != nil {
		return // in the middle of a file: the end of the connection must do
	}
	defer l.give()
	if l.write(ctx, l.frame(wire.LoggedOut, "")) == nil {
		l.parted()
	}
}

// finish closes a link on which nothing comes any more, and lets who writes see
// first that all has arrived, so that it is not sent again.
func (l *link) finish() {
	ctx, cancel := context.WithTimeout(l.run.ctx, lastLook)
	defer cancel()
	if l.take(ctx) == nil {
		l.give()
	}
	l.close()
}

const lastLook = 200 * time.Millisecond

// read takes what comes until the link ends, and says why it did.
func (l *link) read(ctx context.Context, p *pair) error {
	for {
		if err := p.mayRead(ctx, l); err != nil {
			return err
		}
		f, err := wire.Read(l.in)
		var long *wire.LongError
		if errors.As(err, &long) && p.isOpen() {
			if f, err = l.readLong(ctx, long); errors.Is(err, errSkipped) {
				continue
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return io.EOF
		case err != nil:
			return err
		case f.Sender != l.peer || f.Chat.String() != l.chat.String():
			return fmt.Errorf("%w: a frame of %s in chat %s on the connection with %s in %s", errStranger, f.Sender, f.Chat, l.peer, l.chat)
		}
		l.run.heard(p)
		if err := l.handle(ctx, p, f); err != nil {
			return err
		}
	}
}

var (
	errStranger = errors.New("not of this connection")
	errFarewell = errors.New("the other side has left")
)

func (l *link) handle(ctx context.Context, p *pair, f wire.Frame) error {
	s := l.run.s
	switch f.Kind {
	case wire.Text:
		if f.Content == "" {
			return nil
		}
		if !p.isOpen() {
			err := s.hold(ctx, f)
			if !errors.Is(err, errNotAsking) {
				return err
			}
			if err := p.mayRead(ctx, l); err != nil {
				return err
			}
		}
		for _, part := range f.Parts(maxText) {
			if err := s.receive(ctx, part, nil); err != nil {
				return err
			}
		}
	case wire.Image, wire.File:
		return l.file(ctx, p, f)
	case wire.Deleted, wire.LoggedOut:
		return errFarewell
	case wire.VideoRequest:
		l.run.group.Go(func() { l.decline() })
	case wire.GroupRequest:
		if l.chat.Group() {
			return s.openGroup(ctx, l.chat, l.peer) // it begins anew
		}
	case wire.Request, wire.Accept, wire.GroupAccept, wire.VideoAnswer:
		// Said already, or needs no answer.
	}
	return nil
}

// decline says no to a video call: the original sends what runs as a program when
// it is read, so that such calls can never be taken.
func (l *link) decline() {
	l.run.noticeCall(l.peer)
	if l.take(l.run.ctx) != nil {
		return
	}
	defer l.give()
	_ = l.write(l.run.ctx, l.frame(wire.VideoAnswer, wire.No))
}
