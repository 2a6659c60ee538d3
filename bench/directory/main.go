// Command directory measures the directory server as an operator would meet it:
// the real program with a hundred thousand accounts, and a device with a
// connection of its own behind every session. Beside it stands a server that
// does nothing but hold a bare gRPC stream over TLS for each connection, which
// says what sessions must cost.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/parley-chat/parley/bench/report"
)

// options are the sizes, which flags change for a quick look.
type options struct {
	accounts, sessions, busy int
	idle                     int
	seconds                  int
	settle                   int
	contacts                 int
}

func main() {
	servers := map[string]func() error{bareCommand: serveBare, echoCommand: serveEcho}
	if len(os.Args) == 2 && servers[os.Args[1]] != nil {
		if err := servers[os.Args[1]](); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(run())
}

func run() int {
	w := &world{}
	defer w.close()
	return report.Main(report.Bench{
		Name:  "directory",
		Title: "the directory with many people",
		About: aboutText,
		// A round takes minutes.
		Rounds:   3,
		Baseline: "bare gRPC stream",
		Flags: func(f *flag.FlagSet) {
			f.IntVar(&w.accounts, "accounts", 100_000, "how many accounts there are")
			f.IntVar(&w.busy, "busy", 10_000, "how many sessions there are while presence is measured")
			f.IntVar(&w.sessions, "sessions", 15_000, "how many sessions there are in the end")
			f.IntVar(&w.idle, "idle", 10_000, "how many clients of 2019 are idle")
			f.IntVar(&w.seconds, "seconds", 10, "how long each rate is measured")
			f.IntVar(&w.contacts, "contacts", 20, "how many contacts each has, an even number")
			f.IntVar(&w.settle, "settle", 150, "how many seconds memory may take to fall to what is needed")
		},
		Metrics: []report.Metric{
			{Name: start, Unit: report.Seconds},
			{Name: held, Unit: report.Count, Better: report.Higher, Goal: report.AtLeast(15_000)},
			{Name: begins, Unit: report.PerSecond, Better: report.Higher},
			{Name: memory, Unit: report.Bytes, Goal: report.AtMost(48 << 10)},
			{Name: lookUps, Unit: report.PerSecond, Better: report.Higher},
			{Name: changes, Unit: report.PerSecond, Better: report.Higher},
			{Name: delay, Unit: report.Seconds, Goal: report.AtMost(0.020)},
			{Name: delay99, Unit: report.Seconds},
			{Name: logIns, Unit: report.PerSecond, Better: report.Higher},
			{Name: stormDelay, Unit: report.Seconds},
			{Name: stormDelay99, Unit: report.Seconds},
			{Name: queries, Unit: report.PerSecond, Better: report.Higher},
			{Name: queriesShare, Unit: report.Count, Better: report.Higher, Goal: report.AtLeast(0.7)},
			{Name: queryTime, Unit: report.Seconds},
			{Name: queryTimeShare, Unit: report.Count},
			{Name: idleMemory, Unit: report.Bytes},
		},
		Variants: []report.Variant{
			{Name: "parley-server", Run: func(ctx context.Context, r *report.Round) error { return w.parley(ctx, r) }},
			{Name: "bare gRPC stream", Run: func(ctx context.Context, r *report.Round) error { return w.bare(ctx, r) }},
			{Name: "protocol of 2019", Run: func(ctx context.Context, r *report.Round) error { return w.net2019(ctx, r) }},
		},
	})
}

// The figures.
const (
	start        = "start"
	held         = "sessions held at once"
	begins       = "sessions begun"
	memory       = "memory for a session"
	lookUps      = "look-ups"
	changes      = "presence changes"
	delay        = "presence delay, median"
	delay99      = "presence delay, 99 %"
	logIns       = "log-ins in a storm"
	stormDelay   = "presence delay in the storm, median"
	stormDelay99 = "presence delay in the storm, 99 %"

	queries        = "queries of 2019"
	queriesShare   = "queries of 2019, in shares of a bare echo's"
	queryTime      = "processor time of a query of 2019"
	queryTimeShare = "processor time of a query of 2019, in times of a bare echo's"
	idleMemory     = "memory for an idle client of 2019"
)

const aboutText = `One process of ` + "`parley-server`" + ` with its defaults but for the rate limits, 100,000 accounts, and devices in another
process on the same machine, over loopback from several addresses; the devices take their part of the processors, so the rates are less
than a server alone would reach. Each device has a TLS connection with its own key, 20 contacts who list it too, and one session.

- *start*: from the start of the program until it listens, with all accounts on disk.
- *sessions begun*: connecting, TLS with both certificates, Begin, and the presences that this causes.
- *memory for a session*: growth of the process's resident memory by the sessions, once they are idle, divided by their number.
- *presence changes*: devices that publish new endpoints, each again when a contact has heard of it; each change goes to 20 contacts.
- *presence delay*: with 10,000 sessions, from Publish to each of the 20 contacts, at 100 changes a second.
- *log-ins in a storm*: 64 callers who log in without a pause. A hash takes 64 MiB and some 50 ms of a processor on purpose. The delay is
  that of presence meanwhile, with all sessions.

- *queries of 2019*: 64 clients of the original that each ask where somebody is, again when they have the answer, in turns with a server in
  Go that sends back what it gets, to as many clients that send the same. *Idle* are 10,000 that have logged in.

The bare stream is a gRPC server with the same TLS and the same settings for its buffers, whose streams carry nothing but
keep-alives.`
