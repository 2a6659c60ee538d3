package blob

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/packet"
)

// fetch is a blob that is wanted. Its goroutine (work) owns it.
type fetch struct {
	s      *Service
	id     packet.BlobID
	ctx    context.Context //nolint:containedctx // its life
	cancel context.CancelCauseFunc
	wake   chan struct{} // room for one: something may have changed
	again  bool          // begin anew once this one has ended; guarded by Service.mu
	// heard has the links that told of it since that was last looked at; guarded by
	// Service.mu.
	heard map[uint64]struct{}
}

// begin has a blob fetched.
func (s *Service) begin(id packet.BlobID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beginLocked(id)
}

func (s *Service) beginLocked(id packet.BlobID) {
	if s.run == nil || s.run.ctx.Err() != nil {
		return
	}
	if f := s.fetches[id]; f != nil {
		f.again = f.ctx.Err() != nil
		f.kick()
		return
	}
	ctx, cancel := context.WithCancelCause(s.run.ctx)
	f := &fetch{s: s, id: id, ctx: ctx, cancel: cancel, wake: make(chan struct{}, 1), heard: map[uint64]struct{}{}}
	s.fetches[id] = f
	s.run.wg.Go(func() {
		f.work()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.fetches, id)
		cancel(nil)
		if f.again {
			s.beginLocked(id)
		}
	})
}

// end stops fetching a blob, for why; what is to be done about what came of it
// is done by its goroutine, or here when there is none.
func (s *Service) end(id packet.BlobID, why error) {
	s.mu.Lock()
	f := s.fetches[id]
	s.mu.Unlock()
	switch {
	case f != nil:
		f.cancel(why) // what is left to do its goroutine does
	case errors.Is(why, errCancelled):
		s.removeLeft(s.dir(id))
		s.forget(id)
	}
}

func (f *fetch) kick() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// hear notes that a peer told of a blob.
func (s *Service) hear(id packet.BlobID, link uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.fetches[id]; f != nil {
		f.heard[link] = struct{}{}
		f.kick()
	}
}

func (s *Service) kickAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.fetches {
		f.kick()
	}
}

// work fetches, and does what is left to do of a blob that is wanted no more, even
// if that is so before anything was fetched.
func (f *fetch) work() {
	f.fetch()
	switch why := context.Cause(f.ctx); {
	case errors.Is(why, errCancelled), errors.Is(why, errGone):
		f.s.removeLeft(f.s.dir(f.id))
		f.s.forget(f.id)
	case errors.Is(why, errPaused):
		f.s.keepDone(f.id)
		f.s.forget(f.id)
	}
}

// fetch fetches until the blob is here, cannot be had, or is not wanted.
func (f *fetch) fetch() {
	b, err := f.s.blob(f.ctx, f.id)
	if err != nil || b.State != store.BlobWanted {
		return
	}
	for failures := 0; ; {
		before := f.s.Status(&b).Done
		err := f.try(&b)
		if err == nil || f.ctx.Err() != nil {
			return
		}
		if reason, over := final(&b, err); over {
			f.settle(&b, reason, err)
			return
		}
		if f.s.Status(&b).Done > before {
			failures = 0
		}
		wait, why := f.patience(&b, err, failures)
		failures++
		f.s.log.Debug("a file waits", "blob", f.id, "why", why.text, "err", err)
		done := f.s.Status(&b).Done
		f.s.waits(&b, why, done)
		if !f.pause(wait) {
			return
		}
	}
}

// keepDone notes how far a blob is that was paused.
func (s *Service) keepDone(id packet.BlobID) {
	b, err := s.blob(context.Background(), id)
	if err == nil {
		done := s.Status(&b).Done
		err = s.update(context.Background(), func(tx store.Tx) (err error) {
			b, err = tx.Blob(id)
			if err != nil || b.State != store.BlobPaused {
				return err
			}
			b.Done = min(done, b.Size)
			return tx.PutBlob(b)
		})
	}
	switch {
	case err != nil && !errors.Is(err, store.ErrNotFound):
		s.log.Warn("how far a file is cannot be noted", "blob", id, "err", err)
	case err == nil && b.State == store.BlobPaused:
		bus.Publish(s.cfg.Bus, bus.BlobChanged, bus.BlobRef{ID: id, Chat: b.Chat, Message: b.Message, Plugin: b.Plugin})
	}
}

// pause waits; a wait below 0 has no end of its own. Not ok when the fetch is over.
func (f *fetch) pause(wait time.Duration) bool {
	var due <-chan time.Time
	if wait >= 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		due = t.C
	}
	select {
	case <-f.ctx.Done():
		return false
	case <-f.wake:
	case <-due:
	}
	return true
}

// endError is what a source said at the end of a request.
type endError struct {
	source source
	end    packet.BlobEnd
}

func (e *endError) Error() string { return fmt.Sprintf("%s says: %s", e.source.link.User, e.end.Text) }

// final says whether a fetch cannot go on, and why, for people.
func final(b *store.Blob, err error) (reason string, over bool) {
	var end *endError
	switch {
	case errors.As(err, &end) && end.source.author:
		switch end.end.Code {
		case packet.BlobChanged, packet.BlobUnreadable:
			return end.Error(), true
		case packet.BlobWithdrawn:
			return fmt.Sprintf("%s took it back", b.Author), true
		case packet.BlobNotFound:
			return fmt.Sprintf("%s does not have it any more", b.Author), true
		}
	case errors.Is(err, errLied):
		return fmt.Sprintf("what %s sends %s", b.Author, err), true
	case errors.Is(err, errDisk):
		return err.Error(), true
	case errors.Is(err, errCorrupt):
		return fmt.Sprintf("what comes is not what %s sent: %v", b.Author, err), true
	}
	return "", false
}

// patience says how long to wait after a failure, and why, for people.
func (f *fetch) patience(b *store.Blob, err error, failures int) (time.Duration, waiting) {
	backoff := min(f.s.cfg.retry<<min(failures, 10), retryMost)
	var end *endError
	switch {
	case errors.Is(err, errNoSource):
		return -1, waiting{fmt.Sprintf("%s is not connected", b.Author), failure.Because("FILE_NOT_CONNECTED", "user", b.Author)}
	case errors.Is(err, errNoRoom):
		return diskRetry, waiting{err.Error(), failure.Because("FILE_NO_ROOM")}
	case errors.As(err, &end) && end.end.Code == packet.BlobPaused:
		return -1, waiting{fmt.Sprintf("paused by %s", end.source.link.User), failure.Because("FILE_PAUSED_BY", "user", end.source.link.User)}
	case errors.As(err, &end) && end.end.Code == packet.BlobBusy:
		return max(backoff, 5*time.Second), waiting{fmt.Sprintf("%s is busy", end.source.link.User), failure.Because("FILE_BUSY", "user", end.source.link.User)}
	case errors.As(err, &end) && (end.end.Code == packet.BlobNotHere || end.end.Code == packet.BlobNotFound):
		return backoff, waiting{end.Error(), failure.Because("FILE_NOT_THERE", "user", end.source.link.User)}
	case errors.As(err, &end):
		return backoff, waiting{end.Error(), failure.Because("FILE_SAYING", "user", end.source.link.User, "why", end.end.Text)}
	}
	return backoff, waiting{"the connection was lost", failure.Because("FILE_LINK_LOST")}
}

// settle brings the blob to its end.
func (f *fetch) settle(b *store.Blob, reason string, err error) {
	state := store.BlobFailed
	var end *endError
	if errors.As(err, &end) && end.end.Code == packet.BlobWithdrawn {
		state = store.BlobCancelled
		f.s.removeLeft(f.s.dir(b.ID))
	}
	f.s.log.Info("a file cannot be had", "blob", b.ID, "why", err)
	f.s.settle(f.ctx, b.ID, state, reason, func(now *store.Blob) bool { return now.State == store.BlobWanted })
}

// source is somebody linked from whom the blob may come.
type source struct {
	link   bus.Link
	author bool
}

// sources gives who may have it, the author first.
func (f *fetch) sources(b *store.Blob) []source {
	var found []source
	for _, l := range f.s.cfg.Links.Links() {
		if is, err := f.s.member(f.ctx, b.Chat, l.User); err != nil || !is {
			continue
		}
		found = append(found, source{l, l.User == b.Author && l.Device == b.Device})
	}
	slices.SortStableFunc(found, func(x, y source) int {
		switch {
		case x.author == y.author:
			return 0
		case x.author:
			return -1
		}
		return 1
	})
	return found
}

// try fetches from whoever is there. nil means that the blob is here and in its
// place.
func (f *fetch) try(b *store.Blob) error {
	ctx := f.ctx
	if placed, err := f.s.wasPlaced(ctx, b); placed || err != nil {
		return err
	}
	t, err := f.s.openTarget(ctx, *b)
	if err != nil {
		return err
	}
	defer t.close()
	if _, all := t.ledger.done(); !all || t.sink == nil {
		if err := f.s.gather(f, t); err != nil {
			return err
		}
	}
	if !t.complete() { // the last to be heard had other hashes, signed, of what was here
		return fmt.Errorf("what came is not what was signed: %w", errStreamEnd)
	}
	if err := f.s.finish(ctx, t); err != nil {
		return diskError(b.Destination, err)
	}
	return nil
}
