package chaos

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/parley-chat/parley/bench/network/networktest"
	"github.com/parley-chat/parley/plugins/group"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// TestGroupOfMany has 20 people in a group.
func TestGroupOfMany(t *testing.T) {
	t.Parallel()
	groupOfMany(t, 20)
}

// TestSoakGroupOfMany has 50, whose cores and plugins keep two processors busy for
// minutes.
func TestSoakGroupOfMany(t *testing.T) {
	if os.Getenv("PARLEY_SOAK") == "" {
		t.Skip("takes long; see make soak")
	}
	groupOfMany(t, 50)
}

// groupOfMany has many people, of whom one knows the others, make a group: each
// pair gets one link; three write at once while one is away, who has it all when he
// comes back; one is removed, and gets nothing more. All show and say the same.
func groupOfMany(t *testing.T, n int) {
	t.Helper()
	if networktest.Need(t) {
		return
	}
	g := newGroupOf(t, n)
	first, away, gone := g.people[0], g.people[n/3], g.people[n-2]

	away.core.Kill()
	away.broken(away.connectedBefore())
	var writing sync.WaitGroup
	for _, p := range []*person{g.people[1], g.people[n/2], g.people[n-1]} {
		writing.Go(func() {
			for i := range 5 {
				g.says(p, fmt.Sprintf("%d at once", i))
			}
		})
	}
	writing.Wait()
	g.until("what three said at once is everywhere, in one order", func() bool {
		said := g.bodies(first)
		return len(said) == 15 && g.everywhere(said, away)
	})
	away.begin()
	g.until("who was away has it, too", func() bool { return g.everywhere(g.bodies(first)) })
	g.whole()

	g.do(first, "remove", &pluginpb.InvokeRequest{Text: gone.name})
	g.until("who was removed sees it", func() bool { info, ok := g.info(gone); return ok && info.Role == "" })
	last := g.agreed()
	if len(last.People) != n-1 {
		t.Errorf("%d are in the group, not %d", len(last.People), n-1)
	}
	before := g.bodies(gone)
	g.says(away, "one less")
	g.until("those who stay have what is said without the other", func() bool {
		said := g.bodies(first)
		return slices.Contains(said, away.name+": one less") && g.everywhere(said, gone)
	})
	if after := g.bodies(gone); !slices.Equal(after, before) {
		t.Errorf("who was removed shows %q", after)
	}
}

// newGroupOf makes a group of n people at hosts of their own, whom the first one
// invites.
func newGroupOf(t *testing.T, n int) *groupWorld {
	t.Helper()
	addresses := map[string]string{"directory": "10.79.0.1/24"}
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("member%02d", i)
		addresses[names[i]] = fmt.Sprintf("10.79.0.%d/24", i+2)
	}
	hosts := networktest.New(t, "directory", addresses)
	must(t, hosts.Introduce())
	g := &groupWorld{world: emptyWorldIn(t, hosts, "10.79.0.1:7410", "0.0.0.0:0")}
	for _, name := range names {
		g.join(name)
	}
	first := g.people[0]
	for _, p := range g.people[1:] {
		g.befriend(first, p)
	}
	result := g.do(first, "create", &pluginpb.InvokeRequest{Text: "many of us", Args: map[string]string{"users": strings.Join(names[1:], " ")}})
	var done group.Done
	must(t, json.Unmarshal(result, &done))
	g.chat = string(done.Chat)
	for _, p := range g.people[1:] {
		g.accept(p)
	}
	g.whole()
	g.agreed()
	return g
}
