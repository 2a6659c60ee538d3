package viewmodel

import (
	"context"
	"slices"
	"time"

	"github.com/parley-chat/parley/protocol/controlpb"
)

func (f *fakeCore) AnswerContact(_ context.Context, r *controlpb.AnswerContactRequest) (*controlpb.AnswerContactResponse, error) {
	return &controlpb.AnswerContactResponse{}, f.take(r)
}

func (f *fakeCore) RemoveContact(_ context.Context, r *controlpb.RemoveContactRequest) (*controlpb.RemoveContactResponse, error) {
	return &controlpb.RemoveContactResponse{}, f.take(r)
}

func (f *fakeCore) BlockContact(_ context.Context, r *controlpb.BlockContactRequest) (*controlpb.BlockContactResponse, error) {
	return &controlpb.BlockContactResponse{}, f.take(r)
}

func (f *fakeCore) RenameContact(_ context.Context, r *controlpb.RenameContactRequest) (*controlpb.RenameContactResponse, error) {
	return &controlpb.RenameContactResponse{}, f.take(r)
}

func (f *fakeCore) TrustContact(_ context.Context, r *controlpb.TrustContactRequest) (*controlpb.TrustContactResponse, error) {
	return &controlpb.TrustContactResponse{}, f.take(r)
}

func (f *fakeCore) SetProfile(_ context.Context, r *controlpb.SetProfileRequest) (*controlpb.SetProfileResponse, error) {
	return &controlpb.SetProfileResponse{}, f.take(r)
}

func (f *fakeCore) MarkRead(_ context.Context, r *controlpb.MarkReadRequest) (*controlpb.MarkReadResponse, error) {
	return &controlpb.MarkReadResponse{}, f.take(r)
}

// taken gives the requests of a type that the core got, in order.
func taken[T any](f *fakeCore) []T {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []T
	for _, r := range f.asked {
		if x, ok := r.(T); ok {
			list = append(list, x)
		}
	}
	return list
}

// clock is a time that a test moves. It belongs to the test's goroutine.
type clock struct {
	now    time.Time
	timers []*timer
}

type timer struct {
	at time.Time
	f  func()
}

func newClock() *clock { return &clock{now: time.Date(2026, time.March, 14, 12, 0, 0, 0, time.Local)} }

// use has a session take its time from the clock.
func (c *clock) use(cfg *Config) {
	start := c.now
	cfg.Now = func() time.Time { return start.Add(c.now.Sub(start)) }
	cfg.After = func(d time.Duration, f func()) func() {
		t := &timer{at: c.now.Add(d), f: f}
		c.timers = append(c.timers, t)
		return func() { c.timers = slices.DeleteFunc(c.timers, func(x *timer) bool { return x == t }) }
	}
}

// pass lets time pass, and runs what was to run meanwhile.
func (c *clock) pass(d time.Duration) {
	end := c.now.Add(d)
	for {
		var next *timer
		for _, t := range c.timers {
			if !t.at.After(end) && (next == nil || t.at.Before(next.at)) {
				next = t
			}
		}
		if next == nil {
			break
		}
		c.timers = slices.DeleteFunc(c.timers, func(x *timer) bool { return x == next })
		c.now = next.at
		next.f()
	}
	c.now = end
}

// searchAll answers a search in all chats.
func (f *fakeCore) searchAll(r *controlpb.SearchRequest) (*controlpb.SearchResponse, error) {
	if err := f.take(r); err != nil {
		return nil, err
	}
	f.mu.Lock()
	answer := f.found
	f.mu.Unlock()
	if answer == nil {
		return &controlpb.SearchResponse{}, nil
	}
	return answer(r)
}
