// Package process starts the programs that benchmarks measure, and tells what
// they use of the machine. Linux only, like what it reads in /proc.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// kept is how much of what a program says is kept, from its end.
	kept = 64 << 10
	// told is how much of it an error tells.
	told = 2 << 10
	// stopTimeout is how long a program has to end when it is asked to.
	stopTimeout = 30 * time.Second
)

// Config of a Process.
type Config struct {
	// Program is a path, or a name for one of this repository's programs, which
	// `make build` puts into bin/.
	Program string
	Args    []string
	Env     []string // besides this process's own
	// Stdin and Stdout, which may be nil, are its standard input, and its output
	// where that is not to be kept.
	Stdin, Stdout *os.File
	// Inside, which may be nil, runs what starts the program, as
	// network.Network.Inside does.
	Inside func(start func() error) error
}

// Process is a program that runs. It dies with the benchmark. Its methods are
// safe for concurrent use.
type Process struct {
	cmd    *exec.Cmd
	output output
	exited chan struct{}
	err    error // of Wait; written before exited is closed
}

// Start starts a program.
func Start(cfg Config) (*Process, error) {
	path, err := find(cfg.Program)
	if err != nil {
		return nil, err
	}
	p := &Process{exited: make(chan struct{}), output: output{more: make(chan struct{})}}
	p.cmd = exec.Command(path, cfg.Args...) //nolint:gosec,noctx // what a benchmark asks for; Stop ends it, and its parent's death
	p.cmd.Env = append(os.Environ(), cfg.Env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if cfg.Stdin != nil {
		p.cmd.Stdin = cfg.Stdin
	}
	if cfg.Stdout != nil {
		p.cmd.Stdout = cfg.Stdout
	}
	p.cmd.WaitDelay = 10 * time.Second // for the output of children that live longer
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	inside := cfg.Inside
	if inside == nil {
		inside = func(start func() error) error { return start() }
	}
	if err := inside(p.cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", cfg.Program, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// find gives the path of a program of bin/.
func find(program string) (string, error) {
	if strings.Contains(program, "/") {
		return program, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("run benchmarks in the folder of the sources")
		}
		dir = filepath.Dir(dir)
	}
	path := filepath.Join(dir, "bin", program)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w; run make build", err)
	}
	return path, nil
}

// Await gives the rest of the first line that begins with prefix, said before or
// from now on.
func (p *Process) Await(ctx context.Context, prefix string) (string, error) {
	line, err := p.AwaitLine(ctx, fmt.Sprintf("%q", prefix), func(line string) bool { return strings.HasPrefix(line, prefix) })
	return strings.TrimSpace(strings.TrimPrefix(line, prefix)), err
}

// AwaitLine gives the first line that is wanted, said before or from now on. Errors
// call it what.
func (p *Process) AwaitLine(ctx context.Context, what string, wanted func(line string) bool) (string, error) {
	for {
		line, ok, more := p.output.find(wanted)
		if ok {
			return line, nil
		}
		select {
		case <-more:
		case <-p.exited:
			if line, ok, _ := p.output.find(wanted); ok {
				return line, nil
			}
			return "", p.failed("ended before it said " + what)
		case <-ctx.Done():
			return "", fmt.Errorf("%w: %w", p.failed("did not say "+what), ctx.Err())
		}
	}
}

func (p *Process) failed(what string) error {
	return fmt.Errorf("%s %s; it said:\n%s", filepath.Base(p.cmd.Path), what, p.output.end(told))
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Exited is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Stop asks the process to end, and kills it if it does not. Its error is that
// of a process that had to be killed, or did not end well. Idempotent.
func (p *Process) Stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case <-p.exited:
	case <-timeout.C:
		p.Kill()
		return p.failed("had to be killed")
	}
	var exit *exec.ExitError
	if errors.As(p.err, &exit) {
		return p.failed(exit.Error())
	}
	return nil
}

// Ended waits for the process's own end, which is an error unless it ended well.
func (p *Process) Ended(ctx context.Context) error {
	select {
	case <-p.exited:
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", p.failed("does not end"), ctx.Err())
	}
	if p.err != nil {
		return p.failed(p.err.Error())
	}
	return nil
}

// Spent is the processor time of a process that has ended, and of its children
// that it waited for.
func (p *Process) Spent() time.Duration {
	<-p.exited
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}

// Kill ends the process without a word to it, and waits. Idempotent.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// output is the end of what a process says. It is an io.Writer.
type output struct {
	mu   sync.Mutex // guards the two below
	said []byte
	more chan struct{} // closed, and made anew, when something is said
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.said = append(o.said, b...)
	if len(o.said) > 2*kept {
		o.said = append([]byte(nil), o.said[len(o.said)-kept:]...)
	}
	close(o.more)
	o.more = make(chan struct{})
	return len(b), nil
}

// find looks for a line, and gives what is closed when it is worth looking again.
func (o *output) find(wanted func(line string) bool) (line string, ok bool, more <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for line := range strings.Lines(string(o.said)) {
		line, whole := strings.CutSuffix(line, "\n")
		if whole && wanted(line) {
			return line, true, nil
		}
	}
	return "", false, o.more
}

func (o *output) end(n int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.said[max(0, len(o.said)-n):])
}
