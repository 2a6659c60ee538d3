package server_test

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/server"
	"github.com/parley-chat/parley/server/api"
)

func (r *running) get(path string) (int, string) {
	r.t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	res, err := client.Get("http://" + r.server.MetricsAddr().String() + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// scrape gives all numbers, by name with labels as Prometheus writes them.
func (r *running) scrape() map[string]float64 {
	r.t.Helper()
	code, text := r.get("/metrics")
	if code != http.StatusOK {
		r.t.Fatalf("metrics: %d: %s", code, text)
	}
	all := map[string]float64{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		i := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || i < 0 {
			continue
		}
		n, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			r.t.Fatalf("%q: %v", line, err)
		}
		all[line[:i]] = n
	}
	return all
}

// differ says which numbers are not as they should be.
func differ(all, numbers map[string]float64) string {
	var wrong strings.Builder
	for name, want := range numbers {
		if got, ok := all[name]; !ok || got != want {
			fmt.Fprintf(&wrong, "%s is %v (%v), want %v\n", name, got, ok, want)
		}
	}
	return wrong.String()
}

// The metrics say what has happened, and nobody's name.
func TestMetrics(t *testing.T) {
	r := start(t, func(cfg *server.Config) {
		cfg.Metrics = "127.0.0.1:0"
		cfg.Limits = &api.Limits{LookUp: api.Limit{Burst: 3, Every: time.Hour}}
	})
	alice, bob := r.registered("alice.secret"), r.registered("bob")
	wantCode(t, alice.logIn("alice.secret", goodPassword, false), codes.OK)
	wantCode(t, alice.logIn("alice.secret", "wrong password", false), codes.Unauthenticated)
	wantCode(t, r.device().logIn("alice.secret", "wrong password", false), codes.Unauthenticated)
	wantCode(t, r.device().logIn("alice.secret", goodPassword, false), codes.FailedPrecondition)
	for range 2 {
		_, err := alice.lookUp("bob")
		wantCode(t, err, codes.OK)
	}
	_, err := alice.lookUp("nobody")
	wantCode(t, err, codes.NotFound)
	_, err = alice.lookUp("bob")
	wantCode(t, err, codes.ResourceExhausted)
	a, b := alice.begin(lists{contacts: []string{"bob"}}), bob.begin(lists{contacts: []string{"alice.secret"}})
	a.awaitPresence("bob", true)
	b.cancel()
	a.awaitPresence("bob", false)
	if got := a.deliver(1, "bob", alice.packet(packet.TypeRequest, "alice.secret", "bob", "hello")); got.GetCode() != 0 {
		t.Fatal(got)
	}

	numbers := map[string]float64{
		`parley_accounts`:                                           2,
		`parley_sessions`:                                           1,
		`parley_users_online`:                                       1,
		`parley_log_ins_total{result="ok"}`:                         1,
		`parley_log_ins_total{result="wrong_credentials"}`:          2,
		`parley_log_ins_total{result="other_device"}`:               1,
		`parley_look_ups_total{result="ok"}`:                        2,
		`parley_look_ups_total{result="not_found"}`:                 1,
		`parley_look_ups_total{result="limited"}`:                   1,
		`parley_rate_limited_total{limit="look_up"}`:                1,
		`parley_rate_limited_total{limit="deliver"}`:                0,
		`parley_calls_total{code="OK",method="Register"}`:           2,
		`parley_presence_changes_total`:                             3, // both came, one went
		`parley_requests_kept_total`:                                1,
		`parley_requests_waiting`:                                   1,
		`parley_password_hashes_computing`:                          0,
		`parley_password_hashes_waiting`:                            0,
		`parley_write_seconds_count{bucket="presence"}`:             3,
		`parley_write_seconds_count{bucket="requests"}`:             1,
		`parley_call_seconds_count{method="LookUp"}`:                4,
		`parley_calls_total{code="Canceled",method="Session"}`:      1,
		`parley_calls_total{code="Unauthenticated",method="LogIn"}`: 2,
	}
	// A session that has ended is counted a moment after its presence is gone.
	all := r.scrape()
	for end := time.Now().Add(patience); differ(all, numbers) != "" && time.Now().Before(end); all = r.scrape() {
		time.Sleep(10 * time.Millisecond)
	}
	if wrong := differ(all, numbers); wrong != "" {
		t.Error(wrong)
	}
	build := 0
	for name := range all {
		if strings.HasPrefix(name, "parley_build_info{") {
			build++
		}
		if strings.Contains(name, "alice") || strings.Contains(name, "bob") {
			t.Errorf("%s names somebody", name)
		}
	}
	if build != 1 {
		t.Errorf("%d build infos", build)
	}
}

func TestHealth(t *testing.T) {
	r := start(t, func(cfg *server.Config) { cfg.Metrics = "127.0.0.1:0" })
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, text := r.get(path); code != http.StatusOK || text != "ok\n" {
			t.Errorf("%s: %d %q", path, code, text)
		}
	}
	if code, _ := r.get("/secrets"); code != http.StatusNotFound {
		t.Errorf("another path: %d", code)
	}
	// Clients are being sent away: not ready, but well.
	r.server.Directory().EndSessions()
	if code, text := r.get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "closing") {
		t.Errorf("closing, and readyz says %d %q", code, text)
	}
	if code, _ := r.get("/healthz"); code != http.StatusOK {
		t.Errorf("closing, and healthz says %d", code)
	}
	without := start(t, nil)
	if without.server.MetricsAddr() != nil {
		t.Error("metrics that nobody asked for")
	}
}
