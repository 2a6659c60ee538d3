package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/jezek/xgb/xproto"

	"github.com/parley-chat/parley/bench/people"
	"github.com/parley-chat/parley/bench/process"
	"github.com/parley-chat/parley/bench/report"
	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/pluginpb"
	"github.com/parley-chat/parley/test/ui/desktop"
)

// Parts of the window, which without a window manager is in the corner of the
// screen and as large as its preferences say.
const preferences = `{"theme": "light", "language": "en", "width": 1080, "height": 720}`

var (
	anywhere = image.Rect(400, 100, 900, 160)
	avatar   = image.Rect(24, 106, 64, 150) // of the first chat
	leftSide = image.Rect(10, 70, 290, 700)
	messages = image.Rect(330, 60, 1070, 715)
	composer = image.Rect(380, 728, 970, 768)
)

// limit bounds one thing that is looked for.
const limit = 30 * time.Second

// still is how long a picture stays the same when it is done.
const still = 250 * time.Millisecond

// view is a window on a screen.
type view struct {
	desk   *desktop.Desktop
	eyes   *eyes
	window *process.Process

	first, chats time.Duration // after the start
}

// openWindow starts somebody's window on a new screen, and waits until it shows the
// chats.
func openWindow(ctx context.Context, p *people.Person) (v *view, err error) {
	v = &view{}
	defer func() {
		if err != nil {
			v.close()
		}
	}()
	if err := os.WriteFile(filepath.Join(p.Home, "window.json"), []byte(preferences), 0o600); err != nil {
		return v, err
	}
	if v.desk, err = desktop.Start(desktop.Config{}); err != nil {
		return v, err
	}
	// A caret that blinks would change the picture by itself.
	settings := filepath.Join(v.desk.Home, ".config", "gtk-3.0")
	if err := os.MkdirAll(settings, 0o700); err != nil {
		return v, err
	}
	if err := os.WriteFile(filepath.Join(settings, "settings.ini"), []byte("[Settings]\ngtk-cursor-blink=0\ngtk-enable-animations=0\n"), 0o600); err != nil {
		return v, err
	}
	if v.eyes, err = openEyes(v.desk.Display); err != nil {
		return v, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	black, err := v.eyes.look(anywhere)
	if err != nil {
		return v, err
	}
	empty, err := v.eyes.look(leftSide)
	if err != nil {
		return v, err
	}
	began := time.Now()
	v.window, err = process.Start(process.Config{
		Program: "parley-gtk", Env: append(v.desk.Env(), "PARLEY_HOME="+p.Home, "PARLEY_PROFILE=", "PARLEY_KEY=file", "NO_AT_BRIDGE=1"),
	})
	if err != nil {
		return v, err
	}
	at, err := v.eyes.change(ctx, anywhere, black)
	if err != nil {
		return v, fmt.Errorf("the window does not come: %w", err)
	}
	v.first = at.Sub(began)
	// Until all chats are read the left side is empty, and stays so.
	if err := v.eyes.something(ctx, avatar); err != nil {
		return v, fmt.Errorf("the chats do not come: %w", err)
	}
	if at, err = v.eyes.settle(ctx, leftSide, empty, 2*still); err != nil {
		return v, fmt.Errorf("the chats do not come: %w", err)
	}
	v.chats = at.Sub(began)
	return v, v.desk.FocusWindow(v.window.PID(), "Parley")
}

func (v *view) close() {
	if v.window != nil {
		_ = v.window.Stop()
	}
	if v.eyes != nil {
		v.eyes.close()
	}
	if v.desk != nil {
		v.desk.Close()
	}
}

// openChats opens the first chats of the list in turn, by their keys, and gives the
// slowest.
func (v *view) openChats(ctx context.Context, chats, times int) (slowest time.Duration, err error) {
	if chats == 1 {
		times = 1 // it is open from then on
	}
	for i := range times {
		took, err := v.openChat(ctx, 1+i%chats)
		if err != nil {
			return 0, err
		}
		slowest = max(slowest, took)
	}
	return slowest, nil
}

func (v *view) openChat(ctx context.Context, n int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	before, err := v.eyes.look(messages)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := v.eyes.press(keyAlt, xproto.Keysym('0'+n)); err != nil { //nolint:gosec // one digit
		return 0, err
	}
	at, err := v.eyes.settle(ctx, messages, before, still)
	if err != nil {
		return 0, fmt.Errorf("chat %d does not open: %w", n, err)
	}
	return at.Sub(began), nil
}

// scrolled is how many steps of the wheel are done, over about 2,000 messages.
const scrolled = 1600

// scroll goes up through the messages with the wheel.
func (v *view) scroll(ctx context.Context, r *report.Round) error {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	steps := make([]time.Duration, 0, scrolled)
	middle := messages.Min.Add(messages.Size().Div(2))
	for range scrolled {
		before, err := v.eyes.look(messages)
		if err != nil {
			return err
		}
		began := time.Now()
		if err := v.eyes.click(wheelUp, middle); err != nil {
			return err
		}
		at, err := v.eyes.change(ctx, messages, before)
		if err != nil {
			return v.stuck(fmt.Errorf("scroll, after %d steps: %w", len(steps), err))
		}
		steps = append(steps, at.Sub(began))
	}
	record(r, steps, metricScroll, metricWorst)
	return nil
}

// stuck leaves a picture of what the screen shows when nothing goes on.
func (v *view) stuck(err error) error {
	img, shotErr := v.desk.Screenshot()
	if shotErr != nil {
		return errors.Join(err, shotErr)
	}
	f, createErr := os.CreateTemp("", "parley-bench-*.png")
	if createErr != nil {
		return errors.Join(err, createErr)
	}
	return errors.Join(fmt.Errorf("%w; see %s", err, f.Name()), png.Encode(f, img), f.Close())
}

// record notes the 99th percentile and the slowest.
func record(r *report.Round, times []time.Duration, most, worst string) {
	slices.Sort(times)
	r.Record(most, times[len(times)*99/100].Seconds())
	r.Record(worst, times[len(times)-1].Seconds())
}

// idle measures what the window uses when nobody does anything.
func (v *view) idle(ctx context.Context, r *report.Round) error {
	if err := pause(ctx, idleBefore); err != nil {
		return err
	}
	before, err := v.window.Usage()
	if err != nil {
		return err
	}
	if err := pause(ctx, idleFor); err != nil {
		return err
	}
	after, err := v.window.Usage()
	if err != nil {
		return err
	}
	r.Record(metricIdle, (after.CPU-before.CPU).Seconds()/idleFor.Seconds()*100)
	return nil
}

// busy types while messages come.
func busy(ctx context.Context, r *report.Round) error {
	w, a, b, err := people.NewPair(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	if err := say(ctx, b, a, 0); err != nil {
		return err
	}
	v, err := openWindow(ctx, a)
	if err != nil {
		return err
	}
	defer v.close()
	if _, err := v.openChat(ctx, 1); err != nil {
		return err
	}
	talking, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	said := make(chan error, 1)
	wg.Go(func() { said <- talk(talking, b, a) })
	// It is under way when the messages move.
	before, err := v.eyes.look(messages)
	if err != nil {
		return err
	}
	if _, err := v.eyes.change(ctx, messages, before); err != nil {
		return err
	}
	const letters = 300
	times := make([]time.Duration, 0, letters)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for i := range letters {
		before, err := v.eyes.look(composer)
		if err != nil {
			return err
		}
		began := time.Now()
		if err := v.eyes.press(xproto.Keysym('a' + i%26)); err != nil { //nolint:gosec // one letter
			return err
		}
		at, err := v.eyes.change(ctx, composer, before)
		if err != nil {
			return fmt.Errorf("letter %d: %w", i, err)
		}
		times = append(times, at.Sub(began))
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	record(r, times, metricKey, metricKeyWorst)
	// They still come in sight: it was not a picture that stood still.
	if before, err = v.eyes.look(messages); err != nil {
		return err
	}
	if _, err := v.eyes.change(ctx, messages, before); err != nil {
		return err
	}
	stop()
	if err := <-said; err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return v.resident(r, metricMemory)
}

// resident records what the window has in memory.
func (v *view) resident(r *report.Round, metric string) error {
	u, err := v.window.Usage()
	if err == nil {
		r.Record(metric, float64(u.Resident))
	}
	return err
}

// rate is how many messages come a second.
const rate = 200

// talk says things until the context ends.
func talk(ctx context.Context, from, to *people.Person) error {
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	failed := make(chan error, 1)
	room := make(chan struct{}, 50) // one that is slow does not hold up the others
	for n := 1; ; n++ {
		select {
		case <-tick.C:
		case err := <-failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		wg.Go(func() {
			defer func() { <-room }()
			if err := say(ctx, from, to, n); err != nil && ctx.Err() == nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
}

func say(ctx context.Context, from, to *people.Person, n int) error {
	_, err := from.Client.InvokeAction(ctx, "text", &pluginpb.InvokeRequest{
		Invocation: client.NewInvocation(), Action: "send", Chat: string(from.ChatWith(to)), Text: fmt.Sprintf("This is message %d of many, 很多消息", n),
	}, nil)
	return err
}
