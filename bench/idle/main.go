// Command idle measures what Parley costs while nobody uses it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/parley-chat/parley/bench/people"
	"github.com/parley-chat/parley/bench/report"
)

func main() { os.Exit(report.Main(bench)) }

const (
	settle = 15 * time.Second // after the last message
	window = 60 * time.Second
)

const (
	metricCPU      = "CPU in 60 s, core and plugins"
	metricCore     = "resident, core"
	metricPlugin   = "resident, text plugin"
	metricSwitches = "wake-ups in 60 s"
)

var bench = report.Bench{
	Name: "idle", Title: "a core that nobody uses",
	About: `Two people's cores, logged in at a directory and linked with each other, have exchanged forty texts; no front end is connected. Fifteen
seconds later the processor time of one core and of its text plugin's process is read from their clocks, and once more after 60 s.
Resident is what /proc says of each then. A wake-up is a thread of them that went to sleep.`,
	Rounds: 3,
	Metrics: []report.Metric{
		{Name: metricCPU, Unit: report.Seconds, Goal: report.AtMost(0.030)},
		{Name: metricCore, Unit: report.Bytes, Goal: report.AtMost(60 << 20)},
		{Name: metricPlugin, Unit: report.Bytes, Goal: report.AtMost(60 << 20)},
		{Name: metricSwitches, Unit: report.Count},
	},
	Variants: []report.Variant{{Name: "core with the text plugin", Run: measure}},
}

func measure(ctx context.Context, r *report.Round) error {
	w, a, b, err := people.NewPair(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	// Both have used it: the plugins run.
	for _, p := range []*people.Person{a, b} {
		for i := range 20 {
			if err := p.Send(ctx, a.ChatWith(b), fmt.Sprint("message ", i)); err != nil {
				return err
			}
		}
	}
	plugins, err := a.Plugins(ctx)
	if err != nil {
		return err
	}
	if len(plugins) == 0 {
		return errors.New("no plugin runs, though a text was sent")
	}
	// Nobody looks: no front end is connected.
	if err := a.Client.Close(); err != nil {
		return err
	}
	if err := wait(ctx, settle); err != nil {
		return err
	}
	all := append([]int{a.Core.PID()}, plugins...)
	before, err := usage(all)
	if err != nil {
		return err
	}
	if err := wait(ctx, window); err != nil {
		return err
	}
	after, err := usage(all)
	if err != nil {
		return err
	}
	r.Record(metricCPU, (after.cpu - before.cpu).Seconds())
	r.Record(metricCore, float64(after.resident[0]))
	r.Record(metricPlugin, float64(after.resident[1]))
	r.Record(metricSwitches, float64(after.switches-before.switches))
	return nil
}
