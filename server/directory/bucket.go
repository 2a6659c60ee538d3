package directory

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// stateTimeout bounds one read or write of a record. A disk that others keep busy
// has let a write wait for seconds.
const stateTimeout = 10 * time.Second

// probeTimeout bounds a try whether a bucket can be written.
const probeTimeout = 2 * time.Second

// probeKey is written to learn whether a bucket can be. It is no user id.
const probeKey = "_"

// bucket is a key-value bucket and how far the view has followed it.
type bucket struct {
	jetstream.KeyValue
	js   jetstream.JetStream
	seen progress
	// followed says that the view has what is in the bucket.
	followed bool
	wrote    func(bucket string, took time.Duration, failed bool)
	// broken is set when a write got no answer, as happens when the disk is full:
	// JetStream then never writes to the bucket again, and until it is opened
	// anew nobody has to wait for what will not come.
	broken atomic.Bool
}

// write does one write, which tells its revision, and waits until the view has
// it, if a view follows the bucket. Errors: jetstream's
// ErrKeyExists and ErrKeyRevisionMismatch, ErrState, ctx's.
func (b *bucket) write(ctx context.Context, f func(context.Context) (uint64, error)) (uint64, error) {
	if b.broken.Load() {
		return 0, fmt.Errorf("write to bucket %s: it is broken: %w", b.Bucket(), ErrState)
	}
	inner, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	start := time.Now()
	revision, err := f(inner)
	conflict := errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch)
	b.wrote(b.Bucket(), time.Since(start), err != nil && !conflict)
	switch {
	case conflict:
		return 0, err
	case err != nil && ctx.Err() != nil:
		return 0, fmt.Errorf("write to bucket %s: %w", b.Bucket(), ctx.Err())
	case err != nil:
		if inner.Err() != nil {
			b.broken.Store(true)
		}
		return 0, fmt.Errorf("write to bucket %s: %w: %w", b.Bucket(), ErrState, err)
	}
	if !b.followed {
		return revision, nil
	}
	if err := b.seen.wait(inner, revision); err != nil {
		return revision, fmt.Errorf("follow bucket %s: %w: %w", b.Bucket(), ErrState, err)
	}
	return revision, nil
}

// remove is write for a removal: of a record at revision last, or whatever its
// revision when last is 0. It publishes what KeyValue.Delete would, which does
// not tell the revision to wait for.
func (b *bucket) remove(ctx context.Context, key string, last uint64) error {
	_, err := b.write(ctx, func(ctx context.Context) (uint64, error) {
		m := nats.NewMsg(b.subject(key))
		m.Header.Set(headerOperation, "DEL")
		if last != 0 {
			m.Header.Set(headerLast, strconv.FormatUint(last, 10))
		}
		ack, err := b.js.PublishMsg(ctx, m)
		var refused *jetstream.APIError
		if errors.As(err, &refused) && wrongLast(refused) {
			return 0, jetstream.ErrKeyRevisionMismatch
		}
		if err != nil {
			return 0, err
		}
		return ack.Sequence, nil
	})
	return err
}

// get reads a record. Errors: jetstream.ErrKeyNotFound, ErrState, ctx's.
func (b *bucket) get(ctx context.Context, key string) (jetstream.KeyValueEntry, error) {
	inner, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	entry, err := b.Get(inner, key)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return nil, err
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("read from bucket %s: %w", b.Bucket(), ctx.Err())
	case err != nil:
		return nil, fmt.Errorf("read from bucket %s: %w: %w", b.Bucket(), ErrState, err)
	}
	return entry, nil
}

// check tries whether a broken bucket can be written after all.
func (b *bucket) check(ctx context.Context) error {
	if !b.broken.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if _, err := b.Put(ctx, probeKey, nil); err != nil {
		return fmt.Errorf("write to bucket %s: %w: %w", b.Bucket(), ErrState, err)
	}
	b.broken.Store(false) // the disk was only slow
	return nil
}

// Check says whether records can be written: nil, or ErrState, which stays
// until the state is opened anew.
func (d *Directory) Check(ctx context.Context) error {
	return errors.Join(d.accounts.check(ctx), d.avatars.check(ctx), d.requests.check(ctx), d.presence.check(ctx))
}
