package client

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/adrg/xdg"
	"golang.org/x/sys/unix"
)

// DefaultProfile is the profile of those who never asked for another.
const DefaultProfile = "default"

// Folders says where a profile lives. Nothing is made by asking.
type Folders struct {
	Profile string
	Data    string // accounts with their databases and keys
	Cache   string // what can be made again
	Run     string // the control socket and the plugins' sockets
	Plugins string // plugins dropped in by the user, for all profiles
}

var profilePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$`)

// maxSocket is the longest path of a unix socket that every system takes.
const maxSocket = 103

// FoldersOf finds the folders of a profile, of DefaultProfile when it is empty. They are the XDG ones, or lie below
// PARLEY_HOME when that is set.
func FoldersOf(profile string) (Folders, error) {
	if profile == "" {
		profile = DefaultProfile
	}
	if !profilePattern.MatchString(profile) {
		return Folders{}, fmt.Errorf("profile %q: a name is 1 to 32 letters, digits, \"_\" and \"-\", beginning with a letter or digit", profile)
	}
	f := Folders{
		Profile: profile,
		Data:    filepath.Join(xdg.DataHome, "parley", "profiles", profile),
		Cache:   filepath.Join(xdg.CacheHome, "parley", profile),
		Run:     filepath.Join(xdg.RuntimeDir, "parley", profile),
		Plugins: filepath.Join(xdg.DataHome, "parley", "plugins"),
	}
	if home := os.Getenv("PARLEY_HOME"); home != "" {
		home, err := filepath.Abs(home)
		if err != nil {
			return Folders{}, fmt.Errorf("PARLEY_HOME: %w", err)
		}
		f.Data = filepath.Join(home, "profiles", profile)
		f.Cache = filepath.Join(home, "cache", profile)
		f.Run = filepath.Join(home, "run", profile)
		f.Plugins = filepath.Join(home, "plugins")
	} else if info, err := os.Stat(xdg.RuntimeDir); err != nil || !info.IsDir() {
		// No login session (cron, a container): beside the data, which is private too.
		f.Run = filepath.Join(f.Data, "run")
	}
	if n := len(f.Socket()); n > maxSocket {
		return Folders{}, fmt.Errorf("the path of the control socket %s is %d characters long, at most %d work: set PARLEY_HOME to a shorter folder", f.Socket(), n, maxSocket)
	}
	return f, nil
}

// Make makes the data folder, private to its user, and says what to do when it
// is none that can be written.
func (f Folders) Make() error {
	err := os.MkdirAll(f.Data, 0o700)
	if err == nil {
		err = unix.Access(f.Data, unix.W_OK|unix.X_OK)
	}
	if err == nil {
		return nil
	}
	at := f.Data
	var path *fs.PathError
	if errors.As(err, &path) {
		at, err = path.Path, path.Err
	}
	return fmt.Errorf("%s cannot be used: %w; make it a folder that you may write, or choose another with PARLEY_HOME", at, err)
}

// Socket is the control socket.
func (f Folders) Socket() string { return filepath.Join(f.Run, "control.sock") }

// Lock is the file that a core holds locked as long as it runs.
func (f Folders) Lock() string { return filepath.Join(f.Data, "lock") }

// LogFile is where a core that was started in the background writes its log.
func (f Folders) LogFile() string { return filepath.Join(f.Data, "parley.log") }
