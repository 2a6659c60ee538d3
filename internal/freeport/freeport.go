// Package freeport finds ports for servers whose address must be known before they
// listen, or stays the same while they do not: those that a listener on port 0 is
// given, and leaves again, the kernel gives to the next connection of any program.
package freeport

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"syscall"
)

// lowest is the first port that is taken; below are those of well-known services.
const lowest = 10_000

// Local gives an address of this machine, "127.0.0.1:PORT", at which nobody listens,
// and that the kernel gives to nobody who asks for none in particular.
func Local(ctx context.Context) (string, error) {
	first, err := ephemeral("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return "", err
	}
	const tries = 1000
	for range tries {
		port := lowest + rand.IntN(first-lowest) //nolint:gosec // not a secret
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("find a free port: %w", err)
		}
		return address, l.Close()
	}
	return "", fmt.Errorf("find a free port: %d between %d and %d are all in use", tries, lowest, first)
}

// usual is the first port that Linux gives by itself, where nothing says another.
const usual = 32_768

// ephemeral reads which is the first port that the kernel gives by itself; where that
// leaves none below, usual is all there is.
func ephemeral(path string) (int, error) {
	b, err := os.ReadFile(path) //nolint:gosec // a fixed one
	if errors.Is(err, os.ErrNotExist) {
		return usual, nil
	}
	if err != nil {
		return 0, fmt.Errorf("which ports the kernel gives: %w", err)
	}
	var first, last int
	if _, err := fmt.Sscan(string(b), &first, &last); err != nil {
		return 0, fmt.Errorf("%s has %q, not two ports: %w", path, b, err)
	}
	if first <= lowest || first > 1<<16 {
		return usual, nil
	}
	return first, nil
}
