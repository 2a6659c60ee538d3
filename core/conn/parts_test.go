package conn

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/bus"
)

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

func endpoints(list ...string) []bus.Endpoint {
	var all []bus.Endpoint
	for _, s := range list {
		a := netip.MustParseAddrPort(s)
		all = append(all, bus.Endpoint{Host: a.Addr().String(), Port: a.Port()})
	}
	return all
}

func TestOwnEndpoints(t *testing.T) {
	host := prefixes("127.0.0.1/8", "::1/128", "192.168.1.5/24", "fe80::1/64", "2001:db8::5/64", "169.254.3.4/16")
	for _, c := range []struct {
		name      string
		listen    string
		addresses []netip.Prefix
		observed  string
		want      []bus.Endpoint
	}{
		{"all", "[::]:4000", host, "", endpoints("192.168.1.5:4000", "[2001:db8::5]:4000", "169.254.3.4:4000")},
		{"IPv4 only", "0.0.0.0:4000", host, "", endpoints("192.168.1.5:4000", "169.254.3.4:4000")},
		{"behind a translator", "[::]:4000", host, "203.0.113.7:55123", endpoints("203.0.113.7:4000", "192.168.1.5:4000", "[2001:db8::5]:4000", "169.254.3.4:4000")},
		{"seen as it is", "[::]:4000", host, "192.168.1.5", endpoints("192.168.1.5:4000", "[2001:db8::5]:4000", "169.254.3.4:4000")},
		{"one address", "192.168.1.5:4000", host, "203.0.113.7", endpoints("192.168.1.5:4000")},
		{"no network", "[::]:4000", prefixes("127.0.0.1/8", "::1/128"), "127.0.0.1", endpoints("127.0.0.1:4000", "[::1]:4000")},
		{"nothing", "[::]:4000", nil, "rubbish", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ownEndpoints(netip.MustParseAddrPort(c.listen), c.addresses, parseObserved(c.observed))
			slices.SortFunc(got[min(len(got), 0):], func(a, b bus.Endpoint) int { return 0 })
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestCandidates(t *testing.T) {
	subnets := prefixes("192.168.1.5/24", "2001:db8:1::5/64")
	own := endpoints("192.168.1.5:4000")
	for _, c := range []struct {
		name   string
		given  []bus.Endpoint
		worked []bus.Endpoint
		want   []bus.Endpoint
	}{
		{"near before far", endpoints("203.0.113.1:1", "192.168.1.9:1", "127.0.0.1:5000"), nil, endpoints("127.0.0.1:5000", "192.168.1.9:1", "203.0.113.1:1")},
		{"families take turns", endpoints("203.0.113.1:1", "203.0.113.2:1", "[2001:db8:9::1]:1", "[2001:db8:9::2]:1"), nil,
			endpoints("[2001:db8:9::1]:1", "203.0.113.1:1", "[2001:db8:9::2]:1", "203.0.113.2:1")},
		{"what worked first", endpoints("127.0.0.1:5000", "203.0.113.1:1"), endpoints("203.0.113.1:1"), endpoints("203.0.113.1:1", "127.0.0.1:5000")},
		{"what worked must be said still", endpoints("127.0.0.1:5000"), endpoints("203.0.113.1:1"), endpoints("127.0.0.1:5000")},
		{"same subnet is near", endpoints("203.0.113.1:1", "[2001:db8:1::9]:1"), nil, endpoints("[2001:db8:1::9]:1", "203.0.113.1:1")},
		{"not itself", endpoints("192.168.1.5:4000", "192.168.1.5:4001"), nil, endpoints("192.168.1.5:4001")},
		{"not twice", endpoints("10.1.1.1:1", "[::ffff:10.1.1.1]:1", "10.1.1.1:1"), nil, endpoints("10.1.1.1:1")},
		{"nothing harmful", append(endpoints("127.0.0.1:22", "[::1]:631", "0.0.0.0:1", "[::]:1", "224.0.0.1:1", "255.255.255.255:1", "[ff02::1]:1", "10.0.0.1:0"),
			bus.Endpoint{Host: "example.org", Port: 1}, bus.Endpoint{Host: "fe80::1%eth0", Port: 1}, bus.Endpoint{}), nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var worked bus.Endpoint
			if c.worked != nil {
				worked = c.worked[0]
			}
			if got := candidates(c.given, worked, own, subnets, 16); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	var many []bus.Endpoint
	for i := range 1000 {
		many = append(many, bus.Endpoint{Host: fmt.Sprintf("10.0.%d.%d", i/250, i%250), Port: 1})
	}
	if n := len(candidates(many, bus.Endpoint{}, nil, nil, 16)); n != 16 {
		t.Errorf("%d candidates of a thousand endpoints", n)
	}
}

func TestPath(t *testing.T) {
	subnets := prefixes("192.168.1.5/24", "198.51.100.7/25", "0.0.0.0/0")
	for remote, want := range map[string]string{
		"127.0.0.1": PathLoopback, "::1": PathLoopback, "198.51.100.7": PathLoopback,
		"192.168.9.1": PathLAN, "10.1.1.1": PathLAN, "fe80::1": PathLAN, "fd00::1": PathLAN, "::ffff:10.0.0.1": PathLAN, "198.51.100.9": PathLAN,
		"203.0.113.1": PathDirect, "2001:db8::1": PathDirect, "198.51.100.200": PathDirect,
	} {
		if got := pathOf(netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr(remote), subnets); got != want {
			t.Errorf("path to %s is %s, want %s", remote, got, want)
		}
	}
}

func TestBackoff(t *testing.T) {
	for failures, most := range []time.Duration{200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000} {
		most *= time.Millisecond
		low, high := most, time.Duration(0)
		for range 1000 {
			d := backoff(failures, 200*time.Millisecond, 30*time.Second)
			low, high = min(low, d), max(high, d)
		}
		if low < most/2 || high > most || high-low < most/3 {
			t.Errorf("after %d failures from %s to %s, want from %s to %s", failures, low, high, most/2, most)
		}
	}
}

func TestNewNeedsItsParts(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("New takes an empty config")
	}
}
