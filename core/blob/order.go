package blob

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// Want is what Fetch is to fetch.
type Want struct {
	Blob    packet.BlobID
	Message packet.PacketID // by whose author it was shared
	Plugin  string
	Name    string // as the peer calls it
	Folder  string // absolute
	Size    uint64
	Offer   bool // only noted as to be had
}

// Order is what to do with a blob.
type Order int

// The orders; see pluginpb.BlobOrder.
const (
	Pause Order = iota + 1
	Resume
	Cancel
)

// Share lets the members of a chat fetch what a plugin prepared. It changes the
// store only: Changed is to be called after the commit. ErrNotFound, ErrState.
func (s *Service) Share(tx store.Tx, plugin string, id packet.BlobID, chat packet.ChatID, message packet.PacketID) error {
	b, err := s.owned(tx, plugin, id)
	switch {
	case err != nil:
		return err
	case b.State == store.BlobShared && b.Chat == chat && b.Message == message:
		return nil
	case b.State != store.BlobPrepared:
		return fmt.Errorf("blob %s was shared before: %w", id, ErrState)
	}
	b.Chat, b.Message, b.State = chat, message, store.BlobShared
	return tx.PutBlob(b)
}

// owned gives a blob of a plugin's.
func (s *Service) owned(tx store.ReadTx, plugin string, id packet.BlobID) (store.Blob, error) {
	b, err := tx.Blob(id)
	if errors.Is(err, store.ErrNotFound) || err == nil && b.Plugin != plugin {
		return b, fmt.Errorf("blob %s: %w", id, ErrNotFound)
	}
	return b, err
}

// Fetch has a blob fetched, or notes the offer of one that is not known here.
// What is being fetched, or is here, stays as it is; one that failed, was cancelled or paused goes on. It changes the store only:
// Changed is to be called after the commit. Errors: ErrNotFound (no such message),
// ErrState, ErrTooLarge.
func (s *Service) Fetch(tx store.Tx, w Want) error {
	if w.Size > packet.MaxBlob {
		return fmt.Errorf("blob %s of %d bytes %w", w.Blob, w.Size, ErrTooLarge)
	}
	m, err := tx.Message(w.Message)
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("message %s: %w", w.Message, ErrNotFound)
	}
	if err != nil {
		return err
	}
	if m.Own || m.Entry.Number == 0 {
		return fmt.Errorf("message %s is not another's: %w", w.Message, ErrState)
	}
	b, err := tx.Blob(w.Blob)
	switch {
	case errors.Is(err, store.ErrNotFound):
		b = store.Blob{ID: w.Blob, CreatedAt: s.cfg.Now().UnixMicro()}
	case err != nil:
		return err
	case w.Offer:
		return nil // nothing that is here changes by being offered again
	case b.State == store.BlobOffered && b.Plugin == w.Plugin:
		// Nothing of it is here yet. If two messages offer one id, because somebody took
		// that of another's, it is the one's that is asked for.
	case b.Message != w.Message || b.Plugin != w.Plugin:
		return fmt.Errorf("blob %s is of another message: %w", w.Blob, ErrState)
	case b.State == store.BlobWanted || b.State == store.BlobDone:
		return nil
	case b.Size != w.Size:
		return fmt.Errorf("blob %s has %d bytes, not %d: %w", w.Blob, b.Size, w.Size, ErrState)
	}
	b.Chat, b.Message, b.Plugin, b.Author, b.Device = m.Chat, m.ID, w.Plugin, m.Author, m.Entry.Device
	b.State, b.Reason, b.Told = store.BlobWanted, "", false
	b.Name, b.Destination, b.Size = SafeName(w.Name), filepath.Clean(w.Folder), w.Size
	if w.Offer {
		b.State, b.Destination = store.BlobOffered, ""
	}
	return tx.PutBlob(b)
}

// Steer pauses, resumes or cancels a plugin's blob, the latter for a reason that
// people are told, if there is one. It changes the store only:
// Changed is to be called after the commit. An order that makes no sense in the
// state the blob is in changes nothing. ErrNotFound.
func (s *Service) Steer(tx store.Tx, plugin string, id packet.BlobID, order Order, reason string) error {
	b, err := s.owned(tx, plugin, id)
	if err != nil {
		return err
	}
	var next store.BlobState
	var ok bool
	switch order {
	case Pause:
		next, ok = store.BlobPaused, b.State == store.BlobShared || b.State == store.BlobWanted
	case Resume:
		next, ok = store.BlobWanted, b.State == store.BlobPaused
		if b.Own {
			next = store.BlobShared
		}
	case Cancel:
		next, ok = store.BlobCancelled, b.State != store.BlobPrepared && !b.State.Settled() || b.State == store.BlobFailed && !b.Own
	default:
		return fmt.Errorf("order %d: %w", order, ErrState)
	}
	if !ok {
		return nil
	}
	b.State, b.Reason = next, cutRunes(strings.ToValidUTF8(reason, "_"), maxReason)
	// Whoever gave the order knows.
	b.Told = true
	return tx.PutBlob(b)
}

// Changed says that blobs were changed by Share, Fetch or Steer, and that is
// committed.
func (s *Service) Changed(ids ...packet.BlobID) {
	for _, id := range ids {
		s.changed(id)
	}
}

// changed acts on the state that a blob has now.
func (s *Service) changed(id packet.BlobID) {
	s.mu.Lock()
	r := s.run
	s.mu.Unlock()
	if r == nil {
		return // Serve looks at everything when it begins
	}
	b, err := s.blob(r.ctx, id)
	if err != nil {
		s.log.Warn("a blob cannot be read", "blob", id, "err", err)
		return
	}
	if pushed(&b) && b.State == store.BlobCancelled {
		s.forget(id)
	}
	switch {
	case b.Own:
		s.ownChanged(r, &b)
	case pushed(&b):
	case b.State == store.BlobWanted:
		s.begin(id)
	case b.State == store.BlobPaused:
		s.stopShare(id)
		s.end(id, errPaused)
	case b.State == store.BlobCancelled:
		s.stopShare(id)
		s.end(id, errCancelled)
	}
	bus.Publish(s.cfg.Bus, bus.BlobChanged, bus.BlobRef{ID: id, Chat: b.Chat, Message: b.Message, Plugin: b.Plugin})
}

var (
	errPaused    = errors.New("paused")
	errCancelled = errors.New("cancelled")
)

// ownChanged tells who may want it that a blob is to be had, or stops giving it.
func (s *Service) ownChanged(r *run, b *store.Blob) {
	if b.State != store.BlobShared {
		s.stopShare(b.ID)
		if b.State == store.BlobCancelled {
			s.removeLeft(s.dir(b.ID))
		}
		return
	}
	r.wg.Go(func() { s.announce(r.ctx, b) })
}

// stopShare has nothing more of a blob be given.
func (s *Service) stopShare(id packet.BlobID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sh := s.shares[id]; sh != nil {
		sh.stop()
	}
}

// announce tells the others in a chat that there is a blob to be had here, or more
// of it; its author has it.
func (s *Service) announce(ctx context.Context, b *store.Blob) {
	for _, l := range s.cfg.Links.Links() {
		if l.User == b.Author && !b.Own {
			continue
		}
		if is, err := s.member(ctx, b.Chat, l.User); err != nil || !is {
			continue
		}
		s.tell(ctx, l, &packet.BlobNews{Chat: b.Chat, Blobs: []packet.BlobID{b.ID}})
	}
}

func (s *Service) tell(ctx context.Context, l bus.Link, news *packet.BlobNews) {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	if err := s.cfg.Links.Send(ctx, l.ID, news); err != nil {
		s.log.Debug("news of a blob not told", "user", l.User, "err", err)
	}
}
