package conn

import (
	"cmp"
	"errors"
	"log/slog"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/protocol/packet"
)

// Config is what a Manager is made of. Identity, Book, Bus and Locate are
// needed, the rest has defaults.
type Config struct {
	Identity *identity.Identity
	Book     *identity.Book
	Bus      *bus.Bus
	Log      *slog.Logger // default: none

	// Listen is the "host:port" to listen on. Default ":0": every address, a
	// free port.
	Listen string
	// Agent is name and version of the program, for people.
	Agent string

	// Locate gives a contact's presence as it is known now. It is called from
	// any goroutine and must not block.
	Locate func(packet.UserID) (bus.Presence, bool)
	// EndpointsChanged is told where this device listens, first when Serve
	// begins and then whenever it changes; never twice at once.
	EndpointsChanged func([]bus.Endpoint)
	// Woken is told when the network has changed or the host was asleep, so that
	// others look after their connections too. It must not block.
	Woken func()
	// AcceptStream takes a bulk stream ("parley-stream/1") that the device at the
	// other end of a link wanted, and owns it from then on; it must not block. nil
	// refuses such connections.
	AcceptStream func(bus.Link, Conn)

	// Transport makes the connections; default NewTCP.
	Transport Transport
	// Network is what is known of this host's network; default HostNetwork.
	Network Network
	// Limits bound what others can make this device do.
	Limits Limits
}

// Limits bound what others can make this device do. A zero is the default.
type Limits struct {
	Handshakes       int     // of incoming connections at once: 64
	HandshakesPerIP  int     // the same for one IPv4 address or IPv6 /64: 8
	AcceptsPerSecond float64 // from one of these, in the long run: 5
	AcceptBurst      int     // and at once: 20
	Dials            int     // outgoing at once: 256
	DistantDials     int     // and beside them to people who are no contacts: 128
	DistantPerSecond float64 // such people dialed in the long run: 20
	DistantBurst     int     // and at once: 10
	Endpoints        int     // of one peer that are tried: 16

	ReceiveFrames int // of one link that the core has not released: 256
	ReceiveBytes  int // the same in bytes: 4 MiB; at least one frame's
	SendFrames    int // queued on one link: 64
	SendBytes     int // the same in bytes: 2 MiB; at least one frame's
}

// timing holds the durations that the protocol and the requirements ask for.
type timing struct {
	handshake    time.Duration // TLS and Hello of an incoming connection
	dial         time.Duration // connecting and TLS of an outgoing one
	hello        time.Duration // its Hello exchange
	headStart    time.Duration // of the likeliest endpoint
	ping         time.Duration // of silence before a Ping
	dead         time.Duration // of silence before a link is given up
	probe        time.Duration // the same after the network changed
	write        time.Duration // for a chunk that the peer does not take
	farewell     time.Duration // for the Bye
	young        time.Duration // age up to which an own dial is defended, see settle.go
	hold         time.Duration // an incoming link waits for an own Hello, see settle.go
	stable       time.Duration // a link that lived so long resets the backoff
	backoffFirst time.Duration
	backoffMost  time.Duration
	mismatch     time.Duration // before a peer of another version is dialed again
	penaltyFirst time.Duration // after a broken protocol
	penaltyMost  time.Duration
	settleDown   time.Duration // in which changes of the network are taken as one
	spread       time.Duration // for each peer, over which those who are no contacts are dialed, see turns.go
	spreadMost   time.Duration // for all of them
}

func defaultTiming() timing {
	return timing{
		handshake: 10 * time.Second, dial: 10 * time.Second, hello: 10 * time.Second,
		headStart: 75 * time.Millisecond,
		ping:      10 * time.Second, dead: 25 * time.Second, probe: 5 * time.Second,
		write: 25 * time.Second, farewell: time.Second,
		young: 5 * time.Second, hold: 2 * time.Second,
		stable: 10 * time.Second, backoffFirst: 200 * time.Millisecond, backoffMost: 30 * time.Second,
		mismatch: 5 * time.Minute, penaltyFirst: 30 * time.Second, penaltyMost: 10 * time.Minute,
		settleDown: 200 * time.Millisecond, spread: 10 * time.Millisecond, spreadMost: 2 * time.Second,
	}
}

// check fills in the defaults.
func (c *Config) check() error {
	if c.Identity == nil || c.Book == nil || c.Bus == nil || c.Locate == nil {
		return errors.New("connection manager needs an identity, a book, a bus and a way to locate people")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Listen = cmp.Or(c.Listen, ":0")
	if c.Network == nil {
		c.Network = HostNetwork(c.Log)
	}
	if c.EndpointsChanged == nil {
		c.EndpointsChanged = func([]bus.Endpoint) {}
	}
	if c.Woken == nil {
		c.Woken = func() {}
	}
	if c.Transport == nil {
		c.Transport = NewTCP(TCPConfig{Identity: c.Identity, Network: c.Network, Streams: c.AcceptStream != nil})
	}
	c.Limits.fill()
	return nil
}

func (l *Limits) fill() {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&l.Handshakes, 64)
	set(&l.HandshakesPerIP, 8)
	set(&l.AcceptBurst, 20)
	set(&l.Dials, 256)
	set(&l.DistantDials, 128)
	set(&l.DistantBurst, 10)
	set(&l.Endpoints, 16)
	set(&l.ReceiveFrames, 256)
	set(&l.ReceiveBytes, 4<<20)
	set(&l.SendFrames, 64)
	set(&l.SendBytes, 2<<20)
	if l.DistantPerSecond <= 0 {
		l.DistantPerSecond = 20
	}
	if l.AcceptsPerSecond <= 0 {
		l.AcceptsPerSecond = 5
	}
	l.ReceiveBytes = max(l.ReceiveBytes, maxFrameBytes)
	l.SendBytes = max(l.SendBytes, maxFrameBytes)
}

// maxFrameBytes is what the largest frame takes on the wire.
const maxFrameBytes = packet.MaxFrame + 4
