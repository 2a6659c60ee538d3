package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/parley-chat/parley/internal/ownsocket"
)

const (
	socketName = "admin.sock"
	// maxSocketPath is what the system takes, less some.
	maxSocketPath  = 100
	maxRequest     = 64 << 10
	callTimeout    = 30 * time.Second
	backupTimeout  = time.Hour
	headerTimeout  = 10 * time.Second
	shutdownTime   = 2 * time.Second
	methodPrefix   = "/v1/"
	methodBackup   = "backup"
	contentFailure = http.StatusUnprocessableEntity
)

// Server serves an Admin on the socket of a data folder.
type Server struct {
	listener net.Listener
	http     *http.Server
	log      *slog.Logger
}

// Listen takes the socket in a data folder, which the caller holds the lock of:
// a socket that lies there is left over. Serve or Close frees it.
func Listen(folder string, admin Admin, log *slog.Logger) (*Server, error) {
	path, done, err := socketPath(folder)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove the old admin socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on the admin socket: %w", err)
	}
	// The next server removes it; its path here may be good only for now.
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("make the admin socket private: %w", err)
	}
	return &Server{
		listener: &ownsocket.Listener{UnixListener: l, Log: log}, log: log,
		http: &http.Server{Handler: handler(admin), ReadHeaderTimeout: headerTimeout, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)},
	}, nil
}

// Serve serves until ctx ends.
func (s *Server) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
		defer cancel()
		if s.http.Shutdown(ctx) != nil {
			_ = s.http.Close()
		}
	})
	defer stop()
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the admin socket: %w", err)
	}
	return nil
}

// Close frees the socket. Idempotent.
func (s *Server) Close() {
	_ = s.http.Close()
	_ = s.listener.Close()
}

// socketPath gives a path to the socket in folder that is short enough, good
// until done is called.
func socketPath(folder string) (path string, done func(), err error) {
	path = filepath.Join(folder, socketName)
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	dir, err := os.Open(folder)
	if err != nil {
		return "", nil, fmt.Errorf("open the data folder: %w", err)
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), socketName), func() { _ = dir.Close() }, nil
}

// call makes a handler of a method that takes a Req and gives an answer.
func call[Req any](f func(context.Context, Req) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
		defer cancel()
		var req Req
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
		d.DisallowUnknownFields()
		if err := d.Decode(&req); err != nil {
			fail(w, invalid("The request cannot be read; parley-server and the server that runs may be of different versions: %v.", err))
			return
		}
		answer, err := f(ctx, req)
		if err != nil {
			fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}
}

func fail(w http.ResponseWriter, err error) {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{KindInternal, err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(contentFailure)
	_ = json.NewEncoder(w).Encode(e)
}

type nothing struct{}

func handler(a Admin) http.Handler {
	mux := http.NewServeMux()
	handle := func(method string, h http.HandlerFunc) { mux.HandleFunc("POST "+methodPrefix+method, h) }
	handle("user/add", call(func(ctx context.Context, r AddUser) (any, error) { return nothing{}, a.AddUser(ctx, r) }))
	handle("user/list", call(func(ctx context.Context, _ nothing) (any, error) { return a.Users(ctx) }))
	handle("user/passwd", call(func(ctx context.Context, r SetPassword) (any, error) { return nothing{}, a.SetPassword(ctx, r) }))
	handle("user/disabled", call(func(ctx context.Context, r SetDisabled) (any, error) { return nothing{}, a.SetDisabled(ctx, r) }))
	handle("user/remove", call(func(ctx context.Context, r string) (any, error) { return nothing{}, a.RemoveUser(ctx, r) }))
	handle("invite/create", call(func(ctx context.Context, r CreateInvite) (any, error) { return a.CreateInvite(ctx, r) }))
	handle("invite/list", call(func(ctx context.Context, _ nothing) (any, error) { return a.Invites(ctx) }))
	handle("invite/revoke", call(func(ctx context.Context, r string) (any, error) { return nothing{}, a.RevokeInvite(ctx, r) }))
	handle(methodBackup, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), backupTimeout)
		defer cancel()
		counted := &counter{w: w}
		if err := a.Backup(ctx, counted); err != nil && counted.n == 0 {
			fail(w, err)
		} // else it has no end, and its reader sees that
	})
	return mux
}

type counter struct {
	w io.Writer
	n int
}

// Write implements io.Writer.
func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += n
	return n, err
}
