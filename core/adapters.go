package core

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/chatlog"
	"github.com/parley-chat/parley/core/conn"
	"github.com/parley-chat/parley/core/control"
	"github.com/parley-chat/parley/core/directory"
	"github.com/parley-chat/parley/core/host"
	"github.com/parley-chat/parley/core/net2019"
	"github.com/parley-chat/parley/core/roster"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
	wire2019 "github.com/parley-chat/parley/protocol/packet/net2019"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// The small interfaces by which the packages below know each other.

// rosterDirectory is the directory's client as the roster sees it.
type rosterDirectory struct{ *directory.Client }

// Locate implements roster.Directory.
func (d rosterDirectory) Locate(user packet.UserID) (bus.Presence, bool) { return d.Presence(user) }

// rosterLinks is the connection manager as the roster sees it.
type rosterLinks struct{ *conn.Manager }

// Links implements roster.Links.
func (l rosterLinks) Links() []bus.Link { return linksOf(l.Manager) }

func linksOf(m *conn.Manager) []bus.Link {
	var links []bus.Link
	for _, l := range m.Links() {
		links = append(links, l.Link)
	}
	return links
}

// outbox is the chat log as the plugin host sees it,
// and what keeps the chats of 2019.
type outbox struct {
	*chatlog.Service
	net2019 *net2019.Service
}

// Append implements host.Outbox.
func (o outbox) Append(tx store.Tx, d host.Draft) (packet.Packet, error) {
	if d.Chat.Kind() != packet.Net2019 {
		p, err := o.Service.Append(tx, chatlog.Draft(d))
		if errors.Is(err, chatlog.ErrNotMember) {
			err = &host.Refusal{Text: "You are not a member of this chat: nothing can be sent to it.", Why: failure.Because("NOT_MEMBER")}
		}
		return p, err
	}
	p, err := o.net2019.Append(tx, net2019.Draft(d))
	if errors.Is(err, net2019.ErrCannot) {
		err = &host.Refusal{Text: err.Error(), Why: failure.Reason(err)}
	}
	return p, err
}

// Emit implements host.Outbox.
func (o outbox) Emit(ctx context.Context, d host.Draft, to []packet.UserID) error {
	return o.Service.Emit(ctx, chatlog.Draft(d), to)
}

// people is the roster as the control API sees it, with what the connection
// manager knows of those it cannot reach, and with the people of 2019.
type people struct {
	*roster.Roster
	conn    *conn.Manager
	net2019 *net2019.Service
}

// of2019 says whether a user is one of 2019.
func of2019(user packet.UserID) bool { return wire2019.IsName(string(user)) }

// Contacts implements control.People.
func (p people) Contacts(ctx context.Context) ([]*controlpb.Contact, error) {
	list, err := p.Roster.Contacts(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range list {
		p.addTrouble(c)
	}
	others, err := p.net2019.Contacts(ctx)
	return append(list, others...), err
}

// Contact implements control.People.
func (p people) Contact(ctx context.Context, user packet.UserID) (*controlpb.Contact, error) {
	if of2019(user) {
		return p.net2019.Contact(ctx, user)
	}
	c, err := p.Roster.Contact(ctx, user)
	p.addTrouble(c)
	return c, err
}

// Name implements control.People.
func (p people) Name(user packet.UserID) string {
	if of2019(user) {
		return p.net2019.Name(user)
	}
	return p.Roster.Name(user)
}

// Request implements control.People.
func (p people) Request(ctx context.Context, user packet.UserID, greeting string) error {
	if of2019(user) {
		return p.net2019.Request(ctx, user, greeting)
	}
	return p.Roster.Request(ctx, user, greeting)
}

// Answer implements control.People.
func (p people) Answer(ctx context.Context, user packet.UserID, accept bool) error {
	if of2019(user) {
		return p.net2019.Answer(ctx, user, accept)
	}
	return p.Roster.Answer(ctx, user, accept)
}

// Remove implements control.People.
func (p people) Remove(ctx context.Context, user packet.UserID, eraseHistory bool) error {
	if of2019(user) {
		return p.net2019.Remove(ctx, user, eraseHistory)
	}
	return p.Roster.Remove(ctx, user, eraseHistory)
}

// Block implements control.People.
func (p people) Block(ctx context.Context, user packet.UserID, block bool) error {
	if of2019(user) {
		return p.net2019.Block(ctx, user, block)
	}
	return p.Roster.Block(ctx, user, block)
}

// Rename implements control.People.
func (p people) Rename(ctx context.Context, user packet.UserID, nickname string) error {
	if of2019(user) {
		return p.net2019.Rename(ctx, user, nickname)
	}
	return p.Roster.Rename(ctx, user, nickname)
}

// AcceptKeys implements control.People.
func (p people) AcceptKeys(ctx context.Context, user packet.UserID, newSafetyNumber string) error {
	if of2019(user) {
		return errNoKeys(user)
	}
	return p.Roster.AcceptKeys(ctx, user, newSafetyNumber)
}

// SetVerified implements control.People.
func (p people) SetVerified(ctx context.Context, user packet.UserID, verified bool) error {
	if of2019(user) {
		return errNoKeys(user)
	}
	return p.Roster.SetVerified(ctx, user, verified)
}

func errNoKeys(user packet.UserID) error {
	return failure.New(ErrInvalid, "%s has no keys: the protocol of 2019 proves nobody and encrypts nothing", user).Because("NET2019_NO_KEYS")
}

func (p people) addTrouble(c *controlpb.Contact) {
	if user := packet.UserID(c.GetUser()); user != "" && !c.GetLinked() && p.conn.Mismatched(user) {
		c.Trouble = fmt.Sprintf("%s has another version of Parley's protocol than this program (%d): update the older of the two", user, packet.Version)
		c.TroubleReason = controlpb.ReasonOf(failure.Because("OTHER_VERSION", "user", user))
	}
}

// hostPeople is the roster as the plugin host sees it.
type hostPeople struct{ *session }

// Online implements host.People.
func (p hostPeople) Online(user packet.UserID) bool {
	presence, ok := p.directory.Presence(user)
	return ok && presence.Online
}

// Vouch implements host.People.
func (p hostPeople) Vouch(tx store.Tx, chat packet.ChatID, user packet.UserID, keys []ed25519.PublicKey) error {
	return p.roster.Vouch(tx, chat, user, keys)
}

// Keys implements host.People.
func (p hostPeople) Keys() []ed25519.PublicKey {
	return []ed25519.PublicKey{p.identity.Key()}
}

// DisplayName implements host.People.
func (p hostPeople) DisplayName() string {
	return p.ownProfile(context.Background()).GetDisplayName()
}

// ownProfile is the account's own profile; a store that cannot be read shows
// elsewhere.
func (s *session) ownProfile(ctx context.Context) *directorypb.Profile {
	profile, err := s.roster.Profile(ctx)
	if err != nil || profile.GetDisplayName() == "" {
		return &directorypb.Profile{DisplayName: string(s.identity.User()), Avatar: profile.GetAvatar()}
	}
	return profile
}

// plugins is the plugin host as control sees it.
type plugins struct {
	host *host.Host
	bus  *bus.Bus
}

// List implements control.Plugins.
func (p plugins) List(ctx context.Context) ([]*controlpb.Plugin, error) {
	found, err := p.host.Plugins(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]*controlpb.Plugin, len(found))
	for i := range found {
		list[i] = pluginOf(&found[i])
	}
	return list, nil
}

// Plugin implements control.Plugins.
func (p plugins) Plugin(ctx context.Context, name string) (*controlpb.Plugin, error) {
	found, err := p.host.Plugin(ctx, name)
	if errors.Is(err, host.ErrNoPlugin) {
		return nil, fmt.Errorf("%w: %w", err, store.ErrNotFound)
	}
	return pluginOf(&found), err
}

func pluginOf(s *host.PluginStatus) *controlpb.Plugin {
	return &controlpb.Plugin{
		Name: s.Name, State: pluginStates[s.State], Path: s.Path, Bundled: s.Bundled, Confined: s.Confined, Sha256: s.SHA256,
		Manifest: s.Manifest, ProcessId: int64(s.ProcessID), CpuTime: s.CPUTime.Microseconds(), Resident: s.Resident,
		Crashes: s.Crashes, Error: s.Error, SetAside: s.SetAside,
	}
}

var pluginStates = map[host.State]controlpb.PluginState{
	host.StateNew:      controlpb.PluginState_PLUGIN_STATE_NEW,
	host.StateDisabled: controlpb.PluginState_PLUGIN_STATE_DISABLED,
	host.StateChanged:  controlpb.PluginState_PLUGIN_STATE_CHANGED,
	host.StateIdle:     controlpb.PluginState_PLUGIN_STATE_IDLE,
	host.StateRunning:  controlpb.PluginState_PLUGIN_STATE_RUNNING,
	host.StateBackoff:  controlpb.PluginState_PLUGIN_STATE_BACKOFF,
	host.StateBroken:   controlpb.PluginState_PLUGIN_STATE_BROKEN,
}

// describePatience is how long enabling a plugin waits for it to say what it is.
const describePatience = 15 * time.Second

// SetEnabled implements control.Plugins. A plugin that was enabled is asked at
// once what it is, so that its actions are there, or it is known not to work.
func (p plugins) SetEnabled(ctx context.Context, name string, enabled bool, sha256 string) error {
	changes := bus.Subscribe(p.bus, bus.PluginChanged, 64)
	defer changes.Close()
	if _, err := p.host.SetEnabled(ctx, name, enabled, sha256); err != nil || !enabled {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, describePatience)
	defer cancel()
	for {
		found, err := p.host.Plugin(ctx, name)
		if err != nil || found.Manifest != nil || found.State == host.StateBroken {
			return err
		}
		if _, err := changes.Next(ctx); err != nil && !errors.Is(err, bus.ErrLagged) {
			return nil //nolint:nilerr // it is enabled all the same
		}
	}
}

// Restart implements control.Plugins.
func (p plugins) Restart(ctx context.Context, name string) error {
	_, err := p.host.Restart(ctx, name)
	return err
}

// Invoke implements control.Plugins.
func (p plugins) Invoke(ctx context.Context, plugin string, req *pluginpb.InvokeRequest, update func(*pluginpb.InvokeUpdate)) (*controlpb.InvokeResult, error) {
	result, err := p.host.Invoke(ctx, plugin, req, update)
	if err != nil {
		return nil, err
	}
	pb := &controlpb.InvokeResult{Result: result.Result}
	for _, id := range result.Sent {
		pb.Sent = append(pb.Sent, id[:])
	}
	return pb, nil
}

// Settings implements control.Plugins.
func (p plugins) Settings(ctx context.Context, name string) (*controlpb.Settings, error) {
	schema, values, err := p.host.Settings(ctx, name)
	return &controlpb.Settings{Schema: schema, Values: values}, err
}

// SetSetting implements control.Plugins.
func (p plugins) SetSetting(ctx context.Context, plugin, name, value string) error {
	return p.host.SetSetting(ctx, plugin, name, value)
}

// Presentation implements control.Plugins.
func (p plugins) Presentation(kind string) pluginpb.Presentation {
	presentation, _, ok := p.host.Kind(kind)
	if !ok {
		return pluginpb.Presentation_PRESENTATION_TEXT // its plugin is gone; the body is still there
	}
	return presentation
}

// receipts is the chat log's knowledge of messages as control sees it.
type receipts struct {
	log     *chatlog.Service
	net2019 *net2019.Service
}

// Of implements control.Receipts.
func (r receipts) Of(tx store.ReadTx, chat packet.ChatID) (func(m *store.Message) ([]*controlpb.RecipientState, error), error) {
	if chat.Kind() == packet.Net2019 {
		return r.net2019.Receipts(tx, chat)
	}
	known, err := r.log.Receipts(tx, chat)
	if err != nil {
		return nil, err
	}
	return func(m *store.Message) ([]*controlpb.RecipientState, error) {
		recipients, err := known.Of(m)
		states := make([]*controlpb.RecipientState, len(recipients))
		for i, r := range recipients {
			states[i] = &controlpb.RecipientState{User: string(r.User), Delivery: deliveries[r.State], Reason: r.Text, Why: controlpb.ReasonOf(refusal(&r))}
		}
		return states, err
	}, nil
}

var deliveries = map[chatlog.State]controlpb.Delivery{
	chatlog.Queued:    controlpb.Delivery_DELIVERY_QUEUED,
	chatlog.Sent:      controlpb.Delivery_DELIVERY_SENT,
	chatlog.Delivered: controlpb.Delivery_DELIVERY_DELIVERED,
	chatlog.Read:      controlpb.Delivery_DELIVERY_READ,
	chatlog.Failed:    controlpb.Delivery_DELIVERY_FAILED,
}

// Account implements control.Core.
func (f facade) Account() (control.Account, error) {
	s, err := f.current()
	if err != nil {
		return control.Account{}, err
	}
	return control.Account{
		Self: s.identity.User(), Store: s.store, People: people{s.roster, s.conn, s.net2019}, Plugins: plugins{s.host, s.core.bus}, Receipts: receipts{s.chatlog, s.net2019}, Blobs: blobViews{s.blob},
		Net2019: s.net2019, SetRead: s.setRead, ClearChat: s.clearChat, SetProfile: s.roster.SetProfile, ChangePassword: s.changePassword,
	}, nil
}

func (s *session) clearChat(tx store.Tx, chat packet.ChatID) error {
	err := s.chatlog.Clear(tx, chat)
	if errors.Is(err, chatlog.ErrNoChanges) {
		return failure.New(control.ErrNotNow, "the plugin that keeps this group is not there: enable it first").Because("CHAT_NO_PLUGIN")
	}
	return err
}

func (s *session) changePassword(ctx context.Context, oldPassword, newPassword string) error {
	if oldPassword == newPassword {
		return failure.New(ErrInvalid, "the new password is the old one").Because("SAME_PASSWORD")
	}
	return s.directory.ChangePassword(ctx, oldPassword, newPassword)
}

// setRead moves the place up to which a chat is read, and tells the others
// unless the user does not want that.
func (s *session) setRead(ctx context.Context, chat packet.ChatID, place packet.OrderKey) error {
	moved := false
	err := s.store.Update(ctx, store.Lazy, func(tx store.Tx) error {
		var err error
		moved, err = tx.SetRead(chat, place)
		return err
	})
	if err != nil || !moved {
		return err
	}
	bus.Publish(s.core.bus, bus.ChatChanged, bus.ChatChange{Chat: chat, Content: true})
	tell, err := s.setting(ctx, settingReceipts)
	if err != nil || tell != "true" {
		return err
	}
	if chat.Kind() == packet.Net2019 {
		return nil // nobody there could be told
	}
	return s.chatlog.WriteRegister(ctx, chat, packet.RegisterRead, place[:])
}
