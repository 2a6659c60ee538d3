package sdk

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/parley-chat/parley/protocol/pluginpb"
)

// Handshake is what the core and a plugin process have to agree on before they
// speak.
var Handshake = goplugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "PARLEY_PLUGIN", MagicCookieValue: "parley"}

// PluginName is the name of the one plugin in go-plugin's set.
const PluginName = "plugin"

// How long a process stays when the core is gone, for what is under way.
const graceTimeout = 2 * time.Second

// Serve runs p as a plugin process until the core ends it, and gives the exit
// status. main calls it and nothing else. Started by hand, it says what the
// program is.
func Serve(p Plugin) (status int) {
	if os.Getenv(Handshake.MagicCookieKey) != Handshake.MagicCookieValue {
		fmt.Fprint(os.Stderr, aboutText(p.Manifest()))
		return 2
	}
	s := newService(p)
	stop := make(chan struct{}) // ends the watchers
	var watchers sync.WaitGroup
	var server *grpc.Server // made before the handshake line is printed
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: Handshake,
		Plugins:         goplugin.PluginSet{PluginName: &grpcPlugin{service: s}},
		Logger:          hclog.New(&hclog.LoggerOptions{Level: hclog.Error, Output: os.Stderr}),
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			server = grpc.NewServer(append(options, grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage))...)
			watchers.Go(func() { watch(server, s, closedInput(os.Stdin), stop) })
			return server
		},
	})
	close(stop)
	watchers.Wait()
	if server == nil {
		return 1 // go-plugin said why
	}
	return 0
}

// watch stops the server when the session is over or the input closed, and
// the plugin's methods have returned or had their time.
func watch(server *grpc.Server, s *service, closed <-chan struct{}, stop <-chan struct{}) {
	select {
	case <-s.over:
	case <-closed:
		close(s.quit)
	case <-stop:
		return
	}
	select {
	case <-s.idle:
	case <-stop:
	case <-time.After(graceTimeout):
	}
	server.Stop()
}

// closedInput gives a channel that is closed when f is, if f is something that
// closes when the process at its other end goes: a terminal or /dev/null says
// nothing about the core.
func closedInput(f *os.File) <-chan struct{} {
	info, err := f.Stat()
	if err != nil || info.Mode()&(os.ModeNamedPipe|os.ModeSocket) == 0 {
		return nil
	}
	closed := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, f) // ends with the process at the latest
		close(closed)
	}()
	return closed
}

func aboutText(m *pluginpb.Manifest) string {
	return fmt.Sprintf(`This is parley-plugin-%[1]s %[2]s, a plugin of Parley: %[3]s
Parley starts it by itself; run by hand it does nothing.
To install it, copy it into ~/.local/share/parley/plugins and enable it:
    parley plugins enable %[1]s
`, m.GetName(), m.GetVersion(), m.GetSummary())
}

// grpcPlugin registers the service with go-plugin's server.
type grpcPlugin struct {
	goplugin.NetRPCUnsupportedPlugin
	service pluginpb.PluginServer
}

func (g *grpcPlugin) GRPCServer(_ *goplugin.GRPCBroker, server *grpc.Server) error {
	pluginpb.RegisterPluginServer(server, g.service)
	return nil
}

// GRPCClient is the core's part; it opens the session itself.
func (g *grpcPlugin) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, ErrClosed
}
