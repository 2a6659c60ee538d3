package app

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/assets"
)

// iconName is the name of the program's icon, and of its desktop entry.
const iconName = "chat.parley.Parley"

// addIcons makes Parley's own icons known by their names. GTK reads icons from
// files alone, so they are laid into a folder, which can be made again.
func addIcons(folder string) error {
	entries, err := assets.Icons.ReadDir("icons")
	if err != nil {
		return fmt.Errorf("icons: %w", err)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("icons: %w", err)
	}
	for _, e := range entries {
		b, err := assets.Icons.ReadFile("icons/" + e.Name())
		if err != nil {
			return fmt.Errorf("icons: %w", err)
		}
		path := filepath.Join(folder, e.Name())
		if there, err := os.ReadFile(path); err == nil && bytes.Equal(there, b) { //nolint:gosec // our own file
			continue
		}
		// In one step, since another window may be reading it.
		if err := os.WriteFile(path+".new", b, 0o600); err != nil {
			return fmt.Errorf("icons: %w", err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			return fmt.Errorf("icons: %w", err)
		}
	}
	theme, err := gtk.IconThemeGetDefault()
	if err != nil {
		return fmt.Errorf("icons: %w", err)
	}
	theme.AppendSearchPath(folder)
	return nil
}
