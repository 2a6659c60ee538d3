package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync/atomic"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// transfer is one that is being watched.
type transfer struct {
	blob *controlpb.Blob
	bar  *mpb.Bar // nil in a pipe
	// What stands beside the bar, which draws itself.
	beside atomic.Pointer[string]
	// In a pipe: how it was last, and the line that says so.
	said, line string
}

// over says whether a transfer is at its end, as far as this side can tell: one
// that is given is over when all of it was.
func over(b *controlpb.Blob) bool {
	switch b.GetBlob().GetState() {
	case pluginpb.BlobState_BLOB_STATE_DONE, pluginpb.BlobState_BLOB_STATE_FAILED, pluginpb.BlobState_BLOB_STATE_CANCELLED:
		return true
	case pluginpb.BlobState_BLOB_STATE_SHARED:
		return b.GetDone() >= b.GetBlob().GetSize() && b.GetDone() > 0 && b.GetSpeed() == 0
	}
	return false
}

// watchBlobs shows how transfers go until all are over: bars on a terminal, a
// line for each change of state elsewhere, an object for each change with --json.
func (a *app) watchBlobs(ctx context.Context, c *client.Client, blobs []*controlpb.Blob) error {
	events, err := c.Watch(ctx, &controlpb.WatchRequest{})
	if err != nil {
		return err
	}
	if _, err := events.Recv(); err != nil {
		return err
	}
	w := &blobWatch{app: a, transfers: map[string]*transfer{}}
	if width, ok := a.screen(); ok && !a.json {
		w.width = width
		w.bars = mpb.NewWithContext(ctx, mpb.WithOutput(a.out), mpb.WithWidth(min(width, 100)))
	}
	for _, b := range blobs {
		w.add(b)
	}
	// What happened before the watch began.
	if err := w.refresh(ctx, c); err != nil {
		return err
	}
	for !w.done() {
		e, err := events.Recv()
		if err != nil {
			return err
		}
		switch {
		case e.GetBlob() != nil:
			err = w.show(e.GetBlob())
		case e.GetResync() != nil:
			err = w.refresh(ctx, c)
		}
		if err != nil {
			return err
		}
	}
	return w.end()
}

// screen gives the width of the terminal that is printed to, if it is one.
func (a *app) screen() (width int, ok bool) {
	f, ok := a.out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	return width, err == nil
}

type blobWatch struct {
	app       *app
	bars      *mpb.Progress // nil in a pipe
	width     int           // of the terminal
	order     []string
	transfers map[string]*transfer
}

func (w *blobWatch) add(b *controlpb.Blob) {
	id := string(b.GetBlob().GetId())
	if w.transfers[id] != nil {
		return
	}
	t := &transfer{}
	w.set(t, b)
	if w.bars != nil {
		// A quarter of a line for the name, at most half of it for how it is, and the
		// rest for the bar: of one length for all.
		name := cut(blobName(b), max(min(w.width/4, 24), 8))
		t.bar = w.bars.AddBar(int64(max(b.GetBlob().GetSize(), 1)), //nolint:gosec // at most 16 TiB
			mpb.PrependDecorators(decor.Name(name, decor.WCSyncSpaceR)),
			mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return *t.beside.Load() }, decor.WCSyncSpaceR)))
	}
	w.order = append(w.order, id)
	w.transfers[id] = t
}

// set notes how a transfer is now.
func (w *blobWatch) set(t *transfer, b *controlpb.Blob) {
	text := cut(barState(b), max(w.width/2, 24))
	t.blob = b
	t.beside.Store(&text)
}

// barState is how a transfer is, beside its bar: where it is put, or why it failed,
// stands below the bars when all are over.
func barState(b *controlpb.Blob) string {
	switch b.GetBlob().GetState() {
	case pluginpb.BlobState_BLOB_STATE_DONE:
		if b.GetBlob().GetOwn() {
			return "sent"
		}
		return "here"
	case pluginpb.BlobState_BLOB_STATE_FAILED:
		return "failed"
	case pluginpb.BlobState_BLOB_STATE_CANCELLED:
		return "cancelled"
	case pluginpb.BlobState_BLOB_STATE_OFFERED:
		return "offered"
	}
	return blobState(b)
}

func (w *blobWatch) refresh(ctx context.Context, c *client.Client) error {
	resp, err := c.ListBlobs(ctx, &controlpb.ListBlobsRequest{Limit: maxBlobs})
	if err != nil {
		return err
	}
	for _, b := range resp.GetBlobs() {
		if err := w.show(b); err != nil {
			return err
		}
	}
	return nil
}

// show shows how a transfer is now, if it is one of those watched.
func (w *blobWatch) show(b *controlpb.Blob) error {
	t := w.transfers[string(b.GetBlob().GetId())]
	if t == nil {
		return nil
	}
	w.set(t, b)
	switch {
	case w.app.json:
		return w.app.object(blobJSON(b))
	case t.bar != nil:
		t.bar.SetCurrent(int64(b.GetDone())) //nolint:gosec // at most 16 TiB
		if over(b) && b.GetBlob().GetState() != pluginpb.BlobState_BLOB_STATE_DONE {
			t.bar.Abort(false)
		}
		return nil
	}
	// In a pipe: not each step, but each state.
	said := fmt.Sprint(b.GetBlob().GetState(), b.GetWaiting(), b.GetBlob().GetReason(), over(b))
	line := fmt.Sprintf("%s: %s", blobName(b), blobState(b))
	if said != t.said && line != t.line {
		w.app.println(line)
	}
	t.said, t.line = said, line
	return nil
}

func (w *blobWatch) done() bool {
	return !slices.ContainsFunc(w.order, func(id string) bool { return !over(w.transfers[id].blob) })
}

// end leaves the last word of each on the screen.
func (w *blobWatch) end() error {
	if w.bars != nil {
		for _, t := range w.transfers {
			t.bar.EnableTriggerComplete()
			if !t.bar.Completed() {
				t.bar.Abort(false)
			}
		}
		w.bars.Wait()
		for _, id := range w.order {
			if b := w.transfers[id].blob; b.GetBlob().GetState() != pluginpb.BlobState_BLOB_STATE_SHARED {
				w.app.println(fmt.Sprintf("%s: %s", blobName(b), blobState(b)))
			}
		}
	}
	for _, id := range w.order {
		if s := w.transfers[id].blob.GetBlob().GetState(); s == pluginpb.BlobState_BLOB_STATE_FAILED || s == pluginpb.BlobState_BLOB_STATE_CANCELLED {
			return errTransfers
		}
	}
	return nil
}
