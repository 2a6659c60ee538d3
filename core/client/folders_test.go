package client_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parley-chat/parley/core/client"
)

func TestFoldersOf(t *testing.T) {
	home := t.TempDir()
	t.Setenv("PARLEY_HOME", home)
	f, err := client.FoldersOf("")
	if err != nil {
		t.Fatal(err)
	}
	if f.Profile != client.DefaultProfile || f.Data != filepath.Join(home, "profiles", "default") || f.Plugins != filepath.Join(home, "plugins") {
		t.Errorf("folders of the default profile: %+v", f)
	}
	work, err := client.FoldersOf("work")
	if err != nil {
		t.Fatal(err)
	}
	if work.Data == f.Data || work.Run == f.Run || work.Cache == f.Cache {
		t.Errorf("two profiles share a folder: %+v, %+v", f, work)
	}
	for _, bad := range []string{"..", "a/b", "-x", "a b", "", strings.Repeat("x", 33), "ä"} {
		if _, err := client.FoldersOf(bad); err == nil && bad != "" {
			t.Errorf("profile %q is taken", bad)
		}
	}
	t.Setenv("PARLEY_HOME", filepath.Join(home, strings.Repeat("long/", 30)))
	if _, err := client.FoldersOf(""); err == nil || !strings.Contains(err.Error(), "PARLEY_HOME") {
		t.Errorf("a socket path too long for the system: %v", err)
	}
}

func TestConnectWithoutCore(t *testing.T) {
	t.Setenv("PARLEY_HOME", t.TempDir())
	f, err := client.FoldersOf("")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Connect(t.Context(), f); !errors.Is(err, client.ErrNotRunning) {
		t.Errorf("without a socket: %v", err)
	}
	// A core that was killed leaves its socket.
	if err := os.MkdirAll(f.Run, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.Socket(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Connect(t.Context(), f); !errors.Is(err, client.ErrNotRunning) {
		t.Errorf("with a dead socket: %v", err)
	}
}

func TestStartSaysWhyItFailed(t *testing.T) {
	t.Setenv("PARLEY_HOME", t.TempDir())
	f, err := client.FoldersOf("")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "parley")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho 'time=now level=INFO' >&2; echo 'parley: no room on the disk' >&2\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Start(t.Context(), f, program); err == nil || !strings.Contains(err.Error(), "no room on the disk") {
		t.Errorf("Start said %v", err)
	}
	// A log that has grown large makes room, and what is said is of this start.
	if err := os.Truncate(f.LogFile(), 5<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Start(t.Context(), f, program); err == nil || err.Error() != "start parley: no room on the disk" {
		t.Errorf("Start said %v", err)
	}
	if info, err := os.Stat(f.LogFile() + ".old"); err != nil || info.Size() != 5<<20 {
		t.Errorf("the old log: %v, %v", info, err)
	}
	if info, err := os.Stat(f.LogFile()); err != nil || info.Size() > 100 {
		t.Errorf("the new log: %v, %v", info, err)
	}
}
