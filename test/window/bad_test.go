package window

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"

	"github.com/parley-chat/parley/bench/people"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/test/ui/atspi"
	"github.com/parley-chat/parley/test/ui/desktop"
)

// TestBadInput: what nobody should paste, send or be called does not stop the
// window, and what cannot be done is said.
func TestBadInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t, desktop.Config{})
	anna := w.anna
	anna.open()
	anna.openChat("bob")

	anna.paste(strings.Repeat("Parley 你好 ", 10<<20/14))
	anna.window.FindFunc(atspi.Alert, "that it is too much", func(s string) bool { return strings.Contains(s, "a message takes 64 KiB") })
	anna.window.Find(atspi.PushButton, "Send as a file").Click()
	anna.window.FindFunc(atspi.PushButton, "to take the file back", func(s string) bool { return strings.HasPrefix(s, "Do not send ") }).Click()

	anna.paste(strings.Repeat("x", 64<<10))
	anna.window.FindFunc(atspi.Alert, "that it is too long", func(s string) bool { return strings.Contains(s, "a line that is too long to be edited here") })
	anna.window.Find(atspi.PushButton, "Cancel").Click()
	text := strings.Repeat("a line of words\n", 64<<10/16-1) + "and the end"
	anna.paste(text)
	anna.screen.Until("the text is in the composer", func() bool { return anna.composer().Text() == text })
	anna.screen.Keys("Return")
	anna.message("You: a line of words", "Delivered")
	w.bob.say(anna, strings.Repeat("y", 64<<10))
	anna.message("bob: yyyy")
	anna.answers()

	zalgo := "Z" + strings.Repeat("\u0337\u0321\u0347\u0348", 400) + "algo"
	w.bob.say(anna, zalgo)
	anna.message("bob: Z")

	w.bob.say(anna, strings.Repeat("👍🏽", 64<<10/8))
	anna.message("bob: 👍🏽👍🏽👍🏽")
	anna.paste(strings.Repeat("🙂", 50_000))
	anna.window.FindFunc(atspi.Alert, "that it is too much", func(s string) bool { return strings.Contains(s, "a message takes 64 KiB") })
	anna.window.Find(atspi.PushButton, "Cancel").Click()

	anna.set("file", "download-folder", t.TempDir())
	anna.set("file", "auto-accept", "contacts")
	broken := filepath.Join(t.TempDir(), "broken.png")
	if err := os.WriteFile(broken, picture(t)[:3000], 0o600); err != nil {
		t.Fatal(err)
	}
	w.bob.send(anna, "", broken)
	anna.has(w.bob, "the broken picture has arrived", received("broken.png"))
	anna.message("bob: broken.png")
	w.bob.say(anna, "after the picture")
	anna.message("bob: after the picture")

	anna.window.Find(atspi.ToggleButton, "Main menu").Click()
	anna.window.Find(atspi.PushButton, "My profile").Click()
	profile := anna.app.Window("My profile")
	name := profile.Find(atspi.Text, "Display name")
	name.SetText("\u202eevil\u2066 anna")
	profile.Find(atspi.PushButton, "Save").Click()
	anna.screen.Until("the name is refused", func() bool { return strings.Contains(name.Description(), "control characters") })
	anna.answers()
}

// paste pastes a text with the keyboard; the window answers meanwhile.
func (p *person) paste(text string) {
	p.t.Helper()
	p.screen.Copy(map[string][]byte{"UTF8_STRING": []byte(text)})
	p.app.Activate(p.window)
	p.composer().SetText("")
	p.composer().Focus()
	p.screen.Keys("ctrl+v")
	p.answers()
}

// answers fails when the window does not answer for long.
func (p *person) answers() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	if err := p.window.Answers(ctx); err != nil {
		p.t.Fatal(fmt.Errorf("the window hangs: %w", err))
	}
}

// stranger is a core of another version: it answers, and knows none of what it is
// asked but to end.
type stranger struct {
	controlpb.UnimplementedControlServer
	stop func()
}

func (s stranger) Shutdown(context.Context, *controlpb.ShutdownRequest) (*controlpb.ShutdownResponse, error) {
	go s.stop()
	return &controlpb.ShutdownResponse{}, nil
}

// TestOtherVersion: a core that the window does not understand is told of, and can be
// ended.
func TestOtherVersion(t *testing.T) {
	t.Parallel()
	p := newcomer(t, "anna")
	if err := os.MkdirAll(p.Folders().Run, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", p.Folders().Socket()) //nolint:noctx // it does not wait
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	controlpb.RegisterControlServer(server, stranger{stop: server.Stop})
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	p.open()
	p.window.FindFunc(atspi.Alert, "that it is another version", func(s string) bool { return strings.HasPrefix(s, "Another version of Parley is running") })
	p.shot("other-version")
	p.window.Find(atspi.PushButton, "Quit the other Parley").Click()
	if err := <-done; err != nil {
		t.Error(err)
	}
	p.window.Find(atspi.Label, "Welcome to Parley")
}

// TestFullDisk: what cannot be kept is not lost, is told of, and is sent when there
// is room.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t, desktop.Config{})
	carol := &person{Person: w.people.Known("carol"), t: t, screen: w.anna.screen}
	folder := filepath.Join(carol.Home, "profiles")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=16m,mode=700"); err != nil {
		t.Skipf("a small disk needs the right to mount one: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(folder, syscall.MNT_DETACH) })
	if err := carol.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	st, err := w.anna.Client.GetStatus(t.Context(), &controlpb.GetStatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := carol.Client.LogIn(t.Context(), &controlpb.LogInRequest{Directory: st.GetDirectory().GetAddress(), User: "carol", Password: password, Register: true}); err != nil {
		t.Fatal(err)
	}
	if err := people.Befriend(t.Context(), carol.Person, w.bob.Person); err != nil {
		t.Fatal(err)
	}
	carol.open()
	carol.openChat("bob")
	carol.write("while there is room")
	carol.message("You: while there is room", "Delivered")

	filler := filepath.Join(folder, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for size := 64 << 10; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	if err := f.Close(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	text := strings.TrimSpace(strings.Repeat("on a full disk\n", 2000))
	carol.paste(text)
	carol.screen.Until("it is written", func() bool { return carol.composer().Text() == text })
	carol.screen.Keys("Return")
	carol.message("You: on a full disk", "Not delivered", "There is no room left on the disk")
	carol.answers()
	carol.shot("full-disk")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	carol.window.Find(atspi.PushButton, "Try again").Click()
	carol.message("You: on a full disk", "Delivered")
}
