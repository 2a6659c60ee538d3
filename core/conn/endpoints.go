package conn

import (
	"cmp"
	"net"
	"net/netip"
	"slices"

	"github.com/parley-chat/parley/core/bus"
)

// maxOwnEndpoints bounds what this device says of itself.
const maxOwnEndpoints = 16

// ownEndpoints says where others reach a listener at listen: on each address of
// the host when it listens on all, and on the one the directory sees (a host
// behind a translator that forwards the port, as in most clouds). Loopback is
// said only where there is nothing else, since to others it is their own.
func ownEndpoints(listen netip.AddrPort, addresses []netip.Prefix, observed netip.Addr) []bus.Endpoint {
	if !listen.IsValid() {
		return nil
	}
	if !listen.Addr().IsUnspecified() {
		return []bus.Endpoint{endpointOf(listen)}
	}
	var found, loopback []netip.Addr
	for _, p := range addresses {
		a := p.Addr()
		switch {
		case listen.Addr().Is4() && !a.Is4():
		case a.IsLoopback():
			loopback = append(loopback, a)
		case a.IsGlobalUnicast() || a.Is4() && a.IsLinkLocalUnicast():
			found = append(found, a) // IPv6 link-local needs a zone that only this host knows
		}
	}
	if observed.IsValid() && observed.IsGlobalUnicast() && !observed.IsPrivate() && !slices.Contains(found, observed) {
		found = append(found, observed)
	}
	if len(found) == 0 {
		found = loopback
	}
	slices.SortFunc(found, func(a, b netip.Addr) int {
		return cmp.Or(cmp.Compare(ownRank(a), ownRank(b)), a.Compare(b))
	})
	found = slices.Compact(found)
	var all []bus.Endpoint
	for _, a := range found[:min(len(found), maxOwnEndpoints)] {
		all = append(all, endpointOf(netip.AddrPortFrom(a, listen.Port())))
	}
	return all
}

// ownRank puts those addresses first that must not be cut off.
func ownRank(a netip.Addr) int {
	switch {
	case a.Is4() && !a.IsPrivate() && !a.IsLinkLocalUnicast():
		return 0
	case a.Is4() && a.IsPrivate():
		return 1
	case a.Is6() && !a.IsPrivate():
		return 2
	default:
		return 3
	}
}

func endpointOf(a netip.AddrPort) bus.Endpoint {
	return bus.Endpoint{Host: a.Addr().Unmap().String(), Port: a.Port()}
}

// addrPort gives an endpoint's address, if it is one that may be dialed at all.
// Endpoints come from the contact by way of the directory, so they could be made
// to have this host talk to whatever listens beside it: no broadcasts, and no
// system services on loopback.
func addrPort(e bus.Endpoint) (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(e.Host)
	if err != nil || e.Port == 0 || a.Zone() != "" {
		return netip.AddrPort{}, false
	}
	a = a.Unmap()
	if a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) ||
		a.IsLoopback() && e.Port < 1024 {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a, e.Port), true
}

// pathOf classifies the way to remote.
func pathOf(local, remote netip.Addr, subnets []netip.Prefix) string {
	local, remote = local.Unmap().WithZone(""), remote.Unmap().WithZone("")
	switch {
	case remote.IsLoopback() || remote == local:
		return PathLoopback
	case remote.IsPrivate() || remote.IsLinkLocalUnicast() || sharesSubnet(remote, subnets):
		return PathLAN
	default:
		return PathDirect
	}
}

func sharesSubnet(a netip.Addr, subnets []netip.Prefix) bool {
	return slices.ContainsFunc(subnets, func(p netip.Prefix) bool {
		return p.Bits() > 0 && p.Masked().Contains(a)
	})
}

// candidates puts a peer's endpoints into the order in which they are likely to
// work: the one that worked last, then this host, then the local network, then
// the rest; within these IPv6 and IPv4 take turns, so that a broken one of the
// two costs little. What cannot be dialed and what is this device itself is
// left out, and no more than most are kept.
func candidates(endpoints []bus.Endpoint, worked bus.Endpoint, own []bus.Endpoint, subnets []netip.Prefix, most int) []bus.Endpoint {
	classes := make([][2][]bus.Endpoint, 3)
	var all []bus.Endpoint
	known := map[netip.AddrPort]bool{}
	for _, e := range own {
		if a, ok := addrPort(e); ok {
			known[a] = true
		}
	}
	for _, e := range endpoints {
		a, ok := addrPort(e)
		if !ok || known[a] {
			continue
		}
		known[a] = true
		e = endpointOf(a)
		if e == worked {
			all = append(all, e)
			continue
		}
		class := map[string]int{PathLoopback: 0, PathLAN: 1, PathDirect: 2}[pathOf(netip.Addr{}, a.Addr(), subnets)]
		family := 0
		if a.Addr().Is4() {
			family = 1
		}
		classes[class][family] = append(classes[class][family], e)
	}
	for _, c := range classes {
		for i := range max(len(c[0]), len(c[1])) {
			for _, family := range c {
				if i < len(family) {
					all = append(all, family[i])
				}
			}
		}
	}
	return all[:min(len(all), most)]
}

// parseObserved reads what the directory says of this host's address, with or
// without a port.
func parseObserved(s string) netip.Addr {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}
