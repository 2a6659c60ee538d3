package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Most of what the server has in memory is sessions that wait, and they make
// little garbage. Go would let as much garbage lie as all of that is; here it may
// be as much as that up to garbageRoom, and never less than leastPercent of it, so
// that a large directory is small and a small one is not held up by collecting.
const (
	garbageRoom  = 96 << 20
	leastPercent = 25
	mostPercent  = 100
)

// garbagePercent is what GOGC is to be for so many bytes in use.
func garbagePercent(inUse uint64) int {
	return int(min(max(garbageRoom*100/max(inUse, 1), leastPercent), mostPercent))
}

// sentinel is garbage at once, so that its finalizer runs after each collection.
type sentinel struct {
	percent int
	// Never set: what has no pointer may share its memory with what lives on.
	_ *sentinel
}

// saveMemory has garbage collected sooner than Go would while much is in use,
// unless GOGC says when.
func saveMemory() {
	if os.Getenv("GOGC") == "" {
		runtime.SetFinalizer(&sentinel{percent: mostPercent}, (*sentinel).collected)
	}
}

// collected looks how much is in use now.
func (s *sentinel) collected() {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(samples)
	if p := garbagePercent(samples[0].Value.Uint64() + samples[1].Value.Uint64()); p != s.percent {
		s.percent = p
		debug.SetGCPercent(p)
	}
	runtime.SetFinalizer(s, (*sentinel).collected)
}
