package host

import (
	"context"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/protocol/pluginpb"
)

// maxBacklog bounds the bytes that wait to be written to one plugin.
const maxBacklog = 2 * maxMessage

// outgoing collects what is to be said to a plugin, so that one message carries
// all that has come up while the one before was being written.
type outgoing struct {
	mu        sync.Mutex // guards all below
	requests  []*pluginpb.HookRequest
	responses []*pluginpb.HostResponse
	bytes     int
	room      chan struct{} // closed and replaced when something was taken

	wake chan struct{} // has room for one; filled when there is something
}

func newOutgoing() *outgoing {
	return &outgoing{room: make(chan struct{}), wake: make(chan struct{}, 1)}
}

// sizeIn is what m adds to a message that holds it.
func sizeIn(m proto.Message) int {
	return 1 + protowire.SizeBytes(proto.Size(m))
}

// put hands over a request or a response; it waits while too much is waiting.
func (o *outgoing) put(ctx context.Context, request *pluginpb.HookRequest, response *pluginpb.HostResponse) error {
	size := 0
	if request != nil {
		size += sizeIn(request)
	}
	if response != nil {
		size += sizeIn(response)
	}
	for {
		o.mu.Lock()
		if o.bytes == 0 || o.bytes+size <= maxBacklog {
			o.bytes += size
			if request != nil {
				o.requests = append(o.requests, request)
			}
			if response != nil {
				o.responses = append(o.responses, response)
			}
			o.mu.Unlock()
			select {
			case o.wake <- struct{}{}:
			default:
			}
			return nil
		}
		room := o.room
		o.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take gives the next message, of at most limit bytes unless a single request
// or response is larger; nil when there is nothing.
func (o *outgoing) take(limit int) *pluginpb.CoreMessage {
	o.mu.Lock()
	defer o.mu.Unlock()
	m := &pluginpb.CoreMessage{}
	size := 0
	fits := func(s int) bool {
		if size > 0 && size+s > limit {
			return false
		}
		size += s
		return true
	}
	for len(o.responses) > 0 && fits(sizeIn(o.responses[0])) {
		m.Responses = append(m.Responses, o.responses[0])
		o.responses[0] = nil
		o.responses = o.responses[1:]
	}
	for len(o.requests) > 0 && fits(sizeIn(o.requests[0])) {
		m.Requests = append(m.Requests, o.requests[0])
		o.requests[0] = nil
		o.requests = o.requests[1:]
	}
	if size == 0 {
		return nil
	}
	o.bytes -= size
	close(o.room)
	o.room = make(chan struct{})
	return m
}
