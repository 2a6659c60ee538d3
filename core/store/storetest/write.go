package storetest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/core/store/internal/vector"
	"github.com/parley-chat/parley/protocol/packet"
)

func (t *tx) PutValue(namespace, name string, value []byte) error {
	if value == nil {
		t.s.values.remove(key(namespace) + name)
	} else {
		t.s.values.put(key(namespace)+name, bytes.Clone(value))
	}
	return nil
}

func (t *tx) PutContact(c store.Contact) error {
	t.s.contacts.put(key(c.User), cloneContact(c))
	return nil
}

func (t *tx) DeleteContact(user packet.UserID) error {
	t.s.contacts.remove(key(user))
	return nil
}

func (t *tx) PutChat(c store.Chat) error {
	old, ok := t.s.chats.get(key(c.ID))
	if !ok {
		old = store.Chat{ID: c.ID}
	}
	old.Title, old.Muted, old.Pinned, old.Draft, old.CreatedAt = c.Title, c.Muted, c.Pinned, c.Draft, c.CreatedAt
	if old.Last.IsZero() {
		old.LastAt = old.CreatedAt
	}
	t.s.chats.put(key(c.ID), old)
	return nil
}

// chat gives a chat that is to be written to.
func (t *tx) chat(id packet.ChatID) (store.Chat, error) {
	c, ok := t.s.chats.get(key(id))
	if !ok {
		return store.Chat{}, notFound("chat", id)
	}
	return c, nil
}

func (t *tx) DeleteChat(id packet.ChatID) error {
	t.deleteSaid(id)
	for k, e := range t.s.entries.prefix(key(id)) {
		t.s.byID.remove(key(e.Packet.Header.ID, e.arrival))
		t.s.entries.remove(k)
	}
	for k, h := range t.s.heads.prefix(key(id)) {
		h.Waiting = nil
		t.s.heads.put(k, h)
	}
	t.s.chats.remove(key(id))
	t.s.memberships.removeAll(key(id))
	t.s.peerHeads.removeAll(key(id))
	t.s.refused.removeAll(key(id))
	return nil
}

func (t *tx) deleteSaid(id packet.ChatID) {
	for _, m := range t.s.places.prefix(key(id)) {
		t.dropMessage(m)
	}
	for k, a := range t.s.annotations.up("") {
		if a.Chat == id {
			t.s.annotations.remove(k)
		}
	}
	for k, b := range t.s.blobs.up("") {
		if b.Chat == id {
			t.s.blobs.remove(k)
		}
	}
	t.s.registers.removeAll(key(id))
}

func (t *tx) ClearChat(id packet.ChatID, keep func(packet.Type) bool) error {
	c, ok := t.s.chats.get(key(id))
	if !ok {
		return nil
	}
	t.deleteSaid(id)
	waits := map[packet.Log]bool{}
	for k, e := range t.s.entries.prefix(key(id)) {
		switch {
		case !keep(e.Packet.Header.Type):
			t.s.byID.remove(key(e.Packet.Header.ID, e.arrival))
			t.s.entries.remove(k)
		case e.State == store.EntryWaiting:
			waits[e.Packet.Header.Key().Log] = true
		}
	}
	for k, h := range t.s.heads.prefix(key(id)) {
		if !waits[packet.Log{Chat: id, Device: h.Device, Epoch: h.Epoch}] {
			h.Waiting = nil
			t.s.heads.put(k, h)
		}
	}
	c.Muted, c.Pinned, c.Draft, c.Last, c.LastAt, c.Unread = false, false, "", packet.PacketID{}, c.CreatedAt, 0
	t.s.chats.put(key(id), c)
	return nil
}

func (t *tx) dropMessage(id packet.PacketID) {
	m, ok := t.s.messages.get(key(id))
	if !ok {
		return
	}
	t.s.messages.remove(key(id))
	t.s.places.remove(key(m.Chat, m.Order, m.ID))
	t.s.sent.remove(sentKey(m))
	t.s.byEntry.remove(key(m.Entry, m.ID))
	t.s.annotations.removeAll(key(id))
}

func (t *tx) PutMembership(id packet.ChatID, m store.Membership) error {
	c, err := t.chat(id)
	if err != nil {
		return err
	}
	m = cloneMembership(m)
	slices.Sort(m.Members)
	m.Members = slices.Compact(m.Members)
	slices.Sort(m.Invited)
	m.Invited = slices.Compact(m.Invited)
	if old, ok := t.s.memberships.get(key(id, m.Version)); ok {
		if !old.Same(&m) {
			return fmt.Errorf("membership %d of %s: %w", m.Version, id, store.ErrExists)
		}
		return nil
	}
	t.s.memberships.put(key(id, m.Version), m)
	if m.Version > c.Membership {
		c.Membership, c.Members, c.Invited, c.History = m.Version, m.Members, m.Invited, m.History
		t.s.chats.put(key(id), c)
	}
	return nil
}

func (t *tx) PutEntry(e store.Entry) (bool, error) {
	h := e.Packet.Header
	k := h.Key()
	if err := store.CheckEntry(&e); err != nil {
		return false, err
	}
	if _, err := t.chat(h.Chat); err != nil {
		return false, err
	}
	if old, ok := t.s.entries.get(key(k)); ok {
		if !bytes.Equal(old.Packet.Raw, e.Packet.Raw) {
			return false, fmt.Errorf("entry %s: %w", k, store.ErrConflict)
		}
		return false, nil
	}
	head, ok := t.s.heads.get(key(k.Log))
	if !ok {
		head = store.Head{Author: h.Author, LogVector: packet.LogVector{Device: h.Device, Epoch: h.Epoch}}
	}
	head = cloneHead(head)
	if !vector.Add(&head.LogVector, k.Number) {
		return false, nil // of a chat that was deleted since
	}
	t.s.heads.put(key(k.Log), head)
	t.insert(e)
	return true, nil
}

func (t *tx) PutTwin(e store.Entry) (bool, error) {
	h := &e.Packet.Header
	if err := store.CheckEntry(&e); err != nil {
		return false, err
	}
	if _, err := t.chat(h.Chat); err != nil {
		return false, err
	}
	there := false
	for _, old := range t.s.entries.prefix(key(h.Key().Log, h.Number)) {
		if there = true; bytes.Equal(old.Packet.Raw, e.Packet.Raw) {
			return false, nil
		}
		h.Twin = old.Packet.Header.Twin + 1
	}
	if !there {
		return false, notFound("entry", h.Key())
	}
	t.insert(e)
	return true, nil
}

func (t *tx) insert(e store.Entry) {
	h := e.Packet.Header
	k := h.Key()
	t.s.arrivals++
	e = settle(cloneEntry(e), e.State, e.Reason, e.Text)
	if e.Dropped {
		e.Packet.Content = nil
	}
	t.s.entries.put(key(k), entry{e, t.s.arrivals})
	t.s.byID.put(key(h.ID, t.s.arrivals), k)
	if e.State == store.EntryWaiting || h.Twin > 0 {
		t.keep(k)
	}
	if d, _ := t.s.depths.get(key(h.Chat)); h.Depth > d {
		t.s.depths.put(key(h.Chat), h.Depth)
	}
}

// settle gives e in a state.
func settle(e store.Entry, s store.EntryState, reason packet.Reason, text string) store.Entry {
	e.State, e.Reason, e.Text = s, 0, ""
	switch s {
	case store.EntryStub:
		e.Reason, e.Text = reason, text
		e.Packet.Content = nil
	case store.EntrySetAside:
		e.Reason, e.Text = reason, text
	}
	return e
}

func (t *tx) changeEntry(k packet.EntryKey, change func(*store.Entry)) error {
	e, ok := t.s.entries.get(key(k))
	if !ok {
		return notFound("entry", k)
	}
	change(&e.Entry)
	t.s.entries.put(key(k), e)
	return nil
}

func (t *tx) SetEntryState(k packet.EntryKey, s store.EntryState, reason packet.Reason, text string) error {
	if err := store.CheckEntryState(s); err != nil {
		return err
	}
	var before store.EntryState
	err := t.changeEntry(k, func(e *store.Entry) {
		before = e.State
		*e = settle(*e, s, reason, text)
	})
	if err == nil && before != s && (before == store.EntryWaiting || s == store.EntryWaiting) {
		t.keep(k)
	}
	return err
}

// allWait says whether there are entries with a number, and all wait.
func (t *tx) allWait(k packet.EntryKey) (all bool) {
	for _, e := range t.s.entries.prefix(key(k.Log, k.Number)) {
		if all = e.State == store.EntryWaiting; !all {
			return false
		}
	}
	return all
}

// keep notes in a log whether all entries with a number of it wait.
func (t *tx) keep(k packet.EntryKey) {
	head, ok := t.s.heads.get(key(k.Log))
	if !ok || !head.Has(k.Number) {
		return
	}
	head = cloneHead(head)
	before := slices.Clone(head.Waiting)
	waits := t.allWait(k)
	there := slices.ContainsFunc(before, func(r packet.Range) bool { return r.First <= k.Number && k.Number <= r.Last })
	switch {
	case waits && !there:
		head.Waiting = vector.Put(head.Waiting, k.Number)
	case !waits && there:
		head.Waiting = vector.Take(head.Waiting, k.Number)
	default:
		return
	}
	t.s.heads.put(key(k.Log), head)
}

func (t *tx) AddAttempt(k packet.EntryKey) (int, error) {
	attempts := 0
	err := t.changeEntry(k, func(e *store.Entry) {
		e.Attempts++
		attempts = e.Attempts
	})
	return attempts, err
}

func (t *tx) DropContent(k packet.EntryKey) error {
	return t.changeEntry(k, func(e *store.Entry) {
		e.Packet.Content = nil
		e.Dropped = true
	})
}

func (t *tx) PutPeerHead(log packet.Log, h store.PeerHead, reset bool) (uint64, bool, error) {
	if _, err := t.chat(log.Chat); err != nil {
		return 0, false, err
	}
	k := key(log, h.User, h.Device)
	old, ok := t.s.peerHeads.get(k)
	if ok && (h.Upto == old.Upto || h.Upto < old.Upto && !reset) {
		return old.Upto, false, nil
	}
	t.s.peerHeads.put(k, h)
	return old.Upto, h.Upto != old.Upto, nil
}

func (t *tx) PutRefused(k packet.EntryKey, r store.Refused) error {
	if _, err := t.chat(k.Chat); err != nil {
		return err
	}
	t.s.refused.put(key(k, r.User), r)
	return nil
}

func (t *tx) PutRegister(r packet.Register) (bool, error) {
	if _, err := t.chat(r.Chat); err != nil {
		return false, err
	}
	k := key(r.Chat, r.Author, r.Name)
	if old, ok := t.s.registers.get(k); ok && !r.Supersedes(&old) {
		return false, nil
	}
	t.s.registers.put(k, cloneRegister(r))
	return true, nil
}

func (t *tx) SetRead(id packet.ChatID, place packet.OrderKey) (bool, error) {
	c, err := t.chat(id)
	if err != nil {
		return false, err
	}
	if bytes.Compare(place[:], c.Read[:]) <= 0 {
		return false, nil
	}
	for _, id := range t.s.places.prefix(key(id)) {
		m, _ := t.s.messages.get(key(id))
		if bytes.Compare(m.Order[:], place[:]) > 0 {
			break
		}
		if unread(m, c) {
			c.Unread--
		}
	}
	c.Read = place
	t.s.chats.put(key(id), c)
	return true, nil
}

// unread says whether m counts as unread in c.
func unread(m store.Message, c store.Chat) bool {
	return m.Notifies && !m.Own && !m.Deleted && bytes.Compare(m.Order[:], c.Read[:]) > 0
}

func (t *tx) AddMessage(m store.Message) (bool, error) {
	if err := store.CheckMessage(&m); err != nil {
		return false, err
	}
	c, err := t.chat(m.Chat)
	if err != nil {
		return false, err
	}
	if t.s.messages.has(key(m.ID)) {
		return false, nil
	}
	for k, a := range t.s.annotations.prefix(key(m.ID)) {
		if a.Chat != m.Chat {
			t.s.annotations.remove(k)
		}
	}
	t.s.messages.put(key(m.ID), cloneMessage(m))
	t.s.places.put(key(m.Chat, m.Order, m.ID), m.ID)
	t.s.sent.put(sentKey(m), m.ID)
	if m.Entry.Number != 0 {
		t.s.byEntry.put(key(m.Entry, m.ID), m.ID)
	}
	if m.Deleted {
		t.empty(m)
	}
	last, ok := t.s.messages.get(key(c.Last))
	if !ok || key(m.Order, m.ID) > key(last.Order, last.ID) {
		c.Last, c.LastAt = m.ID, m.SentAt
	}
	if unread(m, c) {
		c.Unread++
	}
	t.s.chats.put(key(m.Chat), c)
	return true, nil
}

func (t *tx) ChangeMessage(m store.Message) error {
	old, ok := t.s.messages.get(key(m.ID))
	if !ok || old.Deleted {
		return notFound("message", m.ID)
	}
	m = cloneMessage(m)
	old.Body, old.Search, old.Data, old.Card, old.Edited = m.Body, m.Search, m.Data, m.Card, m.Edited
	t.s.messages.put(key(m.ID), old)
	return nil
}

func (t *tx) DeleteMessage(id packet.PacketID) error {
	m, ok := t.s.messages.get(key(id))
	if !ok {
		return notFound("message", id)
	}
	c, err := t.chat(m.Chat)
	if err != nil {
		return err
	}
	if unread(m, c) {
		c.Unread--
		t.s.chats.put(key(m.Chat), c)
	}
	t.empty(m)
	return nil
}

func (t *tx) WithdrawMessage(id packet.PacketID) error {
	m, ok := t.s.messages.get(key(id))
	if !ok || m.Deleted {
		return nil
	}
	c, err := t.chat(m.Chat)
	if err != nil {
		return err
	}
	t.s.messages.remove(key(id))
	t.s.places.remove(key(m.Chat, m.Order, m.ID))
	t.s.sent.remove(sentKey(m))
	t.s.byEntry.remove(key(m.Entry, m.ID))
	if unread(m, c) {
		c.Unread--
	}
	if c.Last == id {
		c.Last, c.LastAt = packet.PacketID{}, c.CreatedAt
		for k := range t.s.places.down(after(key(m.Chat))) {
			if strings.HasPrefix(k, key(m.Chat)) {
				last, _ := t.s.places.get(k)
				newest, _ := t.s.messages.get(key(last))
				c.Last, c.LastAt = newest.ID, newest.SentAt
			}
			break
		}
	}
	t.s.chats.put(key(m.Chat), c)
	return nil
}

func (t *tx) empty(m store.Message) {
	m.Body, m.Search, m.Data, m.Card, m.Deleted = "", "", nil, nil, true
	t.s.messages.put(key(m.ID), m)
	t.s.annotations.removeAll(key(m.ID))
}

func (t *tx) PutAnnotation(a store.Annotation) error {
	if _, err := t.chat(a.Chat); err != nil {
		return err
	}
	if m, ok := t.s.messages.get(key(a.Message)); ok && (m.Deleted || m.Chat != a.Chat) {
		return notFound("message", a.Message)
	}
	if strings.Contains(a.Kind, "\x00") {
		return fmt.Errorf("annotation kind %q: %w", a.Kind, packet.ErrMalformed)
	}
	t.s.annotations.put(key(a.Message, a.Kind, a.Author), cloneAnnotation(a))
	return nil
}

func (t *tx) DeleteAnnotation(message packet.PacketID, kind string, author packet.UserID) error {
	t.s.annotations.remove(key(message, kind, author))
	return nil
}

func (t *tx) PutInvocation(i store.Invocation) error {
	if t.s.invocations.has(key(i.ID)) {
		return fmt.Errorf("invocation %s: %w", i.ID, store.ErrExists)
	}
	t.s.invocations.put(key(i.ID), cloneInvocation(i))
	return nil
}

func (t *tx) PruneInvocations(before time.Time) error {
	for k, i := range t.s.invocations.up("") {
		if i.At < before.UnixMicro() {
			t.s.invocations.remove(k)
		}
	}
	return nil
}
