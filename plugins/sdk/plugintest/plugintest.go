// Package plugintest is a core in memory, for the tests of a plugin: it feeds it
// packets, events and actions, keeps the messages, annotations and values it
// makes, and holds it to the limits and rules of plugin.proto as the real core
// does. The plugin runs in the test's process, over the same session code as in
// a process of its own, and works under testing/synctest.
//
//	h := plugintest.New(t, plugintest.Config{New: func() sdk.Plugin { return poll.New() }})
//	chat := h.Chat("bob")
//	result, err := h.Invoke(plugintest.Call{Action: "poll", Chat: chat, Text: "Tea?"})
//	h.Receive(h.Packet(chat, "bob", "org.example.poll/vote", []byte("yes")))
//	if got := h.Messages(chat); ...
//
// A [Network] joins hosts of several people, so that what one plugin sends the
// others handle.
// With Config.Path the plugin is a real process.
//
// In a group, members that a list adds get what is here of the types that open
// chats, and with HISTORY_ALL of all; members that a list takes out still get
// what the same call sends.
//
// Differences from the real core: packets of one host are handled one chat after
// the other; nothing is on disk; there are no other plugins, but Put makes
// messages as if of one; blobs are not moved, SettleBlob says how they ended.
package plugintest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// Config says whose host it is and of which plugin.
type Config struct {
	// New makes the plugin; Restart calls it again.
	New func() sdk.Plugin
	// Path runs an executable instead, in a process of its own, as the core
	// does. One that dies is started again.
	Path string
	// User is the account's; by default "alice".
	User packet.UserID
	// Bundled: the plugin comes with Parley, so its types need no reverse-DNS
	// prefix.
	Bundled bool
	// Settings that differ from their defaults.
	Settings map[string]string
}

// Network joins hosts.
type Network struct {
	t testing.TB

	mu      sync.Mutex // guards all below; taken after no other lock
	idle    *sync.Cond
	active  int // packets and events that are not handled yet
	hosts   []*Host
	devices int
}

// NewNetwork makes an empty network.
func NewNetwork(t testing.TB) *Network {
	n := &Network{t: t}
	n.idle = sync.NewCond(&n.mu)
	return n
}

// New makes a host that is alone in a network of its own.
func New(t testing.TB, cfg Config) *Host {
	t.Helper()
	return NewNetwork(t).Host(cfg)
}

// Host adds a host and starts its plugin; the test fails when the manifest
// breaks a rule or Start an error. Two hosts of one user are two devices.
func (n *Network) Host(cfg Config) *Host {
	n.t.Helper()
	if cfg.Settings == nil {
		cfg.Settings = map[string]string{}
	}
	if cfg.User == "" {
		cfg.User = "alice"
	}
	h := &Host{
		t: n.t, net: n, cfg: cfg, online: true, wake: make(chan struct{}, 1), quit: make(chan struct{}),
		data: n.t.TempDir(), cache: n.t.TempDir(),
		device: n.nextDevice(cfg.User), made: map[chatUser]uint64{}, state: newState(), settings: maps.Clone(cfg.Settings), given: map[string]int{},
	}
	if err := h.start(); err != nil {
		n.t.Fatalf("plugintest: %v", err)
	}
	n.mu.Lock()
	n.hosts = append(n.hosts, h)
	n.mu.Unlock()
	h.workers.Go(h.work)
	n.t.Cleanup(h.close)
	return h
}

// Chat makes a chat of these hosts' users: a direct chat of two, else a group.
func (n *Network) Chat(hosts ...*Host) packet.ChatID {
	n.t.Helper()
	var users []packet.UserID
	for _, h := range hosts {
		users = append(users, h.cfg.User)
	}
	slices.Sort(users)
	users = slices.Compact(users)
	id := packet.NewGroupChat()
	if len(users) == 2 {
		id = packet.DirectChat(users[0], users[1])
	}
	for _, h := range hosts {
		h.addChat(id, users)
	}
	return id
}

// Settle waits until everything sent has been handled.
func (n *Network) Settle() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.active > 0 {
		n.idle.Wait()
	}
}

func (n *Network) count(items int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.active += items
	if n.active == 0 {
		n.idle.Broadcast()
	}
}

// nextDevice gives a device id: the same in each run of a test.
func (n *Network) nextDevice(user packet.UserID) packet.DeviceID {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.devices++
	return deviceOf(user, n.devices)
}

func deviceOf(user packet.UserID, n int) packet.DeviceID {
	hash := packet.HashOf(fmt.Appendf(nil, "%s/%d", user, n))
	return packet.DeviceID(hash[:len(packet.DeviceID{})])
}

// carry brings what from sent to the other hosts of its chat's members.
func (n *Network) carry(from *Host, sent []outgoing) {
	n.mu.Lock()
	hosts := slices.Clone(n.hosts)
	n.mu.Unlock()
	for _, o := range sent {
		for _, h := range hosts {
			member := slices.Contains(o.to, h.cfg.User)
			if h != from && member {
				p := o.packet
				p.Own = p.Author == h.cfg.User
				h.enqueue([]*item{{packet: &p}}, true)
			}
		}
	}
}

// Call is an action a person asks for.
type Call struct {
	ID      packet.PacketID // by default a new one
	Action  string
	Chat    packet.ChatID
	Message packet.PacketID
	Text    string
	Args    map[string]string
	Paths   []string
	// Update is called with each update as it comes; may be nil.
	Update func(*pluginpb.InvokeUpdate)
}

// Result of a Call.
type Result struct {
	ID      packet.PacketID // of the call
	Value   []byte
	Updates []*pluginpb.InvokeUpdate
	Sent    []packet.PacketID
}

// Outcome is what became of a packet.
type Outcome struct {
	// Refused is what the author is told, if the packet was refused.
	Refused string
	// Err is set when the plugin failed three times, or made effects that
	// cannot be applied; the real core sets such a packet aside.
	Err error
}

// Message is a stored message.
type Message struct {
	sdk.Message
	Plugin string
	Card   *pluginpb.Card
	Local  bool
}

// Invoke asks for an action and waits until all it led to, on all hosts, is
// done. Repeated with the same id it gives the first result. An error of the
// plugin's is an *sdk.Error.
func (h *Host) Invoke(call Call) (Result, error) {
	h.t.Helper()
	result, err := h.InvokeContext(context.Background(), call)
	h.net.Settle()
	return result, err
}

// Receive hands in packets as if they had come from others, those of one chat
// in one batch, and waits until all they led to is done.
func (h *Host) Receive(packets ...sdk.Packet) []Outcome {
	h.t.Helper()
	items := make([]*item, len(packets))
	for i := range packets {
		items[i] = &item{packet: &packets[i]}
		if _, ok := h.chat(packets[i].Chat); !ok && !opensChat(h.Manifest(), packets[i].Type) {
			h.t.Fatalf("plugintest: %s has no chat %s: make it with Chat", h.cfg.User, packets[i].Chat)
		}
	}
	h.enqueue(items, false)
	h.net.Settle()
	outcomes := make([]Outcome, len(items))
	for i := range items {
		outcomes[i] = items[i].outcome
	}
	return outcomes
}

// Event hands in an event and waits until all it led to is done.
func (h *Host) Event(e sdk.Event) Outcome {
	h.t.Helper()
	i := &item{event: eventProto(e), chat: e.Chat}
	h.enqueue([]*item{i}, false)
	h.net.Settle()
	return i.outcome
}

// Packet makes a packet for Receive: the next one of a device of the author's,
// on which no plugin runs.
func (h *Host) Packet(chat packet.ChatID, author packet.UserID, kind packet.Type, content []byte) sdk.Packet {
	h.mu.Lock()
	defer h.mu.Unlock()
	of := chatUser{chat, author}
	h.made[of]++
	return sdk.Packet{
		ID: packet.NewPacketID(), Chat: chat, Type: kind, Author: author, SentAt: time.Now(), Content: content, Own: author == h.cfg.User,
		Device: deviceOf(author, 0), Epoch: 1, Number: h.made[of],
	}
}

// opensChat says whether packets of a type may come before their chat is there.
func opensChat(m *pluginpb.Manifest, of packet.Type) bool {
	return slices.ContainsFunc(m.GetPacketTypes(), func(t *pluginpb.PacketType) bool { return t.GetName() == string(of) && t.GetOpensChat() })
}
