// Package metrics tells Prometheus what a directory does, in numbers only:
// nothing in it names anybody.
package metrics

import (
	"crypto/x509"
	"net/http"
	"path"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/internal/version"
	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/server/directory"
	"github.com/parley-chat/parley/server/net2019"
)

// Metrics are the numbers of one server. Its methods are safe for concurrent
// use.
type Metrics struct {
	registry *prometheus.Registry
	calls    *prometheus.CounterVec
	took     *prometheus.HistogramVec
	logIns   *prometheus.CounterVec
	lookUps  *prometheus.CounterVec
	writes   *prometheus.HistogramVec
	failures *prometheus.CounterVec
}

// Sources are asked when somebody reads the metrics.
type Sources struct {
	Directory func() directory.Stats
	// Hashes are those being computed, and those that wait for it.
	Hashes func() (computing, waiting int)
	// Limited counts what was refused, by limit.
	Limited func() map[string]uint64
	// Net2019 are those of the protocol of 2019; zero when it is not served.
	Net2019 func() net2019.Stats
	// Certificate is the TLS certificate in use.
	Certificate func() *x509.Certificate
}

// New makes metrics that are all zero.
func New() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		calls:    counter("calls_total", "Calls that have ended, by method and gRPC code.", "method", "code"),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "parley_call_seconds", Help: "How long calls took, without sessions.", Buckets: prometheus.ExponentialBuckets(0.0005, 4, 9),
		}, []string{"method"}),
		logIns:  counter("log_ins_total", "Log-ins, by result.", "result"),
		lookUps: counter("look_ups_total", "Look-ups, by result.", "result"),
		writes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "parley_write_seconds", Help: "How long a write to the records took until it was acknowledged, by bucket.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9),
		}, []string{"bucket"}),
		failures: counter("write_failures_total", "Writes to the records that failed, by bucket.", "bucket"),
	}
	m.begin()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "parley_build_info", Help: "1, with the version.", ConstLabels: prometheus.Labels{"version": version.String(), "go": runtime.Version()},
	})
	info.Set(1)
	m.registry.MustRegister(m.calls, m.took, m.logIns, m.lookUps, m.writes, m.failures, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// begin makes everything that will be counted zero, so that the first time it
// happens is an increase, which a counter that is not there yet does not show.
func (m *Metrics) begin() {
	var methods []string
	for _, method := range directorypb.Directory_ServiceDesc.Methods {
		methods = append(methods, method.MethodName)
		m.took.WithLabelValues(method.MethodName)
	}
	for _, stream := range directorypb.Directory_ServiceDesc.Streams {
		methods = append(methods, stream.StreamName)
	}
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		for _, method := range methods {
			m.calls.WithLabelValues(method, code.String())
		}
		m.logIns.WithLabelValues(result(code))
		m.lookUps.WithLabelValues(result(code))
	}
	for _, bucket := range directory.Buckets() {
		m.writes.WithLabelValues(bucket)
		m.failures.WithLabelValues(bucket)
	}
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "parley_" + name, Help: help}, labels)
}

// Watch adds what is read from sources. To be called once.
func (m *Metrics) Watch(s Sources) { m.registry.MustRegister(&sources{s}) }

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Called counts a call that has ended.
func (m *Metrics) Called(fullMethod string, code codes.Code, took time.Duration) {
	method := path.Base(fullMethod)
	m.calls.WithLabelValues(method, code.String()).Inc()
	if method != "Session" {
		m.took.WithLabelValues(method).Observe(took.Seconds())
	}
	switch method {
	case "LogIn":
		m.logIns.WithLabelValues(result(code)).Inc()
	case "LookUp":
		m.lookUps.WithLabelValues(result(code)).Inc()
	}
}

// result is what a code means for a log-in or look-up.
func result(code codes.Code) string {
	switch code {
	case codes.OK:
		return "ok"
	case codes.Unauthenticated:
		return "wrong_credentials"
	case codes.FailedPrecondition:
		return "other_device"
	case codes.PermissionDenied:
		return "denied"
	case codes.ResourceExhausted:
		return "limited"
	case codes.NotFound:
		return "not_found"
	case codes.InvalidArgument:
		return "malformed"
	default:
		return "failed"
	}
}

// Wrote notes a write to the records.
func (m *Metrics) Wrote(bucket string, took time.Duration, failed bool) {
	if failed {
		m.failures.WithLabelValues(bucket).Inc()
		return
	}
	m.writes.WithLabelValues(bucket).Observe(took.Seconds())
}
