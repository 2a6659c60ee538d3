package conn

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Watch implements Network: the kernel tells of changes by netlink. Where it may
// not (some sandboxes), addresses are polled.
func (n hostNetwork) Watch(ctx context.Context, changed func()) {
	for first := true; ctx.Err() == nil; first = false {
		began := time.Now()
		err := n.subscribe(ctx, changed)
		if ctx.Err() != nil {
			return
		}
		if first && time.Since(began) < time.Second {
			n.log.Info("the system does not tell of network changes, comparing addresses instead", "err", err)
			n.poll(ctx, changed)
			return
		}
		// The kernel had more to tell than there was room for: something changed.
		n.log.Debug("network subscription ended, subscribing again", "err", err)
		changed()
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// subscribe reports changes until ctx or the subscription ends.
func (n hostNetwork) subscribe(ctx context.Context, changed func()) error {
	done := make(chan struct{})
	addresses := make(chan netlink.AddrUpdate)
	routes := make(chan netlink.RouteUpdate)
	if err := netlink.AddrSubscribe(addresses, done); err != nil {
		return fmt.Errorf("subscribe to addresses: %w", err)
	}
	routesErr := netlink.RouteSubscribe(routes, done)
	links := make(chan netlink.LinkUpdate)
	linksErr := netlink.LinkSubscribe(links, done)
	defer func() {
		// The channels are closed by their senders, once they have seen done.
		close(done)
		for range addresses { // wait for the close
		}
		if routesErr == nil {
			for range routes { // wait for the close
			}
		}
		if linksErr == nil {
			for range links { // wait for the close
			}
		}
	}()
	if err := errors.Join(routesErr, linksErr); err != nil {
		return fmt.Errorf("subscribe to routes and links: %w", err)
	}
	seen := newSeen(n)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case u, ok := <-addresses:
			if !ok {
				return errors.New("address subscription ended")
			}
			if seen.address(u) {
				changed()
			}
		case u, ok := <-routes:
			if !ok {
				return errors.New("route subscription ended")
			}
			if seen.route(u) {
				changed()
			}
		case u, ok := <-links:
			if !ok {
				return errors.New("link subscription ended")
			}
			if seen.link(u) {
				changed()
			}
		}
	}
}

// seen tells changes from repetitions: routers announce the same IPv6 addresses
// and routes again every few minutes, each time with a new lifetime.
type seen struct {
	addresses map[addressKey]bool
	routes    map[string]bool
	links     map[int]bool // whether they are up and have a carrier
}

type addressKey struct {
	address netip.Addr
	link    int
}

func newSeen(n hostNetwork) *seen {
	s := &seen{addresses: map[addressKey]bool{}, routes: map[string]bool{}, links: map[int]bool{}}
	if list, err := netlink.AddrList(nil, netlink.FAMILY_ALL); err == nil {
		for _, a := range list {
			if ip, ok := netip.AddrFromSlice(a.IP); ok {
				s.addresses[addressKey{ip.Unmap(), a.LinkIndex}] = true
			}
		}
	} else {
		n.log.Debug("cannot list addresses", "err", err)
	}
	if list, err := netlink.LinkList(); err == nil {
		for _, l := range list {
			s.links[l.Attrs().Index] = running(l.Attrs())
		}
	} else {
		n.log.Debug("cannot list links", "err", err)
	}
	return s
}

func (s *seen) address(u netlink.AddrUpdate) bool {
	ip, ok := netip.AddrFromSlice(u.LinkAddress.IP)
	if !ok || u.Flags&unix.IFA_F_TENTATIVE != 0 {
		return false // it comes again once it may be used
	}
	key := addressKey{ip.Unmap(), u.LinkIndex}
	known := s.addresses[key]
	if u.NewAddr {
		s.addresses[key] = true
	} else {
		delete(s.addresses, key)
	}
	return known != u.NewAddr
}

func running(a *netlink.LinkAttrs) bool {
	return a.RawFlags&unix.IFF_UP != 0 && a.RawFlags&unix.IFF_RUNNING != 0
}

// link looks at cables and radios: what goes over a link without a carrier is
// lost, while its addresses and routes may stay for long.
func (s *seen) link(u netlink.LinkUpdate) bool {
	index := int(u.Index)
	was := s.links[index]
	if u.Header.Type == unix.RTM_DELLINK {
		delete(s.links, index)
		return was
	}
	s.links[index] = running(u.Attrs())
	return s.links[index] != was
}

// route looks at default routes only: they say which network this host is on.
func (s *seen) route(u netlink.RouteUpdate) bool {
	if u.Table != unix.RT_TABLE_MAIN || u.Dst != nil && !u.Dst.IP.IsUnspecified() {
		return false
	}
	key := fmt.Sprintf("%d %s %d", u.LinkIndex, u.Gw, u.Priority)
	known, added := s.routes[key], u.Type == unix.RTM_NEWROUTE
	s.routes[key] = added
	if len(s.routes) > 1000 {
		clear(s.routes)
	}
	return !added || !known
}
