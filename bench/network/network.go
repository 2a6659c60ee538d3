// Package network makes small networks for tests and benchmarks: hosts that are
// network namespaces, cables that can be cut, and links that are as slow, and
// queue as much, as a home router's. Linux only.
package network

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Network is a few hosts, each a network namespace, on one bridge, which stands
// at the first of them. No name is given to a namespace: it is gone when the
// processes that use it are, and this one, whatever became of them. Its methods
// are for one goroutine at a time, but for Inside and Port.
type Network struct {
	hosts map[string]*host
	first string
}

// host is one namespace.
type host struct {
	space netns.NsHandle
	*netlink.Handle
}

// uplink is a host's one way out; at the bridge its other end has the host's name.
const uplink = "eth0"

// otherBridge is where hosts are that Part took away.
const otherBridge = "part0"

// New makes hosts with an address each, such as "10.9.0.1/24". Close it.
func New(first string, addresses map[string]string) (n *Network, err error) {
	n = &Network{hosts: map[string]*host{}, first: first}
	defer func() {
		if err != nil {
			n.Close()
			n = nil
		}
	}()
	for name := range addresses {
		if n.hosts[name], err = newHost(); err != nil {
			return n, fmt.Errorf("make network namespace: %w", err)
		}
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: uplink}}
	if err := errors.Join(n.hosts[first].LinkAdd(bridge), n.hosts[first].LinkSetUp(bridge)); err != nil {
		return n, fmt.Errorf("make bridge: %w", err)
	}
	for name := range addresses {
		if name != first {
			if err := n.plugIn(name); err != nil {
				return n, err
			}
		}
	}
	for name, address := range addresses {
		if err := n.AddAddress(name, address); err != nil {
			return n, err
		}
	}
	return n, nil
}

// Close lets go of the namespaces. Idempotent.
func (n *Network) Close() {
	for name, h := range n.hosts {
		if h != nil {
			h.close()
		}
		delete(n.hosts, name)
	}
}

func (h *host) close() {
	if h.Handle != nil {
		h.Close()
	}
	_ = h.space.Close()
}

func newHost() (*host, error) {
	var h host
	err := onOwnThread(func() (err error) {
		if h.space, err = netns.New(); err != nil { // enters it, too
			return err
		}
		// What a new namespace has switched off is the machine's choice; there may
		// be no IPv6 at all, which shows when an address is added.
		_ = os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("0"), 0)
		return nil
	})
	if err != nil {
		return nil, err
	}
	h.Handle, err = netlink.NewHandleAt(h.space)
	if err == nil {
		var lo netlink.Link
		if lo, err = h.LinkByName("lo"); err == nil {
			err = h.LinkSetUp(lo)
		}
	}
	if err != nil {
		h.close()
		return nil, err
	}
	return &h, nil
}

// onOwnThread runs f on a thread that afterwards is in the namespace where it
// was.
func onOwnThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			runtime.UnlockOSThread()
			done <- err
			return
		}
		defer func() { _ = home.Close() }()
		err = f()
		if back := netns.Set(home); back != nil {
			done <- errors.Join(err, back) // the thread ends with this goroutine
			return
		}
		runtime.UnlockOSThread() // it lives on: what it started would die with it
		done <- err
	}()
	return <-done
}

// Inside runs f at a host, whose namespace is then that of what f starts. A nil
// network is this machine's.
func (n *Network) Inside(name string, f func() error) error {
	if n == nil {
		return f()
	}
	return onOwnThread(func() error {
		if err := netns.Set(n.hosts[name].space); err != nil {
			return err
		}
		return f()
	})
}

// link finds a host's link.
func (n *Network) link(name, link string) (netlink.Link, error) {
	l, err := n.hosts[name].LinkByName(link)
	if err != nil {
		return nil, fmt.Errorf("find %s of %s: %w", link, name, err)
	}
	return l, nil
}

// port finds a host's port of the bridge.
func (n *Network) port(name string) (netlink.Link, error) { return n.link(n.first, name) }

// plugIn connects a host with the bridge.
func (n *Network) plugIn(name string) error {
	bridge := n.hosts[n.first]
	err := bridge.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: uplink, PeerNamespace: netlink.NsFd(n.hosts[name].space),
	})
	if err != nil {
		return fmt.Errorf("add cable of %s: %w", name, err)
	}
	if err := n.SetCable(name, true); err != nil {
		return err
	}
	port, err := n.port(name)
	if err != nil {
		return err
	}
	if err := bridge.LinkSetUp(port); err != nil {
		return fmt.Errorf("switch port of %s on: %w", name, err)
	}
	return n.SetUplink(name, true)
}

// SetCable has the bridge carry a host's frames or lose them. The host does not
// notice: its own link is up, as when a cable behind the next switch is cut.
func (n *Network) SetCable(name string, whole bool) error {
	port, err := n.port(name)
	if err != nil {
		return err
	}
	if whole {
		var bridge netlink.Link
		if bridge, err = n.link(n.first, uplink); err == nil {
			err = n.hosts[n.first].LinkSetMaster(port, bridge)
		}
	} else {
		err = n.hosts[n.first].LinkSetNoMaster(port)
	}
	if err != nil {
		return fmt.Errorf("cable of %s: %w", name, err)
	}
	return nil
}

// Part moves hosts to another bridge, where they have each other and none of those
// who stay; nobody notices but by what does not come any more. SetCable(name, true)
// brings one back. The first host, where the bridges are, stays.
func (n *Network) Part(names ...string) error {
	bridges := n.hosts[n.first]
	island, err := bridges.LinkByName(otherBridge)
	if err != nil {
		island = &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: otherBridge}}
		if err := errors.Join(bridges.LinkAdd(island), bridges.LinkSetUp(island)); err != nil {
			return fmt.Errorf("make a second bridge: %w", err)
		}
	}
	for _, name := range names {
		port, err := n.port(name)
		if err == nil {
			err = bridges.LinkSetMaster(port, island)
		}
		if err != nil {
			return fmt.Errorf("cable of %s: %w", name, err)
		}
	}
	return nil
}

// SetUplink switches a host's own link on or off.
func (n *Network) SetUplink(name string, on bool) error {
	link, err := n.link(name, uplink)
	if err != nil {
		return err
	}
	set := n.hosts[name].LinkSetDown
	if on {
		set = n.hosts[name].LinkSetUp
	}
	if err := set(link); err != nil {
		return fmt.Errorf("uplink of %s: %w", name, err)
	}
	return nil
}

// AddAddress gives a host an address, such as "10.9.0.1/24".
func (n *Network) AddAddress(name, address string) error {
	return n.changeAddress(name, address, (*netlink.Handle).AddrAdd)
}

// Introduce has all hosts know each other's addresses as they are now, for good.
// Without it they ask for them, as hosts do, and what they learn stands in a table
// of the kernel that is one for all namespaces and, on most machines, holds 1,024
// entries: those of 33 hosts who all talk with each other, after which most of
// their packets are lost. Addresses must not move to other hosts afterwards.
func (n *Network) Introduce() error {
	bridge, err := n.link(n.first, uplink)
	if err == nil { // until it is set, it follows the ports'
		err = n.hosts[n.first].LinkSetHardwareAddr(bridge, bridge.Attrs().HardwareAddr)
	}
	if err != nil {
		return fmt.Errorf("hardware address of %s: %w", n.first, err)
	}
	for name, h := range n.hosts {
		link, err := n.link(name, uplink)
		if err != nil {
			return err
		}
		addresses, err := h.AddrList(link, netlink.FAMILY_V4)
		if err != nil {
			return fmt.Errorf("addresses of %s: %w", name, err)
		}
		for _, a := range addresses {
			if err := n.introduce(name, a.IP, link.Attrs().HardwareAddr); err != nil {
				return err
			}
		}
	}
	return nil
}

// introduce has the others know one address of a host.
func (n *Network) introduce(name string, ip net.IP, hardware net.HardwareAddr) error {
	for other, h := range n.hosts {
		if other == name {
			continue
		}
		link, err := n.link(other, uplink)
		if err != nil {
			return err
		}
		err = h.NeighSet(&netlink.Neigh{
			LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: ip, HardwareAddr: hardware, // not counted
		})
		if err != nil {
			return fmt.Errorf("introduce %s to %s: %w", name, other, err)
		}
	}
	return nil
}

// RemoveAddress takes an address from a host.
func (n *Network) RemoveAddress(name, address string) error {
	return n.changeAddress(name, address, (*netlink.Handle).AddrDel)
}

func (n *Network) changeAddress(name, address string, change func(*netlink.Handle, netlink.Link, *netlink.Addr) error) error {
	a, err := netlink.ParseAddr(address)
	if err != nil {
		return fmt.Errorf("address %q: %w", address, err)
	}
	if a.IP.To4() == nil {
		a.Flags = unix.IFA_F_NODAD // nobody else is here: it may be used at once
	}
	link, err := n.link(name, uplink)
	if err != nil {
		return err
	}
	if err := change(n.hosts[name].Handle, link, a); err != nil {
		return fmt.Errorf("address %s of %s: %w", address, name, err)
	}
	return nil
}

// ErrNotAllowed: the machine lets this user make no namespaces.
var ErrNotAllowed = errors.New("this machine lets nobody but root make network namespaces (run this as root, or see kernel.unprivileged_userns_clone)")

// Allowed says whether this process may make networks: nil, or an error that is
// syscall.EPERM when it might in a user namespace (Again).
func Allowed() error {
	err := onOwnThread(func() error {
		space, err := netns.New()
		if err == nil {
			_ = space.Close()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("make network namespace: %w", err)
	}
	return nil
}

// Again runs a program, mostly this one, as root of a user namespace, in which it
// may make networks, and gives what it says if that goes nowhere else.
// ErrNotAllowed, or the error of a program that failed.
func Again(cmd *exec.Cmd) (output []byte, err error) {
	var said bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &said
	}
	if cmd.Stderr == nil {
		cmd.Stderr = cmd.Stdout
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET, // one goes back only to a network of one's own
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	err = cmd.Run()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		err = fmt.Errorf("%w: %w", ErrNotAllowed, err)
	}
	return said.Bytes(), err
}
