package report

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSummarize(t *testing.T) {
	tests := []struct {
		name   string
		values []float64
		want   summary
	}{
		{"none", nil, summary{}},
		{"one", []float64{3}, summary{median: 3, low: 3, high: 3, n: 1}},
		{"odd", []float64{9, 1, 4}, summary{median: 4, low: 1, high: 9, n: 3}},
		{"even", []float64{4, 1, 2, 9}, summary{median: 3, low: 1, high: 9, n: 4}},
		{"missing", []float64{missing, 5, 1, missing}, summary{median: 3, low: 1, high: 5, n: 2}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := slices.Clone(test.values)
			if got := summarize(test.values); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			if fmt.Sprint(before) != fmt.Sprint(test.values) {
				t.Error("the values were put in order, which loses their rounds")
			}
		})
	}
}

func TestPercentile(t *testing.T) {
	sorted := []float64{10, 20, 30, 40, 50}
	for p, want := range map[float64]float64{0: 10, 25: 20, 50: 30, 90: 46, 100: 50, 101: 50} {
		if got := Percentile(sorted, p); math.Abs(got-want) > 1e-9 && p <= 100 || got > 50.5 {
			t.Errorf("percentile %v: got %v, want %v", p, got, want)
		}
	}
	if got := Percentile(nil, 50); got != 0 {
		t.Errorf("of nothing: got %v", got)
	}
}

// TestRatios: those of the same rounds are divided, so a machine that is twice
// as slow in one round changes nothing.
func TestRatios(t *testing.T) {
	got := ratios([]float64{2, 4, missing, 8, 1}, []float64{1, 2, 5, missing, 0})
	if want := []float64{2, 2}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestUnits(t *testing.T) {
	tests := []struct {
		unit Unit
		v    float64
		want string
	}{
		{Seconds, 0, "0.00 s"},
		{Seconds, 1.5, "1.50 s"},
		{Seconds, 0.0123, "12.3 ms"},
		{Seconds, 0.000045678, "45.7 µs"},
		{Seconds, 2e-9, "2.00 ns"},
		{Seconds, 1e-12, "0.00 ns"},
		{Bytes, 48 << 10, "48.0 KiB"},
		{Bytes, 512, "512 B"},
		{Bytes, 3.5 * (1 << 30), "3.50 GiB"},
		{BytesPerSecond, 1.25e9, "1.25 GB/s"},
		{PerSecond, 1234567, "1,234,567 /s"},
		{PerSecond, 999, "999 /s"},
		{Count, 15000, "15,000"},
		{Count, 3, "3"},
		{Count, 2.5, "2.50"},
		{Percent, 12.34, "12.3 %"},
		{Count, -1234, "-1,234"},
		{Seconds, -0.002, "-2.00 ms"},
	}
	for _, test := range tests {
		if got := test.unit.one(test.v); got != test.want {
			t.Errorf("%v: got %q, want %q", test.v, got, test.want)
		}
	}
	numbers, name := Seconds.format(0.5, 0.0005, 1.5)
	if want := []string{"500", "0.50", "1,500"}; !slices.Equal(numbers, want) || name != "ms" {
		t.Errorf("spread: got %v %s, want the step of the median, %v ms", numbers, name, want)
	}
}

// fixed is a benchmark whose variants record what is given, one a round.
func fixed(values map[string][]float64) *Bench {
	b := &Bench{
		Name: "walk", Title: "how fast one walks", About: "Walks a mile.", Rounds: 3, Baseline: "shoes",
		Metrics: []Metric{{Name: "mile", Unit: Seconds, Goal: AtMost(600)}, {Name: "steps", Unit: PerSecond, Better: Higher}},
	}
	for _, name := range []string{"shoes", "barefoot", "skates"} {
		b.Variants = append(b.Variants, Variant{Name: name, Run: func(_ context.Context, r *Round) error {
			mile := values[name][r.N-1]
			r.Record("mile", mile)
			if name != "skates" {
				r.Record("steps", 2000/mile)
			}
			return nil
		}})
	}
	return b
}

func walk(t *testing.T, b *Bench, args ...string) string {
	t.Helper()
	var out strings.Builder
	if err := program(t.Context(), b, args, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

var miles = map[string][]float64{"shoes": {400, 800, 500}, "barefoot": {800, 1600, 1100}, "skates": {200, 400, 249}}

func TestTable(t *testing.T) {
	got, err := fixed(miles).run(t.Context(), t.Logf, func(results) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	want := strings.TrimPrefix(`
| figure | variant  | median  | spread       | ratio to shoes             | goal                |
| ------ | -------- | ------- | ------------ | -------------------------- | ------------------- |
| mile   | shoes    | 500 s   | 400 .. 800   | 1                          |                     |
|        | barefoot | 1,100 s | 800 .. 1,600 | 2.00 (2.00 .. 2.20) worse  | at most 600 s: missed |
|        | skates   | 249 s   | 200 .. 400   | 0.50 (0.50 .. 0.50) better | at most 600 s: met  |
| steps  | shoes    | 4.00 /s | 2.50 .. 5.00 | 1                          |                     |
|        | barefoot | 1.82 /s | 1.25 .. 2.50 | 0.50 (0.45 .. 0.50) worse  |                     |
`, "\n")
	if diff := cmp.Diff(cells(want), cells(got.table())); diff != "" {
		t.Error(diff)
	}
	widths := map[int]bool{}
	for line := range strings.Lines(got.table()) {
		widths[len(line)] = true
	}
	if len(widths) != 1 {
		t.Errorf("the table is not aligned:\n%s", got.table())
	}
}

// TestAgainst: two variants of which neither is the baseline, and one of them
// that does not run.
func TestAgainst(t *testing.T) {
	b := fixed(miles)
	b.Metrics[1].Against = []Against{
		{Variant: "barefoot", To: "shoes", Goal: AtLeast(0.4)}, {Variant: "barefoot", To: "stilts", Goal: AtLeast(1)}, {Variant: "skates", To: "shoes"},
	}
	got, err := b.run(t.Context(), t.Logf, func(results) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	rows := cells(got.table())
	want := []string{"", "in times of shoes", "barefoot", "0.50", "0.45 .. 0.50", "", "at least 0.40: met", ""}
	if last := rows[len(rows)-1]; !slices.Equal(last, want) {
		t.Errorf("got %q, want %q and nothing after it", last, want)
	}
	b.Metrics[1].Against = []Against{{To: "shoes"}}
	if err := b.check(); err == nil {
		t.Error("a comparison of nothing is taken")
	}
}

// cells are a table's, without what aligns them.
func cells(table string) (rows [][]string) {
	for line := range strings.Lines(table) {
		var row []string
		for cell := range strings.SplitSeq(strings.TrimSpace(line), "|") {
			if cell = strings.TrimSpace(cell); strings.Trim(cell, "-") != "" || cell == "" {
				row = append(row, cell)
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// TestUndecided: a ratio whose spread has 1 in it is neither better nor worse.
func TestUndecided(t *testing.T) {
	out := walk(t, fixed(map[string][]float64{"shoes": {10, 10, 10}, "barefoot": {9, 12, 11}, "skates": {9, 9, 9}}))
	if !strings.Contains(out, "1.10 (0.90 .. 1.20) equal") {
		t.Errorf("got:\n%s", out)
	}
}

// TestTurns: variants run in turns, and not always after the same one.
func TestTurns(t *testing.T) {
	var order []string
	b := &Bench{Name: "turns", Title: "t", About: "a", Rounds: 2, Warmup: true, Metrics: []Metric{{Name: "n", Unit: Count}}}
	dirs := map[string]bool{}
	for _, name := range []string{"a", "b", "c"} {
		b.Variants = append(b.Variants, Variant{Name: name, Run: func(_ context.Context, r *Round) error {
			if entries, err := os.ReadDir(r.Dir); err != nil || len(entries) > 0 || dirs[r.Dir] {
				t.Errorf("round's folder: %v, %d entries, used before: %v", err, len(entries), dirs[r.Dir])
			}
			dirs[r.Dir] = true
			order = append(order, fmt.Sprint(r.N, name))
			r.Record("n", float64(r.N))
			return nil
		}})
	}
	got, err := b.run(t.Context(), t.Logf, func(results) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"0a", "0b", "0c", "1b", "1c", "1a", "2c", "2a", "2b"}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	if values := got.values["n"]["a"]; !slices.Equal(values, []float64{1, 2}) {
		t.Errorf("the warm-up counts: %v", values)
	}
	for dir := range dirs {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there", dir)
		}
	}
}

// TestMissingRound: a figure that one round has not leaves the others at their
// rounds.
func TestMissingRound(t *testing.T) {
	r := results{values: map[string]map[string][]float64{}}
	r.add("a", 2, map[string]float64{"x": 20})
	r.add("a", 3, map[string]float64{"x": 30})
	for n, v := range []float64{1, 2, 3} {
		r.add("b", n+1, map[string]float64{"x": v})
	}
	if got := ratios(r.values["x"]["a"], r.values["x"]["b"]); !slices.Equal(got, []float64{10, 10}) {
		t.Errorf("got %v", got)
	}
}

func TestMistakes(t *testing.T) {
	record := func(f func(*Round)) func(*Bench) {
		return func(b *Bench) {
			b.Variants[1].Run = func(_ context.Context, r *Round) error {
				f(r)
				return nil
			}
		}
	}
	tests := []struct {
		name   string
		change func(*Bench)
		args   []string
		want   string
	}{
		{"baseline", func(b *Bench) { b.Baseline = "boots" }, nil, "boots"},
		{"name twice", func(b *Bench) { b.Variants[1].Name = "shoes" }, nil, "shoes"},
		{"no metrics", func(b *Bench) { b.Metrics = nil }, nil, "metrics"},
		{"no rounds", nil, []string{"-rounds", "0"}, "round"},
		{"argument", nil, []string{"now"}, "now"},
		{"unknown variant", nil, []string{"-only", "boots"}, "boots"},
		{"unknown metric", record(func(r *Round) { r.Record("yard", 1) }), nil, "yard"},
		{"recorded twice", record(func(r *Round) { r.Record("mile", 1); r.Record("mile", 1) }), nil, "twice"},
		{"no number", record(func(r *Round) { r.Record("mile", math.NaN()) }), nil, "NaN"},
		{"nothing", record(func(*Round) {}), nil, "nothing was recorded"},
		{"failure", func(b *Bench) {
			b.Variants[1].Run = func(context.Context, *Round) error { return errors.New("rain") }
		}, nil, "barefoot: rain"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := fixed(miles)
			if test.change != nil {
				test.change(b)
			}
			path := filepath.Join(t.TempDir(), "b.md")
			if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			err := program(t.Context(), b, append([]string{"-write", path}, test.args...), io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want a word of %q", err, test.want)
			}
			if b, _ := os.ReadFile(path); string(b) != "old" {
				t.Errorf("a failed benchmark wrote %q", b)
			}
		})
	}
}

func TestOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing.md")
	out := walk(t, fixed(miles), "-only", "skates", "-write", path, "-rounds", "1")
	if !strings.Contains(out, "skates") || strings.Contains(out, "shoes") {
		t.Errorf("got:\n%s", out)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a part of the benchmark was written")
	}
}

func TestSection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "benchmarks.md")
	if err := os.WriteFile(path, []byte("# Benchmarks\n\nWords.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	other := fixed(miles)
	other.Name = "run"
	walk(t, fixed(miles), "-write", path)
	walk(t, other, "-write", path)
	first, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	walk(t, fixed(map[string][]float64{"shoes": {1, 1, 1}, "barefoot": {2, 2, 2}, "skates": {7, 7, 7}}), "-write", path)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, want := range []string{"# Benchmarks\n\nWords.\n\n<!-- begin walk -->\n## walk: how fast one walks\n\nWalks a mile.\n\n| figure", "7.00 s", "## run: "} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
	if before, after := strings.Count(string(first), "\n"), strings.Count(text, "\n"); before != after {
		t.Errorf("replacing a section made %d lines of %d", after, before)
	}
	if _, ran, _ := strings.Cut(text, opening("run")); !strings.Contains(ran, "1,100 s") {
		t.Errorf("the other section changed:\n%s", text)
	}
}

func TestPlaceMarkers(t *testing.T) {
	for _, text := range []string{opening("x"), closing("x"), closing("x") + opening("x")} {
		if got, err := place(text, "x", "new\n"); !errors.Is(err, errMarkers) {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
}

func TestDescribe(t *testing.T) {
	got := describe("processor\t: 0\nmodel name\t: Z80\n\nmodel name\t: other\n", "MemTotal:        4194304 kB\n", "6.1.0\n", "0.42 1 1 1/1 1\n")
	for _, want := range []string{"Z80, ", ", 4 GiB, linux 6.1.0, go1", "load 0.42 "} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in %q", want, got)
		}
	}
	if got := describe("", "", "", ""); !strings.Contains(got, "memory unknown") {
		t.Errorf("got %q", got)
	}
}

// TestKept: what was measured is kept, also of a run that fails later.
func TestKept(t *testing.T) {
	b := &Bench{Name: "kept", Title: "t", About: "a", Rounds: 2, Metrics: []Metric{{Name: "n", Unit: Count}}}
	fails := errors.New("no more")
	b.Variants = []Variant{{Name: "a", Run: func(_ context.Context, r *Round) error {
		r.Say("half way")
		r.Record("n", float64(r.N))
		if r.N == 2 {
			return fails
		}
		return nil
	}}}
	var said, kept []string
	_, err := b.run(t.Context(), func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }, func(got results) error {
		kept = append(kept, fmt.Sprint(got.rounds, got.values["n"]["a"]))
		return nil
	})
	if !errors.Is(err, fails) {
		t.Errorf("the error is %v", err)
	}
	if want := []string{"1 [1]", "2 [1 2]"}; !slices.Equal(kept, want) {
		t.Errorf("kept %q, want %q", kept, want)
	}
	if want := []string{"round 1 of 2: a", "half way", "n: 1", "round 2 of 2: a", "half way", "n: 2"}; !slices.Equal(said, want) {
		t.Errorf("said %q, want %q", said, want)
	}
}
