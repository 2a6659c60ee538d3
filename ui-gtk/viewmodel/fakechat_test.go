package viewmodel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// fakeChats are the messages of a fake core, and what its plugins do.
type fakeChats struct {
	messages []*controlpb.Message // of all chats, in order
	pages    []*controlpb.ListMessagesRequest
	invoked  []*controlpb.InvokeRequest
	// answering, which may be nil, is called when a page was read and before it is
	// given, without the lock.
	answering func()
	// invoke does an action; nil accepts everything. It is called without the lock.
	invoke func(ctx context.Context, r *controlpb.InvokeRequest, update func(*pluginpb.InvokeUpdate)) (*controlpb.InvokeResult, error)
}

// said makes a message; its id is its number.
func said(chat, author string, n int, body string) *controlpb.Message {
	return &controlpb.Message{
		Id: fakeID(n), Chat: chat, Author: author, Own: author == "alice", Body: body, Kind: "text", Plugin: "text",
		SentAt: 1_700_000_000_000_000 + int64(n)*1_000_000,
	}
}

func fakeID(n int) []byte { return fmt.Appendf(nil, "message %08d", n) }

// talk is many messages of a chat, by bob.
func talk(chat string, from, to int) []*controlpb.Message {
	var list []*controlpb.Message
	for n := from; n < to; n++ {
		list = append(list, said(chat, "bob", n, fmt.Sprint(n)))
	}
	return list
}

func (f *fakeCore) ListMessages(_ context.Context, r *controlpb.ListMessagesRequest) (*controlpb.ListMessagesResponse, error) {
	resp, err := f.readPage(r)
	f.mu.Lock()
	answering := f.answering
	f.mu.Unlock()
	if answering != nil {
		answering()
	}
	return resp, err
}

func (f *fakeCore) readPage(r *controlpb.ListMessagesRequest) (*controlpb.ListMessagesResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pages = append(f.pages, r)
	if !slices.ContainsFunc(f.chats, func(c *controlpb.Chat) bool { return c.GetId() == r.GetChat() }) {
		return nil, status.Error(codes.NotFound, "there is no such chat")
	}
	var all []*controlpb.Message
	for _, m := range f.messages {
		if m.GetChat() == r.GetChat() {
			all = append(all, m)
		}
	}
	at := func(id []byte) int {
		return slices.IndexFunc(all, func(m *controlpb.Message) bool { return string(m.GetId()) == string(id) })
	}
	limit := int(r.GetLimit())
	if limit == 0 || limit > 500 {
		return nil, status.Error(codes.InvalidArgument, "limit")
	}
	from, to, up := 0, len(all), true
	switch {
	case len(r.GetBefore()) > 0:
		if to = at(r.GetBefore()); to < 0 {
			return nil, status.Error(codes.NotFound, "there is no such message")
		}
		if r.GetInclusive() {
			to++
		}
	case len(r.GetAfter()) > 0:
		if from = at(r.GetAfter()); from < 0 {
			return nil, status.Error(codes.NotFound, "there is no such message")
		}
		if !r.GetInclusive() {
			from++
		}
		up = false
	}
	resp := &controlpb.ListMessagesResponse{More: to-from > limit}
	if up {
		from = max(from, to-limit)
	} else {
		to = min(to, from+limit)
	}
	resp.Messages = all[from:to]
	return resp, nil
}

func (f *fakeCore) Search(_ context.Context, r *controlpb.SearchRequest) (*controlpb.SearchResponse, error) {
	if r.GetChat() == "" {
		return f.searchAll(r)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	resp := &controlpb.SearchResponse{}
	for _, m := range slices.Backward(f.messages) {
		if m.GetChat() == r.GetChat() && strings.Contains(strings.ToLower(m.GetBody()), strings.ToLower(r.GetQuery())) {
			resp.Messages = append(resp.Messages, m)
		}
	}
	return resp, nil
}

func (f *fakeCore) Invoke(r *controlpb.InvokeRequest, stream grpc.ServerStreamingServer[controlpb.InvokeResponse]) error {
	f.mu.Lock()
	f.invoked = append(f.invoked, r)
	do := f.invoke
	f.mu.Unlock()
	result := &controlpb.InvokeResult{}
	if do != nil {
		var err error
		result, err = do(stream.Context(), r, func(u *pluginpb.InvokeUpdate) {
			_ = stream.Send(&controlpb.InvokeResponse{Response: &controlpb.InvokeResponse_Update{Update: u}})
		})
		if err != nil {
			return err
		}
	}
	f.sent(r)
	return stream.Send(&controlpb.InvokeResponse{Response: &controlpb.InvokeResponse_Result{Result: result}})
}

// sent makes the message of what was sent, once.
func (f *fakeCore) sent(r *controlpb.InvokeRequest) {
	req := r.GetRequest()
	if req.GetAction() != "send" {
		return
	}
	m := &controlpb.Message{
		Id: req.GetInvocation(), Chat: req.GetChat(), Author: "alice", Own: true, Body: req.GetText(), Kind: r.GetPlugin(), Plugin: r.GetPlugin(),
		SentAt: 1_900_000_000_000_000, Delivery: controlpb.Delivery_DELIVERY_SENT,
	}
	f.mu.Lock()
	for _, x := range f.messages {
		if string(x.GetId()) == string(req.GetInvocation()) {
			f.mu.Unlock()
			return
		}
		if string(x.GetId()) == string(req.GetMessage()) {
			m.ReplyTo = &controlpb.Quote{Id: x.GetId(), Author: x.GetAuthor(), Body: x.GetBody()}
		}
	}
	f.mu.Unlock()
	f.add(m)
}

// InvokeAction is as that of client.Client.
func (c fakeConnection) InvokeAction(ctx context.Context, plugin string, req *pluginpb.InvokeRequest, update func(*pluginpb.InvokeUpdate)) (*controlpb.InvokeResult, error) {
	stream, err := c.Invoke(ctx, &controlpb.InvokeRequest{Plugin: plugin, Request: req})
	if err != nil {
		return nil, err
	}
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("no result")
		}
		if err != nil {
			return nil, err
		}
		if r := resp.GetResult(); r != nil {
			return r, nil
		}
		if u := resp.GetUpdate(); u != nil && update != nil {
			update(u)
		}
	}
}

// add puts messages into the core, which tells of them.
func (f *fakeCore) add(messages ...*controlpb.Message) {
	var events []*controlpb.Event
	for _, m := range messages {
		events = append(events, &controlpb.Event{Event: &controlpb.Event_MessageAdded{MessageAdded: m}})
	}
	f.tell(func() { f.messages = append(f.messages, messages...) }, events...)
}

// asks gives the invocations of an action that the core got.
func (f *fakeCore) asks(action string) []*pluginpb.InvokeRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []*pluginpb.InvokeRequest
	for _, r := range f.invoked {
		if r.GetRequest().GetAction() == action {
			list = append(list, r.GetRequest())
		}
	}
	return list
}

func (f *fakeCore) pagesRead() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.pages)
}
