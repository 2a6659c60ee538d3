package control_test

import (
	"context"

	"github.com/parley-chat/parley/core/control"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// willing is a core that takes whatever gets past the service's checks. It
// embeds no interface, so that a method that is new has to be thought of here.
type willing struct{ account control.Account }

func (*willing) Status(context.Context) *controlpb.Status { return &controlpb.Status{} }
func (*willing) LogIn(context.Context, *controlpb.LogInRequest) (*controlpb.LogInResponse, error) {
	return &controlpb.LogInResponse{}, nil
}
func (*willing) LogOut(context.Context) error                { return nil }
func (*willing) DeleteAccount(context.Context, string) error { return nil }
func (*willing) Unlock(context.Context, string) error        { return nil }
func (w *willing) Account() (control.Account, error)         { return w.account, nil }
func (*willing) Settings(context.Context) (*controlpb.Settings, error) {
	return &controlpb.Settings{}, nil
}
func (*willing) SetSetting(context.Context, string, string) error { return nil }
func (*willing) Shutdown()                                        {}
func (*willing) Diagnose(_ context.Context, _ packet.UserID, found func(*controlpb.Finding) error) error {
	return found(&controlpb.Finding{})
}

type willingPeople struct{}

func (willingPeople) Contacts(context.Context) ([]*controlpb.Contact, error) { return nil, nil }
func (willingPeople) Contact(_ context.Context, user packet.UserID) (*controlpb.Contact, error) {
	if user != peer {
		return nil, store.ErrNotFound
	}
	return &controlpb.Contact{User: string(user)}, nil
}
func (willingPeople) Request(context.Context, packet.UserID, string) error    { return nil }
func (willingPeople) Answer(context.Context, packet.UserID, bool) error       { return nil }
func (willingPeople) Remove(context.Context, packet.UserID, bool) error       { return nil }
func (willingPeople) Block(context.Context, packet.UserID, bool) error        { return nil }
func (willingPeople) Rename(context.Context, packet.UserID, string) error     { return nil }
func (willingPeople) AcceptKeys(context.Context, packet.UserID, string) error { return nil }
func (willingPeople) SetVerified(context.Context, packet.UserID, bool) error  { return nil }
func (willingPeople) Name(user packet.UserID) string                          { return string(user) }

type willingPlugins struct{}

func (willingPlugins) List(context.Context) ([]*controlpb.Plugin, error) { return nil, nil }
func (willingPlugins) Plugin(context.Context, string) (*controlpb.Plugin, error) {
	return &controlpb.Plugin{}, nil
}
func (willingPlugins) SetEnabled(context.Context, string, bool, string) error { return nil }
func (willingPlugins) Restart(context.Context, string) error                  { return nil }
func (willingPlugins) Invoke(_ context.Context, _ string, _ *pluginpb.InvokeRequest, update func(*pluginpb.InvokeUpdate)) (*controlpb.InvokeResult, error) {
	update(&pluginpb.InvokeUpdate{})
	return &controlpb.InvokeResult{}, nil
}
func (willingPlugins) Settings(context.Context, string) (*controlpb.Settings, error) {
	return &controlpb.Settings{}, nil
}
func (willingPlugins) SetSetting(context.Context, string, string, string) error { return nil }
func (willingPlugins) Presentation(string) pluginpb.Presentation {
	return pluginpb.Presentation_PRESENTATION_TEXT
}

type willingNet2019 struct{}

func (willingNet2019) LogIn(context.Context, *controlpb.LogInNet2019Request) (*controlpb.Net2019Status, error) {
	return &controlpb.Net2019Status{}, nil
}
func (willingNet2019) LogOut(context.Context) error { return nil }
func (willingNet2019) CreateGroup(context.Context, []packet.UserID) (packet.ChatID, error) {
	return "", store.ErrNotFound
}
func (willingNet2019) LeaveGroup(context.Context, packet.ChatID, bool) error { return nil }
