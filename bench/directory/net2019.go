package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/parley-chat/parley/bench/process"
	"github.com/parley-chat/parley/bench/report"
)

const (
	// echoCommand has this program send back what it is sent.
	echoCommand = "echo-server"

	askers = 64 // clients of 2019 that ask without a pause
	turns  = 5  // of server and echo
)

// serveEcho serves until it is killed.
func serveEcho() error {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("listening on %s\n", l.Addr())
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			b := make([]byte, 128)
			for {
				n, err := conn.Read(b)
				if err != nil {
					return
				}
				if _, err := conn.Write(b[:n]); err != nil {
					return
				}
			}
		}()
	}
}

// answering is a program that answers askers.
type answering struct {
	process *process.Process
	askers  []net.Conn
	answers int64
	asked   time.Duration
	busy    time.Duration // of its processor
}

func (a *answering) close() {
	for _, conn := range a.askers {
		_ = conn.Close()
	}
	a.process.Kill()
}

// connect connects n clients, each of which says hello and awaits the answer.
func connect(ctx context.Context, address string, n int, hello, answer string) ([]net.Conn, error) {
	all := make([]net.Conn, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(dialing)
	for i := range all {
		g.Go(func() error {
			local := &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i/perAddress))}
			conn, err := (&net.Dialer{LocalAddr: local}).DialContext(ctx, "tcp", address)
			if err != nil {
				return err
			}
			all[i] = conn
			if _, err := io.WriteString(conn, hello); err != nil {
				return err
			}
			b := make([]byte, len(answer))
			if _, err := io.ReadFull(conn, b); err != nil || string(b) != answer {
				return fmt.Errorf("%q is answered with %q: %w", hello, b, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		for _, conn := range all {
			if conn != nil {
				_ = conn.Close()
			}
		}
		return nil, err
	}
	return all, nil
}

// ask has all askers ask for a while, each again when it has its answer.
func (a *answering) ask(ctx context.Context, query string, d time.Duration) error {
	before, err := a.process.Usage()
	if err != nil {
		return err
	}
	var answers atomic.Int64
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for _, conn := range a.askers {
		g.Go(func() error {
			q, b := []byte(query), make([]byte, 128)
			n := int64(0)
			for ; time.Since(began) < d && ctx.Err() == nil; n++ {
				if _, err := conn.Write(q); err != nil {
					return err
				}
				if _, err := conn.Read(b); err != nil {
					return err
				}
			}
			answers.Add(n)
			return nil
		})
	}
	err = g.Wait()
	a.asked += time.Since(began)
	a.answers += answers.Load()
	after, usageErr := a.process.Usage()
	a.busy += after.CPU - before.CPU
	return errors.Join(err, usageErr)
}

func (a *answering) perSecond() float64 { return float64(a.answers) / a.asked.Seconds() }

func (a *answering) each() float64 { return a.busy.Seconds() / float64(a.answers) }

const helloOf2019 = "2017000001_net2019_2333"

// net2019 measures the directory for clients of the original, in turns with a
// server that only sends back what it gets.
func (w *world) net2019(ctx context.Context, r *report.Round) error {
	if err := raiseFiles(); err != nil {
		return err
	}
	config := filepath.Join(r.Dir, "config.toml")
	text := fmt.Sprintf("[connections]\nmax = %d\n[net2019]\nlisten = \"127.0.0.1:0\"\npassword = \"net2019\"\nlog-in = { burst = 0 }\ncommand = { burst = 0 }\n", 2*w.idle+1000)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	p, err := process.Start(process.Config{Program: "parley-server", Args: []string{
		"serve", "--listen", "127.0.0.1:0", "--log-level", "error", "--config", config, "--data", filepath.Join(r.Dir, "data"),
	}})
	if err != nil {
		return err
	}
	server := &answering{process: p}
	defer server.close()
	address, err := p.Await(ctx, "net2019 on ")
	if err != nil {
		return err
	}
	address = address[:len(address)-len(", not encrypted")]
	if err := w.idleOf2019(ctx, r, p, address); err != nil {
		return err
	}
	if server.askers, err = connect(ctx, address, askers, helloOf2019+helloOf2019, "lollol"); err != nil {
		return err
	}
	echo, err := startEcho(ctx)
	if err != nil {
		return err
	}
	defer echo.close()
	for range turns {
		for _, a := range []*answering{server, echo} {
			if err := a.ask(ctx, "q2017000001", time.Duration(w.seconds)*time.Second/turns); err != nil {
				return err
			}
		}
	}
	r.Record(queries, server.perSecond())
	r.Record(queriesShare, server.perSecond()/echo.perSecond())
	r.Record(queryTime, server.each())
	r.Record(queryTimeShare, server.each()/echo.each())
	return nil
}

func startEcho(ctx context.Context) (*answering, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, err := process.Start(process.Config{Program: self, Args: []string{echoCommand}})
	if err != nil {
		return nil, err
	}
	echo := &answering{process: p}
	address, err := p.Await(ctx, "listening on ")
	if err == nil {
		echo.askers, err = connect(ctx, address, askers, helloOf2019, helloOf2019)
	}
	if err != nil {
		echo.close()
		return nil, err
	}
	return echo, nil
}

// idleOf2019 measures what clients cost that have logged in and are idle.
func (w *world) idleOf2019(ctx context.Context, r *report.Round, p *process.Process, address string) error {
	before, err := w.settled(ctx, p)
	if err != nil {
		return err
	}
	all, err := connect(ctx, address, w.idle, helloOf2019, "lol")
	if err != nil {
		return err
	}
	defer func() {
		for _, conn := range all {
			_ = conn.Close()
		}
	}()
	after, err := w.settled(ctx, p)
	r.Record(idleMemory, float64(after-before)/float64(len(all)))
	return err
}
