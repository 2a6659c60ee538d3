package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	healthHeaderTimeout = 5 * time.Second
	healthWriteTimeout  = 30 * time.Second
)

// listenMetrics takes the address for metrics and health.
func (s *Server) listenMetrics(addr string) error {
	if addr == "" {
		return nil
	}
	var err error
	if s.metricsListener, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr); err != nil {
		return fmt.Errorf("listen for metrics on %s: %w", addr, err)
	}
	return nil
}

// MetricsAddr is where metrics and health are served, or nil.
func (s *Server) MetricsAddr() net.Addr {
	if s.metricsListener == nil {
		return nil
	}
	return s.metricsListener.Addr()
}

// serveMetrics serves until ctx ends. It goes on while clients are sent away, so
// that whoever balances sees that the server is not ready any more.
func (s *Server) serveMetrics(ctx context.Context) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.metrics.Handler())
	mux.HandleFunc("GET /healthz", answer(s.alive))
	mux.HandleFunc("GET /readyz", answer(s.ready))
	h := &http.Server{Handler: mux, ReadHeaderTimeout: healthHeaderTimeout, WriteTimeout: healthWriteTimeout, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn)}
	stop := context.AfterFunc(ctx, func() { _ = h.Close() })
	defer stop()
	if err := h.Serve(s.metricsListener); !errors.Is(err, http.ErrServerClosed) {
		s.log.Error("metrics are not served any more", "error", err)
	}
}

func answer(check func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		text := "ok\n"
		if err := check(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			text = err.Error() + "\n"
		}
		_, _ = io.WriteString(w, text)
	}
}

// alive says whether the server is worth leaving as it is; a full disk is not
// mended by another start.
func (s *Server) alive() error {
	select {
	case <-s.dir.Failed():
		return ErrState
	default:
		return nil
	}
}

// ready says whether clients find all that they need.
func (s *Server) ready() error {
	if !s.state.Healthy() {
		return ErrState
	}
	return s.dir.Ready()
}
