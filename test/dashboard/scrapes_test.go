package dashboard

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

type labelPair = labels.Label

// series is one number of a scrape.
type series struct {
	name   string
	labels map[string]string
	value  float64
}

// scrapes is what Prometheus would have stored.
type scrapes struct {
	at     time.Time // of the last one
	stored []stored
}

type stored struct {
	labels  labels.Labels
	samples []chunks.Sample
}

// add stores a scrape, with the labels that Prometheus gives its target.
func (s *scrapes) add(t *testing.T, at time.Time, scraped []series) {
	t.Helper()
	for _, x := range scraped {
		b := labels.NewScratchBuilder(len(x.labels) + 3)
		for name, value := range x.labels {
			b.Add(name, value)
		}
		b.Add(labels.MetricName, x.name)
		b.Add("job", job)
		b.Add("instance", instance)
		b.Sort()
		l := b.Labels()
		i := slices.IndexFunc(s.stored, func(x stored) bool { return labels.Equal(x.labels, l) })
		if i < 0 {
			i = len(s.stored)
			s.stored = append(s.stored, stored{labels: l})
		}
		s.stored[i].samples = append(s.stored[i].samples, sample{at.UnixMilli(), x.value})
	}
}

// Querier implements storage.Queryable.
func (s *scrapes) Querier(_, _ int64) (storage.Querier, error) { return querier{s}, nil }

type querier struct{ scrapes *scrapes }

// Select implements storage.Querier.
func (q querier) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	var found []storage.Series
	for _, x := range q.scrapes.stored {
		if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(x.labels.Get(m.Name)) }) {
			found = append(found, storage.NewListSeries(x.labels, x.samples))
		}
	}
	slices.SortFunc(found, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
	return &set{left: found}
}

// LabelValues implements storage.LabelQuerier; expressions do not ask.
func (querier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// LabelNames implements storage.LabelQuerier; expressions do not ask.
func (querier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// Close implements storage.Querier.
func (querier) Close() error { return nil }

// set implements storage.SeriesSet.
type set struct {
	now  storage.Series
	left []storage.Series
}

func (s *set) Next() bool {
	if len(s.left) == 0 {
		return false
	}
	s.now, s.left = s.left[0], s.left[1:]
	return true
}
func (s *set) At() storage.Series                { return s.now }
func (s *set) Err() error                        { return nil }
func (s *set) Warnings() annotations.Annotations { return nil }

// sample implements chunks.Sample.
type sample struct {
	at    int64
	value float64
}

func (s sample) T() int64                      { return s.at }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.value }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }
