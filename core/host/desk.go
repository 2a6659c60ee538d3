package host

import (
	"context"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

const (
	maxChats     = 8       // handled at once by one plugin
	maxLive      = 256     // things waiting that are not in a log
	maxLiveBytes = 4 << 20 // and their size
)

// desk is what waits to be handled by one plugin. Of entries of logs it only
// knows in which chats there are some; EPHEMERAL packets and events lie here
// themselves, up to a bound, and are dropped beyond it.
type desk struct {
	mu    sync.Mutex // guards all below
	piles map[packet.ChatID]*pile
	ready []packet.ChatID // that have work and no worker, first come first served
	live  int
	bytes int
	wake  chan struct{} // closed and replaced when ready grew
}

// pile is the work of one chat; that of no chat lies under the empty id.
type pile struct {
	dirty bool // there may be unhandled entries
	busy  bool // a worker has it
	items []liveItem
}

// liveItem is an EPHEMERAL packet or an event.
type liveItem struct {
	packet *packet.Packet
	event  *pluginpb.Event
	size   int
}

func newDesk() *desk {
	return &desk{piles: map[packet.ChatID]*pile{}, wake: make(chan struct{})}
}

// mark says that a chat may have unhandled entries.
func (d *desk) mark(chat packet.ChatID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pile(chat).dirty = true
	d.offer(chat)
}

// add lays down an item; false when there is no room.
func (d *desk) add(chat packet.ChatID, item liveItem) bool {
	if item.packet != nil {
		item.size = len(item.packet.Content) + len(item.packet.Raw)
	} else {
		item.size = proto.Size(item.event)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.live == maxLive || d.bytes+item.size > maxLiveBytes {
		return false
	}
	d.live++
	d.bytes += item.size
	p := d.pile(chat)
	p.items = append(p.items, item)
	d.offer(chat)
	return true
}

func (d *desk) pile(chat packet.ChatID) *pile {
	p := d.piles[chat]
	if p == nil {
		p = &pile{}
		d.piles[chat] = p
	}
	return p
}

// offer makes a chat available if it has work and nobody has it yet.
func (d *desk) offer(chat packet.ChatID) {
	p := d.piles[chat]
	if p.busy || !p.dirty && len(p.items) == 0 {
		return
	}
	p.busy = true
	d.ready = append(d.ready, chat)
	close(d.wake)
	d.wake = make(chan struct{})
}

// take waits for a chat with work; ok is false when ctx ended. Until done, nobody
// else gets it.
func (d *desk) take(ctx context.Context) (chat packet.ChatID, dirty bool, items []liveItem, ok bool) {
	for {
		if ctx.Err() != nil {
			return "", false, nil, false
		}
		d.mu.Lock()
		if len(d.ready) > 0 {
			chat = d.ready[0]
			d.ready = d.ready[1:]
			p := d.piles[chat]
			dirty, items = p.dirty, p.items
			p.dirty, p.items = false, nil
			for _, item := range items {
				d.live--
				d.bytes -= item.size
			}
			d.mu.Unlock()
			return chat, dirty, items, true
		}
		wake := d.wake
		d.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
		}
	}
}

// done gives a chat back; again says that there may be more entries.
func (d *desk) done(chat packet.ChatID, again bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.piles[chat]
	p.busy = false
	p.dirty = p.dirty || again
	if !p.dirty && len(p.items) == 0 {
		delete(d.piles, chat)
		return
	}
	d.offer(chat)
}

// waiting says whether there is any work.
func (d *desk) waiting() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.piles) > 0
}

// dropLive forgets what is not in a log.
func (d *desk) dropLive() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.piles {
		p.items = nil
	}
	d.live, d.bytes = 0, 0
}
