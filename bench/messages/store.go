package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/parley-chat/parley/bench/report"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

const chat = packet.ChatID("anna-bob")

// measureStore does what the two cores' stores do for a message, and nothing
// else.
func measureStore(ctx context.Context, r *report.Round) error {
	rows, _, err := commits(ctx, r.Dir)
	if err != nil {
		return err
	}
	r.Record(metricOne, rows.Seconds())
	rate, err := ceiling(ctx, r.Dir)
	if err != nil {
		return err
	}
	r.Record(metricBurst, rate)
	return nil
}

func openStore(ctx context.Context, path string) (store.Store, error) {
	return store.Open(ctx, store.Config{Path: path, Key: make([]byte, store.KeySize)})
}

// commits are the median times of two synced commits, one on each side: of a
// message's rows, and of one small row.
func commits(ctx context.Context, dir string) (rows, small time.Duration, err error) {
	a, b, err := newSides(ctx, filepath.Join(dir, "commits"))
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = errors.Join(a.store.Close(), b.store.Close()) }()
	entries, err := a.entries(singles + singles/10)
	if err != nil {
		return 0, 0, err
	}
	next := 0
	rows, err = median(ctx, func() error {
		e := entries[next]
		next++
		return errors.Join(a.send(ctx, e), b.take(ctx, []store.Entry{e}))
	})
	if err != nil {
		return 0, 0, err
	}
	value := make([]byte, len(body))
	small, err = median(ctx, func() error {
		value[0]++
		put := func(tx store.Tx) error { return tx.PutValue("bench", "value", value) }
		return errors.Join(a.store.Update(ctx, store.Synced, put), b.store.Update(ctx, store.Synced, put))
	})
	return rows, small, err
}

// side is the store of one person.
type side struct {
	store store.Store
	log   packet.Log
	self  *identity.Identity
}

func newSide(ctx context.Context, path, user string) (*side, error) {
	self, err := identity.Generate(packet.UserID(user))
	if err != nil {
		return nil, err
	}
	s, err := openStore(ctx, path)
	if err != nil {
		return nil, err
	}
	err = s.Update(ctx, store.Synced, func(tx store.Tx) error {
		if err := tx.PutChat(store.Chat{ID: chat}); err != nil {
			return err
		}
		return tx.PutMembership(chat, store.Membership{Version: 1, Members: []packet.UserID{"anna", "bob"}})
	})
	return &side{store: s, self: self, log: packet.Log{Chat: chat, Device: self.Device(), Epoch: 1}}, err
}

func newSides(ctx context.Context, dir string) (a, b *side, err error) {
	if a, err = newSide(ctx, filepath.Join(dir, "anna"), "anna"); err != nil {
		return nil, nil, err
	}
	if b, err = newSide(ctx, filepath.Join(dir, "bob"), "bob"); err != nil {
		return nil, nil, errors.Join(err, a.store.Close())
	}
	return a, b, nil
}

// ceiling is how many messages a second the two stores take at once: the sender's
// with as many calls under way as the front end has, the recipient's as they come.
func ceiling(ctx context.Context, dir string) (float64, error) {
	a, b, err := newSides(ctx, filepath.Join(dir, "burst"))
	if err != nil {
		return 0, err
	}
	defer func() { _ = errors.Join(a.store.Close(), b.store.Close()) }()
	entries, err := a.entries(burst)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	arrivals, unhandled := make(chan store.Entry, burst), make(chan store.Entry, burst)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(arrivals)
		senders, ctx := errgroup.WithContext(ctx)
		senders.SetLimit(flight)
		for _, e := range entries {
			senders.Go(func() error {
				err := a.send(ctx, e)
				arrivals <- e
				return err
			})
		}
		return senders.Wait()
	})
	group.Go(func() error {
		defer close(unhandled)
		return batches(arrivals, func(batch []store.Entry) error {
			if err := b.take(ctx, batch); err != nil {
				return err
			}
			for _, e := range batch {
				unhandled <- e
			}
			return nil
		})
	})
	group.Go(func() error {
		return batches(unhandled, func(batch []store.Entry) error { return b.handle(ctx, batch) })
	})
	if err := group.Wait(); err != nil {
		return 0, err
	}
	return perSecond(burst, time.Since(began)), nil
}

// batches gives what is there at once to do.
func batches(entries <-chan store.Entry, do func([]store.Entry) error) error {
	for e := range entries {
		batch := []store.Entry{e}
		for more := true; more && len(batch) < 512; {
			select {
			case e, more = <-entries:
				if more {
					batch = append(batch, e)
				}
			default:
				more = false
			}
		}
		if err := do(batch); err != nil {
			return err
		}
	}
	return nil
}

func (s *side) entries(n int) ([]store.Entry, error) {
	entries := make([]store.Entry, n)
	for i := range entries {
		p, err := packet.Seal(packet.Header{
			ID: packet.NewPacketID(), Chat: chat, Type: "text", Author: s.self.User(), Device: s.self.Device(), Epoch: 1, Number: uint64(i + 1),
			Depth: uint64(i + 1), Membership: 1, SentAt: time.Now().UnixMicro(), Delivery: packet.Reliable,
		}, []byte(body), s.self.Sign)
		if err != nil {
			return nil, err
		}
		entries[i] = store.Entry{Packet: p, State: store.EntryHandled}
	}
	return entries, nil
}

func message(e *store.Entry, own bool) store.Message {
	h := &e.Packet.Header
	return store.Message{
		ID: h.ID, Chat: h.Chat, Author: h.Author, Plugin: "text", Kind: "text", Body: body,
		SentAt: h.SentAt, Order: h.Order(), Entry: h.Key(), Own: own, Notifies: true,
	}
}

// send commits what an Invoke does.
func (s *side) send(ctx context.Context, e store.Entry) error {
	return s.store.Update(ctx, store.Synced, func(tx store.Tx) error {
		if _, err := tx.PutEntry(e); err != nil {
			return err
		}
		if _, err := tx.AddMessage(message(&e, true)); err != nil {
			return err
		}
		id := e.Packet.Header.ID
		return tx.PutInvocation(store.Invocation{
			ID: id, Plugin: "text", Action: "send", Sent: []packet.PacketID{id}, At: e.Packet.Header.SentAt,
		})
	})
}

// take commits entries as they come.
func (s *side) take(ctx context.Context, batch []store.Entry) error {
	return s.store.Update(ctx, store.Synced, func(tx store.Tx) error {
		for _, e := range batch {
			e.State = store.EntryNew
			if _, err := tx.PutEntry(e); err != nil {
				return err
			}
		}
		return nil
	})
}

// handle commits what a plugin makes of entries.
func (s *side) handle(ctx context.Context, batch []store.Entry) error {
	return s.store.Update(ctx, store.Lazy, func(tx store.Tx) error {
		for _, e := range batch {
			if _, err := tx.AddMessage(message(&e, false)); err != nil {
				return err
			}
			if err := tx.SetEntryState(e.Packet.Header.Key(), store.EntryHandled, 0, ""); err != nil {
				return err
			}
		}
		return nil
	})
}
