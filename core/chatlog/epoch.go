package chatlog

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/packet"
)

// What the service keeps in the store, in a namespace of its own. Numbers are 8
// bytes, big endian; in keys, 16 hexadecimal digits.
//
//	epoch/<chat>                       the epoch that own entries go to
//	epoch/<chat>/changes               that of those that may open chats, in a log of their own
//	floor                              epochs below are not written to any more
//	fork/<chat>/<epoch>                number from which on an own log is dead
//	moved/<packet id>                  epoch and number of the copy of a forked own entry
//	arrived/<chat>/<epoch>/<number>    the packet id of that copy
//	membership/<chat>                  by which member lists entries were judged
//	present/<chat>                     the last present list that was taken note of
//	reviewed/<chat>                    the lists that there were then
//	farewell/<chat>/<user>             what somebody may have who is no member any more
//	opened/<chat>/<user>               a guest: see access.go
//	digest/<chat>/<device>/<epoch>/... the digest of a part of a log: see compare.go
const namespace = "chatlog"

const keyFloor = "floor"

// kind is what a log of this device is for. Entries of types that may open chats
// have a log of their own: whom they tell of a chat handles them without all
// that was said in it.
type kind int

const (
	talk kind = iota
	changes
)

func (s *Service) kindOf(t packet.Type, chat packet.ChatID) kind {
	if chat.Kind() == packet.Group && s.cfg.Type(t).OpensChat {
		return changes
	}
	return talk
}

func keyEpoch(chat packet.ChatID, k kind) string {
	if k == changes {
		return "epoch/" + string(chat) + "/changes"
	}
	return "epoch/" + string(chat)
}

func keyReviewed(chat packet.ChatID) string    { return "reviewed/" + string(chat) }
func keyPresent(chat packet.ChatID) string     { return "present/" + string(chat) }
func prefixFarewell(chat packet.ChatID) string { return "farewell/" + string(chat) + "/" }
func prefixOpened(chat packet.ChatID) string   { return "opened/" + string(chat) + "/" }
func keyFarewell(chat packet.ChatID, user packet.UserID) string {
	return prefixFarewell(chat) + string(user)
}
func keyOpened(chat packet.ChatID, user packet.UserID) string {
	return prefixOpened(chat) + string(user)
}

func keyMembership(chat packet.ChatID) string { return "membership/" + string(chat) }
func keyMoved(id packet.PacketID) string      { return "moved/" + hex.EncodeToString(id[:]) }
func keyFork(log packet.Log) string           { return fmt.Sprintf("fork/%s/%016x", log.Chat, log.Epoch) }

func prefixArrived(log packet.Log) string {
	return fmt.Sprintf("arrived/%s/%016x/", log.Chat, log.Epoch)
}
func keyArrived(k packet.EntryKey) string {
	return fmt.Sprintf("%s%016x", prefixArrived(k.Log), k.Number)
}

func number(tx store.ReadTx, key string) (uint64, error) {
	b, err := tx.Value(namespace, key)
	if errors.Is(err, store.ErrNotFound) || err == nil && len(b) != 8 {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", key, err)
	}
	return binary.BigEndian.Uint64(b), nil
}

func putNumber(tx store.Tx, key string, n uint64) error {
	if err := tx.PutValue(namespace, key, binary.BigEndian.AppendUint64(nil, n)); err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return nil
}

// presentEpoch gives the epoch that own entries of a kind go to in a chat, 0
// when one has to begin.
func presentEpoch(tx store.ReadTx, chat packet.ChatID, k kind) (uint64, error) {
	epoch, err := number(tx, keyEpoch(chat, k))
	if err != nil {
		return 0, err
	}
	floor, err := number(tx, keyFloor)
	if err != nil || epoch < floor {
		return 0, err
	}
	return epoch, nil
}

// ownEpochs gives the epochs of this device's logs of a chat.
func (s *Service) ownEpochs(tx store.ReadTx, chat packet.ChatID) ([]uint64, error) {
	heads, err := tx.Heads(chat)
	if err != nil {
		return nil, err
	}
	var epochs []uint64
	for _, h := range heads {
		if h.Device == s.device {
			epochs = append(epochs, h.Epoch)
		}
	}
	return epochs, nil
}

// beginEpoch begins a new log of this device in a chat.
func (s *Service) beginEpoch(tx store.Tx, chat packet.ChatID, k kind) (uint64, error) {
	last, err := number(tx, keyEpoch(chat, talk))
	if err != nil {
		return 0, err
	}
	if chat.Kind() == packet.Group {
		other, err := number(tx, keyEpoch(chat, changes))
		if err != nil {
			return 0, err
		}
		last = max(last, other)
	}
	floor, err := number(tx, keyFloor)
	if err != nil {
		return 0, err
	}
	epoch := max(uint64(max(s.cfg.Now().UnixMicro(), 1)), last+1, floor)
	epochs, err := s.ownEpochs(tx, chat)
	if err != nil {
		return 0, err
	}
	for _, e := range epochs {
		epoch = max(epoch, e+1)
	}
	return epoch, putNumber(tx, keyEpoch(chat, k), epoch)
}

// Renew makes all chats begin a new epoch. To be called before anything is
// written when the store is known to be an old copy of itself; the log finds out
// by itself too, but later. See the package documentation.
func (s *Service) Renew(ctx context.Context) error {
	err := s.cfg.Store.Update(ctx, store.Synced, s.renew)
	if err != nil {
		return fmt.Errorf("begin new epochs: %w", err)
	}
	return nil
}

func (s *Service) renew(tx store.Tx) error {
	last, err := lastEpoch(tx)
	if err != nil {
		return err
	}
	return putNumber(tx, keyFloor, max(uint64(max(s.cfg.Now().UnixMicro(), 1)), last+1))
}

// lastEpoch is the latest epoch that own entries of any chat go to.
func lastEpoch(tx store.ReadTx) (last uint64, err error) {
	epochs, err := tx.Values(namespace, "epoch/", 0)
	if err != nil {
		return 0, fmt.Errorf("read epochs: %w", err)
	}
	for _, v := range epochs {
		if len(v.Bytes) == 8 {
			last = max(last, binary.BigEndian.Uint64(v.Bytes))
		}
	}
	return last, nil
}

// forkLimit gives the highest number of an own log that still counts.
func forkLimit(tx store.ReadTx, log packet.Log) (uint64, error) {
	fork, err := number(tx, keyFork(log))
	if err != nil || fork == 0 {
		return math.MaxInt64, err
	}
	return fork - 1, nil
}

// ownEntry takes an entry of one's own log that a peer gave back.
func (r *run) ownEntry(l bus.Link, p *packet.Packet) error {
	key := p.Header.Key()
	c, err := r.chat(key.Chat)
	if err != nil {
		return err
	}
	limit, err := forkLimit(r.tx, key.Log)
	if err != nil {
		return err
	}
	r.then(func(s *Service) {
		if l := s.links[l.ID]; l != nil {
			s.audited(l, key)
		}
	})
	old, err := r.tx.Entry(key)
	switch {
	case err == nil && string(old.Packet.Raw) == string(p.Raw):
		return nil
	case err == nil:
		if err := r.fork(key, p.Header.Type, limit); err != nil {
			return err
		}
		r.tellRestored(key.Chat)
		r.then(func(s *Service) {
			if l := s.links[l.ID]; l != nil {
				s.widenAudit(l, key.Log, key.Number)
			}
		})
		return r.adopt(p)
	case !errors.Is(err, store.ErrNotFound):
		return err
	case key.Number > limit:
		return r.adopt(p)
	}
	head, err := r.head(c, key.Log, p.Header.Author)
	if err != nil || head.Has(key.Number) {
		return err // the user deleted it
	}
	return r.restoreEntry(l, c, p, head)
}

// restoreEntry puts a lost entry back into its place.
func (r *run) restoreEntry(l bus.Link, c *chatState, p *packet.Packet, head *store.Head) error {
	key := p.Header.Key()
	e := store.Entry{Packet: *p, State: store.EntryNew}
	if p.CheckContent() != nil {
		if len(p.Content) > 0 {
			return nil // not what was written; another peer may have it
		}
		e.State, e.Dropped = store.EntryHandled, true
	}
	if _, err := r.tx.EntryByID(p.Header.ID); err == nil {
		e.State = store.EntryHandled // it is in the new epoch already
	}
	if !roomFor(&head.LogVector, key.Number) {
		return nil
	}
	if err := r.lost(key.Log, p.Header.Type); err != nil {
		return err
	}
	r.tellRestored(key.Chat)
	if key.Number > head.Upto+1 && e.State == store.EntryNew {
		// What is missing before it may be lost for good, and nobody would ever
		// handle what stands behind that gap.
		e.State = store.EntryHandled
		if _, err := r.s.rewrite(r.tx, p, store.EntryNew); err != nil {
			return err
		}
		r.stored(p.Header.Type, p.Header.Chat)
		r.appended(p.Header.Chat)
	}
	return r.put(l, e, head)
}

// lost begins new epochs when entries of the log in use were lost.
func (r *run) lost(log packet.Log, t packet.Type) error {
	k := r.s.kindOf(t, log.Chat)
	epoch, err := presentEpoch(r.tx, log.Chat, k)
	if err != nil || epoch > log.Epoch {
		return err
	}
	if epoch == 0 {
		if last, err := number(r.tx, keyEpoch(log.Chat, k)); err != nil || last >= log.Epoch {
			return err // a new one is to begin anyway
		}
	}
	if err := putNumber(r.tx, keyEpoch(log.Chat, k), log.Epoch); err != nil {
		return err
	}
	return r.s.renew(r.tx)
}

// tellRestored has the user told, once.
func (r *run) tellRestored(chat packet.ChatID) {
	r.publish(func(s *Service) {
		s.mu.Lock()
		known := s.restored
		s.restored = true
		s.mu.Unlock()
		if known {
			return
		}
		s.log.Warn("this store is an older copy of itself: entries come back from others, new epochs begin", "chat", chat)
		bus.Publish(s.cfg.Bus, bus.Noticed, bus.Notice{
			Level: "warning", Subject: "store",
			Text:   "Your messages were restored from an older copy. What is missing is fetched from the people you wrote to.",
			Reason: failure.Because("RESTORED"),
		})
	})
}

// fork declares a log dead from key on and copies what this device wrote there
// into the new epoch.
func (r *run) fork(key packet.EntryKey, t packet.Type, limit uint64) error {
	if key.Number > limit {
		return nil // known
	}
	if err := r.lost(key.Log, t); err != nil {
		return err
	}
	if err := putNumber(r.tx, keyFork(key.Log), key.Number); err != nil {
		return err
	}
	r.publish(func(s *Service) { s.log.Warn("own log is forked", "log", key.String()) })
	for first := key.Number; ; {
		entries, err := r.tx.Entries(key.Log, first, limit, turnEntries, turnBytes, true)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			return nil
		}
		for i := range entries {
			p := &entries[i].Packet
			first = p.Header.Number + 1
			if entries[i].Dropped || entries[i].State == store.EntryStub {
				continue // nothing is left to be said
			}
			moved, err := r.s.rewrite(r.tx, p, store.EntryHandled)
			if err != nil {
				return err
			}
			if err := r.noteMove(p.Header.ID, moved); err != nil {
				return err
			}
			r.changed(p.Header.Chat, p.Header.ID)
		}
		r.appended(key.Chat)
	}
}

func (r *run) noteMove(id packet.PacketID, to packet.EntryKey) error {
	place := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, to.Epoch), to.Number)
	if err := r.tx.PutValue(namespace, keyMoved(id), place); err != nil {
		return err
	}
	return r.tx.PutValue(namespace, keyArrived(to), id[:])
}

// moved gives where the copy of a forked own entry is.
func moved(tx store.ReadTx, chat packet.ChatID, device packet.DeviceID, id packet.PacketID) (packet.EntryKey, bool, error) {
	b, err := tx.Value(namespace, keyMoved(id))
	if errors.Is(err, store.ErrNotFound) || err == nil && len(b) != 16 {
		return packet.EntryKey{}, false, nil
	}
	if err != nil {
		return packet.EntryKey{}, false, err
	}
	log := packet.Log{Chat: chat, Device: device, Epoch: binary.BigEndian.Uint64(b)}
	return packet.EntryKey{Log: log, Number: binary.BigEndian.Uint64(b[8:])}, true, nil
}

// adopt takes an entry of the lost branch of a forked log into the new epoch.
func (r *run) adopt(p *packet.Packet) error {
	if _, err := r.tx.EntryByID(p.Header.ID); !errors.Is(err, store.ErrNotFound) {
		return err // here already, or nothing can be said
	}
	if p.CheckContent() != nil {
		return nil //nolint:nilerr // deleted, or spoilt on the way
	}
	if _, err := r.s.rewrite(r.tx, p, store.EntryNew); err != nil {
		return err
	}
	r.stored(p.Header.Type, p.Header.Chat)
	r.appended(p.Header.Chat)
	return nil
}

// rewrite appends what an own entry says to the log now in use, under its id and
// with its depth and time, so that it has the same place in the chat.
func (s *Service) rewrite(tx store.Tx, p *packet.Packet, state store.EntryState) (packet.EntryKey, error) {
	copied, err := s.seal(tx, p.Header, p.Content)
	if err != nil {
		return packet.EntryKey{}, fmt.Errorf("copy entry %s: %w", p.Header.Key(), err)
	}
	_, err = tx.PutEntry(store.Entry{Packet: copied, State: state})
	return copied.Header.Key(), err
}

// seal gives h the next place in the log in use and signs it.
func (s *Service) seal(tx store.Tx, h packet.Header, content []byte) (packet.Packet, error) {
	k := s.kindOf(h.Type, h.Chat)
	epoch, err := presentEpoch(tx, h.Chat, k)
	if err != nil {
		return packet.Packet{}, err
	}
	if epoch == 0 {
		if epoch, err = s.beginEpoch(tx, h.Chat, k); err != nil {
			return packet.Packet{}, err
		}
	}
	h.Epoch = epoch
	if h.Number, err = tx.NextNumber(h.Key().Log); err != nil {
		return packet.Packet{}, err
	}
	return packet.Seal(h, content, s.cfg.Identity.Sign)
}
