package plugintest

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// process is a link to a plugin in a process of its own.
type process struct {
	cmd    *exec.Cmd
	client *goplugin.Client
	stream pluginpb.Plugin_SessionClient
	cancel context.CancelFunc
}

// startProcess does go-plugin's handshake as the core does.
func startProcess(h *Host) (*process, error) {
	p := &process{cmd: exec.CommandContext(context.Background(), h.cfg.Path)} //nolint:gosec // the test's own plugin; kill ends it
	p.client = goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig: sdk.Handshake, Plugins: goplugin.PluginSet{sdk.PluginName: &dispenser{}}, Cmd: p.cmd,
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC}, StartTimeout: 20 * time.Second,
		Logger: hclog.NewNullLogger(), Stderr: &logWriter{h}, SyncStderr: &logWriter{h}, SyncStdout: &logWriter{h},
		GRPCDialOptions: []grpc.DialOption{grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage),
		)},
	})
	served, err := p.client.Client()
	if err != nil {
		p.client.Kill()
		return nil, fmt.Errorf("start %s: %w", h.cfg.Path, err)
	}
	raw, err := served.Dispense(sdk.PluginName)
	if err == nil {
		err = served.Ping()
	}
	if err != nil {
		p.client.Kill()
		return nil, fmt.Errorf("start %s: %w", h.cfg.Path, err)
	}
	service, _ := raw.(pluginpb.PluginClient)
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	if p.stream, err = service.Session(ctx); err != nil {
		cancel()
		p.client.Kill()
		return nil, fmt.Errorf("open session with %s: %w", h.cfg.Path, err)
	}
	return p, nil
}

func (p *process) send(m *pluginpb.CoreMessage) error {
	if err := p.stream.Send(m); err != nil {
		return errors.Join(errDead, err)
	}
	return nil
}

func (p *process) recv() (*pluginpb.PluginMessage, error) { return p.stream.Recv() }

// kill ends the stream, which tells the plugin to exit, and then the process.
func (p *process) kill() {
	p.cancel()
	p.client.Kill()
}

// dispenser gives the client of the service.
type dispenser struct {
	goplugin.NetRPCUnsupportedPlugin
}

func (*dispenser) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error {
	return errors.New("plugintest serves nothing")
}

func (*dispenser) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return pluginpb.NewPluginClient(conn), nil
}

// logWriter keeps what the process prints.
type logWriter struct{ h *Host }

func (w *logWriter) Write(b []byte) (int, error) {
	w.h.mu.Lock()
	defer w.h.mu.Unlock()
	w.h.state.log = append(w.h.state.log, string(b))
	return len(b), nil
}
