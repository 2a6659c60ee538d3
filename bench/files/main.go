// Command files measures how fast files go from one person's disk to another's,
// beside what carries nothing else and beside what people use for it.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/parley-chat/parley/bench/report"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == otherSide {
		if err := copyOver(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	status := report.Main(bench())
	removeLoads()
	os.Exit(status)
}

// What is sent, unless flags say otherwise.
var (
	large     = 1024 // MiB
	entries   = 10_000
	verylarge = 8192 // MiB
)

const (
	small      = 20_900_000 // bytes: what was sent to measure the system before this one
	entrySize  = 4 << 10
	growRounds = 3
)

const (
	metricLarge  = "large file: speed"
	metricSmall  = "20.9 MB file: speed"
	metricFolder = "folder of small files: files"

	metricGiver  = "large file: processor time for each GiB, sender's side"
	metricTaker  = "large file: processor time for each GiB, receiver's side"
	metricMiddle = "large file: processor time for each GiB, between"

	peakGiver   = "large file: peak memory, sender"
	peakTaker   = "large file: peak memory, receiver"
	peakBeside  = "large file: peak memory, sender's ssh or plugin"
	peakBeside2 = "large file: peak memory, receiver's sshd or plugin"
	peakMiddle  = "large file: peak memory, relay or directory"
	peakGrowth  = "very large file: peak memory, in times of the large file's"

	metricFolderCPU = "folder of small files: processor time, both sides"
	peakFolderGiver = "folder of small files: peak memory, sender"
	peakFolderTaker = "folder of small files: peak memory, receiver"
	variantLimit    = "TLS + BLAKE3"
	variantTLS      = "TLS"
	variantTCP      = "TCP"
	variantSCP      = "scp"
	variantTar      = "tar over ssh"
	variantCroc     = "croc"
	variantParley   = "Parley"
)

func bench() report.Bench {
	b := report.Bench{
		Name: "files", Title: "files from one disk to another", About: about, Rounds: 9, Warmup: true,
		Metrics: []report.Metric{
			{Name: metricLarge, Unit: report.BytesPerSecond, Better: report.Higher, Against: []report.Against{
				{Variant: variantParley, To: variantLimit, Goal: report.AtLeast(0.85)},
				{Variant: variantParley, To: variantSCP, Goal: report.AtLeast(1.4)},
				{Variant: variantParley, To: variantCroc, Goal: report.AtLeast(10)},
			}},
			{Name: metricSmall, Unit: report.BytesPerSecond, Better: report.Higher, Against: []report.Against{
				{Variant: variantParley, To: variantSCP},
				{Variant: variantParley, To: variantCroc},
			}},
			{Name: metricFolder, Unit: report.PerSecond, Better: report.Higher, Against: []report.Against{
				{Variant: variantParley, To: variantTar, Goal: report.AtLeast(1)},
			}},
			{Name: metricGiver, Unit: report.Seconds},
			{Name: metricTaker, Unit: report.Seconds},
			{Name: metricMiddle, Unit: report.Seconds},
			{Name: peakGiver, Unit: report.Bytes},
			{Name: peakBeside, Unit: report.Bytes},
			{Name: peakTaker, Unit: report.Bytes},
			{Name: peakBeside2, Unit: report.Bytes},
			{Name: peakMiddle, Unit: report.Bytes},
			{Name: peakGrowth, Unit: report.Count, Goal: report.AtMost(1.1)},
			{Name: metricFolderCPU, Unit: report.Seconds},
			{Name: peakFolderGiver, Unit: report.Bytes},
			{Name: peakFolderTaker, Unit: report.Bytes},
		},
		Variants: []report.Variant{
			{Name: variantLimit, Run: raw(way{tls: true, hash: true})},
			{Name: variantTLS, Run: raw(way{tls: true})},
			{Name: variantTCP, Run: raw(way{})},
			{Name: variantSCP, Run: scp},
			{Name: variantTar, Run: tarOverSSH},
		},
		Baseline: variantLimit,
		Flags: func(f *flag.FlagSet) {
			f.IntVar(&large, "size", large, "`MIB` of the large file")
			f.IntVar(&entries, "files", entries, "`number` of files in the folder")
			f.IntVar(&verylarge, "very-large", verylarge, "`MIB` of the very large file; 0 leaves it out")
		},
	}
	if _, err := os.Stat(crocProgram()); err == nil {
		b.Variants = append(b.Variants, report.Variant{Name: variantCroc, Run: croc})
	} else {
		fmt.Fprintf(os.Stderr, "files: without croc: %v; scripts/setup bench builds it\n", err)
		b.About += "\n\ncroc was left out: it could not be built on this machine."
	}
	b.Variants = append(b.Variants, report.Variant{Name: variantParley, Run: parley})
	return b
}

const about = `Files go between two sides over loopback, from and to folders in memory (tmpfs, if /dev/shm is one): a **large file** of 1 GiB,
one of **20.9 MB**, and a **folder** of 10,000 files of 4 KiB in 100 folders. What arrived is compared with what was sent, each time. The
content is random, so nothing is gained by compressing it.

- **TLS + BLAKE3** is the limit of what Parley promises: a Go program that reads, hashes and sends pieces of 1 MiB over one TLS 1.3
  connection, and one that takes, hashes, compares and writes them. **TLS** and **TCP** leave out the hashes, and TLS too. From the start
  of the sender, which the other one waits for, until both have ended.
- **scp** and **tar over ssh** (` + "`tar -c | ssh tar -x`" + `) speak to an sshd of their own with the default ciphers, whose configuration and keys are made for
  the measurement. From their start until they have ended; connecting and logging in are part of it, as for anybody who uses them.
- **croc** sends through a relay of its own on loopback, with its defaults. From the start of the receiver, when the sender waits for it with
  the file hashed, until both have ended.
- **Parley** is two cores of two people, their plugins and a directory. Offering, from the call until it returns, and fetching, from the
  call that accepts the offer to the event that all is verified, synced and in its place.

Processor time is that of all processes of a side; croc's relay and Parley's directory stand between. Peak memory is of one process, what
/proc says of it; that of a core includes all else that it holds. The folder's are those of tar, or the core. The **very large file** has
8 GiB, in three of the rounds, and is sparse but for a page of each MiB, so that the machine has room for it: its figure is the peak memory of the
core of which that grew more, in times of its peak with the large file.`
