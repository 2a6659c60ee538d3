package conn

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/protocol/packet"
)

// linkedPair is a pair with its link.
func linkedPair(t *testing.T, smaller, larger *identity.Identity, delay func() time.Duration) *pair {
	p := newPair(t, smaller, larger, delay)
	p.a.sees(p.b)
	p.b.sees(p.a)
	time.Sleep(time.Second)
	p.same(t)
	return p
}

// inBubble runs f with a linked pair.
func inBubble(t *testing.T, f func(t *testing.T, p *pair)) {
	t.Helper()
	smaller, larger := identities(t)
	synctest.Test(t, func(t *testing.T) {
		p := linkedPair(t, smaller, larger, nil)
		defer p.close()
		f(t, p)
	})
}

func TestIdleLinkStaysAndMeasures(t *testing.T) {
	smaller, larger := identities(t)
	synctest.Test(t, func(t *testing.T) {
		p := linkedPair(t, smaller, larger, func() time.Duration { return 30 * time.Millisecond })
		defer p.close()
		for _, l := range append(p.a.m.Links(), p.b.m.Links()...) {
			if l.RoundTrip == 0 {
				t.Errorf("no round trip to %s is known after a second", l.User)
			}
		}
		time.Sleep(3 * time.Hour)
		if a, b := p.a.upCount(), p.b.upCount(); a != 1 || b != 1 {
			t.Errorf("%d and %d links went up in three idle hours, want one each", a, b)
		}
		for _, l := range append(p.a.m.Links(), p.b.m.Links()...) {
			if l.RoundTrip != 60*time.Millisecond {
				t.Errorf("round trip of %s is %s, want 60ms", l.User, l.RoundTrip)
			}
		}
	})
}

func TestDeadPeerIsNoticed(t *testing.T) {
	for _, quiet := range []time.Duration{0, 5 * time.Second, 9 * time.Second, 13 * time.Second} {
		t.Run(quiet.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *pair) {
				time.Sleep(quiet)
				oneConn(t, p.a).freeze()
				p.net.hang(p.a.m.listener.Addr(), p.b.m.listener.Addr())
				time.Sleep(30 * time.Second)
				if n := len(p.a.m.Links()) + len(p.b.m.Links()); n != 0 {
					t.Errorf("%d links are up 30 s after the other host died", n)
				}
			})
		})
	}
}

func TestReconnectsAfterCut(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		time.Sleep(time.Minute)
		for i := range 5 {
			_ = oneConn(t, p.a).Close()
			time.Sleep(time.Second)
			p.same(t)
			if n := p.a.upCount(); n != i+2 {
				t.Fatalf("%d links went up after %d cuts", n, i+1)
			}
			time.Sleep(time.Minute)
		}
		p.a.inOrder(t)
	})
}

func TestCutsInARowSlowDown(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		for range 600 { // a link that dies at once, for ten minutes
			time.Sleep(time.Second)
			for _, c := range p.net.open() {
				_ = c.Close()
			}
		}
		if n := p.a.upCount(); n < 20 || n > 120 {
			t.Errorf("%d links in ten minutes of links that die at once", n)
		}
	})
}

func TestNetworkChange(t *testing.T) {
	for _, dead := range []bool{false, true} {
		t.Run(fmt.Sprintf("dead %v", dead), func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *pair) {
				old := oneConn(t, p.a)
				if dead {
					old.freeze()
				}
				host := p.a.m.config.Network.(*fakeHost)
				host.set("10.0.0.1/24", "192.168.7.1/24")
				for range 20 {
					host.change <- struct{}{}
				}
				time.Sleep(7 * time.Second)
				if got := oneConn(t, p.a); (got != old) != dead {
					t.Errorf("link was replaced: %v, want %v", got != old, dead)
				}
				if n := with(p.a, func() int { return len(p.a.moved) }); n != 1 {
					t.Errorf("told of own endpoints %d times; they are the listener's and did not change after the first", n)
				}
			})
		})
	}
}

func TestUnreachablePeerIsTriedLessAndLess(t *testing.T) {
	smaller, larger := identities(t)
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, smaller, larger, nil)
		defer p.close()
		nobody := bus.Endpoint{Host: "10.0.0.9", Port: 1234}
		tries := func(during time.Duration) int {
			p.net.mu.Lock()
			before := len(p.net.dialed)
			p.net.mu.Unlock()
			time.Sleep(during)
			p.net.mu.Lock()
			defer p.net.mu.Unlock()
			return len(p.net.dialed) - before
		}
		p.a.seesAt(p.b, nobody)
		if n := tries(10 * time.Second); n < 5 || n > 8 {
			t.Errorf("%d tries in the first 10 s", n)
		}
		time.Sleep(5 * time.Minute)
		if n := tries(10 * time.Minute); n < 19 || n > 41 {
			t.Errorf("%d tries in 10 min of backoff", n)
		}
		p.a.seesAt(p.b, nobody)
		if n := tries(time.Second); n < 2 {
			t.Errorf("%d tries in the second after presence changed", n)
		}
		// A contact whose presence flickers gets no more than a few at once.
		go func() {
			for range 100 {
				p.a.seesAt(p.b, nobody)
				time.Sleep(10 * time.Millisecond)
			}
		}()
		if n := tries(10 * time.Second); n > 15 {
			t.Errorf("%d tries while presence flickers", n)
		}
		p.a.m.Wake()
		if n := tries(100 * time.Millisecond); n == 0 {
			t.Error("no try at once after waking")
		}
		bus.Publish(p.a.bus, bus.PresenceChanged, bus.Presence{User: p.b.user})
		if n := tries(10 * time.Minute); n > 1 {
			t.Errorf("%d tries of somebody who is offline", n)
		}
	})
}

// TestFlickeringEndpoints: a contact cannot have this device dial about by
// naming other endpoints all the time.
func TestFlickeringEndpoints(t *testing.T) {
	smaller, larger := identities(t)
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, smaller, larger, nil)
		defer p.close()
		for i := range 1000 {
			e := bus.Endpoint{Host: fmt.Sprintf("10.0.9.%d", i%200+1), Port: uint16(i + 1)}
			a, _ := addrPort(e)
			p.net.hang(a)
			p.a.seesAt(p.b, e)
			time.Sleep(10 * time.Millisecond)
		}
		p.net.mu.Lock()
		n := len(p.net.dialed)
		p.net.mu.Unlock()
		if n > 20 {
			t.Errorf("%d dials in 10 s", n)
		}
		time.Sleep(15 * time.Second)
		p.a.sees(p.b) // the truth in the end
		time.Sleep(time.Second)
		p.same(t)
	})
}

func TestDeadEndpointsDoNotDelay(t *testing.T) {
	smaller, larger := identities(t)
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, smaller, larger, nil)
		defer p.close()
		dead := []bus.Endpoint{{Host: "10.0.0.8", Port: 1}, {Host: "fd00::8", Port: 1}, {Host: "2001:db8::8", Port: 1}}
		for _, e := range dead {
			a, _ := addrPort(e)
			p.net.hang(a)
		}
		p.a.seesAt(p.b, append(dead, p.b.m.Endpoints()...)...)
		time.Sleep(defaultTiming().headStart + time.Millisecond)
		p.same(t)
	})
}

func TestSlowCorePushesBack(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		with(p.a, func() int { p.a.keep = true; return 0 })
		content := string(make([]byte, 1000))
		sent := 0
		for {
			l, _ := p.b.link(p.a)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := p.b.m.Send(ctx, l.ID, p.b.text(p.a, fmt.Sprint(sent, content)))
			cancel()
			if errors.Is(err, context.DeadlineExceeded) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if sent++; sent > 2000 {
				t.Fatal("nothing held the sender back")
			}
		}
		if n := p.a.received(); n != 256 {
			t.Errorf("%d frames reached a core that releases none, want 256", n)
		}
		release := func() int {
			return with(p.a, func() int {
				for _, r := range p.a.packets {
					r.Release()
					r.Release() // a second time is no second credit
				}
				return len(p.a.packets)
			})
		}
		for n := 256; n < sent; {
			release()
			synctest.Wait()
			if got := p.a.received(); got > n+256 {
				t.Fatalf("%d frames came for 256 credits", got-n)
			} else if got == n {
				t.Fatalf("stuck at %d of %d", got, sent)
			} else {
				n = got
			}
		}
		for i, r := range p.a.packets {
			if want := fmt.Sprint(i, content); string(r.Packet.Content) != want {
				t.Fatalf("frame %d is out of order", i)
			}
		}
		if n := p.a.upCount(); n != 1 {
			t.Errorf("%d links went up", n)
		}
	})
}

// TestPausedReaderKeepsTheLink: a core that takes nothing for long, while the
// peer has nothing more to say, loses nothing.
func TestPausedReaderKeepsTheLink(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		with(p.a, func() int { p.a.keep = true; return 0 })
		for range 260 {
			if err := p.b.send(p.a, "x"); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(20 * time.Minute)
		p.a.m.Wake() // the probe must not blame the peer either
		time.Sleep(20 * time.Minute)
		with(p.a, func() int {
			for _, r := range p.a.packets {
				r.Release()
			}
			return 0
		})
		time.Sleep(time.Minute)
		if n := p.a.received(); n != 260 || p.a.upCount() != 1 || p.b.upCount() != 1 {
			t.Errorf("got %d of 260 frames over %d and %d links", n, p.a.upCount(), p.b.upCount())
		}
	})
}

func TestHangingPeerHoldsUpNobody(t *testing.T) {
	smaller, larger := identities(t)
	synctest.Test(t, func(t *testing.T) {
		p := linkedPair(t, smaller, larger, nil)
		defer p.close()
		third := newNode(t, "carla", withFake(p.net, "10.0.0.3"))
		meet(p.a, third)
		third.start()
		defer third.close()
		p.a.sees(third)
		time.Sleep(time.Second)

		// b's host reads nothing any more, without being dead: its pings come.
		hanging := oneLinkOf(t, p.a, p.b)
		hanging.s.Conn.(*fakeConn).out.freeze()
		ended := make(chan error, 1)
		go func() {
			for {
				if err := p.a.m.Send(t.Context(), hanging.info.ID, p.a.text(p.b, string(make([]byte, 10000)))); err != nil {
					ended <- err
					return
				}
			}
		}()
		synctest.Wait()
		for i := range 100 {
			if err := p.a.send(third, "hello"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // no time passes
			if n := third.received(); n != i+1 {
				t.Fatalf("third got %d of %d", n, i+1)
			}
		}
		time.Sleep(30 * time.Second)
		select {
		case err := <-ended:
			if !errors.Is(err, ErrLinkGone) {
				t.Errorf("Send ended with %v, want ErrLinkGone", err)
			}
		default:
			t.Error("after 30 s the hanging link is still there")
		}
	})
}

func oneLinkOf(t *testing.T, n, o *node) *link {
	t.Helper()
	status, ok := n.link(o)
	if !ok {
		t.Fatalf("%s has no link with %s", n.user, o.user)
	}
	n.m.mu.Lock()
	defer n.m.mu.Unlock()
	return n.m.links[status.ID]
}

func TestShutdownSaysGoodBye(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		cause := context.Cause
		l := oneLinkOf(t, p.b, p.a)
		p.a.close()
		time.Sleep(time.Second)
		var bye *byeError
		if err := cause(l.ctx); !errors.As(err, &bye) || bye.bye.Reason != packet.ByeShutdown {
			t.Errorf("b's link ended with %v, want Bye(ByeShutdown)", err)
		}
		if len(p.a.m.Links()) != 0 || len(p.a.m.Endpoints()) != 0 {
			t.Error("something is left after Serve")
		}
		if err := p.a.m.Send(t.Context(), 1, p.a.text(p.b, "x")); !errors.Is(err, ErrLinkGone) {
			t.Errorf("Send after the end: %v, want ErrLinkGone", err)
		}
		p.a.inOrder(t)
		p.b.inOrder(t)
	})
}

func TestServeAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		before := p.a.m.Endpoints()
		p.a.halt()
		p.a.start()
		if after := p.a.m.Endpoints(); !slices.Equal(before, after) {
			t.Errorf("listens at %v after a restart, before at %v", after, before)
		}
		time.Sleep(5 * time.Second)
		p.same(t)
	})
}

func TestServeTwiceAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		if err := p.a.m.Serve(t.Context()); !errors.Is(err, ErrServing) {
			t.Errorf("second Serve: %v, want ErrServing", err)
		}
		p.same(t)
	})
}

func TestBookChanges(t *testing.T) {
	stranger, err := identity.Generate("zoe")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(a, b *node)
	}{
		{"removed", func(a, b *node) { a.book.Remove(b.user) }},
		{"blocked", func(a, b *node) {
			p := a.book.Person(b.user)
			p.Blocked = true
			a.book.Set(b.user, p)
		}},
		{"not linkable", func(a, b *node) {
			p := a.book.Person(b.user)
			p.Linkable = false
			a.book.Set(b.user, p)
		}},
		{"other key", func(a, b *node) {
			p := a.book.Person(b.user)
			p.Keys = []ed25519.PublicKey{stranger.Key()}
			a.book.Set(b.user, p)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *pair) {
				was := p.a.book.Person(p.b.user)
				was.Keys = slices.Clone(was.Keys)
				c.change(p.a, p.b)
				bus.Publish(p.a.bus, bus.ContactChanged, bus.ContactChange{User: p.b.user})
				time.Sleep(time.Minute)
				if n := len(p.a.m.Links()) + len(p.b.m.Links()); n != 0 {
					t.Errorf("%d links are left", n)
				}
				p.a.book.Set(p.b.user, was)
				bus.Publish(p.a.bus, bus.ContactChanged, bus.ContactChange{User: p.b.user})
				time.Sleep(time.Second)
				p.same(t)
			})
		})
	}
}

func TestDisconnect(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		l := oneLinkOf(t, p.b, p.a)
		p.a.m.Disconnect(p.b.user, packet.ByeRefused, "that's it")
		synctest.Wait()
		var bye *byeError
		if err := context.Cause(l.ctx); !errors.As(err, &bye) || bye.bye != (packet.Bye{Reason: packet.ByeRefused, Text: "that's it"}) {
			t.Errorf("b's link ended with %v", err)
		}
		time.Sleep(time.Minute) // the book still wants links
		p.same(t)
	})
}

func TestSendChecksFrames(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		l, _ := p.a.link(p.b)
		for _, f := range []packet.Frame{nil, &packet.Hello{}, &packet.Ping{}, &packet.Pong{}, &packet.Bye{}} {
			if err := p.a.m.Send(t.Context(), l.ID, f); !errors.Is(err, ErrNotAFrame) {
				t.Errorf("Send(%T): %v, want ErrNotAFrame", f, err)
			}
		}
		if err := p.a.m.Send(t.Context(), l.ID+100, &packet.Vectors{}); !errors.Is(err, ErrLinkGone) {
			t.Errorf("Send on no link: %v, want ErrLinkGone", err)
		}
		if err := p.a.m.Send(t.Context(), l.ID, &packet.Vectors{Complete: true}); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := with(p.b, func() int { return len(p.b.syncs) }); n != 1 {
			t.Errorf("b got %d sync frames, want 1", n)
		}
	})
}

// TestTwoDevices: a user with two devices is linked with both.
func TestTwoDevices(t *testing.T) {
	smaller, larger := identities(t)
	second, err := identity.Generate(larger.User())
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, smaller, larger, nil)
		defer p.close()
		b2 := newNodeOf(t, second, withFake(p.net, "10.0.0.4"))
		b2.knows(p.a)
		b2.start()
		defer b2.close()
		keys := []ed25519.PublicKey{larger.Key(), second.Key()}
		p.a.book.Set(p.b.user, identity.Person{Keys: keys, Linkable: true})
		presence := bus.Presence{User: p.b.user, Online: true, Keys: keys, Endpoints: append(p.b.m.Endpoints(), b2.m.Endpoints()...)}
		p.a.mu.Lock()
		p.a.presence[p.b.user] = presence
		p.a.mu.Unlock()
		bus.Publish(p.a.bus, bus.PresenceChanged, presence)
		time.Sleep(5 * time.Second)
		if n := len(p.a.m.Links()); n != 2 {
			t.Fatalf("%d links with a user of two devices", n)
		}
		dials := func() int { p.net.mu.Lock(); defer p.net.mu.Unlock(); return len(p.net.dialed) }
		before := dials()
		time.Sleep(10 * time.Minute)
		if n := dials() - before; n != 0 {
			t.Errorf("%d dials though both are linked", n)
		}
	})
}

func TestLaggedEventsAreMadeUp(t *testing.T) {
	smaller, larger := identities(t)
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, smaller, larger, nil)
		defer p.close()
		for i := range 2 * eventQueue {
			bus.Publish(p.a.bus, bus.ContactChanged, bus.ContactChange{User: packet.UserID(fmt.Sprint("u", i))})
		}
		p.a.mu.Lock()
		p.a.presence[p.b.user] = bus.Presence{User: p.b.user, Online: true, Endpoints: p.b.m.Endpoints()}
		p.a.mu.Unlock()
		bus.Publish(p.a.bus, bus.ContactChanged, bus.ContactChange{User: p.b.user})
		time.Sleep(time.Second)
		p.same(t)
	})
}

func TestEndpointsFollowTheNetwork(t *testing.T) {
	id, err := identity.Generate("anna")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		fake := newFakeNet()
		host := newFakeHost("127.0.0.1/8", "192.168.1.5/24")
		n := newNodeOf(t, id, withFake(fake, "::"), withNetwork(host))
		n.start()
		defer n.close()
		synctest.Wait()
		port := n.m.port()
		told := func() []string {
			return with(n, func() (all []string) {
				for _, e := range n.moved {
					all = append(all, fmt.Sprint(e))
				}
				return all
			})
		}
		at := func(hosts ...string) string {
			var all []bus.Endpoint
			for _, h := range hosts {
				all = append(all, bus.Endpoint{Host: h, Port: port})
			}
			return fmt.Sprint(all)
		}
		host.set("127.0.0.1/8", "10.7.7.7/8", "2001:db8::5/64")
		for range 50 { // one change is many events
			host.change <- struct{}{}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		host.change <- struct{}{} // nothing new
		time.Sleep(time.Second)
		bus.Publish(n.bus, bus.DirectoryChanged, bus.DirectoryState{Connected: true, Observed: "203.0.113.5:999"})
		time.Sleep(time.Second)
		bus.Publish(n.bus, bus.DirectoryChanged, bus.DirectoryState{}) // lost: what was seen still holds
		time.Sleep(time.Second)
		want := []string{at("192.168.1.5"), at("10.7.7.7", "2001:db8::5"), at("203.0.113.5", "10.7.7.7", "2001:db8::5")}
		if got := told(); !slices.Equal(got, want) {
			t.Errorf("told %v, want %v", got, want)
		}
		if woken := with(n, func() int { return n.woken }); woken < 3 {
			t.Errorf("others were told %d times to look after their connections, want once at least for new addresses, a sign of the kernel's and another network", woken)
		}
		if got := fmt.Sprint(n.m.Endpoints()); got != want[2] {
			t.Errorf("Endpoints gives %s, want %s", got, want[2])
		}
	})
}

// TestFreePortIsKept: a restarted Serve listens where it did, and elsewhere when
// that port was taken meanwhile.
func TestFreePortIsKept(t *testing.T) {
	n := newNode(t, "anna").start()
	first := n.m.Endpoints()[0]
	n.halt()
	n.start()
	again := n.m.Endpoints()[0]
	n.halt()
	taken, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first.Port))
	if err != nil {
		t.Skipf("somebody else was quicker: %v", err)
	}
	defer func() { _ = taken.Close() }()
	if again != first {
		t.Errorf("listens at %v, before at %v", again, first)
	}
	n.start()
	if again := n.m.Endpoints()[0]; again == first {
		t.Errorf("listens at %v, which another program has", again)
	}
}
