package control_test

import (
	"context"

	"github.com/parley-chat/parley/core/control"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// fakeCore has one account, or none.
type fakeCore struct {
	control.Core // what a test does not need
	account      *control.Account
}

func (c *fakeCore) Status(context.Context) *controlpb.Status {
	return &controlpb.Status{Version: "test"}
}

func (c *fakeCore) Account() (control.Account, error) {
	if c.account == nil {
		return control.Account{}, errNobody
	}
	return *c.account, nil
}

// fakePeople knows bob, and mia from a group.
type fakePeople struct{ control.People }

func (fakePeople) Contact(_ context.Context, user packet.UserID) (*controlpb.Contact, error) {
	switch user {
	case peer:
		return &controlpb.Contact{User: string(user), State: controlpb.ContactState_CONTACT_STATE_CONTACT}, nil
	case member:
		return &controlpb.Contact{User: string(user), State: controlpb.ContactState_CONTACT_STATE_ACQUAINTANCE}, nil
	}
	return nil, store.ErrNotFound
}

func (p fakePeople) Contacts(ctx context.Context) ([]*controlpb.Contact, error) {
	bob, _ := p.Contact(ctx, peer)
	mia, err := p.Contact(ctx, member)
	return []*controlpb.Contact{bob, mia}, err
}

func (fakePeople) Name(user packet.UserID) string { return "name of " + string(user) }

// fakePlugins counts.
type fakePlugins struct{ control.Plugins }

func (fakePlugins) Presentation(string) pluginpb.Presentation {
	return pluginpb.Presentation_PRESENTATION_TEXT
}

func (fakePlugins) Invoke(_ context.Context, _ string, _ *pluginpb.InvokeRequest, update func(*pluginpb.InvokeUpdate)) (*controlpb.InvokeResult, error) {
	for i := range uint64(3) {
		update(&pluginpb.InvokeUpdate{Update: &pluginpb.InvokeUpdate_Progress{Progress: &pluginpb.Progress{Done: i}}})
	}
	return &controlpb.InvokeResult{Result: []byte("done")}, nil
}

// fakeReceipts says that one has read and the other only got a message.
type fakeReceipts struct{}

func (fakeReceipts) Of(store.ReadTx, packet.ChatID) (func(*store.Message) ([]*controlpb.RecipientState, error), error) {
	return func(*store.Message) ([]*controlpb.RecipientState, error) {
		return []*controlpb.RecipientState{
			{User: "bob", Delivery: controlpb.Delivery_DELIVERY_READ},
			{User: "carol", Delivery: controlpb.Delivery_DELIVERY_DELIVERED},
		}, nil
	}, nil
}
