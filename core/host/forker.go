package host

import (
	"context"
	"runtime"
)

// forker starts processes from one operating-system thread that lives as long
// as they do. The parent-death signal is tied to the thread that forked, not to
// the process: started from any goroutine, a plugin would be killed whenever
// the Go runtime retires that goroutine's thread.
type forker struct {
	work chan func()
	done chan struct{}
}

func newForker() *forker {
	f := &forker{work: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(f.done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for fn := range f.work {
			fn()
		}
	}()
	return f
}

// run runs fn on the thread and waits for it.
func (f *forker) run(ctx context.Context, fn func() error) error {
	result := make(chan error, 1)
	select {
	case f.work <- func() { result <- fn() }:
		return <-result
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close ends the thread; only after all its processes ended.
func (f *forker) close() {
	close(f.work)
	<-f.done
}
