package conn

import (
	"context"
	"crypto/ed25519"
	"net"
	"net/netip"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/protocol/packet"
)

// What a connection is for, negotiated when it is made (ALPN).
const (
	// ProtocolLink is a control link: frames.
	ProtocolLink = "parley/1"
	// ProtocolStream is a bulk stream. See Config.AcceptStream.
	ProtocolStream = "parley-stream/1"
)

// How a connection gets to the peer; bus.Link.Path.
const (
	PathLoopback = "loopback" // this host
	PathLAN      = "lan"      // private, link-local or unique-local address, or same subnet
	PathDirect   = "direct"   // across the internet
	PathRelay    = "relay"    // by way of somebody else
)

// Verify says whether the proved holder of a device key may have a connection:
// nil, or why not. It does not block.
type Verify func(key ed25519.PublicKey) error

// Target is whom to dial, where, for what.
type Target struct {
	User     packet.UserID
	Endpoint bus.Endpoint
	Protocol string
	Verify   Verify
}

// Transport makes authenticated, encrypted connections. Now TCP with TLS 1.3
// (NewTCP); ICE with QUIC, relays and local discovery are to follow. All methods
// are safe for concurrent use.
type Transport interface {
	// Listen starts to listen on "host:port"; an empty host is every address of
	// this host, port 0 a free one. Its errors say what a person can do;
	// ErrPortInUse is one of them.
	Listen(ctx context.Context, address string) (Listener, error)
	// Dial connects, proves who this device is and learns who the peer is. It
	// fails with Verify's error, wrapped, when that refuses, and when ctx ends.
	Dial(ctx context.Context, to Target) (Conn, error)
}

// Listener takes connections.
type Listener interface {
	// Accept waits for a connection, of which nothing is known yet. It does no
	// handshake, so that strangers are counted before they cost anything.
	// net.ErrClosed after Close; other errors are passing.
	Accept() (Incoming, error)
	// Addr is where it listens.
	Addr() netip.AddrPort
	// Close ends Accept. Idempotent.
	Close() error
}

// Incoming is a connection that was accepted and not yet authenticated. One of
// its methods Handshake and Drop is called, once.
type Incoming interface {
	// Remote is where it comes from, for limits.
	Remote() netip.AddrPort
	// Handshake authenticates both sides, within ctx. On an error the connection
	// is closed.
	Handshake(ctx context.Context, verify Verify) (Conn, error)
	// Drop closes it at no cost.
	Drop()
}

// Conn is an authenticated connection. Read and Write may be called
// concurrently, each from one goroutine, the rest from any. Close closes at once
// and wakes both.
type Conn interface {
	net.Conn
	// CloseWrite tells the peer that nothing more comes.
	CloseWrite() error
	// PeerKey is the device key that the peer proved to hold.
	PeerKey() ed25519.PublicKey
	// Protocol is ProtocolLink or ProtocolStream.
	Protocol() string
	// Path is one of the paths above.
	Path() string
}
