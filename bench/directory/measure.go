package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/parley-chat/parley/bench/process"
	"github.com/parley-chat/parley/bench/report"
	"github.com/parley-chat/parley/protocol/directorypb"
)

const (
	steadyChanges = 100 // a second, while delay is measured
	callers       = 64
	quietFor      = 3 * time.Second
)

// measurement is one round of the directory.
type measurement struct {
	*world
	round   *report.Round
	process *process.Process
	before  int64 // bytes in memory without a session
	fleet   *fleet
	change  atomic.Uint32 // number of the last one
}

func (m *measurement) run(ctx context.Context) error {
	f := m.fleet
	stage := func(n int) (float64, error) {
		rate, err := f.grow(ctx, n)
		if err == nil {
			err = m.quiet(ctx)
		}
		if lost := f.lost.Load(); err == nil && lost > 0 {
			err = fmt.Errorf("%d of %d sessions were lost", lost, n)
		}
		return rate, err
	}
	if _, err := stage(m.busy); err != nil {
		return err
	}
	delays, err := m.steady(ctx)
	if err != nil {
		return err
	}
	m.round.Record(delay, report.Percentile(delays, 50))
	m.round.Record(delay99, report.Percentile(delays, 99))
	rate, err := stage(m.sessions)
	if err != nil {
		return err
	}
	m.round.Record(begins, rate)
	after, err := m.settled(ctx, m.process)
	if err != nil {
		return err
	}
	m.round.Record(memory, float64(after-m.before)/float64(f.size()))
	for _, measure := range []func(context.Context) error{m.lookUps, m.saturate, m.storm} {
		if err := measure(ctx); err != nil {
			return err
		}
	}
	m.round.Record(held, float64(f.size()))
	return nil
}

// quiet waits until no presence comes any more.
func (m *measurement) quiet(ctx context.Context) error {
	for last := int64(-1); ; {
		now := m.fleet.received.Load()
		if now == last {
			return nil
		}
		last = now
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(quietFor):
		}
	}
}

func (m *measurement) duration() time.Duration { return time.Duration(m.seconds) * time.Second }

// changers are devices whose contacts are all there.
func (m *measurement) changers() []*device {
	return m.fleet.devices[m.contacts : len(m.fleet.devices)-m.contacts]
}

// steady has devices publish at an even pace, and gives how long each contact
// took to hear of each, sorted.
func (m *measurement) steady(ctx context.Context) ([]float64, error) {
	n := m.seconds * steadyChanges
	sent := make([]atomic.Int64, n) // when, by number of the change
	base := m.change.Add(uint32(n)) - uint32(n)
	var mu sync.Mutex // guards delays
	var delays []float64
	began := time.Now()
	heard := func(_ *device, p *directorypb.Presence) {
		k := int(changeOf(p)) - int(base) - 1
		if k < 0 || k >= n {
			return
		}
		d := time.Since(began) - time.Duration(sent[k].Load())
		mu.Lock()
		delays = append(delays, d.Seconds())
		mu.Unlock()
	}
	m.fleet.heard.Store(&heard)
	defer m.fleet.heard.Store(nil)
	devices := m.changers()
	for k := range n {
		if wait := time.Until(began.Add(time.Duration(k) * time.Second / steadyChanges)); wait > 0 {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(wait):
			}
		}
		d := devices[k*7919%len(devices)]
		sent[k].Store(int64(time.Since(began)))
		if err := d.publish(base + uint32(k) + 1); err != nil {
			return nil, err
		}
	}
	if err := m.quiet(ctx); err != nil {
		return nil, err
	}
	mu.Lock()
	defer mu.Unlock()
	// A later change of the same device may take an earlier one's place.
	if len(delays) < n*m.contacts*9/10 {
		return nil, fmt.Errorf("%d of %d changes were heard of", len(delays), n*m.contacts)
	}
	slices.Sort(delays)
	return delays, nil
}

func (d *device) publish(change uint32) error {
	return d.send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_Publish{Publish: publish(d.index, change)}})
}

// rate counts how often f succeeds in the time, for callers at once.
func (m *measurement) rate(ctx context.Context, f func(ctx context.Context, caller, n int) (bool, error)) (float64, error) {
	var count atomic.Int64
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for caller := range callers {
		g.Go(func() error {
			for n := 0; time.Since(began) < m.duration(); n++ {
				ok, err := f(ctx, caller, n)
				if err != nil {
					return err
				}
				if ok {
					count.Add(1)
				}
			}
			return nil
		})
	}
	err := g.Wait()
	return float64(count.Load()) / time.Since(began).Seconds(), err
}

func (m *measurement) lookUps(ctx context.Context) error {
	rate, err := m.rate(ctx, func(ctx context.Context, caller, n int) (bool, error) {
		user := (caller*7919 + n*104729) % m.accounts
		_, err := m.fleet.devices[caller*97%len(m.fleet.devices)].LookUp(ctx, &directorypb.LookUpRequest{User: userName(user)})
		return err == nil, err
	})
	m.round.Record(lookUps, rate)
	return err
}

// saturate has devices publish as often as one of their contacts hears of it.
func (m *measurement) saturate(ctx context.Context) error {
	devices := m.changers()
	heardOf := make([]chan uint32, callers)
	place := map[string]int{} // of users who publish
	for caller := range callers {
		heardOf[caller] = make(chan uint32, 1024)
		place[userName(devices[caller*len(devices)/callers].index)] = caller
	}
	heard := func(watcher *device, p *directorypb.Presence) {
		caller, ok := place[p.GetUser()]
		if ok && watcher.index == devices[caller*len(devices)/callers].index+1 {
			heardOf[caller] <- changeOf(p)
		}
	}
	m.fleet.heard.Store(&heard)
	defer m.fleet.heard.Store(nil)
	rate, err := m.rate(ctx, func(ctx context.Context, caller, _ int) (bool, error) {
		change := m.change.Add(1)
		if err := devices[caller*len(devices)/callers].publish(change); err != nil {
			return false, err
		}
		for {
			select {
			case got := <-heardOf[caller]:
				if got == change {
					return true, nil
				}
			case <-ctx.Done():
				return false, ctx.Err()
			}
		}
	})
	m.round.Record(changes, rate)
	return err
}

// storm logs devices in without a pause, and measures presence meanwhile.
func (m *measurement) storm(ctx context.Context) error {
	type outcome struct {
		delays []float64
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		delays, err := m.steady(ctx)
		done <- outcome{delays, err}
	}()
	strangers, err := m.strangers()
	if err == nil {
		var rate float64
		rate, err = m.rate(ctx, func(ctx context.Context, caller, _ int) (bool, error) {
			d := strangers[caller]
			_, err := d.LogIn(ctx, &directorypb.LogInRequest{User: userName(d.index), Password: passwordOfAll})
			return err == nil, nil // a refusal is what a server does that is overloaded
		})
		m.round.Record(logIns, rate)
	}
	for _, d := range strangers {
		_ = d.conn.Close()
	}
	o := <-done
	if err != nil || o.err != nil {
		return fmt.Errorf("log-in storm: %w", errors.Join(err, o.err))
	}
	m.round.Record(stormDelay, report.Percentile(o.delays, 50))
	m.round.Record(stormDelay99, report.Percentile(o.delays, 99))
	return nil
}

// strangers are devices without a session.
func (m *measurement) strangers() ([]*device, error) {
	var all []*device
	for i := range callers {
		d, err := m.fleet.connect(m.sessions + m.contacts + i)
		if err != nil {
			return all, err
		}
		all = append(all, d)
	}
	return all, nil
}
