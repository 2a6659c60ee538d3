// Package dashboard has the queries of the Grafana dashboard answered by
// Prometheus's own engine, from what a real server tells of itself. It is a module of its own
// because of what that engine needs.
package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

const dashboardFile = "../../packaging/grafana/parley-directory.json"

// query is one expression of the dashboard.
type query struct{ panel, expr, legend string }

// queries reads the dashboard.
func queries(t *testing.T) []query {
	t.Helper()
	b, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Type, Title string
			Targets     []struct{ RefID, Expr, LegendFormat string }
		}
	}
	if err := json.Unmarshal(b, &board); err != nil {
		t.Fatal(err)
	}
	var all []query
	for _, p := range board.Panels {
		if (p.Type == "row") != (len(p.Targets) == 0) {
			t.Errorf("panel %q of type %s has %d queries", p.Title, p.Type, len(p.Targets))
		}
		for _, target := range p.Targets {
			all = append(all, query{p.Title + " " + target.RefID, target.Expr, target.LegendFormat})
		}
	}
	return all
}

// apart is the time between the two scrapes. The window of a rate is a moment
// longer, so that it has both and its rate is their difference.
const apart = time.Minute

// filled fills in what Grafana would.
func filled(expr string) string {
	return strings.NewReplacer("$__rate_interval", "60001ms", "$job", job, "$instance", ".*").Replace(expr)
}

const job, instance = "parley", "directory:9410"

// answer has an expression answered at the time of the second scrape: values by
// legend, and NaN for what cannot be said, such as how long nothing took.
func answer(t *testing.T, engine *promql.Engine, s *scrapes, q query) map[string]float64 {
	t.Helper()
	found, err := engine.NewInstantQuery(t.Context(), s, nil, filled(q.expr), s.at)
	if err != nil {
		t.Fatalf("%s: %v", q.panel, err)
	}
	defer found.Close()
	vector, err := found.Exec(t.Context()).Vector()
	if err != nil {
		t.Fatalf("%s: %v", q.panel, err)
	}
	values := map[string]float64{}
	for _, sample := range vector {
		legend := q.legend
		sample.Metric.Range(func(l labelPair) { legend = strings.ReplaceAll(legend, "{{"+l.Name+"}}", l.Value) })
		if _, twice := values[legend]; twice || strings.Contains(legend, "{{") {
			t.Errorf("%s: legend %q tells nothing apart", q.panel, legend)
		}
		values[legend] = sample.F
	}
	return values
}

// The dashboard shows what has happened: each query is answered from two scrapes
// of a server, before and after things were done that are known.
func TestDashboard(t *testing.T) {
	d := startDirectory(t)
	before := d.scrape()
	d.scenario()
	s := &scrapes{at: time.Unix(2_000_000_000, 0)}
	s.add(t, s.at.Add(-apart), before)
	after := d.settled()
	s.add(t, s.at, after)

	perSecond := func(n float64) float64 { return n / apart.Seconds() }
	positive := func(v float64) bool { return v > 0 && !math.IsInf(v, 0) }
	is := func(want float64) func(float64) bool {
		return func(v float64) bool { return math.Abs(v-want) <= 1e-3*math.Abs(want) }
	}
	type want map[string]func(float64) bool
	// What is not named here is zero, or was never measured.
	wants := map[string]want{
		"Users online A":                        {"": is(2)},
		"Accounts A":                            {"": is(3)},
		"Requests waiting A":                    {"": is(1)},
		"Certificate expires in A":              {"": is(float64(d.expires() - s.at.Unix()))},
		"Running for A":                         {"": positive},
		"Version A":                             {d.version(): is(1)},
		"Sessions and users A":                  {"sessions": is(2)},
		"Sessions and users B":                  {"users": is(2)},
		"Presence changes A":                    {"changes": is(perSecond(4))}, // three came, one went
		"Log-ins A":                             {"ok": is(perSecond(1)), "wrong_credentials": is(perSecond(2)), "other_device": is(perSecond(1)), "limited": is(perSecond(1))},
		"Look-ups A":                            {"ok": is(perSecond(2)), "not_found": is(perSecond(1)), "limited": is(perSecond(2))},
		"Contact requests kept A":               {"kept": is(perSecond(1))},
		"Registrations A":                       {"OK": is(perSecond(3)), "AlreadyExists": is(perSecond(1))},
		"Calls that failed A":                   {"Register AlreadyExists": is(perSecond(1)), "LogIn Unauthenticated": is(perSecond(2)), "LogIn FailedPrecondition": is(perSecond(1)), "LogIn ResourceExhausted": is(perSecond(1)), "LookUp NotFound": is(perSecond(1)), "LookUp ResourceExhausted": is(perSecond(2))},
		"Refused because there were too many A": {"look_up": is(perSecond(2)), "log_in_account": is(perSecond(1))},
		"Writes that failed A":                  {},
		"Password hashes A":                     {},
		"Password hashes B":                     {},
		"Calls, 99th percentile A":              {"Register": positive, "LogIn": positive, "LookUp": positive},
		"Writes, 99th percentile A":             {"accounts": positive, "requests": positive, "presence": positive},
		"Processors A":                          {"busy": positive},
		"Memory A":                              {"resident": positive},
		"Memory B":                              {"heap": positive},
		"Users of 2019 A":                       {"original": is(1)},
		"Users of 2019 B":                       {"connections": is(2)},
		"Commands of 2019 A":                    {"log_in ok": is(perSecond(1)), "log_in denied": is(perSecond(1)), "query offline": is(perSecond(1))},
		"File descriptors A":                    {"open": positive},
		"File descriptors B":                    {"limit": positive},
	}
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 100_000, Timeout: time.Minute})
	defer func() { _ = engine.Close() }()
	for _, q := range queries(t) {
		want, known := wants[q.panel]
		delete(wants, q.panel)
		if !known {
			t.Errorf("%s: nobody has said what it must show", q.panel)
			continue
		}
		got := answer(t, engine, s, q)
		if len(got) == 0 {
			t.Errorf("%s: shows nothing: %s", q.panel, q.expr)
		}
		for legend, right := range want {
			if v, ok := got[legend]; !ok || !right(v) {
				t.Errorf("%s: %q is %v (%v)", q.panel, legend, v, ok)
			}
		}
		for legend, v := range got {
			if want[legend] == nil && v != 0 && !math.IsNaN(v) {
				t.Errorf("%s: %q is %v, and nothing of that happened", q.panel, legend, v)
			}
		}
	}
	for panel := range wants {
		t.Errorf("%s is gone from the dashboard", panel)
	}
}

// Every metric that the dashboard names is there from the start.
func TestDashboardNamesWhatThereIs(t *testing.T) {
	there := map[string]bool{}
	for _, series := range startDirectory(t).scrape() {
		there[series.name] = true
	}
	for _, q := range queries(t) {
		expr, err := parser.ParseExpr(filled(q.expr))
		if err != nil {
			t.Fatalf("%s: %v", q.panel, err)
		}
		parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
			if v, ok := node.(*parser.VectorSelector); ok && !there[v.Name] {
				t.Errorf("%s: there is no metric %s", q.panel, v.Name)
			}
			return nil
		})
	}
	// So are those of the guide.
	guide, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`\b(parley|process)_[a-z0-9_]+`).FindAllString(string(guide), -1)
	if len(names) == 0 {
		t.Error("the guide names no metrics")
	}
	for _, name := range names {
		if !there[name] {
			t.Errorf("the guide names %s, which there is not", name)
		}
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func get(ctx context.Context, url string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, answer.Status)
	}
	return io.ReadAll(answer.Body)
}
