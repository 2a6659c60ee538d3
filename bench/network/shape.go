package network

import (
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
)

// Shape is what a link carries, in either direction.
type Shape struct {
	Rate uint64 // bits a second
	// Queue is how long a byte may wait before the link, where what arrives
	// faster than that stands in line until there is no more room.
	Queue time.Duration
}

// shapedBurst is what may pass at once after a pause, in bytes: a few frames. What
// a host hands over in larger parts is cut by the kernel.
const shapedBurst = 8 << 10

// Shape has what goes to a host, and what the others of shaped links get from
// it, pass a queue of the bridge's, as in the router that a host hangs on.
func (n *Network) Shape(name string, s Shape) error {
	port, err := n.port(name)
	if err != nil {
		return err
	}
	rate := s.Rate / 8
	err = n.hosts[n.first].QdiscReplace(&netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: port.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		Rate:       rate,
		Buffer:     netlink.Xmittime(rate, shapedBurst),
		Limit:      uint32(float64(rate)*s.Queue.Seconds()) + shapedBurst, //nolint:gosec // some megabytes
	})
	if err != nil {
		return fmt.Errorf("shape the link of %s: %w", name, err)
	}
	return nil
}

// Port is what a port of the bridge did since it was plugged in.
type Port struct {
	ToHost, FromHost Count
	Queued           uint64 // bytes that wait to be sent to the host
	Dropped          uint64 // frames for which that queue had no room
}

// Count is what passed one way. A frame is what the kernel handles at a time, with
// its headers, of which several frames on a real wire have one each.
type Count struct{ Bytes, Frames uint64 }

// headers of a frame of TCP over IPv4, with time stamps.
const headers = 14 + 20 + 32

// Content is the bytes without the headers, if all of it is TCP over IPv4.
func (c Count) Content() uint64 { return c.Bytes - c.Frames*headers }

// Port tells of the port to a host.
func (n *Network) Port(name string) (Port, error) {
	link, err := n.port(name)
	if err != nil {
		return Port{}, err
	}
	s := link.Attrs().Statistics
	p := Port{ToHost: Count{s.TxBytes, s.TxPackets}, FromHost: Count{s.RxBytes, s.RxPackets}}
	all, err := n.hosts[n.first].QdiscList(link)
	if err != nil {
		return Port{}, fmt.Errorf("queue to %s: %w", name, err)
	}
	for _, q := range all {
		if s := q.Attrs().Statistics; s != nil && s.Queue != nil {
			p.Queued += uint64(s.Queue.Backlog)
			p.Dropped += uint64(s.Queue.Drops)
		}
	}
	return p, nil
}

// SetCongestionControl chooses how TCP at a host shares links, such as "cubic".
// Not every kernel has every one. It is a property of the host's routes, since
// only root of the machine may change the default to any.
func (n *Network) SetCongestionControl(name, algorithm string) error {
	link, err := n.link(name, uplink)
	if err != nil {
		return err
	}
	routes, err := n.hosts[name].RouteList(link, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("routes of %s: %w", name, err)
	}
	for _, r := range routes {
		r.Congctl = algorithm
		if err := n.hosts[name].RouteReplace(&r); err != nil {
			return fmt.Errorf("congestion control %q at %s: %w", algorithm, name, err)
		}
	}
	return nil
}
