package host

import "time"

const (
	crashWindow = 10 * time.Minute
	maxCrashes  = 5 // in the window
	maxKills    = 3 // by one packet
)

// crashes counts how often a plugin died lately.
type crashes struct {
	total   uint32
	recent  []time.Time // within the window
	excused bool        // the one to come is explained
}

// excuse takes back the crashes that one packet caused which is set aside now:
// a hostile packet must not get its plugin disabled for all others. The crash
// that the caller found out about is still to be added.
func (c *crashes) excuse() {
	c.recent = c.recent[:max(0, len(c.recent)-(maxKills-1))]
	c.excused = true
}

// add counts a crash and says how long to wait before the next start, and
// whether there shall be none.
func (c *crashes) add(now time.Time, first, most time.Duration) (wait time.Duration, tooMany bool) {
	c.total++
	for len(c.recent) > 0 && now.Sub(c.recent[0]) >= crashWindow {
		c.recent = c.recent[1:]
	}
	if c.excused {
		c.excused = false
		return first, false
	}
	c.recent = append(c.recent, now)
	wait = first
	for range len(c.recent) - 1 {
		wait = min(2*wait, most)
	}
	return min(wait, most), len(c.recent) >= maxCrashes
}
