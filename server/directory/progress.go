package directory

import (
	"context"
	"sync"
)

// progress tells those who wrote a record when the view has it.
type progress struct {
	mu      sync.Mutex // guards both
	reached uint64
	waiters map[chan struct{}]uint64
}

func (p *progress) reach(revision uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reached = max(p.reached, revision)
	for ch, want := range p.waiters {
		if want <= p.reached {
			close(ch)
			delete(p.waiters, ch)
		}
	}
}

// wait returns once revision is reached.
func (p *progress) wait(ctx context.Context, revision uint64) error {
	p.mu.Lock()
	if p.reached >= revision {
		p.mu.Unlock()
		return nil
	}
	if p.waiters == nil {
		p.waiters = map[chan struct{}]uint64{}
	}
	ch := make(chan struct{})
	p.waiters[ch] = revision
	p.mu.Unlock()
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		p.mu.Lock()
		delete(p.waiters, ch)
		p.mu.Unlock()
		return ctx.Err()
	}
}
