package main

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestGarbagePercent(t *testing.T) {
	for inUse, want := range map[uint64]int{0: 100, 1 << 20: 100, 96 << 20: 100, 192 << 20: 50, 384 << 20: 25, 1 << 40: 25} {
		if got := garbagePercent(inUse); got != want {
			t.Errorf("%d bytes in use: %d, want %d", inUse, got, want)
		}
	}
}

// TestSaveMemory: what is in use decides, up and down.
func TestSaveMemory(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(mostPercent)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	saveMemory()
	percent := func() int {
		p := debug.SetGCPercent(mostPercent)
		debug.SetGCPercent(p)
		return p
	}
	becomes := func(want func(int) bool) {
		t.Helper()
		for deadline := time.Now().Add(patience); !want(percent()); {
			if time.Now().After(deadline) {
				t.Fatalf("it stays %d", percent())
			}
			runtime.GC()
			time.Sleep(time.Millisecond)
		}
	}
	much := make([]byte, 200<<20)
	becomes(func(p int) bool { return p < 60 })
	runtime.KeepAlive(much) // and not beyond
	becomes(func(p int) bool { return p == mostPercent })
}
