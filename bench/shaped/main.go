// Command shaped measures a file's way over a link as slow, and with as long a
// queue, as a home's, and what that does to a text beside it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/parley-chat/parley/bench/network"
	"github.com/parley-chat/parley/bench/people"
	"github.com/parley-chat/parley/bench/report"
	"github.com/parley-chat/parley/protocol/controlpb"
)

func main() {
	err := network.Allowed()
	if errors.Is(err, syscall.EPERM) {
		again := exec.Command("/proc/self/exe", os.Args[1:]...) //nolint:noctx,gosec // this program; it ends with this one
		again.Stdin, again.Stdout, again.Stderr = os.Stdin, os.Stdout, os.Stderr
		_, err = network.Again(again)
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			os.Exit(exit.ExitCode())
		}
		if err == nil {
			return
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(report.Main(bench))
}

// Of the link, and of the file; flags, so that other links can be looked at.
var (
	megabits = 100
	size     = 128
)

const (
	metricSpeed   = "speed"
	metricShare   = "of iperf3's speed"
	metricIdle    = "a text, while nothing else is sent"
	metricBusy    = "a text, while files are"
	metricDelayed = "what files add"
	metricQueue   = "mean queue before the link"
)

var bench = report.Bench{
	Name: "shaped", Title: "a file over a home's link", About: about, Rounds: 3,
	Metrics: []report.Metric{
		{Name: metricSpeed, Unit: report.BytesPerSecond, Better: report.Higher},
		{Name: metricShare, Unit: report.Percent, Better: report.Higher, Goal: report.AtLeast(95)},
		{Name: metricIdle, Unit: report.Seconds},
		{Name: metricBusy, Unit: report.Seconds},
		{Name: metricDelayed, Unit: report.Seconds, Goal: report.AtMost(0.020)},
		{Name: metricQueue, Unit: report.Seconds},
	},
	Variants: variants(),
	Flags: func(f *flag.FlagSet) {
		f.IntVar(&megabits, "rate", megabits, "`MBIT` a second of the link")
		f.IntVar(&size, "size", size, "`MIB` of a file")
	},
}

const about = `Two people's cores and the directory are hosts (network namespaces) on one bridge, whose ports to the people are shaped to 100 Mbit/s
(unless -rate says otherwise) with a first-in-first-out queue of so many milliseconds, 200 where nothing else is said, as home routers
have. **Speed** is the bytes of the files, 128 MiB each unless -size says otherwise, over the time from the call that accepts the offer
until the last one is in its place. iperf3 runs over the same link for 5 s right before, with as many connections the same ways and the
same congestion control of the kernel, cubic or bbr. A **text** is the median time from the call of a front end of the one to the event
at the other's, one every 50 ms, durable on both sides; **what files add** is the difference of the two medians. The **queue** is what
waits at the port, looked at every 10 ms, in time at the link's rate.`

// load is what is sent at once.
type load struct {
	queue      time.Duration
	congestion string
	files      int // from anna to bob
	back       int // from bob to anna
}

func variants() (all []report.Variant) {
	for _, congestion := range []string{"cubic", "bbr"} {
		for _, l := range []struct {
			name  string
			queue time.Duration
			files int
			back  int
		}{
			{"queue of 50 ms", 50 * time.Millisecond, 1, 0},
			{"queue of 200 ms", 200 * time.Millisecond, 1, 0},
			{"queue of 400 ms", 400 * time.Millisecond, 1, 0},
			{"two files", 200 * time.Millisecond, 2, 0},
			{"one each way", 200 * time.Millisecond, 1, 1},
		} {
			all = append(all, report.Variant{
				Name: congestion + ": " + l.name, Run: load{queue: l.queue, congestion: congestion, files: l.files, back: l.back}.run,
			})
		}
	}
	return all
}

const (
	addressAnna = "10.77.0.2"
	addressBob  = "10.77.0.3"
)

// run does one round.
func (l load) run(ctx context.Context, r *report.Round) error {
	n, err := network.New(people.DirectoryHost, map[string]string{
		people.DirectoryHost: "10.77.0.1/24", "anna": addressAnna + "/24", "bob": addressBob + "/24",
	})
	if err != nil {
		return err
	}
	defer n.Close()
	shape := network.Shape{Rate: uint64(megabits) * 1e6, Queue: l.queue} //nolint:gosec // not negative
	for _, host := range []string{"anna", "bob"} {
		if err := errors.Join(n.Shape(host, shape), n.SetCongestionControl(host, l.congestion)); err != nil {
			return err
		}
	}
	limit, err := iperf(ctx, n, l)
	if err != nil {
		return err
	}
	w, a, b, err := people.NewPairIn(ctx, n, "10.77.0.1:7410")
	if err != nil {
		return err
	}
	defer w.Close()
	t := transfers{n: n, a: a, b: b}
	if t.dir, err = os.MkdirTemp("/dev/shm", "parley-bench-"); err != nil {
		t.dir = r.Dir
	}
	defer func() { _ = os.RemoveAll(t.dir) }()
	if err := t.prepare(ctx, l); err != nil {
		return err
	}
	idle, err := texts(ctx, a, b, 60)
	if err != nil {
		return err
	}
	busy, speed, queued, err := t.measure(ctx)
	if err != nil {
		return err
	}
	r.Record(metricSpeed, speed)
	r.Record(metricShare, 100*speed/limit)
	r.Record(metricIdle, idle.Seconds())
	r.Record(metricBusy, busy.Seconds())
	r.Record(metricDelayed, (busy - idle).Seconds())
	r.Record(metricQueue, queued/(float64(megabits)*1e6/8))
	return nil
}

// transfers are the files of a round.
type transfers struct {
	n    *network.Network
	a, b *people.Person
	dir  string
	all  []transfer
}

// transfer is a file that was offered.
type transfer struct {
	from, to *people.Person
	message  []byte
}

// prepare makes the files and offers them.
func (t *transfers) prepare(ctx context.Context, l load) error {
	for _, p := range []*people.Person{t.a, t.b} {
		_, err := p.Client.SetSetting(ctx, &controlpb.SetSettingRequest{Plugin: "file", Name: "download-folder", Value: filepath.Join(t.dir, p.Name)})
		if err != nil {
			return err
		}
	}
	for i := range l.files + l.back {
		next := transfer{from: t.a, to: t.b}
		if i >= l.files {
			next = transfer{from: t.b, to: t.a}
		}
		path := filepath.Join(t.dir, fmt.Sprint("file", i))
		if err := makeFile(path); err != nil {
			return err
		}
		var err error
		if next.message, err = next.from.Offer(ctx, next.to, path); err != nil {
			return err
		}
		t.all = append(t.all, next)
	}
	return nil
}

func makeFile(path string) error {
	f, err := os.Create(path) //nolint:gosec // of the benchmark's own folder
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	random, chunk := rand.NewChaCha8([32]byte{1}), make([]byte, 1<<20)
	for range size {
		_, _ = random.Read(chunk) // never fails
		if _, err := f.Write(chunk); err != nil {
			return err
		}
	}
	return f.Close()
}

// measure has the files fetched and meanwhile texts sent. It gives the texts'
// median, the files' bytes a second, and the mean of bytes in the queue to bob.
func (t *transfers) measure(ctx context.Context) (text time.Duration, speed, queued float64, err error) {
	var g errgroup.Group
	moving, stop := context.WithCancel(ctx)
	defer stop()
	g.Go(func() (err error) { text, err = texts(moving, t.a, t.b, 0); return err })
	g.Go(func() (err error) { queued, err = t.queue(moving); return err })
	began := time.Now()
	var files errgroup.Group
	for _, next := range t.all {
		files.Go(func() error { return next.to.Accept(ctx, next.from, next.message) })
	}
	err = files.Wait()
	speed = float64(len(t.all)*size<<20) / time.Since(began).Seconds()
	stop()
	return text, speed, queued, errors.Join(err, g.Wait())
}

// queue is the mean of bytes in the queue to bob while ctx lives.
func (t *transfers) queue(ctx context.Context) (float64, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var sum, count float64
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return sum / max(count, 1), nil
		}
		port, err := t.n.Port("bob")
		if err != nil {
			return 0, err
		}
		sum, count = sum+float64(port.Queued), count+1
	}
}

// texts sends so many texts from a to b, or (0) as many as there is time for, and
// gives the median time that they took.
func texts(ctx context.Context, a, b *people.Person, count int) (time.Duration, error) {
	events, err := b.Client.Watch(context.WithoutCancel(ctx), &controlpb.WatchRequest{})
	if err != nil {
		return 0, err
	}
	defer func() { _ = events.CloseSend() }()
	if _, err := events.Recv(); err != nil { // it is in place
		return 0, err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var took []time.Duration
	for i := 0; i < count || count == 0; i++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			count = -1
			continue
		}
		body := fmt.Sprint("text ", count, " ", i)
		began := time.Now()
		if err := a.Send(context.WithoutCancel(ctx), a.ChatWith(b), body); err != nil {
			return 0, err
		}
		for came := ""; came != body; {
			e, err := events.Recv()
			if err != nil {
				return 0, err
			}
			came = e.GetMessageAdded().GetBody()
		}
		took = append(took, time.Since(began))
	}
	if len(took) == 0 {
		return 0, errors.New("the files came before a text was sent: choose a larger -size")
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}
