// Package directory is what the directory knows: accounts and their devices,
// who is online where, and the requests kept for people who are away.
//
// The records are NATS JetStream key-value buckets. Every change is a write to
// a bucket; every read is from a view in memory that watches on the buckets
// feed. A change counts once its bucket has it: accounts and requests are on
// disk by then, presence is kept in memory only, and is empty after a restart.
//
//	bucket    key                          value
//	accounts  user                         account (JSON)
//	accounts  invite.hash                  invite (JSON)
//	avatars   user.hash                    the picture
//	requests  to.from.type                 the packet
//	presence  user                         presence (JSON)
//
// A user id's dots are written "=" in keys, where a dot separates. The revision
// of a presence is its place in the bucket, counted on from the time at which
// the bucket was made, so that it grows over restarts too.
//
// What a session must be told is marked on it and put into words only when it
// is sent, from the view as it is then. So a burst of changes costs a slow
// client one message a contact and never a queue without bound, and the last
// word is always right.
package directory

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/parley-chat/parley/protocol/packet"
)

// Bounds of what is kept.
const (
	MaxEndpoints   = 32
	MaxContacts    = 10_000 // and as many blocked users
	MaxRequests    = 100    // kept for a user
	MaxRequest     = 1 << 10
	MaxRelay       = 16 << 10
	MaxAvatar      = 64 << 10
	MaxDisplayName = 64 // characters

	// KeepRequests is how long a request is kept.
	KeepRequests = 30 * 24 * time.Hour
)

// Config of a Directory.
type Config struct {
	// Conn leads to a NATS server with JetStream. It stays the caller's.
	Conn *nats.Conn
	Log  *slog.Logger
	// Wrote, which may be nil, is told of each write to a bucket: how long it took
	// to be acknowledged, and whether it failed.
	Wrote func(bucket string, took time.Duration, failed bool)
}

// Directory is the records and their view. It is safe for concurrent use.
type Directory struct {
	log      *slog.Logger
	wrote    func(string, time.Duration, bool)
	conn     *nats.Conn
	accounts bucket
	avatars  bucket
	requests bucket
	presence bucket
	// base is added to the presence bucket's revisions.
	base   uint64
	stream jetstream.Stream // of accounts
	view   view
	// returnedAt is when a session began last, as nanoseconds since settle.
	returnedAt atomic.Int64
	opened     time.Time
	counters   counters
	relays     *nats.Subscription

	cancel  context.CancelFunc
	workers sync.WaitGroup
	failed  chan struct{} // closed when the view can no longer be right
	fail    sync.Once
	closing chan struct{} // closed once sessions must end
	close   sync.Once
}

// Buckets are the names of all buckets.
func Buckets() []string { return []string{"accounts", "avatars", "requests", "presence"} }

// Open makes the buckets that are missing and reads the view.
func Open(ctx context.Context, cfg Config) (*Directory, error) {
	js, err := jetstream.New(cfg.Conn)
	if err != nil {
		return nil, fmt.Errorf("open the directory's records: %w", err)
	}
	if cfg.Wrote == nil {
		cfg.Wrote = func(string, time.Duration, bool) {}
	}
	run, cancel := context.WithCancel(context.Background())
	d := &Directory{
		log: cfg.Log, wrote: cfg.Wrote, conn: cfg.Conn, view: newView(), cancel: cancel,
		failed: make(chan struct{}), closing: make(chan struct{}),
	}
	if err := d.open(ctx, run, js); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func (d *Directory) open(ctx, run context.Context, js jetstream.JetStream) error {
	for _, b := range []struct {
		into *bucket
		cfg  jetstream.KeyValueConfig
	}{
		{&d.accounts, jetstream.KeyValueConfig{Bucket: "accounts", Storage: jetstream.FileStorage}},
		{&d.avatars, jetstream.KeyValueConfig{Bucket: "avatars", Storage: jetstream.FileStorage}},
		{&d.requests, jetstream.KeyValueConfig{Bucket: "requests", Storage: jetstream.FileStorage, TTL: KeepRequests}},
		{&d.presence, jetstream.KeyValueConfig{Bucket: "presence", Storage: jetstream.MemoryStorage}},
	} {
		kv, err := js.CreateOrUpdateKeyValue(ctx, b.cfg)
		if err != nil {
			return fmt.Errorf("open bucket %s: %w", b.cfg.Bucket, err)
		}
		b.into.KeyValue, b.into.js, b.into.wrote = kv, js, d.wrote
	}
	if err := d.allowBatches(ctx, js); err != nil {
		return err
	}
	stream, err := js.Stream(ctx, "KV_presence")
	if err != nil {
		return fmt.Errorf("open bucket presence: %w", err)
	}
	d.base = uint64(stream.CachedInfo().Created.UnixMicro())

	for _, w := range []struct {
		bucket *bucket
		apply  func(jetstream.KeyValueEntry)
		opts   []jetstream.WatchOpt
	}{
		{&d.accounts, d.applyAccount, nil},
		{&d.requests, d.applyRequest, []jetstream.WatchOpt{jetstream.MetaOnly()}},
		{&d.presence, d.applyPresence, nil},
	} {
		if err := d.watch(ctx, run, w.bucket, w.apply, w.opts...); err != nil {
			return err
		}
	}
	d.relays, err = d.conn.Subscribe(relaySubject("*", "*"), d.applyRelay)
	if err != nil {
		return fmt.Errorf("subscribe to relays: %w", err)
	}
	if err := d.finishRemovals(ctx); err != nil {
		return err
	}
	d.settle(run)
	return nil
}

// allowBatches lets an account be written together with the invite it uses,
// which are in one bucket for this.
func (d *Directory) allowBatches(ctx context.Context, js jetstream.JetStream) error {
	stream, err := js.Stream(ctx, "KV_accounts")
	if err != nil {
		return fmt.Errorf("open bucket accounts: %w", err)
	}
	cfg := stream.CachedInfo().Config
	cfg.AllowAtomicPublish = true
	if d.stream, err = js.UpdateStream(ctx, cfg); err != nil {
		return fmt.Errorf("open bucket accounts for batches: %w", err)
	}
	return nil
}

// watch feeds a bucket's entries to apply, one after the other, and returns
// when those that exist have been applied.
func (d *Directory) watch(ctx, run context.Context, b *bucket, apply func(jetstream.KeyValueEntry), opts ...jetstream.WatchOpt) error {
	b.followed = true
	w, err := b.WatchAll(run, opts...)
	if err != nil {
		return fmt.Errorf("watch bucket %s: %w", b.Bucket(), err)
	}
	read := make(chan struct{})
	d.workers.Add(1)
	go func() {
		defer d.workers.Done()
		defer func() { _ = w.Stop() }()
		initial := true
		for {
			select {
			case <-run.Done():
				return
			case entry, ok := <-w.Updates():
				switch {
				case !ok:
					if run.Err() == nil {
						d.log.Error("the watch of a bucket ended", "bucket", b.Bucket())
					}
					d.fail.Do(func() { close(d.failed) })
					return
				case entry != nil:
					if entry.Key() != probeKey {
						apply(entry)
					}
					b.seen.reach(entry.Revision())
				case initial:
					initial = false
					close(read)
				}
			}
		}
	}()
	select {
	case <-read:
		return nil
	case <-d.failed:
		return fmt.Errorf("read bucket %s: %w", b.Bucket(), ErrState)
	case <-ctx.Done():
		return fmt.Errorf("read bucket %s: %w", b.Bucket(), ctx.Err())
	}
}

// Failed is closed when the view no longer follows the records, and the
// directory has to be opened anew.
func (d *Directory) Failed() <-chan struct{} { return d.failed }

// Sessions counts the sessions held here.
func (d *Directory) Sessions() int { return int(d.view.held.Load()) }

// GoAway asks all sessions to come back, spread over as long as their number
// needs, and keeps their ends from being told to those who go too. New ones are
// refused.
func (d *Directory) GoAway() {
	spread := d.spreadMs()
	d.close.Do(func() { close(d.closing) })
	d.view.mu.RLock()
	var all []*Session
	for _, sessions := range d.view.sessions {
		all = append(all, sessions...)
	}
	d.view.mu.RUnlock()
	for _, s := range all {
		s.goAway(spread)
	}
}

func (d *Directory) isClosing() bool {
	select {
	case <-d.closing:
		return true
	default:
		return false
	}
}

// EndSessions ends all sessions with ErrClosed; new ones are refused.
func (d *Directory) EndSessions() {
	d.close.Do(func() { close(d.closing) })
	d.view.mu.RLock()
	defer d.view.mu.RUnlock()
	for _, sessions := range d.view.sessions {
		for _, s := range sessions {
			s.end(ErrClosed)
		}
	}
}

// Close ends all sessions and stops watching. The connection is left open.
// Idempotent.
func (d *Directory) Close() {
	d.EndSessions()
	if d.relays != nil {
		_ = d.relays.Unsubscribe()
	}
	d.cancel()
	d.workers.Wait()
}

func keyOf(user packet.UserID) string { return strings.ReplaceAll(string(user), ".", "=") }

func userOf(key string) (packet.UserID, error) {
	return packet.ParseUserID(strings.ReplaceAll(key, "=", "."))
}
