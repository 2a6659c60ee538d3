// Package state is the embedded NATS server that keeps the directory's state
// in a data folder. Nothing but its connection is used by the rest, so that an
// external NATS can take its place.
package state

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// ErrInUse says that another server holds the data folder.
var ErrInUse = errors.New("the data folder is in use by another parley-server; stop it, or give another folder")

// ErrRestoring says that a data folder was not restored to its end.
var ErrRestoring = errors.New("a backup was not restored into this folder to its end; empty it and restore again")

// Subfolder of the data folder that has the records.
const Subfolder = "state"

// restoring is a file that is there while a folder is being restored.
const restoring = "restoring"

// Options of Open.
type Options struct {
	Log *slog.Logger
	// Restore opens a new folder to be filled: nothing is sure to be on disk, and
	// the folder cannot be opened otherwise until Restored.
	Restore bool
}

// MaxRecord is the size of the largest record, a presence with full lists of
// contacts and blocked users.
const MaxRecord = 2 << 20

const (
	readyTimeout = 30 * time.Second
	// The limits only bound a mistake; what is kept is bounded elsewhere.
	maxMemory = 8 << 30
	maxStore  = 1 << 40
)

// State is a running embedded server.
type State struct {
	folder string
	lock   *os.File
	server *server.Server
	conn   *nats.Conn
	close  sync.Once
}

// Open starts an embedded server on the data folder, which is made if need be.
// It fails with ErrInUse when another process holds the folder.
func Open(folder string, opts Options) (*State, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	lock, err := lockFolder(folder)
	if err != nil {
		return nil, err
	}
	s := &State{folder: folder, lock: lock}
	if err := s.mark(opts); err != nil {
		s.Close()
		return nil, err
	}
	if err := s.start(folder, opts); err != nil {
		s.Close()
		return nil, fmt.Errorf("open the state in %s: %w", folder, err)
	}
	return s, nil
}

func lockFolder(folder string) (*os.File, error) {
	path := filepath.Join(folder, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", folder, ErrInUse)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// mark keeps a folder that is being restored from being used.
func (s *State) mark(opts Options) error {
	path := filepath.Join(s.folder, restoring)
	if opts.Restore {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			return fmt.Errorf("mark the data folder: %w", err)
		}
		return nil
	}
	if _, err := os.Stat(path); err == nil {
		return fmt.Errorf("%s: %w", s.folder, ErrRestoring)
	}
	return nil
}

// Restored lets a folder that was opened with Restore, and closed, be used.
func Restored(folder string) error {
	if err := os.Remove(filepath.Join(folder, restoring)); err != nil {
		return fmt.Errorf("finish the restored folder: %w", err)
	}
	return nil
}

func (s *State) start(folder string, opts Options) error {
	ns, err := server.NewServer(&server.Options{
		ServerName: "parley-directory",
		DontListen: true,
		NoSigs:     true,
		JetStream:  true,
		StoreDir:   filepath.Join(folder, Subfolder),
		// An account is acknowledged when it is on disk, and no earlier.
		SyncAlways:         !opts.Restore,
		MaxPayload:         MaxRecord,
		JetStreamMaxMemory: maxMemory,
		JetStreamMaxStore:  maxStore,
	})
	if err != nil {
		return err
	}
	ns.SetLoggerV2(logger{opts.Log}, false, false, false)
	s.server = ns
	ns.Start()
	if !ns.ReadyForConnections(readyTimeout) {
		return errors.New("the embedded NATS server did not start")
	}
	if !ns.JetStreamEnabled() {
		return errors.New("the embedded NATS server cannot use the folder; see the log above")
	}
	s.conn, err = nats.Connect("", nats.InProcessServer(ns), nats.Name("parley-server"), nats.MaxReconnects(-1))
	return err
}

// Conn is the connection to the server.
func (s *State) Conn() *nats.Conn { return s.conn }

// Healthy says whether the server still keeps records; it stops doing so when
// its disk is full or broken.
func (s *State) Healthy() bool { return s.server.JetStreamEnabled() }

// room is how much there must be for the server to be worth starting again.
const room = 4 << 20

// Room says why the data folder cannot be written, or nil if it can.
func (s *State) Room() error {
	f, err := os.CreateTemp(s.folder, "room.*")
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, room))
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
}

// Close stops the server and waits for it. Idempotent.
func (s *State) Close() {
	s.close.Do(func() {
		if s.conn != nil {
			s.conn.Close()
		}
		if s.server != nil {
			s.server.Shutdown()
			s.server.WaitForShutdown()
		}
		_ = s.lock.Close()
	})
}

// logger hands what NATS says to slog. Its notices are of no use to an
// operator, who does not know that there is a NATS.
type logger struct{ log *slog.Logger }

// named matches subjects, which have users in them.
var named = regexp.MustCompile(`(\$KV\.[a-z]+|parley\.relay)\.[^\s"'\]]+`)

// say puts what NATS says into words that name nobody.
func say(format string, v []any) string {
	return "nats: " + named.ReplaceAllString(fmt.Sprintf(format, v...), "$1.*")
}

// Noticef implements NATS's Logger.
func (l logger) Noticef(format string, v ...any) { l.log.Debug(say(format, v)) }

// Warnf implements NATS's Logger.
func (l logger) Warnf(format string, v ...any) { l.log.Warn(say(format, v)) }

// Fatalf implements NATS's Logger.
func (l logger) Fatalf(format string, v ...any) { l.log.Error(say(format, v)) }

// Errorf implements NATS's Logger.
func (l logger) Errorf(format string, v ...any) { l.log.Error(say(format, v)) }

// Debugf implements NATS's Logger. What it would say is never asked for.
func (l logger) Debugf(string, ...any) {}

// Tracef implements NATS's Logger. What it would say is never asked for.
func (l logger) Tracef(string, ...any) {}
