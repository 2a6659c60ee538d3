package networktest

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRefused(t *testing.T) {
	const names = "entries  allocs   table_fulls\n"
	for text, want := range map[string]int64{
		names + "00000001 00007cc4 0000001f\n00000001 00005eaa 00000001\n": 32,
		names:                                 0,
		"entries allocs\n00000001 00000002\n": 0,
		names + "1 2\n":                       0,
		names + "1 2 many\n":                  0,
		"":                                    0,
	} {
		path := filepath.Join(t.TempDir(), "stat")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := refused(path); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
	if got := refused(filepath.Join(t.TempDir(), "none")); got != 0 {
		t.Errorf("a kernel that does not say: %d", got)
	}
}
