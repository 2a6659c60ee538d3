package viewmodel

import (
	"os"
	"path/filepath"
	"testing"
)

func TestPreferences(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config", "window.json")
	s := LoadPreferences(path)
	if s.Problem != nil || s.Value.Get().Theme != ThemeSystem || !s.Value.Get().Notify {
		t.Fatalf("without a file: %+v, %v", s.Value.Get(), s.Problem)
	}
	if err := s.Set(func(p *Preferences) { p.Theme, p.TextSize, p.Notify = ThemeDark, 1000, false }); err != nil {
		t.Fatal(err)
	}
	again := LoadPreferences(path).Value.Get()
	if again.Theme != ThemeDark || again.TextSize != 200 || again.Notify {
		t.Errorf("kept: %+v", again)
	}
	if err := os.WriteFile(path, []byte(`{"theme": 7`), 0o600); err != nil {
		t.Fatal(err)
	}
	s = LoadPreferences(path)
	if s.Problem == nil || s.Value.Get().Theme != ThemeSystem {
		t.Fatalf("of a broken file: %+v, %v", s.Value.Get(), s.Problem)
	}
	if err := s.Set(func(p *Preferences) { p.Theme = ThemeLight }); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path + ".broken"); err != nil || string(b) != `{"theme": 7` {
		t.Errorf("the broken file: %q, %v", b, err)
	}
	if LoadPreferences(path).Value.Get().Theme != ThemeLight {
		t.Error("what was set after a broken file is not kept")
	}
}

func TestThemeFollowsTheSystem(t *testing.T) {
	for _, c := range []struct {
		theme                 Theme
		onLight, onDarkSystem bool
	}{{ThemeSystem, false, true}, {ThemeLight, false, false}, {ThemeDark, true, true}} {
		p := Preferences{Theme: c.theme}
		if p.Dark(false) != c.onLight || p.Dark(true) != c.onDarkSystem {
			t.Errorf("%s: %v, %v", c.theme, p.Dark(false), p.Dark(true))
		}
	}
}
