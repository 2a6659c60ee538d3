package desktop_test

import (
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"go.uber.org/goleak"

	stage "github.com/parley-chat/parley/test/ui/desktop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long what must happen may take on a busy machine.
const patience = time.Minute

// connect gives a connection to a session bus of the test's own.
func connect(t *testing.T, address string) *dbus.Conn {
	t.Helper()
	bus, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close() })
	return bus
}

// newBus starts a session bus, and gives its address.
func newBus(t *testing.T) string {
	t.Helper()
	return stage.New(t, stage.Config{BusOnly: true}).Bus
}

// next gives what comes next from a channel.
func next[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case x := <-from:
		return x
	case <-time.After(patience):
		t.Fatalf("never: %s", what)
		panic("unreachable")
	}
}
