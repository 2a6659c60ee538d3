// Package server is the directory server as a whole: the state in its data
// folder, the records, the certificate, and the gRPC service on a port.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/parley-chat/parley/server/admin"
	"github.com/parley-chat/parley/server/api"
	"github.com/parley-chat/parley/server/backup"
	"github.com/parley-chat/parley/server/certificate"
	"github.com/parley-chat/parley/server/directory"
	"github.com/parley-chat/parley/server/metrics"
	"github.com/parley-chat/parley/server/net2019"
	"github.com/parley-chat/parley/server/password"
	"github.com/parley-chat/parley/server/state"
)

// DefaultPort is where clients look for a directory whose address names none.
const DefaultPort = 7410

const (
	openTimeout = 5 * time.Minute // reading all records at start
	// maxHashesWaiting bounds the log-ins that wait for their password's hash.
	maxHashesWaiting = 64
)

// Config of a Server.
type Config struct {
	// Listen is "host:port"; without a host on all addresses, with port 0 on a
	// free one.
	Listen string
	// Data is the folder for all that is kept. It is made if need be.
	Data string
	// CertFile and KeyFile are PEM files, which are read anew when they change.
	// Without them, and without ACME, the server makes its own certificate and
	// keeps it in Data.
	CertFile, KeyFile string
	// ACME, if not nil, has the certificate given by an authority. Its Data and Log
	// are those here.
	ACME *certificate.ACME
	// Metrics is "host:port" for metrics and health, or empty for none.
	Metrics string
	// Net2019, if not nil, has the protocol of 2019 served too, which is not encrypted.
	Net2019 *Net2019
	Log     *slog.Logger

	// The rest has defaults for zero values.

	// Limits nil means api.DefaultLimits.
	Limits *api.Limits
	// CertCheck is how often CertFile and KeyFile are looked at.
	CertCheck time.Duration
	// Lease is how long a session lives without a message.
	Lease time.Duration
	// Registration says who may make an account; empty means everybody.
	Registration api.Registration
	// PasswordCost is that of new hashes.
	PasswordCost password.Cost
	// MaxConnections in all and from one address.
	MaxConnections, MaxConnectionsPerAddress int
}

func (c Config) withDefaults() Config {
	if c.Limits == nil {
		limits := api.DefaultLimits()
		c.Limits = &limits
	}
	if c.Lease == 0 {
		c.Lease = api.DefaultLease
	}
	if c.PasswordCost == (password.Cost{}) {
		c.PasswordCost = password.DefaultCost
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = 100_000
	}
	if c.MaxConnectionsPerAddress == 0 {
		c.MaxConnectionsPerAddress = 2_000
	}
	return c
}

// ErrState says that the embedded state store stopped working.
var ErrState = errors.New("the records could not be written, most likely because the disk was full; start the server again")

// Server is a directory server. Make it with New.
type Server struct {
	log         *slog.Logger
	certificate certificate.Keeper
	state       *state.State
	dir         *directory.Directory
	service     *api.Service
	admin       *admin.Server
	metrics     *metrics.Metrics
	// metricsListener is nil when nobody wants metrics.
	metricsListener net.Listener
	listener        net.Listener
	// net2019 and its listener are nil when it is not served.
	net2019         *net2019.Service
	net2019Listener net.Listener
	close           sync.Once
}

// New opens the data folder, reads the records and takes the port. What it
// opened is closed by Serve or by Close.
func New(cfg Config) (*Server, error) {
	s := &Server{log: cfg.Log}
	if err := s.open(cfg.withDefaults()); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) open(cfg Config) error {
	if cfg.Data == "" {
		return errors.New("no data folder is given")
	}
	// First of all: it keeps a second server away from the folder.
	var err error
	if s.state, err = state.Open(cfg.Data, state.Options{Log: cfg.Log}); err != nil {
		return err
	}
	if s.certificate, err = keeper(cfg); err != nil {
		return err
	}
	crowd := newCrowd(cfg.MaxConnections, cfg.MaxConnectionsPerAddress)
	if s.listener, err = listen(&net.ListenConfig{}, cfg.Listen, crowd); err != nil {
		return err
	}
	registry, err := s.openNet2019(cfg, crowd)
	if err != nil {
		return err
	}
	if err := s.listenMetrics(cfg.Metrics); err != nil {
		return err
	}
	s.metrics = metrics.New()
	hasher, err := password.New(cfg.PasswordCost, maxHashesWaiting)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	if s.dir, err = directory.Open(ctx, directory.Config{Conn: s.state.Conn(), Log: cfg.Log, Wrote: s.metrics.Wrote}); err != nil {
		return err
	}
	s.service = api.New(api.Config{
		Directory: s.dir, Hasher: hasher, TLS: s.certificate.TLS(),
		Limits: *cfg.Limits, Lease: cfg.Lease, Registration: cfg.Registration, Net2019: registry, Called: s.metrics.Called, Log: cfg.Log,
	})
	s.metrics.Watch(metrics.Sources{
		Directory: s.dir.Stats, Hashes: hasher.Load, Limited: s.service.Limited, Certificate: s.certificate.Leaf, Net2019: s.net2019.Stats,
	})
	// Last, so that who reaches it finds all the rest.
	s.admin, err = admin.Listen(cfg.Data, &admin.Operator{
		Directory: s.dir, Hasher: hasher, Files: backup.FilesOf(cfg.Data), Log: cfg.Log,
	}, cfg.Log)
	return err
}

// keeper gives the TLS certificate as configured.
func keeper(cfg Config) (certificate.Keeper, error) {
	switch {
	case (cfg.CertFile == "") != (cfg.KeyFile == ""):
		return nil, errors.New("a TLS certificate needs its key, and a key its certificate: give both files or none")
	case cfg.CertFile != "" && cfg.ACME != nil:
		return nil, errors.New("the TLS certificate is either in files or given by an authority: configure one of them")
	case cfg.CertFile != "":
		return certificate.Files{Cert: cfg.CertFile, Key: cfg.KeyFile, Check: cfg.CertCheck, Log: cfg.Log}.Open()
	case cfg.ACME != nil:
		authority := *cfg.ACME
		authority.Data, authority.Log = cfg.Data, cfg.Log
		return authority.Open()
	default:
		return certificate.Own(cfg.Data)
	}
}

func listen(as *net.ListenConfig, addr string, crowd *crowd) (net.Listener, error) {
	l, err := as.Listen(context.Background(), "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is in use by another program; stop it, or listen on another port: %w", addr, err)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return &gate{l, crowd}, nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Directory is the records, for those who administer them.
func (s *Server) Directory() *directory.Directory { return s.dir }

// Fingerprint is what clients pin: the hex SHA-256 of the certificate's
// SubjectPublicKeyInfo, as it is now.
func (s *Server) Fingerprint() string { return certificate.Fingerprint(s.certificate.Leaf()) }

// Reload looks at once for a newer certificate. It never blocks.
func (s *Server) Reload() { s.certificate.Reload() }

// Serve serves until ctx ends, and closes the server. Clients are asked to come
// back. It fails when the records cannot be used any more.
func (s *Server) Serve(ctx context.Context) error {
	defer s.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	var others sync.WaitGroup
	others.Go(func() { s.watchHealth(ctx, cancel) })
	others.Go(func() { s.certificate.Serve(ctx) })
	others.Go(func() {
		// The directory serves on without it.
		if err := s.admin.Serve(ctx); err != nil {
			s.log.Error("the operator's commands cannot reach the server", "error", err)
		}
	})
	if s.net2019 != nil {
		others.Go(func() {
			// The directory serves on without it.
			if err := s.net2019.Serve(ctx, s.net2019Listener); err != nil {
				s.log.Error("the protocol of 2019 is not served any more", "error", err)
			}
		})
	}
	// Metrics live longer than the service, and tell of its end.
	serving, served := context.WithCancel(context.WithoutCancel(ctx))
	if s.metricsListener != nil {
		others.Go(func() { s.serveMetrics(serving) })
	}
	s.log.Info("serving", "address", s.Addr().String(), "fingerprint", s.Fingerprint())
	err := s.service.Serve(ctx, s.listener)
	if err == nil && errors.Is(context.Cause(ctx), ErrState) {
		err = ErrState
	}
	served()
	cancel(nil)
	others.Wait()
	return err
}

// Close frees what New took, at once. Idempotent; Serve calls it.
func (s *Server) Close() {
	s.close.Do(func() {
		if s.listener != nil {
			_ = s.listener.Close()
		}
		if s.net2019Listener != nil {
			_ = s.net2019Listener.Close()
		}
		if s.metricsListener != nil {
			_ = s.metricsListener.Close()
		}
		if s.certificate != nil {
			s.certificate.Close()
		}
		if s.admin != nil {
			s.admin.Close()
		}
		if s.dir != nil {
			s.dir.Close()
		}
		if s.state != nil {
			s.state.Close()
		}
	})
}
