package host

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// Folder is where plugins are looked for.
type Folder struct {
	Path string
	// Bundled: its plugins came with the installation and are trusted.
	Bundled bool
}

// Config is what a Host needs. All is required but what is said to be optional.
type Config struct {
	Store  store.Store
	Bus    *bus.Bus
	Log    *slog.Logger
	User   packet.UserID
	Outbox Outbox
	People People
	// Blobs moves files; optional: without it plugins cannot share any.
	Blobs Blobs

	// Folders are looked through in order, bundled ones first; absolute paths.
	// One without a path is left out.
	Folders []Folder
	// DataFolder and CacheFolder hold a private folder for each plugin.
	DataFolder  string
	CacheFolder string
	// RunFolder holds sockets: private to the user, made when missing, and
	// short, as a socket's path has at most 107 bytes.
	RunFolder string

	// Locale is a BCP 47 tag; optional, "en".
	Locale string
	// Bubblewrap is the path of bwrap; optional, looked up in PATH. NoSandbox
	// for a host that must do without.
	Bubblewrap string
	// Now is the clock for stamps and crash counting; optional.
	Now func() time.Time

	timing timing // tests make it quicker
	limits limits // and smaller
}

// NoSandbox as Config.Bubblewrap does without confinement.
const NoSandbox = "none"

// Draft is a packet a plugin wants to send.
type Draft struct {
	ID      packet.PacketID
	Chat    packet.ChatID
	Type    packet.Type
	Content []byte
}

// Outbox sends. All methods may be called concurrently.
type Outbox interface {
	// Append appends d to this account's log of the chat inside tx, which may
	// be undone or run again; it must change nothing outside tx. An error that
	// is none of the store's general ones (ErrFull, ErrReadOnly, ErrBusy,
	// ErrClosed, ErrCorrupt) is taken to be d's fault, unless it is a *Refusal.
	Append(tx store.Tx, d Draft) (packet.Packet, error)
	// Emit gives an EPHEMERAL packet to the links that are up; empty to means
	// all members.
	Emit(ctx context.Context, d Draft, to []packet.UserID) error
	// Refused tells the log that an entry was just made a stub, so that its
	// author hears why.
	Refused(key packet.EntryKey, reason packet.Reason, text string)
}

// People is what is not in the store of people.
type People interface {
	// Online says whether a contact is online.
	Online(user packet.UserID) bool
	// DisplayName is this account's own.
	DisplayName() string
	// Keys are those of this account's devices.
	Keys() []ed25519.PublicKey
	// Vouch keeps inside tx, which may be undone or run again, that members of a
	// chat say that these are keys of a user's devices.
	Vouch(tx store.Tx, chat packet.ChatID, user packet.UserID, keys []ed25519.PublicKey) error
}

// timing has the deadlines of plugin.proto and of the supervision.
type timing struct {
	launch, describe, start, handle, stop, request time.Duration
	ping, hang                                     time.Duration
	ready                                          time.Duration // longest wait of an Invoke for its plugin
	backoff, backoffMax                            time.Duration
	storeRetry                                     time.Duration
}

func (t timing) withDefaults() timing {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&t.launch, 10*time.Second)
	set(&t.describe, 5*time.Second)
	set(&t.start, 10*time.Second)
	set(&t.handle, 30*time.Second)
	set(&t.stop, 5*time.Second)
	set(&t.request, 10*time.Second)
	set(&t.ping, 10*time.Second)
	set(&t.hang, 30*time.Second)
	set(&t.ready, 45*time.Second)
	set(&t.backoff, 200*time.Millisecond)
	set(&t.backoffMax, 30*time.Second)
	set(&t.storeRetry, time.Second)
	return t
}

func (c Config) checked() (Config, error) {
	switch {
	case c.Store == nil, c.Bus == nil, c.Log == nil, c.Outbox == nil, c.People == nil, c.User == "":
		return c, errors.New("host: Config lacks Store, Bus, Log, Outbox, People or User")
	case c.DataFolder == "", c.CacheFolder == "", c.RunFolder == "":
		return c, errors.New("host: Config lacks DataFolder, CacheFolder or RunFolder")
	}
	for _, f := range c.Folders {
		if f.Path != "" && !filepath.IsAbs(f.Path) {
			return c, fmt.Errorf("host: plugin folder %s is not an absolute path", f.Path)
		}
	}
	c.Folders = slices.DeleteFunc(slices.Clone(c.Folders), func(f Folder) bool { return f.Path == "" })
	// Bundled ones first, else as given.
	slices.SortStableFunc(c.Folders, func(a, b Folder) int {
		switch {
		case a.Bundled == b.Bundled:
			return 0
		case a.Bundled:
			return -1
		}
		return 1
	})
	if c.Locale == "" {
		c.Locale = "en"
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.timing = c.timing.withDefaults()
	c.limits = c.limits.withDefaults()
	return c, nil
}
