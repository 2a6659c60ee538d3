package report

import (
	"math"
	"slices"
)

// missing marks a round in which a variant did not record a metric.
var missing = math.NaN()

// results are the figures of a benchmark: by metric and variant, one a round.
type results struct {
	bench  *Bench
	values map[string]map[string][]float64
	rounds int // that have begun
}

// add takes the figures of round n, counted from 1.
func (r *results) add(variant string, n int, values map[string]float64) {
	r.rounds = max(r.rounds, n)
	for metric, value := range values {
		byVariant := r.values[metric]
		if byVariant == nil {
			byVariant = map[string][]float64{}
			r.values[metric] = byVariant
		}
		for len(byVariant[variant]) < n-1 {
			byVariant[variant] = append(byVariant[variant], missing)
		}
		byVariant[variant] = append(byVariant[variant], value)
	}
}

// summary is what is told of the values of several rounds.
type summary struct {
	median, low, high float64
	n                 int
}

// summarize leaves out what is missing.
func summarize(values []float64) summary {
	values = slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	if len(values) == 0 {
		return summary{}
	}
	slices.Sort(values)
	return summary{median: Percentile(values, 50), low: values[0], high: values[len(values)-1], n: len(values)}
}

// Percentile gives the value below which p percent of the sorted values are,
// between two of them in proportion; 0 when there are none.
func Percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	place := p / 100 * float64(len(sorted)-1)
	below := min(max(int(place), 0), len(sorted)-1)
	above := min(below+1, len(sorted)-1)
	return sorted[below] + (place-float64(below))*(sorted[above]-sorted[below])
}

// ratios divides the values of the same rounds.
func ratios(values, baseline []float64) []float64 {
	var out []float64
	for i := range min(len(values), len(baseline)) {
		ratio := values[i] / baseline[i]
		if !math.IsNaN(ratio) && !math.IsInf(ratio, 0) {
			out = append(out, ratio)
		}
	}
	return out
}
