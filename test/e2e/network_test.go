package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// network is a few hosts, each a network namespace, on one bridge, which stands
// at the first of them. No name is given to a namespace: it is gone when the
// processes and the test that use it are, whatever became of them.
type network struct {
	t     *testing.T
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

// newNetwork makes hosts with an address each, such as "10.9.0.1/24".
func newNetwork(t *testing.T, first string, addresses map[string]string) *network {
	t.Helper()
	n := &network{t: t, hosts: map[string]*host{}, first: first}
	for name := range addresses {
		n.hosts[name] = newHost(t)
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: uplink}}
	n.must("add bridge", n.hosts[first].LinkAdd(bridge))
	n.must("switch bridge on", n.hosts[first].LinkSetUp(bridge))
	for name := range addresses {
		if name != first {
			n.plugIn(name)
		}
	}
	for name, address := range addresses {
		n.addAddress(name, address)
	}
	return n
}

func newHost(t *testing.T) *host {
	t.Helper()
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
	if err == nil {
		h.Handle, err = netlink.NewHandleAt(h.space)
	}
	if err == nil {
		var lo netlink.Link
		if lo, err = h.LinkByName("lo"); err == nil {
			err = h.LinkSetUp(lo)
		}
	}
	if err != nil {
		t.Fatalf("make network namespace: %v", err)
	}
	t.Cleanup(func() {
		h.Close()
		_ = h.space.Close()
	})
	return &h
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

// inside runs f at a host, whose namespace is then that of what f starts. A nil
// network is this machine's.
func (n *network) inside(name string, f func() error) error {
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

func (n *network) must(what string, err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatalf("%s: %v", what, err)
	}
}

func (n *network) link(host, name string) netlink.Link {
	n.t.Helper()
	l, err := n.hosts[host].LinkByName(name)
	n.must(fmt.Sprintf("find %s of %s", name, host), err)
	return l
}

// plugIn connects a host with the bridge.
func (n *network) plugIn(name string) {
	n.t.Helper()
	bridge := n.hosts[n.first]
	n.must("add cable", bridge.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: uplink, PeerNamespace: netlink.NsFd(n.hosts[name].space),
	}))
	n.setCable(name, true)
	n.must("switch port on", bridge.LinkSetUp(n.link(n.first, name)))
	n.must("switch uplink on", n.hosts[name].LinkSetUp(n.link(name, uplink)))
}

// setCable has the bridge carry a host's frames or lose them. The host does not
// notice: its own link is up, as when a cable behind the next switch is cut.
func (n *network) setCable(name string, whole bool) {
	n.t.Helper()
	bridge := n.hosts[n.first]
	if whole {
		n.must("plug in", bridge.LinkSetMaster(n.link(n.first, name), n.link(n.first, uplink)))
	} else {
		n.must("pull out", bridge.LinkSetNoMaster(n.link(n.first, name)))
	}
}

// setUplink switches a host's own link on or off.
func (n *network) setUplink(name string, on bool) {
	n.t.Helper()
	h, link := n.hosts[name], n.link(name, uplink)
	if on {
		n.must("switch uplink on", h.LinkSetUp(link))
	} else {
		n.must("switch uplink off", h.LinkSetDown(link))
	}
}

func (n *network) address(s string) *netlink.Addr {
	n.t.Helper()
	a, err := netlink.ParseAddr(s)
	n.must("read address", err)
	if a.IP.To4() == nil {
		a.Flags = unix.IFA_F_NODAD // nobody else is here: it may be used at once
	}
	return a
}

func (n *network) addAddress(name, address string) {
	n.t.Helper()
	n.must("add address "+address, n.hosts[name].AddrAdd(n.link(name, uplink), n.address(address)))
}

func (n *network) removeAddress(name, address string) {
	n.t.Helper()
	n.must("remove address "+address, n.hosts[name].AddrDel(n.link(name, uplink), n.address(address)))
}

// needNamespaces skips a test where the machine does not let it make network
// namespaces. Who is not root gets them in a user namespace, in which the test
// is run again; ran says that it was.
func needNamespaces(t *testing.T) (ran bool) {
	t.Helper()
	err := onOwnThread(func() error {
		space, err := netns.New()
		if err == nil {
			_ = space.Close()
		}
		return err
	})
	switch {
	case err == nil:
		return false
	case !errors.Is(err, syscall.EPERM):
		t.Fatalf("make network namespace: %v", err)
	case os.Getenv("PARLEY_TEST_AGAIN") != "":
		t.Fatalf("no network namespaces in a user namespace: %v", err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=10m")
	cmd.Env = append(os.Environ(), "PARLEY_TEST_AGAIN=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET, // one goes back only to a network of one's own
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Skipf("this machine lets nobody but root make network namespaces (run the tests as root, or see kernel.unprivileged_userns_clone): %v", err)
	}
	if err != nil {
		t.Fatalf("in a user namespace: %v\n%s", err, out)
	}
	return true
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
