// Command messages measures a text on its way from a front end of one person to
// a front end of another, and what it passes on the way.
package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/parley-chat/parley/bench/people"
	"github.com/parley-chat/parley/bench/report"
)

func main() { os.Exit(report.Main(bench)) }

// Sizes of a round.
const (
	singles = 300                   // messages sent one after the other
	pause   = 10 * time.Millisecond // between them
	burst   = 8000                  // messages sent at once
	flight  = 64                    // calls of the front end under way, the most that a core takes
)

// body is a usual message.
const body = "Shall we meet at the usual place at half past seven? 老地方见"

const (
	metricOne     = "one message"
	metricCommits = "one message, in times of two commits"
	metricSmall   = "one message, in times of two smallest commits"
	metricBurst   = "burst"
	metricCeiling = "burst, in shares of the ceiling"
	metricCPU     = "processor time of both cores for each of a burst"
)

var bench = report.Bench{
	Name: "messages", Title: "a text from one front end to another",
	About: about, Rounds: 5,
	Metrics: []report.Metric{
		{Name: metricOne, Unit: report.Seconds},
		{Name: metricCommits, Unit: report.Count, Goal: report.AtMost(3)},
		{Name: metricSmall, Unit: report.Count},
		{Name: metricBurst, Unit: report.PerSecond, Better: report.Higher},
		{Name: metricCeiling, Unit: report.Count, Better: report.Higher, Goal: report.AtLeast(0.4)},
		{Name: metricCPU, Unit: report.Seconds},
	},
	Variants: []report.Variant{
		{Name: "front end to front end", Run: measureWhole},
		{Name: "store alone", Run: measureStore},
		{Name: "link alone", Run: measureLink},
		{Name: "plugin alone", Run: measurePlugin},
		{Name: "bus alone", Run: measureBus},
	},
	Baseline: "store alone",
}

const about = `A directory and two people's cores, each with the text plugin, run as processes of their own. **One message** is the median time
from the call of a front end of the one to the event at a front end of the other, of 300 texts sent one after the other, 10 ms apart. It is durable on
both sides by then: synced to disk in the sender's database before anybody hears of it, and in the recipient's before it is handled.
**Burst** is 8,000 texts sent with 64 calls under way, the most that a core takes, until the last event.

**Store alone** is what the two databases need for that and nothing else: for one message two synced commits, of what the sender's core
writes (entry, message, index, the call's result) and of the entry that the recipient's takes; for a burst, both databases at once with
as many callers as there are calls, the recipient's taking and handling what there is in batches of up to 512. In the rows that begin
with "in" both were measured in the same round, before and after the messages, in the same folder and with the same settings.
The smallest commits change one value of sixty bytes each.

**Link alone** sends the packet from one connection manager to another over TLS. **Plugin alone** hands it to the text plugin's process
and waits for what that makes of it, in a burst 64 at a time. **Bus alone** publishes it to one reader.`

func measureWhole(ctx context.Context, r *report.Round) error {
	w, a, b, err := people.NewPair(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	events, err := watch(ctx, b)
	if err != nil {
		return err
	}
	if err := compareOne(ctx, r, func() (time.Duration, error) { return one(ctx, a, b, events) }); err != nil {
		return err
	}
	return compareBurst(ctx, r, func() (float64, error) {
		before, err := people.CPU(a, b)
		if err != nil {
			return 0, err
		}
		rate, err := many(ctx, a, b, events)
		if err != nil {
			return 0, err
		}
		after, err := people.CPU(a, b)
		r.Record(metricCPU, (after-before).Seconds()/burst)
		return rate, err
	})
}

// compareOne measures commits before and after what is compared with them.
func compareOne(ctx context.Context, r *report.Round, measure func() (time.Duration, error)) error {
	rows, small, err := commits(ctx, filepath.Join(r.Dir, "before"))
	if err != nil {
		return err
	}
	took, err := measure()
	if err != nil {
		return err
	}
	rowsAfter, smallAfter, err := commits(ctx, filepath.Join(r.Dir, "after"))
	r.Record(metricOne, took.Seconds())
	r.Record(metricCommits, 2*took.Seconds()/(rows+rowsAfter).Seconds())
	r.Record(metricSmall, 2*took.Seconds()/(small+smallAfter).Seconds())
	return err
}

// compareBurst does the same with the ceiling.
func compareBurst(ctx context.Context, r *report.Round, measure func() (float64, error)) error {
	before, err := ceiling(ctx, filepath.Join(r.Dir, "before"))
	if err != nil {
		return err
	}
	rate, err := measure()
	if err != nil {
		return err
	}
	after, err := ceiling(ctx, filepath.Join(r.Dir, "after"))
	r.Record(metricBurst, rate)
	r.Record(metricCeiling, 2*rate/(before+after))
	return err
}

// perSecond is n in a time.
func perSecond(n int, took time.Duration) float64 { return float64(n) / took.Seconds() }
