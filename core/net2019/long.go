package net2019

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/parley-chat/parley/internal/bytesize"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/packet"
	wire "github.com/parley-chat/parley/protocol/packet/net2019"
)

// The published client sends a text as one frame, however long. One that is longer than
// others is read by few at once and in a time, so that it costs nobody else's memory,
// and becomes several messages, as what this account writes becomes several frames.
const (
	maxText    = 64 << 10 // bytes of a message: what the plugin of texts takes
	maxReading = 8        // links that read a long frame at once
	// maxSkipped is how long a frame may be that is passed over; one that is longer was
	// never meant as one.
	maxSkipped = 64 << 20
)

// errSkipped: a frame was passed over, and its person told.
var errSkipped = errors.New("a frame is too long")

// readLong reads a frame of which the length was read. What is too long is passed over
// and told, as long as it can have been a text: errSkipped.
func (l *link) readLong(ctx context.Context, long *wire.LongError) (wire.Frame, error) {
	r := l.run
	if long.Size > maxSkipped {
		return wire.Frame{}, long
	}
	defer func() { _ = l.conn.SetReadDeadline(time.Time{}) }()
	if long.Size > wire.MaxLong {
		for left := int64(long.Size); left > 0; {
			if err := l.conn.SetReadDeadline(time.Now().Add(r.s.cfg.timing.silent)); err != nil {
				return wire.Frame{}, err
			}
			n, err := io.CopyN(io.Discard, l.in, min(left, wire.MaxFrame))
			if left -= n; err != nil {
				return wire.Frame{}, fmt.Errorf("%w: pass over a frame of %d bytes: %w", errNotWhole, long.Size, err)
			}
		}
		r.tellOf(r.long, l.peer, "warning",
			failure.Because("NET2019_LONG_TEXT", "user", l.peer.Name(), "size", bytesize.Text(uint64(long.Size)), "limit", bytesize.Text(wire.MaxLong)),
			fmt.Sprintf("%s wrote a text of %s, which is lost: at most %s are taken. Ask them to send it in parts, or as a file.",
				r.s.Name(packet.UserID(l.peer.Name())), bytesize.Text(uint64(long.Size)), bytesize.Text(wire.MaxLong)))
		return wire.Frame{}, errSkipped
	}
	select {
	case r.reading <- struct{}{}:
		defer func() { <-r.reading }()
	case <-l.closed:
		return wire.Frame{}, net.ErrClosed
	case <-ctx.Done():
		return wire.Frame{}, ctx.Err()
	}
	if err := l.conn.SetReadDeadline(time.Now().Add(r.s.cfg.timing.long)); err != nil {
		return wire.Frame{}, err
	}
	b, err := io.ReadAll(io.LimitReader(l.in, int64(long.Size)))
	if err == nil && len(b) < int(long.Size) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return wire.Frame{}, fmt.Errorf("%w: read a frame of %d bytes: %w", errNotWhole, long.Size, err)
	}
	return wire.Decode(b)
}
