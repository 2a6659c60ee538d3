package conn

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/parley-chat/parley/protocol/packet"
)

// writeBuffer holds frames that go out in one write.
const writeBuffer = 64 << 10

// buffers are for links that have something to write: most have nothing most of
// the time, and there may be hundreds.
var buffers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, writeBuffer) }}

// enqueue waits until the frame fits into the queue.
func (l *link) enqueue(ctx context.Context, frame packet.Frame) error {
	encoded, err := packet.AppendFrame(nil, frame)
	if err != nil {
		return fmt.Errorf("send to %s: %w", l.info.User, err)
	}
	size := len(encoded)
	if !l.send.tryTake(size) {
		either, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(l.ctx, cancel)() //nolint:contextcheck // it ends with the caller's context or with the link
		err = l.send.take(either, size)
	}
	switch {
	case l.closing():
		return fmt.Errorf("send to %s: %w", l.info.User, ErrLinkGone)
	case err != nil:
		return fmt.Errorf("send to %s: %w", l.info.User, ctx.Err())
	}
	l.queue <- encoded
	return nil
}

// sendUrgent has a frame pass the queue. A peer that asks for more Pongs than it
// reads loses some.
func (l *link) sendUrgent(f packet.Frame) {
	select {
	case l.urgent <- f:
	default:
	}
}

// sendPing has the writer ping.
func (l *link) sendPing() { l.sendUrgent(&packet.Ping{Nonce: rand.Uint64()}) }

// writer is what the writing goroutine of a link owns.
type writer struct {
	l    *link
	out  *bufio.Writer // nil while nothing is buffered
	sent time.Time     // when something was written last
	ping time.Time     // when a Ping was
}

// write sends frames until the link ends, then the Bye.
func (l *link) write() {
	w := &writer{l: l, sent: time.Now()}
	l.sendPing() // the first round trip
	if err := w.loop(); err != nil {
		l.close(fmt.Errorf("peer takes nothing: %w", err), nil)
		return
	}
	if l.bye != nil {
		// What was begun is finished first, or the Bye could not be told from it.
		if w.frame(l.bye) == nil {
			_ = w.flush() // the peer notices the end of the connection anyhow
		}
	}
}

func (w *writer) loop() error {
	silence := time.NewTimer(w.l.m.timing.ping)
	defer silence.Stop()
	for {
		// The link's end and urgent frames come first.
		select {
		case <-w.l.ctx.Done():
			return nil
		case f := <-w.l.urgent:
			if err := w.frame(f); err != nil {
				return err
			}
			continue
		default:
		}
		if len(w.l.queue) == 0 {
			if err := w.flush(); err != nil {
				return err
			}
		}
		select {
		case <-w.l.ctx.Done():
			return nil
		case f := <-w.l.urgent:
			if err := w.frame(f); err != nil {
				return err
			}
		case encoded := <-w.l.queue:
			err := w.put(encoded)
			w.l.send.put(len(encoded))
			if err != nil {
				return err
			}
			w.sent = time.Now()
		case <-silence.C:
			silence.Reset(w.keepAlive())
		}
	}
}

// keepAlive pings if it is time, and says when to look again. Either direction's
// silence asks for a Ping: ours because the peer counts it, even where this side
// reads nothing for lack of credit; the peer's because it may be dead.
func (w *writer) keepAlive() time.Duration {
	every := w.l.m.timing.ping
	silent := max(time.Since(w.sent), w.l.s.pace.silence())
	wait := every - min(silent, time.Since(w.ping))
	if wait > 0 {
		return wait
	}
	w.l.sendPing()
	return every
}

// frame writes a frame of the link's own.
func (w *writer) frame(f packet.Frame) error {
	if p, ok := f.(*packet.Ping); ok {
		w.ping = time.Now()
		w.l.pinged.Store(&ping{nonce: p.Nonce, sent: w.ping})
	}
	encoded, err := packet.AppendFrame(nil, f)
	if err != nil {
		return err
	}
	w.sent = time.Now()
	return w.put(encoded)
}

// put buffers what is to be written.
func (w *writer) put(encoded []byte) error {
	if w.out == nil {
		w.out = buffers.Get().(*bufio.Writer) //nolint:forcetypeassert // nothing else is in it
		w.out.Reset(w.l.s.pace)
	}
	_, err := w.out.Write(encoded)
	return err
}

// flush writes what is buffered. A buffer whose writing failed is not used again.
func (w *writer) flush() error {
	if w.out == nil {
		return nil
	}
	if err := w.out.Flush(); err != nil {
		return err
	}
	w.out.Reset(nil)
	buffers.Put(w.out)
	w.out = nil
	return nil
}
