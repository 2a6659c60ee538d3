// Package core is Parley without a face: New wires the bus, the store, the
// directory client, the connection manager, the chat log, the roster, the
// plugin host and the control API together, and Run runs them. It knows no
// feature; features are plugins.
//
// What happens to one incoming text, in order:
//
//	conn     reads and decodes the frame          -> bus packet.received
//	chatlog  checks, commits, acknowledges        -> bus packet.text
//	host     hands it to the plugin, commits what it answers -> bus message.added
//	control  streams it to the front ends
//
// and back: control -> host (the plugin's action; one commit with what it
// sends) -> bus entry.appended -> chatlog -> conn.
package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/thejerf/suture/v4"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/core/control"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/protocol/controlpb"
)

// Config of a core.
type Config struct {
	// Folders of the profile.
	Folders client.Folders
	// BundledPlugins is the folder of the installation's plugins.
	BundledPlugins string
	// Listen is where peers connect, "host:port"; port 0, or all of it empty,
	// means a free one.
	Listen string
	// KeyPlace forces where the database's key is kept, see identity.Vault;
	// empty takes the best there is.
	KeyPlace string
	// KeyDescriptor hands the database's key in; nil when nobody does.
	KeyDescriptor *identity.Descriptor
	// Version of the program, for people.
	Version string
	Log     *slog.Logger
}

// Core is one profile's core. Make it with New.
type Core struct {
	cfg     Config
	bus     *bus.Bus
	lock    *os.File
	control *control.Server
	started time.Time
	quit    context.CancelFunc // ends Run; set by Run before anything is served

	// gate makes log-in, log-out and unlock happen one after the other. Taken
	// before mu.
	gate sync.Mutex
	// vaults has the vault of each account's folder; guarded by gate. One is kept
	// because a Secret Service that answers late answers the vault that asked.
	vaults map[string]*identity.Vault

	mu      sync.Mutex // guards all below
	running bool       // inside Run
	account *account   // nil: nobody is logged in
	session *session   // nil: not open
	locked  error      // why an account is there and no session
}

// New takes the profile's lock, so that a second core on it fails at once, and
// makes the control socket.
func New(ctx context.Context, cfg Config) (*Core, error) {
	if err := checkListen(cfg.Listen); err != nil {
		return nil, err
	}
	if err := cfg.Folders.Make(); err != nil {
		return nil, err
	}
	lock, err := takeProfile(ctx, cfg.Folders)
	if err != nil {
		return nil, err
	}
	c := &Core{cfg: cfg, bus: bus.New(), lock: lock, started: time.Now(), quit: func() {}, vaults: map[string]*identity.Vault{}}
	c.control, err = control.Listen(control.Config{
		Core: facade{c}, Bus: c.bus, Socket: cfg.Folders.Socket(), Log: cfg.Log.With("part", "control"), Status: statusOf,
	})
	if err != nil {
		_ = lock.Close()
		return nil, err
	}
	return c, nil
}

// checkListen refuses an address that cannot be meant so, before anybody logs in
// and finds out. Whether it can be had is seen then.
func checkListen(address string) error {
	if address == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("%q is no address to listen on: write HOST:PORT, or :PORT for all addresses: %w", address, ErrInvalid)
	}
	return nil
}

// listenHost is the host of an address that checkListen has passed.
func listenHost(address string) string {
	host, _, _ := net.SplitHostPort(address)
	return host
}

// Run runs the core until ctx ends or a front end shuts it down. It opens the
// account that is logged in, and answers front ends all the while.
func (c *Core) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer func() { _ = c.lock.Close() }()
	c.mu.Lock()
	c.running, c.quit = true, cancel
	c.mu.Unlock()

	// Front ends may connect already; they are answered once it is known whose
	// account this is.
	c.openStored(ctx)
	err := c.control.Serve(ctx)
	cancel()

	c.gate.Lock()
	defer c.gate.Unlock()
	c.mu.Lock()
	s := c.session
	c.session, c.running = nil, false
	c.mu.Unlock()
	if s != nil {
		err = errors.Join(err, s.close())
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Shutdown ends Run.
func (c *Core) Shutdown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quit()
}

// openStored opens the account that is logged in on this profile.
func (c *Core) openStored(ctx context.Context) {
	c.gate.Lock()
	defer c.gate.Unlock()
	a, err := readAccount(c.cfg.Folders)
	if errors.Is(err, errNoAccount) {
		return
	}
	if err != nil {
		c.cfg.Log.Error("account cannot be read", "error", err)
		c.setSession(a, nil, err)
		return
	}
	c.openAccount(ctx, a, "")
}

// openAccount opens a's session, or keeps why that did not work. The caller
// holds gate.
func (c *Core) openAccount(ctx context.Context, a *account, passphrase string) {
	s, err := c.openSession(ctx, a, passphrase)
	if err == nil {
		s.start(ctx, c.cfg.Log)
	} else {
		c.cfg.Log.Error("account cannot be opened", "user", a.User, "error", err)
	}
	c.setSession(a, s, err)
}

func (c *Core) setSession(a *account, s *session, locked error) {
	c.mu.Lock()
	c.account, c.session, c.locked = a, s, locked
	c.mu.Unlock()
	bus.Publish(c.bus, bus.AccountChanged, struct{}{})
}

// current gives the open session, or says why there is none.
func (c *Core) current() (*session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.session != nil:
		return c.session, nil
	case c.locked != nil:
		return nil, &LockedError{Cause: c.locked}
	default:
		return nil, ErrNoAccount
	}
}

// supervisor makes a tree for the services of a session: one that fails is
// started again, with growing pauses.
func supervisor(log *slog.Logger) *suture.Supervisor {
	return suture.New("account", suture.Spec{
		EventHook: func(e suture.Event) {
			if e.Type() == suture.EventTypeStopTimeout || e.Type() == suture.EventTypeServiceTerminate || e.Type() == suture.EventTypeServicePanic {
				log.Error("service failed", "event", e.String())
			}
		},
		Timeout: 10 * time.Second,
		// A panic is a defect that must be seen, with its stack, not hidden.
		PassThroughPanics: true,
	})
}

// Status implements control.Core.
func (f facade) Status(ctx context.Context) *controlpb.Status {
	c := f.Core
	s := &controlpb.Status{
		Version: c.cfg.Version, ProcessId: int64(os.Getpid()), Profile: c.cfg.Folders.Profile,
		State: controlpb.AccountState_ACCOUNT_STATE_NONE, StartedAt: c.started.UnixMicro(),
	}
	c.mu.Lock()
	account, session, locked := c.account, c.session, c.locked
	c.mu.Unlock()
	if account != nil {
		s.User = string(account.User)
		s.Directory = &controlpb.DirectoryStatus{Address: account.Directory, Fingerprint: account.Pin}
	}
	switch {
	case session != nil:
		s.State = controlpb.AccountState_ACCOUNT_STATE_OPEN
		session.status(ctx, s)
	case locked != nil:
		s.State = controlpb.AccountState_ACCOUNT_STATE_LOCKED
		s.StateText = locked.Error()
		if account != nil {
			// Whoever asks for a passphrase must know that there is one.
			place, err := identity.NewVault(identity.VaultConfig{Folder: account.folder(c.cfg.Folders)}).Place()
			if err == nil { // else the text says what is wrong
				s.KeyPlace = string(place)
			}
		}
	}
	return s
}

// facade is the core as control sees it.
type facade struct{ *Core }
