package core

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/parley-chat/parley/core/client"
)

// ErrRunning says that another core runs on the profile.
var ErrRunning = errors.New("parley runs already")

// lockProfile takes the lock that at most one core of a profile holds. The
// system drops it when the process ends, however it ends.
func lockProfile(f client.Folders) (*os.File, error) {
	path := filepath.Join(f.Data, "lock")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the profile's own folder
	if err != nil {
		return nil, fmt.Errorf("open the profile's lock: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil { //nolint:gosec // a file descriptor
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
