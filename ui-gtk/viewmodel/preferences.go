package viewmodel

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Theme is how the window looks.
type Theme string

// Themes.
const (
	ThemeSystem Theme = "system"
	ThemeLight  Theme = "light"
	ThemeDark   Theme = "dark"
)

// Preferences are the window's own, for all profiles of a person. What the core
// and plugins can be set to is theirs: see Settings.
type Preferences struct {
	Theme Theme `json:"theme"`
	// Language is a BCP 47 tag; empty follows the system.
	Language string `json:"language,omitempty"`
	// TextSize in percent of the system's, 80 to 200.
	TextSize int `json:"text_size"`
	// Notify shows desktop notifications, and NotifyContent what was written.
	Notify        bool `json:"notify"`
	NotifyContent bool `json:"notify_content"`
	// Background goes on when the last window is closed.
	Background bool `json:"background"`
	// Width and Height of the window, in pixels.
	Width  int `json:"width,omitempty"`
	Height int `json:"height,omitempty"`
	// Directory is where somebody logged in last, and is offered for the next account.
	Directory string `json:"directory,omitempty"`
	// ToldNet2019 and ToldOpenChat: it was explained what it means to switch 2019 on, and
	// what a chat is in which nothing is encrypted.
	ToldNet2019  bool `json:"told_net2019,omitempty"`
	ToldOpenChat bool `json:"told_open_chat,omitempty"`
	// Recent are profiles whose windows were open last, and are opened again.
	Recent []string `json:"recent,omitempty"`
}

// Dark says whether windows are dark, on a system that asks for dark ones or not.
func (p Preferences) Dark(system bool) bool {
	return p.Theme == ThemeDark || p.Theme == ThemeSystem && system
}

// PreferencesStore keeps the preferences in a file.
type PreferencesStore struct {
	path string
	// Value changes when they are set.
	Value Value[Preferences]
	// Problem says, for the log, why the file was not read; the defaults hold then.
	Problem error
}

// maxPreferences bounds the file.
const maxPreferences = 64 << 10

// defaultPreferences hold where the file says nothing.
func defaultPreferences() Preferences {
	return Preferences{Theme: ThemeSystem, TextSize: 100, Notify: true, NotifyContent: true, Background: true, Width: 1080, Height: 720}
}

// LoadPreferences reads the file at path, if it is there. A file that cannot be
// used is left as it is until something is set, and then kept beside the new one
// with ".broken" at its end.
func LoadPreferences(path string) *PreferencesStore {
	s := &PreferencesStore{path: path}
	p := defaultPreferences()
	b, err := readBounded(path, maxPreferences)
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.Problem = fmt.Errorf("the window's preferences in %s cannot be used: %w", path, err)
		p = defaultPreferences()
	}
	s.Value.set(p.valid())
	return s
}

// valid puts right what no window can be set to.
func (p Preferences) valid() Preferences {
	d := defaultPreferences()
	switch p.Theme {
	case ThemeSystem, ThemeLight, ThemeDark:
	default:
		p.Theme = d.Theme
	}
	if p.TextSize == 0 {
		p.TextSize = d.TextSize
	}
	p.TextSize = min(max(p.TextSize, 80), 200)
	if p.Width < 360 || p.Width > 10000 || p.Height < 300 || p.Height > 10000 {
		p.Width, p.Height = d.Width, d.Height
	}
	if len(p.Directory) > 300 {
		p.Directory = ""
	}
	if len(p.Recent) > 20 {
		p.Recent = p.Recent[:20]
	}
	return p
}

// Set changes the preferences and writes them; they hold even when that fails.
func (s *PreferencesStore) Set(change func(*Preferences)) error {
	p := s.Value.Get()
	change(&p)
	p = p.valid()
	s.Value.set(p)
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return fmt.Errorf("keep the window's preferences: %w", err)
	}
	if s.Problem != nil {
		if err := os.Rename(s.path, s.path+".broken"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("keep the window's preferences: %w", err)
		}
		s.Problem = nil
	}
	next := s.path + ".new"
	if err := os.WriteFile(next, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("keep the window's preferences: %w", err)
	}
	if err := os.Rename(next, s.path); err != nil {
		return fmt.Errorf("keep the window's preferences: %w", err)
	}
	return nil
}

// readBounded reads a file that is not larger than most.
func readBounded(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > most {
		return nil, fmt.Errorf("%s is no file of at most %d bytes", path, most)
	}
	return os.ReadFile(path) //nolint:gosec // the window's own file
}
