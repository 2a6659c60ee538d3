package conn

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/protocol/packet"
)

// streamPair is a linked pair whose nodes take streams.
type streamPair struct {
	a, b   *node
	got    chan Conn // that b took
	gotByA chan Conn
	net    *fakeNet
}

// inStreamBubble runs f with a pair; aDials says who dials the link.
func inStreamBubble(t *testing.T, aDials bool, f func(t *testing.T, p *streamPair)) {
	t.Helper()
	smaller, larger := identities(t)
	synctest.Test(t, func(t *testing.T) {
		p := &streamPair{net: newFakeNet(), got: make(chan Conn, 100), gotByA: make(chan Conn, 100)}
		take := func(ch chan Conn) nodeOption {
			return func(c *Config) { c.AcceptStream = func(_ bus.Link, s Conn) { ch <- s } }
		}
		p.a = newNodeOf(t, smaller, withFake(p.net, "10.0.0.1"), take(p.gotByA))
		p.b = newNodeOf(t, larger, withFake(p.net, "10.0.0.2"), take(p.got))
		defer p.a.close()
		defer p.b.close()
		meet(p.a, p.b)
		p.a.start()
		p.b.start()
		if aDials {
			p.a.sees(p.b)
		} else {
			p.b.sees(p.a)
		}
		linked(t, p.a, p.b)
		f(t, p)
	})
}

func (p *streamPair) open(t *testing.T) (mine, its Conn) {
	t.Helper()
	l, _ := p.a.link(p.b)
	mine, err := p.a.m.OpenStream(t.Context(), l.ID)
	if err != nil {
		t.Fatal(err)
	}
	return mine, <-p.got
}

// says checks that what one end writes comes out of the other.
func says(t *testing.T, from, to Conn) {
	t.Helper()
	want := make([]byte, 100)
	_, _ = rand.Read(want)
	if _, err := from.Write(want); err != nil {
		t.Fatal(err)
	}
	if err := Flush(from); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(to, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("came out as %x, %v", got, err)
	}
}

func TestStreams(t *testing.T) {
	for name, aDials := range map[string]bool{"by who dialed": true, "by who was dialed": false} {
		t.Run(name, func(t *testing.T) {
			inStreamBubble(t, aDials, func(t *testing.T, p *streamPair) {
				mine, its := p.open(t)
				says(t, mine, its)
				says(t, its, mine)
				// It outlives the link.
				p.a.m.Disconnect(p.b.user, packet.ByeShutdown, "")
				synctest.Wait()
				says(t, mine, its)
				_ = mine.Close()
				if _, err := its.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
					t.Errorf("after its end: %v", err)
				}
				_ = its.Close()
			})
		})
	}
}

// TestStreamsEndWithTrust: who may have no link may have no stream.
func TestStreamsEndWithTrust(t *testing.T) {
	inStreamBubble(t, true, func(t *testing.T, p *streamPair) {
		mine, its := p.open(t)
		defer func() { _ = its.Close() }()
		p.a.book.Set(p.b.user, identity.Person{})
		bus.Publish(p.a.bus, bus.ContactChanged, bus.ContactChange{User: p.b.user})
		synctest.Wait()
		if _, err := mine.Read(make([]byte, 1)); err == nil {
			t.Error("a stream with somebody who is no contact any more goes on")
		}
		if n := with(p.a, func() int { return len(p.a.m.streams.open) }); n != 0 {
			t.Errorf("%d streams are counted", n)
		}
	})
}

func TestStreamsAreBounded(t *testing.T) {
	for _, aDials := range []bool{true, false} {
		inStreamBubble(t, aDials, func(t *testing.T, p *streamPair) {
			l, _ := p.a.link(p.b)
			var open []Conn
			for range maxStreams {
				mine, its := p.open(t)
				open = append(open, mine, its)
			}
			if _, err := p.a.m.OpenStream(t.Context(), l.ID); !errors.Is(err, ErrTooManyStreams) {
				t.Errorf("one too many: %v", err)
			}
			for _, s := range open {
				_ = s.Close()
			}
			mine, its := p.open(t)
			_, _ = mine.Close(), its.Close()
		})
	}
}

// TestUnannouncedStreams: a stream is nobody's unless it was announced, and
// costs nothing for long.
func TestUnannouncedStreams(t *testing.T) {
	for name, first := range map[string]packet.StreamFrame{
		"another token": &packet.StreamOpen{Token: packet.Token{1}},
		"no open":       &packet.BlobCancel{},
		"nothing":       nil,
	} {
		t.Run(name, func(t *testing.T) {
			inStreamBubble(t, true, func(t *testing.T, p *streamPair) {
				c, err := p.net.transport("10.0.0.1", p.a.id).Dial(t.Context(), Target{
					Endpoint: p.b.m.Endpoints()[0], Protocol: ProtocolStream, Verify: anyKey,
				})
				if err != nil {
					t.Fatal(err)
				}
				if first != nil {
					b, err := packet.AppendStreamFrame(nil, first)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := c.Write(b); err != nil {
						t.Fatal(err)
					}
				}
				_ = c.SetReadDeadline(time.Now().Add(time.Minute))
				if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
					t.Errorf("the stream goes on: %v", err)
				}
				if len(p.got) != 0 {
					t.Error("the stream was taken")
				}
				_ = c.Close()
			})
		})
	}
}

// TestAnnouncementComesLater: the stream's connection may be faster than what
// announces it on the link.
func TestAnnouncementComesLater(t *testing.T) {
	inStreamBubble(t, true, func(t *testing.T, p *streamPair) {
		token := packet.Token{1, 2, 3}
		c, err := p.net.transport("10.0.0.1", p.a.id).Dial(t.Context(), Target{
			Endpoint: p.b.m.Endpoints()[0], Protocol: ProtocolStream, Verify: anyKey,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		b, err := packet.AppendStreamFrame(nil, &packet.StreamOpen{Token: token})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		p.a.m.mu.Lock()
		for _, l := range p.a.m.links {
			if err := l.enqueue(context.Background(), &packet.Stream{Token: token}); err != nil {
				t.Error(err)
			}
		}
		p.a.m.mu.Unlock()
		its := <-p.got
		says(t, c, its)
		_ = its.Close()
	})
}

// TestStreamThatNobodyDials: a peer that does not dial as asked.
func TestStreamThatNobodyDials(t *testing.T) {
	inStreamBubble(t, false, func(t *testing.T, p *streamPair) {
		p.net.hang(p.a.m.listener.Addr())
		l, _ := p.a.link(p.b)
		if _, err := p.a.m.OpenStream(t.Context(), l.ID); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("opened: %v", err)
		}
		if len(p.a.m.streams.expected) != 0 {
			t.Error("it is still expected")
		}
		if _, err := p.a.m.OpenStream(t.Context(), 12345); !errors.Is(err, ErrLinkGone) {
			t.Errorf("on a link that is not there: %v", err)
		}
	})
}

// TestManyStreamsToBeDialed: a peer that asks for streams without end, and answers
// none, does not have more dialed than it may have.
func TestManyStreamsToBeDialed(t *testing.T) {
	inStreamBubble(t, false, func(t *testing.T, p *streamPair) {
		p.net.hang(p.a.m.listener.Addr())
		dialed := func() int { p.net.mu.Lock(); defer p.net.mu.Unlock(); return len(p.net.dialed) }
		before := dialed()
		info, _ := p.a.link(p.b)
		p.a.m.mu.Lock()
		l := p.a.m.links[info.ID]
		p.a.m.mu.Unlock()
		for i := range 10 * maxStreams {
			if err := l.enqueue(t.Context(), &packet.Stream{Token: packet.Token{1, byte(i)}, Dial: true}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(streamPatience / 2)
		if n := dialed() - before; n != maxStreams {
			t.Errorf("%d streams are being dialed, not %d", n, maxStreams)
		}
		time.Sleep(streamPatience)
		p.b.m.mu.Lock()
		left := p.b.m.streams.dialing[p.a.id.Device()]
		p.b.m.mu.Unlock()
		if left != 0 {
			t.Errorf("%d streams count as being dialed that are not", left)
		}
	})
}

// TestStreamOverTCP goes through TLS and the buffers of the real transport.
func TestStreamOverTCP(t *testing.T) {
	got := make(chan Conn, 1)
	a := newNode(t, "anna", func(c *Config) { c.AcceptStream = func(bus.Link, Conn) {} })
	b := newNode(t, "bob", func(c *Config) { c.AcceptStream = func(_ bus.Link, s Conn) { got <- s } })
	meet(a, b)
	a.start()
	b.start()
	a.sees(b)
	l, _ := linked(t, a, b)
	mine, err := a.m.OpenStream(t.Context(), l.ID)
	if err != nil {
		t.Fatal(err)
	}
	its := <-got
	says(t, its, mine)
	want := make([]byte, 5<<20+3)
	_, _ = rand.Read(want)
	failed := make(chan error, 1)
	go func() {
		_, err := mine.Write(want)
		failed <- errors.Join(err, mine.CloseWrite())
	}()
	data, err := io.ReadAll(its)
	if err != nil || !bytes.Equal(data, want) {
		t.Errorf("%d bytes came, %v", len(data), err)
	}
	if err := <-failed; err != nil {
		t.Error(err)
	}
	says(t, its, mine) // the other direction is still open
	_, _ = mine.Close(), its.Close()
}
