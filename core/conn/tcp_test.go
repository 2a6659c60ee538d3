package conn

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/protocol/packet"
)

// These tests go through the real transport, on loopback.

func address(n *node) string {
	e := n.m.Endpoints()[0]
	return net.JoinHostPort(e.Host, fmt.Sprint(e.Port))
}

func TestTwoManagersChat(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bob")
	meet(a, b)
	a.start()
	b.start()
	a.sees(b)
	b.sees(a)
	la, lb := linked(t, a, b)
	if la.Path != PathLoopback || la.Device != b.id.Device() || !la.Key.Equal(b.id.Key()) || lb.User != a.user {
		t.Errorf("links are %+v and %+v", la, lb)
	}
	const each = 500
	var wg sync.WaitGroup
	for _, way := range [][2]*node{{a, b}, {b, a}} {
		wg.Go(func() {
			for i := range each {
				if err := way[0].send(way[1], fmt.Sprint(i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, n := range []*node{a, b} {
		eventually(t, "all packets came", func() bool { return n.received() == each })
		for i, r := range n.packets {
			if string(r.Packet.Content) != fmt.Sprint(i) {
				t.Fatalf("%s got %q as number %d", n.user, r.Packet.Content, i)
			}
		}
		n.inOrder(t)
	}
	eventually(t, "round trips are measured", func() bool {
		la, _ := a.link(b)
		lb, _ := b.link(a)
		return la.RoundTrip > 0 && lb.RoundTrip > 0
	})
	b.close()
	eventually(t, "a notices that b is gone", func() bool { return len(a.m.Links()) == 0 })
	a.inOrder(t)
}

func TestLargeFrames(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bob")
	meet(a, b)
	a.start()
	b.start()
	a.sees(b)
	linked(t, a, b)
	content := strings.Repeat("x", packet.MaxContent)
	for range 20 {
		if err := a.send(b, content); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "10 MiB came", func() bool { return b.received() == 20 })
}

func TestEndpointsOfBothFamilies(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(listen, func(t *testing.T) {
			a, b := newNode(t, "anna"), newNode(t, "bob", withListen(listen))
			t.Cleanup(a.close) // which are never started where the family is missing
			t.Cleanup(b.close)
			if err := b.m.Listen(t.Context()); err != nil {
				t.Skipf("no such address family here: %v", err)
			}
			meet(a, b)
			a.start()
			b.start()
			port := b.m.Endpoints()[0].Port
			// One of these two is b's, the other is nobody's.
			a.seesAt(b, bus.Endpoint{Host: "127.0.0.1", Port: port}, bus.Endpoint{Host: "::1", Port: port})
			linked(t, a, b)
		})
	}
}

func TestDialReachesSomebodyElse(t *testing.T) {
	a, b, c := newNode(t, "anna"), newNode(t, "bob"), newNode(t, "carla")
	meet(a, b)
	meet(a, c)
	meet(b, c)
	a.start()
	b.start()
	c.start()
	// Where bob is said to be is carla: a contact, but not the one that was dialed.
	err := a.m.dialAll(t.Context(), "bob", c.m.Endpoints())
	if !errors.Is(err, ErrWrongPeer) {
		t.Errorf("dial ended with %v, want ErrWrongPeer", err)
	}
	if len(a.m.Links())+len(c.m.Links()) != 0 {
		t.Error("a link came up")
	}
}

func TestUntrustedKeys(t *testing.T) {
	other, err := identity.Generate("bob")
	if err != nil {
		t.Fatal(err)
	}
	changed := identity.Person{Keys: []ed25519.PublicKey{other.Key()}, Linkable: true}
	for _, c := range []struct {
		name     string
		person   *identity.Person // what anna's book has of bob
		byDialer error            // when anna dials bob
	}{
		{"stranger", nil, ErrUnknownKey},
		{"changed key", &changed, ErrUnknownKey},
		{"blocked", &identity.Person{Linkable: true, Blocked: true}, ErrNotWanted},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := newNode(t, "anna"), newNode(t, "bob")
			b.knows(a)
			if c.person != nil {
				p := *c.person
				if p.Keys == nil {
					p.Keys = []ed25519.PublicKey{b.id.Key()}
				}
				a.book.Set("bob", p)
			}
			a.start()
			b.start()
			if err := a.m.dialAll(t.Context(), "bob", b.m.Endpoints()); !errors.Is(err, c.byDialer) {
				t.Errorf("anna's dial ended with %v, want %v", err, c.byDialer)
			}
			if err := b.m.dialAll(t.Context(), "anna", a.m.Endpoints()); !errors.Is(err, ErrRefused) {
				t.Errorf("bob's dial ended with %v, want ErrRefused", err)
			}
			if a.upCount()+b.upCount() != 0 {
				t.Error("a link came up")
			}
		})
	}
}

func TestPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	n := newNode(t, "anna", withListen(taken.Addr().String()))
	defer n.close()
	err = n.m.Listen(t.Context())
	if !errors.Is(err, ErrPortInUse) {
		t.Fatalf("got %v, want ErrPortInUse", err)
	}
	for _, part := range []string{taken.Addr().String(), "in use", "set another port"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if err := n.m.Serve(t.Context()); !errors.Is(err, ErrPortInUse) {
		t.Errorf("Serve: %v, want ErrPortInUse", err)
	}
	_ = taken.Close()
	if err := n.m.Listen(t.Context()); err != nil {
		t.Errorf("after the other program ended: %v", err)
	}
	if err := n.m.Close(); err != nil {
		t.Error(err)
	}
}

func TestListenErrors(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.99:0":     "does not have that address",
		"127.0.0.1":        "host:port",
		"127.0.0.1:999999": "host:port",
	} {
		n := newNode(t, "anna", withListen(address))
		if err := n.m.Listen(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("listen on %s: %v, want %q in it", address, err, want)
		}
		n.close()
	}
}

// TestHandshakeIsStrict: what is not TLS 1.3 with a device certificate and our
// protocol gets nowhere, and costs a bounded amount.
func TestHandshakeIsStrict(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bob")
	meet(a, b)
	a.m.timing.handshake = time.Hour // it is not for their time that they end
	a.start()
	defer b.close()
	ours := func() *tls.Config { return tlsConfig(b.id, anyKey, ProtocolLink) }
	for _, c := range []struct {
		name string
		with func(*tls.Config)
		ok   bool
	}{
		{"ours", func(*tls.Config) {}, true},
		{"no protocol", func(c *tls.Config) { c.NextProtos, c.VerifyConnection = nil, nil }, false},
		{"other protocol", func(c *tls.Config) { c.NextProtos = []string{"h2"} }, false},
		{"streams", func(c *tls.Config) { c.NextProtos = []string{ProtocolStream} }, false},
		{"no certificate", func(c *tls.Config) { c.Certificates = nil }, false},
		{"two certificates", func(c *tls.Config) {
			c.Certificates[0].Certificate = append(c.Certificates[0].Certificate, c.Certificates[0].Certificate[0])
		}, false},
		{"TLS 1.2", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := ours()
			c.with(config)
			conn, err := tls.Dial("tcp", address(a), config)
			if err != nil {
				if c.ok {
					t.Fatal(err)
				}
				return
			}
			defer func() { _ = conn.Close() }()
			hello, _ := packet.AppendFrame(nil, &packet.Hello{Version: packet.Version, User: b.user, Device: b.id.Device()})
			_, _ = conn.Write(hello)
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			_, err = packet.ReadFrame(conn, packet.MaxFrame)
			var timeout net.Error
			if (err == nil) != c.ok || errors.As(err, &timeout) && timeout.Timeout() {
				t.Errorf("answer: %v", err)
			}
		})
	}
}

func TestHandshakeBytesAreBounded(t *testing.T) {
	a := newNode(t, "anna")
	a.m.timing.handshake = time.Hour // it is not for its time that it is cut
	a.start()
	c, err := net.Dial("tcp", address(a))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	// A ClientHello of 60,000 bytes that never ends, in records of 16 KiB.
	body := binary.BigEndian.AppendUint32(nil, 1<<24|60000)
	body = append(body, make([]byte, 48<<10)...)
	for len(body) > 0 {
		n := min(len(body), 16<<10)
		record := append([]byte{22, 3, 1, byte(n >> 8), byte(n)}, body[:n]...)
		if _, err := c.Write(record); err != nil {
			break
		}
		body = body[n:]
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	_, err = io.Copy(io.Discard, c)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Error("the connection is still open")
	}
}

func TestSlowHandshakeIsCut(t *testing.T) {
	a := newNode(t, "anna")
	a.m.timing.handshake = 200 * time.Millisecond
	a.start()
	for _, first := range []string{"", "\x16", "\x16\x03\x01\x02\x00\x01"} {
		c, err := net.Dial("tcp", address(a))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, first)
		_ = c.SetReadDeadline(time.Now().Add(patience))
		var timeout net.Error
		if _, err := io.Copy(io.Discard, c); errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("after %q the connection is still open", first)
		}
		_ = c.Close()
	}
}

// TestFloodStarvesNobody: thousands of connections from one address that say
// nothing; meanwhile a contact at another one gets its link.
func TestFloodStarvesNobody(t *testing.T) {
	a, b := newNode(t, "anna"), newNode(t, "bob")
	meet(a, b)
	a.start()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}, Timeout: time.Second}
	var held []net.Conn
	defer func() {
		for _, c := range held {
			_ = c.Close()
		}
	}()
	for range 3000 {
		c, err := dialer.Dial("tcp", address(a))
		if err != nil {
			continue
		}
		if len(held) < 100 {
			held = append(held, c)
		} else {
			_ = c.Close()
		}
	}
	if active := a.m.gate.Active(); active > a.m.config.Limits.HandshakesPerIP {
		t.Errorf("%d handshakes with one address", active)
	}
	b.start()
	b.sees(a)
	linked(t, a, b)
}

// TestHangingPeerOverTCP: a peer that reads nothing is dropped, by its own fault
// alone.
func TestHangingPeerOverTCP(t *testing.T) {
	a, b, c := newNode(t, "anna"), newNode(t, "bob"), newNode(t, "carla")
	meet(a, b)
	meet(a, c)
	a.m.timing.write = 2 * time.Second // which those who read need not fear on a busy machine
	a.start()
	c.start()
	defer b.close()
	c.sees(a)
	linked(t, a, c)
	// bob shakes hands and then stops reading.
	conn, err := tls.Dial("tcp", address(a), tlsConfig(b.id, anyKey, ProtocolLink))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	hello, _ := packet.AppendFrame(nil, &packet.Hello{Version: packet.Version, User: b.user, Device: b.id.Device()})
	if _, err := conn.Write(hello); err != nil {
		t.Fatal(err)
	}
	var hanging LinkStatus
	eventually(t, "bob's link is up", func() (ok bool) { hanging, ok = a.link(b); return ok })
	ended := make(chan error, 1)
	go func() {
		content := strings.Repeat("x", 100_000)
		for {
			if err := a.m.Send(context.Background(), hanging.ID, a.text(b, content)); err != nil {
				ended <- err
				return
			}
		}
	}()
	for i := 0; ; i++ {
		select {
		case err := <-ended:
			if !errors.Is(err, ErrLinkGone) {
				t.Errorf("Send ended with %v, want ErrLinkGone", err)
			}
			eventually(t, "carla got everything", func() bool { return c.received() == i })
			return
		default:
		}
		if err := a.send(c, "hello"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
