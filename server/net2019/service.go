// Package net2019 is the directory as the system of 2019 has it, for clients of the
// original, which must not notice a difference. Nothing is encrypted, and whoever
// knows the one password can be anybody: it is served only where the operator has
// switched it on.
//
// A client is a connection, and its end is log-out. Most connections are idle most of
// the time: each has a goroutine that waits with a buffer of as many bytes as a
// command has, and everything else is borrowed while there is something to say.
package net2019

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-chat/parley/protocol/packet/net2019"
	"github.com/parley-chat/parley/server/limit"
)

const (
	defaultWriteTimeout = 10 * time.Second
	maxRetry            = time.Second // between two tries to accept
)

// Config of a Service.
type Config struct {
	Registry *Registry
	// Password is the one word of all clients; see net2019.CheckPassword.
	Password string
	// LogOutReply is net2019.ReplyLogOut or net2019.ReplyLogOutPrinted; empty means
	// the first.
	LogOutReply string
	Limits      Limits
	// WriteTimeout is how long a client may leave its replies unread; 0 means 10 s.
	WriteTimeout time.Duration
	Log          *slog.Logger
}

// Limits of what clients may do. A log-in that is right costs nothing, so that each
// can come twice.
type Limits struct {
	LogIn   limit.Limit // wrong passwords, from one address
	Command limit.Limit // slows a connection down
}

// DefaultLimits are generous to people and not to programs that guess.
func DefaultLimits() Limits {
	return Limits{
		LogIn:   limit.Limit{Burst: 30, Every: 3 * time.Second},
		Command: limit.Limit{Burst: 500, Every: 10 * time.Millisecond},
	}
}

// Service serves clients of the original. Make it with New.
type Service struct {
	Config
	guesses  *limit.Limiter
	outcomes [numOutcomes]atomic.Uint64

	mu      sync.Mutex // guards the two below
	open    map[*connection]struct{}
	ending  bool
	done    chan struct{} // closed once ending
	serving sync.WaitGroup
}

// New makes a service.
func New(cfg Config) (*Service, error) {
	if err := net2019.CheckPassword(cfg.Password); err != nil {
		return nil, err
	}
	cfg.LogOutReply = cmp.Or(cfg.LogOutReply, net2019.ReplyLogOut)
	if err := net2019.CheckLogOutReply(cfg.LogOutReply); err != nil {
		return nil, err
	}
	if cfg.WriteTimeout == 0 {
		cfg.WriteTimeout = defaultWriteTimeout
	}
	return &Service{Config: cfg, guesses: limit.New(cfg.Limits.LogIn), open: map[*connection]struct{}{}, done: make(chan struct{})}, nil
}

// Serve serves on listener until ctx ends, and returns when nobody is connected any
// more. It closes the listener.
func (s *Service) Serve(ctx context.Context, listener net.Listener) error {
	s.Log.Warn("the protocol of 2019 is served: it is not encrypted, and who knows the password can be anybody", "address", listener.Addr().String())
	stop := context.AfterFunc(ctx, func() {
		_ = listener.Close()
		s.end()
	})
	defer stop()
	err := s.accept(ctx, listener)
	_ = listener.Close()
	s.end()
	s.serving.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (s *Service) accept(ctx context.Context, listener net.Listener) error {
	retry := time.Duration(0)
	for {
		conn, err := listener.Accept()
		if err == nil {
			retry = 0
			s.begin(conn)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("serve the protocol of 2019: %w", err)
		}
		// Too many open files, and the like: it passes when somebody leaves.
		retry = min(2*retry+time.Millisecond, maxRetry)
		s.Log.Warn("a client of 2019 was not accepted", "error", err, "again in", retry)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retry):
		}
	}
}

func (s *Service) begin(conn net.Conn) {
	c := &connection{service: s, conn: conn, host: hostOf(conn), scanner: net2019.Scanner{Password: s.Password}}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending {
		_ = conn.Close()
		return
	}
	s.open[c] = struct{}{}
	s.serving.Go(c.serve)
}

// ended forgets a connection; who sees its end finds nothing of it any more.
func (s *Service) ended(c *connection) {
	s.Registry.logOut(c.record)
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
	_ = c.conn.Close()
}

// end closes all connections, now and later.
func (s *Service) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ending {
		s.ending = true
		close(s.done)
	}
	for c := range s.open {
		_ = c.conn.Close()
	}
}

// hostOf is the address that a connection comes from.
func hostOf(conn net.Conn) netip.Addr {
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
