package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

const (
	idleReaders = 3  // connections kept for View
	maxReaders  = 24 // Views at one time; more wait
)

// db is the store in SQLite. One goroutine, write, owns the connection that
// writes and lends it to one Update after the other. Each View has a connection
// of its own.
type db struct {
	cfg    Config
	writer *conn
	unlock func() error

	requests chan *request
	closing  chan struct{} // closed by Close
	stopped  chan struct{} // closed when write has ended
	commits  atomic.Int64  // for tests and figures

	readers chan struct{} // one token for each running View
	mu      sync.Mutex    // guards idle and closed
	idle    []*conn
	closed  bool

	// What follows belongs to write.
	index   indexer
	pressed *Durability // of the present transactions, nil before the first
	loose   bool        // there are lazy commits that no sync has pressed to the disk yet

	close func() error
}

func start(cfg Config, writer *conn, unlock func() error) *db {
	d := &db{
		cfg: cfg, writer: writer, unlock: unlock,
		requests: make(chan *request), closing: make(chan struct{}), stopped: make(chan struct{}),
		readers: make(chan struct{}, maxReaders),
	}
	d.index = newIndexer(writer)
	d.close = sync.OnceValue(d.shut)
	go d.write()
	return d
}

// View implements Store.
func (d *db) View(ctx context.Context, fn func(ReadTx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case d.readers <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-d.closing:
		return ErrClosed
	}
	defer func() { <-d.readers }()
	c, err := d.reader(ctx)
	if err != nil {
		return err
	}
	clean := false
	defer func() {
		// A connection that a panic or an error has left in an unknown state is
		// not used again.
		if clean = clean && rollback(c) == nil; clean && d.keep(c) {
			return
		}
		_ = c.Close() // it wrote nothing
	}()
	// The first read fixes the snapshot.
	if err := errors.Join(c.run("BEGIN"), c.run("SELECT 1 FROM meta LIMIT 1")); err != nil {
		return mapError(fmt.Errorf("begin to read: %w", err))
	}
	c.SetInterrupt(ctx)
	t := &readTx{c: c}
	err = fn(t)
	t.c = nil // the connection is somebody else's soon
	c.SetInterrupt(context.Background())
	clean = true
	return ctxError(ctx, err)
}

// reader gives an idle connection, or a new one.
func (d *db) reader(ctx context.Context) (*conn, error) {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil, ErrClosed
	}
	if n := len(d.idle); n > 0 {
		c := d.idle[n-1]
		d.idle = d.idle[:n-1]
		d.mu.Unlock()
		return c, nil
	}
	d.mu.Unlock()
	c, err := connect(ctx, &d.cfg, d.cfg.Path, false)
	if err != nil {
		return nil, mapError(fmt.Errorf("open database %s to read: %w", d.cfg.Path, err))
	}
	if err := c.Exec("PRAGMA query_only = on"); err != nil {
		return nil, errors.Join(mapError(err), c.Close())
	}
	return c, nil
}

// keep puts a connection back. It gives false when there are enough.
func (d *db) keep(c *conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || len(d.idle) >= idleReaders {
		return false
	}
	d.idle = append(d.idle, c)
	return true
}

// Close implements Store.
func (d *db) Close() error { return d.close() }

func (d *db) shut() error {
	close(d.closing)
	<-d.stopped
	d.mu.Lock()
	d.closed = true
	idle := d.idle
	d.idle = nil
	d.mu.Unlock()
	for range maxReaders { // wait for the running Views
		d.readers <- struct{}{}
	}
	var errs []error
	for _, c := range idle {
		errs = append(errs, c.Close())
	}
	// Closing the last connection empties the write-ahead log into the file.
	errs = append(errs, d.writer.Close(), d.unlock())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close database %s: %w", d.cfg.Path, mapError(err))
	}
	return nil
}

// Check reads the whole database of a store that Open gave and looks for damage,
// which may take a while: ErrCorrupt says that there is some.
func Check(ctx context.Context, s Store) error {
	d, ok := s.(*db)
	if !ok {
		return nil
	}
	err := d.View(ctx, func(tx ReadTx) error { return quickCheck(tx.(*readTx).c) })
	if err != nil {
		return fmt.Errorf("check database %s: %w", d.cfg.Path, err)
	}
	return nil
}

// joinRollback ends a transaction because of err.
func joinRollback(c *conn, err error) error { return errors.Join(err, rollback(c)) }
