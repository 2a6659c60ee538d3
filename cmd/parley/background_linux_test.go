package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// niceOf gives the nice values of a process's threads, as the kernel tells them.
func niceOf(t *testing.T, process string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("/proc", process, "task", "*", "stat"))
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended
		}
		// The name, in brackets, may hold anything; the value is the 17th behind it.
		s := string(b)
		values = append(values, strings.Fields(s[strings.LastIndexByte(s, ')')+1:])[16])
	}
	return values
}

// TestBackground: all threads give way, and what is started by them. It is tried in a
// process of its own, which cannot take it back.
func TestBackground(t *testing.T) {
	if os.Getenv("PARLEY_TEST_BACKGROUND") == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBackground$", "-test.v") //nolint:gosec // this test
		cmd.Env = append(os.Environ(), "PARLEY_TEST_BACKGROUND=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if err := background(); err != nil {
		t.Fatal(err)
	}
	values := niceOf(t, "self")
	if len(values) < 2 {
		t.Fatalf("threads: %v", values)
	}
	child, err := exec.CommandContext(t.Context(), "cat", "/proc/self/stat").Output()
	if err != nil {
		t.Fatal(err)
	}
	s := string(child)
	values = append(values, strings.Fields(s[strings.LastIndexByte(s, ')')+1:])[16])
	for _, v := range values {
		if n, err := strconv.Atoi(v); err != nil || n < backgroundNice { // the test may have been nicer before
			t.Errorf("a nice value is %q: %q", v, values)
		}
	}
}
