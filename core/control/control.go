// Package control serves the front ends: the gRPC service of
// protocol/controlpb on a private unix socket. It translates between what
// front ends ask for and what the rest of the core does, and streams what
// changes; it decides nothing.
package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/ownsocket"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// Core is what the service needs of the core as a whole. Its errors may be
// anything; Config.Status turns them into gRPC's.
type Core interface {
	Status(ctx context.Context) *controlpb.Status
	LogIn(ctx context.Context, req *controlpb.LogInRequest) (*controlpb.LogInResponse, error)
	LogOut(ctx context.Context) error
	DeleteAccount(ctx context.Context, password string) error
	Unlock(ctx context.Context, passphrase string) error
	// Account gives the account that is open, or an error that says why none is.
	Account() (Account, error)
	Settings(ctx context.Context) (*controlpb.Settings, error)
	SetSetting(ctx context.Context, name, value string) error
	Diagnose(ctx context.Context, user packet.UserID, found func(*controlpb.Finding) error) error
	Shutdown()
}

// Account is what it needs of the account that is open.
type Account struct {
	Self     packet.UserID
	Store    store.Store
	People   People
	Plugins  Plugins
	Receipts Receipts
	Blobs    Blobs
	Net2019  Net2019
	// SetRead moves the place up to which a chat is read, and tells the others
	// unless the user does not want that.
	SetRead func(ctx context.Context, chat packet.ChatID, place packet.OrderKey) error
	// ClearChat removes what was said in a group that the account is no member of.
	ClearChat func(tx store.Tx, chat packet.ChatID) error
	// Accounts at the directory.
	SetProfile     func(ctx context.Context, req *controlpb.SetProfileRequest) error
	ChangePassword func(ctx context.Context, oldPassword, newPassword string) error
}

// People is the roster.
type People interface {
	Contacts(ctx context.Context) ([]*controlpb.Contact, error)
	// Contact is store.ErrNotFound for one who is not there.
	Contact(ctx context.Context, user packet.UserID) (*controlpb.Contact, error)
	Request(ctx context.Context, user packet.UserID, greeting string) error
	Answer(ctx context.Context, user packet.UserID, accept bool) error
	Remove(ctx context.Context, user packet.UserID, eraseHistory bool) error
	Block(ctx context.Context, user packet.UserID, block bool) error
	Rename(ctx context.Context, user packet.UserID, nickname string) error
	AcceptKeys(ctx context.Context, user packet.UserID, newSafetyNumber string) error
	SetVerified(ctx context.Context, user packet.UserID, verified bool) error
	// Name is what a person is called here.
	Name(user packet.UserID) string
}

// Net2019 is the protocol of 2019.
type Net2019 interface {
	LogIn(ctx context.Context, req *controlpb.LogInNet2019Request) (*controlpb.Net2019Status, error)
	LogOut(ctx context.Context) error
	// CreateGroup gives the chat of a group with users, whose names are well-formed.
	CreateGroup(ctx context.Context, users []packet.UserID) (packet.ChatID, error)
	LeaveGroup(ctx context.Context, chat packet.ChatID, eraseHistory bool) error
}

// Plugins is the plugin host.
type Plugins interface {
	List(ctx context.Context) ([]*controlpb.Plugin, error)
	// Plugin is store.ErrNotFound for one that is not there.
	Plugin(ctx context.Context, name string) (*controlpb.Plugin, error)
	SetEnabled(ctx context.Context, name string, enabled bool, sha256 string) error
	Restart(ctx context.Context, name string) error
	Invoke(ctx context.Context, plugin string, req *pluginpb.InvokeRequest, update func(*pluginpb.InvokeUpdate)) (*controlpb.InvokeResult, error)
	Settings(ctx context.Context, name string) (*controlpb.Settings, error)
	SetSetting(ctx context.Context, plugin, name, value string) error
	// Presentation says how a message kind is drawn.
	Presentation(kind string) pluginpb.Presentation
}

// Receipts is chatlog's knowledge of how far messages came.
type Receipts interface {
	// Of gives a function that tells it of one's own messages of a chat.
	Of(tx store.ReadTx, chat packet.ChatID) (func(m *store.Message) ([]*controlpb.RecipientState, error), error)
}

// Config of a Server.
type Config struct {
	Core   Core
	Bus    *bus.Bus
	Socket string
	Log    *slog.Logger
	// Status turns an error of the core into one with a gRPC code.
	Status func(error) error
}

// Server serves the control API.
type Server struct {
	controlpb.UnimplementedControlServer
	cfg      Config
	listener net.Listener
	grpc     *grpc.Server
	stop     context.CancelFunc // ends streams
	stopping context.Context    //nolint:containedctx // lives exactly as long as the server
}

// maxRequest bounds one request of a front end.
const maxRequest = 4 << 20

// Listen makes the socket, so that a second core fails at once. The caller
// must hold the profile's lock, because a socket that is there is replaced.
func Listen(cfg Config) (*Server, error) {
	folder := filepath.Dir(cfg.Socket)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make folder of the control socket: %w", err)
	}
	if err := os.Chmod(folder, 0o700); err != nil { //nolint:gosec // a folder
		return nil, fmt.Errorf("make folder of the control socket private: %w", err)
	}
	if err := os.Remove(cfg.Socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove old control socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: cfg.Socket, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("make control socket: %w", err)
	}
	if err := os.Chmod(cfg.Socket, 0o600); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("make control socket private: %w", err)
	}
	s := &Server{cfg: cfg, listener: &ownsocket.Listener{UnixListener: l, Log: cfg.Log}}
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.grpc = grpc.NewServer(
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.UnaryInterceptor(s.unary),
		grpc.StreamInterceptor(s.stream),
	)
	controlpb.RegisterControlServer(s.grpc, s)
	return s, nil
}

// Serve answers until ctx ends; then it ends streams, waits a moment for calls
// under way, and removes the socket.
func (s *Server) Serve(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- s.grpc.Serve(s.listener) }()
	select {
	case err := <-done:
		s.stop()
		return fmt.Errorf("serve control API: %w", err)
	case <-ctx.Done():
	}
	s.stop()
	stopped := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(stopped)
	}()
	grace := time.NewTimer(3 * time.Second)
	defer grace.Stop()
	select {
	case <-stopped:
	case <-grace.C:
		s.grpc.Stop()
		<-stopped
	}
	<-done //nolint:errcheck // it was told to end
	return ctx.Err()
}

func (s *Server) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	resp, err := handler(ctx, req)
	if err != nil {
		return nil, s.cfg.Status(err)
	}
	return resp, nil
}

func (s *Server) stream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if err := handler(srv, stream); err != nil {
		return s.cfg.Status(err)
	}
	return nil
}

func (s *Server) account() (Account, error) { return s.cfg.Core.Account() }
