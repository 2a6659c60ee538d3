package directory

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"
)

func testReturns(seed uint64) *returns {
	r := newReturns(defaultTiming())
	r.random = rand.New(rand.NewPCG(seed, 2019)).Int64N
	return &r
}

var (
	broken  = &Error{Kind: ErrUnreachable, Text: "The connection broke."}
	refused = &Error{Kind: ErrInternal, Text: "No."}
)

// TestNoHerd: a directory that goes loses all its clients at one moment. However
// it goes, no moment of the time over which they are to come back has many more
// of them than another, also among those who have to try again.
func TestNoHerd(t *testing.T) {
	const clients, parts = 15_000, 30
	tests := []struct {
		name   string
		spread time.Duration // that the directory asked for
		err    error
		within time.Duration
	}{
		{"crash of a large one", 15 * time.Second, broken, 15 * time.Second},
		{"restart of a large one", 15 * time.Second, &goAwayError{}, 15 * time.Second},
		{"crash of a small one", 200 * time.Millisecond, broken, 1500 * time.Millisecond},
		{"crash of one that asks for nothing", 0, broken, 1500 * time.Millisecond},
		{"one that asks for too much", time.Hour, broken, maxSpread},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			begun := time.Unix(0, 0)
			lost := begun.Add(time.Hour)
			var first, second [parts + 1]int
			for i := range clients {
				r := testReturns(uint64(i))
				r.advise(test.spread)
				wait := r.next(begun, lost, test.err)
				if wait < 0 || wait > test.within {
					t.Fatalf("waits %s, want up to %s", wait, test.within)
				}
				first[int(wait*parts/test.within)]++
				tried := lost.Add(wait)
				again := r.next(tried, tried, broken)
				if again < 0 || again > test.within && again > r.returning {
					t.Fatalf("waits %s the second time", again)
				}
				second[min(int((wait+again)*parts/(2*test.within)), parts)]++
			}
			for part, n := range first[:parts] {
				if mean := clients / parts; n < mean*3/4 || n > mean*5/4 {
					t.Errorf("%d of %d come in part %d of %d", n, clients, part+1, parts)
				}
			}
			for part, n := range second {
				if n > clients*3/parts {
					t.Errorf("%d of %d come a second time in part %d", n, clients, part+1)
				}
			}
		})
	}
}

func TestWindow(t *testing.T) {
	r := testReturns(1)
	for outage, want := range map[time.Duration]time.Duration{
		0: 1500 * time.Millisecond, 20 * time.Second: 1500 * time.Millisecond, 40 * time.Second: 3 * time.Second,
		10 * time.Minute: 30 * time.Second, 10_000 * time.Hour: 30 * time.Second,
	} {
		if got := r.window(outage); got != want {
			t.Errorf("after %s: up to %s, want %s", outage, got, want)
		}
	}
	r.advise(45 * time.Second)
	if got := r.window(time.Hour); got != 45*time.Second {
		t.Errorf("up to %s, want no less than the directory asks for", got)
	}
}

// TestRefusals: a directory that answers, and refuses, is asked less and less.
func TestRefusals(t *testing.T) {
	r := testReturns(1)
	now := time.Unix(0, 0)
	want := 500 * time.Millisecond
	for i := range 50 {
		wait := r.next(now, now, refused)
		if wait < want/2 || wait > want {
			t.Errorf("wait %d is %s, want %s to %s", i, wait, want/2, want)
		}
		now = now.Add(wait)
		want = min(2*want, 30*time.Second)
	}
	if wait := r.next(now, now.Add(29*time.Second), refused); wait < 15*time.Second {
		t.Errorf("after a short session: %s", wait)
	}
	if wait := r.next(now, now.Add(31*time.Second), refused); wait > 500*time.Millisecond {
		t.Errorf("after a session that settled: %s", wait)
	}
	if wait := r.next(now, now, &Error{Kind: ErrLimit, Retry: time.Minute}); wait < time.Minute {
		t.Errorf("%s, although the directory asked for a minute", wait)
	}
	if wait := r.next(now, now, &Error{Kind: ErrNotLoggedIn}); wait < 2*time.Minute {
		t.Errorf("a device that is not logged in tries again after %s", wait)
	}
}

func TestAddressAlive(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1": true, "::1": true, "192.0.2.77": false, "2001:db8::77": false} {
		if got := addressAlive(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
	if !addressAlive(netip.Addr{}) {
		t.Error("an address that is not known counts as lost")
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		addresses, err := i.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range addresses {
			local, _ := netip.AddrFromSlice(a.(*net.IPNet).IP)
			if up := i.Flags&net.FlagUp != 0 && i.Flags&net.FlagRunning != 0; up && !addressAlive(local.Unmap()) {
				t.Errorf("%s of %s counts as lost", local, i.Name)
			}
		}
	}
}
