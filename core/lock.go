package core

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/parley-chat/parley/core/client"
)

// ErrRunning says that another core runs on the profile.
var ErrRunning = errors.New("parley runs already")

// lockPatience is how long a core that has stopped answering may take to end.
const lockPatience = 15 * time.Second

// takeProfile takes the profile's lock. One held by a core that answers no more
// is about to be free: it is waited for.
func takeProfile(ctx context.Context, f client.Folders) (*os.File, error) {
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		file, err := lockProfile(f)
		if !errors.Is(err, ErrRunning) {
			return file, err
		}
		if c, connectErr := client.Connect(ctx, f); !errors.Is(connectErr, client.ErrNotRunning) {
			if connectErr == nil {
				_ = c.Close()
			}
			return nil, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, err
		}
	}
}

// lockProfile takes the lock that at most one core of a profile holds. The
// system drops it when the process ends, however it ends.
func lockProfile(f client.Folders) (*os.File, error) {
	path := f.Lock()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the profile's lock: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer func() { _ = file.Close() }()
		if errors.Is(err, unix.EWOULDBLOCK) {
			b := make([]byte, 20)
			n, _ := file.ReadAt(b, 0) // just to name the process
			return nil, fmt.Errorf("%w on profile %s (process %s): use it, or end it with: parley daemon stop --profile %s",
				ErrRunning, f.Profile, strings.TrimSpace(string(b[:n])), f.Profile)
		}
		return nil, fmt.Errorf("lock profile %s: %w", f.Profile, err)
	}
	// The number is a help for people, the lock is what counts.
	_ = file.Truncate(0)
	_, _ = file.WriteAt(fmt.Appendln(nil, os.Getpid()), 0)
	return file, nil
}
