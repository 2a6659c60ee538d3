package people

import (
	"context"
	"fmt"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// Offer offers a file to another person, and gives its message once that person
// has it.
func (p *Person) Offer(ctx context.Context, to *Person, path string) (message []byte, err error) {
	chat := string(p.ChatWith(to))
	result, err := p.Client.InvokeAction(ctx, "file", &pluginpb.InvokeRequest{
		Invocation: client.NewInvocation(), Action: "send", Chat: chat, Paths: []string{path},
	}, nil)
	if err != nil {
		return nil, fmt.Errorf("%s offers %s: %w", p.Name, path, err)
	}
	id := result.GetSent()[0]
	return id, Until(ctx, "the offer arrives", func(ctx context.Context) (bool, error) {
		resp, err := to.Client.ListMessages(ctx, &controlpb.ListMessagesRequest{Chat: chat, Ids: [][]byte{id}})
		return len(resp.GetMessages()) == 1, err
	})
}

// Accept fetches what another person offered, and returns when it is in its
// place.
func (p *Person) Accept(ctx context.Context, from *Person, message []byte) error {
	ctx, cancel := context.WithCancel(ctx) // which ends the stream, too
	defer cancel()
	events, err := p.Client.Watch(ctx, &controlpb.WatchRequest{})
	if err != nil {
		return err
	}
	if _, err := events.Recv(); err != nil { // it is in place
		return err
	}
	_, err = p.Client.InvokeAction(ctx, "file", &pluginpb.InvokeRequest{
		Invocation: client.NewInvocation(), Action: "accept", Chat: string(p.ChatWith(from)), Message: message,
	}, nil)
	if err != nil {
		return fmt.Errorf("%s accepts: %w", p.Name, err)
	}
	for {
		e, err := events.Recv()
		if err != nil {
			return err
		}
		if e.GetBlob().GetBlob().GetState() < pluginpb.BlobState_BLOB_STATE_DONE {
			continue
		}
		// Of which message it is, the message tells.
		resp, err := p.Client.ListMessages(ctx, &controlpb.ListMessagesRequest{Chat: string(p.ChatWith(from)), Ids: [][]byte{message}})
		if err != nil || len(resp.GetMessages()) != 1 || len(resp.GetMessages()[0].GetBlobs()) != 1 {
			return fmt.Errorf("%s looks how far the file is: %w", p.Name, err)
		}
		switch blob := resp.GetMessages()[0].GetBlobs()[0].GetBlob(); blob.GetState() {
		case pluginpb.BlobState_BLOB_STATE_DONE:
			return nil
		case pluginpb.BlobState_BLOB_STATE_FAILED:
			return fmt.Errorf("%s's transfer failed: %s", p.Name, blob.GetReason())
		}
	}
}
