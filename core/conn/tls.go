package conn

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/parley-chat/parley/core/identity"
)

// maxHandshake bounds the bytes of a TLS handshake that are read: its messages
// are about 2 KiB, while the library would take certificates of 256 KiB from
// somebody who is not authenticated yet.
const maxHandshake = 32 << 10

var errHandshakeTooLarge = errors.New("TLS handshake is too large")

// tlsConfig is common to both sides: TLS 1.3 with the device certificate, and
// who the peer is decided by its key alone. VerifyConnection runs for resumed
// sessions too, though there are none on control links: tickets are off.
func tlsConfig(id *identity.Identity, verify Verify, protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		Certificates:       []tls.Certificate{id.Certificate()},
		ClientAuth:         tls.RequireAnyClientCert,
		InsecureSkipVerify: true, //nolint:gosec // no authorities here: VerifyConnection checks the pinned key
		NextProtos:         protocols,
		// It is for the first bytes of web pages.
		DynamicRecordSizingDisabled: true,
		SessionTicketsDisabled:      true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			if cs.NegotiatedProtocol == "" {
				return errors.New("peer does not speak Parley's protocol")
			}
			key, err := identity.PeerKey(cs)
			if err != nil {
				return err
			}
			return verify(key)
		},
	}
}

// handshake runs t's handshake within ctx and makes a Conn of it. On an error
// the connection is closed.
func handshake(ctx context.Context, t *tls.Conn, metered *meteredConn, network Network) (Conn, error) {
	err := t.HandshakeContext(ctx)
	if err == nil {
		metered.left.Store(unmetered)
		if t.ConnectionState().NegotiatedProtocol == ProtocolStream {
			metered.bulk = newBulk(metered.TCPConn, pathOfConn(t, network) != PathLoopback)
		}
		var key ed25519.PublicKey
		if key, err = identity.PeerKey(t.ConnectionState()); err == nil {
			return &tlsConn{Conn: t, key: key, protocol: t.ConnectionState().NegotiatedProtocol, path: pathOfConn(t, network)}, nil
		}
	}
	_ = metered.Close()
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return nil, refusedByAlert(err)
}

// refusedByAlert recognises that the peer's VerifyConnection failed. With TLS
// 1.3 the dialer learns this only when it reads.
func refusedByAlert(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}

func pathOfConn(c net.Conn, network Network) string {
	subnets, _ := network.Addresses() // without them the path is a little less exact
	return pathOf(addrOf(c.LocalAddr()).Addr(), addrOf(c.RemoteAddr()).Addr(), subnets)
}

func addrOf(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		p := t.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	return netip.AddrPort{}
}

// tlsConn implements Conn.
type tlsConn struct {
	*tls.Conn
	key      ed25519.PublicKey
	protocol string
	path     string
}

// PeerKey implements Conn.
func (c *tlsConn) PeerKey() ed25519.PublicKey { return c.key }

// Protocol implements Conn.
func (c *tlsConn) Protocol() string { return c.protocol }

// Path implements Conn.
func (c *tlsConn) Path() string { return c.path }

// CloseWrite implements Conn: TLS says good-bye, then TCP.
func (c *tlsConn) CloseWrite() error {
	// Flushed before: afterwards TLS lets nothing be written any more.
	err := c.Flush()
	if m, ok := c.NetConn().(*meteredConn); ok && m.bulk != nil {
		m.bulk.through = true
	}
	err = errors.Join(err, c.Conn.CloseWrite())
	if half, ok := c.NetConn().(interface{ CloseWrite() error }); ok {
		return errors.Join(err, half.CloseWrite())
	}
	return err
}

// Close implements Conn. It leaves out TLS's own good-bye, which would wait up
// to 5 s for a peer that takes nothing.
func (c *tlsConn) Close() error { return c.NetConn().Close() }

// Flush implements Flusher.
func (c *tlsConn) Flush() error {
	if m, ok := c.NetConn().(*meteredConn); ok && m.bulk != nil {
		return m.bulk.out.Flush()
	}
	return nil
}

// Read implements Conn.
func (c *tlsConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		err = refusedByAlert(err)
	}
	return n, err
}

const unmetered = int64(1) << 62

// meteredConn ends a connection that sends too much before it is authenticated.
type meteredConn struct {
	*net.TCPConn
	left atomic.Int64
	bulk *bulk // of a bulk stream, set once its handshake is over
}

func meter(c *net.TCPConn) *meteredConn {
	m := &meteredConn{TCPConn: c}
	m.left.Store(maxHandshake)
	return m
}

// Read implements net.Conn.
func (m *meteredConn) Read(b []byte) (int, error) {
	if m.bulk != nil {
		return m.bulk.in.Read(b)
	}
	left := m.left.Load()
	if left <= 0 {
		return 0, errHandshakeTooLarge
	}
	if int64(len(b)) > left {
		b = b[:left]
	}
	n, err := m.TCPConn.Read(b)
	if left != unmetered && m.left.Load() != unmetered {
		m.left.Add(-int64(n))
	}
	return n, err
}

// Write implements net.Conn.
func (m *meteredConn) Write(b []byte) (int, error) {
	if m.bulk != nil {
		return m.bulk.write(b)
	}
	return m.TCPConn.Write(b)
}

// tune sets what every connection gets. Errors are left: it works without.
func tune(c *net.TCPConn, userTimeout time.Duration) {
	_ = c.SetNoDelay(true)
	_ = c.SetKeepAlive(false) // links ping by themselves
	setUserTimeout(c, userTimeout)
}
