package sdk

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/protocol/pluginpb"
)

const (
	// An answer to Handle is due within 30 s, of all its items together.
	handleTimeout = 25 * time.Second
	// Past this, the items that are left come again in a new call.
	handleSpan = 5 * time.Second
	// Handle calls of different chats that run at once.
	maxTurns = 32
)

// batch is what is known of one HandleRequest while its items are handled.
type batch struct {
	uncommitted pending     // what earlier items led to
	again       atomic.Bool // the present item asked for what that may change
}

type batchKey struct{}

// mustBeCommitted says that the core is about to be asked for something that
// uncommitted effects may change.
func mustBeCommitted(ctx context.Context, changes func(*pending) bool) error {
	b, ok := ctx.Value(batchKey{}).(*batch)
	if !ok {
		return nil
	}
	b.uncommitted.mu.Lock()
	defer b.uncommitted.mu.Unlock()
	if !changes(&b.uncommitted) {
		return nil
	}
	b.again.Store(true)
	return ErrAgain
}

// beginHandle puts the call behind the one before of its chat.
func (x *session) beginHandle(id uint64, pb *pluginpb.HandleRequest) {
	began := time.Now()
	done := make(chan struct{})
	x.mu.Lock()
	before := x.lanes[pb.GetChat()]
	x.lanes[pb.GetChat()] = done
	x.mu.Unlock()
	x.goHook(id, func(ctx context.Context) {
		defer func() {
			x.mu.Lock()
			if x.lanes[pb.GetChat()] == done {
				delete(x.lanes, pb.GetChat())
			}
			x.mu.Unlock()
			close(done)
		}()
		if before != nil {
			<-before // ends, because its context does
		}
		select {
		case x.turns <- struct{}{}:
			defer func() { <-x.turns }()
		case <-ctx.Done():
		}
		ctx, cancel := context.WithDeadline(ctx, began.Add(handleTimeout))
		defer cancel()
		x.handle(ctx, id, pb)
	})
}

// handle handles the items one by one, until one has to wait for what those
// before it led to.
func (x *session) handle(ctx context.Context, id uint64, pb *pluginpb.HandleRequest) {
	began := time.Now()
	b := &batch{}
	ctx = context.WithValue(ctx, batchKey{}, b)
	response := &pluginpb.HandleResponse{}
	size := 0
	for _, item := range pb.GetItems() {
		if len(response.GetOutcomes()) > 0 && time.Since(began) > handleSpan {
			break
		}
		outcome, effects, err := x.handleItem(ctx, pb.GetChat(), item)
		if errors.Is(context.Cause(ctx), errCancelled) {
			err = context.Canceled
		}
		if b.again.Load() || err != nil {
			if len(response.GetOutcomes()) > 0 {
				break
			}
			x.fail(id, err)
			return
		}
		s := sizeIn(outcome)
		if size += s; size > maxPart-64 && len(response.GetOutcomes()) > 0 {
			break
		}
		response.Outcomes = append(response.Outcomes, outcome)
		b.uncommitted.note(effects)
	}
	x.answer(&pluginpb.HookResponse{Id: id, Answer: &pluginpb.HookResponse_Handle{Handle: response}})
}

func (x *session) handleItem(ctx context.Context, chat string, item *pluginpb.Item) (outcome *pluginpb.Outcome, effects []Effect, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	switch i := item.GetItem().(type) {
	case *pluginpb.Item_Packet:
		var p Packet
		if p, err = packetFromProto(i.Packet); err != nil {
			return nil, nil, Errorf(codes.Internal, "%w", err)
		}
		effects, err = x.plugin.Handle(ctx, p)
	case *pluginpb.Item_Event:
		effects, err = x.handleEvent(ctx, chat, i.Event)
	default: // of a newer core, which knows that this plugin is older
	}
	if text, ok := RefusalText(err); ok {
		return &pluginpb.Outcome{Refuse: text}, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	pb, err := effectProtos(effects)
	if err != nil {
		return nil, nil, err
	}
	return &pluginpb.Outcome{Effects: pb}, effects, nil
}

func (x *session) handleEvent(ctx context.Context, chat string, pb *pluginpb.Event) ([]Effect, error) {
	e, known, err := eventFromProto(chat, pb)
	if err != nil {
		return nil, Errorf(codes.Internal, "%w", err)
	}
	if !known {
		return nil, nil
	}
	if e.Settings != nil {
		x.host.setSettings(e.Settings)
	}
	handler, ok := x.plugin.(EventHandler)
	if !ok {
		return nil, nil
	}
	effects, err := handler.HandleEvent(ctx, e)
	if text, ok := RefusalText(err); ok {
		return nil, Errorf(codes.Internal, "an event cannot be refused: %s", text)
	}
	return effects, err
}
