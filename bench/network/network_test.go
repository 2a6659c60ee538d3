package network_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/parley-chat/parley/bench/network/networktest"
)

// TestIntroduce has more hosts talk with each other than the kernel's table of
// neighbours has room for.
func TestIntroduce(t *testing.T) {
	if networktest.Need(t) {
		return
	}
	const hosts = 40
	addresses := map[string]string{}
	for i := range hosts {
		addresses[fmt.Sprint("host", i)] = fmt.Sprintf("10.77.0.%d/24", i+1)
	}
	n := networktest.New(t, "host0", addresses)
	if err := n.Introduce(); err != nil {
		t.Fatal(err)
	}
	sockets := make([]net.PacketConn, hosts)
	for i := range sockets {
		err := n.Inside(fmt.Sprint("host", i), func() (err error) {
			sockets[i], err = new(net.ListenConfig).ListenPacket(context.Background(), "udp4", ":7000")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sockets[i].Close() })
	}
	address := func(i int) *net.UDPAddr { return &net.UDPAddr{IP: net.IPv4(10, 77, 0, byte(i+1)), Port: 7000} }
	for i, s := range sockets {
		for j := range sockets {
			if _, err := s.WriteTo([]byte{byte(i)}, address(j)); err != nil {
				t.Errorf("host %d to host %d: %v", i, j, err)
			}
		}
	}
	for i, s := range sockets {
		heard := map[byte]bool{}
		if err := s.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		for len(heard) < hosts {
			var b [1]byte
			if _, _, err := s.ReadFrom(b[:]); err != nil {
				t.Fatalf("host %d hears %d hosts, not %d: %v", i, len(heard), hosts, err)
			}
			heard[b[0]] = true
		}
	}
}
