package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/parley-chat/parley/bench/people"
	"github.com/parley-chat/parley/bench/report"
	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// parley has one person send the file to another.
func parley(ctx context.Context, r *report.Round) error {
	dir, remove, err := folder(r)
	if err != nil {
		return err
	}
	defer remove()
	path, err := makeFile(dir)
	if err != nil {
		return err
	}
	w, a, b, err := people.NewPair(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	_, err = b.Client.SetSetting(ctx, &controlpb.SetSettingRequest{Plugin: "file", Name: "download-folder", Value: filepath.Join(dir, "downloads")})
	if err != nil {
		return err
	}
	message, err := offer(ctx, a, b, path)
	if err != nil {
		return err
	}
	before, err := people.CPU(a, b)
	if err != nil {
		return err
	}
	took, err := accept(ctx, a, b, message)
	if err != nil {
		return err
	}
	after, err := people.CPU(a, b)
	if err != nil {
		return err
	}
	ua, err := a.Core.Usage()
	if err != nil {
		return err
	}
	ub, err := b.Core.Usage()
	if err != nil {
		return err
	}
	record(r, took, after-before, uint64(ua.Peak), uint64(ub.Peak)) //nolint:gosec // not negative
	return nil
}

// offer has a file offered, and gives its message once the other side has it.
func offer(ctx context.Context, a, b *people.Person, path string) ([]byte, error) {
	chat := string(a.ChatWith(b))
	result, err := a.Client.InvokeAction(ctx, "file", &pluginpb.InvokeRequest{
		Invocation: client.NewInvocation(), Action: "send", Chat: chat, Paths: []string{path},
	}, nil)
	if err != nil {
		return nil, err
	}
	id := result.GetSent()[0]
	return id, people.Until(ctx, "the offer arrives", func(ctx context.Context) (bool, error) {
		resp, err := b.Client.ListMessages(ctx, &controlpb.ListMessagesRequest{Chat: chat, Ids: [][]byte{id}})
		return len(resp.GetMessages()) == 1, err
	})
}

// accept has the file fetched, and gives how long that took.
func accept(ctx context.Context, a, b *people.Person, message []byte) (time.Duration, error) {
	events, err := b.Client.Watch(ctx, &controlpb.WatchRequest{})
	if err != nil {
		return 0, err
	}
	if _, err := events.Recv(); err != nil {
		return 0, err
	}
	start := time.Now()
	_, err = b.Client.InvokeAction(ctx, "file", &pluginpb.InvokeRequest{
		Invocation: client.NewInvocation(), Action: "accept", Chat: string(a.ChatWith(b)), Message: message,
	}, nil)
	if err != nil {
		return 0, err
	}
	for {
		e, err := events.Recv()
		if err != nil {
			return 0, err
		}
		switch blob := e.GetBlob().GetBlob(); blob.GetState() {
		case pluginpb.BlobState_BLOB_STATE_DONE:
			return time.Since(start), nil
		case pluginpb.BlobState_BLOB_STATE_FAILED:
			return 0, fmt.Errorf("the transfer failed: %s", blob.GetReason())
		}
	}
}
