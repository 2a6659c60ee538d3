// Package app_test starts the real window, as people do, on a desktop that nobody
// sees.
package app_test

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parley-chat/parley/bench/people"
	"github.com/parley-chat/parley/bench/process"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/test/ui"
	"github.com/parley-chat/parley/test/ui/atspi"
	"github.com/parley-chat/parley/test/ui/desktop"
	"github.com/parley-chat/parley/test/ui/notifications"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long what must happen may take on a busy machine.
const patience = 60 * time.Second

// keyInFile has the core keep its key in a file: there is no keyring here.
var keyInFile = []string{"PARLEY_KEY=file", "PARLEY_HOME=", "PARLEY_PROFILE="}

// newDesktop starts a desktop, and ends with it what the window started.
func newDesktop(t *testing.T) *ui.Driver {
	t.Helper()
	d := ui.New(t, desktop.Config{})
	home := "HOME=" + d.Desktop.Home
	t.Cleanup(func() {
		entries, _ := os.ReadDir("/proc")
		for _, e := range entries {
			id, err := strconv.Atoi(e.Name())
			if err != nil || id == os.Getpid() {
				continue
			}
			line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
			env, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
			if strings.Contains(string(line), "parley") && strings.Contains("\x00"+string(env), "\x00"+home+"\x00") {
				_ = syscall.Kill(id, syscall.SIGKILL)
			}
		}
	})
	return d
}

// again starts the window once more, and gives its exit status and what it wrote.
func again(t *testing.T, d *ui.Driver, args ...string) (status int, out string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "../../bin/parley-gtk", args...)
	cmd.Env = append(append(os.Environ(), d.Desktop.Env()...), keyInFile...)
	b, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("a further start does not end: %s", b)
	}
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(b)
}

// core gives the process id of the core; 0 while there is none.
func core(t *testing.T, d *ui.Driver) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "../../bin/parley", "status", "--json")
	cmd.Env = append(append(os.Environ(), d.Desktop.Env()...), keyInFile...)
	var status struct {
		PID     int    `json:"pid"`
		Account string `json:"account"`
	}
	if b, err := cmd.Output(); err != nil || json.Unmarshal(b, &status) != nil || status.Account != "open" {
		return 0
	}
	return status.PID
}

// TestFirstRun: from nothing to an account of one's own directory; then what a person
// meets of the window itself.
func TestFirstRun(t *testing.T) {
	d := newDesktop(t)
	app := d.Start(process.Config{Program: "parley-gtk", Env: keyInFile})
	window := app.Window("Parley")

	// A directory on this computer. The usual port may be what another test's is about to
	// take; both would find that it is free.
	if l, err := net.Listen("tcp", ":7410"); err == nil { //nolint:noctx // it does not wait
		defer func() { _ = l.Close() }()
	}
	window.Find(atspi.PushButton, "None yet? Start a directory on this computer").Click()
	directory := window.Find(atspi.Text, "Directory")
	d.Until("the directory is filled in", func() bool { return strings.HasPrefix(directory.Text(), "localhost:") })

	// What is wrong is said, and what was written stays.
	create := window.Find(atspi.PushButton, "Create account")
	window.Find(atspi.PasswordText, "Password").SetText("a password")
	create.Click()
	window.Find(atspi.Alert, "Choose a user name.")
	user := window.Find(atspi.Text, "User name")
	user.SetText("Alice B")
	create.Click()
	window.FindFunc(atspi.Alert, "that the name cannot be", func(name string) bool { return strings.Contains(name, "“Alice B” is no user id") })
	if user.Text() != "Alice B" {
		t.Errorf("the name that was written is %q now", user.Text())
	}
	user.SetText("alice")
	window.Find(atspi.PushButton, "Create account").Click()
	window.Find(atspi.PushButton, "Add a contact")

	// A further start, from wherever, ends at once.
	if status, out := again(t, d); status != 0 {
		t.Errorf("a further start: status %d: %s", status, out)
	}
	if status, out := again(t, d, "--profile", "no name!"); status != 1 || !strings.Contains(out, "no name!") {
		t.Errorf("a profile that cannot be: status %d: %s", status, out)
	}

	// Links.
	if status, out := again(t, d, "parley:bob"); status != 0 {
		t.Errorf("a link: status %d: %s", status, out)
	}
	dialog := app.Window("Add a contact")
	who := dialog.Find(atspi.Text, "User id or link")
	if got := who.Text(); !strings.Contains(got, "bob") {
		t.Errorf("the link is filled in as %q", got)
	}
	dialog.Find(atspi.PushButton, "Close").Click()
	if status, out := again(t, d, "parley:../../etc/passwd"); status != 0 {
		t.Errorf("a link that is none: status %d: %s", status, out)
	}
	window.FindFunc(atspi.Alert, "that the link is none", func(name string) bool { return strings.Contains(name, "is not a link to somebody") })
	if status, _ := again(t, d, "parley:bob?directory=elsewhere.example.org"); status != 0 {
		t.Errorf("a link elsewhere: status %d", status)
	}
	window.FindFunc(atspi.Alert, "that the directory is another", func(name string) bool {
		return strings.Contains(name, "elsewhere.example.org") && strings.Contains(name, "no account")
	})

	// The core is killed, and comes back.
	was := core(t, d)
	if was == 0 {
		t.Fatal("there is no core")
	}
	if err := syscall.Kill(was, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	d.Until("another core runs", func() bool {
		now := core(t, d)
		return now != 0 && now != was
	})

	// Keys.
	app.Activate(window)
	d.Keys("ctrl+question")
	app.Window("Keyboard shortcuts").Find(atspi.PushButton, "Close").Click()

	// Closed, it goes on without a window; a further start brings the window back.
	app.Activate(window)
	d.Keys("ctrl+w")
	d.Until("the window is closed", func() bool { return !window.Is(atspi.Showing) })
	select {
	case <-app.Exited():
		t.Fatal("it ended with its window")
	default:
	}
	if status, out := again(t, d, "--background"); status != 0 {
		t.Errorf("status %d: %s", status, out)
	}
	if status, out := again(t, d); status != 0 {
		t.Errorf("status %d: %s", status, out)
	}
	window = app.Window("Parley")
	d.Until("the window is back", func() bool { return window.Is(atspi.Showing) })

	app.Activate(window)
	d.Keys("ctrl+q")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := app.Ended(ctx); err != nil {
		t.Error(err)
	}
}

// TestNotifications: what somebody writes while the window is away is shown on the
// desktop, can be answered there, and leads to the chat.
func TestNotifications(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	w, alice, bob, err := people.NewPair(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	d := newDesktop(t)
	daemon := notifications.Start(t, d.Desktop.Bus, "actions", "body", "inline-reply")
	app := d.Start(process.Config{Program: "parley-gtk", Env: []string{"PARLEY_KEY=file", "PARLEY_PROFILE=", "PARLEY_HOME=" + alice.Home}})
	window := app.Window("Parley")
	window.Find(atspi.ToggleButton, "Add")
	app.Activate(window)
	d.Keys("ctrl+w")
	d.Until("the window is closed", func() bool { return !window.Is(atspi.Showing) })

	chat := alice.ChatWith(bob)
	write := func(text string) {
		t.Helper()
		if err := bob.Send(ctx, chat, text); err != nil {
			t.Fatal(err)
		}
	}
	var shown notifications.Notification
	told := func(body string) {
		t.Helper()
		d.Until("it is told that "+body, func() bool {
			all := daemon.Shown()
			if len(all) != 1 || all[0].Body != body {
				return false
			}
			shown = all[0]
			return true
		})
	}
	write("first")
	told("first")
	write("second")
	told("second") // in its place
	if !strings.HasPrefix(shown.Summary, "b") || !strings.Contains(shown.Summary, "2") {
		t.Errorf("its title is %q", shown.Summary)
	}

	daemon.Reply(shown.ID, "an answer from the desktop")
	d.Until("the answer arrives", func() bool {
		got, err := bob.Client.ListMessages(ctx, &controlpb.ListMessagesRequest{Chat: string(chat), Limit: 1})
		return err == nil && len(got.GetMessages()) == 1 && got.GetMessages()[0].GetBody() == "an answer from the desktop"
	})
	d.Until("nothing is shown any more", func() bool { return len(daemon.Shown()) == 0 })

	write("third")
	told("third")
	daemon.Invoke(shown.ID, "default")
	window = app.Window("Parley")
	d.Until("the window is back", func() bool { return window.Is(atspi.Showing) })
	window.FindFunc(atspi.ListItem, "the message", func(name string) bool { return strings.Contains(name, "third") })

	// Quit, it takes away what it showed.
	app.Activate(window)
	d.Keys("Escape", "ctrl+w")
	d.Until("the window is closed again", func() bool { return !window.Is(atspi.Showing) })
	write("fourth")
	told("fourth")
	if err := app.Stop(); err != nil {
		t.Error(err)
	}
	d.Until("nothing is left", func() bool { return len(daemon.Shown()) == 0 })
}
