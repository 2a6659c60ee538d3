package conn

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/protocol/packet"
)

// pair is two devices in a fake network, a with the smaller device id.
type pair struct {
	net  *fakeNet
	a, b *node
}

// identities come from outside of bubbles: they are expensive.
func identities(t *testing.T) (smaller, larger *identity.Identity) {
	t.Helper()
	var both []*identity.Identity
	for _, user := range []packet.UserID{"anna", "bob"} {
		id, err := identity.Generate(user)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, id)
	}
	if both[0].Device().Compare(both[1].Device()) < 0 {
		return both[0], both[1]
	}
	return both[1], both[0]
}

func newPair(t *testing.T, smaller, larger *identity.Identity, delay func() time.Duration) *pair {
	p := &pair{net: newFakeNet()}
	p.net.delay = delay
	p.a = newNodeOf(t, smaller, withFake(p.net, "10.0.0.1"))
	p.b = newNodeOf(t, larger, withFake(p.net, "10.0.0.2"))
	meet(p.a, p.b)
	p.a.start()
	p.b.start()
	return p
}

func (p *pair) close() { p.a.close(); p.b.close() }

// same fails unless both have exactly one link, and it is the same connection.
func (p *pair) same(t *testing.T) {
	t.Helper()
	a, b := oneConn(t, p.a), oneConn(t, p.b)
	if a.other != b {
		t.Errorf("%s and %s settled on different connections: %s-%s and %s-%s", p.a.user, p.b.user, a.local, a.remote, b.remote, b.local)
	}
	if open := p.net.open(); len(open) != 1 {
		t.Errorf("%d connections are open, want 1", len(open))
	}
}

func oneConn(t *testing.T, n *node) *fakeConn {
	t.Helper()
	n.m.mu.Lock()
	defer n.m.mu.Unlock()
	if len(n.m.links) != 1 || len(n.m.devices) != 1 {
		t.Fatalf("%s has %d links with %d devices, want 1 and 1", n.user, len(n.m.links), len(n.m.devices))
	}
	for _, l := range n.m.links {
		if d := n.m.devices[l.info.Device]; !l.up.Load() || d == nil || d.link != l || d.offer != nil {
			t.Fatalf("%s has a link that is not settled: up %v", n.user, l.up.Load())
		}
		return l.s.Conn.(*fakeConn)
	}
	return nil
}

// inOrder checks what the bus promises of links: up once, frames, down once, and
// never two at a time.
func (n *node) inOrder(t *testing.T) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	var current uint64
	for i, entry := range n.log {
		var kind string
		var id uint64
		if _, err := fmt.Sscan(entry, &kind, &id); err != nil {
			t.Fatal(err)
		}
		switch {
		case kind == "up" && current == 0:
			current = id
		case kind == "down" && current == id:
			current = 0
		case kind != "up" && kind != "down" && current == id:
		default:
			t.Fatalf("%s saw %q out of order (%d): %v", n.user, entry, i, n.log)
		}
	}
}

// upTo gives random times up to most, many of them short.
func upTo(r *rand.Rand, most time.Duration) func() time.Duration {
	return func() time.Duration {
		if r.IntN(3) == 0 {
			return 0
		}
		return time.Duration(r.Int64N(int64(most)))
	}
}

func TestBothDialAtOnce(t *testing.T) {
	smaller, larger := identities(t)
	for _, c := range []struct {
		name   string
		rounds int
		most   time.Duration // on the way, one way
		apart  time.Duration // of the two beginnings
		steady bool          // exactly one link each, ever
	}{
		{"no delay", 20, 1, 1, true},
		{"LAN", 300, 3 * time.Millisecond, 5 * time.Millisecond, true},
		{"world", 300, 300 * time.Millisecond, 500 * time.Millisecond, true},
		// Longer than what settle.go waits for: links may replace each other, but
		// it ends well.
		{"very slow", 200, 4 * time.Second, 8 * time.Second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for round := range c.rounds {
				seed := uint64(round)
				synctest.Test(t, func(t *testing.T) {
					var p *pair
					r := rand.New(&lockedSource{src: rand.NewPCG(seed, 7)})
					p = newPair(t, smaller, larger, upTo(r, c.most))
					defer p.close()
					start := func(n, o *node) {
						time.Sleep(time.Duration(r.Int64N(int64(c.apart))))
						n.sees(o)
					}
					go start(p.a, p.b)
					go start(p.b, p.a)
					time.Sleep(2 * time.Minute)
					p.same(t)
					p.a.inOrder(t)
					p.b.inOrder(t)
					a, b := p.a.upCount(), p.b.upCount()
					if c.steady && (a != 1 || b != 1) {
						t.Errorf("links flapped: %d and %d went up, want one each", a, b)
					}
					if a > 6 || b > 6 {
						t.Errorf("links flapped: %d and %d went up", a, b)
					}
				})
				if t.Failed() {
					t.Fatalf("in round %d", round)
				}
			}
		})
	}
}

// TestSettlesAfterEverything has connections cut and frozen at random while both
// sides dial: in the end there is one link.
func TestSettlesAfterEverything(t *testing.T) {
	smaller, larger := identities(t)
	for round := range 60 {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(&lockedSource{src: rand.NewPCG(uint64(round), 11)})
			p := newPair(t, smaller, larger, upTo(r, 200*time.Millisecond))
			defer p.close()
			p.a.sees(p.b)
			p.b.sees(p.a)
			for range 30 {
				time.Sleep(time.Duration(r.Int64N(int64(5 * time.Second))))
				open := p.net.open()
				if len(open) == 0 {
					continue
				}
				c := open[r.IntN(len(open))]
				switch r.IntN(5) {
				case 0:
					c.freeze()
				case 1:
					_ = c.Close()
				case 2:
					_ = c.other.Close()
				case 3:
					p.a.m.Wake()
				case 4:
					p.b.sees(p.a)
				}
			}
			time.Sleep(3 * time.Minute)
			for _, c := range p.net.open() { // ends that a frozen connection left behind
				if c.in.frozen {
					_ = c.Close()
				}
			}
			p.same(t)
			p.a.inOrder(t)
			p.b.inOrder(t)
		})
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
}

// TestOneSidedDial has only one of the two know where the other is.
func TestOneSidedDial(t *testing.T) {
	smaller, larger := identities(t)
	for _, dialer := range []string{"smaller", "larger"} {
		t.Run(dialer, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, smaller, larger, nil)
				defer p.close()
				if dialer == "smaller" {
					p.a.sees(p.b)
				} else {
					p.b.sees(p.a)
				}
				time.Sleep(time.Second)
				p.same(t)
			})
		})
	}
}

// TestRestartedPeerReplacesItsLink: a peer that lost its link without this side
// noticing gets a new one soon, whoever of the two dialed the old and the new.
func TestRestartedPeerReplacesItsLink(t *testing.T) {
	smaller, larger := identities(t)
	for _, c := range []struct {
		name string
		age  time.Duration
	}{{"young", time.Second}, {"old", time.Hour}} {
		for _, first := range []string{"smaller", "larger"} {
			for _, second := range []string{"smaller", "larger"} {
				t.Run(fmt.Sprintf("%s/%s then %s", c.name, first, second), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						p := newPair(t, smaller, larger, nil)
						defer p.close()
						who := map[string][2]*node{"smaller": {p.a, p.b}, "larger": {p.b, p.a}}
						who[first][0].sees(who[first][1])
						time.Sleep(c.age)
						old := oneConn(t, p.a)
						old.freeze()
						// The one who dials anew has noticed; the other has not.
						n, o := who[second][0], who[second][1]
						n.m.mu.Lock()
						for _, l := range n.m.links {
							l.close(ErrDead, nil)
						}
						n.m.mu.Unlock()
						n.sees(o)
						soon := time.Second
						if first == "smaller" && second == "larger" && c.name == "young" {
							soon = 8 * time.Second // until the old link has been probed
						}
						time.Sleep(soon)
						if oneConn(t, p.a) == old || oneConn(t, p.a).other != oneConn(t, p.b) {
							t.Error("the old link was not replaced")
						}
						p.a.inOrder(t)
						p.b.inOrder(t)
					})
				})
			}
		}
	}
}

func TestDuplicateIsRefusedWhileYoung(t *testing.T) {
	smaller, larger := identities(t)
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, smaller, larger, nil)
		defer p.close()
		p.a.sees(p.b)
		time.Sleep(time.Second)
		kept := oneConn(t, p.a)
		// A Hello of b's that was under way when a's link was settled.
		c, err := p.net.transport("10.0.0.2", larger).Dial(t.Context(), Target{
			Endpoint: p.a.m.Endpoints()[0], Protocol: ProtocolLink, Verify: anyKey,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		s := newSession(c)
		if err := p.b.m.sendHello(s); err != nil {
			t.Fatal(err)
		}
		f, _, err := s.in.next(packet.MaxHello)
		if bye, ok := f.(*packet.Bye); !ok || bye.Reason != packet.ByeDuplicate {
			t.Errorf("got %#v, %v; want Bye(ByeDuplicate)", f, err)
		}
		if oneConn(t, p.a) != kept {
			t.Error("the established link was replaced")
		}
	})
}

// lockedSource is a source of randomness for several goroutines.
type lockedSource struct {
	mu  sync.Mutex
	src rand.Source
}

func (l *lockedSource) Uint64() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.src.Uint64()
}

// TestOfferThatIsNotAnswered: the smaller device's own dial hangs in its Hello;
// the other's comes in all the same.
func TestOfferThatIsNotAnswered(t *testing.T) {
	smaller, larger := identities(t)
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, smaller, larger, nil)
		defer p.close()
		// What a sees as b's address takes connections and never says a word.
		mute := p.net.transport("10.0.0.3", larger)
		l, err := mute.Listen(t.Context(), ":0")
		if err != nil {
			t.Fatal(err)
		}
		p.a.seesAt(p.b, endpointOf(l.Addr()))
		time.Sleep(time.Second)
		p.b.sees(p.a)
		time.Sleep(defaultTiming().hold + 500*time.Millisecond)
		a, b := oneConn(t, p.a), oneConn(t, p.b)
		if a.other != b {
			t.Error("not the same connection")
		}
	})
}
