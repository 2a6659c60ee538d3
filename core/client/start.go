package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// maxLog is how large the log may be for a new core to go on with it.
const maxLog = 4 << 20

// startPatience is how long a core that lives may take until it answers: on a machine
// that has just been switched on, or is busy, that can be long.
const startPatience = time.Minute

// Start connects to the core of a profile and starts one in the background
// when none runs. program is the parley executable. The core outlives the
// caller; its log goes to Folders.LogFile.
func Start(ctx context.Context, f Folders, program string) (*Client, error) {
	c, err := Connect(ctx, f)
	if !errors.Is(err, ErrNotRunning) {
		return c, err
	}
	if err := f.Make(); err != nil {
		return nil, err
	}
	if info, err := os.Stat(f.LogFile()); err == nil && info.Size() > maxLog {
		// One old log is kept. Failing that, it goes on growing.
		_ = os.Rename(f.LogFile(), f.LogFile()+".old")
	}
	logFile, err := os.OpenFile(f.LogFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start parley: %w", err)
	}
	defer func() { _ = logFile.Close() }()
	offset, err := logFile.Seek(0, 2)
	if err != nil {
		return nil, fmt.Errorf("start parley: %w", err)
	}
	// Not CommandContext: the core must outlive the caller.
	cmd := exec.Command(program, "daemon", "--profile", f.Profile) //nolint:gosec,noctx // our own program, by its full path
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start parley: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // what it wrote says more
		close(ended)
	}()
	return await(ctx, f, ended, offset)
}

// await waits until the core answers, or says why it ended.
func await(ctx context.Context, f Folders, ended <-chan struct{}, offset int64) (*Client, error) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := Connect(ctx, f)
		if !errors.Is(err, ErrNotRunning) {
			return c, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("start parley: it did not come up: see %s", f.LogFile())
		case <-ended:
			// Another one may have been quicker.
			if c, err := Connect(ctx, f); err == nil {
				return c, nil
			}
			return nil, fmt.Errorf("start parley: %s", lastWords(f.LogFile(), offset))
		}
	}
}

// lastWords gives what a core that ended at once wrote, at most its last 2 KiB.
func lastWords(path string, offset int64) string {
	file, err := os.Open(path)
	if err != nil {
		return "it ended at once, see " + path
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err == nil {
		offset = max(offset, info.Size()-2048)
	}
	b, err := io.ReadAll(io.NewSectionReader(file, offset, 2048))
	if err != nil || len(b) == 0 {
		return "it ended at once, see " + path
	}
	b = bytes.TrimSpace(b)
	// A program's own last sentence says it all.
	if last := b[bytes.LastIndexByte(b, '\n')+1:]; bytes.HasPrefix(last, []byte("parley: ")) {
		b = last[len("parley: "):]
	}
	return string(b)
}
