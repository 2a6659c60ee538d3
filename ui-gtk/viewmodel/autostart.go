package viewmodel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Autostart has the desktop start the window, in the background, when a person
// logs in: by a desktop entry in the autostart folder, as freedesktop.org's
// Desktop Application Autostart Specification says.
type Autostart struct {
	folder, program string
}

// autostartFile is the entry's name, that of the application.
const autostartFile = "chat.parley.Parley.desktop"

// NewAutostart tells of the entry in a configuration folder ($XDG_CONFIG_HOME),
// which starts program, an absolute path.
func NewAutostart(config, program string) Autostart {
	return Autostart{folder: filepath.Join(config, "autostart"), program: program}
}

func (a Autostart) path() string { return filepath.Join(a.folder, autostartFile) }

// On says whether the desktop starts the window.
func (a Autostart) On() bool {
	b, err := readBounded(a.path(), maxPreferences)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		switch strings.ToLower(strings.ReplaceAll(strings.TrimSpace(line), " ", "")) {
		case "hidden=true", "x-gnome-autostart-enabled=false": // by another program's settings
			return false
		}
	}
	return true
}

// Set turns it on or off.
func (a Autostart) Set(on bool) error {
	if !on {
		if err := os.Remove(a.path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("no longer start with the desktop: %w", err)
		}
		return nil
	}
	if err := os.MkdirAll(a.folder, 0o700); err != nil {
		return fmt.Errorf("start with the desktop: %w", err)
	}
	entry := "[Desktop Entry]\nType=Application\nName=Parley\nExec=" + quoteExec(a.program) + " --background\nX-GNOME-Autostart-enabled=true\n"
	if err := os.WriteFile(a.path(), []byte(entry), 0o600); err != nil {
		return fmt.Errorf("start with the desktop: %w", err)
	}
	return nil
}

// quoteExec writes an argument as the Desktop Entry Specification wants it in
// Exec: in quotes, with the shell's characters escaped, that escape escaped once
// more as in all strings of an entry, and "%" doubled.
func quoteExec(arg string) string {
	arg = strings.NewReplacer(`\`, `\\\\`, `"`, `\\"`, "`", "\\\\`", `$`, `\\$`, `%`, `%%`).Replace(arg)
	return `"` + arg + `"`
}
