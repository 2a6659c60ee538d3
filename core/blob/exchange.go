package blob

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/zeebo/blake3"

	"github.com/parley-chat/parley/protocol/packet"
)

// exchange has pieces of one blob come over one stream.
type exchange struct {
	s      *Service
	t      *target
	st     *stream
	src    *giver
	buffer []byte
	hash   *blake3.Hasher // of the piece that comes

	open      []asked // requests under way, in order
	corrupt   int
	unhelpful bool // it does not give the hashes
}

// asked is a request that is under way.
type asked struct {
	request   uint32
	claim     *claim
	next, end uint64 // pieces that are to come; of the claim others may have taken over some
	offset    int    // where in the next
	cancelled bool
}

const (
	// maxRun is how many pieces are asked for at a time, so that a source that
	// joins finds something to do.
	maxRun = 64
	// groupRun is how long a run takes about in a group: with each a source tells
	// whether the author's word is known, by which others can give too.
	groupRun = 250 * time.Millisecond
	// pipeline is how many requests are under way, so that the source never waits.
	pipeline = 2
	// maxCorrupt is how often a piece may come broken.
	maxCorrupt = 3
	// maxBorrowed bounds the pieces of a blob that comes from others than its
	// author: their hashes are verified in memory.
	maxBorrowed = 1 << 20
)

func (x *exchange) run(ctx context.Context) error {
	defer func() {
		for _, a := range x.open {
			x.t.unclaim(a.claim)
		}
	}()
	if err := x.introduce(ctx); err != nil {
		return err
	}
	for {
		if m := x.unlearned(); m == nil {
			if err := x.askMore(); err != nil {
				return err
			}
		} else if len(x.open) == 0 {
			err := x.learnHashes(ctx, m)
			if x.src.author && errors.As(err, new(*endError)) {
				x.unhelpful, err = true, nil // its pieces it gives all the same
			}
			if err != nil {
				return err
			}
			continue
		}
		if len(x.open) == 0 {
			return x.askManifest(ctx)
		}
		if err := x.next(ctx); err != nil {
			return err
		}
	}
}

// introduce learns what the source has, and from anybody but the author the
// author's word on it.
func (x *exchange) introduce(ctx context.Context) error {
	info, err := x.info(ctx)
	if err != nil {
		return err
	}
	x.t.meets(x.src, info.Have)
	if !x.src.author && info.Manifest == nil {
		return &endError{x.src.source, packet.BlobEnd{Code: packet.BlobNotHere, Text: "the author's word on it is not known yet"}}
	}
	return x.t.learn(ctx, info)
}

// meets notes what a source has.
func (t *target) meets(g *giver, have []packet.Range) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if g.have, g.ends = have, false; !slices.Contains(t.givers, g) {
		t.givers = append(t.givers, g)
	}
}

// unlearned gives the manifest when the hashes that it is about are still to be
// learned from this source. From anybody but the author nothing is taken before;
// the author's too are of use where there are others.
func (x *exchange) unlearned() *packet.Manifest {
	t := x.t
	if x.src.author && (!t.group || x.unhelpful || packet.Pieces(t.b.Size) > maxBorrowed) {
		return nil
	}
	t.mu.Lock()
	raw, signature, sure := t.b.Manifest, t.b.Signature, t.sure
	t.mu.Unlock()
	if sure || len(raw) == 0 {
		return nil
	}
	if t.ledger.allKnown() && t.trusted() {
		return nil
	}
	m, err := packet.OpenManifest(raw, signature)
	if err != nil {
		return nil // it was read before it was kept
	}
	return &m
}

// info asks for nothing but what the source knows.
func (x *exchange) info(ctx context.Context) (*packet.BlobInfo, error) {
	id, err := x.st.ask(packet.BlobRequest{Blob: x.t.b.ID, Chat: x.t.b.Chat, First: packet.Pieces(x.t.b.Size), Count: 1})
	if err != nil {
		return nil, err
	}
	var info *packet.BlobInfo
	for {
		frame, err := x.st.receive()
		if err != nil {
			return nil, err
		}
		switch frame := frame.(type) {
		case *packet.BlobInfo:
			if frame.Request != id || info != nil {
				return nil, fmt.Errorf("info of another request: %w", packet.ErrMalformed)
			}
			info = frame
			if err := x.trust(ctx, info.Manifest); err != nil {
				return nil, err
			}
		case *packet.BlobEnd:
			switch {
			case frame.Request != id:
				return nil, fmt.Errorf("end of another request: %w", packet.ErrMalformed)
			case frame.Code != packet.BlobGiven:
				return nil, &endError{x.src.source, *frame}
			case info == nil:
				return nil, fmt.Errorf("end without info: %w", packet.ErrMalformed)
			}
			return info, nil
		default:
			return nil, fmt.Errorf("%T where info was to come: %w", frame, packet.ErrMalformed)
		}
	}
}

// trust takes a manifest if it is the author's.
func (x *exchange) trust(ctx context.Context, m *packet.Manifest) error {
	if m == nil {
		return nil
	}
	b := &x.t.b
	if m.Blob != b.ID || m.Chat != b.Chat || m.Author != b.Author || m.Device != b.Device || m.Size != b.Size {
		return fmt.Errorf("%w: its manifest is of something else", errLied)
	}
	_, key, ok := x.s.cfg.Book.Signer(b.Chat, b.Device)
	if !ok {
		return fmt.Errorf("the key of %s is not known: %w", b.Author, errNoSource)
	}
	if err := m.Verify(key); err != nil {
		return fmt.Errorf("%w: %w", errLied, err)
	}
	return x.t.take(ctx, m)
}

// take keeps the manifest.
func (t *target) take(ctx context.Context, m *packet.Manifest) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.b.Manifest) > 0 {
		return nil
	}
	t.b.Root, t.b.Manifest, t.b.Signature = m.Root[:], m.Raw, m.Signature
	return t.keep(ctx)
}

// trusted says whether the hashes that are known are those of the manifest.
func (t *target) trusted() bool {
	t.mu.Lock()
	want := t.b.Root
	t.mu.Unlock()
	root, err := t.ledger.root()
	ok := err == nil && len(want) == len(root) && root == packet.Hash(want)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sure = ok
	return ok
}

// learnHashes asks for the hashes of all pieces, and takes them when they are
// those that the author signed.
func (x *exchange) learnHashes(ctx context.Context, m *packet.Manifest) error {
	n := packet.Pieces(m.Size)
	if n > maxBorrowed {
		return &endError{x.src.source, packet.BlobEnd{Code: packet.BlobNotHere, Text: "so much comes from its author only"}}
	}
	id, err := x.st.ask(packet.BlobRequest{Blob: m.Blob, Chat: m.Chat, Hashes: true})
	if err != nil {
		return err
	}
	hashes := make([]packet.Hash, 0, n)
	for {
		frame, err := x.st.receive()
		if err != nil {
			return err
		}
		switch frame := frame.(type) {
		case *packet.BlobInfo:
		case *packet.BlobHashes:
			if frame.Request != id || frame.First != uint64(len(hashes)) || uint64(len(hashes)+len(frame.Hashes)) > n {
				return fmt.Errorf("hashes that were not asked for: %w", packet.ErrMalformed)
			}
			hashes = append(hashes, frame.Hashes...)
		case *packet.BlobEnd:
			if frame.Code != packet.BlobGiven {
				return &endError{x.src.source, *frame}
			}
			return x.takeHashes(m, hashes)
		default:
			return fmt.Errorf("%T among hashes: %w", frame, packet.ErrMalformed)
		}
	}
}

func (x *exchange) takeHashes(m *packet.Manifest, hashes []packet.Hash) error {
	h := blake3.New()
	for i := range hashes {
		_, _ = h.Write(hashes[i][:])
	}
	if packet.Hash(h.Sum(nil)) != m.Root {
		// Not the author's fault: somebody else's.
		return &endError{x.src.source, packet.BlobEnd{Code: packet.BlobNotHere, Text: "its hashes are not those that the author signed"}}
	}
	for i, hash := range hashes {
		n := uint64(i) //nolint:gosec // not negative
		old, _, known, err := x.t.ledger.slot(n)
		if err != nil {
			return err
		}
		if known && old == hash {
			continue
		}
		// A piece that came before under another hash is none of this content.
		if err := x.t.ledger.put(n, hash, 0, false); err != nil {
			return diskError(x.t.b.Destination, err)
		}
	}
	x.t.mu.Lock()
	defer x.t.mu.Unlock()
	x.t.sure = true
	return nil
}

// askMore keeps the source busy.
func (x *exchange) askMore() error {
	for len(x.open) < pipeline {
		c := x.t.claim(x.src)
		if c == nil {
			return nil
		}
		first, end := x.t.span(c)
		if first == end { // taken over already
			x.t.unclaim(c)
			continue
		}
		offset := x.t.partOf(first)
		id, err := x.st.ask(packet.BlobRequest{
			Blob: x.t.b.ID, Chat: x.t.b.Chat, First: first, Count: end - first, Offset: uint32(offset), //nolint:gosec // within a piece
		})
		if err != nil {
			x.t.unclaim(c)
			return err
		}
		x.open = append(x.open, asked{request: id, claim: c, next: first, end: end, offset: offset})
	}
	return nil
}

// next takes the next answer to the oldest request.
func (x *exchange) next(ctx context.Context) error {
	frame, err := x.st.receive()
	if err != nil {
		return err
	}
	a := &x.open[0]
	switch frame := frame.(type) {
	case *packet.BlobInfo:
		if frame.Request != a.request || frame.Size != x.t.b.Size || frame.IndexSize != x.t.b.IndexSize {
			return fmt.Errorf("%w: it is another one than before", errLied)
		}
		return x.trust(ctx, frame.Manifest)
	case *packet.Piece:
		if frame.Request != a.request || frame.Number != a.next || a.next >= a.end || int(frame.Offset) != a.offset ||
			int(frame.Offset+frame.Length) != packet.PieceLength(x.t.b.Size, frame.Number) {
			return fmt.Errorf("piece %d was not asked for: %w", frame.Number, packet.ErrMalformed)
		}
		return x.piece(ctx, a, frame)
	case *packet.BlobEnd:
		if frame.Request != a.request {
			return fmt.Errorf("end of another request: %w", packet.ErrMalformed)
		}
		left := a.end - a.next
		x.t.unclaim(a.claim)
		x.open = x.open[1:]
		switch {
		case frame.Code != packet.BlobGiven && frame.Code != packet.BlobCancelled:
			return &endError{x.src.source, *frame}
		case frame.Code == packet.BlobGiven && left > 0:
			return fmt.Errorf("end with %d pieces missing: %w", left, packet.ErrMalformed)
		}
		return nil
	default:
		return fmt.Errorf("%T among pieces: %w", frame, packet.ErrMalformed)
	}
}

// piece takes a piece's bytes.
func (x *exchange) piece(ctx context.Context, a *asked, f *packet.Piece) error {
	if !x.t.holds(a.claim, f.Number) {
		return x.skip(ctx, a, f)
	}
	if err := x.expected(f); err != nil {
		return err
	}
	in, err := x.t.piece(a.claim, f, x.hash)
	if err != nil {
		return diskError(x.t.b.Destination, err)
	}
	var failed error // of the piece, not of the stream
	err = x.st.body(ctx, x.s, f.Length, x.buffer, func(p []byte) error {
		if failed != nil {
			return nil //nolint:nilerr // the rest of it is read all the same
		}
		failed = in.write(p)
		if failed != nil && !errors.Is(failed, errCorrupt) && !errors.Is(failed, errRobbed) {
			return failed
		}
		done, _ := x.t.ledger.done()
		if !x.t.ledger.has(f.Number) {
			done += uint64(in.at) //nolint:gosec // not negative
		}
		x.s.progress(&x.t.b, x.src.link.User, len(p), done)
		return nil
	})
	a.next, a.offset = a.next+1, 0
	switch {
	case err != nil:
		return err
	case errors.Is(failed, errRobbed):
		return x.giveUp(a)
	}
	if failed != nil {
		// Of a piece whose beginning came before, and maybe from another source, this
		// one is not to blame for the whole.
		if f.Offset == 0 {
			x.corrupt++
		}
		if x.corrupt >= maxCorrupt {
			return failed
		}
		x.s.log.Warn("a piece came broken and is fetched again", "blob", x.t.b.ID, "user", x.src.link.User, "piece", f.Number)
	}
	return nil
}

// skip reads over a piece that another source gives now.
func (x *exchange) skip(ctx context.Context, a *asked, f *packet.Piece) error {
	if err := x.giveUp(a); err != nil {
		return err
	}
	a.next, a.offset = a.next+1, 0
	return x.st.body(ctx, x.s, f.Length, x.buffer, func([]byte) error { return nil })
}

// giveUp has the source leave the rest of a request.
func (x *exchange) giveUp(a *asked) error {
	if a.cancelled {
		return nil
	}
	a.cancelled = true
	return send(x.st.conn, &packet.BlobCancel{Request: a.request})
}

// expected holds a piece's hash against what is known of it.
func (x *exchange) expected(f *packet.Piece) error {
	hash, _, known, err := x.t.ledger.slot(f.Number)
	switch {
	case err != nil:
		return diskError(x.t.b.Destination, err)
	case !known || hash == f.Hash:
		return nil
	case !x.src.author:
		return fmt.Errorf("piece %d is of another hash: %w", f.Number, errCorrupt)
	}
	// The author's content is another one than it was: what came of this piece
	// before is worth nothing, and the rest of it alone neither.
	if err := x.t.ledger.put(f.Number, f.Hash, 0, false); err != nil {
		return diskError(x.t.b.Destination, err)
	}
	if f.Offset > 0 {
		return fmt.Errorf("piece %d changed: %w", f.Number, errStreamEnd)
	}
	return nil
}

// askManifest asks the author for its word when everything is here: others can
// have it from this device then.
func (x *exchange) askManifest(ctx context.Context) error {
	if _, all := x.t.ledger.done(); !all || !x.src.author {
		return nil
	}
	x.t.mu.Lock()
	known := len(x.t.b.Manifest) > 0
	x.src.ends = !known
	x.t.mu.Unlock()
	if known {
		return nil
	}
	if _, err := x.info(ctx); err != nil {
		x.s.log.Debug("no manifest", "blob", x.t.b.ID, "err", err)
	}
	return nil
}
