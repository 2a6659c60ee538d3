package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestSame: what did not arrive as it was sent is noticed.
func TestSame(t *testing.T) {
	entries = 200
	sent := filepath.Join(t.TempDir(), "sent")
	if err := makeFolder(sent, rand.NewChaCha8([32]byte{})); err != nil {
		t.Fatal(err)
	}
	const one = "folder 07/file 00107.txt"
	change := func(f func(content []byte) []byte) func(dir string) error {
		return func(dir string) error {
			path := filepath.Join(dir, one)
			b, err := os.ReadFile(path) //nolint:gosec // the test's own
			if err != nil {
				return err
			}
			return os.WriteFile(path, f(bytes.Clone(b)), 0o600)
		}
	}
	tests := map[string]struct {
		change func(dir string) error
		bad    bool
	}{
		"nothing": {func(string) error { return nil }, false},
		"a byte":  {change(func(b []byte) []byte { b[len(b)-1]++; return b }), true},
		"shorter": {change(func(b []byte) []byte { return b[:len(b)-1] }), true},
		"longer":  {change(func(b []byte) []byte { return append(b, 0) }), true},
		"empty":   {change(func([]byte) []byte { return nil }), true},
		"missing": {func(dir string) error { return os.Remove(filepath.Join(dir, one)) }, true},
		"another": {func(dir string) error { return os.WriteFile(filepath.Join(dir, "more"), nil, 0o600) }, true},
		"renamed": {func(dir string) error { return os.Rename(filepath.Join(dir, one), filepath.Join(dir, "moved")) }, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "arrived")
			if err := os.CopyFS(dir, os.DirFS(sent)); err != nil {
				t.Fatal(err)
			}
			if err := test.change(dir); err != nil {
				t.Fatal(err)
			}
			if err := same(sent, dir); (err != nil) != test.bad {
				t.Errorf("got %v", err)
			}
			if name == "a byte" {
				if err := same(filepath.Join(sent, one), filepath.Join(dir, one)); err == nil {
					t.Error("a single file that changed is taken")
				}
			}
		})
	}
}
