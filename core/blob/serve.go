package blob

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// Accept serves a bulk stream that a peer wanted, and owns it from then on. It
// does not block.
func (s *Service) Accept(link bus.Link, c Conn) {
	s.mu.Lock()
	r := s.run
	if r != nil {
		s.incoming[c] = link
	}
	s.mu.Unlock()
	if r == nil {
		_ = c.Close()
		return
	}
	r.wg.Go(func() {
		defer func() {
			s.mu.Lock()
			delete(s.incoming, c)
			s.mu.Unlock()
			_ = c.Close()
		}()
		sv := &server{s: s, conn: c, link: link, queue: make(chan *packet.BlobRequest, packet.MaxRequests), open: map[uint32]bool{}}
		if err := sv.serve(r.ctx); err != nil && r.ctx.Err() == nil {
			s.log.Debug("a stream ended", "user", link.User, "err", err)
		}
	})
}

// server answers on one stream: one goroutine reads what the peer asks, one
// answers, in order.
type server struct {
	s     *Service
	conn  Conn
	link  bus.Link
	queue chan *packet.BlobRequest

	mu   sync.Mutex      // guards open
	open map[uint32]bool // requests that are not answered; true: nor wanted any more
}

// idleStream is how long a stream on which nothing is asked is kept.
const idleStream = 10 * time.Minute

func (sv *server) serve(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() { _ = sv.conn.Close() })
	defer stop()
	g.Go(func() error {
		defer close(sv.queue)
		return sv.read(ctx)
	})
	g.Go(func() error {
		for r := range sv.queue {
			if err := sv.answer(ctx, r); err != nil {
				return err
			}
		}
		return errStreamEnd
	})
	return g.Wait()
}

func (sv *server) read(ctx context.Context) error {
	for {
		_ = sv.conn.SetReadDeadline(time.Now().Add(idleStream))
		// Requests are small; nothing else comes this way.
		f, err := packet.ReadStreamFrame(sv.conn, 1<<10)
		if err != nil {
			return err
		}
		switch f := f.(type) {
		case nil:
		case *packet.BlobRequest:
			sv.mu.Lock()
			sv.open[f.Request] = false
			sv.mu.Unlock()
			select {
			case sv.queue <- f:
			case <-ctx.Done():
				return ctx.Err()
			default:
				return fmt.Errorf("more than %d requests at once: %w", packet.MaxRequests, packet.ErrTooLarge)
			}
		case *packet.BlobCancel:
			sv.mu.Lock()
			if _, open := sv.open[f.Request]; open {
				sv.open[f.Request] = true
			}
			sv.mu.Unlock()
		default:
			return fmt.Errorf("%T from who asks: %w", f, packet.ErrMalformed)
		}
	}
}

func (sv *server) isCancelled(request uint32) bool {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	return sv.open[request]
}

// answer answers one request to its end.
func (sv *server) answer(ctx context.Context, r *packet.BlobRequest) error {
	end, err := sv.give(ctx, r)
	if err != nil {
		return err
	}
	sv.mu.Lock()
	delete(sv.open, r.Request)
	sv.mu.Unlock()
	end.Request = r.Request
	return send(sv.conn, &end)
}

// failed ends a request for an error that is not the stream's. One's own blob
// cannot be given to anybody any more then, unless it is this device that cannot
// do so now; of another's the author may have it still.
func (sv *server) failed(ctx context.Context, b *store.Blob, err error) packet.BlobEnd {
	if !b.Own {
		return packet.BlobEnd{Code: packet.BlobNotHere, Text: "it is not here any more"}
	}
	if slices.ContainsFunc([]error{errNotNow, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM}, func(e error) bool { return errors.Is(err, e) }) {
		sv.s.log.Warn("a file cannot be given now", "blob", b.ID, "err", err)
		return packet.BlobEnd{Code: packet.BlobNotHere, Text: err.Error()}
	}
	sv.s.spoil(ctx, b.ID, err)
	if errors.Is(err, ErrChanged) {
		return packet.BlobEnd{Code: packet.BlobChanged, Text: err.Error()}
	}
	return packet.BlobEnd{Code: packet.BlobUnreadable, Text: err.Error()}
}

// give answers a request but for its end. An error is the stream's.
func (sv *server) give(ctx context.Context, r *packet.BlobRequest) (packet.BlobEnd, error) {
	b, end := sv.allowed(ctx, r)
	if end.Code != packet.BlobGiven {
		return end, nil
	}
	if err := sv.takeTurn(ctx); err != nil {
		if ctx.Err() != nil {
			return end, ctx.Err()
		}
		return packet.BlobEnd{Code: packet.BlobBusy, Text: "many others are served now"}, nil
	}
	defer sv.s.serves.leave(sv.link.User)
	sh, err := sv.s.enterShare(b)
	if err != nil {
		return sv.failed(ctx, b, err), nil
	}
	defer sv.s.leaveShare(sh)
	info := packet.BlobInfo{Request: r.Request, Size: b.Size, IndexSize: b.IndexSize, Manifest: manifestOf(b), Have: sh.have()}
	if err := send(sv.conn, &info); err != nil {
		return end, err
	}
	n := packet.Pieces(b.Size)
	first, last := r.First, n
	if r.Count > 0 {
		last = min(n, r.First+r.Count)
	}
	if r.Hashes {
		return sv.giveHashes(sh, r.Request, first, last)
	}
	if first >= last {
		return end, nil
	}
	end, err = sv.givePieces(ctx, sh, r, first, last)
	if b.Own {
		sv.s.left(b, sv.link.User)
	}
	return end, err
}

// takeTurn waits until this stream may be served.
func (sv *server) takeTurn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, turn*sv.s.cfg.retry)
	defer cancel()
	return sv.s.serves.enter(ctx, sv.link.User, func() {})
}

// allowed says whether the peer may have the blob, and which one it is.
func (sv *server) allowed(ctx context.Context, r *packet.BlobRequest) (*store.Blob, packet.BlobEnd) {
	unknown := packet.BlobEnd{Code: packet.BlobNotFound, Text: "there is no such file to be had here"}
	b, err := sv.s.blob(ctx, r.Blob)
	if err != nil || b.Chat != r.Chat {
		return nil, unknown
	}
	if is, err := sv.s.member(ctx, b.Chat, sv.link.User); err != nil || !is {
		return nil, unknown
	}
	switch {
	case b.State == store.BlobPaused && b.Own:
		return nil, packet.BlobEnd{Code: packet.BlobPaused, Text: "paused by " + string(sv.s.self)}
	case b.State == store.BlobCancelled && b.Own:
		return nil, packet.BlobEnd{Code: packet.BlobWithdrawn, Text: "it was taken back"}
	case b.State == store.BlobFailed && b.Own:
		return nil, packet.BlobEnd{Code: packet.BlobChanged, Text: b.Reason}
	case b.State == store.BlobShared && b.Own, b.State == store.BlobDone && len(b.Manifest) > 0, b.State == store.BlobWanted && !b.Own:
		return &b, packet.BlobEnd{}
	}
	return nil, packet.BlobEnd{Code: packet.BlobNotHere, Text: "it is not here yet"}
}

func (sv *server) giveHashes(sh *share, request uint32, first, last uint64) (packet.BlobEnd, error) {
	for first < last {
		count := min(last-first, packet.MaxHashes)
		hashes, err := sh.ledger.hashes(first, count)
		if err != nil {
			return packet.BlobEnd{Code: packet.BlobNotHere, Text: "its manifest is not finished yet"}, nil //nolint:nilerr // told to the peer
		}
		if err := send(sv.conn, &packet.BlobHashes{Request: request, First: first, Hashes: hashes}); err != nil {
			return packet.BlobEnd{}, err
		}
		first += count
	}
	return packet.BlobEnd{}, nil
}

// buffers holds what a piece is read into.
var buffers = sync.Pool{New: func() any { return new([packet.PieceSize]byte) }}

// givePieces reads, hashes and sends one piece after the other in one goroutine:
// a piece stays in the processor's cache on the way, which is worth more than to
// read while sending. Meanwhile the kernel reads ahead.
func (sv *server) givePieces(ctx context.Context, sh *share, r *packet.BlobRequest, first, last uint64) (packet.BlobEnd, error) {
	buffer := buffers.Get().(*[packet.PieceSize]byte)
	defer buffers.Put(buffer)
	for number := first; number < last; number++ {
		switch {
		case ctx.Err() != nil:
			return packet.BlobEnd{}, ctx.Err()
		case sh.stopped.Load():
			_, end := sv.allowed(ctx, r)
			return end, nil
		case sv.isCancelled(r.Request):
			return packet.BlobEnd{Code: packet.BlobCancelled}, nil
		}
		p := buffer[:packet.PieceLength(sh.b.Size, number)]
		hash, err := sh.piece(number, p)
		if err != nil {
			return sv.failed(ctx, &sh.b, err), nil
		}
		offset := 0
		if number == r.First {
			offset = min(int(r.Offset), len(p)-1)
		}
		piece := packet.Piece{
			Request: r.Request, Number: number, Offset: uint32(offset), Length: uint32(len(p) - offset), Hash: hash, //nolint:gosec // within a piece
		}
		if err := sv.sendPiece(ctx, sh, &piece, p); err != nil {
			return packet.BlobEnd{}, err
		}
	}
	if err := sv.s.seal(ctx, sh); err != nil {
		sv.s.log.Warn("a manifest was not made", "blob", sh.id, "err", err)
	}
	return packet.BlobEnd{}, nil
}

// sendPiece sends the part of a piece that its frame names.
func (sv *server) sendPiece(ctx context.Context, sh *share, piece *packet.Piece, p []byte) error {
	f, err := packet.AppendStreamFrame(nil, piece)
	if err != nil {
		return err
	}
	_ = sv.conn.SetWriteDeadline(time.Now().Add(stalled))
	if _, err := sv.conn.Write(f); err != nil {
		return err
	}
	for at := int(piece.Offset); at < len(p); {
		size := step(sv.s.up.Limit())
		part := p[at:min(at+size, len(p))]
		if err := sv.s.up.WaitN(ctx, len(part)); err != nil {
			return err
		}
		_ = sv.conn.SetWriteDeadline(time.Now().Add(stalled))
		if _, err := sv.conn.Write(part); err != nil {
			return err
		}
		if size < chunk { // else it would wait for others like it
			if err := sv.conn.Flush(); err != nil {
				return err
			}
		}
		at += len(part)
		if sh.b.Own {
			sv.s.gave(&sh.b, sv.link.User, len(part), piece.Number*packet.PieceSize+uint64(at)) //nolint:gosec // not negative
		}
	}
	return sv.conn.Flush()
}
