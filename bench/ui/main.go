// Command ui measures the window as a person meets it: from a click or a key to
// the pixels on a screen.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/parley-chat/parley/bench/history"
	"github.com/parley-chat/parley/bench/people"
	"github.com/parley-chat/parley/bench/report"
	"github.com/parley-chat/parley/protocol/controlpb"
)

func main() { os.Exit(report.Main(bench)) }

const (
	metricFirst    = "first frame"
	metricCold     = "first frame, nothing in the machine's cache"
	metricChats    = "chats on the screen"
	metricOpen     = "a chat is opened, slowest of 10"
	metricScroll   = "2,000 messages scrolled, 99 % of the steps"
	metricWorst    = "2,000 messages scrolled, slowest step"
	metricKey      = "key to screen, 99 %"
	metricKeyWorst = "key to screen, slowest"
	metricMemory   = "resident, after chats were opened"
	metricScrolled = "resident, after 2,000 messages"
	metricIdle     = "processor while nobody uses it"
)

var bench = report.Bench{
	Name: "ui", Title: "the window", About: about, Rounds: 3,
	Metrics: []report.Metric{
		{Name: metricFirst, Unit: report.Seconds, Goal: report.AtMost(0.5)},
		{Name: metricCold, Unit: report.Seconds},
		{Name: metricChats, Unit: report.Seconds},
		{Name: metricOpen, Unit: report.Seconds, Goal: report.AtMost(0.1)},
		{Name: metricScroll, Unit: report.Seconds},
		{Name: metricWorst, Unit: report.Seconds},
		{Name: metricKey, Unit: report.Seconds, Goal: report.AtMost(0.05)},
		{Name: metricKeyWorst, Unit: report.Seconds, Goal: report.AtMost(0.15)},
		{Name: metricMemory, Unit: report.Bytes, Goal: report.AtMost(120e6)},
		{Name: metricScrolled, Unit: report.Bytes},
		{Name: metricIdle, Unit: report.Percent, Goal: report.AtMost(0.5)},
	},
	Variants: []report.Variant{
		{Name: "30 chats", Run: some.measure},
		{Name: "a chat of a million messages", Run: million.measure},
		{Name: "10,000 contacts", Run: crowd.measure},
		{Name: "200 messages a second", Run: busy},
	},
}

// account is whose window is measured.
type account struct {
	history.History
	idle, scroll bool // what is measured too
}

var (
	some    = account{History: history.History{Name: "some2", Messages: 200_000, Chats: 30}, idle: true, scroll: true}
	million = account{History: history.History{Name: "million", Messages: 1_000_000, Chats: 1}, scroll: true}
	crowd   = account{History: history.History{Name: "crowd", Messages: 20_000, Chats: 10_000}}
)

const about = `Windows of real accounts on a screen of 1280 x 860 that nobody sees (Xvfb, drawn by the processor alone), with the cores running
beforehand. Times are from a real key or click, or from the start of the program, to the pixels on the screen, which are looked at every
millisecond; the screen's server shares the machine's processors. **Chats on the screen** is when the left side has changed last, once all
chats were read. **A chat is opened** by its key, and timed until its side of the window stays as it is. **Scrolling** is with the wheel,
each step timed until the picture moves. **Key to screen**: 300 letters are typed in the chat into which another person writes 200 messages
a second, which come in sight all the while. **Cold** has the machine's caches emptied before, where that is allowed. Resident is of the
window alone, without the core.`

// measure has one account's window start, opens chats, scrolls.
func (a account) measure(ctx context.Context, r *report.Round) error {
	w, p, err := a.Open(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	if err := p.Start(ctx); err != nil {
		return err
	}
	if err := p.AwaitOpen(ctx); err != nil {
		return err
	}
	if err := readAll(ctx, p); err != nil {
		return err
	}
	if a.idle && emptyCaches() == nil {
		if err := a.cold(ctx, r, p); err != nil {
			return err
		}
	}
	v, err := openWindow(ctx, p)
	if err != nil {
		return err
	}
	defer v.close()
	r.Record(metricFirst, v.first.Seconds())
	r.Record(metricChats, v.chats.Seconds())
	slowest, err := v.openChats(ctx, min(a.Chats, 9), 10)
	if err != nil {
		return err
	}
	r.Record(metricOpen, slowest.Seconds())
	if err := v.resident(r, metricMemory); err != nil {
		return err
	}
	if a.scroll {
		if err := errors.Join(v.scroll(ctx, r), v.resident(r, metricScrolled)); err != nil {
			return err
		}
	}
	if a.idle {
		return v.idle(ctx, r)
	}
	return nil
}

// readAll has everything read, so that chats open at their ends.
func readAll(ctx context.Context, p *people.Person) error {
	resp, err := p.Client.ListChats(ctx, &controlpb.ListChatsRequest{})
	if err != nil {
		return err
	}
	for _, c := range resp.GetChats() {
		if c.GetUnread() == 0 {
			continue
		}
		if _, err := p.Client.MarkRead(ctx, &controlpb.MarkReadRequest{Chat: c.GetId()}); err != nil {
			return err
		}
	}
	return nil
}

// cold starts the window from the disk.
func (a account) cold(ctx context.Context, r *report.Round, p *people.Person) error {
	v, err := openWindow(ctx, p)
	if err != nil {
		return err
	}
	v.close()
	r.Record(metricCold, v.first.Seconds())
	return nil
}

// emptyCaches has the kernel forget what it has read of disks; it needs root.
func emptyCaches() error {
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		return fmt.Errorf("empty the machine's caches: %w", err)
	}
	return nil
}

// idleFor is how long nobody uses the window; before it the caret stops blinking.
const (
	idleFor    = 20 * time.Second
	idleBefore = 12 * time.Second
)
