package e2e

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley/bench/network/networktest"
	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
)

// The design bound for noticing a dead peer is 30 s; a loaded machine may take
// its time beyond.
const longPatience = 2 * time.Minute

// TestNetworks has three hosts with addresses of their own: the directory, Alice
// and Bob. They chat; Bob's address changes meanwhile; his cable is cut behind
// the next switch, where only silence tells, and his own link goes down and up.
// Nothing is lost, nothing comes twice, and each one's order stays.
func TestNetworks(t *testing.T) {
	t.Parallel()
	if networktest.Need(t) {
		return
	}
	// The last address of IPv4 has a subnet of its own: others of one subnet go
	// with the first.
	for _, c := range []struct {
		family                   string
		directory, alice, bob    string
		bobsNext, bobsAfterwards string
		listen                   string
	}{
		{"IPv4", "10.77.0.1/24", "10.77.0.2/24", "10.77.0.3/24", "10.77.0.33/24", "10.77.0.34/16", "0.0.0.0:0"},
		{"IPv6", "fd77::1/64", "fd77::2/64", "fd77::3/64", "fd77::33/64", "fd77::34/64", "[::]:0"},
	} {
		t.Run(c.family, func(t *testing.T) {
			t.Parallel()
			if c.family == "IPv6" {
				needIPv6(t)
			}
			n := newNetwork(t, "server", map[string]string{"server": c.directory, "alice": c.alice, "bob": c.bob})
			host := func(address string) string { h, _, _ := strings.Cut(address, "/"); return h }
			address := host(c.directory) + ":7410"
			if c.family == "IPv6" {
				address = "[" + host(c.directory) + "]:7410"
			}
			w := newWorldAt(t, address, c.listen, n)
			alice, bob := w.person("alice"), w.person("bob")
			w.befriend(alice, bob)
			talk := &talk{world: w, alice: alice, bob: bob}
			talk.both()
			talk.arrives("over " + c.family)
			talk.linkedTo(host(c.bob))

			// Another network: the old address goes first, as when a laptop moves.
			n.must(n.RemoveAddress("bob", c.bob))
			talk.both()
			n.must(n.AddAddress("bob", c.bobsNext))
			talk.both()
			talk.arrives("after the address changed")
			talk.linkedTo(host(c.bobsNext))

			// The new address comes first, as when one changes from cable to wireless.
			n.must(n.AddAddress("bob", c.bobsAfterwards))
			talk.both()
			n.must(n.RemoveAddress("bob", c.bobsNext))
			talk.both()
			talk.arrives("after the address changed once more")
			talk.linkedTo(host(c.bobsAfterwards))

			// Only silence tells that this is cut.
			n.must(n.SetCable("bob", false))
			talk.both()
			w.within(longPatience, "a cut cable is noticed on both sides", func() bool {
				return !alice.contact(bob).GetLinked() && !bob.contact(alice).GetLinked()
			})
			talk.both()
			n.must(n.SetCable("bob", true))
			talk.arrives("after the cable was mended")

			n.must(n.SetUplink("bob", false))
			talk.both()
			w.within(longPatience, "a link that is down is noticed on both sides", func() bool {
				return !alice.contact(bob).GetLinked() && !bob.contact(alice).GetLinked()
			})
			n.must(n.SetUplink("bob", true))
			if c.family == "IPv6" { // which the kernel forgets with the link
				n.must(n.AddAddress("bob", c.bobsAfterwards))
			}
			talk.both()
			talk.arrives("after the link was up again")
		})
	}
}

// talk is a chat in which all that was said is known.
type talk struct {
	*world
	alice, bob *someone
	said       int
}

// both has each say something.
func (k *talk) both() {
	k.t.Helper()
	k.said++
	for _, p := range []*someone{k.alice, k.bob} {
		other := k.bob
		if p == k.bob {
			other = k.alice
		}
		if err := p.invokeSend(k.t.Context(), other, client.NewInvocation(), fmt.Sprintf("%s %d", p.name, k.said)); err != nil {
			k.t.Fatalf("%s says something: %v", p.name, err)
		}
	}
}

// arrives waits until both have all that was said, and are linked.
func (k *talk) arrives(when string) {
	k.t.Helper()
	var want []string
	for i := range k.said {
		want = append(want, fmt.Sprintf("alice %d", i+1), fmt.Sprintf("bob %d", i+1))
	}
	slices.Sort(want)
	sorted := func(bodies []string) []string { slices.Sort(bodies); return bodies }
	k.within(longPatience, "all is there "+when, func() bool {
		return len(k.alice.bodies(k.bob)) >= len(want) && len(k.bob.bodies(k.alice)) >= len(want) &&
			k.alice.contact(k.bob).GetLinked() && k.bob.contact(k.alice).GetLinked()
	})
	a, b := k.alice.bodies(k.bob), k.bob.bodies(k.alice)
	if !slices.Equal(a, b) {
		k.t.Errorf("%s alice sees %q, bob %q", when, a, b)
	}
	for _, name := range []string{"alice", "bob"} {
		last := 0
		for _, body := range a {
			var i int
			if _, err := fmt.Sscanf(body, name+" %d", &i); err == nil {
				if i < last {
					k.t.Errorf("%s %s's %d comes after %d", when, name, i, last)
				}
				last = i
			}
		}
	}
	if got := sorted(a); !slices.Equal(got, want) {
		k.t.Fatalf("%s alice sees %q, want %q", when, got, want)
	}
}

// linkedTo waits until Alice's link with Bob is to this address of his.
func (k *talk) linkedTo(address string) {
	k.t.Helper()
	k.within(longPatience, "alice is linked with bob at "+address, func() bool {
		status, err := k.alice.client.GetStatus(k.t.Context(), &controlpb.GetStatusRequest{})
		if err != nil {
			k.t.Fatal(err)
		}
		return slices.ContainsFunc(status.GetLinks(), func(l *controlpb.Link) bool {
			host, _, err := net.SplitHostPort(l.GetRemote())
			return err == nil && l.GetUser() == k.bob.name && host == address
		})
	})
}
