package control

import (
	"context"
	"errors"
	"strings"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
)

// Blobs is what moves files.
type Blobs interface {
	// View is a blob as front ends see it, with how far it is.
	View(b *store.Blob) *controlpb.Blob
}

const defaultBlobs = 100

// ListBlobs implements controlpb.ControlServer.
func (s *Server) ListBlobs(ctx context.Context, req *controlpb.ListBlobsRequest) (*controlpb.ListBlobsResponse, error) {
	a, err := s.account()
	if err != nil {
		return nil, err
	}
	q := store.BlobQuery{Active: req.GetActive(), Limit: int(req.GetLimit())}
	if q.Limit == 0 {
		q.Limit = defaultBlobs
	}
	if q.Limit > maxPage {
		return nil, invalid("at most %d are given at once", maxPage)
	}
	if req.GetChat() != "" {
		if q.Chat, err = chatID(req.GetChat()); err != nil {
			return nil, err
		}
	}
	limit := q.Limit
	if req.GetIdEnd() != "" {
		q.Limit = 0 // looked for among all
	}
	resp := &controlpb.ListBlobsResponse{}
	err = a.Store.View(ctx, func(tx store.ReadTx) error {
		blobs, err := tx.Blobs(q)
		resp.Blobs = nil
		for i := range blobs {
			if blobs[i].State == store.BlobPrepared || !strings.HasSuffix(blobs[i].ID.String(), req.GetIdEnd()) {
				continue // not anybody's yet, or not asked for
			}
			if len(resp.GetBlobs()) < limit {
				resp.Blobs = append(resp.Blobs, a.Blobs.View(&blobs[i]))
			}
		}
		return err
	})
	return resp, err
}

// blobsOf gives the blobs of some messages.
func (a Account) blobsOf(tx store.ReadTx, ids []packet.PacketID) (map[packet.PacketID][]*controlpb.Blob, error) {
	blobs, err := tx.BlobsOf(ids)
	if err != nil || len(blobs) == 0 {
		return nil, err
	}
	of := map[packet.PacketID][]*controlpb.Blob{}
	for i := range blobs {
		of[blobs[i].Message] = append(of[blobs[i].Message], a.Blobs.View(&blobs[i]))
	}
	return of, nil
}

// blobEvent says how a blob is now; nil when it is gone.
func (a Account) blobEvent(tx store.ReadTx, id packet.BlobID) (*controlpb.Event, error) {
	b, err := tx.Blob(id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil //nolint:nilnil // its chat was deleted: that is told
	}
	if err != nil {
		return nil, err
	}
	return &controlpb.Event{Event: &controlpb.Event_Blob{Blob: a.Blobs.View(&b)}}, nil
}
