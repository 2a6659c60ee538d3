package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Bounds of what is committed together. What comes while a commit is pressed to
// disk makes up the next one, so a burst needs no waiting to be grouped.
const (
	maxBatch     = 512
	maxBatchTime = 20 * time.Millisecond
)

// request is one Update. Its fn runs on the caller's goroutine while the writer
// waits, so that a fn that ends its goroutine (as a failing test does) ends no
// one else's.
type request struct {
	durability Durability
	state      atomic.Int32
	turn       chan *tx   // the connection is lent
	outcome    chan error // it is given back; an error undoes what fn did
	result     chan error // of the commit
}

// States of a request.
const (
	queued int32 = iota
	taken
	abandoned
)

var errExit = errors.New("the goroutine of a transaction ended")

// Update implements Store.
func (d *db) Update(ctx context.Context, durability Durability, fn func(Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r := &request{
		durability: durability, turn: make(chan *tx), outcome: make(chan error), result: make(chan error, 1),
	}
	select {
	case d.requests <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-d.closing:
		return ErrClosed
	}
	select {
	case t := <-r.turn:
		return r.run(t, fn)
	case err := <-r.result:
		return err
	case <-ctx.Done():
		if r.state.CompareAndSwap(queued, abandoned) {
			return ctx.Err()
		}
	}
	// The writer has taken it just now.
	select {
	case t := <-r.turn:
		return r.run(t, fn)
	case err := <-r.result:
		return err
	}
}

func (r *request) run(t *tx, fn func(Tx) error) error {
	err := errExit
	func() {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic in a transaction: %v", p)
			}
			t.c = nil // whoever kept t must not write into others' transactions
			r.outcome <- err
		}()
		err = fn(t)
	}()
	return <-r.result
}

// write lends the connection to the requests in turn, and commits.
func (d *db) write() {
	defer close(d.stopped)
	for {
		select {
		case r := <-d.requests:
			for r != nil {
				r = d.batch(r)
			}
		case <-d.closing:
			return
		}
	}
}

// batch commits first and whatever else is there. It gives a request that needs
// a harder commit than this one, and so one of its own.
func (d *db) batch(first *request) (next *request) {
	began := time.Now()
	var done []*request
	if err := d.begin(first.durability); err != nil {
		if first.state.CompareAndSwap(queued, taken) {
			first.result <- err
		}
		return nil
	}
	r := first
	for n := 0; r != nil; n++ {
		ok, lost := d.perform(r)
		if ok {
			done = append(done, r)
		}
		if lost != nil { // SQLite gave up the transaction, and with it the others
			d.finish(done, lost)
			return nil
		}
		if n+1 >= maxBatch || time.Since(began) >= maxBatchTime {
			break
		}
		select {
		case r = <-d.requests:
		default:
			r = nil
		}
		if r != nil && r.durability == Synced && first.durability == Lazy {
			next = r
			break
		}
	}
	d.finish(done, d.commit(len(done) > 0))
	return next
}

func (d *db) finish(done []*request, err error) {
	if err != nil {
		d.index.forget()
	}
	for _, r := range done {
		r.result <- err
	}
}

func (d *db) begin(durability Durability) error {
	if d.pressed == nil || *d.pressed != durability {
		level := "full"
		if durability == Lazy {
			level = "normal"
		}
		if err := d.writer.Exec("PRAGMA synchronous = " + level); err != nil {
			return mapError(err)
		}
		d.pressed = &durability
	}
	return mapError(d.writer.run("BEGIN IMMEDIATE"))
}

// perform runs one request inside the transaction. ok says that it is to be
// committed; if not, it has its result. lost is set when the whole transaction
// is gone.
func (d *db) perform(r *request) (ok bool, lost error) {
	if !r.state.CompareAndSwap(queued, taken) {
		return false, nil
	}
	if err := d.writer.run("SAVEPOINT one"); err != nil {
		err = d.undoAll(err)
		r.result <- err
		return false, err
	}
	mark := d.index.mark()
	t := &tx{readTx: readTx{c: d.writer, flush: d.index.flush}, index: &d.index}
	r.turn <- t
	err := <-r.outcome
	if err == nil {
		if err = d.writer.run("RELEASE one"); err == nil {
			d.index.release()
			return true, nil
		}
	}
	err = mapError(err)
	if d.writer.GetAutocommit() {
		d.index.forget()
		r.result <- err
		return false, err
	}
	if undo := errors.Join(d.writer.run("ROLLBACK TO one"), d.writer.run("RELEASE one")); undo != nil {
		lost = d.undoAll(undo)
	}
	d.index.undo(mark)
	r.result <- err
	return false, lost
}

// undoAll gives up the transaction because of err.
func (d *db) undoAll(err error) error {
	d.index.forget()
	return mapError(errors.Join(err, rollback(d.writer)))
}

// press has SQLite commit. SQLite syncs what it writes, and so nothing when a
// transaction changed nothing; but what such a transaction saw, and its caller
// now builds on, may stem from lazy commits, so that these are synced here.
func (d *db) press() error {
	if *d.pressed == Lazy {
		d.loose = true
		return d.writer.run("COMMIT")
	}
	if !d.loose {
		return d.writer.run("COMMIT")
	}
	log, err := d.writer.log()
	if err != nil {
		return err
	}
	before := log.synced()
	if err := d.writer.run("COMMIT"); err != nil {
		return err
	}
	if log.synced() == before {
		// Not by syncing the file: only after a commit SQLite fills the sector, so that
		// the next commit cannot spoil what is in it.
		err = d.writer.run("INSERT INTO meta (key, value) VALUES ('pressed', 1) ON CONFLICT DO UPDATE SET value = value + 1")
	}
	d.loose = d.loose && err != nil
	return err
}

// commit ends the transaction. Nothing is written when there is nothing to keep.
func (d *db) commit(keep bool) error {
	if !keep {
		return mapError(rollback(d.writer))
	}
	if err := d.index.flush(); err != nil {
		return d.undoAll(fmt.Errorf("index: %w", err))
	}
	if err := d.press(); err != nil {
		return d.undoAll(err)
	}
	d.index.release()
	d.commits.Add(1)
	return nil
}
