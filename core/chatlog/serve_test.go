package chatlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/core/store/storetest"
	"github.com/parley-chat/parley/protocol/packet"
)

// live is a node whose service runs, with links that are channels.
type live struct {
	*node
	mu    sync.Mutex // guards links
	links map[uint64]*pipe
	stop  context.CancelFunc
	done  chan struct{}
}

// pipe is one direction of a link: at most a few frames are under way.
type pipe struct {
	frames chan packet.Frame
	gone   chan struct{}
	to     *live
	link   bus.Link // as the receiver sees it
}

var errGone = errors.New("link is gone")

func (l *live) Send(ctx context.Context, id uint64, f packet.Frame) error {
	l.mu.Lock()
	p := l.links[id]
	l.mu.Unlock()
	if p == nil {
		return errGone
	}
	select {
	case p.frames <- f:
		return nil
	case <-p.gone:
		return errGone
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run moves frames to the receiver until the link is gone.
func (p *pipe) run() {
	for {
		select {
		case <-p.gone:
			return
		case f := <-p.frames:
			if pk, ok := f.(*packet.Packet); ok {
				bus.Publish(p.to.bus, bus.PacketReceived, bus.Received{Link: p.link, Packet: pk})
			} else {
				bus.Publish(p.to.bus, bus.SyncReceived, bus.SyncFrame{Link: p.link, Frame: f})
			}
		}
	}
}

func (l *live) serve(ctx context.Context) {
	ctx, l.stop = context.WithCancel(ctx)
	l.done = make(chan struct{})
	go func() {
		defer close(l.done)
		_ = l.svc.Serve(ctx)
	}()
}

func (l *live) end() {
	l.stop()
	<-l.done
}

func newLive(n *network, users ...packet.UserID) []*live {
	var all []*live
	for _, user := range users {
		l := &live{node: n.node(user), links: map[uint64]*pipe{}}
		l.svc.cfg.Sender = l
		l.svc.cfg.Now = time.Now
		all = append(all, l)
	}
	return all
}

// join links two, and gives what cuts the link; a stuck link takes nothing from a.
func join(a, b *live, id uint64, stuck bool) (cut func()) {
	gone := make(chan struct{})
	ends := [2]*live{a, b}
	var links [2]bus.Link
	for i, peer := range []*live{b, a} {
		links[i] = bus.Link{ID: id + uint64(i), User: peer.user, Device: peer.id.Device(), Key: peer.id.Key()}
	}
	for i, d := range ends {
		p := &pipe{frames: make(chan packet.Frame), gone: gone, to: ends[1-i], link: links[1-i]}
		d.mu.Lock()
		d.links[links[i].ID] = p
		d.mu.Unlock()
		if !stuck || i != 0 {
			go p.run()
		}
		bus.Publish(d.bus, bus.LinkUp, links[i])
	}
	return func() {
		close(gone)
		for i, d := range ends {
			bus.Publish(d.bus, bus.LinkDown, links[i])
		}
	}
}

func (l *live) say(chat packet.ChatID, text string) packet.PacketID {
	var id packet.PacketID
	l.update(func(tx store.Tx) error {
		p, err := l.svc.Append(tx, Draft{Chat: chat, Type: typeText, Content: []byte(text)})
		if err != nil {
			return err
		}
		id = p.Header.ID
		return l.message(tx, &p)
	})
	bus.Publish(l.bus, bus.EntryAppended, chat)
	return id
}

func TestServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, 1, "alice", "bob", "carol")
		n.chat(group, n.nodes...)
		all := newLive(n, "alice", "bob", "carol")
		alice, bob, carol := all[0], all[1], all[2]
		for _, l := range all {
			l.serve(t.Context())
		}
		join(alice, carol, 10, true) // a peer that takes nothing holds up nobody
		cut := join(alice, bob, 20, false)
		for i := range 200 {
			alice.say(group, fmt.Sprint(i))
		}
		synctest.Wait()
		bob.host()
		if got := bob.lines(group); len(got) != 200 {
			t.Errorf("bob shows %d lines", len(got))
		}
		cut()
		bob.say(group, "offline")
		alice.end()
		alice.serve(t.Context()) // the same service again
		join(alice, bob, 30, false)
		time.Sleep(time.Minute)
		synctest.Wait()
		alice.host()
		if got := alice.lines(group); len(got) != 201 {
			t.Errorf("alice shows %d lines", len(got))
		}
		for _, l := range all {
			l.end()
		}
		for _, l := range all {
			for _, p := range l.links {
				select {
				case <-p.gone:
				default:
					close(p.gone)
				}
			}
		}
		synctest.Wait()
	})
}

// failing is a store that has no room for a while.
type failing struct {
	*storetest.Fake
	mu  sync.Mutex // guards err
	err error
}

func (f *failing) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *failing) Update(ctx context.Context, d store.Durability, fn func(store.Tx) error) error {
	f.mu.Lock()
	err := f.err
	f.mu.Unlock()
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return f.Fake.Update(ctx, d, fn)
}

// A full disk holds what comes, with its credit, until there is room.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, 1, "alice", "bob")
		n.chat(direct, n.nodes...)
		all := newLive(n, "alice", "bob")
		alice, bob := all[0], all[1]
		full := &failing{Fake: bob.store}
		bob.svc.cfg.Store = full
		for _, l := range all {
			l.serve(t.Context())
		}
		cut := join(alice, bob, 10, false)
		synctest.Wait()
		full.set(store.ErrFull)
		id := alice.say(direct, "held")
		time.Sleep(time.Minute)
		if got := alice.states(id); got != "bob sent" {
			t.Errorf("state is %q", got)
		}
		if !bob.noticed("disk") {
			t.Error("nobody was told")
		}
		full.set(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := alice.states(id); got != "bob delivered" {
			t.Errorf("state is %q", got)
		}
		cut()
		for _, l := range all {
			l.end()
		}
		synctest.Wait()
	})
}
