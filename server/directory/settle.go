package directory

import (
	"context"
	"time"
)

const (
	// Clients come back at most this many a second after a restart.
	returnsPerSecond = 1000
	minSpread        = 200 * time.Millisecond
	maxSpread        = 30 * time.Second

	// settleQuiet is how long nobody must have come for all to be back, and
	// settleMost when all are taken to be back anyway.
	settleQuiet = 2 * time.Second
	settleMost  = 2 * maxSpread
)

// spreadMs is over how many milliseconds clients that lose their sessions now
// are to come back.
func (d *Directory) spreadMs() uint32 {
	spread := time.Duration(d.Sessions()) * time.Second / returnsPerSecond
	return uint32(min(max(spread, minSpread), maxSpread).Milliseconds())
}

// returned notes that a session began.
func (d *Directory) returned() { d.returnedAt.Store(int64(time.Since(d.opened))) }

// settle begins the time in which the clients of before a restart come back.
// Until it is over a session is told of its contacts who are online, and not yet
// of the others: everybody would see all contacts leave and come again.
func (d *Directory) settle(run context.Context) {
	d.view.mu.Lock()
	defer d.view.mu.Unlock()
	if len(d.view.owners) == 0 {
		return // nobody can come back
	}
	d.view.settling = true
	d.opened = time.Now()
	d.workers.Go(func() {
		for {
			open := time.Since(d.opened)
			wait := min(time.Duration(d.returnedAt.Load())+settleQuiet, settleMost) - open
			if wait <= 0 {
				d.settled()
				return
			}
			select {
			case <-run.Done():
				return
			case <-time.After(wait):
			}
		}
	})
}

// settled tells all sessions of their contacts who are not back.
func (d *Directory) settled() {
	v := &d.view
	v.mu.Lock()
	defer v.mu.Unlock()
	v.settling = false
	for user, sessions := range v.sessions {
		p := v.online[user]
		if p == nil {
			continue // it has not begun, and is told of everybody when it does
		}
		for _, contact := range p.Contacts {
			if v.visible(contact, user) {
				continue
			}
			for _, s := range sessions {
				s.mark(contact)
			}
		}
	}
}
