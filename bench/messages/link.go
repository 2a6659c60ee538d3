package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"time"

	"github.com/parley-chat/parley/bench/report"
	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/conn"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/plugins/text"
	"github.com/parley-chat/parley/protocol/packet"
)

// measureLink sends packets from one connection manager to another, over TLS on
// the loopback interface.
func measureLink(ctx context.Context, r *report.Round) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	anna, err := newEnd("anna")
	if err != nil {
		return err
	}
	bob, err := newEnd("bob")
	if err != nil {
		return err
	}
	if err := errors.Join(bob.begin(ctx, anna, false), anna.begin(ctx, bob, true)); err != nil {
		return err
	}
	received := bus.Subscribe(bob.bus, bus.PacketReceived, burst)
	up := bus.Subscribe(anna.bus, bus.LinkUp, 8)
	ended := make(chan error, 2)
	go func() { ended <- bob.manager.Serve(ctx) }()
	go func() { ended <- anna.manager.Serve(ctx) }()
	defer func() {
		cancel()
		received.Drain()
		up.Close()
		<-ended //nolint:errcheck // they were told to end
		<-ended //nolint:errcheck // they too
	}()
	link, err := up.Next(ctx)
	if err != nil {
		return err
	}
	p, err := textPacket(anna.id)
	if err != nil {
		return err
	}
	send := func() error { return anna.manager.Send(ctx, link.ID, &p) }
	next := func() error {
		got, err := received.Next(ctx)
		if err == nil {
			got.Release()
		}
		return err
	}
	return part{
		one: func(context.Context) error { return errors.Join(send(), next()) },
		many: func(_ context.Context, n int) error {
			sent := make(chan error, 1)
			go func() { sent <- repeat(n, send) }()
			return errors.Join(repeat(n, next), <-sent)
		},
	}.measure(ctx, r)
}

func repeat(n int, do func() error) error {
	for range n {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

// end is one side of the link.
type end struct {
	id      *identity.Identity
	bus     *bus.Bus
	manager *conn.Manager
}

func newEnd(user packet.UserID) (*end, error) {
	id, err := identity.Generate(user)
	return &end{id: id, bus: bus.New()}, err
}

// begin listens. Only one of two that know each other dials.
func (e *end) begin(ctx context.Context, other *end, dials bool) (err error) {
	book := identity.NewBook()
	book.Set(other.id.User(), identity.Person{Keys: []ed25519.PublicKey{other.id.Key()}, Linkable: true})
	e.manager, err = conn.New(conn.Config{
		Identity: e.id, Book: book, Bus: e.bus, Listen: "127.0.0.1:0", Agent: "bench",
		Locate: func(packet.UserID) (bus.Presence, bool) {
			if !dials {
				return bus.Presence{}, false
			}
			return bus.Presence{User: other.id.User(), Online: true, Endpoints: other.manager.Endpoints()}, true
		},
		EndpointsChanged: func([]bus.Endpoint) {},
	})
	if err != nil {
		return err
	}
	return e.manager.Listen(ctx)
}

func textPacket(author *identity.Identity) (packet.Packet, error) {
	content, err := text.Text{Body: body}.Encode()
	if err != nil {
		return packet.Packet{}, err
	}
	return packet.Seal(packet.Header{
		ID: packet.NewPacketID(), Chat: chat, Type: text.TypeText, Author: author.User(), Device: author.Device(), Epoch: 1, Number: 1,
		Depth: 1, Membership: 1, SentAt: time.Now().UnixMicro(), Delivery: packet.Reliable,
	}, content, author.Sign)
}
