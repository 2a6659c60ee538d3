package conn

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/protocol/packet"
)

// evil is somebody who has larger's key and does not keep to the protocol.
type evil struct {
	t  *testing.T
	s  *session
	id *identity.Identity
}

// visit connects to n as id does.
func visit(t *testing.T, net *fakeNet, n *node, id *identity.Identity) *evil {
	t.Helper()
	c, err := net.transport("10.0.0.66", id).Dial(t.Context(), Target{
		User: n.user, Endpoint: n.m.Endpoints()[0], Protocol: ProtocolLink, Verify: anyKey,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &evil{t, newSession(c), id}
}

func (e *evil) frames(frames ...packet.Frame) *evil {
	e.t.Helper()
	for _, f := range frames {
		b, err := packet.AppendFrame(nil, f)
		if err != nil {
			e.t.Fatal(err)
		}
		e.bytes(b)
	}
	return e
}

func (e *evil) bytes(b []byte) *evil {
	e.t.Helper()
	if _, err := e.s.Write(b); err != nil {
		e.t.Logf("cut off: %v", err) // what the other side did is checked elsewhere
	}
	return e
}

func (e *evil) hello() *packet.Hello {
	return &packet.Hello{Version: packet.Version, User: e.id.User(), Device: e.id.Device()}
}

// until reads until a Bye or the end of the connection.
func (e *evil) until() *packet.Bye {
	_ = e.s.SetReadDeadline(time.Now().Add(time.Minute))
	for {
		f, _, err := e.s.in.next(packet.MaxFrame)
		if err != nil {
			return nil
		}
		if bye, ok := f.(*packet.Bye); ok {
			return bye
		}
	}
}

func giantFrame() []byte { return binary.BigEndian.AppendUint32(nil, packet.MaxFrame+1) }

func TestBrokenProtocol(t *testing.T) {
	smaller, larger := identities(t)
	hello := func(e *evil) *evil { return e.frames(e.hello()) }
	for _, c := range []struct {
		name   string
		act    func(e *evil)
		reason packet.ByeReason
		up     bool // a link came up before
	}{
		{"garbage first", func(e *evil) { e.bytes(bytes.Repeat([]byte{0, 0, 0, 3, 0xff, 0xff, 0xff}, 2)) }, packet.ByeProtocol, false},
		{"http first", func(e *evil) { e.bytes([]byte("GET / HTTP/1.1\r\n\r\n")) }, packet.ByeProtocol, false},
		{"ping first", func(e *evil) { e.frames(&packet.Ping{}) }, packet.ByeProtocol, false},
		{"unknown frame first", func(e *evil) { e.bytes([]byte{0, 0, 0, 0}) }, packet.ByeProtocol, false},
		{"hello too long", func(e *evil) { e.bytes(binary.BigEndian.AppendUint32(nil, packet.MaxHello+1)) }, packet.ByeProtocol, false},
		{"other user", func(e *evil) { h := e.hello(); h.User = "mallory"; e.frames(h) }, packet.ByeProtocol, false},
		{"other device", func(e *evil) { h := e.hello(); h.Device[3]++; e.frames(h) }, packet.ByeProtocol, false},
		{"other version", func(e *evil) { h := e.hello(); h.Version = 7; e.frames(h) }, packet.ByeVersion, false},
		{"garbage later", func(e *evil) { hello(e).bytes([]byte{0, 0, 0, 3, 0xff, 0xff, 0xff}) }, packet.ByeProtocol, true},
		{"giant frame", func(e *evil) { hello(e).bytes(giantFrame()) }, packet.ByeProtocol, true},
		{"second hello", func(e *evil) { hello(e).frames(e.hello()) }, packet.ByeProtocol, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, smaller, larger, nil)
				defer p.close()
				e := visit(t, p.net, p.a, larger)
				c.act(e)
				bye := e.until()
				if bye == nil || bye.Reason != c.reason || bye.Text == "" {
					t.Fatalf("got %+v, want a Bye of reason %d with a sentence", bye, c.reason)
				}
				_ = e.s.Close()
				time.Sleep(5 * time.Second)
				if (p.a.upCount() == 1) != c.up || len(p.a.m.Links()) != 0 {
					t.Errorf("%d links went up, %d are", p.a.upCount(), len(p.a.m.Links()))
				}
				p.a.inOrder(t)
				if c.reason != packet.ByeProtocol {
					if n := with(p.a, func() int { return len(p.a.notices) }); n != 1 {
						t.Errorf("%d notices, want one that names the versions", n)
					}
					return
				}
				// It gets no other link for a while, from neither side.
				e = visit(t, p.net, p.a, larger)
				e.frames(e.hello())
				if bye := e.until(); bye == nil || bye.Reason != packet.ByeProtocol {
					t.Errorf("a second try got %+v, want Bye(ByeProtocol)", bye)
				}
				_ = e.s.Close()
				p.a.sees(p.b)
				p.a.m.Wake()
				time.Sleep(5 * time.Second)
				if len(p.a.m.Links()) != 0 {
					t.Error("it was dialed during its penalty")
				}
				time.Sleep(time.Minute)
				p.same(t)
			})
		})
	}
}

func TestBlockedAndUnknownAreRefusedInHandshake(t *testing.T) {
	smaller, larger := identities(t)
	for _, c := range []struct {
		name   string
		person *identity.Person
	}{
		{"unknown", nil},
		{"blocked", &identity.Person{Linkable: true, Blocked: true}},
		{"not linkable", &identity.Person{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, smaller, larger, nil)
				defer p.close()
				p.a.book.Remove(larger.User())
				if c.person != nil {
					c.person.Keys = append(c.person.Keys, larger.Key())
					p.a.book.Set(larger.User(), *c.person)
				}
				e := visit(t, p.net, p.a, larger)
				e.frames(e.hello())
				if f, _, err := e.s.in.next(packet.MaxFrame); err == nil {
					t.Errorf("got a %T", f)
				}
				if p.a.upCount() != 0 {
					t.Error("a link went up")
				}
			})
		})
	}
}

// TestSilentAfterHandshake: who proves a key and then says nothing is let go.
func TestSilentAfterHandshake(t *testing.T) {
	smaller, larger := identities(t)
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, smaller, larger, nil)
		defer p.close()
		e := visit(t, p.net, p.a, larger)
		e.bytes([]byte{0, 0}) // half a length
		began := time.Now()
		_, _, err := e.s.in.next(packet.MaxFrame)
		if took := time.Since(began); err == nil || took != defaultTiming().handshake {
			t.Errorf("ended after %s with %v", took, err)
		}
		synctest.Wait()
		if active := p.a.m.gate.Active(); active != 0 {
			t.Errorf("%d handshakes are counted", active)
		}
	})
}

// TestPingFlood: somebody who pings all the time and reads nothing costs a
// bounded amount.
func TestPingFlood(t *testing.T) {
	smaller, larger := identities(t)
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, smaller, larger, nil)
		defer p.close()
		e := visit(t, p.net, p.a, larger)
		e.frames(e.hello())
		ping, _ := packet.AppendFrame(nil, &packet.Ping{Nonce: 1 << 60})
		flood := bytes.Repeat(ping, 100)
		_ = e.s.SetWriteDeadline(time.Now().Add(time.Hour))
		for range 1000 {
			if _, err := e.s.Write(flood); err != nil {
				break
			}
		}
		time.Sleep(time.Minute)
		if len(p.a.m.Links()) != 0 {
			t.Error("the link with somebody who reads nothing is still up")
		}
	})
}

// TestAcceptorThatMisbehaves: whoever answers a dial is held to the protocol too.
func TestAcceptorThatMisbehaves(t *testing.T) {
	smaller, larger := identities(t)
	for _, c := range []struct {
		name   string
		answer func(s *session)
		tries  int32 // in a minute, at most
	}{
		{"silence", func(*session) {}, 6},
		{"end", func(s *session) { _ = s.Close() }, 12},
		{"garbage", func(s *session) { _, _ = s.Write(giantFrame()) }, 4},
		{"refused", func(s *session) { sendFrame(s, &packet.Bye{Reason: packet.ByeRefused}) }, 12},
		{"other version", func(s *session) { sendFrame(s, &packet.Bye{Reason: packet.ByeVersion, Text: "new"}) }, 1},
		{"hello of other version", func(s *session) {
			sendFrame(s, &packet.Hello{Version: 2, User: larger.User(), Device: larger.Device()})
		}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, smaller, larger, nil)
				defer p.close()
				l, err := p.net.transport("10.0.0.3", larger).Listen(t.Context(), ":0")
				if err != nil {
					t.Fatal(err)
				}
				var tries atomic.Int32
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go func() {
					<-ctx.Done()
					_ = l.Close()
				}()
				go func() {
					for {
						in, err := l.Accept()
						if err != nil {
							return
						}
						tries.Add(1)
						conn, err := in.Handshake(ctx, anyKey)
						if err != nil {
							continue
						}
						c.answer(newSession(conn))
					}
				}()
				p.a.seesAt(p.b, endpointOf(l.Addr()))
				time.Sleep(time.Minute)
				if p.a.upCount() != 0 {
					t.Error("a link went up")
				}
				version := strings.Contains(c.name, "version")
				if got := p.a.m.Mismatched(p.b.user); got != version {
					t.Errorf("mismatched: %v", got)
				}
				if n := tries.Load(); n < 1 || n > c.tries {
					t.Errorf("%d tries in a minute, want 1 to %d", n, c.tries)
				}
				// The real peer, elsewhere, is found when presence says so.
				if c.name != "garbage" {
					p.a.sees(p.b)
					time.Sleep(time.Second)
					p.same1(t)
					if p.a.m.Mismatched(p.b.user) {
						t.Error("called mismatched although there is a link")
					}
				}
			})
		})
	}
}

// same1 is same without counting what fake peers leave open.
func (p *pair) same1(t *testing.T) {
	t.Helper()
	if oneConn(t, p.a).other != oneConn(t, p.b) {
		t.Error("settled on different connections")
	}
}

func sendFrame(s *session, f packet.Frame) {
	b, err := packet.AppendFrame(nil, f)
	if err == nil {
		_, err = s.Write(b)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		panic(err)
	}
}

func anyKey(ed25519.PublicKey) error { return nil }
