package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// familyEvery is how often a family is looked at.
const familyEvery = 20 * time.Millisecond

// Family watches a process and all that come from it. The kernel tells a parent
// the peak memory of its children only mixed with its own, and with what they
// were before they became another program; so it is read while they run.
type Family struct {
	root int
	stop chan struct{}
	wg   sync.WaitGroup
	peak map[string]int64 // the watching goroutine's, until wg is done
}

// Watch begins to watch a process.
func Watch(root int) *Family {
	f := &Family{root: root, stop: make(chan struct{}), peak: map[string]int64{}}
	f.wg.Go(func() {
		tick := time.NewTicker(familyEvery)
		defer tick.Stop()
		for {
			f.look()
			select {
			case <-tick.C:
			case <-f.stop:
				return
			}
		}
	})
	return f
}

// Peaks ends watching and gives the peak memory, in bytes, by the name of the
// program: the largest of several. Of a process that has ended, what grew in its
// last hundredths of a second is not seen.
func (f *Family) Peaks() map[string]int64 {
	close(f.stop)
	f.wg.Wait()
	f.look()
	return f.peak
}

func (f *Family) look() {
	for pid, name := range members(f.root) {
		if u, err := UsageOf(pid); err == nil { // it may have ended
			f.peak[name] = max(f.peak[name], u.Peak)
		}
	}
}

// Members counts the processes of a family.
func Members(root int) int { return len(members(root)) }

// members gives the processes that come from one, and that one, with their names.
// Descendants have higher numbers, but where the kernel began anew.
func members(root int) map[int]string {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	parents, names := map[int]int{}, map[int]string{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid < root {
			continue
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it ended
		}
		// pid (name) state parent ...; the name may have anything in it
		begin, end := strings.IndexByte(string(stat), '('), strings.LastIndexByte(string(stat), ')')
		if begin < 0 || end < begin {
			continue
		}
		var state string
		var parent int
		if _, err := fmt.Sscan(string(stat[end+1:]), &state, &parent); err == nil && state != "Z" {
			parents[pid], names[pid] = parent, string(stat[begin+1:end])
		}
	}
	of := map[int]string{}
	for pid, name := range names {
		for p, ok := pid, true; ok; p, ok = parents[p] {
			if p == root {
				of[pid] = name
				break
			}
		}
	}
	return of
}
