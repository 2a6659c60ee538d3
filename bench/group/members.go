package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/parley-chat/parley/bench/people"
	"github.com/parley-chat/parley/bench/report"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
)

// Resident memory of an ordinary member's core by the size of the group, for the
// difference; rounds run one after the other.
var resident = map[int]float64{}

func fifty(ctx context.Context, r *report.Round) error { return members(ctx, r, large) }
func five(ctx context.Context, r *report.Round) error  { return members(ctx, r, small) }

// members measures messages in a group of n.
func members(ctx context.Context, r *report.Round, n int) error {
	g, err := group(ctx, r, n)
	if err != nil {
		return err
	}
	defer g.Close()
	all := g.all
	r.Record(metricJoined, g.took.Seconds())
	before, err := commits(ctx, r.Dir+"/before", large)
	if err != nil {
		return err
	}
	used, err := people.CPU(all...)
	if err != nil {
		return err
	}
	times, err := send(ctx, all, g.chat)
	if err != nil {
		return err
	}
	usedAfter, err := people.CPU(all...)
	if err != nil {
		return err
	}
	after, err := commits(ctx, r.Dir+"/after", large)
	if err != nil {
		return err
	}
	slices.Sort(times)
	median := times[len(times)/2].Seconds()
	r.Record(metricLast, median)
	last99 := times[len(times)*99/100].Seconds()
	r.Record(metricLast99, last99)
	if n == large {
		r.Record(metricCommits, 2*median/(before+after).Seconds())
		r.Record(metricCommits99, 2*last99/(before+after).Seconds())
	}
	r.Record(metricCPU, (usedAfter-used).Seconds()/float64(len(times)*n))
	u, err := all[n/2].Core.Usage()
	if err != nil {
		return err
	}
	resident[n] = float64(u.Resident)
	r.Record(metricCore, resident[n])
	if resident[small] > 0 && resident[large] > 0 && n == large {
		r.Record(metricLink, (resident[large]-resident[small])/(large-small))
	}
	return nil
}

// made is a group of people who are all linked with each other.
type made struct {
	*people.World
	all  []*people.Person
	chat packet.ChatID
	took time.Duration // from the first invitation
}

// group makes a group of n people of whom the first knows all.
func group(ctx context.Context, r *report.Round, n int) (_ *made, err error) {
	w, err := people.NewWorld(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			w.Close()
		}
	}()
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("member%02d", i)
	}
	began := time.Now()
	all, err := w.AddAll(ctx, names...)
	if err != nil {
		return nil, err
	}
	r.Say("%d people have accounts after %.1f s", n, time.Since(began).Seconds())
	for _, p := range all[1:] {
		if err = people.Befriend(ctx, all[0], p); err != nil {
			return nil, err
		}
	}
	r.Say("they are the first one's contacts after %.1f s", time.Since(began).Seconds())
	invited := time.Now()
	chat, err := people.Group(ctx, "Benchmark", all...)
	if err != nil {
		return nil, err
	}
	took := time.Since(invited)
	r.Say("all joined, and every pair is linked, %.1f s after they were invited", took.Seconds())
	return &made{World: w, all: all, chat: chat, took: took}, nil
}

// send sends messages one after the other and gives how long each took until all
// others had it.
func send(ctx context.Context, all []*people.Person, chat packet.ChatID) ([]time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sender, others := all[0], all[1:]
	came := make(chan error, len(others))
	for _, p := range others {
		events, err := p.Client.Watch(ctx, &controlpb.WatchRequest{})
		if err != nil {
			return nil, err
		}
		if _, err := events.Recv(); err != nil { // it is in place
			return nil, err
		}
		go func() {
			for {
				e, err := events.Recv()
				switch {
				case err != nil:
					came <- fmt.Errorf("%s listens: %w", p.Name, err)
					return
				case e.GetResync() != nil:
					came <- errors.New("a front end that only listens was told that it fell behind")
					return
				case e.GetMessageAdded().GetKind() == "text":
					came <- nil
				}
			}
		}()
	}
	one := func() (time.Duration, error) {
		began := time.Now()
		var sending sync.WaitGroup
		var failed error
		sending.Go(func() { failed = sender.Send(ctx, chat, body) })
		for range others {
			select {
			case err := <-came:
				if err != nil {
					return 0, err
				}
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		took := time.Since(began)
		sending.Wait()
		return took, failed
	}
	times := make([]time.Duration, 0, singles)
	for i := range singles + 20 {
		took, err := one()
		if err != nil {
			return nil, err
		}
		if i >= 20 { // the first ones start the plugins
			times = append(times, took)
		}
	}
	return times, nil
}
