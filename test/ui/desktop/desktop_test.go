package desktop_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"
	"go.uber.org/goleak"

	"github.com/parley-chat/parley/test/ui/desktop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Two desktops know nothing of each other, and leave nothing.
func TestDesktops(t *testing.T) {
	a, b := desktop.New(t, desktop.Config{}), desktop.New(t, desktop.Config{Width: 320, Height: 200})
	if a.Display == b.Display || a.Bus == b.Bus || a.Home == b.Home {
		t.Fatalf("%+v and %+v share something", a, b)
	}
	conn, err := xgb.NewConnDisplay(b.Display)
	if err != nil {
		t.Fatal(err)
	}
	if got := xproto.Setup(conn).DefaultScreen(conn); got.WidthInPixels != 320 || got.HeightInPixels != 200 {
		t.Errorf("the screen is %dx%d", got.WidthInPixels, got.HeightInPixels)
	}
	conn.Close()

	busA, busB := connect(t, a.Bus), connect(t, b.Bus)
	defer busA.Close()
	defer busB.Close()
	if reply, err := busA.RequestName("chat.parley.Test", dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatal(reply, err)
	}
	var owned bool
	if err := busB.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, "chat.parley.Test").Store(&owned); err != nil || owned {
		t.Errorf("a name of one bus is on the other: %v, %v", owned, err)
	}
	var can []string
	if err := busA.BusObject().Call("org.freedesktop.DBus.ListActivatableNames", 0).Store(&can); err != nil || len(can) != 1 {
		t.Errorf("the bus would start %v: %v", can, err)
	}

	root := filepath.Dir(a.Home)
	a.Close()
	a.Close()
	if _, err := os.Stat(root); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", root, err)
	}
	if conn, err := xgb.NewConnDisplay(a.Display); err == nil {
		conn.Close()
		t.Error("the X server still answers")
	}
	if _, err := dbus.Connect(a.Bus); err == nil {
		t.Error("the bus still answers")
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("WAYLAND_DISPLAY", "wayland-0")
	d := desktop.New(t, desktop.Config{BusOnly: true})
	cmd := exec.Command("env")
	cmd.Env = append(os.Environ(), d.Env()...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch name {
		case "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY":
			if value != "" {
				t.Errorf("%s leads to another screen: %s", name, value)
			}
		case "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME":
			if !strings.HasPrefix(value, filepath.Dir(d.Home)) {
				t.Errorf("%s is %s, not below %s", name, value, filepath.Dir(d.Home))
			}
		}
	}
}

func connect(t *testing.T, address string) *dbus.Conn {
	t.Helper()
	bus, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	return bus
}
