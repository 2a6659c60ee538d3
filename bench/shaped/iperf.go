package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strconv"

	"github.com/parley-chat/parley/bench/network"
	"github.com/parley-chat/parley/bench/process"
)

// iperf measures with iperf3 how many bytes a second of content the link carries.
func iperf(ctx context.Context, n *network.Network, l load) (float64, error) {
	path, err := exec.LookPath("iperf3")
	if err != nil {
		return 0, fmt.Errorf("iperf3 is missing: install it (scripts/setup bench does): %w", err)
	}
	server, err := process.Start(process.Config{
		Program: path, Args: []string{"--server", "--one-off", "--forceflush"},
		Inside: func(start func() error) error { return n.Inside("bob", start) },
	})
	if err != nil {
		return 0, err
	}
	defer server.Kill()
	if _, err := server.Await(ctx, "Server listening on "); err != nil {
		return 0, err
	}
	args := []string{"--client", addressBob, "--json", "--time", "5", "--parallel", strconv.Itoa(l.files)}
	if l.back > 0 {
		args = append(args, "--bidir")
	}
	client := exec.CommandContext(ctx, path, args...) //nolint:gosec // our own arguments
	var out bytes.Buffer
	client.Stdout = &out
	if err := n.Inside("anna", client.Start); err != nil {
		return 0, err
	}
	if err := client.Wait(); err != nil {
		return 0, errors.Join(fmt.Errorf("iperf3: %w: %s", err, out.Bytes()))
	}
	type sum struct {
		Rate float64 `json:"bits_per_second"`
	}
	var result struct {
		End struct {
			Forth sum `json:"sum_received"`
			Back  sum `json:"sum_received_bidir_reverse"`
		} `json:"end"`
	}
	if err := json.Unmarshal(out.Bytes(), &result); err != nil {
		return 0, fmt.Errorf("what iperf3 says: %w", err)
	}
	if result.End.Forth.Rate == 0 || l.back > 0 && result.End.Back.Rate == 0 {
		return 0, fmt.Errorf("iperf3 tells no rate: %s", out.Bytes())
	}
	return (result.End.Forth.Rate + result.End.Back.Rate) / 8, nil
}
