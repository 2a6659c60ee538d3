package limit

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func TestLimiter(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	l := New(Limit{Burst: 3, Every: 10 * time.Second})
	l.now = func() time.Time { return now }
	for i := range 3 {
		if wait := l.Take("a"); wait != 0 {
			t.Fatalf("take %d: must wait %s", i, wait)
		}
	}
	if wait := l.Take("a"); wait != 10*time.Second {
		t.Errorf("beyond the burst: must wait %s, want 10s", wait)
	}
	if wait := l.Take("b"); wait != 0 {
		t.Errorf("another key: must wait %s", wait)
	}
	now = now.Add(4 * time.Second)
	if wait := l.Take("a"); wait != 6*time.Second {
		t.Errorf("4s later: must wait %s, want 6s", wait)
	}
	now = now.Add(6 * time.Second)
	if wait := l.Take("a"); wait != 0 {
		t.Errorf("10s later: must wait %s", wait)
	}
	l.GiveBack("a")
	if wait := l.Take("a"); wait != 0 {
		t.Errorf("after it was given back: must wait %s", wait)
	}
	now = now.Add(time.Hour)
	for range 3 {
		l.Take("a")
	}
	if wait := l.Take("a"); wait == 0 {
		t.Error("an hour saved up more than the burst")
	}
}

func TestLimiterMemoryIsBounded(t *testing.T) {
	l := New(Limit{Burst: 1, Every: time.Hour})
	for i := range maxBuckets + 100 {
		l.Take(fmt.Sprint(i))
	}
	if n := len(l.buckets); n != maxBuckets || l.used.Len() != n {
		t.Errorf("%d buckets (%d in order), want %d", n, l.used.Len(), maxBuckets)
	}
	if l.Take(fmt.Sprint(maxBuckets+99)) == 0 {
		t.Error("the newest bucket was forgotten")
	}
}

func TestBucketCostsMoreThanBurst(t *testing.T) {
	var b Bucket
	l := Limit{Burst: 5, Every: time.Second}
	now := time.Unix(1_000_000, 0)
	if wait := b.Take(l, 20, now); wait != 0 {
		t.Errorf("a full bucket must let a costly message through, waits %s", wait)
	}
	if wait := b.Take(l, 1, now); wait != 16*time.Second {
		t.Errorf("after it: waits %s, want 16s", wait)
	}
}

func TestNetwork(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.7":          "192.0.2.7",
		"::ffff:192.0.2.7":   "192.0.2.7",
		"2001:db8:1:2:3::4":  "2001:db8:1:2::/64",
		"fe80::1%eth0":       "fe80::/64",
		"2001:db8:1:2:9:9::": "2001:db8:1:2::/64",
	} {
		if got := Network(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: got %s, want %s", addr, got, want)
		}
	}
}
