package conn

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/parley-chat/parley/core/identity"
)

// TCPConfig is what NewTCP needs.
type TCPConfig struct {
	Identity *identity.Identity
	Network  Network // for the path of a link
	// Streams lets in connections for bulk streams too.
	Streams bool
}

// tcpUserTimeout is a little more than the write deadline of a link, which
// gives the better error.
const tcpUserTimeout = 28 * time.Second

// tcp implements Transport.
type tcp struct{ TCPConfig }

// NewTCP is the transport of TLS 1.3 over TCP.
func NewTCP(config TCPConfig) Transport { return &tcp{config} }

// Dial implements Transport.
func (t *tcp) Dial(ctx context.Context, to Target) (Conn, error) {
	address, ok := addrPort(to.Endpoint)
	if !ok {
		return nil, fmt.Errorf("dial %s at %s:%d: not an address to dial", to.User, to.Endpoint.Host, to.Endpoint.Port)
	}
	dialer := net.Dialer{KeepAlive: -1}
	c, err := dialer.DialContext(ctx, "tcp", address.String())
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", to.User, err)
	}
	raw := c.(*net.TCPConn)
	tune(raw, tcpUserTimeout)
	metered := meter(raw)
	conn, err := handshake(ctx, tls.Client(metered, tlsConfig(t.Identity, to.Verify, to.Protocol)), metered, t.Network)
	if err != nil {
		return nil, fmt.Errorf("dial %s at %s: %w", to.User, address, err)
	}
	return conn, nil
}
