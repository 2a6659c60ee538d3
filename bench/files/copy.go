package main

import (
	"context"
	"path/filepath"
	"time"

	"github.com/parley-chat/parley/bench/process"
	"github.com/parley-chat/parley/bench/report"
)

// party is the processes of one side, or those between.
type party struct {
	cpu   time.Duration
	peaks map[string]int64 // bytes, by program
}

// copied is what a transfer took.
type copied struct {
	took                 time.Duration
	giver, taker, middle party
	at                   string // where what arrived lies
}

// copier sends what lies at a path into a folder.
type copier func(ctx context.Context, r *report.Round, path, into string) (copied, error)

// transfer has something sent, and compares what arrived.
func transfer(ctx context.Context, r *report.Round, kind string, send copier) (copied, error) {
	path, err := load(kind)
	if err != nil {
		return copied{}, err
	}
	into, remove, err := target()
	if err != nil {
		return copied{}, err
	}
	defer remove()
	got, err := send(ctx, r, path, into)
	if err != nil {
		return copied{}, err
	}
	if err := same(path, got.at); err != nil {
		return copied{}, err
	}
	recordSpeed(r, kind, got.took.Seconds())
	return got, nil
}

// recordLarge notes what the large file cost but for memory.
func recordLarge(r *report.Round, c copied) {
	r.Record(metricGiver, c.giver.cpu.Seconds()/gib())
	r.Record(metricTaker, c.taker.cpu.Seconds()/gib())
	if c.middle.cpu > 0 {
		r.Record(metricMiddle, c.middle.cpu.Seconds()/gib())
	}
}

// recordPeak notes the peak memory of a program, or of the largest of all those
// that are not named, where the name begins with "-".
func recordPeak(r *report.Round, metric string, of party, name string) {
	peak := int64(0)
	for program, bytes := range of.peaks {
		if program == name || name[0] == '-' && program != name[1:] {
			peak = max(peak, bytes)
		}
	}
	if peak > 0 {
		r.Record(metric, float64(peak))
	}
}

// watched is a program that is measured.
type watched struct {
	*process.Process
	family *process.Family
}

func start(cfg process.Config) (*watched, error) {
	p, err := process.Start(cfg)
	if err != nil {
		return nil, err
	}
	return &watched{p, process.Watch(p.PID())}, nil
}

// spent is what a program that has ended took.
func (w *watched) spent() party { return party{w.Spent(), w.family.Peaks()} }

// abandon ends a program that is not needed after an error. Nothing happens to
// one that has ended.
func (w *watched) abandon() { w.Kill() }

// arrived is the path of what was sent, below a folder.
func arrived(path, into string) string { return filepath.Join(into, filepath.Base(path)) }
