package directory

import (
	"net/netip"
	"time"
)

// Dialer makes a connection.
type Dialer = dialer

// SetDialer makes a client connect in another way than by TCP.
func (c *Config) SetDialer(d dialer) { c.dialer = d }

// SetAlive makes a client find out in another way whether it has lost its
// network.
func (c *Config) SetAlive(f func(netip.Addr) bool) { c.alive = f }

// Quicken makes a client notice and try within moments, for servers with a lease
// of at least a second.
func (c *Config) Quicken() {
	c.timing = &timing{
		keepAlive: 250 * time.Millisecond, silence: 2 * time.Second, dial: 2 * time.Second, begin: 5 * time.Second,
		probe: time.Second, coalesce: 5 * time.Millisecond,
		returning: 100 * time.Millisecond, outage: time.Minute, rare: 300 * time.Millisecond,
		failing: 50 * time.Millisecond, loggedOut: time.Hour, settled: time.Second,
	}
}
