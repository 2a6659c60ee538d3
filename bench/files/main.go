// Command files measures how fast a file goes from one person's disk to
// another's, beside what carries nothing else.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/parley-chat/parley/bench/report"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == receiveCommand {
		if err := receive(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(report.Main(bench))
}

// size of the file, in MiB; a flag, so that a quick look is possible.
var size = 1024

const (
	metricSpeed  = "speed"
	metricCPU    = "processor time, both sides, for each GiB"
	metricSender = "peak memory, sender"
	metricTaker  = "peak memory, receiver"
)

var bench = report.Bench{
	Name: "files", Title: "a file from one disk to another", About: about, Rounds: 9, Warmup: true,
	Metrics: []report.Metric{
		{Name: metricSpeed, Unit: report.BytesPerSecond, Better: report.Higher},
		{Name: metricCPU, Unit: report.Seconds},
		{Name: metricSender, Unit: report.Bytes},
		{Name: metricTaker, Unit: report.Bytes},
	},
	Variants: []report.Variant{
		{Name: "TLS + BLAKE3", Run: raw(way{tls: true, hash: true})},
		{Name: "TLS", Run: raw(way{tls: true})},
		{Name: "TCP", Run: raw(way{})},
		{Name: "Parley", Run: parley},
	},
	Baseline: "TLS + BLAKE3",
	Flags:    func(f *flag.FlagSet) { f.IntVar(&size, "size", size, "`MIB` of the file") },
}

const about = `A file (1 GiB unless -size says otherwise) goes between two processes over loopback, from and to a folder in memory (tmpfs, if /dev/shm
is one). **TLS + BLAKE3** is the limit of what Parley promises: a Go program that reads, hashes and sends pieces of 1 MiB over TLS 1.3,
and one that takes, hashes, compares and writes them; **TLS** and **TCP** leave out the hashes, and TLS too. **Parley** is two cores of
two people: from the call that accepts the offer to the event that the file is in its place. Its peak memory is that of the cores, with
all else that they hold.`

// folder is where the files of a round lie: in memory, if the machine has such a
// folder.
func folder(r *report.Round) (dir string, remove func(), err error) {
	if _, err := os.Stat("/dev/shm"); err != nil {
		return r.Dir, func() {}, nil //nolint:nilerr // there is none: the round's folder does
	}
	dir, err = os.MkdirTemp("/dev/shm", "parley-bench-")
	return dir, func() { _ = os.RemoveAll(dir) }, err
}

// makeFile writes the file to be sent.
func makeFile(dir string) (string, error) {
	path := filepath.Join(dir, "file")
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	chunk := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(chunk) // never fails
	for i := range size {
		chunk[0], chunk[1] = byte(i), byte(i>>8)
		if _, err := f.Write(chunk); err != nil {
			_ = f.Close()
			return "", err
		}
	}
	return path, f.Close()
}

// sent is the file's size.
func sent() uint64 { return uint64(size) << 20 }

// record notes a transfer.
func record(r *report.Round, took, cpu time.Duration, sender, taker uint64) {
	r.Record(metricSpeed, float64(sent())/took.Seconds())
	r.Record(metricCPU, cpu.Seconds()/(float64(sent())/(1<<30)))
	r.Record(metricSender, float64(sender))
	r.Record(metricTaker, float64(taker))
}

type runner = func(context.Context, *report.Round) error
