package conn

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// inNamespace runs f on a thread of its own in a network namespace: a new one
// when ns is none. The thread ends with it.
func inNamespace(ns netns.NsHandle, f func(netns.NsHandle, error)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		var err error
		if ns.IsOpen() {
			err = netns.Set(ns)
		} else {
			ns, err = netns.New()
		}
		f(ns, err)
	}()
	<-done
}

// TestWatchSeesTheKernelsChanges has a network of its own, in which it adds and
// removes addresses and routes.
func TestWatchSeesTheKernelsChanges(t *testing.T) {
	inNamespace(netns.None(), func(ns netns.NsHandle, err error) {
		if err != nil {
			t.Logf("no network namespaces here: %v", err)
			return
		}
		defer func() { _ = ns.Close() }()
		changes := make(chan struct{}, 100)
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		wg.Go(func() {
			inNamespace(ns, func(_ netns.NsHandle, err error) {
				if err != nil {
					t.Error(err)
					return
				}
				HostNetwork(slog.New(slog.DiscardHandler)).Watch(ctx, func() { changes <- struct{}{} })
			})
		})
		changeNetwork(t, changes)
	})
}

func changeNetwork(t *testing.T, changes chan struct{}) {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Errorf("no loopback: %v", err)
		return
	}
	index := lo.Attrs().Index
	address := func(lifetime int) *netlink.Addr {
		return &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 99, 0, 1), Mask: net.CIDRMask(24, 32)}, ValidLft: lifetime, PreferedLft: lifetime}
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Error(err)
		return
	}
	// The watcher is there once it sees something.
	probe := &net.IPNet{IP: net.IPv4(10, 97, 0, 1), Mask: net.CIDRMask(24, 32)}
	for came(changes, 50*time.Millisecond) == 0 {
		_ = netlink.AddrAdd(lo, &netlink.Addr{IPNet: probe})
		_ = netlink.AddrDel(lo, &netlink.Addr{IPNet: probe})
	}
	quiet(changes, 200*time.Millisecond)
	cable, otherEnd, err := newCable()
	if err != nil {
		t.Error(err)
		return
	}
	quiet(changes, 200*time.Millisecond)
	for _, a := range []struct {
		name  string
		act   func(again int) error
		tells bool
	}{
		{"cable in", func(int) error { return netlink.LinkSetUp(otherEnd) }, true},
		{"name of an interface", func(again int) error { return netlink.LinkSetAlias(cable, fmt.Sprint("cable", again)) }, false},
		{"cable out", func(int) error { return netlink.LinkSetDown(otherEnd) }, true},
		{"address", func(int) error { return netlink.AddrAdd(lo, address(2000)) }, true},
		{"same address, new lifetime", func(again int) error { return netlink.AddrReplace(lo, address(3000+again)) }, false},
		{"default route", func(int) error { return netlink.RouteAdd(&netlink.Route{LinkIndex: index, Gw: net.IPv4(10, 99, 0, 7)}) }, true},
		{"other route", func(again int) error {
			return netlink.RouteAdd(&netlink.Route{LinkIndex: index, Dst: &net.IPNet{IP: net.IPv4(10, 98, byte(again), 0), Mask: net.CIDRMask(24, 32)}})
		}, false},
		{"address gone", func(int) error { return netlink.AddrDel(lo, address(0)) }, true},
	} {
		told, err := tells(changes, a.act, a.tells)
		if err != nil || told != a.tells {
			t.Errorf("%s: is told: %v, want %v; %v", a.name, told, a.tells, err)
		}
		quiet(changes, 50*time.Millisecond)
	}
}

// tells says whether something is told. That it is not is believed at the first time
// at which nothing comes: what the kernel does by itself a moment after something
// else, as giving an address to an interface that is up, may come meanwhile.
func tells(changes chan struct{}, act func(again int) error, want bool) (bool, error) {
	if want {
		err := act(0)
		return err == nil && came(changes, time.Minute) > 0, err
	}
	for again := range 20 {
		if err := act(again); err != nil {
			return false, err
		}
		if came(changes, 200*time.Millisecond) == 0 {
			return false, nil
		}
		quiet(changes, 50*time.Millisecond)
	}
	return true, nil
}

// newCable gives an interface that is up, and the other end of its cable, which
// is down.
func newCable() (cable, otherEnd netlink.Link, err error) {
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "cable0"}, PeerName: "cable1"}
	if err := netlink.LinkAdd(veth); err != nil {
		return nil, nil, err
	}
	if otherEnd, err = netlink.LinkByName("cable1"); err != nil {
		return nil, nil, err
	}
	return veth, otherEnd, netlink.LinkSetUp(veth)
}

// came waits so long for a change.
func came(changes chan struct{}, wait time.Duration) int {
	select {
	case <-changes:
		return 1
	case <-time.After(wait):
		return 0
	}
}

// quiet waits until no change comes for so long.
func quiet(changes chan struct{}, wait time.Duration) {
	for left := came(changes, wait); left > 0; {
		left = came(changes, wait)
	}
}

func TestHostAddresses(t *testing.T) {
	addresses, err := HostNetwork(slog.New(slog.DiscardHandler)).Addresses()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if a.Addr().IsLoopback() && a.Masked().Contains(a.Addr()) {
			return
		}
	}
	t.Errorf("no loopback among %v", addresses)
}
