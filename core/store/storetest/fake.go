// Package storetest has a store in memory for tests, and the suite that every
// store must pass.
package storetest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// maxUndone bounds the states that are kept for Crash.
const maxUndone = 64

// Fake is a store in memory. It keeps the promises of [store.Store], except that
// nothing outlives it.
type Fake struct {
	writing sync.Mutex // held by Update around fn; before mu

	mu     sync.Mutex // guards what follows
	state  state      // the last committed one
	undone []state    // what a power loss may go back to: see Crash
	closed bool
	fail   error
	idle   sync.WaitGroup // running transactions
}

// New makes an empty store, closed at the end of the test.
func New(t testing.TB) *Fake {
	t.Helper()
	f := &Fake{}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// Fail makes each later Update give err instead of committing, as a full disk
// would, until it is called with nil.
func (f *Fake) Fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = err
}

// Update implements store.Store.
func (f *Fake) Update(ctx context.Context, d store.Durability, fn func(store.Tx) error) (err error) {
	f.writing.Lock()
	defer f.writing.Unlock()
	before, err := f.begin(ctx)
	if err != nil {
		return err
	}
	defer f.idle.Done()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a transaction: %v", p)
		}
	}()
	t := &tx{s: before}
	if err := fn(t); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return f.fail
	}
	f.committed(t.s, d)
	return nil
}

// committed takes a new state. The caller holds mu.
func (f *Fake) committed(s state, d store.Durability) {
	switch {
	case d == store.Synced:
		f.undone = nil
	case len(f.undone) < maxUndone:
		f.undone = append(f.undone, f.state)
	default: // the oldest is the synced one, which stays
		f.undone = append(slices.Delete(f.undone, 1, 2), f.state)
	}
	f.state = s
}

// View implements store.Store.
func (f *Fake) View(ctx context.Context, fn func(store.ReadTx) error) error {
	s, err := f.begin(ctx)
	if err != nil {
		return err
	}
	defer f.idle.Done()
	return fn(&tx{s: s})
}

// Close implements store.Store.
func (f *Fake) Close() error {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.idle.Wait()
	return nil
}

func (f *Fake) begin(ctx context.Context) (state, error) {
	if err := ctx.Err(); err != nil {
		return state{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return state{}, store.ErrClosed
	}
	f.idle.Add(1)
	return f.state, nil
}

// state is everything. Keys of the trees are made by key.
type state struct {
	values      tree[[]byte]           // namespace, key
	contacts    tree[store.Contact]    // user
	chats       tree[store.Chat]       // chat
	depths      tree[uint64]           // chat; outlives the chat
	heads       tree[store.Head]       // log; outlives the chat
	memberships tree[store.Membership] // chat, version
	entries     tree[entry]            // log, number, twin
	byID        tree[packet.EntryKey]  // packet id, arrival
	peerHeads   tree[store.PeerHead]   // log, user, device
	refused     tree[store.Refused]    // log, number, user
	registers   tree[packet.Register]  // chat, author, name
	messages    tree[store.Message]    // message
	places      tree[packet.PacketID]  // chat, order, message
	sent        tree[packet.PacketID]  // sent at, message
	byEntry     tree[packet.PacketID]  // log, number, message
	annotations tree[store.Annotation] // message, kind, author
	invocations tree[store.Invocation] // id
	blobs       tree[store.Blob]       // id
	arrivals    uint64
}

type entry struct {
	store.Entry
	arrival uint64
}

// tx is a transaction: its own version of the state.
type tx struct {
	s state
}

// key joins parts so that keys sort as their parts do.
func key(parts ...any) string {
	var b []byte
	for _, part := range parts {
		switch p := part.(type) {
		case string:
			b = append(append(b, p...), 0)
		case packet.ChatID:
			b = append(append(b, p...), 0)
		case packet.UserID:
			b = append(append(b, p...), 0)
		case packet.Type:
			b = append(append(b, p...), 0)
		case packet.DeviceID:
			b = append(b, p[:]...)
		case packet.PacketID:
			b = append(b, p[:]...)
		case packet.BlobID:
			b = append(b, p[:]...)
		case packet.OrderKey:
			b = append(b, p[:]...)
		case packet.Log:
			b = append(b, key(p.Chat, p.Device, p.Epoch)...)
		case packet.EntryKey:
			b = append(b, key(p.Log, p.Number, uint64(p.Twin))...)
		case uint64:
			b = binary.BigEndian.AppendUint64(b, p)
		default:
			panic(fmt.Sprintf("storetest: no key of %T", part))
		}
	}
	return string(b)
}

// after is above all keys that begin with p.
func after(p string) string {
	b := []byte(p)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xFF {
			b[i]++
			return string(b[:i+1])
		}
	}
	return "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
}

func notFound(kind string, name any) error {
	return fmt.Errorf("%s %v: %w", kind, name, store.ErrNotFound)
}

func cloneContact(c store.Contact) store.Contact {
	c.Avatar = bytes.Clone(c.Avatar)
	c.Devices = slices.Clone(c.Devices)
	for i := range c.Devices {
		c.Devices[i].Key = bytes.Clone(c.Devices[i].Key)
	}
	return c
}

func cloneMembership(m store.Membership) store.Membership {
	m.Members = slices.Clone(m.Members)
	m.Invited = slices.Clone(m.Invited)
	m.Cutoffs = slices.Clone(m.Cutoffs)
	return m
}

func cloneEntry(e store.Entry) store.Entry {
	e.Packet.Raw = bytes.Clone(e.Packet.Raw)
	e.Packet.Signature = bytes.Clone(e.Packet.Signature)
	e.Packet.Content = bytes.Clone(e.Packet.Content)
	return e
}

func cloneHead(h store.Head) store.Head {
	h.Beyond, h.Waiting = slices.Clone(h.Beyond), slices.Clone(h.Waiting)
	return h
}

func cloneRegister(r packet.Register) packet.Register {
	r.Value = bytes.Clone(r.Value)
	r.Raw = bytes.Clone(r.Raw)
	r.Signature = bytes.Clone(r.Signature)
	return r
}

func cloneMessage(m store.Message) store.Message {
	m.Data = bytes.Clone(m.Data)
	m.Card = bytes.Clone(m.Card)
	return m
}

func cloneAnnotation(a store.Annotation) store.Annotation {
	a.Value = bytes.Clone(a.Value)
	return a
}

func cloneInvocation(i store.Invocation) store.Invocation {
	i.Result = bytes.Clone(i.Result)
	i.Sent = slices.Clone(i.Sent)
	return i
}

func cloneChat(c store.Chat) store.Chat {
	c.Members = slices.Clone(c.Members)
	c.Invited = slices.Clone(c.Invited)
	return c
}

// compareChats puts the chat with the latest message first.
func compareChats(a, b store.Chat) int {
	return cmp.Or(cmp.Compare(b.LastAt, a.LastAt), cmp.Compare(a.ID, b.ID))
}
