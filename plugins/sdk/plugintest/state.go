package plugintest

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// state is what the core stores. Messages and the like are replaced, never
// changed in place.
type state struct {
	chats       map[packet.ChatID]sdk.Chat
	lists       map[packet.ChatID]map[uint64]*pluginpb.SetMembers
	logs        map[packet.ChatID][]sdk.Packet // RELIABLE ones that are here, in the order in which they came
	contacts    []sdk.Contact
	messages    map[packet.PacketID]*Message
	places      map[packet.PacketID]int // of messages: their order
	annotations map[annotationKey]*annotation
	values      map[string][]byte
	invocations map[packet.PacketID]Result
	sent        []sdk.Packet
	entries     map[packet.PacketID]sdk.Packet // RELIABLE ones of this device
	blobs       map[packet.BlobID]sdk.Blob
	fetches     map[packet.BlobID]sdk.FetchBlob
	published   []sdk.PublishEvent
	dropped     []packet.PacketID // whose content the plugin dropped
	log         []string
}

type annotationKey struct {
	message packet.PacketID
	kind    string
	author  packet.UserID
}

type annotation struct {
	sdk.Annotation
	plugin string
	search string
}

func newState() *state {
	return &state{
		chats: map[packet.ChatID]sdk.Chat{}, lists: map[packet.ChatID]map[uint64]*pluginpb.SetMembers{}, logs: map[packet.ChatID][]sdk.Packet{},
		messages: map[packet.PacketID]*Message{}, places: map[packet.PacketID]int{},
		annotations: map[annotationKey]*annotation{}, values: map[string][]byte{}, invocations: map[packet.PacketID]Result{},
		entries: map[packet.PacketID]sdk.Packet{}, blobs: map[packet.BlobID]sdk.Blob{}, fetches: map[packet.BlobID]sdk.FetchBlob{},
	}
}

// holds says whether an entry is here: two packets of an author who signed them
// with one number are two.
func (s *state) holds(p *sdk.Packet) bool {
	return slices.ContainsFunc(s.logs[p.Chat], func(q sdk.Packet) bool {
		return q.ID == p.ID && q.Device == p.Device && q.Epoch == p.Epoch && q.Number == p.Number
	})
}

// heads gives up to where each log of a chat is here, by device and epoch.
func (s *state) heads(chat packet.ChatID) []*pluginpb.Cutoff {
	type log struct {
		device packet.DeviceID
		epoch  uint64
	}
	numbers, authors := map[log]map[uint64]bool{}, map[log]packet.UserID{}
	for _, p := range s.logs[chat] {
		l := log{p.Device, p.Epoch}
		if numbers[l] == nil {
			numbers[l], authors[l] = map[uint64]bool{}, p.Author
		}
		numbers[l][p.Number] = true
	}
	var heads []*pluginpb.Cutoff
	for l, there := range numbers {
		upto := uint64(0)
		for there[upto+1] {
			upto++
		}
		heads = append(heads, &pluginpb.Cutoff{User: string(authors[l]), Device: l.device[:], Epoch: l.epoch, Number: upto})
	}
	slices.SortFunc(heads, func(a, b *pluginpb.Cutoff) int {
		return cmp.Or(bytes.Compare(a.GetDevice(), b.GetDevice()), cmp.Compare(a.GetEpoch(), b.GetEpoch()))
	})
	return heads
}

// Lists gives the member lists that the plugin set for a chat, by version.
func (h *Host) Lists(chat packet.ChatID) []*pluginpb.SetMembers {
	h.mu.Lock()
	defer h.mu.Unlock()
	var lists []*pluginpb.SetMembers
	for _, version := range slices.Sorted(maps.Keys(h.state.lists[chat])) {
		lists = append(lists, h.state.lists[chat][version])
	}
	return lists
}

// put sets m[k], and remembers how to undo it.
func put[K comparable, V any](undo *[]func(), m map[K]V, k K, v V) {
	old, had := m[k]
	*undo = append(*undo, func() {
		if had {
			m[k] = old
		} else {
			delete(m, k)
		}
	})
	m[k] = v
}

// remove deletes m[k], and remembers how to undo it.
func remove[K comparable, V any](undo *[]func(), m map[K]V, k K) {
	if old, had := m[k]; had {
		*undo = append(*undo, func() { m[k] = old })
		delete(m, k)
	}
}

// Messages gives the messages of a chat, oldest first.
func (h *Host) Messages(chat packet.ChatID) []Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []Message
	for _, m := range h.state.messages {
		if m.Chat == chat {
			list = append(list, *m)
		}
	}
	slices.SortFunc(list, func(a, b Message) int { return h.state.places[a.ID] - h.state.places[b.ID] })
	return list
}

// Message gives one message.
func (h *Host) Message(id packet.PacketID) (Message, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m, ok := h.state.messages[id]
	if !ok {
		return Message{}, false
	}
	return *m, true
}

// Put adds a message as if of another plugin, or of an earlier time.
func (h *Host) Put(m Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m.Own = m.Author == h.cfg.User
	h.state.places[m.ID] = len(h.state.places)
	h.state.messages[m.ID] = &m
}

// Annotations gives those of a message, by kind and author.
func (h *Host) Annotations(message packet.PacketID) []sdk.Annotation {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []sdk.Annotation
	for _, a := range h.state.sortedAnnotations() {
		if a.Message == message {
			list = append(list, a.Annotation)
		}
	}
	return list
}

func (s *state) sortedAnnotations() []*annotation {
	return slices.SortedFunc(maps.Values(s.annotations), func(a, b *annotation) int {
		return slices.Compare(
			[]string{string(a.Message[:]), a.Kind, string(a.Author)},
			[]string{string(b.Message[:]), b.Kind, string(b.Author)})
	})
}

// Sent gives the packets the plugin sent, ephemeral ones included, in order.
func (h *Host) Sent() []sdk.Packet {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.state.sent)
}

// Dropped gives the packets whose content the plugin dropped, in order. That they
// are its own and of the right author only the real host checks.
func (h *Host) Dropped() []packet.PacketID {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.state.dropped)
}

// Published gives the events the plugin published, in order.
func (h *Host) Published() []sdk.PublishEvent {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.state.published)
}

// Values gives the plugin's private values.
func (h *Host) Values() map[string][]byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.state.values)
}

// Log gives what the plugin logged, as "LEVEL text".
func (h *Host) Log() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.state.log)
}

// AddContact adds a contact, or changes one.
func (h *Host) AddContact(c sdk.Contact) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state.contacts = slices.DeleteFunc(h.state.contacts, func(o sdk.Contact) bool { return o.User == c.User })
	h.state.contacts = append(h.state.contacts, c)
}

func (h *Host) logged(r *pluginpb.LogRequest) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(r.GetText()) > maxLogText {
		h.t.Errorf("plugintest: log.text: %d bytes, at most %d are allowed", len(r.GetText()), maxLogText)
	}
	level := map[pluginpb.Level]string{
		pluginpb.Level_LEVEL_DEBUG: "DEBUG", pluginpb.Level_LEVEL_INFO: "INFO", pluginpb.Level_LEVEL_WARN: "WARN", pluginpb.Level_LEVEL_ERROR: "ERROR",
	}[r.GetLevel()]
	h.state.log = append(h.state.log, level+" "+r.GetText())
}
