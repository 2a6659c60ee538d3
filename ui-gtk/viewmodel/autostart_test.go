package viewmodel

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAutostart(t *testing.T) {
	config := t.TempDir()
	a := NewAutostart(config, `/opt/50% off/a "b" $c\d/parley-gtk`)
	if a.On() {
		t.Error("on from the beginning")
	}
	if err := a.Set(false); err != nil {
		t.Errorf("off once more: %v", err)
	}
	if err := a.Set(true); err != nil || !a.On() {
		t.Fatalf("turned on: %v, %v", a.On(), err)
	}
	path := filepath.Join(config, "autostart", "chat.parley.Parley.desktop")
	b, err := os.ReadFile(path)
	if want := `Exec="/opt/50%% off/a \\"b\\" \\$c\\\\d/parley-gtk" --background`; err != nil || !strings.Contains(string(b), want+"\n") {
		t.Errorf("the entry is %q, %v", b, err)
	}
	if err := os.WriteFile(path, append(b, "Hidden=true\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if a.On() {
		t.Error("on although the desktop's settings turned it off")
	}
	if err := a.Set(true); err != nil || !a.On() {
		t.Errorf("turned on again: %v, %v", a.On(), err)
	}
	if err := a.Set(false); err != nil || a.On() {
		t.Errorf("turned off: %v, %v", a.On(), err)
	}
}
