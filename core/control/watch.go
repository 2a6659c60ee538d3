package control

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
)

// watchQueue is how many changes a front end may be behind before it has to
// read the state anew.
const watchQueue = 4096

// change is what happened, before it is looked up for a front end. Exactly one
// field is set; equal changes that wait together are looked up once.
type change struct {
	status  bool
	resync  bool
	contact packet.UserID
	member  bool // contact is to be told of also when it is an acquaintance
	chat    packet.ChatID
	plugin  string
	blob    packet.BlobID
	message bus.MessageRef
	// What happened to message.
	added, removed bool
	// Passed on as it is.
	event *controlpb.Event
}

// Watch implements controlpb.ControlServer.
func (s *Server) Watch(req *controlpb.WatchRequest, stream controlpb.Control_WatchServer) error {
	q := s.watch(req.GetAcquaintances())
	defer q.Close()
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
	if err := stream.Send(&controlpb.Event{Event: &controlpb.Event_Watching{Watching: &controlpb.Watching{}}}); err != nil {
		return err
	}
	for {
		first, err := q.Next(ctx)
		switch {
		case errors.Is(err, bus.ErrLagged):
			first = change{resync: true}
		case err != nil && s.stopping.Err() != nil:
			return status.Error(codes.Unavailable, "parley is stopping")
		case err != nil:
			return err
		}
		events, err := s.events(ctx, batch(q, first))
		if err != nil {
			return err
		}
		for _, e := range events {
			if e == nil {
				continue
			}
			if err := stream.Send(e); err != nil {
				return err
			}
		}
	}
}

// batch takes what waits in the queue, leaving out all but the first of equal
// changes: what is looked up is the state of now anyway.
func batch(q *bus.Queue[change], first change) []change {
	changes := []change{first}
	seen := map[change]bool{first: true}
	for len(changes) < 256 {
		c, ok := q.TryNext()
		if !ok {
			break
		}
		if c.event == nil && seen[c] {
			continue
		}
		seen[c] = true
		changes = append(changes, c)
	}
	return changes
}

// watch makes a queue of everything front ends hear of; of acquaintances only
// where they are asked for.
func (s *Server) watch(acquaintances bool) *bus.Queue[change] {
	b, q := s.cfg.Bus, bus.NewQueue[change](watchQueue)
	bus.Feed(b, bus.LinkUp, q, func(bus.Link) (change, bool) { return change{status: true}, true })
	bus.Feed(b, bus.LinkDown, q, func(bus.Link) (change, bool) { return change{status: true}, true })
	bus.Feed(b, bus.DirectoryChanged, q, func(bus.DirectoryState) (change, bool) { return change{status: true}, true })
	bus.Feed(b, bus.Net2019Changed, q, func(struct{}) (change, bool) { return change{status: true}, true })
	bus.Feed(b, bus.AccountChanged, q, func(struct{}) (change, bool) { return change{resync: true}, true })
	bus.Feed(b, bus.ProfileChanged, q, func(struct{}) (change, bool) { return change{status: true}, true })
	bus.Feed(b, bus.ContactChanged, q, func(c bus.ContactChange) (change, bool) {
		return change{contact: c.User, member: acquaintances}, c.User != "" && (!c.Acquaintance || acquaintances)
	})
	bus.Feed(b, bus.ChatChanged, q, func(c bus.ChatChange) (change, bool) { return change{chat: c.Chat}, true })
	bus.Feed(b, bus.MessageAdded, q, func(m bus.MessageRef) (change, bool) { return change{message: m, added: true}, true })
	bus.Feed(b, bus.MessageChanged, q, func(m bus.MessageRef) (change, bool) { return change{message: m}, true })
	bus.Feed(b, bus.MessageRemoved, q, func(m bus.MessageRef) (change, bool) { return change{message: m, removed: true}, true })
	bus.Feed(b, bus.BlobChanged, q, func(r bus.BlobRef) (change, bool) { return change{blob: r.ID}, true })
	bus.Feed(b, bus.PluginChanged, q, func(name string) (change, bool) { return change{plugin: name}, true })
	bus.Feed(b, bus.PluginPublished, q, func(e bus.PluginEvent) (change, bool) {
		return change{event: &controlpb.Event{Event: &controlpb.Event_PluginEvent{PluginEvent: &controlpb.PluginEvent{
			Plugin: e.Plugin, Name: e.Name, Chat: string(e.Chat), User: string(e.User), Data: e.Data,
		}}}}, true
	})
	bus.Feed(b, bus.Noticed, q, func(n bus.Notice) (change, bool) {
		return change{event: &controlpb.Event{Event: &controlpb.Event_Notice{Notice: &controlpb.Notice{
			Level: n.Level, Text: n.Text, Subject: n.Subject, Reason: controlpb.ReasonOf(n.Reason),
		}}}}, true
	})
	return q
}

// events looks changes up, in their order; nil stands for those of which there is
// nothing to say any more. What the store has of them is read in one look.
func (s *Server) events(ctx context.Context, changes []change) ([]*controlpb.Event, error) {
	events := make([]*controlpb.Event, len(changes))
	stored := false
	for i, c := range changes {
		var err error
		switch {
		case c.stored():
			stored = true
			continue
		case c.event != nil:
			events[i] = c.event
		case c.resync:
			events[i] = &controlpb.Event{Event: &controlpb.Event_Resync{Resync: &controlpb.Resync{}}}
		case c.status:
			events[i] = &controlpb.Event{Event: &controlpb.Event_Status{Status: s.cfg.Core.Status(ctx)}}
		default:
			events[i], err = s.accountEvent(ctx, c)
		}
		if err != nil && !errors.Is(err, store.ErrClosed) { // closed: logged out since, a Resync follows
			return nil, err
		}
	}
	if !stored {
		return events, nil
	}
	a, err := s.account()
	if err != nil {
		return events, nil //nolint:nilerr // logged out since: a Resync follows
	}
	err = a.Store.View(ctx, func(tx store.ReadTx) error {
		for i, c := range changes {
			if !c.stored() {
				continue
			}
			var err error
			switch {
			case c.chat != "":
				events[i], err = a.chatEvent(tx, c.chat)
			case c.blob != packet.BlobID{}:
				events[i], err = a.blobEvent(tx, c.blob)
			default:
				events[i], err = a.messageEvent(tx, c)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, store.ErrClosed) {
		return events, nil
	}
	return events, err
}

// stored says whether the store is asked for what changed.
func (c *change) stored() bool {
	return c.chat != "" || c.blob != packet.BlobID{} || c.message != bus.MessageRef{} && !c.removed
}

// accountEvent looks a change up that others than the store know of.
func (s *Server) accountEvent(ctx context.Context, c change) (*controlpb.Event, error) {
	if c.removed {
		return &controlpb.Event{Event: &controlpb.Event_MessageRemoved{MessageRemoved: &controlpb.MessageRemoved{
			Chat: string(c.message.Chat), Id: c.message.ID[:],
		}}}, nil
	}
	a, err := s.account()
	switch {
	case err != nil:
		return nil, nil //nolint:nilerr,nilnil // logged out since: a Resync follows
	case c.contact != "":
		return a.contactEvent(ctx, c.contact, c.member)
	}
	p, err := a.Plugins.Plugin(ctx, c.plugin)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil //nolint:nilnil // gone since
	}
	return &controlpb.Event{Event: &controlpb.Event_Plugin{Plugin: p}}, err
}

func (a Account) contactEvent(ctx context.Context, user packet.UserID, acquaintance bool) (*controlpb.Event, error) {
	contact, err := a.People.Contact(ctx, user)
	if errors.Is(err, store.ErrNotFound) || err == nil && acquainted(contact) && !acquaintance {
		return &controlpb.Event{Event: &controlpb.Event_ContactRemoved{ContactRemoved: string(user)}}, nil
	}
	return &controlpb.Event{Event: &controlpb.Event_Contact{Contact: contact}}, err
}

func (a Account) chatEvent(tx store.ReadTx, id packet.ChatID) (*controlpb.Event, error) {
	c, err := a.there(tx, id)
	if errors.Is(err, store.ErrNotFound) {
		return &controlpb.Event{Event: &controlpb.Event_ChatRemoved{ChatRemoved: string(id)}}, nil
	}
	if err != nil {
		return nil, err
	}
	pb, err := a.chat(tx, c)
	return &controlpb.Event{Event: &controlpb.Event_Chat{Chat: pb}}, err
}

func (a Account) messageEvent(tx store.ReadTx, c change) (*controlpb.Event, error) {
	m, err := tx.Message(c.message.ID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil //nolint:nilnil // removed since: that event follows
	}
	if err != nil {
		return nil, err
	}
	pbs, err := a.messages(tx, []store.Message{m})
	if err != nil {
		return nil, err
	}
	if c.added {
		return &controlpb.Event{Event: &controlpb.Event_MessageAdded{MessageAdded: pbs[0]}}, nil
	}
	return &controlpb.Event{Event: &controlpb.Event_MessageChanged{MessageChanged: pbs[0]}}, nil
}
