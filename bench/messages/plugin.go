package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/parley-chat/parley/bench/process"
	"github.com/parley-chat/parley/bench/report"
	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/plugins/text"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// measurePlugin hands packets to the text plugin's process and waits for what it
// makes of them.
func measurePlugin(ctx context.Context, r *report.Round) error {
	p, err := process.Start(process.Config{Program: "bin/plugins/parley-plugin-text", Env: []string{
		sdk.Handshake.MagicCookieKey + "=" + sdk.Handshake.MagicCookieValue, "PLUGIN_PROTOCOL_VERSIONS=1", "PLUGIN_UNIX_SOCKET_DIR=" + r.Dir,
	}})
	if err != nil {
		return err
	}
	defer p.Kill()
	// go-plugin's line: its version, the application's, network, address, protocol.
	line, err := p.Await(ctx, "1|1|unix|")
	if err != nil {
		return err
	}
	socket, _, _ := strings.Cut(line, "|")
	if filepath.Dir(socket) != r.Dir {
		return fmt.Errorf("the plugin listens at %s", socket)
	}
	client, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	stream, err := pluginpb.NewPluginClient(client).Session(ctx)
	if err != nil {
		return err
	}
	h := &handler{stream: stream}
	_, err = h.ask(&pluginpb.HookRequest{Hook: &pluginpb.HookRequest_Start{Start: &pluginpb.StartRequest{User: "bob"}}})
	if err != nil {
		return err
	}
	content, err := text.Text{Body: body}.Encode()
	if err != nil {
		return err
	}
	return part{
		one: func(context.Context) error { return h.handle(content, 1) },
		many: func(_ context.Context, n int) error {
			for ; n > 0; n -= flight {
				if err := h.handle(content, min(n, flight)); err != nil {
					return err
				}
			}
			return nil
		},
	}.measure(ctx, r)
}

// handler is the core's end of a plugin's session, one request at a time.
type handler struct {
	stream pluginpb.Plugin_SessionClient
	id     uint64
}

func (h *handler) ask(request *pluginpb.HookRequest) (*pluginpb.HookResponse, error) {
	h.id++
	request.Id = h.id
	if err := h.stream.Send(&pluginpb.CoreMessage{Requests: []*pluginpb.HookRequest{request}}); err != nil {
		return nil, err
	}
	for {
		m, err := h.stream.Recv()
		if err != nil {
			return nil, err
		}
		// What the text plugin asks its core for at the start is what lies in its
		// private values: nothing.
		for _, asked := range m.GetRequests() {
			answer := &pluginpb.HostResponse{Id: asked.GetId(), Answer: &pluginpb.HostResponse_Values{Values: &pluginpb.Values{}}}
			if err := h.stream.Send(&pluginpb.CoreMessage{Responses: []*pluginpb.HostResponse{answer}}); err != nil {
				return nil, err
			}
		}
		for _, r := range m.GetResponses() {
			if e := r.GetError(); e != nil {
				return nil, fmt.Errorf("the plugin says: %s", e.GetMessage())
			}
			return r, nil
		}
	}
}

func (h *handler) handle(content []byte, n int) error {
	items := make([]*pluginpb.Item, n)
	for i := range items {
		id := packet.NewPacketID()
		items[i] = &pluginpb.Item{Item: &pluginpb.Item_Packet{Packet: &pluginpb.Packet{
			Id: id[:], Chat: string(chat), Type: string(text.TypeText), Author: "anna", SentAt: time.Now().UnixMicro(), Content: content,
		}}}
	}
	answer, err := h.ask(&pluginpb.HookRequest{Hook: &pluginpb.HookRequest_Handle{Handle: &pluginpb.HandleRequest{Chat: string(chat), Items: items}}})
	if err == nil && len(answer.GetHandle().GetOutcomes()) != n {
		err = fmt.Errorf("%d outcomes for %d packets", len(answer.GetHandle().GetOutcomes()), n)
	}
	return err
}
