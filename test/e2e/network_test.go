package e2e

import (
	"net"
	"os"
	"testing"

	"github.com/parley-chat/parley/bench/network"
	"github.com/parley-chat/parley/bench/network/networktest"
)

// hosts is a network of a test's own, which ends the test when it does not obey.
type hosts struct {
	*network.Network
	t *testing.T
}

func newNetwork(t *testing.T, first string, addresses map[string]string) *hosts {
	t.Helper()
	return &hosts{networktest.New(t, first, addresses), t}
}

// inside runs f at a host; without a network, on this machine.
func (h *hosts) inside(name string, f func() error) error {
	if h == nil {
		return f()
	}
	return h.Inside(name, f)
}

func (h *hosts) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// needIPv6 skips where the kernel has no IPv6.
func needIPv6(t *testing.T) {
	t.Helper()
	if l, err := net.Listen("tcp6", "[::1]:0"); err == nil {
		_ = l.Close()
		return
	}
	if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
		t.Skip("this machine's kernel has no IPv6")
	}
}
