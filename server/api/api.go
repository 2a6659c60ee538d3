// Package api serves the directory over gRPC: it knows who calls by the device
// key of the TLS handshake, bounds and validates what comes in, limits how
// often, and tells what went wrong in a sentence a person can act on.
package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/server/directory"
	"github.com/parley-chat/parley/server/limit"
	"github.com/parley-chat/parley/server/net2019"
	"github.com/parley-chat/parley/server/password"
)

// DefaultLease is how long a session lives without a message of the client's.
const DefaultLease = 30 * time.Second

const (
	// maxReceive is a SetContacts with both lists full, and some.
	maxReceive       = 1400 << 10
	maxStreams       = 16 // of one connection
	maxHeaders       = 16 << 10
	window           = 64 << 10
	handshakeTimeout = 10 * time.Second
	callTimeout      = 30 * time.Second
	stopTimeout      = 5 * time.Second

	// goAwayGrace is how long clients have to leave by themselves.
	goAwayGrace = 500 * time.Millisecond
)

// Config of a Service.
type Config struct {
	Directory *directory.Directory
	Hasher    *password.Hasher
	// TLS has the server's certificate.
	TLS    *tls.Config
	Limits Limits
	Lease  time.Duration
	// Registration empty means open.
	Registration Registration
	// Net2019 is who is online there; nil when it is not served.
	Net2019 *net2019.Registry
	// Called, which may be nil, is told of each call that has ended.
	Called func(method string, code codes.Code, took time.Duration)
	Log    *slog.Logger
}

// Service is the directory as clients see it. Make it with New.
type Service struct {
	directorypb.UnimplementedDirectoryServer
	dir          *directory.Directory
	hasher       *password.Hasher
	tls          *tls.Config
	lease        time.Duration
	registration Registration
	message      Limit
	net2019      *net2019.Registry // nil: not served
	limits       limiters
	log          *slog.Logger
	now          func() time.Time
	called       func(string, codes.Code, time.Duration)

	receivers sync.WaitGroup
}

type limiters struct {
	register, logInAddress, logInAccount, changePassword, setProfile, lookUp, deliver, session *limit.Limiter
}

// New makes a service.
func New(cfg Config) *Service {
	l := cfg.Limits
	if cfg.Called == nil {
		cfg.Called = func(string, codes.Code, time.Duration) {}
	}
	return &Service{
		dir: cfg.Directory, hasher: cfg.Hasher, tls: deviceTLS(cfg.TLS), lease: cfg.Lease, registration: cfg.Registration, message: l.Message, net2019: cfg.Net2019, log: cfg.Log, now: time.Now, called: cfg.Called,
		limits: limiters{
			register: limit.New(l.Register), logInAddress: limit.New(l.LogInAddress), logInAccount: limit.New(l.LogInAccount),
			changePassword: limit.New(l.ChangePassword), setProfile: limit.New(l.SetProfile), lookUp: limit.New(l.LookUp),
			deliver: limit.New(l.Deliver), session: limit.New(l.Session),
		},
	}
}

// Serve serves on listener until ctx ends, asks the clients to come back later,
// and returns when the last presence is removed.
func (s *Service) Serve(ctx context.Context, listener net.Listener) error {
	server := s.server()
	directorypb.RegisterDirectoryServer(server, s)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	var err error
	select {
	case err = <-failed:
		err = fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
		s.goAway()
	}
	s.dir.EndSessions()
	s.stop(server)
	s.receivers.Wait()
	if errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// server sets up gRPC for many connections that are idle: no buffers of its own
// and windows that do not grow.
func (s *Service) server() *grpc.Server {
	return grpc.NewServer(
		grpc.Creds(meteredTLS{credentials.NewTLS(s.tls)}),
		grpc.MaxRecvMsgSize(maxReceive),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.ReadBufferSize(0),
		grpc.WriteBufferSize(0),
		grpc.StaticStreamWindowSize(window),
		grpc.StaticConnWindowSize(window),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: time.Minute, Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second}),
		grpc.ChainUnaryInterceptor(s.observe, withDeadline),
		grpc.StreamInterceptor(s.observeStream),
	)
}

func (s *Service) observe(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	start := time.Now()
	answer, err := handler(ctx, req)
	s.called(info.FullMethod, status.Code(err), time.Since(start))
	return answer, err
}

func (s *Service) observeStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	start := time.Now()
	err := handler(srv, stream)
	s.called(info.FullMethod, status.Code(err), time.Since(start))
	return err
}

// Limited counts what the limits have refused, by limit.
func (s *Service) Limited() map[string]uint64 {
	l := &s.limits
	refused := map[string]uint64{}
	for name, limiter := range map[string]*limit.Limiter{
		"register": l.register, "log_in_address": l.logInAddress, "log_in_account": l.logInAccount, "change_password": l.changePassword,
		"set_profile": l.setProfile, "look_up": l.lookUp, "deliver": l.deliver, "session": l.session,
	} {
		refused[name] = limiter.Refused()
	}
	return refused
}

func withDeadline(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return handler(ctx, req)
}

// goAway asks all clients to leave and come back later.
func (s *Service) goAway() {
	s.log.Info("shutting down", "sessions", s.dir.Sessions())
	s.dir.GoAway()
	grace := time.NewTimer(goAwayGrace)
	defer grace.Stop()
	check := time.NewTicker(goAwayGrace / 20)
	defer check.Stop()
	for s.dir.Sessions() > 0 {
		select {
		case <-grace.C:
			return
		case <-check.C:
		}
	}
}

// stop ends gRPC, with what is under way if that is soon.
func (s *Service) stop(server *grpc.Server) {
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		server.GracefulStop()
	}()
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case <-stopped:
	case <-timeout.C:
		server.Stop()
		<-stopped
	}
}
