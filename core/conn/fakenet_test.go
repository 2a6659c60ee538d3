package conn

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/parley-chat/parley/core/identity"
)

// fakeNet is a network in memory, for many hosts, which can be slow, cut and
// frozen. It works in a synctest bubble.
type fakeNet struct {
	// delay is how long something takes on its way; nil is no time.
	delay func() time.Duration

	mu        sync.Mutex // guards all below
	listeners map[netip.AddrPort]*fakeListener
	holes     map[netip.AddrPort]bool // connecting there hangs
	wall      func(a, b netip.Addr) bool
	conns     []*fakeConn // dialers' ends
	dialed    []netip.AddrPort
	port      uint16
}

func newFakeNet() *fakeNet {
	return &fakeNet{listeners: map[netip.AddrPort]*fakeListener{}, holes: map[netip.AddrPort]bool{}, port: 40000}
}

func (n *fakeNet) late() time.Duration {
	if n.delay == nil {
		return 0
	}
	return n.delay()
}

func (n *fakeNet) nextPort() uint16 {
	n.port++
	return n.port
}

// transport is the Transport of a host with that address.
func (n *fakeNet) transport(host string, id *identity.Identity) *fakeTransport {
	return &fakeTransport{net: n, host: netip.MustParseAddr(host), id: id}
}

// hang has connecting to some addresses hang from now on.
func (n *fakeNet) hang(addresses ...netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range addresses {
		n.holes[a] = true
	}
}

// open lists the connections that are not closed.
func (n *fakeNet) open() []*fakeConn {
	n.mu.Lock()
	defer n.mu.Unlock()
	var open []*fakeConn
	for _, c := range n.conns {
		if !c.in.isClosed() && !c.out.isClosed() {
			open = append(open, c)
		}
	}
	return open
}

type fakeTransport struct {
	net  *fakeNet
	host netip.Addr
	id   *identity.Identity
}

func (t *fakeTransport) Listen(_ context.Context, address string) (Listener, error) {
	_, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	t.net.mu.Lock()
	defer t.net.mu.Unlock()
	var port uint16
	if _, err := fmt.Sscan(portText, &port); err != nil {
		return nil, err
	}
	if port == 0 {
		port = t.net.nextPort()
	}
	l := &fakeListener{t: t, addr: netip.AddrPortFrom(t.host, port), queue: make(chan *fakeConn, 1000), closed: make(chan struct{})}
	t.net.listeners[l.addr] = l
	return l, nil
}

// cut loses everything between hosts that wall says are apart, until it is
// called again; nil puts nobody apart.
func (n *fakeNet) cut(wall func(a, b netip.Addr) bool) {
	n.mu.Lock()
	n.wall = wall
	var apart []*fakeConn
	for _, c := range n.conns {
		if wall != nil && wall(c.local.Addr(), c.remote.Addr()) {
			apart = append(apart, c)
		}
	}
	n.mu.Unlock()
	for _, c := range apart {
		c.freeze()
	}
}

func (t *fakeTransport) Dial(ctx context.Context, to Target) (Conn, error) {
	at := netip.AddrPortFrom(netip.MustParseAddr(to.Endpoint.Host), to.Endpoint.Port)
	t.net.mu.Lock()
	t.net.dialed = append(t.net.dialed, at)
	l, hole := t.net.listeners[at], t.net.holes[at] || t.net.wall != nil && t.net.wall(t.host, at.Addr())
	local := netip.AddrPortFrom(t.host, t.net.nextPort())
	t.net.mu.Unlock()
	if hole {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err := pause(ctx, t.net.late()); err != nil {
		return nil, err
	}
	if l == nil || l.isClosed() {
		return nil, fmt.Errorf("dial %s: %w", at, syscall.ECONNREFUSED)
	}
	there, back := newHalf(t.net), newHalf(t.net)
	mine := &fakeConn{in: back, out: there, local: local, remote: at, key: l.t.id.Key(), protocol: to.Protocol}
	its := &fakeConn{in: there, out: back, local: at, remote: local, key: t.id.Key(), protocol: to.Protocol}
	mine.other, its.other = its, mine
	select {
	case l.queue <- its:
	case <-l.closed:
		return nil, syscall.ECONNREFUSED
	}
	if err := pause(ctx, t.net.late()); err != nil {
		_ = mine.Close()
		return nil, err
	}
	if err := to.Verify(mine.key); err != nil {
		_ = mine.Close()
		return nil, fmt.Errorf("dial %s: %w", at, err)
	}
	t.net.mu.Lock()
	t.net.conns = append(t.net.conns, mine)
	t.net.mu.Unlock()
	return mine, nil
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type fakeListener struct {
	t      *fakeTransport
	addr   netip.AddrPort
	queue  chan *fakeConn
	closed chan struct{}
	once   sync.Once
}

func (l *fakeListener) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

func (l *fakeListener) Accept() (Incoming, error) {
	select {
	case c := <-l.queue:
		return &fakeIncoming{c, l.t.net}, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *fakeListener) Addr() netip.AddrPort { return l.addr }
func (l *fakeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

type fakeIncoming struct {
	c   *fakeConn
	net *fakeNet
}

func (i *fakeIncoming) Remote() netip.AddrPort { return i.c.remote }
func (i *fakeIncoming) Drop()                  { _ = i.c.Close() }
func (i *fakeIncoming) Handshake(ctx context.Context, verify Verify) (Conn, error) {
	err := pause(ctx, i.net.late())
	if err == nil {
		err = verify(i.c.key)
	}
	if err != nil {
		_ = i.c.Close()
		return nil, err
	}
	return i.c, nil
}

// fakeConn is one end of a connection.
type fakeConn struct {
	in, out       *half
	local, remote netip.AddrPort
	key           ed25519.PublicKey
	protocol      string
	other         *fakeConn
}

func (c *fakeConn) Read(b []byte) (int, error)  { return c.in.read(b) }
func (c *fakeConn) Write(b []byte) (int, error) { return c.out.write(b) }
func (c *fakeConn) Close() error {
	c.in.abandon()
	c.out.finish()
	return nil
}
func (c *fakeConn) CloseWrite() error                  { c.out.finish(); return nil }
func (c *fakeConn) LocalAddr() net.Addr                { return net.TCPAddrFromAddrPort(c.local) }
func (c *fakeConn) RemoteAddr() net.Addr               { return net.TCPAddrFromAddrPort(c.remote) }
func (c *fakeConn) SetReadDeadline(t time.Time) error  { c.in.deadline(&c.in.readBy, t); return nil }
func (c *fakeConn) SetWriteDeadline(t time.Time) error { c.out.deadline(&c.out.writeBy, t); return nil }
func (c *fakeConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}
func (c *fakeConn) PeerKey() ed25519.PublicKey { return c.key }
func (c *fakeConn) Protocol() string           { return c.protocol }
func (c *fakeConn) Path() string               { return PathLAN }

// freeze loses everything in both directions from now on, as when the other
// host lost its power.
func (c *fakeConn) freeze() { c.in.freeze(); c.out.freeze() }

// half is one direction of a connection, with room for 64 KiB.
type half struct {
	net *fakeNet

	mu              sync.Mutex // guards all below
	chunks          []chunk
	size            int
	last            time.Time // when the last chunk arrives
	finished        bool      // by the writer; it arrives after the chunks
	finishedAt      time.Time
	abandoned       bool // by the reader
	frozen          bool
	readBy, writeBy time.Time
	changed         chan struct{} // closed at each change
}

type chunk struct {
	data []byte
	at   time.Time
}

const halfRoom = 64 << 10

func newHalf(n *fakeNet) *half { return &half{net: n, changed: make(chan struct{})} }

func (h *half) changedLocked() {
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *half) arrivalLocked() time.Time {
	at := time.Now().Add(h.net.late())
	if at.Before(h.last) {
		at = h.last
	}
	h.last = at
	return at
}

func (h *half) finish() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.finished {
		h.finished, h.finishedAt = true, h.arrivalLocked()
		h.changedLocked()
	}
}

func (h *half) abandon() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.abandoned = true
	h.changedLocked()
}

func (h *half) freeze() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.frozen = true
	h.changedLocked()
}

func (h *half) isClosed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.finished || h.abandoned
}

func (h *half) deadline(which *time.Time, t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*which = t
	h.changedLocked()
}

// waitLocked waits for a change or one of the times, without the lock.
func (h *half) waitLocked(times ...time.Time) {
	changed := h.changed
	h.mu.Unlock()
	defer h.mu.Lock()
	var first time.Time
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	if first.IsZero() {
		<-changed
		return
	}
	timer := time.NewTimer(time.Until(first))
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	}
}

func passed(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

func (h *half) read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.abandoned:
			return 0, net.ErrClosed
		case passed(h.readBy):
			return 0, os.ErrDeadlineExceeded
		case h.frozen:
			h.waitLocked(h.readBy)
		case len(h.chunks) > 0 && passed(h.chunks[0].at):
			n := copy(b, h.chunks[0].data)
			h.chunks[0].data = h.chunks[0].data[n:]
			if len(h.chunks[0].data) == 0 {
				h.chunks = h.chunks[1:]
			}
			h.size -= n
			h.changedLocked()
			return n, nil
		case len(h.chunks) > 0:
			h.waitLocked(h.readBy, h.chunks[0].at)
		case h.finished && passed(h.finishedAt):
			return 0, io.EOF
		case h.finished:
			h.waitLocked(h.readBy, h.finishedAt)
		default:
			h.waitLocked(h.readBy)
		}
	}
}

func (h *half) write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	done := 0
	for {
		switch {
		case h.finished:
			return done, net.ErrClosed
		case h.abandoned && !h.frozen:
			return done, syscall.EPIPE
		case passed(h.writeBy):
			return done, os.ErrDeadlineExceeded
		case done == len(b):
			return done, nil
		case h.size >= halfRoom:
			h.waitLocked(h.writeBy)
		default:
			n := min(len(b)-done, halfRoom-h.size)
			h.chunks = append(h.chunks, chunk{append([]byte(nil), b[done:done+n]...), h.arrivalLocked()})
			h.size += n
			done += n
			h.changedLocked()
		}
	}
}

// fakeHost is a Network whose addresses change when told.
type fakeHost struct {
	mu        sync.Mutex // guards addresses
	addresses []netip.Prefix
	change    chan struct{}
}

func newFakeHost(addresses ...string) *fakeHost {
	h := &fakeHost{change: make(chan struct{}, 100)}
	h.set(addresses...)
	return h
}

func (h *fakeHost) set(addresses ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.addresses = nil
	for _, a := range addresses {
		h.addresses = append(h.addresses, netip.MustParsePrefix(a))
	}
}

func (h *fakeHost) Addresses() ([]netip.Prefix, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.addresses, nil
}

func (h *fakeHost) Watch(ctx context.Context, changed func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.change:
			changed()
		}
	}
}
