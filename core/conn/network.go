package conn

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"
)

// Network is what is known of this host's network. Safe for concurrent use.
type Network interface {
	// Addresses gives the addresses of the interfaces that are up, each with its
	// subnet; loopback too.
	Addresses() ([]netip.Prefix, error)
	// Watch calls changed after each change of addresses or default routes, at
	// once and possibly many times for one change, until ctx ends.
	Watch(ctx context.Context, changed func())
}

// HostNetwork is the network of the operating system.
func HostNetwork(log *slog.Logger) Network { return hostNetwork{log} }

type hostNetwork struct{ log *slog.Logger }

// Addresses implements Network.
func (hostNetwork) Addresses() ([]netip.Prefix, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	var all []netip.Prefix
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // it went away meanwhile; the change will be noticed
		}
		for _, a := range addrs {
			if p, ok := prefixOf(a); ok {
				all = append(all, p)
			}
		}
	}
	return all, nil
}

func prefixOf(a net.Addr) (netip.Prefix, bool) {
	n, ok := a.(*net.IPNet)
	if !ok {
		return netip.Prefix{}, false
	}
	ip, ok := netip.AddrFromSlice(n.IP)
	if !ok {
		return netip.Prefix{}, false
	}
	ones, bits := n.Mask.Size()
	ip = ip.Unmap()
	if bits == 128 && ip.Is4() {
		ones -= 96
	}
	return netip.PrefixFrom(ip, max(0, ones)), true
}

// pollEvery is how often addresses are compared where the system does not tell
// of changes.
const pollEvery = 3 * time.Second

// poll is Watch for where nothing better works.
func (n hostNetwork) poll(ctx context.Context, changed func()) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	before, _ := n.Addresses()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, err := n.Addresses()
		if err == nil && !slices.Equal(before, now) {
			before = now
			changed()
		}
	}
}
