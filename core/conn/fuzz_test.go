package conn

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/protocol/packet"
)

// said is a connection on which the peer has said all that it says.
type said struct {
	net.Conn // what is not used here
	r        io.Reader
	key      ed25519.PublicKey
}

func (s *said) Read(b []byte) (int, error) { return s.r.Read(b) }
func (s *said) CloseWrite() error          { return nil }
func (s *said) PeerKey() ed25519.PublicKey { return s.key }
func (s *said) Protocol() string           { return ProtocolLink }
func (s *said) Path() string               { return PathLAN }

// FuzzHello: only a Hello of this version by the user whose key TLS proved makes
// a link, and every other beginning gives an error that says what to do with the
// peer.
func FuzzHello(f *testing.F) {
	id, err := identity.New("bob", bytes.Repeat([]byte{7}, ed25519.SeedSize))
	if err != nil {
		f.Fatal(err)
	}
	good := &packet.Hello{Version: packet.Version, User: "bob", Device: id.Device(), Port: 7, Agent: "fuzz"}
	for _, frame := range []packet.Frame{good, &packet.Ping{Nonce: 1}, &packet.Bye{Reason: packet.ByeRefused, Text: "no"}, &packet.Hello{Version: 2, User: "bob", Device: id.Device()}} {
		b, err := packet.AppendFrame(nil, frame)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(giantFrame())
	m := &Manager{}
	f.Fuzz(func(t *testing.T, b []byte) {
		hello, err := m.readHello(newSession(&said{r: bytes.NewReader(b), key: id.Key()}), "bob")
		if err == nil {
			if hello.Version != packet.Version || hello.User != "bob" || hello.Device != id.Device() {
				t.Fatalf("taken: %+v", hello)
			}
			return
		}
		var refused *refusal
		var bye *byeError
		if !errors.As(err, &refused) && !errors.As(err, &bye) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("error of no kind: %v", err)
		}
	})
}

// FuzzEndpoint: what comes from the directory makes this host dial no system
// service of its own, and nothing that is no single host.
func FuzzEndpoint(f *testing.F) {
	for _, s := range []string{"192.0.2.1", "::1", "127.0.0.1", "::ffff:127.0.0.1", "fe80::1%eth0", "255.255.255.255", "0.0.0.0", "ff02::1", "192.0.2.1:70", "[::1]:70", "x"} {
		f.Add(s, uint16(22))
		f.Add(s, uint16(7410))
	}
	f.Fuzz(func(t *testing.T, host string, port uint16) {
		parseObserved(host)
		e := bus.Endpoint{Host: host, Port: port}
		all := candidates([]bus.Endpoint{e, e}, bus.Endpoint{}, nil, nil, 8)
		a, ok := addrPort(e)
		if !ok {
			if len(all) != 0 {
				t.Fatalf("%v would be dialed", all)
			}
			return
		}
		if a.Addr().IsLoopback() && port < 1024 || a.Addr().IsMulticast() || a.Addr().IsUnspecified() || port == 0 || a.Addr().Zone() != "" {
			t.Fatalf("%s may be dialed", a)
		}
		if len(all) != 1 || all[0] != endpointOf(a) {
			t.Fatalf("%s gives %v", a, all)
		}
		if again, ok := addrPort(all[0]); !ok || again != a {
			t.Fatalf("%s became %s", a, again)
		}
		pathOf(netip.Addr{}, a.Addr(), nil)
	})
}
