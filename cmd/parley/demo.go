package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/internal/freeport"
	"github.com/parley-chat/parley/protocol/controlpb"
)

func (a *app) demoCommand() *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show a directory and two people chatting on this machine",
		Long: `Show a directory and two people chatting on this machine.

It runs the real programs in a temporary folder: a directory server and two
headless cores with their plugin processes. Nothing of yours is touched.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			parent := os.TempDir()
			if len(parent) > 32 {
				parent = "/tmp" // sockets lie below it, whose paths must be short
			}
			folder, err := os.MkdirTemp(parent, "parley-demo-")
			if err != nil {
				return fmt.Errorf("make a folder for the demo: %w", err)
			}
			d := &demo{app: a, folder: folder}
			err = d.run(cmd.Context())
			d.end()
			if keep || err != nil && cmd.Context().Err() == nil {
				_, _ = fmt.Fprintln(a.errs, "The demo's files and logs are in "+folder)
				return err
			}
			if removeErr := os.RemoveAll(folder); removeErr != nil {
				return fmt.Errorf("remove the demo's folder: %w", errors.Join(err, removeErr))
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "keep the demo's files and logs")
	return cmd
}

// demo is one run of the demonstration.
type demo struct {
	app     *app
	folder  string
	address string // of the directory
	server  *process
	people  []*person
}

// person is one user with a core.
type person struct {
	name    string
	folders client.Folders
	core    *process
	client  *client.Client
	events  chan *controlpb.Event
}

// process is a program of the demo's.
type process struct {
	cmd   *exec.Cmd
	log   string
	ended chan struct{}
}

// start starts a program of this installation; its output goes to a file.
func (d *demo) start(name, program string, env []string, args ...string) (*process, error) {
	log := filepath.Join(d.folder, name+".log")
	file, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer func() { _ = file.Close() }()
	cmd := exec.Command(program, args...) //nolint:gosec,noctx // our own programs; ended by end()
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{cmd: cmd, log: log, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// stop ends a process and waits for it.
func (p *process) stop() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	patience := time.NewTimer(15 * time.Second)
	defer patience.Stop()
	select {
	case <-p.ended:
	case <-patience.C:
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// running is an error once the process has ended.
func (p *process) running() error {
	select {
	case <-p.ended:
		b, _ := os.ReadFile(p.log)
		return fmt.Errorf("it ended: %s", bytes.TrimSpace(b[max(0, len(b)-2048):]))
	default:
		return nil
	}
}

// end ends everything that the demo started.
func (d *demo) end() {
	for _, p := range d.people {
		if p.client != nil {
			_ = p.client.Close()
		}
		p.core.stop()
	}
	d.server.stop()
}

// startServer starts the directory and waits until it answers.
func (d *demo) startServer(ctx context.Context) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the programs: %w", err)
	}
	server := filepath.Join(filepath.Dir(program), "parley-server")
	if d.address == "" {
		if d.address, err = freeport.Local(ctx); err != nil {
			return err
		}
	}
	d.server, err = d.start("server", server, nil, "serve", "--listen", d.address, "--data", filepath.Join(d.folder, "server"))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("parley-server is not beside %s: build it with make build", program)
	}
	if err != nil {
		return err
	}
	return d.until(ctx, "the directory answers", func() (bool, error) {
		if err := d.server.running(); err != nil {
			return false, err
		}
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", d.address)
		if err != nil {
			return false, nil //nolint:nilerr // not yet
		}
		return true, c.Close()
	})
}

// startCore starts a person's core and connects to it.
func (d *demo) startCore(ctx context.Context, p *person) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the programs: %w", err)
	}
	home := filepath.Join(d.folder, p.name)
	p.folders = client.Folders{
		Profile: "default", Data: filepath.Join(home, "profiles", "default"), Run: filepath.Join(home, "run", "default"),
	}
	p.core, err = d.start(p.name, program, []string{"PARLEY_HOME=" + home, "PARLEY_PROFILE=", "PARLEY_KEY=file"},
		"daemon", "--listen", "127.0.0.1:0", "--log-level", "debug")
	if err != nil {
		return err
	}
	err = d.until(ctx, p.name+"'s core answers", func() (bool, error) {
		if err := p.core.running(); err != nil {
			return false, err
		}
		p.client, err = client.Connect(ctx, p.folders)
		if errors.Is(err, client.ErrNotRunning) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return err
	}
	return p.watch(ctx)
}

// stopCore ends a person's core as a log-off of the machine would.
func (p *person) stopCore() {
	_ = p.client.Close()
	p.client = nil
	p.core.stop()
}

// watch begins to follow what the core says.
func (p *person) watch(ctx context.Context) error {
	stream, err := p.client.Watch(ctx, &controlpb.WatchRequest{})
	if err != nil {
		return err
	}
	if _, err := stream.Recv(); err != nil {
		return err
	}
	events := make(chan *controlpb.Event, 1024)
	p.events = events
	go func() {
		defer close(events)
		for {
			e, err := stream.Recv()
			if err != nil {
				return
			}
			select {
			case events <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	return nil
}

// patience is how long the demo waits for anything.
const patience = time.Minute

// await waits for an event that done likes.
func (p *person) await(ctx context.Context, what string, done func(e *controlpb.Event) bool) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case e, ok := <-p.events:
			if !ok {
				return fmt.Errorf("waiting until %s: %s's core is gone", what, p.name)
			}
			if done(e) {
				return nil
			}
		case <-timer.C:
			return fmt.Errorf("not within %s: %s", patience, what)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// until asks again and again until done is true.
func (d *demo) until(ctx context.Context, what string, done func() (bool, error)) error {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done()
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if ok {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return fmt.Errorf("not within %s: %s", patience, what)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// step runs one step of the demo and prints how it went.
func (d *demo) step(what string, f func() (string, error)) error {
	start := time.Now()
	detail, err := f()
	took := time.Since(start)
	if d.app.json {
		j := map[string]any{"step": what, "ok": err == nil, "ms": float64(took.Microseconds()) / 1000, "detail": detail}
		if err != nil {
			j["error"] = sentence(err)
			if why := client.Info(err); why != nil {
				j["reason"] = why.GetReason()
			}
		}
		if err := d.app.object(j); err != nil {
			return err
		}
	} else {
		mark := "✓"
		if err != nil {
			mark = "✗"
		}
		d.app.printf("%s %-58s %9s  %s\n", mark, what, milliseconds(took), detail)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func milliseconds(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', 1, 64) + " ms"
}
