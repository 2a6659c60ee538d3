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
	// One after the other: of all at once the kernel may lose some for want of room in
	// the queue that the hosts share.
	for i, s := range sockets {
		for j := range sockets {
			if _, err := s.WriteTo([]byte{byte(i)}, address(j)); err != nil {
				t.Errorf("host %d to host %d: %v", i, j, err)
			}
		}
		for j, other := range sockets {
			if err := other.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			var b [1]byte
			if _, _, err := other.ReadFrom(b[:]); err != nil || b[0] != byte(i) {
				t.Fatalf("host %d does not hear host %d: %d, %v", j, i, b[0], err)
			}
		}
	}
}
