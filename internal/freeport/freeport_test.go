package freeport

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
)

func TestLocal(t *testing.T) {
	first, err := ephemeral("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		address, err := Local(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() }) // so that each is another one
		if port := l.Addr().(*net.TCPAddr).Port; port < lowest || port >= first {
			t.Errorf("%d is not between %d and %d", port, lowest, first)
		}
	}
}

func TestEphemeral(t *testing.T) {
	for i, c := range []struct {
		content string
		first   int
		fails   bool
	}{
		{"32768\t60999\n", 32768, false},
		{"20000 20010", 20000, false},
		{"1024\t65535\n", usual, false}, // there is none below
		{"99999999 1", usual, false},
		{"", 0, true},
		{"all", 0, true},
	} {
		path := filepath.Join(t.TempDir(), fmt.Sprint(i))
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if first, err := ephemeral(path); first != c.first || (err != nil) != c.fails {
			t.Errorf("%q: %d, %v", c.content, first, err)
		}
	}
	if first, err := ephemeral(filepath.Join(t.TempDir(), "none")); first != usual || err != nil {
		t.Errorf("no such file: %d, %v", first, err)
	}
}
