package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/parley-chat/parley/bench/people"
	"github.com/parley-chat/parley/bench/process"
	"github.com/parley-chat/parley/bench/report"
	"github.com/parley-chat/parley/internal/freeport"
)

// crocProgram is where scripts/setup puts croc: beside this program.
func crocProgram() string {
	self, err := os.Executable()
	if err != nil {
		return "croc"
	}
	return filepath.Join(filepath.Dir(self), "croc")
}

// relayPorts is how many a relay of croc's has: one to meet at, four for data.
const relayPorts = 5

func croc(ctx context.Context, r *report.Round) error {
	large, err := transfer(ctx, r, largeFile, crocCopy)
	if err != nil {
		return err
	}
	recordLarge(r, large)
	recordPeak(r, peakGiver, large.giver, "croc")
	recordPeak(r, peakTaker, large.taker, "croc")
	recordPeak(r, peakMiddle, large.middle, "croc")
	_, err = transfer(ctx, r, smallFile, crocCopy)
	return err
}

func crocCopy(ctx context.Context, r *report.Round, path, into string) (copied, error) {
	var ports []string
	for range relayPorts {
		address, err := freeport.Local(ctx)
		if err != nil {
			return copied{}, err
		}
		_, port, _ := net.SplitHostPort(address)
		ports = append(ports, port)
	}
	env := []string{"CROC_CONFIG_DIR=" + r.Dir, "HOME=" + r.Dir, "CROC_SECRET=1234-from-one-to-another"}
	run := func(args ...string) (*watched, error) {
		return start(process.Config{Program: crocProgram(), Args: args, Env: env})
	}
	relay, err := run("relay", "--host", "127.0.0.1", "--ports", strings.Join(ports, ","))
	if err != nil {
		return copied{}, err
	}
	defer relay.abandon()
	for _, port := range ports {
		if err := connected(ctx, relay, "it listens on port "+port, func() (bool, error) { return sockets(port, listens) }); err != nil {
			return copied{}, err
		}
	}
	// The relay's address is given, so that nothing is looked up.
	options := []string{"--yes", "--ignore-stdin", "--disable-clipboard", "--relay", "127.0.0.1:" + ports[0], "--relay6", ""}
	giver, err := run(append(options, "send", "--no-local", path)...)
	if err != nil {
		return copied{}, err
	}
	defer giver.abandon()
	if err := connected(ctx, giver, "it waits at the relay", func() (bool, error) { return sockets(ports[0], established) }); err != nil {
		return copied{}, err
	}
	begin := time.Now()
	taker, err := run(append(options, "--out", into)...)
	if err != nil {
		return copied{}, err
	}
	defer taker.abandon()
	if err := errors.Join(taker.Ended(ctx), giver.Ended(ctx)); err != nil {
		return copied{}, err
	}
	c := copied{took: time.Since(begin), giver: giver.spent(), taker: taker.spent(), at: arrived(path, into)}
	relay.Kill() // it has no way to end by itself
	c.middle = relay.spent()
	return c, nil
}

// connected waits for a condition of a program, or its end.
func connected(ctx context.Context, p *watched, what string, done func() (bool, error)) error {
	return people.Until(ctx, what, func(ctx context.Context) (bool, error) {
		select {
		case <-p.Exited():
			return false, fmt.Errorf("croc ended early: %w", p.Ended(ctx))
		default:
			return done()
		}
	})
}

// States of a socket in /proc/net/tcp.
const (
	established = "01"
	listens     = "0A"
)

// sockets says whether there is a TCP socket in that state with a local port.
// croc says nothing when it waits, and a connection to try it would count as one
// of the two that a relay brings together.
func sockets(port, state string) (bool, error) {
	number, err := strconv.Atoi(port)
	if err != nil {
		return false, err
	}
	end := fmt.Sprintf(":%04X", number)
	for _, path := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		table, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, err
		}
		for line := range strings.Lines(string(table)) {
			if f := strings.Fields(line); len(f) > 3 && strings.HasSuffix(f[1], end) && f[3] == state {
				return true, nil
			}
		}
	}
	return false, nil
}
