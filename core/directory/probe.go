package directory

import (
	"context"
	"time"
)

// Probe is what a new connection to a directory shows of it, as far as it comes.
type Probe struct {
	// Fingerprint of the certificate; empty when none was seen.
	Fingerprint string
	// Took is how long connecting and TLS took.
	Took time.Duration
	// Err is nil when all is well: of kind ErrUnreachable, ErrNotParley, ErrPin
	// or ErrUntrusted.
	Err error
}

// Probe connects anew, checks the certificate, and hangs up. The session, if
// there is one, is left alone.
func (c *Client) Probe(ctx context.Context) Probe {
	began := time.Now()
	l, err := dial(ctx, c.cfg.target(), false)
	p := Probe{Took: time.Since(began), Err: err}
	if err == nil {
		p.Fingerprint = l.fingerprint
		l.close()
	}
	return p
}
