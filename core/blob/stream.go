package blob

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/protocol/packet"
)

// stream is a bulk stream on which this side asks. It is used by one fetch at a
// time.
type stream struct {
	conn    Conn
	link    bus.Link
	request uint32    // the last one's number
	pending int       // requests that are not answered to the end
	left    time.Time // when it was used last
}

const (
	// keepIdle is how many streams of a link are kept for the next fetch,
	keepIdle = 2
	// and keepFor for how long: the other side closes it later.
	keepFor = idleStream / 2
)

// takeStream gives a stream to the other end of a link: one that is there and
// not used, or a new one.
func (s *Service) takeStream(ctx context.Context, l bus.Link) (*stream, error) {
	s.mu.Lock()
	for free := s.idle[l.ID]; len(free) > 0; free = s.idle[l.ID] {
		st := free[len(free)-1]
		s.idle[l.ID] = free[:len(free)-1]
		if s.cfg.Now().Sub(st.left) < keepFor {
			s.mu.Unlock()
			return st, nil
		}
		delete(s.streams, st)
		_ = st.conn.Close()
	}
	s.mu.Unlock()
	c, err := s.cfg.Links.OpenStream(ctx, l.ID)
	if err != nil {
		return nil, err
	}
	st := &stream{conn: c, link: l}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run == nil {
		_ = c.Close()
		return nil, errStopped
	}
	s.streams[st] = struct{}{}
	return st, nil
}

// giveBack keeps a stream for the next one, or closes it when something is still
// to come on it, or its link is gone.
func (s *Service) giveBack(st *stream, failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.streams[st]
	if !failed && known && st.pending == 0 && s.run != nil && len(s.idle[st.link.ID]) < keepIdle {
		st.left = s.cfg.Now()
		s.idle[st.link.ID] = append(s.idle[st.link.ID], st)
		return
	}
	delete(s.streams, st)
	_ = st.conn.Close()
}

// dropLink closes the streams that were opened beside a link. They could go on
// without it, but mostly they are as dead as it is, and to begin anew costs
// nothing.
func (s *Service) dropLink(link uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.idle, link)
	for st := range s.streams {
		if st.link.ID == link {
			delete(s.streams, st)
			_ = st.conn.Close()
		}
	}
	for c, l := range s.incoming {
		if l.ID == link {
			_ = c.Close()
		}
	}
}

// send sends a frame at once.
func send(c Conn, f packet.StreamFrame) error {
	b, err := packet.AppendStreamFrame(nil, f)
	if err != nil {
		return err
	}
	_ = c.SetWriteDeadline(time.Now().Add(silence))
	if _, err := c.Write(b); err != nil {
		return fmt.Errorf("%w: %w", errStreamEnd, err)
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("%w: %w", errStreamEnd, err)
	}
	return nil
}

// ask sends a request and gives its number.
func (st *stream) ask(r packet.BlobRequest) (uint32, error) {
	st.request++
	r.Request = st.request
	st.pending++
	return r.Request, send(st.conn, &r)
}

// receive reads the next frame that is an answer. What is wrong with it is
// packet.ErrMalformed or ErrTooLarge; that the stream ended is errStreamEnd.
func (st *stream) receive() (packet.StreamFrame, error) {
	for {
		_ = st.conn.SetReadDeadline(time.Now().Add(silence))
		f, err := packet.ReadStreamFrame(st.conn, packet.MaxStreamFrame)
		switch {
		case errors.Is(err, packet.ErrMalformed) || errors.Is(err, packet.ErrTooLarge):
			return nil, err
		case err != nil:
			return nil, fmt.Errorf("%w: %w", errStreamEnd, err)
		case f == nil:
			continue // of a later version
		}
		if _, ok := f.(*packet.BlobEnd); ok {
			st.pending--
		}
		return f, nil
	}
}

const (
	// chunk is how much of a piece is read, hashed and written at a time: it stays
	// in the cache between.
	chunk = 256 << 10
	// collect is for how long a slow source is waited for to fill a chunk.
	collect = tellEvery / 2
)

// step is how much is moved at a time: a chunk, or under a limit what that lets
// pass in a fraction of a second.
func step(limit rate.Limit) int {
	if limit == rate.Inf {
		return chunk
	}
	return int(min(chunk, max(limit/4, 4<<10)))
}

// fill reads until b is full, or what comes of it in a while from a slow source,
// or before the stream ends.
func (st *stream) fill(b []byte) (n int, err error) {
	_ = st.conn.SetReadDeadline(time.Now().Add(silence))
	for n < len(b) {
		m, err := st.conn.Read(b[n:])
		switch {
		case err != nil && n+m == 0:
			return 0, fmt.Errorf("%w: %w", errStreamEnd, err)
		case err != nil:
			return n + m, nil //nolint:nilerr // if it is the end, the next read says so too
		case n == 0 && m < len(b):
			_ = st.conn.SetReadDeadline(time.Now().Add(collect))
		}
		n += m
	}
	return n, nil
}

// body reads what follows a Piece, chunk by chunk.
func (st *stream) body(ctx context.Context, s *Service, length uint32, buffer []byte, each func([]byte) error) error {
	for left := int(length); left > 0; {
		b := buffer[:min(step(s.down.Limit()), left)]
		if err := s.down.WaitN(ctx, len(b)); err != nil {
			return err
		}
		n, err := st.fill(b)
		if err != nil {
			return err
		}
		if err := each(b[:n]); err != nil {
			return err
		}
		left -= n
	}
	return nil
}
