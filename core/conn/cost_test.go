package conn

import (
	"crypto/ed25519"
	"fmt"
	"runtime"
	"testing"

	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/protocol/packet"
)

// TestIdleLinksAreSmall: who is in large groups has hundreds of links with
// nothing to say, and they must not hold the buffers of busy ones.
func TestIdleLinksAreSmall(t *testing.T) {
	const links, most = 50, 48 << 10 // bytes of each end, of which half are used
	generous := func(c *Config) {
		c.Limits = Limits{AcceptsPerSecond: 1000, AcceptBurst: 1000, HandshakesPerIP: 1000, DistantPerSecond: 1000}
	}
	a := newNode(t, "anna", generous)
	a.start()
	var others []*node
	for i := range links {
		n := newNode(t, packet.UserID(fmt.Sprintf("m%d", i)), generous)
		n.book.Set("anna", identity.Person{Keys: []ed25519.PublicKey{a.id.Key()}, Linkable: true, GroupsOnly: true})
		a.book.Set(n.user, identity.Person{Keys: []ed25519.PublicKey{n.id.Key()}, Linkable: true, GroupsOnly: true})
		others = append(others, n.start())
	}
	before := heap()
	for _, n := range others {
		n.sees(a)
	}
	eventually(t, "everybody is linked and measured", func() bool {
		up := a.m.Links()
		for _, l := range up {
			if l.RoundTrip == 0 {
				return false
			}
		}
		return len(up) == links
	})
	var size uint64
	eventually(t, fmt.Sprintf("an end of a link holds at most %d bytes", most), func() bool {
		size = (max(heap(), before) - before) / (2 * links)
		return size <= most
	})
	t.Logf("an end of a link holds %d bytes", size)
}

// heap is what is in use after collection, with what pools held.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
