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
	for pid := range members(f.root) {
		// The name as it is now: since the family was told apart a child may have
		// become another program.
		if name, u, err := namedUsageOf(pid); err == nil { // it may have ended
			f.peak[name] = max(f.peak[name], u.Peak)
		}
	}
}

// Members counts the processes of a family.
func Members(root int) int { return len(members(root)) }

// members gives the processes that come from one, and that one, with their names.
func members(root int) map[int]string {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	parents, names := map[int]int{}, map[int]string{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
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
		if descends(pid, root, parents) {
			of[pid] = name
		}
	}
	return of
}

// descends says whether a process is another one or comes from it. Numbers say
// nothing of it: the kernel begins anew when it has given the highest.
func descends(pid, root int, parents map[int]int) bool {
	// What was read while numbers were given anew may go round in a circle.
	for range len(parents) + 1 {
		if pid == root {
			return true
		}
		parent, ok := parents[pid]
		if !ok {
			return false
		}
		pid = parent
	}
	return false
}
