package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/parley-chat/parley/bench/process"
	"github.com/parley-chat/parley/bench/report"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/server/directory"
	"github.com/parley-chat/parley/server/password"
	"github.com/parley-chat/parley/server/state"
)

const (
	passwordOfAll = "correct horse battery"
)

// world is what all rounds share: the accounts are made once.
type world struct {
	options
	once   sync.Once
	err    error
	folder string
}

func (w *world) close() {
	if w.folder != "" {
		_ = os.RemoveAll(w.folder)
	}
}

// prepare makes the data folder.
func (w *world) prepare(ctx context.Context) error {
	w.once.Do(func() { w.err = errors.Join(raiseFiles(), w.fill(ctx)) })
	return w.err
}

// raiseFiles lets this process, and those it starts, have as many files open as
// it may.
func raiseFiles() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

func (w *world) fill(ctx context.Context) (err error) {
	if w.folder, err = os.MkdirTemp("", "parley-bench-"); err != nil {
		return err
	}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	data := filepath.Join(w.folder, "data")
	s, err := state.Open(data, state.Options{Log: quiet, Restore: true})
	if err != nil {
		return err
	}
	err = w.accountsInto(ctx, s, quiet)
	s.Close()
	return errors.Join(err, state.Restored(data))
}

func (w *world) accountsInto(ctx context.Context, s *state.State, quiet *slog.Logger) error {
	d, err := directory.Open(ctx, directory.Config{Conn: s.Conn(), Log: quiet})
	if err != nil {
		return err
	}
	defer d.Close()
	hasher, err := password.New(password.DefaultCost, 1)
	if err != nil {
		return err
	}
	hash, err := hasher.Hash(ctx, passwordOfAll)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(256)
	for i := 0; i < w.accounts && ctx.Err() == nil; i++ {
		g.Go(func() error {
			key, _, err := deviceKey(i)
			if err != nil {
				return err
			}
			a := directory.Account{
				User: packet.UserID(userName(i)), Password: hash, DisplayName: fmt.Sprintf("User %d", i), CreatedAt: time.Now().UnixMicro(),
				Devices: []directory.Device{{Key: key.Public().(ed25519.PublicKey), BoundAt: time.Now().UnixMicro()}},
			}
			return d.CreateAccount(ctx, a)
		})
	}
	return g.Wait()
}

// unlimited is a configuration without the limits of how often, which the
// benchmark would measure otherwise.
func (w *world) unlimited() (string, error) {
	text := fmt.Sprintf("[connections]\nmax = %d\n[limits]\n", 2*w.sessions+1000)
	for _, name := range []string{"register", "log-in-address", "log-in-account", "change-password", "set-profile", "look-up", "deliver", "session", "message"} {
		text += name + " = { burst = 0, every = \"1s\" }\n"
	}
	path := filepath.Join(w.folder, "config.toml")
	return path, os.WriteFile(path, []byte(text), 0o600)
}

func (w *world) parley(ctx context.Context, r *report.Round) error {
	if err := w.prepare(ctx); err != nil {
		return err
	}
	config, err := w.unlimited()
	if err != nil {
		return err
	}
	began := time.Now()
	p, err := process.Start(process.Config{Program: "parley-server", Args: []string{
		"serve", "--listen", "127.0.0.1:0", "--log-level", "warn", "--config", config, "--data", filepath.Join(w.folder, "data"),
	}})
	if err != nil {
		return err
	}
	defer p.Kill()
	address, err := p.Await(ctx, "listening on ")
	if err != nil {
		return err
	}
	r.Record(start, time.Since(began).Seconds())
	before, err := w.settled(ctx, p)
	if err != nil {
		return err
	}
	m := &measurement{world: w, round: r, process: p, before: before, fleet: newFleet(address, w.contacts)}
	defer m.fleet.close()
	return m.run(ctx)
}

// settled waits until what a process no longer needs is given back to the system,
// and gives what it has in memory then. Go does so within minutes.
func (w *world) settled(ctx context.Context, p *process.Process) (int64, error) {
	u, err := p.Usage()
	least := u.Resident
	for end := time.Now().Add(time.Duration(w.settle) * time.Second); err == nil && time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(time.Second):
		}
		u, err = p.Usage()
		least = min(least, u.Resident)
	}
	return least, err
}
