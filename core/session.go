package core

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/thejerf/suture/v4"

	"github.com/parley-chat/parley/core/blob"
	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/chatlog"
	"github.com/parley-chat/parley/core/conn"
	"github.com/parley-chat/parley/core/directory"
	"github.com/parley-chat/parley/core/host"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/core/net2019"
	"github.com/parley-chat/parley/core/roster"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
)

// session is an account that is open: its store and the services on it.
type session struct {
	core     *Core
	account  *account
	identity *identity.Identity
	keyPlace identity.Place
	store    store.Store
	book     *identity.Book

	directory *directory.Client
	conn      *conn.Manager
	roster    *roster.Roster
	chatlog   *chatlog.Service
	blob      *blob.Service
	host      *host.Host
	net2019   *net2019.Service

	run string // folder of the plugins' sockets

	stop context.CancelFunc
	done <-chan error

	// deaf says why nobody can connect to this device; nil when they can.
	deaf atomic.Pointer[error]

	closing sync.Once
}

// Namespace and key of the device key in the store.
const (
	identitySpace = "identity"
	identitySeed  = "seed"
)

// openSession opens a's database and makes its services, which do not run yet.
func (c *Core) openSession(ctx context.Context, a *account, passphrase string) (*session, error) {
	st, place, err := c.openStore(ctx, a, passphrase, false)
	if err != nil {
		return nil, err
	}
	id, err := loadIdentity(ctx, st, a.User)
	if err == nil {
		var s *session
		if s, err = c.newSession(ctx, a, st, id, place); err == nil {
			return s, nil
		}
	}
	return nil, errors.Join(err, st.Close())
}

// vault is where the key of a's database is. The caller holds gate.
func (c *Core) vault(a *account) *identity.Vault {
	folder := a.folder(c.cfg.Folders)
	if c.vaults[folder] == nil {
		c.vaults[folder] = identity.NewVault(identity.VaultConfig{
			Folder: folder, Descriptor: c.cfg.KeyDescriptor, Credentials: os.Getenv("CREDENTIALS_DIRECTORY"),
		})
	}
	return c.vaults[folder]
}

// openStore opens a's database; with create it makes one where none is. The
// caller holds gate.
func (c *Core) openStore(ctx context.Context, a *account, passphrase string, create bool) (store.Store, identity.Place, error) {
	if create {
		if err := os.MkdirAll(a.folder(c.cfg.Folders), 0o700); err != nil {
			return nil, "", fmt.Errorf("make the account's folder: %w", err)
		}
	}
	database := a.database(c.cfg.Folders)
	vault := c.vault(a)
	key, err := vault.Open(ctx, passphrase)
	if errors.Is(err, identity.ErrNoVault) && create {
		// A database without its key must not get another one: the right one may
		// be put back.
		if _, statErr := os.Lstat(database); !errors.Is(statErr, fs.ErrNotExist) {
			return nil, "", fmt.Errorf("%s is there, but not the key.json that says where its key is: put that back from a backup, or move the database away to begin anew: %w", database, err)
		}
		key, err = vault.Create(ctx, identity.Place(c.cfg.KeyPlace), passphrase)
	}
	if err != nil {
		return nil, "", err
	}
	place, err := vault.Place()
	if err != nil {
		return nil, "", err
	}
	st, err := store.Open(ctx, store.Config{Path: database, Key: key, Log: c.cfg.Log.With("part", "store")})
	return st, place, advise(err)
}

// loadIdentity reads the device key, store.ErrNotFound when there is none.
func loadIdentity(ctx context.Context, st store.Store, user packet.UserID) (*identity.Identity, error) {
	var seed []byte
	err := st.View(ctx, func(tx store.ReadTx) error {
		var err error
		seed, err = tx.Value(identitySpace, identitySeed)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read device key: %w", err)
	}
	return identity.New(user, seed)
}

// saveIdentity keeps the device key.
func saveIdentity(ctx context.Context, st store.Store, id *identity.Identity) error {
	err := st.Update(ctx, store.Synced, func(tx store.Tx) error {
		return tx.PutValue(identitySpace, identitySeed, id.Seed())
	})
	if err != nil {
		return fmt.Errorf("keep device key: %w", err)
	}
	return nil
}

// newSession wires the services of an account together.
func (c *Core) newSession(ctx context.Context, a *account, st store.Store, id *identity.Identity, place identity.Place) (*session, error) {
	log := c.cfg.Log
	s := &session{core: c, account: a, identity: id, keyPlace: place, store: st, book: identity.NewBook()}
	var err error
	// The directory's client asks the roster and the connection manager, and
	// they ask it: it comes first and asks through s.
	s.directory = directory.New(directory.Config{
		Address: a.Directory, Pin: a.Pin, Identity: id, Bus: c.bus, Log: log.With("part", "directory"), Agent: c.agent(),
		Contacts:  func() (contacts, blocked []packet.UserID) { return s.roster.Lists() },
		Endpoints: func() []bus.Endpoint { return s.conn.Endpoints() },
	})
	if s.conn, err = conn.New(conn.Config{
		Identity: id, Book: s.book, Bus: c.bus, Log: log.With("part", "conn"), Listen: c.cfg.Listen, Agent: c.agent(),
		Locate: s.directory.Presence, EndpointsChanged: func([]bus.Endpoint) { s.directory.Refresh() }, Woken: s.directory.Wake,
		AcceptStream: func(l bus.Link, c conn.Conn) { s.blob.Accept(l, bulkStream{c}) },
	}); err != nil {
		return nil, err
	}
	if s.roster, err = roster.New(ctx, roster.Config{
		Identity: id, Book: s.book, Bus: c.bus, Store: st, Log: log.With("part", "roster"),
		Directory: rosterDirectory{s.directory}, Links: rosterLinks{s.conn},
	}); err != nil {
		return nil, err
	}
	s.chatlog = chatlog.New(chatlog.Config{
		Identity: id, Book: s.book, Bus: c.bus, Store: st, Log: log.With("part", "chatlog"), Sender: s.conn,
		Type: s.packetType, Links: func() []bus.Link { return linksOf(s.conn) },
	})
	s.blob, err = blob.New(blob.Config{
		Identity: id, Book: s.book, Store: st, Bus: c.bus, Links: blobLinks{s.conn}, Log: log.With("part", "blob"),
		Folder: filepath.Join(a.folder(c.cfg.Folders), "blobs"),
	})
	if err == nil {
		s.net2019, err = net2019.New(ctx, net2019.Config{
			Identity: id, Store: st, Bus: c.bus, Log: log.With("part", "net2019"), Directory: s.directory, Host: listenHost(c.cfg.Listen),
			Files: s.blob, Folder: filepath.Join(a.folder(c.cfg.Folders), "net2019"),
		})
	}
	var locale string
	if err == nil {
		locale, err = s.setting(ctx, settingLanguage)
	}
	if err == nil {
		s.run, err = runFolder(c.cfg.Folders.Run)
	}
	if err == nil {
		s.host, err = host.New(host.Config{
			Store: st, Bus: c.bus, Log: log.With("part", "host"), User: id.User(), Outbox: outbox{s.chatlog, s.net2019}, People: hostPeople{s}, Blobs: hostBlobs{s.blob},
			Folders:    []host.Folder{{Path: c.cfg.BundledPlugins, Bundled: true}, {Path: c.cfg.Folders.Plugins}},
			DataFolder: filepath.Join(a.folder(c.cfg.Folders), "plugins"), CacheFolder: filepath.Join(c.cfg.Folders.Cache, "plugins"),
			RunFolder: s.run, Locale: locale,
		})
	}
	if err != nil {
		s.chatlog.Close()
		if s.blob != nil {
			_ = s.blob.Close()
		}
		if s.net2019 != nil {
			s.net2019.Close()
		}
		if s.run != "" && s.run != c.cfg.Folders.Run {
			_ = os.RemoveAll(s.run)
		}
		return nil, errors.Join(err, s.roster.Close())
	}
	return s, nil
}

// maxRun is how long the path of a folder may be for the plugins' sockets to
// have paths that the system takes.
const maxRun = 48

// runFolder is where the plugins' sockets lie: the profile's run folder, or,
// when its path is too long for them, a private one with a short path.
func runFolder(run string) (string, error) {
	if len(run) <= maxRun {
		return run, nil
	}
	parent := os.TempDir()
	if len(parent)+len("/parley-0123456789") > maxRun {
		parent = "/tmp"
	}
	short, err := os.MkdirTemp(parent, "parley-")
	if err != nil {
		return "", fmt.Errorf("make a folder for the plugins' sockets: %w", err)
	}
	return short, nil
}

func (c *Core) agent() string {
	agent := "parley/" + c.cfg.Version
	return agent[:min(len(agent), packet.MaxAgent)]
}

func (s *session) setting(ctx context.Context, name string) (string, error) {
	var value string
	err := s.store.View(ctx, func(tx store.ReadTx) error {
		var err error
		value, err = settingValue(tx, name)
		return err
	})
	return value, err
}

// startPatience is how long start waits for plugins to be at work.
const startPatience = 10 * time.Second

// start runs the services until close, and returns when what front ends ask can
// be done, or when ctx ends.
func (s *session) start(ctx context.Context, log *slog.Logger) {
	tree := supervisor(log)
	for name, serve := range map[string]func(context.Context) error{
		"directory": s.directory.Serve, "conn": s.serveConn, "roster": s.roster.Serve, "chatlog": s.chatlog.Serve, "blob": s.serveBlobs, "host": s.host.Serve,
		"net2019": s.net2019.Serve,
	} {
		tree.Add(service{name, serve})
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.stop, s.done = cancel, tree.ServeBackground(life)
	patience := time.NewTimer(startPatience)
	defer patience.Stop()
	select {
	case <-s.host.Ready():
	case <-patience.C:
	case <-ctx.Done():
	}
}

// serveConn keeps why nobody can connect, when that is so. No link comes up before it
// is known what plugins own: a peer gives what opens a chat, such as an invitation to
// a group, once on a link, and of a type that nobody owns it opens nothing.
func (s *session) serveConn(ctx context.Context) error {
	err := s.conn.Listen(ctx)
	if err != nil {
		err = fmt.Errorf("%w (parley daemon --listen HOST:PORT or PARLEY_LISTEN sets it)", err)
		if before := s.deaf.Swap(&err); before == nil && ctx.Err() == nil { // said once, tried again and again
			bus.Publish(s.core.bus, bus.Noticed, bus.Notice{
				Level: "error", Subject: "network", Text: err.Error(), Reason: failure.Because("CANNOT_LISTEN", "why", err),
			})
		}
		return err
	}
	s.deaf.Store(nil)
	patience := time.NewTimer(startPatience)
	defer patience.Stop()
	select {
	case <-s.host.Known():
	case <-patience.C:
	case <-ctx.Done():
	}
	return s.conn.Serve(ctx)
}

// close ends the services and closes the store. Idempotent.
func (s *session) close() error {
	var err error
	s.closing.Do(func() {
		if s.stop != nil {
			s.stop()
			<-s.done //nolint:errcheck // it was told to end
		}
		s.chatlog.Close()
		s.net2019.Close()
		_ = s.blob.Close()
		if s.run != s.core.cfg.Folders.Run {
			_ = os.RemoveAll(s.run)
		}
		err = errors.Join(s.conn.Close(), s.roster.Close(), s.store.Close())
	})
	return err
}

// service names a service for the supervisor's log.
type service struct {
	name  string
	serve func(context.Context) error
}

// Serve implements suture.Service.
func (s service) Serve(ctx context.Context) error { return s.serve(ctx) }

func (s service) String() string { return s.name }

var _ suture.Service = service{}

// status fills in what a session knows.
func (s *session) status(ctx context.Context, pb *controlpb.Status) {
	pb.Device = s.identity.Device().String()
	pb.KeyPlace = string(s.keyPlace)
	profile := s.ownProfile(ctx)
	pb.DisplayName, pb.Avatar = profile.GetDisplayName(), profile.GetAvatar()
	state := s.directory.State()
	pb.Directory.Connected = state.Connected
	if state.Err != nil {
		pb.Directory.Error, pb.Directory.Reason = state.Err.Error(), controlpb.ReasonOf(failure.Reason(state.Err))
	}
	if deaf := s.deaf.Load(); deaf != nil {
		pb.StateText = "Nobody can connect to this device: " + (*deaf).Error()
	}
	pb.Net2019 = s.net2019.Status()
	for _, e := range s.conn.Endpoints() {
		pb.Endpoints = append(pb.Endpoints, net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))))
	}
	for _, l := range s.conn.Links() {
		pb.Links = append(pb.Links, &controlpb.Link{
			User: string(l.User), Device: l.Device.String(), Path: l.Path, Remote: l.Remote,
			Since: l.Since.UnixMicro(), RoundTrip: l.RoundTrip.Microseconds(),
		})
	}
}

// packetType says what the chat log may take of a type.
func (s *session) packetType(t packet.Type) chatlog.Type {
	most, opens, ok := s.host.MaxContent(t)
	if !ok {
		return chatlog.Type{} // its plugin may come later
	}
	return chatlog.Type{MaxContent: most, OpensChat: opens}
}
