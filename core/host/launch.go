package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/protocol/pluginpb"
)

// Handshake is shared with plugins/sdk and every plugin.
var handshake = goplugin.HandshakeConfig{
	ProtocolVersion:  1,
	MagicCookieKey:   "PARLEY_PLUGIN",
	MagicCookieValue: "parley",
}

const (
	pluginKey  = "plugin" // name in go-plugin's set
	maxMessage = 4 << 20  // bytes of one message of the stream
	maxSocket  = 107      // bytes of a unix socket's path
)

// grpcPlugin is go-plugin's idea of a plugin; only the client side is used.
type grpcPlugin struct{}

func (grpcPlugin) Server(*goplugin.MuxBroker) (any, error) { return nil, errors.ErrUnsupported }
func (grpcPlugin) Client(*goplugin.MuxBroker, *rpc.Client) (any, error) {
	return nil, errors.ErrUnsupported
}
func (grpcPlugin) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error { return errors.ErrUnsupported }
func (grpcPlugin) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return c, nil
}

// spec says what to launch and how.
type spec struct {
	file         file
	confine      bool
	limits       *limits // nil for none
	capabilities []pluginpb.Capability
	data, cache  string
}

// running is a launched plugin whose handshake succeeded.
type running struct {
	process *process
	conn    *grpc.ClientConn
	lines   *lines
	close   func() // kills what still runs and cleans up; waits. Idempotent.
}

// launcher starts plugin processes.
type launcher struct {
	cfg    *Config
	forker *forker
	sandbox
}

// launch starts the process and waits for its handshake. When it fails, l has
// what the plugin wrote.
func (l *launcher) launch(ctx context.Context, s spec, out *lines) (*running, error) {
	run, err := l.prepare(s)
	if err != nil {
		return nil, err
	}
	file, err := openVerified(s.file.path, s.file.sha256)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(run))
	}
	conns := &connKeeper{}
	var started atomic.Pointer[process]
	kill := func() {
		if proc := started.Load(); proc != nil {
			_ = proc.Kill(context.Background())
		}
	}
	client := goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  handshake,
		Plugins:          goplugin.PluginSet{pluginKey: grpcPlugin{}},
		SkipHostEnv:      true,
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		StartTimeout:     l.cfg.timing.launch,
		Logger:           hclog.New(&hclog.LoggerOptions{Level: hclog.Off, Output: io.Discard}),
		Stderr:           out,
		SyncStdout:       out,
		SyncStderr:       out,
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: run},
		GRPCDialOptions: []grpc.DialOption{
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
			grpc.WithStreamInterceptor(conns.stream),
		},
		RunnerFunc: func(_ hclog.Logger, template *exec.Cmd, socket string) (runner.Runner, error) {
			cmd, err := l.command(s, file, run, socket)
			if err != nil {
				return nil, err
			}
			cmd.Env = append(environment(s.file.bundled, s.data), template.Env...)
			proc, err := newProcess(l.forker, cmd, socket, s)
			if err != nil {
				return nil, err
			}
			started.Store(proc)
			return proc, nil
		},
	})
	var once sync.Once
	closeRun := func() {
		once.Do(func() {
			kill()
			if proc := started.Load(); proc != nil {
				<-proc.done
			}
			client.Kill()
			conns.close()
			_ = file.Close()
			_ = os.RemoveAll(run)
		})
	}
	conn, err := connect(ctx, client, kill)
	if err != nil {
		closeRun()
		return nil, err
	}
	return &running{process: started.Load(), conn: conn, lines: out, close: closeRun}, nil
}

// connect does go-plugin's handshake. go-plugin knows no contexts, so the
// process is killed when ctx ends.
func connect(ctx context.Context, client *goplugin.Client, kill func()) (*grpc.ClientConn, error) {
	finished := make(chan struct{})
	var conn *grpc.ClientConn
	var err error
	go func() {
		defer close(finished)
		var protocol goplugin.ClientProtocol
		if protocol, err = client.Client(); err != nil {
			return
		}
		var raw any
		if raw, err = protocol.Dispense(pluginKey); err == nil {
			conn, _ = raw.(*grpc.ClientConn)
		}
	}()
	select {
	case <-finished:
	case <-ctx.Done():
		// The process may be about to start: go on until it is seen.
		for done := false; !done; {
			kill()
			select {
			case <-finished:
				done = true
			case <-time.After(20 * time.Millisecond):
			}
		}
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return conn, nil
}

// prepare makes the folders of a plugin; the one for its socket is new.
func (l *launcher) prepare(s spec) (run string, err error) {
	for _, folder := range []string{s.data, s.cache, l.cfg.RunFolder} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return "", fmt.Errorf("make plugin folder: %w", err)
		}
	}
	info, err := os.Stat(l.cfg.RunFolder)
	if err != nil {
		return "", fmt.Errorf("run folder: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("run folder %s is open to others: run chmod 700 on it", l.cfg.RunFolder)
	}
	if err := checkOwner(l.cfg.RunFolder, info); err != nil {
		return "", err
	}
	if run, err = os.MkdirTemp(l.cfg.RunFolder, "p"); err != nil {
		return "", fmt.Errorf("make socket folder: %w", err)
	}
	return run, nil
}

// command is how the plugin is run: the open file that was hashed, and not the
// name, which could mean another file by now. A script that is not confined is
// the exception, since its interpreter needs the name.
func (l *launcher) command(s spec, f *os.File, run, socket string) (*exec.Cmd, error) {
	if longest := len(socket) + len("/plugin0123456789"); longest > maxSocket {
		return nil, fmt.Errorf("socket folder %s: its path is %d bytes too long", socket, longest-maxSocket)
	}
	// A descriptor of its own for the child: f stays open for the next try.
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		return nil, fmt.Errorf("plugin file: %w", err)
	}
	syscall.CloseOnExec(fd)
	dup := os.NewFile(uintptr(fd), s.file.path)
	if s.confine {
		args := l.sandbox.command(view{
			path: s.file.path, folders: []string{s.data, s.cache, run},
			capabilities: s.capabilities, runtimeFolder: os.Getenv("XDG_RUNTIME_DIR"), scratch: l.cfg.limits.scratch,
		})
		return &exec.Cmd{Path: args[0], Args: args, ExtraFiles: []*os.File{dup}}, nil
	}
	var magic [2]byte
	if _, err := f.ReadAt(magic[:], 0); err != nil {
		return nil, errors.Join(fmt.Errorf("plugin file: %w", err), dup.Close())
	}
	cmd := &exec.Cmd{Path: "/proc/self/fd/3", Args: []string{s.file.path}, ExtraFiles: []*os.File{dup}, Dir: s.data}
	if string(magic[:]) == "#!" {
		cmd.Path, cmd.ExtraFiles = s.file.path, nil
		if err := dup.Close(); err != nil {
			return nil, fmt.Errorf("plugin file: %w", err)
		}
	}
	return cmd, nil
}

// connKeeper closes the connection that go-plugin forgets when a plugin dies
// just after its handshake, and keeps go-plugin's broker, of which a plugin
// could make the core allocate without bound, from ever being opened.
type connKeeper struct {
	mu    sync.Mutex // guards conns
	conns []*grpc.ClientConn
}

func (k *connKeeper) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	k.mu.Lock()
	k.conns = append(k.conns, cc)
	k.mu.Unlock()
	if method == "/plugin.GRPCBroker/StartStream" {
		return nil, status.Error(codes.Unimplemented, "not used")
	}
	return next(ctx, desc, cc, method, opts...)
}

func (k *connKeeper) close() {
	k.mu.Lock()
	conns := k.conns
	k.conns = nil
	k.mu.Unlock()
	for _, c := range conns {
		_ = c.Close() // closing twice is an error of no interest
	}
}

// ping asks go-plugin's health service. go-plugin's own Ping knows no deadline.
func (r *running) ping(ctx context.Context, hang time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, hang)
	defer cancel()
	answer, err := grpc_health_v1.NewHealthClient(r.conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: goplugin.GRPCServiceName})
	if err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	if answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("ping: plugin says it is %s: %w", answer.GetStatus(), errProtocol)
	}
	return nil
}

// dataFolders gives a plugin's private folders.
func (c *Config) dataFolders(name string) (data, cache string) {
	return filepath.Join(c.DataFolder, name), filepath.Join(c.CacheFolder, name)
}
