package api

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"

	"google.golang.org/grpc/peer"
)

// caller is who is at the other end of a connection.
type caller struct {
	key   ed25519.PublicKey // proved by the TLS handshake
	addr  netip.Addr
	meter *meter
}

func callerOf(ctx context.Context) (caller, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return caller{}, errNoKey
	}
	info, ok := p.AuthInfo.(deviceInfo)
	if !ok {
		return caller{}, errNoKey
	}
	key, err := deviceKey(info.State)
	if err != nil {
		return caller{}, errNoKey
	}
	c := caller{key: key, meter: info.meter}
	if tcp, ok := p.Addr.(*net.TCPAddr); ok {
		c.addr = tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return c, nil
}

var errNoDeviceKey = errors.New("client has no Ed25519 device certificate")

func deviceKey(cs tls.ConnectionState) (ed25519.PublicKey, error) {
	if len(cs.PeerCertificates) != 1 {
		return nil, errNoDeviceKey
	}
	key, ok := cs.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok || len(key) != ed25519.PublicKeySize {
		return nil, errNoDeviceKey
	}
	return key, nil
}

// deviceTLS makes a configuration ask for device certificates. Nobody's name is
// in them: the handshake proves the key, and the accounts say whose it is.
func deviceTLS(cfg *tls.Config) *tls.Config {
	cfg = cfg.Clone()
	cfg.MinVersion = tls.VersionTLS13
	cfg.ClientAuth = tls.RequireAnyClientCert
	// A client reconnects seldom; each time it proves its key anew.
	cfg.SessionTicketsDisabled = true
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		_, err := deviceKey(cs)
		return err
	}
	return cfg
}
