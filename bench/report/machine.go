package report

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// machine describes what a benchmark ran on, in one sentence: figures mean
// little without it.
func machine() string {
	return describe(read("/proc/cpuinfo"), read("/proc/meminfo"), read("/proc/sys/kernel/osrelease"), read("/proc/loadavg"))
}

// read gives a file's text, or none: a description may have gaps.
func read(path string) string {
	b, _ := os.ReadFile(path)
	return string(b)
}

func describe(cpuinfo, meminfo, release, load string) string {
	model := field(cpuinfo, "model name")
	if model == "" {
		model = runtime.GOARCH
	}
	memory := "memory unknown"
	if kib, err := strconv.ParseFloat(strings.TrimSuffix(field(meminfo, "MemTotal"), " kB"), 64); err == nil {
		memory = fmt.Sprintf("%.0f GiB", kib/(1<<20))
	}
	busy, _, _ := strings.Cut(load, " ")
	if busy == "" {
		busy = "unknown"
	}
	return fmt.Sprintf("%s, %d cores, %s, %s %s, %s, load %s at the start",
		model, runtime.NumCPU(), memory, runtime.GOOS, strings.TrimSpace(release), runtime.Version(), busy)
}

// field gives the value of the first "name: value" line.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
