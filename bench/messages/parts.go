package main

import (
	"context"
	"slices"
	"time"

	"github.com/parley-chat/parley/bench/report"
	"github.com/parley-chat/parley/core/bus"
)

// part is one station on the way, alone.
type part struct {
	// one passes a message on and returns when it came.
	one func(context.Context) error
	// many passes n messages on and returns when the last came.
	many func(ctx context.Context, n int) error
}

func (p part) measure(ctx context.Context, r *report.Round) error {
	took, err := median(ctx, func() error { return p.one(ctx) })
	if err != nil {
		return err
	}
	r.Record(metricOne, took.Seconds())
	began := time.Now()
	if err := p.many(ctx, burst); err != nil {
		return err
	}
	r.Record(metricBurst, perSecond(burst, time.Since(began)))
	return nil
}

// median is the median time of what is done again and again, with a pause in
// between for what follows of it, such as receipts.
func median(ctx context.Context, do func() error) (time.Duration, error) {
	var times []time.Duration
	for i := range singles + singles/10 {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		began := time.Now()
		if err := do(); err != nil {
			return 0, err
		}
		if i >= singles/10 { // what comes first warms up
			times = append(times, time.Since(began))
		}
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

// measureBus publishes packets for a reader in another goroutine.
func measureBus(ctx context.Context, r *report.Round) error {
	b := bus.New()
	q := bus.Subscribe(b, bus.PacketReceived, burst)
	defer q.Close()
	came := make(chan error)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			_, err := q.Next(ctx)
			select {
			case came <- err:
			case <-ctx.Done():
			}
		}
	}()
	publish := func(n int) error {
		for range n {
			bus.Publish(b, bus.PacketReceived, bus.Received{})
		}
		for range n {
			if err := <-came; err != nil {
				return err
			}
		}
		return nil
	}
	return part{
		one:  func(context.Context) error { return publish(1) },
		many: func(_ context.Context, n int) error { return publish(n) },
	}.measure(ctx, r)
}
