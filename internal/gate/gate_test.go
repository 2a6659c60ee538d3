package gate

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestGate(t *testing.T) {
	addr := netip.MustParseAddr
	limits := Limits{Total: 10, PerPlace: 3, PerSecond: 2, Burst: 6}
	t.Run("at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := New(limits)
			var leaves []func()
			for i := range 5 {
				leave, err := g.Enter(addr("203.0.113.1"))
				if (err == nil) != (i < 3) {
					t.Fatalf("number %d from one address: %v", i+1, err)
				}
				if err == nil {
					leaves = append(leaves, leave)
				}
			}
			leaves[0]()
			leaves[0]() // leaving twice is leaving once
			time.Sleep(time.Minute)
			if _, err := g.Enter(addr("203.0.113.1")); err != nil {
				t.Errorf("after one left: %v", err)
			}
			if _, err := g.Enter(addr("203.0.113.1")); err == nil {
				t.Error("one too many")
			}
		})
	})
	t.Run("in all", func(t *testing.T) {
		g := New(limits)
		in := 0
		for i := range 100 {
			if _, err := g.Enter(addr(fmt.Sprintf("203.0.113.%d", i))); err == nil {
				in++
			}
		}
		if in != limits.Total {
			t.Errorf("%d are in, want %d", in, limits.Total)
		}
	})
	t.Run("rate", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := New(limits)
			in := 0
			for range 100 {
				if leave, err := g.Enter(addr("203.0.113.1")); err == nil {
					in++
					leave()
				}
				time.Sleep(100 * time.Millisecond)
			}
			if in < 24 || in > 27 {
				t.Errorf("%d in 10 s at 2 a second after 6", in)
			}
		})
	})
	t.Run("one customer", func(t *testing.T) {
		g := New(limits)
		in := 0
		for i := range 100 {
			if _, err := g.Enter(addr(fmt.Sprintf("2001:db8::%x", i))); err == nil {
				in++
			}
		}
		if in != limits.PerPlace {
			t.Errorf("%d addresses of one /64 are in, want %d", in, limits.PerPlace)
		}
	})
	t.Run("memory", func(t *testing.T) {
		g := New(limits)
		kept, _ := g.Enter(addr("198.51.100.1"))
		defer kept()
		for i := range 3 * maxVisitors {
			if leave, err := g.Enter(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})); err == nil {
				leave()
			} else {
				t.Fatal(err)
			}
		}
		if n := len(g.visitors); n > maxVisitors {
			t.Errorf("%d visitors are remembered", n)
		}
		if v := g.visitors[placeOf(addr("198.51.100.1"))]; v == nil || v.active != 1 {
			t.Error("one in its handshake was forgotten")
		}
	})
}
