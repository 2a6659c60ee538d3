package report

import (
	"math"
	"strconv"
	"strings"
)

// Unit is how values of a metric are recorded and shown.
type Unit int

// Units, and what a value of 1 means.
const (
	Seconds        Unit = iota // shown in ns, µs, ms or s
	Bytes                      // shown in B, KiB, MiB or GiB
	BytesPerSecond             // shown in kB/s, MB/s, GB/s
	PerSecond                  // of something that the metric's name says
	Count                      // a number of something
	Percent                    // 1 is one percent
)

type step struct {
	size float64
	name string
}

var steps = map[Unit][]step{
	Seconds:        {{1, "s"}, {1e-3, "ms"}, {1e-6, "µs"}, {1e-9, "ns"}},
	Bytes:          {{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}, {1, "B"}},
	BytesPerSecond: {{1e9, "GB/s"}, {1e6, "MB/s"}, {1e3, "kB/s"}, {1, "B/s"}},
	PerSecond:      {{1, "/s"}},
	Count:          {{1, ""}},
	Percent:        {{1, "%"}},
}

// format shows values in the same step, that of the first one.
func (u Unit) format(values ...float64) (numbers []string, name string) {
	all := steps[u]
	use := all[len(all)-1]
	for _, s := range all {
		if math.Abs(values[0]) >= s.size {
			use = s
			break
		}
	}
	if values[0] == 0 {
		use = all[0]
	}
	for _, v := range values {
		v /= use.size
		if u == Count && v == math.Trunc(v) {
			numbers = append(numbers, decimal(v, 0))
			continue
		}
		numbers = append(numbers, number(v))
	}
	return numbers, use.name
}

// number shows three digits, or all that stand before the point.
func number(v float64) string {
	digits := 2
	for limit := 10.0; digits > 0 && math.Abs(v) >= limit; limit *= 10 {
		digits--
	}
	return decimal(v, digits)
}

// decimal groups the digits before the point by three.
func decimal(v float64, digits int) string {
	whole, fraction, pointed := strings.Cut(strconv.FormatFloat(v, 'f', digits, 64), ".")
	unsigned := strings.TrimPrefix(whole, "-")
	for i := len(unsigned) - 3; i > 0; i -= 3 {
		unsigned = unsigned[:i] + "," + unsigned[i:]
	}
	if strings.HasPrefix(whole, "-") {
		unsigned = "-" + unsigned
	}
	if pointed {
		return unsigned + "." + fraction
	}
	return unsigned
}

func (u Unit) one(v float64) string {
	numbers, name := u.format(v)
	return strings.TrimSpace(numbers[0] + " " + name)
}
