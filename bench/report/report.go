// Package report is what every benchmark of this folder is run by. A benchmark
// is a program in a folder of its own that describes itself as a Bench and hands
// it to Main:
//
//	func main() { os.Exit(report.Main(bench)) }
//
// The variants run in turns, round after round, and each round begins with
// another one, so that what disturbs the machine disturbs all of them alike. Of
// each figure the median and the spread over the rounds are told, and its ratio
// to a variant that is named as the baseline: the median of the ratios of the
// rounds, because two measurements of one round have most in common.
//
// The table is printed, and with -write takes the place of the benchmark's
// section in docs/benchmarks.md, with the machine it was measured on.
package report

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
)

// Bench is one benchmark. All fields but Warmup and Baseline are needed.
type Bench struct {
	Name  string // of its folder
	Title string // what it measures, in a few words
	// About says what a round does, so that the figures mean something. Markdown.
	About  string
	Rounds int // unless -rounds says otherwise
	// Warmup has each variant run once before it counts.
	Warmup   bool
	Metrics  []Metric // in the order of the table
	Variants []Variant
	Baseline string // name of the variant that the others are compared with
	// Flags, which may be nil, adds flags of the benchmark's own.
	Flags func(*flag.FlagSet)
}

// Metric is one figure that variants record.
type Metric struct {
	Name   string
	Unit   Unit
	Better Direction
	Goal   Goal // the zero value is none; it is not asked of the baseline
	// Against are ratios of two variants that get a row of their own, also where
	// neither is the baseline.
	Against []Against
}

// Against compares one variant with another, in the same rounds. It is left out
// when one of them did not run.
type Against struct {
	Variant, To string
	Goal        Goal // of the ratio
}

// Direction says which of two values is the better one.
type Direction int

// Directions.
const (
	Lower Direction = iota
	Higher
)

// Goal is what the median of a metric is to be.
type Goal struct {
	limit   float64
	atLeast bool
	set     bool
}

// AtMost v, in the metric's unit.
func AtMost(v float64) Goal { return Goal{limit: v, set: true} }

// AtLeast v, in the metric's unit.
func AtLeast(v float64) Goal { return Goal{limit: v, set: true, atLeast: true} }

func (g Goal) met(v float64) bool {
	if g.atLeast {
		return v >= g.limit
	}
	return v <= g.limit
}

// Variant is one way to do what is measured.
type Variant struct {
	Name string
	// Run does one round, and records some or all of the metrics. Its error ends
	// the benchmark.
	Run func(context.Context, *Round) error
}

// Round is one run of one variant. It is for one goroutine.
type Round struct {
	// N counts from 1; 0 is the warm-up.
	N int
	// Dir is an empty folder, removed after the round.
	Dir string

	metrics []Metric
	values  map[string]float64
	err     error
	say     func(format string, args ...any)
}

// Say tells who waits how far the round is.
func (r *Round) Say(format string, args ...any) { r.say(format, args...) }

// Record notes a figure, in the unit of its metric. A metric that the benchmark
// does not have, a value that is no number, and a second value for a metric are
// errors of the round.
func (r *Round) Record(metric string, value float64) {
	_, again := r.values[metric]
	known := false
	for _, m := range r.metrics {
		known = known || m.Name == metric
	}
	switch {
	case !known:
		r.err = errors.Join(r.err, fmt.Errorf("the benchmark has no metric %q", metric))
	case again:
		r.err = errors.Join(r.err, fmt.Errorf("%q is recorded twice in one round", metric))
	case math.IsNaN(value) || math.IsInf(value, 0):
		r.err = errors.Join(r.err, fmt.Errorf("%q is recorded as %v", metric, value))
	default:
		r.values[metric] = value
		for _, m := range r.metrics {
			if m.Name == metric {
				r.Say("%s: %s", metric, m.Unit.one(value))
			}
		}
	}
}

func (b *Bench) check() error {
	named := map[string]bool{}
	for _, v := range b.Variants {
		if v.Name == "" || v.Run == nil || named[v.Name] {
			return fmt.Errorf("benchmark %s: variant %q has no name, no function or a name twice", b.Name, v.Name)
		}
		named[v.Name] = true
	}
	switch {
	case b.Name == "" || b.Title == "" || b.About == "":
		return errors.New("a benchmark has a name, a title and says what it is about")
	case len(b.Variants) == 0 || len(b.Metrics) == 0 || b.Rounds < 1:
		return fmt.Errorf("benchmark %s: needs variants, metrics and at least one round", b.Name)
	case slices.ContainsFunc(b.Metrics, func(m Metric) bool {
		return slices.ContainsFunc(m.Against, func(a Against) bool { return a.Variant == "" || a.To == "" })
	}):
		return fmt.Errorf("benchmark %s: a comparison needs two variants", b.Name)
	case b.Baseline != "" && !named[b.Baseline]:
		return fmt.Errorf("benchmark %s: no variant is called %q, the baseline", b.Name, b.Baseline)
	}
	return nil
}

// run does all rounds. progress is told what begins and what comes of it, and keep
// what there is after each run of a variant.
func (b *Bench) run(ctx context.Context, progress func(format string, args ...any), keep func(results) error) (results, error) {
	first := 1
	if b.Warmup {
		first = 0
	}
	got := results{bench: b, values: map[string]map[string][]float64{}}
	for n := first; n <= b.Rounds; n++ {
		for i := range b.Variants {
			v := b.Variants[(n+i)%len(b.Variants)]
			progress("round %d of %d: %s", n, b.Rounds, v.Name)
			values, err := b.round(ctx, n, v, progress)
			if err != nil {
				err = fmt.Errorf("round %d of %s: %w", n, v.Name, err)
			}
			if n > 0 && len(values) > 0 { // of a run that failed, too: it took long enough
				got.add(v.Name, n, values)
				err = errors.Join(err, keep(got))
			}
			if err != nil {
				return got, err
			}
		}
	}
	return got, nil
}

func (b *Bench) round(ctx context.Context, n int, v Variant, say func(string, ...any)) (map[string]float64, error) {
	dir, err := os.MkdirTemp("", "parley-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	r := &Round{N: n, Dir: dir, metrics: b.Metrics, values: map[string]float64{}, say: say}
	if err := v.Run(ctx, r); err != nil {
		return r.values, err
	}
	if r.err == nil && len(r.values) == 0 {
		r.err = errors.New("nothing was recorded")
	}
	if r.err != nil {
		return nil, r.err
	}
	return r.values, nil
}
