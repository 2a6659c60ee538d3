package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/parley-chat/parley/bench/people"
	"github.com/parley-chat/parley/bench/process"
	"github.com/parley-chat/parley/bench/report"
	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

func parley(ctx context.Context, r *report.Round) error {
	large, err := transfer(ctx, r, largeFile, parleyCopy)
	if err != nil {
		return err
	}
	recordLarge(r, large)
	recordPeak(r, peakGiver, large.giver, coreName)
	recordPeak(r, peakBeside, large.giver, pluginName)
	recordPeak(r, peakTaker, large.taker, coreName)
	recordPeak(r, peakBeside2, large.taker, pluginName)
	recordPeak(r, peakMiddle, large.middle, directoryName)
	if _, err := transfer(ctx, r, smallFile, parleyCopy); err != nil {
		return err
	}
	folder, err := transfer(ctx, r, smallFiles, parleyCopy)
	if err != nil {
		return err
	}
	r.Record(metricFolderCPU, (folder.giver.cpu + folder.taker.cpu).Seconds())
	recordPeak(r, peakFolderGiver, folder.giver, coreName)
	recordPeak(r, peakFolderTaker, folder.taker, coreName)
	if verylarge == 0 || r.N < 1 || r.N > growRounds {
		return nil
	}
	if room, err := available(); err != nil || room < int64(verylarge)<<20+spare {
		fmt.Fprintf(os.Stderr, "files: without the very large file: %d MiB of memory are free (%v)\n", room>>20, err)
		return nil
	}
	more, err := transfer(ctx, r, veryLargeFile, parleyCopy)
	if err != nil {
		return err
	}
	growth := func(small, large party) float64 {
		return float64(large.peaks[coreName]) / float64(small.peaks[coreName])
	}
	r.Record(peakGrowth, max(growth(large.giver, more.giver), growth(large.taker, more.taker)))
	return nil
}

// Programs, as they are called in a party's peaks.
const (
	coreName      = "core"
	pluginName    = "plugin"
	directoryName = "directory"
)

// spare is the memory that stays free beside a very large file.
const spare = 4 << 30

// available is how many bytes of memory programs and files in memory may take.
func available() (int64, error) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), "MemAvailable:")
	var kib int64
	_, err = fmt.Sscan(rest, &kib)
	return kib << 10, err
}

// parleyCopy has one person send what lies at a path to another. Each time they
// are new ones, whose cores have handled nothing else.
func parleyCopy(ctx context.Context, _ *report.Round, path, into string) (c copied, err error) {
	w, a, b, err := people.NewPair(ctx)
	if err != nil {
		return c, err
	}
	defer w.Close()
	_, err = b.Client.SetSetting(ctx, &controlpb.SetSettingRequest{Plugin: "file", Name: "download-folder", Value: into})
	if err != nil {
		return c, err
	}
	before, err := usageOf(ctx, w, a, b)
	if err != nil {
		return c, err
	}
	message, offering, err := offer(ctx, a, b, path)
	if err != nil {
		return c, err
	}
	fetching, err := accept(ctx, a, b, message)
	if err != nil {
		return c, err
	}
	after, err := usageOf(ctx, w, a, b)
	if err != nil {
		return c, err
	}
	for i, p := range []*party{&c.giver, &c.taker, &c.middle} {
		*p = party{after[i].cpu - before[i].cpu, after[i].peaks}
	}
	c.took, c.at = offering+fetching, filepath.Join(into, filepath.Base(path))
	return c, nil
}

// usageOf gives what both sides and the directory have used since they began.
func usageOf(ctx context.Context, w *people.World, both ...*people.Person) (all []party, err error) {
	for _, p := range both {
		pids, err := p.Plugins(ctx)
		if err != nil {
			return nil, err
		}
		side := party{peaks: map[string]int64{}}
		if err := side.add(coreName, p.Core.PID()); err != nil {
			return nil, err
		}
		for _, pid := range pids {
			if err := side.add(pluginName, pid); err != nil {
				return nil, err
			}
		}
		all = append(all, side)
	}
	between := party{peaks: map[string]int64{}}
	return append(all, between), between.add(directoryName, w.Directory())
}

func (p *party) add(name string, pid int) error {
	u, err := process.UsageOf(pid)
	if err != nil {
		return err
	}
	p.cpu += u.CPU
	p.peaks[name] = max(p.peaks[name], u.Peak)
	return nil
}

// offer has a file offered, and gives its message once the other side has it, and
// how long the call took.
func offer(ctx context.Context, a, b *people.Person, path string) (message []byte, took time.Duration, err error) {
	chat := string(a.ChatWith(b))
	start := time.Now()
	result, err := a.Client.InvokeAction(ctx, "file", &pluginpb.InvokeRequest{
		Invocation: client.NewInvocation(), Action: "send", Chat: chat, Paths: []string{path},
	}, nil)
	if err != nil {
		return nil, 0, err
	}
	took = time.Since(start)
	message = result.GetSent()[0]
	return message, took, people.Until(ctx, "the offer arrives", func(ctx context.Context) (bool, error) {
		resp, err := b.Client.ListMessages(ctx, &controlpb.ListMessagesRequest{Chat: chat, Ids: [][]byte{message}})
		return len(resp.GetMessages()) == 1, err
	})
}

// accept has the file fetched, and gives how long that took.
func accept(ctx context.Context, a, b *people.Person, message []byte) (time.Duration, error) {
	events, err := b.Client.Watch(ctx, &controlpb.WatchRequest{})
	if err != nil {
		return 0, err
	}
	if _, err := events.Recv(); err != nil {
		return 0, err
	}
	start := time.Now()
	_, err = b.Client.InvokeAction(ctx, "file", &pluginpb.InvokeRequest{
		Invocation: client.NewInvocation(), Action: "accept", Chat: string(a.ChatWith(b)), Message: message,
	}, nil)
	if err != nil {
		return 0, err
	}
	for {
		e, err := events.Recv()
		if err != nil {
			return 0, err
		}
		switch blob := e.GetBlob().GetBlob(); blob.GetState() {
		case pluginpb.BlobState_BLOB_STATE_DONE:
			return time.Since(start), nil
		case pluginpb.BlobState_BLOB_STATE_FAILED:
			return 0, fmt.Errorf("the transfer failed: %s", blob.GetReason())
		}
	}
}
