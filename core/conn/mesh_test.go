package conn

import (
	"crypto/ed25519"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/protocol/packet"
)

// mesh is the devices of a group's members, who are no contacts.
type mesh struct {
	t     *testing.T
	net   *fakeNet
	nodes []*node
}

func newMesh(t *testing.T, size int) *mesh {
	t.Helper()
	m := &mesh{t: t, net: newFakeNet()}
	m.net.delay = func() time.Duration { return 5*time.Millisecond + rand.N(10*time.Millisecond) }
	for i := range size {
		n := newNode(t, packet.UserID(fmt.Sprintf("m%d", i)), withFake(m.net, fmt.Sprintf("10.0.0.%d", i+1)))
		m.nodes = append(m.nodes, n)
	}
	for _, a := range m.nodes {
		for _, b := range m.nodes {
			if a != b {
				a.book.Set(b.user, identity.Person{Keys: []ed25519.PublicKey{b.id.Key()}, Linkable: true, GroupsOnly: true})
			}
		}
		a.start()
	}
	return m
}

// meet tells everybody of everybody else.
func (m *mesh) meet() {
	for _, a := range m.nodes {
		for _, b := range m.nodes {
			if a != b {
				a.sees(b)
			}
		}
	}
}

func (m *mesh) close() {
	for _, n := range m.nodes {
		n.close()
	}
}

// whole checks that every pair has one link, the same on both sides.
func (m *mesh) whole() {
	m.t.Helper()
	for i, a := range m.nodes {
		if got := len(a.m.Links()); got != len(m.nodes)-1 {
			m.t.Errorf("%s has %d links with %d others", a.user, got, len(m.nodes)-1)
		}
		for _, b := range m.nodes[i+1:] {
			la, okA := a.link(b)
			lb, okB := b.link(a)
			if !okA || !okB || !m.same(la, lb) {
				m.t.Errorf("%s and %s: one link %v, %v, the same %v", a.user, b.user, okA, okB, m.same(la, lb))
			}
		}
	}
}

// same says whether two ends are of one connection.
func (m *mesh) same(a, b LinkStatus) bool {
	m.net.mu.Lock()
	defer m.net.mu.Unlock()
	return slices.ContainsFunc(m.net.conns, func(c *fakeConn) bool {
		there, back := c.remote.String(), c.local.String()
		return a.Remote == there && b.Remote == back || b.Remote == there && a.Remote == back
	})
}

// dialed gives how often somebody was dialed so far.
func (m *mesh) dialed() int {
	m.net.mu.Lock()
	defer m.net.mu.Unlock()
	return len(m.net.dialed)
}

// part cuts the first few off from the others, without a sign; heal mends it.
func (m *mesh) part(few int) (heal func()) {
	inside := map[netip.Addr]bool{}
	for i := range few {
		inside[netip.MustParseAddr(fmt.Sprintf("10.0.0.%d", i+1))] = true
	}
	m.net.cut(func(a, b netip.Addr) bool { return inside[a] != inside[b] })
	return func() { m.net.cut(nil) }
}

// All members of a group come at one moment: every pair gets one link, nobody
// dials all the others at once, and few pairs dial twice. Parts that were cut off
// find each other again.
func TestMesh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 40
		m := newMesh(t, size)
		defer m.close()
		m.meet()
		time.Sleep(100 * time.Millisecond)
		if n := m.dialed(); n > size*12 {
			t.Errorf("%d dials in the first 100 ms", n)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		m.whole()
		pairs := size * (size - 1) / 2
		if n := m.dialed(); n > pairs*5/4 {
			t.Errorf("%d dials for %d pairs", n, pairs)
		}

		for _, few := range []int{1, size / 2} {
			heal := m.part(few)
			time.Sleep(time.Minute)
			for i, n := range m.nodes {
				want := few - 1
				if i >= few {
					want = size - few - 1
				}
				if got := len(n.m.Links()); got != want {
					t.Errorf("%d cut off: %s has %d links, want %d", few, n.user, got, want)
				}
			}
			heal()
			time.Sleep(time.Minute)
			synctest.Wait()
			m.whole()
		}

		// One that ends and comes back.
		m.nodes[3].halt()
		time.Sleep(time.Minute)
		m.nodes[3].start()
		m.meet()
		time.Sleep(time.Minute)
		synctest.Wait()
		m.whole()
	})
}

// A contact does not wait behind the members of a large group who are not to be
// reached.
func TestContactsComeFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newFakeNet()
		a := newNode(t, "anna", withFake(net, "10.0.0.1"))
		b := newNode(t, "bob", withFake(net, "10.0.0.2"))
		meet(a, b)
		a.start()
		b.start()
		defer a.close()
		defer b.close()
		for i := range 500 {
			stranger := newNode(t, packet.UserID(fmt.Sprintf("m%d", i)))
			a.book.Set(stranger.user, identity.Person{Keys: []ed25519.PublicKey{stranger.id.Key()}, Linkable: true, GroupsOnly: true})
			var holes []bus.Endpoint
			for port := range uint16(4) {
				hole := netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf("10.0.%d.%d", 1+i/200, 1+i%200)), port+1)
				net.hang(hole)
				holes = append(holes, endpointOf(hole))
			}
			a.seesAt(stranger, holes...)
			stranger.close()
		}
		time.Sleep(time.Minute)
		a.sees(b)
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		linked(t, a, b)
	})
}
