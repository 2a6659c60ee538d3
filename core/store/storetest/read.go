package storetest

import (
	"bytes"
	"slices"
	"strings"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/core/store/internal/vector"
	"github.com/parley-chat/parley/core/store/internal/words"
	"github.com/parley-chat/parley/protocol/packet"
)

func (t *tx) Value(namespace, name string) ([]byte, error) {
	v, ok := t.s.values.get(key(namespace) + name)
	if !ok {
		return nil, notFound("value", namespace+"/"+name)
	}
	return bytes.Clone(v), nil
}

func (t *tx) Values(namespace, prefix string, limit int) ([]store.Value, error) {
	var out []store.Value
	for k, v := range t.s.values.prefix(key(namespace) + prefix) {
		if limit > 0 && len(out) == limit {
			break
		}
		out = append(out, store.Value{Key: strings.TrimPrefix(k, key(namespace)), Bytes: bytes.Clone(v)})
	}
	return out, nil
}

func (t *tx) Contact(user packet.UserID) (store.Contact, error) {
	c, ok := t.s.contacts.get(key(user))
	if !ok {
		return store.Contact{}, notFound("contact", user)
	}
	return cloneContact(c), nil
}

func (t *tx) Contacts() ([]store.Contact, error) {
	var out []store.Contact
	for _, c := range t.s.contacts.up("") {
		out = append(out, cloneContact(c))
	}
	return out, nil
}

func (t *tx) Chat(id packet.ChatID) (store.Chat, error) {
	c, ok := t.s.chats.get(key(id))
	if !ok {
		return store.Chat{}, notFound("chat", id)
	}
	return cloneChat(c), nil
}

func (t *tx) Chats() ([]store.Chat, error) {
	var out []store.Chat
	for _, c := range t.s.chats.up("") {
		out = append(out, cloneChat(c))
	}
	slices.SortFunc(out, compareChats)
	return out, nil
}

func (t *tx) Membership(chat packet.ChatID, version uint64) (store.Membership, error) {
	m, ok := t.s.memberships.get(key(chat, version))
	if !ok {
		return store.Membership{}, notFound("membership of", chat)
	}
	return cloneMembership(m), nil
}

func (t *tx) Versions(chat packet.ChatID) ([]uint64, error) {
	var out []uint64
	for _, m := range t.s.memberships.prefix(key(chat)) {
		out = append(out, m.Version)
	}
	return out, nil
}

func (t *tx) Entry(k packet.EntryKey) (store.Entry, error) {
	e, ok := t.s.entries.get(key(k))
	if !ok {
		return store.Entry{}, notFound("entry", k)
	}
	return cloneEntry(e.Entry), nil
}

func (t *tx) EntryByID(id packet.PacketID) (store.Entry, error) {
	for _, k := range t.s.byID.prefix(key(id)) {
		return t.Entry(k)
	}
	return store.Entry{}, notFound("entry of packet", id)
}

func (t *tx) EntriesByID(id packet.PacketID, limit int) ([]store.Entry, error) {
	var out []store.Entry
	for _, k := range t.s.byID.prefix(key(id)) {
		if len(out) >= limit {
			break
		}
		e, err := t.Entry(k)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func (t *tx) Twins(behind packet.EntryKey, last uint64, limit, maxBytes int) ([]store.Entry, error) {
	var out []store.Entry
	size := 0
	for k, e := range t.s.entries.up(after(key(behind))) {
		if !strings.HasPrefix(k, key(behind.Log)) || e.Packet.Header.Number > last || len(out) >= limit {
			break
		}
		if e.Packet.Header.Twin == 0 {
			continue
		}
		if size += len(e.Packet.Content); size > maxBytes && len(out) > 0 {
			break
		}
		out = append(out, cloneEntry(e.Entry))
	}
	return out, nil
}

func (t *tx) Digests(log packet.Log, first, last uint64) ([]store.EntryDigest, error) {
	var out []store.EntryDigest
	for k, e := range t.s.entries.up(key(log, first)) {
		if !strings.HasPrefix(k, key(log)) || e.Packet.Header.Number > last {
			break
		}
		out = append(out, store.EntryDigest{Number: e.Packet.Header.Number, Digest: packet.DigestOf(e.Packet.Raw)})
	}
	store.SortDigests(out)
	return out, nil
}

func (t *tx) Entries(log packet.Log, first, last uint64, limit, maxBytes int, stubs bool) ([]store.Entry, error) {
	var out []store.Entry
	size := 0
	for k, e := range t.s.entries.up(key(log, first)) {
		if !strings.HasPrefix(k, key(log)) || e.Packet.Header.Number > last || len(out) >= limit {
			break
		}
		if e.State == store.EntryStub && !stubs || e.Packet.Header.Twin > 0 {
			continue
		}
		if size += len(e.Packet.Content); size > maxBytes && len(out) > 0 {
			break
		}
		out = append(out, cloneEntry(e.Entry))
	}
	return out, nil
}

func (t *tx) Heads(chat packet.ChatID) ([]store.Head, error) {
	var out []store.Head
	if !t.s.chats.has(key(chat)) {
		return nil, nil
	}
	for _, h := range t.s.heads.prefix(key(chat)) {
		out = append(out, cloneHead(h))
	}
	return out, nil
}

func (t *tx) Head(log packet.Log) (store.Head, error) {
	h, ok := t.s.heads.get(key(log))
	if !ok || !t.s.chats.has(key(log.Chat)) {
		return store.Head{}, nil
	}
	return cloneHead(h), nil
}

func (t *tx) Depth(chat packet.ChatID) (uint64, error) {
	if !t.s.chats.has(key(chat)) {
		return 0, nil
	}
	d, _ := t.s.depths.get(key(chat))
	return d, nil
}

// ready gives the entries of a log that wait to be handled and can be.
func (t *tx) ready(log packet.Log, head store.Head, types []packet.Type) []entry {
	var out []entry
	for _, e := range t.s.entries.prefix(key(log)) {
		if e.State != store.EntryNew && e.State != store.EntryWaiting {
			continue
		}
		if k := e.Packet.Header.Key(); k.Number > head.Upto || e.State == store.EntryWaiting && t.allWait(k) {
			break
		}
		if e.State == store.EntryNew && slices.Contains(types, e.Packet.Header.Type) {
			out = append(out, e)
		}
	}
	return out
}

func (t *tx) Unhandled(types []packet.Type, chat packet.ChatID, limit, maxBytes int) ([]store.Entry, error) {
	var out []store.Entry
	size := 0
	for _, c := range t.s.chats.up("") {
		if chat != "" && chat != c.ID {
			continue
		}
		var logs [][]entry
		for _, h := range t.s.heads.prefix(key(c.ID)) {
			if ready := t.ready(packet.Log{Chat: c.ID, Device: h.Device, Epoch: h.Epoch}, h, types); len(ready) > 0 {
				logs = append(logs, ready)
			}
		}
		for len(logs) > 0 {
			first := 0
			for i := range logs {
				if logs[i][0].arrival < logs[first][0].arrival {
					first = i
				}
			}
			e := logs[first][0]
			if size += len(e.Packet.Content); len(out) >= limit || len(out) > 0 && size > maxBytes {
				return out, nil
			}
			out = append(out, cloneEntry(e.Entry))
			if logs[first] = logs[first][1:]; len(logs[first]) == 0 {
				logs = slices.Delete(logs, first, first+1)
			}
		}
	}
	return out, nil
}

func (t *tx) UnhandledChats(types []packet.Type) ([]packet.ChatID, error) {
	var out []packet.ChatID
	for _, c := range t.s.chats.up("") {
		for _, h := range t.s.heads.prefix(key(c.ID)) {
			if len(t.ready(packet.Log{Chat: c.ID, Device: h.Device, Epoch: h.Epoch}, h, types)) > 0 {
				out = append(out, c.ID)
				break
			}
		}
	}
	return out, nil
}

func (t *tx) Waiting(log packet.Log, first, last uint64, limit, maxBytes int) ([]store.Entry, error) {
	var out []store.Entry
	size := 0
	for _, e := range t.s.entries.prefix(key(log)) {
		if n := e.Packet.Header.Number; e.State != store.EntryWaiting || n < first || n > last || e.Packet.Header.Twin > 0 {
			continue
		}
		if size += len(e.Packet.Content); len(out) >= limit || len(out) > 0 && size > maxBytes {
			break
		}
		out = append(out, cloneEntry(e.Entry))
	}
	return out, nil
}

func (t *tx) Stubs(log packet.Log, limit int) ([]packet.Refusal, error) {
	var out []packet.Refusal
	for k, e := range t.s.entries.down(after(key(log))) {
		if !strings.HasPrefix(k, key(log)) || len(out) >= limit {
			break
		}
		if e.State == store.EntryStub && e.Packet.Header.Twin == 0 {
			out = append(out, packet.Refusal{Key: e.Packet.Header.Key(), Reason: e.Reason, Text: e.Text})
		}
	}
	return out, nil
}

func (t *tx) PeerHeads(log packet.Log) ([]store.PeerHead, error) {
	var out []store.PeerHead
	for _, h := range t.s.peerHeads.prefix(key(log)) {
		out = append(out, h)
	}
	return out, nil
}

func (t *tx) Refused(k packet.EntryKey) ([]store.Refused, error) {
	var out []store.Refused
	for _, r := range t.s.refused.prefix(key(k)) {
		out = append(out, r)
	}
	return out, nil
}

func (t *tx) Register(chat packet.ChatID, author packet.UserID, name packet.Type) (packet.Register, error) {
	r, ok := t.s.registers.get(key(chat, author, name))
	if !ok {
		return packet.Register{}, notFound("register", name)
	}
	return cloneRegister(r), nil
}

func (t *tx) Registers(chat packet.ChatID) ([]packet.Register, error) {
	var out []packet.Register
	for _, r := range t.s.registers.prefix(key(chat)) {
		out = append(out, cloneRegister(r))
	}
	return out, nil
}

func (t *tx) Message(id packet.PacketID) (store.Message, error) {
	m, ok := t.s.messages.get(key(id))
	if !ok {
		return store.Message{}, notFound("message", id)
	}
	return cloneMessage(m), nil
}

func (t *tx) Messages(chat packet.ChatID, page store.Page) ([]store.Message, bool, error) {
	limit := min(max(page.Limit, 1), store.MaxPage)
	var ids []packet.PacketID
	prefix := key(chat)
	if page.After != nil {
		from := prefix + string(page.After[:])
		if !page.Inclusive {
			from = after(from)
		}
		for k, id := range t.s.places.up(from) {
			if !strings.HasPrefix(k, prefix) || len(ids) > limit {
				break
			}
			ids = append(ids, id)
		}
	} else {
		below := after(prefix)
		if page.Before != nil {
			below = prefix + string(page.Before[:])
			if page.Inclusive {
				below = after(below)
			}
		}
		for k, id := range t.s.places.down(below) {
			if !strings.HasPrefix(k, prefix) || len(ids) > limit {
				break
			}
			ids = append(ids, id)
		}
	}
	more := len(ids) > limit
	ids = ids[:min(len(ids), limit)]
	if page.After == nil {
		slices.Reverse(ids)
	}
	out, err := t.all(ids)
	return out, more, err
}

func (t *tx) FirstUnread(chat packet.ChatID) (packet.PacketID, error) {
	c, err := t.Chat(chat)
	if err != nil {
		return packet.PacketID{}, err
	}
	for k, id := range t.s.places.up(key(chat)) {
		if !strings.HasPrefix(k, key(chat)) {
			break
		}
		m, err := t.Message(id)
		if err != nil {
			return packet.PacketID{}, err
		}
		if unread(m, c) {
			return id, nil
		}
	}
	return packet.PacketID{}, notFound("unread message of chat", chat)
}

func (t *tx) all(ids []packet.PacketID) ([]store.Message, error) {
	var out []store.Message
	for _, id := range ids {
		m, err := t.Message(id)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

func (t *tx) OwnMessages(log packet.Log, above, upto uint64, limit int) ([]store.Message, error) {
	var ids []packet.PacketID
	for k, id := range t.s.byEntry.up(key(log, above+1)) {
		if !strings.HasPrefix(k, key(log)) || k >= after(key(log, upto)) || len(ids) >= limit {
			break
		}
		ids = append(ids, id)
	}
	return t.all(ids)
}

func (t *tx) Search(q store.Query) ([]store.Message, bool, error) {
	query := words.Parse(q.Text)
	limit := min(max(q.Limit, 1), store.MaxResults)
	below := "\xff"
	if !q.Before.IsZero() {
		m, err := t.Message(q.Before)
		if err != nil {
			return nil, false, err
		}
		below = sentKey(m)
	}
	var out []store.Message
	if query.Empty() {
		return nil, false, nil
	}
	for _, id := range t.s.sent.down(below) {
		m, err := t.Message(id)
		if err != nil {
			return nil, false, err
		}
		if m.Deleted || q.Chat != "" && q.Chat != m.Chat {
			continue
		}
		texts := []string{m.Body, m.Search}
		for _, a := range t.s.annotations.prefix(key(id)) {
			texts = append(texts, a.Search)
		}
		if !query.Match(texts...) {
			continue
		}
		if len(out) == limit {
			return out, true, nil
		}
		out = append(out, m)
	}
	return out, false, nil
}

func (t *tx) Annotations(ids []packet.PacketID) ([]store.Annotation, error) {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, func(a, b packet.PacketID) int { return bytes.Compare(a[:], b[:]) })
	var out []store.Annotation
	for _, id := range slices.Compact(ids) {
		for _, a := range t.s.annotations.prefix(key(id)) {
			out = append(out, cloneAnnotation(a))
		}
	}
	return out, nil
}

func (t *tx) Invocation(id packet.PacketID) (store.Invocation, error) {
	i, ok := t.s.invocations.get(key(id))
	if !ok {
		return store.Invocation{}, notFound("invocation", id)
	}
	return cloneInvocation(i), nil
}

func (t *tx) NextNumber(log packet.Log) (uint64, error) {
	h, _ := t.s.heads.get(key(log))
	return vector.Highest(&h.LogVector) + 1, nil
}

func sentKey(m store.Message) string {
	return key(uint64(m.SentAt)^1<<63, m.ID)
}
