package net2019

import (
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/internal/failure"
)

// nativeEvent is one of what serveNative hears of.
type nativeEvent struct {
	answer *bus.Net2019Answer
	place  *bus.Net2019Place
	state  *bus.DirectoryState
}

// nativeQueue has room for the places of all who are watched, twice.
const nativeQueue = 4096

// serveNative is logged in by way of the account's own directory.
func (r *run) serveNative() {
	b, q := r.s.cfg.Bus, bus.NewQueue[nativeEvent](nativeQueue)
	defer q.Close()
	bus.Feed(b, bus.Net2019Answered, q, func(v bus.Net2019Answer) (nativeEvent, bool) { return nativeEvent{answer: &v}, true })
	bus.Feed(b, bus.Net2019Located, q, func(v bus.Net2019Place) (nativeEvent, bool) { return nativeEvent{place: &v}, true })
	bus.Feed(b, bus.DirectoryChanged, q, func(v bus.DirectoryState) (nativeEvent, bool) { return nativeEvent{state: &v}, true })
	defer r.s.cfg.Directory.SetNet2019("", 0, nil)
	r.ask()
	if state := r.s.cfg.Directory.State(); !state.Connected {
		r.disconnected(state.Err)
	}
	again := time.NewTimer(time.Hour)
	again.Stop()
	defer again.Stop()
	events := make(chan nativeEvent)
	r.group.Go(func() {
		defer close(events)
		for {
			e, err := q.Next(r.ctx)
			if errors.Is(err, bus.ErrLagged) {
				r.ask() // everything is told anew
				continue
			}
			if err != nil {
				return
			}
			select {
			case events <- e:
			case <-r.ctx.Done():
				return
			}
		}
	})
	for {
		select {
		case e, ok := <-events:
			switch {
			case !ok:
				return
			case e.place != nil:
				r.located(e.place.ID, e.place.Where, e.place.Online)
			case e.state != nil && !e.state.Connected:
				r.disconnected(e.state.Err)
			case e.answer != nil && e.answer.Err != nil:
				r.noneOnline()
				r.tell(false, refusal(e.answer.Err))
				again.Reset(r.s.cfg.timing.pause)
			case e.answer != nil && e.answer.On:
				again.Stop()
				r.tell(true, nil)
			}
		case <-again.C:
			r.ask()
		case <-r.asks:
			r.ask()
		}
	}
}

// ask has the directory show the account, and watch who is to be watched.
func (r *run) ask() {
	r.s.cfg.Directory.SetNet2019(r.set.ID, r.port, r.s.watched())
}

func (r *run) disconnected(why error) {
	r.noneOnline()
	text := "there is no connection"
	if why != nil {
		text = why.Error()
	}
	r.tell(false, failure.New(ErrUnreachable, "Not among those of 2019, because the directory is not there: %s", text).Because("NET2019_DIRECTORY"))
}

// refusal is the directory's, by its kind.
func refusal(err error) error {
	s := status.Convert(err)
	switch s.Code() {
	case codes.AlreadyExists:
		return failure.New(ErrTaken, "%s", s.Message()).Because("NET2019_TAKEN")
	case codes.InvalidArgument:
		return failure.New(ErrInvalid, "%s", s.Message())
	case codes.Unimplemented:
		return failure.New(ErrNotServed, "%s", s.Message()).Because("NET2019_NOT_SERVED")
	default:
		return failure.New(ErrRefused, "%s", s.Message())
	}
}
