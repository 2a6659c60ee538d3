package conn

import (
	"context"

	"golang.org/x/sync/semaphore"

	"github.com/parley-chat/parley/internal/gate"
)

// gate gives what bounds connections of strangers in their handshake.
func (l Limits) gate() gate.Limits {
	return gate.Limits{Total: l.Handshakes, PerPlace: l.HandshakesPerIP, PerSecond: l.AcceptsPerSecond, Burst: l.AcceptBurst}
}

// budget bounds frames and their bytes. Who waits is served in order, so a large
// frame is not starved by small ones.
type budget struct{ frames, bytes *semaphore.Weighted }

func newBudget(frames, bytes int) budget {
	return budget{semaphore.NewWeighted(int64(frames)), semaphore.NewWeighted(int64(bytes))}
}

// take waits until a frame of size bytes fits. Give it back with put.
func (b budget) take(ctx context.Context, size int) error {
	if err := b.frames.Acquire(ctx, 1); err != nil {
		return err
	}
	if err := b.bytes.Acquire(ctx, int64(size)); err != nil {
		b.frames.Release(1)
		return err
	}
	return nil
}

// tryTake is take without waiting.
func (b budget) tryTake(size int) bool {
	if !b.frames.TryAcquire(1) {
		return false
	}
	if !b.bytes.TryAcquire(int64(size)) {
		b.frames.Release(1)
		return false
	}
	return true
}

func (b budget) put(size int) {
	b.bytes.Release(int64(size))
	b.frames.Release(1)
}
