package net2019

import (
	"cmp"
	"time"
)

// timing has what is waited for.
type timing struct {
	dial     time.Duration // a connection, to a server or a person
	reply    time.Duration // a server's reply
	settle   time.Duration // silence that ends a reply: the protocol has no framing
	outcome  time.Duration // the first log-in of a LogIn
	ask      time.Duration // between two questions to a server where somebody is
	backoff  time.Duration // first pause before trying again; doubles
	pause    time.Duration // longest pause
	first    time.Duration // the first frame of a connection
	write    time.Duration // one frame to be taken by the system
	farewell time.Duration // all farewells together
	mesh     time.Duration // before a member of a group dials another
	silent   time.Duration // without a byte of a file
	long     time.Duration // all of a long frame
}

func (t timing) withDefaults() timing {
	return timing{
		dial:     cmp.Or(t.dial, 10*time.Second),
		reply:    cmp.Or(t.reply, 10*time.Second),
		settle:   cmp.Or(t.settle, 50*time.Millisecond),
		outcome:  cmp.Or(t.outcome, 20*time.Second),
		ask:      cmp.Or(t.ask, 30*time.Second),
		backoff:  cmp.Or(t.backoff, time.Second),
		pause:    cmp.Or(t.pause, 2*time.Minute),
		first:    cmp.Or(t.first, 10*time.Second),
		write:    cmp.Or(t.write, 20*time.Second),
		farewell: cmp.Or(t.farewell, 2*time.Second),
		mesh:     cmp.Or(t.mesh, time.Second),
		silent:   cmp.Or(t.silent, 10*time.Second),
		long:     cmp.Or(t.long, time.Minute),
	}
}
