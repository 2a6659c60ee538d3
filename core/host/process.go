package host

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-plugin/runner"
)

// process is a plugin's process. It is go-plugin's runner, in place of
// go-plugin's own, because that one hands the plugin the core's standard input,
// forks from any thread, and believes any address the plugin prints.
type process struct {
	cmd    *exec.Cmd
	forker *forker
	socket string // folder the plugin's socket must be in

	limits  *limits  // nil for none
	barrier *barrier // of a sandbox

	stdin          *os.File // its closing tells the plugin to exit
	stdout, stderr *os.File
	theirs         []*os.File

	running atomic.Bool   // set once it was started
	done    chan struct{} // closed when the process has ended
	state   string        // how it ended; read after done
}

var _ runner.Runner = (*process)(nil)

// newProcess prepares cmd; the files in it are closed once it has started.
func newProcess(f *forker, cmd *exec.Cmd, socketFolder string, s spec) (*process, error) {
	p := &process{cmd: cmd, forker: f, socket: socketFolder, limits: s.limits, done: make(chan struct{})}
	p.theirs = append(p.theirs, cmd.ExtraFiles...)
	var err error
	if s.confine {
		var wait, facts *os.File
		if p.barrier, wait, facts, err = newBarrier(); err == nil {
			cmd.ExtraFiles = append(cmd.ExtraFiles, wait, facts)
			p.theirs = append(p.theirs, wait, facts)
		}
	}
	pipe := func(ours **os.File, childReads bool) *os.File {
		if err != nil {
			return nil
		}
		var r, w *os.File
		if r, w, err = os.Pipe(); err != nil {
			return nil
		}
		if childReads {
			r, w = w, r
		}
		*ours = r
		p.theirs = append(p.theirs, w)
		return w
	}
	stdin, stdout, stderr := pipe(&p.stdin, true), pipe(&p.stdout, false), pipe(&p.stderr, false)
	if err != nil {
		p.closeFiles()
		return nil, fmt.Errorf("make pipes for plugin: %w", err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	// A group of its own, so that what it starts ends with it; and SIGKILL when
	// the core is gone, however it went.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return p, nil
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}

func (p *process) closeFiles() {
	closeAll(p.theirs...)
	closeAll(p.stdin, p.stdout, p.stderr)
	p.barrier.close()
}

// Start starts the process.
func (p *process) Start(ctx context.Context) error {
	err := p.forker.run(ctx, p.cmd.Start)
	if err != nil {
		p.closeFiles()
		p.state = err.Error()
		close(p.done)
		return fmt.Errorf("start %s: %w", p.cmd.Path, err)
	}
	p.running.Store(true)
	closeAll(p.theirs...)
	go p.wait()
	if err := p.limit(); err != nil {
		_ = p.Kill(ctx)
		return fmt.Errorf("start %s: %w", p.cmd.Path, err)
	}
	return nil
}

// limit bounds what the process may use. One in a sandbox has not come to the
// plugin's own code yet.
func (p *process) limit() error {
	switch {
	case p.barrier != nil:
		defer p.barrier.close()
		return p.barrier.pass(p.cmd.Process.Pid, *p.limits)
	case p.limits != nil:
		return p.limits.impose(p.cmd.Process.Pid)
	}
	return nil
}

func (p *process) wait() {
	err := p.cmd.Wait()
	p.state = "exit status 0"
	if err != nil {
		p.state = err.Error()
	}
	// What it started goes with it.
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	close(p.done)
	_ = p.stdin.Close()
	// Readers get what is still in the pipes, to their ends; a grandchild that left
	// the group and holds them must not keep readers waiting for ever. A reader
	// that is late for the deadline misses the plugin's last words.
	deadline := time.Now().Add(3 * time.Second)
	_ = p.stdout.SetReadDeadline(deadline)
	_ = p.stderr.SetReadDeadline(deadline)
}

// Wait waits for the end of the process.
func (p *process) Wait(context.Context) error {
	<-p.done
	return nil
}

// Kill ends the process and all of its group. Idempotent.
func (p *process) Kill(context.Context) error {
	if !p.running.Load() {
		return nil
	}
	select {
	case <-p.done:
	default:
		// The process is not waited for before done, so the id is still its.
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		_ = syscall.Kill(p.cmd.Process.Pid, syscall.SIGKILL)
	}
	return nil
}

// Stdout and Stderr give go-plugin the reading ends.
func (p *process) Stdout() io.ReadCloser { return p.stdout }

// Stderr is where the plugin logs.
func (p *process) Stderr() io.ReadCloser { return p.stderr }

// Name is the path, for go-plugin's log.
func (p *process) Name() string { return p.cmd.Path }

// ID is the process id.
func (p *process) ID() string {
	if !p.running.Load() {
		return ""
	}
	return strconv.Itoa(p.cmd.Process.Pid)
}

// Diagnose is part of go-plugin's message when the handshake fails.
func (p *process) Diagnose(context.Context) string {
	return "it must print go-plugin's handshake line first, see docs/plugin-guide.md"
}

// PluginToHost takes only a socket in the folder made for it: a plugin must not
// make the core connect to something else.
func (p *process) PluginToHost(network, address string) (string, string, error) {
	if network != "unix" || filepath.Dir(filepath.Clean(address)) != filepath.Clean(p.socket) {
		return "", "", fmt.Errorf("plugin listens on %s %q, and not on a unix socket in %s: %w", network, address, p.socket, errProtocol)
	}
	info, err := os.Lstat(address)
	if err != nil {
		return "", "", fmt.Errorf("plugin's socket: %w", err)
	}
	if info.Mode()&os.ModeSocket == 0 {
		return "", "", fmt.Errorf("plugin's socket %s is not a socket: %w", address, errProtocol)
	}
	return network, address, nil
}

// HostToPlugin is for go-plugin's broker, which is not used.
func (p *process) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}
