package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/parley-chat/parley/protocol/packet"
)

// keptKey is what a user has at most one request of.
type keptKey struct {
	from packet.UserID
	kind string // packet type
}

// kept is a stored request, whose packet stays in the bucket. Its revision is
// its delivery id.
type kept struct {
	revision uint64
	at       time.Time
}

func (k kept) expired() bool { return time.Since(k.at) > KeepRequests }

func requestKey(to packet.UserID, key keptKey) string {
	return keyOf(to) + "." + keyOf(key.from) + "." + strings.ReplaceAll(key.kind, ".", "=")
}

func parseRequestKey(s string) (to packet.UserID, key keptKey, err error) {
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return "", keptKey{}, fmt.Errorf("request key %q: %w", s, packet.ErrMalformed)
	}
	to, err1 := userOf(parts[0])
	from, err2 := userOf(parts[1])
	return to, keptKey{from, strings.ReplaceAll(parts[2], "=", ".")}, errors.Join(err1, err2)
}

// Keep stores an encoded packet for a user until it is taken, in place of an
// older one of the same sender and type; when it returns nil the packet is on
// disk, and it is on its way if the user is here. The packet of somebody whom
// the user is known to have blocked is let go. Errors: ErrNoUser, ErrFull,
// ErrState.
func (d *Directory) Keep(ctx context.Context, to packet.UserID, from packet.UserID, kind packet.Type, encoded []byte) error {
	key := keptKey{from, string(kind)}
	dropped, release, err := d.view.reserve(to, key)
	if err != nil || dropped {
		return err
	}
	defer release()
	revision, err := d.requests.write(ctx, func(ctx context.Context) (uint64, error) {
		return d.requests.Put(ctx, requestKey(to, key), encoded)
	})
	if err != nil {
		return err
	}
	d.counters.requestsKept.Add(1)
	return d.keptForNobody(ctx, to, key, revision)
}

// reserve holds a place for one more request.
func (v *view) reserve(to packet.UserID, key keptKey) (dropped bool, release func(), err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.has(to) {
		return false, nil, ErrNoUser
	}
	if p := v.online[to]; p != nil && p.blocks(key.from) {
		return true, nil, nil
	}
	if _, replaces := v.kept[to][key]; replaces {
		return false, func() {}, nil
	}
	for k, r := range v.kept[to] {
		if r.expired() {
			delete(v.kept[to], k)
		}
	}
	if len(v.kept[to])+v.reserved[to] >= MaxRequests {
		return false, nil, ErrFull
	}
	v.reserved[to]++
	return false, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.reserved[to]--; v.reserved[to] == 0 {
			delete(v.reserved, to)
		}
	}, nil
}

// applyRequest follows the requests bucket.
func (d *Directory) applyRequest(entry jetstream.KeyValueEntry) {
	to, key, err := parseRequestKey(entry.Key())
	if err != nil {
		d.log.Error("record with a bad key", "bucket", "requests", "record", entry.Revision())
		return
	}
	v := &d.view
	v.mu.Lock()
	defer v.mu.Unlock()
	if entry.Operation() != jetstream.KeyValuePut {
		delete(v.kept[to], key)
		if len(v.kept[to]) == 0 {
			delete(v.kept, to)
		}
		return
	}
	if v.kept[to] == nil {
		v.kept[to] = map[keptKey]kept{}
	}
	v.kept[to][key] = kept{revision: entry.Revision(), at: entry.Created()}
	for _, s := range v.sessions[to] {
		s.addDelivery(entry.Revision())
	}
}

// waiting gives the deliveries that wait for a user, oldest first. To be called
// with mu held.
func (v *view) waiting(user packet.UserID) []uint64 {
	var revisions []uint64
	for _, r := range v.kept[user] {
		if !r.expired() {
			revisions = append(revisions, r.revision)
		}
	}
	slices.Sort(revisions)
	return revisions
}

// findKept gives the request with a delivery id; not ok when it was taken or
// replaced.
func (v *view) findKept(user packet.UserID, revision uint64) (keptKey, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for key, r := range v.kept[user] {
		if r.revision == revision {
			return key, true
		}
	}
	return keptKey{}, false
}

// forget removes a kept request, unless a newer one has taken its place.
func (d *Directory) forget(ctx context.Context, user packet.UserID, revision uint64) error {
	key, ok := d.view.findKept(user, revision)
	if !ok {
		return nil
	}
	err := d.requests.remove(ctx, requestKey(user, key), revision)
	if errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return nil
	}
	return err
}
