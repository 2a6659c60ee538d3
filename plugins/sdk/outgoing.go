package sdk

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/protocol/pluginpb"
)

const (
	maxMessage = 4 << 20           // of the stream
	maxPart    = maxMessage - 1024 // one response or request
	batchSize  = 1 << 20           // past this, no more is put into a message
	backlog    = 64                // responses and requests that wait to be written
)

// outgoing collects what is to be said to the core, so that one message carries
// all that has come up while the one before was being written.
type outgoing struct {
	ctx   context.Context
	parts chan part
}

// part is a response, a request, or a mark.
type part struct {
	response *pluginpb.HookResponse
	request  *pluginpb.HostRequest
	size     int
	written  chan struct{} // a mark: closed when all before it is written
}

func newOutgoing(ctx context.Context) *outgoing {
	return &outgoing{ctx: ctx, parts: make(chan part, backlog)}
}

// sizeIn is what m adds to a message that holds it.
func sizeIn(m proto.Message) int {
	return 1 + protowire.SizeBytes(proto.Size(m))
}

// respond hands over an answer. One that is too large goes as an error, or, if
// it is an update, not at all.
func (o *outgoing) respond(r *pluginpb.HookResponse) error {
	size := sizeIn(r)
	if size > maxPart {
		if r.GetUpdate() != nil {
			return nil
		}
		r = &pluginpb.HookResponse{Id: r.GetId(), Answer: &pluginpb.HookResponse_Error{Error: errorProto(
			Errorf(codes.ResourceExhausted, "the plugin's answer has %d bytes, at most %d are allowed", size, maxPart))}}
		size = sizeIn(r)
	}
	return o.put(o.ctx, part{response: r, size: size})
}

// encodable says whether m can be sent: strings that are not UTF-8 would end
// the session.
func encodable(m proto.Message) error {
	if _, err := proto.Marshal(m); err != nil {
		return Errorf(codes.Internal, "the plugin made %s with a string that is not UTF-8: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	return nil
}

// request hands over a request.
func (o *outgoing) request(ctx context.Context, r *pluginpb.HostRequest) error {
	size := sizeIn(r)
	if size > maxPart {
		return Errorf(codes.ResourceExhausted, "a request to the core has %d bytes, at most %d are allowed", size, maxPart)
	}
	if err := encodable(r); err != nil {
		return err
	}
	return o.put(ctx, part{request: r, size: size})
}

func (o *outgoing) put(ctx context.Context, p part) error {
	select {
	case o.parts <- p:
		return nil
	case <-o.ctx.Done():
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// flush waits until all that was handed over is written.
func (o *outgoing) flush() {
	written := make(chan struct{})
	if o.put(o.ctx, part{written: written}) != nil {
		return
	}
	select {
	case <-written:
	case <-o.ctx.Done():
	}
}

// writeTo writes until the session is over (nil) or writing fails.
func (o *outgoing) writeTo(stream pluginpb.Plugin_SessionServer) error {
	var next part // taken, but did not fit
	for {
		if next.size == 0 && next.written == nil {
			select {
			case next = <-o.parts:
			case <-o.ctx.Done():
				return nil
			}
		}
		var m pluginpb.PluginMessage
		var marks []chan struct{}
		size := 0
		for more := true; more; {
			m.Responses, m.Requests, marks = next.appendTo(m.Responses, m.Requests, marks)
			size += next.size
			next = part{}
			if size > batchSize {
				break
			}
			select {
			case next = <-o.parts:
				more = size+next.size <= maxPart
			default:
				more = false
			}
		}
		if size > 0 {
			if err := stream.Send(&m); err != nil {
				return err
			}
		}
		for _, written := range marks {
			close(written)
		}
	}
}

func (p part) appendTo(responses []*pluginpb.HookResponse, requests []*pluginpb.HostRequest, marks []chan struct{}) ([]*pluginpb.HookResponse, []*pluginpb.HostRequest, []chan struct{}) {
	switch {
	case p.response != nil:
		responses = append(responses, p.response)
	case p.request != nil:
		requests = append(requests, p.request)
	default:
		marks = append(marks, p.written)
	}
	return responses, requests, marks
}
