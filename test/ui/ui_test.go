package ui_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/parley-chat/parley/bench/process"
	"github.com/parley-chat/parley/test/ui"
	"github.com/parley-chat/parley/test/ui/atspi"
	"github.com/parley-chat/parley/test/ui/desktop"
)

var folder string // of what is built

func TestMain(m *testing.M) {
	var err error
	if folder, err = os.MkdirTemp("", "parley-ui"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		_ = os.RemoveAll(folder)
		os.Exit(status)
	}))
}

// program is the window in testdata, built as make build does, which has compiled
// GTK with the same flags.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(folder, "sample")
	build := exec.Command("go", "build", "-trimpath", "-o", path, "./testdata/sample")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the sample: %w\n%s", err, out)
	}
	return path, nil
})

// sample starts it.
func sample(t *testing.T, d *ui.Driver) *ui.App {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return d.Start(process.Config{Program: path})
}

func rows(window ui.Element) []string {
	var names []string
	for _, row := range window.AllFunc(atspi.ListItem, func(string) bool { return true }) {
		names = append(names, row.Name())
	}
	return names
}

// What a person does with a window.
func TestDriver(t *testing.T) {
	d := ui.New(t, desktop.Config{})
	app := sample(t, d)
	window := app.Window("Sample")

	entry := window.Find(atspi.Text, "Message")
	if got := entry.Description(); got != "Enter sends it" {
		t.Errorf("the entry is described as %q", got)
	}
	window.Find(atspi.Heading, "What is said")
	list := window.Find(atspi.ListBox, "Messages")

	entry.SetText("hello 你好 👋")
	if got := entry.Text(); got != "hello 你好 👋" {
		t.Errorf("the entry holds %q", got)
	}
	window.Find(atspi.PushButton, "Send").Click()
	list.Find(atspi.ListItem, "hello 你好 👋")
	if got := entry.Text(); got != "" {
		t.Errorf("the entry still holds %q", got)
	}

	app.Activate(window)
	entry.Focus()
	d.Until("the entry has the keyboard", func() bool { return entry.Is(atspi.Focused) })
	d.Type("typed 打字")
	d.Until("what was typed is in the entry", func() bool { return entry.Text() == "typed 打字" })
	d.Keys("Return")
	second := list.Find(atspi.ListItem, "typed 打字")
	if got, want := rows(window), []string{"hello 你好 👋", "typed 打字"}; !slices.Equal(got, want) {
		t.Errorf("the rows are %q, want %q", got, want)
	}
	second.Select()
	window.Find(atspi.Heading, "Row 1")
	d.Until("the row is selected", func() bool { return second.Is(atspi.Selected) })

	list.Find(atspi.ListItem, "hello 你好 👋").ClickMouse(desktop.Left)
	window.Find(atspi.Heading, "Row 0")

	window.Find(atspi.PushButton, "Remove all").Click()
	window.Gone(atspi.ListItem, "typed 打字")
	if second.Is(atspi.Showing) {
		t.Error("a row that is gone shows")
	}
	if got := rows(window); len(got) > 0 {
		t.Errorf("%q are left", got)
	}

	// What is drawn anew is the same to a person.
	entry.SetText("typed 打字")
	window.Find(atspi.PushButton, "Send").Click()
	list.Find(atspi.ListItem, "typed 打字")
	second.Find(atspi.Label, "typed 打字")
	if got := second.Name(); got != "typed 打字" || !second.Is(atspi.Showing) {
		t.Errorf("the row that was drawn anew is %q, and showing is %v", got, second.Is(atspi.Showing))
	}
	// What cannot be used yet is waited for.
	window.Find(atspi.PushButton, "Get ready").Click()
	window.Find(atspi.PushButton, "Go").Click()
	window.Find(atspi.Heading, "Gone")
	if err := app.Stop(); err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Errorf("the sample ended by %v, not by being asked to", err)
	}
}

// A program that is busy while one types has it all when it comes to it.
func TestTypeWhileBusy(t *testing.T) {
	d := ui.New(t, desktop.Config{})
	app := sample(t, d)
	window := app.Window("Sample")
	entry := window.Find(atspi.Text, "Message")
	app.Activate(window)
	entry.Focus()
	d.Until("the entry has the keyboard", func() bool { return entry.Is(atspi.Focused) })
	if err := syscall.Kill(app.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	const text = "hello 你好, čas je na ☕ 你"
	d.Type(text)
	if err := syscall.Kill(app.PID(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	d.Until("all is in the entry", func() bool { return entry.Text() == text })
}

// What the picture shows is on the screen, and in the file.
func TestScreenshot(t *testing.T) {
	d := ui.New(t, desktop.Config{})
	window := sample(t, d).Window("Sample")
	picture := window.Find(atspi.Image, "A red square")
	red := func(img image.Image) bool {
		b := img.Bounds()
		return color.RGBAModel.Convert(img.At((b.Min.X+b.Max.X)/2, (b.Min.Y+b.Max.Y)/2)) == color.RGBA{R: 0xff, A: 0xff}
	}
	d.Until("the picture is red", func() bool { return red(picture.Screenshot()) })
	path := filepath.Join(t.TempDir(), "new", "picture.png")
	picture.SaveScreenshot(path)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil || !red(img) || img.Bounds().Size() != picture.Bounds().Size() {
		t.Errorf("the file has %v, %v", img.Bounds(), err)
	}
}

// An element that is not there is told with what is.
func TestTree(t *testing.T) {
	d := ui.New(t, desktop.Config{})
	tree := sample(t, d).Window("Sample").Tree()
	for _, want := range []string{"frame \"Sample\"\n", "heading \"What is said\"\n", "push button \"Send\"\n", "image \"A red square\"\n", "text \"Message\""} {
		if !strings.Contains(tree, want) {
			t.Errorf("no %q in\n%s", want, tree)
		}
	}
}
