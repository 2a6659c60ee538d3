package plugintest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// memory is a link to a plugin in this process.
type memory struct {
	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	toPlugin chan *pluginpb.CoreMessage
	toCore   chan *pluginpb.PluginMessage
}

func startStream(h *Host) *memory {
	m := &memory{toPlugin: make(chan *pluginpb.CoreMessage), toCore: make(chan *pluginpb.PluginMessage)}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	service := sdk.Service(h.cfg.New())
	m.wg.Go(func() {
		defer m.cancel()
		if err := service.Session(&stream{memory: m}); err != nil {
			h.t.Errorf("plugintest: session of %s: %v", h.cfg.User, err)
		}
	})
	return m
}

func (m *memory) kill() {
	m.cancel()
	m.wg.Wait()
}

func (m *memory) send(to *pluginpb.CoreMessage) error {
	if size := proto.Size(to); size > maxMessage {
		return fmt.Errorf("message to the plugin of %d bytes, at most %d are allowed", size, maxMessage)
	}
	select {
	case m.toPlugin <- proto.CloneOf(to):
		return nil
	case <-m.ctx.Done():
		return errDead
	}
}

func (m *memory) recv() (*pluginpb.PluginMessage, error) {
	select {
	case from := <-m.toCore:
		return from, nil
	case <-m.ctx.Done():
		return nil, errDead
	}
}

// stream is the plugin's end. What passes is encoded and bounded, as on a real
// one.
type stream struct {
	grpc.ServerStream
	memory *memory
}

func (s *stream) Context() context.Context { return s.memory.ctx }

func (s *stream) Recv() (*pluginpb.CoreMessage, error) {
	select {
	case m := <-s.memory.toPlugin:
		return m, nil
	case <-s.memory.ctx.Done():
		return nil, io.EOF
	}
}

func (s *stream) Send(m *pluginpb.PluginMessage) error {
	b, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	if len(b) > maxMessage {
		return fmt.Errorf("message of %d bytes, at most %d are allowed", len(b), maxMessage)
	}
	copied := &pluginpb.PluginMessage{}
	if err := proto.Unmarshal(b, copied); err != nil {
		return err
	}
	select {
	case s.memory.toCore <- copied:
		return nil
	case <-s.memory.ctx.Done():
		return errors.Join(io.EOF, errDead)
	}
}
