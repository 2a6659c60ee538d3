package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// Conn is a bulk stream.
type Conn interface {
	net.Conn
	// Flush sends what Write held back.
	Flush() error
}

// Links is the connection manager as this package sees it. All methods may be
// called concurrently.
type Links interface {
	// Links gives the links that are up.
	Links() []bus.Link
	// OpenStream gives a bulk stream to the device at the other end of a link.
	OpenStream(ctx context.Context, link uint64) (Conn, error)
	// Send gives a frame to a link.
	Send(ctx context.Context, link uint64, f packet.Frame) error
}

// Config of a Service. Log and Now are optional.
type Config struct {
	Identity *identity.Identity
	Book     *identity.Book
	Store    store.Store
	Bus      *bus.Bus
	Links    Links
	Log      *slog.Logger
	// Folder keeps ledgers and indexes: private, made when missing.
	Folder string
	Now    func() time.Time

	retry time.Duration // tests are quicker
}

// Bounds and times.
const (
	// reserve is what a transfer leaves free on a disk.
	reserve = 16 << 20
	// maxFetches bounds the blobs that are fetched at once, and those from one
	// person.
	maxFetches         = 6
	maxFetchesFromUser = 3
	// maxServes bounds the streams that are served at once, and those to one person,
	// who may read nothing of what was asked for; a stream costs about a piece and
	// its buffers while it moves.
	maxServes       = 16
	maxServesToUser = 4
	// turn is how long one that asks waits for its turn before it is told to come
	// again, in times of Config.retry.
	turn = 30
	// silence is how long a stream may carry nothing.
	silence = 30 * time.Second
	// stalled is how long a write may take: what buffers hold goes through a slow
	// link that several transfers share.
	stalled = 5 * silence
	// Backoff of a fetch whose source failed.
	retryFirst, retryMost = 500 * time.Millisecond, 30 * time.Second
	// diskRetry is when a fetch for which there is no room is tried again.
	diskRetry = 30 * time.Second
	eventRoom = 4096
)

// Service moves blobs. Make it with New; its methods may be called concurrently,
// before and while Serve runs.
type Service struct {
	cfg    Config
	log    *slog.Logger
	self   packet.UserID
	device packet.DeviceID
	events *bus.Queue[event]
	up     *rate.Limiter // bytes given, and
	down   *rate.Limiter // taken; what they are set to may change
	serves *slots
	slots  *slots // of fetches

	ledgers ledgers

	// mu guards all below. It is taken before a fetch's own; nothing is read,
	// written or waited for under it.
	mu       sync.Mutex
	run      *run // while Serve runs
	fetches  map[packet.BlobID]*fetch
	shares   map[packet.BlobID]*share
	idle     map[uint64][]*stream // streams nobody uses, by link
	streams  map[*stream]struct{} // all that this side opened
	incoming map[Conn]bus.Link    // those that peers opened
	meters   map[packet.BlobID]*meter
}

// run is what exists while Serve runs.
type run struct {
	ctx context.Context //nolint:containedctx // the life of the goroutines in wg
	wg  sync.WaitGroup
}

// event is what happened outside.
type event struct {
	up, down *bus.Link
	news     *packet.BlobNews
	from     bus.Link
	chat     packet.ChatID // was removed, or cleared
	release  func()
}

// Dropped implements bus.Dropper.
func (e event) Dropped() {
	if e.release != nil {
		e.release()
	}
}

// New makes a service and subscribes it to the bus. Close undoes that.
func New(cfg Config) (*Service, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.retry == 0 {
		cfg.retry = retryFirst
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(cfg.Folder, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder for files that are under way: %w", err)
	}
	s := &Service{
		cfg: cfg, log: cfg.Log, self: cfg.Identity.User(), device: cfg.Identity.Device(),
		events: bus.NewQueue[event](eventRoom),
		up:     rate.NewLimiter(rate.Inf, packet.PieceSize), down: rate.NewLimiter(rate.Inf, packet.PieceSize),
		serves: newSlots(maxServes, maxServesToUser), slots: newSlots(maxFetches, maxFetchesFromUser),
		fetches: map[packet.BlobID]*fetch{}, shares: map[packet.BlobID]*share{}, idle: map[uint64][]*stream{},
		streams: map[*stream]struct{}{}, ledgers: ledgers{opened: map[packet.BlobID]*ledger{}}, incoming: map[Conn]bus.Link{}, meters: map[packet.BlobID]*meter{},
	}
	bus.Feed(cfg.Bus, bus.LinkUp, s.events, func(l bus.Link) (event, bool) { return event{up: &l}, true })
	bus.Feed(cfg.Bus, bus.LinkDown, s.events, func(l bus.Link) (event, bool) { return event{down: &l}, true })
	bus.Feed(cfg.Bus, bus.BlobNewsReceived, s.events, func(f bus.SyncFrame) (event, bool) {
		news, ok := f.Frame.(*packet.BlobNews)
		return event{news: news, from: f.Link, release: f.Release}, ok
	})
	bus.Feed(cfg.Bus, bus.ChatChanged, s.events, func(c bus.ChatChange) (event, bool) {
		return event{chat: c.Chat}, c.Removed || c.Cleared
	})
	return s, nil
}

// Close unsubscribes a service that is not served any more. Idempotent.
func (s *Service) Close() error {
	s.events.Close()
	return nil
}

// SetLimits bounds how many bytes a second are given and taken; 0 is no bound.
func (s *Service) SetLimits(up, down uint64) {
	for l, n := range map[*rate.Limiter]uint64{s.up: up, s.down: down} {
		if n == 0 {
			l.SetLimit(rate.Inf)
		} else {
			l.SetLimit(rate.Limit(n))
		}
	}
}

// Serve moves blobs until ctx ends, and returns when all of it has stopped. It
// may be called again.
func (s *Service) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &run{ctx: ctx}
	if err := s.tidy(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	s.run = r
	s.mu.Unlock()
	defer s.stop(r, cancel)
	if err := s.resume(ctx); err != nil {
		return err
	}
	for {
		e, err := s.events.Next(ctx)
		switch {
		case errors.Is(err, bus.ErrLagged):
			s.kickAll()
		case err != nil:
			return context.Cause(ctx)
		default:
			s.handle(ctx, e)
		}
	}
}

func (s *Service) handle(ctx context.Context, e event) {
	if e.release != nil {
		defer e.release()
	}
	switch {
	case e.up != nil:
		s.kickAll()
	case e.down != nil:
		s.dropLink(e.down.ID)
	case e.news != nil:
		for _, id := range e.news.Blobs {
			s.hear(id, e.from.ID)
		}
	case e.chat != "":
		if err := s.tidy(ctx); err != nil {
			s.log.Warn("what was left of a removed chat's files could not be removed", "err", err)
		}
	}
}

// stop ends everything that Serve began.
func (s *Service) stop(r *run, cancel context.CancelCauseFunc) {
	cancel(errStopped)
	s.mu.Lock()
	s.run = nil
	for _, f := range s.fetches {
		f.cancel(errStopped)
	}
	var open []Conn
	for st := range s.streams {
		open = append(open, st.conn)
	}
	for c := range s.incoming {
		open = append(open, c)
	}
	s.idle = map[uint64][]*stream{}
	s.mu.Unlock()
	for _, c := range open {
		_ = c.Close()
	}
	r.wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, sh := range s.shares {
		s.closeShare(sh)
		delete(s.shares, id)
	}
}

// resume begins all fetches that are wanted.
func (s *Service) resume(ctx context.Context) error {
	blobs, err := s.active(ctx)
	if err != nil {
		return err
	}
	for i := range blobs {
		if blobs[i].State == store.BlobWanted && !pushed(&blobs[i]) {
			s.begin(blobs[i].ID)
		}
	}
	return nil
}

func (s *Service) active(ctx context.Context) (blobs []store.Blob, err error) {
	err = s.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
		blobs, err = tx.Blobs(store.BlobQuery{Active: true})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read what is to be fetched: %w", err)
	}
	return blobs, nil
}

// tidy forgets what was prepared and never shared, stops what has gone with its
// chat, and removes what was left of blobs that are not known.
func (s *Service) tidy(ctx context.Context) error {
	known := map[string]bool{}
	s.mu.Lock()
	serving := s.run != nil
	s.mu.Unlock()
	err := s.update(ctx, func(tx store.Tx) error {
		clear(known)
		blobs, err := tx.Blobs(store.BlobQuery{})
		if err != nil {
			return err
		}
		for i := range blobs {
			b := &blobs[i]
			old := s.cfg.Now().Sub(time.UnixMicro(b.CreatedAt)) > 24*time.Hour
			if b.State == store.BlobPrepared && (old || !serving) {
				if err := tx.DeleteBlob(b.ID); err != nil {
					return err
				}
				continue
			}
			// What came of one that was cancelled goes at once, but when the process ended
			// before.
			known[b.ID.String()] = serving || b.State != store.BlobCancelled
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	var gone []*fetch
	for id, f := range s.fetches {
		if !known[id.String()] {
			gone = append(gone, f)
		}
	}
	s.mu.Unlock()
	for _, f := range gone {
		f.cancel(errGone)
	}
	entries, err := os.ReadDir(s.cfg.Folder)
	if err != nil {
		return fmt.Errorf("look through the files that are under way: %w", err)
	}
	for _, e := range entries {
		// One that is being prepared has a folder before it is known.
		if info, err := e.Info(); serving && (err != nil || time.Since(info.ModTime()) < time.Minute) {
			continue
		}
		if !known[e.Name()] {
			s.removeLeft(filepath.Join(s.cfg.Folder, e.Name()))
		}
	}
	return nil
}

// errGone: the blob's row is not there any more.
var errGone = errors.New("the blob is gone")

// removeLeft removes a blob's folder, and what it says of a partial file.
func (s *Service) removeLeft(dir string) {
	if id, err := packet.ParseBlobID(filepath.Base(dir)); err == nil {
		s.ledgers.forget(id)
	}
	if partial, err := os.ReadFile(filepath.Join(dir, partialFile)); err == nil { //nolint:gosec // below the service's own folder
		if err := removePartial(string(partial)); err != nil {
			s.log.Warn("what came of a file could not be removed", "err", err)
		}
	}
	if err := os.RemoveAll(dir); err != nil { //nolint:gosec // see above
		s.log.Warn("leftovers of a file could not be removed", "err", err)
	}
}

// removePartial removes a partial file or folder, and the folder around it when
// it was the last.
func removePartial(path string) error {
	if filepath.Base(filepath.Dir(path)) != partialFolder {
		return nil // never anything else
	}
	err := os.RemoveAll(path)             //nolint:gosec // checked just above
	if errors.Is(err, fs.ErrPermission) { // a folder in it was finished, and may not be written to
		_ = filepath.WalkDir(path, func(at string, d fs.DirEntry, _ error) error { //nolint:gosec // see above
			if d != nil && d.IsDir() {
				_ = os.Chmod(at, 0o700) //nolint:gosec // to be removed
			}
			return nil
		})
		err = os.RemoveAll(path) //nolint:gosec // see above
	}
	_ = os.Remove(filepath.Dir(path)) //nolint:gosec // see above; fails while there are others
	return err
}

// partialFile, in a blob's folder, says where its partial file is, so that it is
// found even when the database is not.
const partialFile = "partial"

// removePartialFolder removes the folder for partial files beside a file, if it
// is empty.
func removePartialFolder(path string) {
	_ = os.Remove(filepath.Join(filepath.Dir(path), partialFolder)) // fails when it is not
}

func (s *Service) partialPath(id packet.BlobID) string {
	return filepath.Join(s.dir(id), partialFile)
}
func (s *Service) dir(id packet.BlobID) string        { return filepath.Join(s.cfg.Folder, id.String()) }
func (s *Service) indexPath(id packet.BlobID) string  { return filepath.Join(s.dir(id), "index") }
func (s *Service) ledgerPath(id packet.BlobID) string { return filepath.Join(s.dir(id), "pieces") }

// update changes the store; what is lost by a power failure is found out again.
func (s *Service) update(ctx context.Context, fn func(store.Tx) error) error {
	if err := s.cfg.Store.Update(ctx, store.Lazy, fn); err != nil {
		return fmt.Errorf("note what is shared and fetched: %w", err)
	}
	return nil
}

// blob reads a blob's row.
func (s *Service) blob(ctx context.Context, id packet.BlobID) (b store.Blob, err error) {
	err = s.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
		b, err = tx.Blob(id)
		return err
	})
	return b, err
}

// member says whether a user is a member of a chat, and may have what was
// shared in it: a direct chat ends with the contact.
func (s *Service) member(ctx context.Context, chat packet.ChatID, user packet.UserID) (is bool, err error) {
	err = s.cfg.Store.View(ctx, func(tx store.ReadTx) error {
		c, err := tx.Chat(chat)
		is = slices.Contains(c.Members, user)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	person := s.cfg.Book.Person(user)
	return is && !person.Blocked && (chat.Kind() != packet.Direct || !person.GroupsOnly), err
}
