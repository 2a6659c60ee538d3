// Package window tests Parley's window as people use it: real windows of two people
// on a screen that nobody sees, found and used as a screen reader does, in front of
// real cores and a real directory.
package window

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/parley-chat/parley/bench/people"
	"github.com/parley-chat/parley/bench/process"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/test/ui"
	"github.com/parley-chat/parley/test/ui/desktop"
)

func TestMain(m *testing.M) {
	if out, err := exec.Command("make", "--no-print-directory", "-C", "../..", "build").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the programs: %v\n%s", err, out)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// patience is how long a test waits for what other people's cores do.
const patience = 30 * time.Second

// world is a screen and two people who are contacts.
type world struct {
	*ui.Driver
	t          *testing.T
	anna, bob  *person
	people     *people.World
	screenshot string // folder for pictures of what is shown
}

// person is somebody with a core, and perhaps a window.
type person struct {
	*people.Person
	w   *world
	app *ui.App
}

// newWorld makes it; the test is skipped where there can be no screen.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, Driver: ui.New(t, desktop.Config{})}
	shots, err := filepath.Abs("../../build/screenshots")
	if err != nil {
		t.Fatal(err)
	}
	w.screenshot = shots
	all, anna, bob, err := people.NewPair(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(all.Close)
	w.people, w.anna, w.bob = all, &person{Person: anna, w: w}, &person{Person: bob, w: w}
	return w
}

// open starts the person's window.
func (p *person) open() ui.Element {
	p.w.t.Helper()
	p.app = p.w.Start(process.Config{Program: "parley-gtk", Env: []string{"PARLEY_HOME=" + p.Home, "PARLEY_PROFILE=", "PARLEY_KEY=file", "LANG=C.UTF-8"}})
	return p.app.Window("Parley")
}

// prefer writes the window's own preferences before it is started.
func (p *person) prefer(json string) {
	p.w.t.Helper()
	if err := os.WriteFile(filepath.Join(p.Home, "window.json"), []byte(json), 0o600); err != nil {
		p.w.t.Fatal(err)
	}
}

// setting reads a setting at the core.
func (p *person) setting(plugin, name string) string {
	p.w.t.Helper()
	ctx, cancel := context.WithTimeout(p.w.t.Context(), patience)
	defer cancel()
	s, err := p.Client.GetSettings(ctx, &controlpb.GetSettingsRequest{Plugin: plugin})
	if err != nil {
		p.w.t.Fatal(err)
	}
	return s.GetValues()[name]
}

// shot keeps a picture of the screen for people to look at.
func (w *world) shot(name string) {
	w.t.Helper()
	if err := os.MkdirAll(w.screenshot, 0o700); err != nil {
		w.t.Fatal(err)
	}
	w.SaveScreenshot(filepath.Join(w.screenshot, name+".png"))
}
