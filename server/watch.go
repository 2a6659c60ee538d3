package server

import (
	"context"
	"log/slog"
	"time"
)

const (
	healthEvery = 2 * time.Second
	// slowDisk is how long a disk takes for state's Room that may keep a record
	// waiting for longer than directory's Check does.
	slowDisk = time.Second
	// slowMost is how long records may not be written to a slow disk that has room.
	slowMost = 2 * time.Minute
)

// watchHealth ends the server when its records fail: whoever runs it starts it
// again, and until then clients are better told that it is away.
func (s *Server) watchHealth(ctx context.Context, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	records := watch{check: s.dir.Check, room: s.state.Room, log: s.log}
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.dir.Failed():
			cancel(ErrState)
			return
		case <-tick.C:
			if !s.state.Healthy() || records.recovered(ctx) {
				cancel(ErrState)
				return
			}
		}
	}
}

// watch watches whether records can be written. It is for one goroutine.
type watch struct {
	check func(context.Context) error // whether they can be written
	room  func() error                // whether the disk takes anything
	log   *slog.Logger
	since time.Time // when they could not be written first; zero when they can
}

// recovered says that records could not be written, and could be if the server
// was started again. As long as the disk is full the server stays: presence
// needs no disk. So it does as long as the disk is slow, and the answers may come.
func (w *watch) recovered(ctx context.Context) bool {
	if w.well(ctx) {
		return false
	}
	began := time.Now()
	if err := w.room(); err != nil {
		w.log.Error("records cannot be written; make room on the disk", "error", err)
		return false
	}
	if took := time.Since(began); took > slowDisk && time.Since(w.since) < slowMost {
		w.log.Warn("records cannot be written, and the disk is slow; they are tried again", "took", took.Round(time.Millisecond))
		return false
	}
	// It may have been slow until now, when they were tried.
	return !w.well(ctx)
}

// well says that records can be written, or that it does not matter any more.
func (w *watch) well(ctx context.Context) bool {
	if w.check(ctx) == nil || ctx.Err() != nil {
		w.since = time.Time{}
		return true
	}
	if w.since.IsZero() {
		w.since = time.Now()
	}
	return false
}
