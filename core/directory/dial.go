package directory

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/directorypb"
)

// DefaultPort is the port of a directory whose address names none.
const DefaultPort = 7410

const (
	callTimeout = 30 * time.Second
	maxReceive  = 256 << 10 // a picture and its envelope, and some
)

// Target is a directory and who calls it.
type Target struct {
	// Address is "host:port" or "host".
	Address string
	// Pin is the fingerprint that the directory's certificate must have: the hex
	// SHA-256 of its SubjectPublicKeyInfo. Empty when none is known.
	Pin string
	// Vouched says that an authority has vouched for the directory before, or is
	// to: without a Pin, no certificate is taken because it is the first one.
	Vouched  bool
	Identity *identity.Identity
	// Agent is the name and version of the program.
	Agent string
	// Roots are the authorities that may vouch for a certificate; nil means the
	// system's.
	Roots *x509.CertPool

	dialer  dialer        // nil: TCP
	timeout time.Duration // of the dial; 0: defaultTiming's
}

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

var hostPattern = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?$`)

// ParseAddress checks an address that a person gave, and gives it as
// "host:port". Its error is of kind ErrAddress.
func ParseAddress(s string) (string, error) {
	bad := &Error{Kind: ErrAddress, Text: fmt.Sprintf("%.80q is no address of a directory: give a host name or IP address, "+
		"and a port if it is not %d, such as directory.example.org:%d.", s, DefaultPort, DefaultPort),
		Why: failure.Because("DIRECTORY_ADDRESS", "address", s)}
	s = strings.TrimSpace(s)
	if addr, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return net.JoinHostPort(addr.String(), strconv.Itoa(DefaultPort)), nil
	}
	host, port := s, strconv.Itoa(DefaultPort)
	if strings.Contains(s, ":") {
		var err error
		if host, port, err = net.SplitHostPort(s); err != nil {
			return "", bad
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", bad
	}
	if _, err := netip.ParseAddr(host); err != nil && !hostPattern.MatchString(host) {
		return "", bad
	}
	return net.JoinHostPort(strings.ToLower(host), port), nil
}

// link is one connection to a directory.
type link struct {
	address     string
	local       netip.Addr // of this device; the zero Addr when it is not known
	conn        *grpc.ClientConn
	client      directorypb.DirectoryClient
	fingerprint string
	// vouched says that an authority vouches for the certificate, or that it is
	// pinned; else it was trusted because nothing was known of the directory.
	vouched bool
}

// dial connects to the directory and checks its certificate before anything is
// sent. firstUse says whether a certificate is accepted of which nothing is
// known.
//
// The TLS handshake is done here and not in gRPC, which would turn its errors
// into text.
func dial(ctx context.Context, t Target, firstUse bool) (*link, error) {
	address, err := ParseAddress(t.Address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(t.timeout, defaultTiming().dial))
	defer cancel()
	connect := t.dialer
	if connect == nil {
		connect = (&net.Dialer{}).DialContext
	}
	raw, err := connect(ctx, "tcp", address)
	if err != nil {
		return nil, dialError(ctx, address, err)
	}
	l := &link{address: address, local: localOf(raw)}
	conn := tls.Client(raw, l.config(t, firstUse))
	err = conn.HandshakeContext(ctx)
	if err == nil && conn.ConnectionState().NegotiatedProtocol != "h2" {
		err = notParley(address, errors.New("does not speak HTTP/2"))
	}
	if err == nil {
		err = l.open(conn, t.Agent)
	}
	if err != nil {
		_ = raw.Close()
		return nil, tlsError(ctx, address, err)
	}
	return l, nil
}

func localOf(c net.Conn) netip.Addr {
	if a, ok := c.LocalAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// addressAlive says whether a connection from a local address can live: it is
// still the address of an interface that is up and has a carrier. What cannot be
// found out is taken for alive.
func addressAlive(local netip.Addr) bool {
	interfaces, err := net.Interfaces()
	if err != nil || !local.IsValid() || local.IsLoopback() {
		return true
	}
	const ready = net.FlagUp | net.FlagRunning
	for _, i := range interfaces {
		addresses, err := i.Addrs()
		if err != nil {
			return true
		}
		for _, a := range addresses {
			if n, ok := a.(*net.IPNet); ok && n.IP.Equal(local.AsSlice()) && i.Flags&ready == ready {
				return true
			}
		}
	}
	return false
}

func (l *link) config(t Target, firstUse bool) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		NextProtos:   []string{"h2"},
		Certificates: []tls.Certificate{t.Identity.Certificate()},
		ServerName:   hostOf(l.address),
		// Verified below: a pin counts for more than an authority.
		InsecureSkipVerify: true, //nolint:gosec // see VerifyConnection
		VerifyConnection: func(cs tls.ConnectionState) error {
			return l.verify(cs, t, firstUse)
		},
	}
}

func hostOf(address string) string {
	host, _, _ := net.SplitHostPort(address) // ParseAddress made it
	return host
}

func (l *link) verify(cs tls.ConnectionState, t Target, firstUse bool) error {
	leaf := cs.PeerCertificates[0] // there is one: it is a client's handshake
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	l.fingerprint = hex.EncodeToString(sum[:])
	if t.Pin != "" {
		if pin := normalPin(t.Pin); pin != l.fingerprint {
			return pinError(l.address, pin, l.fingerprint, l.authority(cs, t) == nil)
		}
		l.vouched = true
		return nil
	}
	err := l.authority(cs, t)
	if err == nil {
		l.vouched = true
		return nil
	}
	if !firstUse {
		return untrustedError(l.address, l.fingerprint, err)
	}
	return nil
}

// authority says whether an authority vouches for the certificate: nil, or why
// not.
func (l *link) authority(cs tls.ConnectionState, t Target) error {
	intermediates := x509.NewCertPool()
	for _, cert := range cs.PeerCertificates[1:] {
		intermediates.AddCert(cert)
	}
	_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{DNSName: hostOf(l.address), Roots: t.Roots, Intermediates: intermediates})
	return err
}

// normalPin takes the ways in which people write a fingerprint.
func normalPin(pin string) string {
	return strings.ToLower(strings.NewReplacer(":", "", " ", "").Replace(pin))
}

// open makes gRPC use conn, and no other: when it breaks the link is over.
func (l *link) open(conn net.Conn, agent string) error {
	var used atomic.Bool
	cc, err := grpc.NewClient("passthrough:///"+l.address,
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			if used.Swap(true) {
				return nil, errors.New("the connection is over")
			}
			return conn, nil
		}),
		grpc.WithTransportCredentials(insecure.NewCredentials()), // conn is TLS already
		grpc.WithUserAgent(agent),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithIdleTimeout(0),
		grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReceive)),
	)
	if err != nil {
		return fmt.Errorf("open the connection to %s: %w", l.address, err)
	}
	l.conn, l.client = cc, directorypb.NewDirectoryClient(cc)
	return nil
}

func (l *link) close() { _ = l.conn.Close() }
