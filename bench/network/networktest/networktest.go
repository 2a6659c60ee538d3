// Package networktest has tests make networks.
package networktest

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
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
	before := refused("/proc/net/stat/arp_cache")
	t.Cleanup(func() {
		n.Close()
		if more := refused("/proc/net/stat/arp_cache") - before; t.Failed() && more > 0 {
			t.Logf("meanwhile the kernel's table of neighbours, which all networks of this machine share, was full %d times, and packets were lost: see network.Introduce", more)
		}
	})
	return n
}

// refused is how often the table of neighbours was full since the machine began, of
// each processor a line; 0 when the kernel does not say.
func refused(path string) (times int64) {
	b, err := os.ReadFile(path) //nolint:gosec // the kernel's
	if err != nil {
		return 0
	}
	names, rows, _ := strings.Cut(string(b), "\n")
	column := slices.Index(strings.Fields(names), "table_fulls")
	for row := range strings.Lines(rows) {
		fields := strings.Fields(row)
		if column < 0 || column >= len(fields) {
			return 0
		}
		n, err := strconv.ParseInt(fields[column], 16, 64)
		if err != nil {
			return 0
		}
		times += n
	}
	return times
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
