package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/parley-chat/parley/bench/people"
	"github.com/parley-chat/parley/protocol/controlpb"
)

// watching is a front end that hears of messages.
type watching struct {
	stream grpc.ServerStreamingClient[controlpb.Event]
}

func watch(ctx context.Context, p *people.Person) (*watching, error) {
	stream, err := p.Client.Watch(ctx, &controlpb.WatchRequest{})
	if err != nil {
		return nil, err
	}
	if _, err := stream.Recv(); err != nil { // it is in place
		return nil, err
	}
	return &watching{stream}, nil
}

// next waits for a message.
func (w *watching) next() (*controlpb.Message, error) {
	for {
		e, err := w.stream.Recv()
		if err != nil {
			return nil, err
		}
		if e.GetResync() != nil {
			return nil, errors.New("a front end that only listens was told that it fell behind")
		}
		if m := e.GetMessageAdded(); m != nil {
			return m, nil
		}
	}
}

// one is the median time from the call at a to the event at b.
func one(ctx context.Context, a, b *people.Person, events *watching) (time.Duration, error) {
	return median(ctx, func() error {
		sent := make(chan error, 1)
		go func() { sent <- a.Send(ctx, a.ChatWith(b), body) }()
		_, err := events.next()
		return errors.Join(err, <-sent)
	})
}

// many is how many messages a second come from a to b when all are sent at once.
func many(ctx context.Context, a, b *people.Person, events *watching) (float64, error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(flight)
	began := time.Now()
	came := make(chan error, 1)
	go func() {
		for i := range burst {
			if _, err := events.next(); err != nil {
				came <- fmt.Errorf("%d of %d messages came: %w", i, burst, err)
				return
			}
		}
		came <- nil
	}()
	for range burst {
		group.Go(func() error { return a.Send(ctx, a.ChatWith(b), body) })
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	if err := <-came; err != nil {
		return 0, err
	}
	return perSecond(burst, time.Since(began)), nil
}
