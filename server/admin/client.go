package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"github.com/parley-chat/parley/server/backup"
	"github.com/parley-chat/parley/server/directory"
	"github.com/parley-chat/parley/server/password"
	"github.com/parley-chat/parley/server/state"
)

// Open gives the Admin of a data folder: through the server that runs on it,
// else on the folder itself, which no server can then use until close.
func Open(ctx context.Context, folder string, log *slog.Logger) (admin Admin, closeAdmin func(), err error) {
	client := &client{folder: folder}
	conn, err := client.dial(ctx)
	switch {
	case err == nil:
		_ = conn.Close()
		return client, func() {}, nil
	case errors.Is(err, os.ErrPermission):
		return nil, nil, &Error{KindUnavailable, "The folder " + folder + " belongs to another user; run this as the user who runs the server, or as root."}
	case !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED):
		return nil, nil, fmt.Errorf("reach the server: %w", err)
	}
	return openFolder(ctx, folder, log)
}

func openFolder(ctx context.Context, folder string, log *slog.Logger) (Admin, func(), error) {
	if _, err := os.Stat(filepath.Join(folder, state.Subfolder)); err != nil {
		return nil, nil, &Error{KindNotFound, "There is no directory in " + folder +
			"; give the folder that the server uses with --data, or start the server there first."}
	}
	if err := checkOwner(folder); err != nil {
		return nil, nil, err
	}
	s, err := state.Open(folder, state.Options{Log: log})
	if err != nil {
		return nil, nil, errorOf(err)
	}
	d, err := directory.Open(ctx, directory.Config{Conn: s.Conn(), Log: log})
	if err != nil {
		s.Close()
		return nil, nil, errorOf(err)
	}
	closeAll := func() {
		d.Close()
		s.Close()
	}
	return &Operator{Directory: d, Hasher: &lazyHasher{}, Files: backup.FilesOf(folder), Log: log}, closeAll, nil
}

// checkOwner keeps root from leaving files in a folder that the server, which
// runs as another user, cannot use then.
func checkOwner(folder string) error {
	info, err := os.Stat(folder)
	if err != nil {
		return errorOf(err)
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok && int(s.Uid) != os.Geteuid() {
		name := strconv.Itoa(int(s.Uid))
		if u, err := user.LookupId(name); err == nil {
			name = u.Username
		}
		return &Error{KindUnavailable, "The server does not run, and its folder " + folder + " belongs to " + name +
			": run this as that user (sudo -u " + name + " parley-server ...), or start the server first."}
	}
	return nil
}

// lazyHasher is made when it is needed, because making it takes a hash.
type lazyHasher struct {
	once sync.Once
	h    *password.Hasher
	err  error
}

// Hash implements Hasher.
func (l *lazyHasher) Hash(ctx context.Context, pass string) (string, error) {
	l.once.Do(func() { l.h, l.err = password.New(password.DefaultCost, 0) })
	if l.err != nil {
		return "", l.err
	}
	return l.h.Hash(ctx, pass)
}

// client is Admin through the socket of a server.
type client struct{ folder string }

func (c *client) dial(ctx context.Context) (net.Conn, error) {
	path, done, err := socketPath(c.folder)
	if err != nil {
		return nil, err
	}
	defer done()
	return (&net.Dialer{}).DialContext(ctx, "unix", path)
}

// post calls a method; the body of the answer is the caller's to close.
func (c *client) post(ctx context.Context, method string, req any) (io.ReadCloser, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return nil, errorOf(err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://admin"+methodPrefix+method, bytes.NewReader(body))
	if err != nil {
		return nil, errorOf(err)
	}
	h := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) },
	}}
	answer, err := h.Do(r)
	if err != nil {
		return nil, &Error{KindUnavailable, "The server did not answer; it may be stopping: " + err.Error() + "."}
	}
	switch answer.StatusCode {
	case http.StatusOK:
		return answer.Body, nil
	case contentFailure:
		defer func() { _ = answer.Body.Close() }()
		e := &Error{}
		if err := json.NewDecoder(answer.Body).Decode(e); err != nil || e.Text == "" {
			return nil, &Error{KindInternal, "The server's answer cannot be read."}
		}
		return nil, e
	default:
		_ = answer.Body.Close()
		return nil, &Error{KindUnavailable, "The server that runs is of another version; start it again after the upgrade."}
	}
}

func (c *client) call(ctx context.Context, method string, req, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	body, err := c.post(ctx, method, req)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	if err := json.NewDecoder(body).Decode(answer); err != nil {
		return &Error{KindInternal, "The server's answer cannot be read: " + err.Error() + "."}
	}
	return nil
}

// AddUser implements Admin.
func (c *client) AddUser(ctx context.Context, add AddUser) error {
	return c.call(ctx, "user/add", add, &nothing{})
}

// Users implements Admin.
func (c *client) Users(ctx context.Context) (users []User, err error) {
	err = c.call(ctx, "user/list", nothing{}, &users)
	return users, err
}

// SetPassword implements Admin.
func (c *client) SetPassword(ctx context.Context, set SetPassword) error {
	return c.call(ctx, "user/passwd", set, &nothing{})
}

// SetDisabled implements Admin.
func (c *client) SetDisabled(ctx context.Context, set SetDisabled) error {
	return c.call(ctx, "user/disabled", set, &nothing{})
}

// RemoveUser implements Admin.
func (c *client) RemoveUser(ctx context.Context, user string) error {
	return c.call(ctx, "user/remove", user, &nothing{})
}

// CreateInvite implements Admin.
func (c *client) CreateInvite(ctx context.Context, create CreateInvite) (made Created, err error) {
	err = c.call(ctx, "invite/create", create, &made)
	return made, err
}

// Invites implements Admin.
func (c *client) Invites(ctx context.Context) (invites []Invite, err error) {
	err = c.call(ctx, "invite/list", nothing{}, &invites)
	return invites, err
}

// RevokeInvite implements Admin.
func (c *client) RevokeInvite(ctx context.Context, idOrCode string) error {
	return c.call(ctx, "invite/revoke", idOrCode, &nothing{})
}

// Backup implements Admin. A backup that was cut short has no end; who keeps it
// checks it first.
func (c *client) Backup(ctx context.Context, w io.Writer) error {
	body, err := c.post(ctx, methodBackup, nothing{})
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	if _, err := io.Copy(w, body); err != nil {
		return errorOf(fmt.Errorf("receive the backup: %w", err))
	}
	return nil
}
