package sdk

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

const (
	maxRequests = 64 // that may be open at the core
	// The core answers within 10 s.
	requestTimeout = 15 * time.Second
)

// host is the core, at the other end of the session.
type host struct {
	x   *session
	log *slog.Logger
	// slots holds a token for each request the core has not answered, also when
	// nobody waits for it any more.
	slots chan struct{}

	mu       sync.Mutex // guards all below
	last     uint64
	open     map[uint64]chan *pluginpb.HostResponse
	settings map[string]string
}

func newHost(x *session) *host {
	h := &host{x: x, slots: make(chan struct{}, maxRequests), open: map[uint64]chan *pluginpb.HostResponse{}}
	h.log = slog.New(&logHandler{send: h.sendLog})
	return h
}

// ask sends r and waits for its answer.
func (h *host) ask(ctx context.Context, r *pluginpb.HostRequest) (*pluginpb.HostResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, h.ended(ctx)
	case <-h.x.ctx.Done():
		return nil, ErrClosed
	}
	answer := make(chan *pluginpb.HostResponse, 1)
	h.mu.Lock()
	h.last++
	r.Id = h.last
	h.open[r.GetId()] = answer
	h.mu.Unlock()
	if err := h.x.out.request(ctx, r); err != nil {
		h.mu.Lock()
		delete(h.open, r.GetId())
		h.mu.Unlock()
		<-h.slots
		return nil, err
	}
	select {
	case got := <-answer:
		if e := got.GetError(); e != nil {
			return nil, &Error{Code: codes.Code(e.GetCode()), Text: e.GetMessage()} //nolint:gosec // a number that is none is printed as such
		}
		return got, nil
	case <-ctx.Done():
		return nil, h.ended(ctx)
	case <-h.x.ctx.Done():
		return nil, ErrClosed
	}
}

// sendLog sends a line; there is no answer to wait for.
func (h *host) sendLog(line *pluginpb.LogRequest) error {
	h.mu.Lock()
	h.last++
	id := h.last
	h.mu.Unlock()
	return h.x.out.request(h.x.ctx, &pluginpb.HostRequest{Id: id, Request: &pluginpb.HostRequest_Log{Log: line}})
}

// ended is ctx's error, or ErrClosed when that is why.
func (h *host) ended(ctx context.Context) error {
	if h.x.ctx.Err() != nil {
		return ErrClosed
	}
	return ctx.Err()
}

// answered takes an answer of the core.
func (h *host) answered(r *pluginpb.HostResponse) {
	h.mu.Lock()
	answer, ok := h.open[r.GetId()]
	delete(h.open, r.GetId())
	h.mu.Unlock()
	if ok {
		<-h.slots
		answer <- r
	}
}

func (h *host) setSettings(settings map[string]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.settings = maps.Clone(settings)
}

func (h *host) Setting(name string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.settings[name]
}

func (h *host) Log() *slog.Logger { return h.log }

func (h *host) Apply(ctx context.Context, effects ...Effect) error {
	if err := mustBeCommitted(ctx, anything); err != nil {
		return err
	}
	pb, err := effectProtos(effects)
	if err != nil {
		return err
	}
	_, err = h.ask(ctx, &pluginpb.HostRequest{Request: &pluginpb.HostRequest_Apply{Apply: &pluginpb.ApplyRequest{Effects: pb}}})
	return err
}

func (h *host) Messages(ctx context.Context, chat packet.ChatID, ids ...packet.PacketID) ([]Message, error) {
	if len(ids) == 0 {
		return nil, nil // without ids the core would give a page
	}
	return h.queryMessages(ctx, &pluginpb.QueryMessages{Chat: string(chat), Ids: idList(ids)}, oneOfMessages(ids))
}

func (h *host) MessagesBefore(ctx context.Context, chat packet.ChatID, before packet.PacketID, limit int) ([]Message, error) {
	if limit < 0 {
		return nil, errors.New("messages before: negative limit")
	}
	return h.queryMessages(ctx, &pluginpb.QueryMessages{Chat: string(chat), Before: idBytes(before), Limit: uint32(min(limit, 1<<20))}, aPage) //nolint:gosec // bounded
}

func (h *host) queryMessages(ctx context.Context, query *pluginpb.QueryMessages, changes func(*pending) bool) ([]Message, error) {
	if err := mustBeCommitted(ctx, changes); err != nil {
		return nil, err
	}
	r, err := h.ask(ctx, &pluginpb.HostRequest{Request: &pluginpb.HostRequest_QueryMessages{QueryMessages: query}})
	if err != nil {
		return nil, err
	}
	return convert(r.GetMessages().GetMessages(), messageFromProto)
}

func (h *host) Annotations(ctx context.Context, chat packet.ChatID, kind string, messages ...packet.PacketID) ([]Annotation, error) {
	if len(messages) == 0 {
		return nil, nil
	}
	if err := mustBeCommitted(ctx, annotationOf(messages)); err != nil {
		return nil, err
	}
	r, err := h.ask(ctx, &pluginpb.HostRequest{Request: &pluginpb.HostRequest_QueryAnnotations{QueryAnnotations: &pluginpb.QueryAnnotations{
		Chat: string(chat), Kind: kind, Messages: idList(messages),
	}}})
	if err != nil {
		return nil, err
	}
	return convert(r.GetAnnotations().GetAnnotations(), annotationFromProto)
}

func (h *host) Contacts(ctx context.Context) ([]Contact, error) {
	return h.queryContacts(ctx, &pluginpb.QueryContacts{})
}

func (h *host) People(ctx context.Context) ([]Contact, error) {
	return h.queryContacts(ctx, &pluginpb.QueryContacts{Members: true})
}

func (h *host) queryContacts(ctx context.Context, query *pluginpb.QueryContacts) ([]Contact, error) {
	r, err := h.ask(ctx, &pluginpb.HostRequest{Request: &pluginpb.HostRequest_QueryContacts{QueryContacts: query}})
	if err != nil {
		return nil, err
	}
	return convert(r.GetContacts().GetContacts(), func(c *pluginpb.Contact) (Contact, error) {
		return Contact{User: packet.UserID(c.GetUser()), Name: c.GetName(), Online: c.GetOnline(), Keys: c.GetKeys(), Member: c.GetMember()}, nil
	})
}

func (h *host) Chats(ctx context.Context, chat packet.ChatID) ([]Chat, error) {
	if err := mustBeCommitted(ctx, anything); err != nil {
		return nil, err
	}
	r, err := h.ask(ctx, &pluginpb.HostRequest{Request: &pluginpb.HostRequest_QueryChats{QueryChats: &pluginpb.QueryChats{Chat: string(chat)}}})
	if err != nil {
		return nil, err
	}
	return convert(r.GetChats().GetChats(), func(c *pluginpb.Chat) (Chat, error) {
		return Chat{ID: packet.ChatID(c.GetId()), Title: c.GetTitle(), Membership: c.GetMembership(), Members: toUsers(c.GetMembers())}, nil
	})
}

func (h *host) Heads(ctx context.Context, chat packet.ChatID) ([]*pluginpb.Cutoff, error) {
	if err := mustBeCommitted(ctx, anything); err != nil {
		return nil, err
	}
	r, err := h.ask(ctx, &pluginpb.HostRequest{Request: &pluginpb.HostRequest_QueryChats{QueryChats: &pluginpb.QueryChats{Chat: string(chat), Heads: true}}})
	if err != nil {
		return nil, err
	}
	if n := len(r.GetChats().GetChats()); n != 1 {
		return nil, Errorf(codes.Internal, "the core gave %d chats for %s", n, chat)
	}
	return r.GetChats().GetChats()[0].GetHeads(), nil
}

func (h *host) Values(ctx context.Context, prefix string, limit int) ([]Value, error) {
	if err := mustBeCommitted(ctx, valueWith(prefix)); err != nil {
		return nil, err
	}
	if limit < 0 {
		return nil, errors.New("values: negative limit")
	}
	r, err := h.ask(ctx, &pluginpb.HostRequest{Request: &pluginpb.HostRequest_QueryValues{QueryValues: &pluginpb.QueryValues{
		Prefix: prefix, Limit: uint32(min(limit, 1<<20)), //nolint:gosec // bounded
	}}})
	if err != nil {
		return nil, err
	}
	return convert(r.GetValues().GetValues(), func(v *pluginpb.PutValue) (Value, error) {
		return Value{Key: v.GetKey(), Value: v.GetValue()}, nil
	})
}

func (h *host) PrepareBlob(ctx context.Context, path string) (Blob, error) {
	r, err := h.ask(ctx, &pluginpb.HostRequest{Request: &pluginpb.HostRequest_PrepareBlob{PrepareBlob: &pluginpb.PrepareBlob{Path: path}}})
	if err != nil {
		return Blob{}, err
	}
	blobs, err := convert(r.GetBlobs().GetBlobs(), blobFromProto)
	if err == nil && len(blobs) != 1 {
		err = Errorf(codes.Internal, "the core prepared %d blobs of %s", len(blobs), path)
	}
	if err != nil {
		return Blob{}, err
	}
	return blobs[0], nil
}

func (h *host) Blobs(ctx context.Context, ids ...packet.BlobID) ([]Blob, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	if err := mustBeCommitted(ctx, aBlob); err != nil {
		return nil, err
	}
	r, err := h.ask(ctx, &pluginpb.HostRequest{Request: &pluginpb.HostRequest_QueryBlobs{QueryBlobs: &pluginpb.QueryBlobs{Blobs: idList(ids)}}})
	if err != nil {
		return nil, err
	}
	return convert(r.GetBlobs().GetBlobs(), blobFromProto)
}

func idList[ID ~[16]byte](ids []ID) [][]byte {
	out := make([][]byte, len(ids))
	for i := range ids {
		out[i] = ids[i][:]
	}
	return out
}

func convert[From, To any](from []From, one func(From) (To, error)) ([]To, error) {
	to := make([]To, 0, len(from))
	for _, f := range from {
		t, err := one(f)
		if err != nil {
			return nil, err
		}
		to = append(to, t)
	}
	return to, nil
}
