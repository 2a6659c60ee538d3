package conn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// Listen implements Transport.
func (t *tcp) Listen(ctx context.Context, address string) (Listener, error) {
	config := net.ListenConfig{KeepAlive: -1}
	l, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, explainListen(address, err)
	}
	return &tcpListener{tcp: t, l: l.(*net.TCPListener)}, nil
}

func explainListen(address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("cannot listen on %s: %w by another program: stop that program, or set another port (0 takes a free one)", address, ErrPortInUse)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("cannot listen on %s: only the administrator may use this port: set one of 1024 or above, or 0 for a free one: %w", address, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("cannot listen on %s: this computer does not have that address: set one that it has, or none for all: %w", address, err)
	default:
		return fmt.Errorf("cannot listen on %s: check the address, which is \"host:port\" or \":port\": %w", address, err)
	}
}

type tcpListener struct {
	tcp *tcp
	l   *net.TCPListener
}

// Accept implements Listener.
func (l *tcpListener) Accept() (Incoming, error) {
	c, err := l.l.AcceptTCP()
	if err != nil {
		return nil, fmt.Errorf("accept: %w", err)
	}
	return &tcpIncoming{tcp: l.tcp, c: c}, nil
}

// Addr implements Listener.
func (l *tcpListener) Addr() netip.AddrPort { return addrOf(l.l.Addr()) }

// Close implements Listener.
func (l *tcpListener) Close() error {
	if err := l.l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close listener: %w", err)
	}
	return nil
}

type tcpIncoming struct {
	tcp *tcp
	c   *net.TCPConn
}

// Remote implements Incoming.
func (i *tcpIncoming) Remote() netip.AddrPort { return addrOf(i.c.RemoteAddr()) }

// Drop implements Incoming: a reset, so that nothing of it stays in the kernel.
func (i *tcpIncoming) Drop() {
	_ = i.c.SetLinger(0)
	_ = i.c.Close()
}

// Handshake implements Incoming.
func (i *tcpIncoming) Handshake(ctx context.Context, verify Verify) (Conn, error) {
	tune(i.c, tcpUserTimeout)
	protocols := []string{ProtocolLink}
	if i.tcp.Streams {
		protocols = append(protocols, ProtocolStream)
	}
	metered := meter(i.c)
	conn, err := handshake(ctx, tls.Server(metered, tlsConfig(i.tcp.Identity, verify, protocols...)), metered, i.tcp.Network)
	if err != nil {
		return nil, fmt.Errorf("connection from %s: %w", i.Remote(), err)
	}
	return conn, nil
}
