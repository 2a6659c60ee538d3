package storetest

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

func cloneBlob(b store.Blob) store.Blob {
	for _, field := range []*[]byte{&b.Stamp, &b.Root, &b.Manifest, &b.Signature} {
		*field = bytes.Clone(*field)
	}
	return b
}

func (t *tx) Blob(id packet.BlobID) (store.Blob, error) {
	b, ok := t.s.blobs.get(key(id))
	if !ok {
		return store.Blob{}, notFound("blob", id)
	}
	return cloneBlob(b), nil
}

// oldest gives the blobs that match, the oldest first.
func (t *tx) oldest(match func(*store.Blob) bool) []store.Blob {
	var out []store.Blob
	for _, b := range t.s.blobs.up("") {
		if match(&b) {
			out = append(out, cloneBlob(b))
		}
	}
	slices.SortStableFunc(out, func(a, b store.Blob) int {
		return cmp.Or(cmp.Compare(a.CreatedAt, b.CreatedAt), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return out
}

func (t *tx) Blobs(q store.BlobQuery) ([]store.Blob, error) {
	out := t.oldest(func(b *store.Blob) bool {
		return (q.Chat == "" || b.Chat == q.Chat) && (!q.Active || !b.State.Settled())
	})
	slices.Reverse(out)
	if q.Limit > 0 && len(out) > q.Limit {
		out = out[:q.Limit]
	}
	return out, nil
}

func (t *tx) BlobsOf(messages []packet.PacketID) ([]store.Blob, error) {
	var out []store.Blob
	for _, id := range messages {
		out = append(out, t.oldest(func(b *store.Blob) bool { return b.Message == id })...)
	}
	return out, nil
}

func (t *tx) UntoldBlobs(plugin string, limit int) ([]store.Blob, error) {
	out := t.oldest(func(b *store.Blob) bool { return b.Plugin == plugin && !b.Told })
	return out[:min(len(out), max(limit, 0))], nil
}

func (t *tx) PutBlob(b store.Blob) error {
	if err := store.CheckBlob(&b); err != nil {
		return err
	}
	if b.Chat != "" {
		if _, err := t.chat(b.Chat); err != nil {
			return err
		}
	}
	b.Told = b.Told || !b.State.Settled()
	t.s.blobs.put(key(b.ID), cloneBlob(b))
	return nil
}

func (t *tx) DeleteBlob(id packet.BlobID) error {
	t.s.blobs.remove(key(id))
	return nil
}
