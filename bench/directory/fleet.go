package main

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"math/big"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/parley-chat/parley/protocol/directorypb"
)

const terminate = syscall.SIGTERM

const (
	// perAddress is less than what a directory takes from one address.
	perAddress = 1500
	dialing    = 64 // devices that connect at once
	keepAlives = 15 // seconds between two of a session
)

func userName(i int) string { return fmt.Sprintf("user%06d", i) }

// deviceKey gives the key and certificate of device i, always the same.
func deviceKey(i int) (ed25519.PrivateKey, tls.Certificate, error) {
	seed := make([]byte, ed25519.SeedSize)
	binary.BigEndian.PutUint64(seed, uint64(int64(i)))
	key := ed25519.NewKeyFromSeed(seed)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(zeroes{}, template, template, key.Public(), key)
	return key, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// zeroes is all the randomness that an Ed25519 signature needs.
type zeroes struct{}

func (zeroes) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// fleet is devices with a session each.
type fleet struct {
	address  string
	contacts int // of each, half before and half behind it

	ctx    context.Context // of the sessions
	cancel context.CancelFunc
	wg     sync.WaitGroup

	devices  []*device    // by index; for who grows the fleet
	mu       sync.Mutex   // guards live
	live     []*device    // whose sessions have begun
	received atomic.Int64 // presences
	lost     atomic.Int64 // sessions that ended
	// heard is called for each presence with an endpoint, while not nil.
	heard atomic.Pointer[func(watcher *device, p *directorypb.Presence)]
}

// device is one of the fleet.
type device struct {
	directorypb.DirectoryClient
	index  int
	conn   *grpc.ClientConn
	stream directorypb.Directory_SessionClient
	sendMu sync.Mutex // a stream takes one Send at a time
}

func newFleet(address string, contacts int) *fleet {
	f := &fleet{address: address, contacts: contacts}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.wg.Add(1)
	go f.keepAlive()
	return f
}

func (f *fleet) size() int { return len(f.devices) - int(f.lost.Load()) }

func (f *fleet) close() {
	f.cancel()
	for _, d := range f.devices {
		if d != nil {
			_ = d.conn.Close()
		}
	}
	f.wg.Wait()
}

// connect makes the connection of device i.
func (f *fleet) connect(i int) (*device, error) {
	_, cert, err := deviceKey(i)
	if err != nil {
		return nil, err
	}
	local := &net.TCPAddr{IP: net.IPv4(127, 0, byte(1+i/perAddress/250), byte(1+i/perAddress%250))}
	conn, err := grpc.NewClient("passthrough:///"+f.address,
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
			InsecureSkipVerify: true, //nolint:gosec // it is on this machine, and its certificate is not the point
			Certificates:       []tls.Certificate{cert},
		})),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{LocalAddr: local}).DialContext(ctx, "tcp", address)
		}),
		grpc.WithReadBufferSize(0), grpc.WithWriteBufferSize(0), grpc.WithDisableServiceConfig(), grpc.WithIdleTimeout(0),
	)
	if err != nil {
		return nil, err
	}
	return &device{DirectoryClient: directorypb.NewDirectoryClient(conn), index: i, conn: conn}, nil
}

// grow begins sessions until there are n, and gives how many a second.
func (f *fleet) grow(ctx context.Context, n int) (perSecond float64, err error) {
	first := len(f.devices)
	f.devices = append(f.devices, make([]*device, n-first)...)
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(dialing)
	for i := first; i < n && ctx.Err() == nil; i++ {
		g.Go(func() error {
			d, err := f.begin(i)
			f.devices[i] = d
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	return float64(n-first) / time.Since(began).Seconds(), nil
}

func (f *fleet) begin(i int) (*device, error) {
	d, err := f.connect(i)
	if err != nil {
		return nil, err
	}
	if d.stream, err = d.Session(f.ctx); err != nil {
		return d, fmt.Errorf("session of device %d: %w", i, err)
	}
	lists := &directorypb.SetContacts{}
	for k := 1; k <= f.contacts/2; k++ {
		lists.Contacts = append(lists.Contacts, userName(i+k))
		if i >= k {
			lists.Contacts = append(lists.Contacts, userName(i-k))
		}
	}
	if err := d.send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_Begin{Begin: &directorypb.Begin{
		Contacts: lists, Publish: publish(i, 1), Agent: "bench/1",
	}}}); err != nil {
		return d, fmt.Errorf("session of device %d: %w", i, err)
	}
	m, err := d.stream.Recv()
	if err != nil || m.GetBegun() == nil {
		return d, fmt.Errorf("session of device %d does not begin: %v, %w", i, m, err)
	}
	f.mu.Lock()
	f.live = append(f.live, d)
	f.mu.Unlock()
	f.wg.Add(1)
	go f.receive(d)
	return d, nil
}

func (d *device) send(r *directorypb.SessionRequest) error {
	d.sendMu.Lock()
	defer d.sendMu.Unlock()
	return d.stream.Send(r)
}

func (f *fleet) receive(d *device) {
	defer f.wg.Done()
	for {
		m, err := d.stream.Recv()
		if err != nil {
			if f.ctx.Err() == nil {
				f.lost.Add(1)
			}
			return
		}
		if p := m.GetPresence(); p != nil {
			f.received.Add(1)
			if heard := f.heard.Load(); heard != nil && len(p.GetEndpoints()) > 0 {
				(*heard)(d, p)
			}
		}
	}
}

// keepAlive keeps the leases, a part of them each second.
func (f *fleet) keepAlive() {
	defer f.wg.Done()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for turn := 0; ; turn++ {
		select {
		case <-f.ctx.Done():
			return
		case <-tick.C:
		}
		f.mu.Lock()
		live := f.live
		f.mu.Unlock()
		for i := turn % keepAlives; i < len(live); i += keepAlives {
			// A session that has ended is counted by its receiver.
			_ = live[i].send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_KeepAlive{KeepAlive: &directorypb.KeepAlive{}}})
		}
	}
}

// publish tells in an endpoint which change of a device it is.
func publish(device int, change uint32) *directorypb.Publish {
	host := net.IPv4(10, byte(change>>16), byte(change>>8), byte(change)).String()
	return &directorypb.Publish{Endpoints: []*directorypb.Endpoint{{Host: host, Port: uint32(1 + device%60000)}}}
}

// changeOf reads what publish wrote.
func changeOf(p *directorypb.Presence) uint32 {
	ip := net.ParseIP(p.GetEndpoints()[0].GetHost()).To4()
	if ip == nil {
		return 0
	}
	return uint32(ip[1])<<16 | uint32(ip[2])<<8 | uint32(ip[3])
}
