package net2019

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
	wire "github.com/parley-chat/parley/protocol/packet/net2019"
)

// Why a file of one's own cannot be sent, for people.
const (
	takenBack = "it was taken back"
	lostFile  = "it was changed or removed before it was sent"
)

// outgoing opens the file of one's own packet for somebody, and shows it as one that
// is under way; failed says how it cannot be sent.
func (s *Service) outgoing(ctx context.Context, id packet.PacketID, size uint64, peer wire.ID) (f *os.File, t *transfer, failed string, err error) {
	var blobs []store.Blob
	err = s.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
		blobs, err = tx.BlobsOf([]packet.PacketID{id})
		return err
	})
	if err != nil {
		return nil, nil, "", err
	}
	if len(blobs) != 1 || !blobs[0].Own || blobs[0].State == store.BlobCancelled {
		return nil, nil, takenBack, nil
	}
	if f, err = os.Open(blobs[0].Path); err != nil {
		return nil, nil, lostFile, nil //nolint:nilerr // that is the answer
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || uint64(info.Size()) != size { //nolint:gosec // not negative
		_ = f.Close()
		return nil, nil, lostFile, nil //nolint:nilerr // that is the answer
	}
	return f, s.begin(ctx, blobs[0], peer), "", nil
}

// writeFile writes a file's bytes behind its frame; failed says why it is not all of
// them. The caller has the turn.
//
// The other side counts as many bytes as were announced, whatever happens: who hangs
// up has a client of the original keep a dead friend, whom it must delete with all
// that was said, and in a group nobody is heard any more. So what was broken off is
// filled up with zeros, and then it is said that the file is none.
func (l *link) writeFile(ctx context.Context, f io.Reader, t *transfer) (failed string, err error) {
	buffer := make([]byte, block)
	for left := t.blob.Size; left > 0; {
		b := buffer[:min(left, block)]
		if failed == "" {
			failed = t.fill(b, f)
		}
		if failed != "" {
			clear(b)
		}
		if err := l.writeBytes(b); err != nil {
			return failed, err
		}
		if err := l.drained(ctx); err != nil {
			return failed, err
		}
		left -= uint64(len(b))
		if failed == "" {
			t.moved(len(b))
		}
	}
	if failed == "" {
		return "", nil
	}
	return failed, l.write(ctx, l.frame(wire.Text, fmt.Sprintf("%s was broken off while it was sent: what you have of it is not the file. Delete it.", wire.SafeName(t.blob.Name))))
}

// fill reads what is to be written next, or says why there is no more.
func (t *transfer) fill(b []byte, f io.Reader) (failed string) {
	if t.cancelled.Load() {
		return takenBack
	}
	if _, err := io.ReadFull(f, b); err != nil {
		return lostFile
	}
	return ""
}

// settleSent says that a file of one's own went to all it could go to.
func (s *Service) settleSent(ctx context.Context, message packet.PacketID) {
	var blobs []store.Blob
	var states []*controlpb.RecipientState
	err := s.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
		if blobs, err = tx.BlobsOf([]packet.PacketID{message}); err != nil {
			return err
		}
		m, err := tx.Message(message)
		if err != nil {
			return err
		}
		of, err := s.Receipts(tx, m.Chat)
		if err == nil {
			states, err = of(&m)
		}
		return err
	})
	if err != nil {
		if !notFound(err) && ctx.Err() == nil {
			s.cfg.Log.Error("whom a file of 2019 went to cannot be read", "message", message, "error", err)
		}
		return
	}
	sent, failed := false, ""
	for _, state := range states {
		switch state.GetDelivery() {
		case controlpb.Delivery_DELIVERY_SENT:
			sent = true
		case controlpb.Delivery_DELIVERY_FAILED:
			failed = state.GetReason()
		default:
			return // somebody is to get it yet
		}
	}
	for i := range blobs {
		switch {
		case sent:
			s.cfg.Files.Sent(ctx, blobs[i].ID)
		case failed != "":
			s.cfg.Files.Fail(ctx, blobs[i].ID, failed)
		}
	}
}
