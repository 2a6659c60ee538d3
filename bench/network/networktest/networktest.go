// Package networktest has tests make networks.
package networktest

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/parley-chat/parley/bench/network"
)

// New is network.New; the network ends with the test.
func New(t *testing.T, first string, addresses map[string]string) *network.Network {
	t.Helper()
	n, err := network.New(first, addresses)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

// again says in its environment that a test runs in a user namespace.
const again = "PARLEY_TEST_AGAIN"

// Need skips a test where the machine does not let it make network namespaces.
// Who is not root gets them in a user namespace, in which the test is run again;
// ran says that it was, and then the test is over.
func Need(t *testing.T) (ran bool) {
	t.Helper()
	err := network.Allowed()
	switch {
	case err == nil:
		return false
	case !errors.Is(err, syscall.EPERM):
		t.Fatal(err)
	case os.Getenv(again) != "":
		t.Fatalf("in a user namespace: %v", err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=0") //nolint:gosec,noctx // this program; it ends with this one
	cmd.Env = append(os.Environ(), again+"=1")
	out, err := network.Again(cmd)
	if errors.Is(err, network.ErrNotAllowed) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("in a user namespace: %v\n%s", err, out)
	}
	t.Logf("in a user namespace:\n%s", out)
	return true
}
