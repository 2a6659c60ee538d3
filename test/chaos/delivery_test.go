package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// TestDelivery has two people write numbered messages to each other, each the next
// one when the last is queued, while their text plugins, their cores and the
// directory are killed. Who gets no answer asks again with the same invocation.
func TestDelivery(t *testing.T) {
	t.Parallel()
	deliver(t, 300, 8, 1)
}

// TestSoakDelivery does the same with 10,000 messages each way and 60 kills.
func TestSoakDelivery(t *testing.T) {
	if os.Getenv("PARLEY_SOAK") == "" {
		t.Skip("takes long; see make soak")
	}
	deliver(t, 10_000, 60, uint64(time.Now().UnixNano()))
}

// victims are what is killed.
var victims = []string{"alice's plugin", "bob's plugin", "alice's core", "bob's core", "the directory"}

func deliver(t *testing.T, messages, kills int, seed uint64) {
	began := time.Now()
	w := newWorld(t)
	random := rand.New(rand.NewPCG(seed, 2019))
	var queued, repeated atomic.Int64
	var writing sync.WaitGroup
	for _, p := range w.people {
		writing.Go(func() { p.write(messages, &queued, &repeated) })
	}
	t.Cleanup(writing.Wait)
	killed := map[string]int{}
	restarted := 0
	order := plan(random, victims, kills)
	for i, victim := range order {
		// Somewhere in its share of all messages, and at any moment of one.
		share := 2 * messages / (kills + 1)
		at := int64(share*i + random.IntN(share))
		w.ahead(&queued, at)
		tick := time.NewTimer(time.Duration(random.IntN(20_000)) * time.Microsecond)
		<-tick.C
		killed[victim]++
		if w.kill(victim) {
			restarted++
		}
	}
	w.ahead(&queued, int64(2*messages))
	sent := time.Since(began)
	for _, p := range w.people {
		p.complete(2 * messages)
	}
	t.Logf("seed %d: %d messages each way, %d kills %v, %d Invokes repeated, %d plugins started again by hand; written in %.1f s, all there after %.1f s",
		seed, messages, kills, killed, repeated.Load(), restarted, sent.Seconds(), time.Since(began).Seconds())
	w.check(messages)
}

// complete waits until a person has so many messages.
func (p *person) complete(messages int) {
	p.t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	last := -1
	for end := time.Now().Add(patience); ; <-tick.C {
		n := len(p.history())
		switch {
		case n >= messages:
			return
		case n > last:
			last, end = n, time.Now().Add(patience)
		case time.Now().After(end):
			p.t.Fatalf("%s has %d of %d messages, and gets no more", p.name, n, messages)
		}
		p.revive()
	}
}

// plan gives the victims in random order, each about as often.
func plan(random *rand.Rand, victims []string, kills int) []string {
	first := random.IntN(len(victims)) // of fewer kills than victims not always the same ones
	var order []string
	for i := range kills {
		order = append(order, victims[(first+i)%len(victims)])
	}
	random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	return order
}

// kill kills something and starts it again.
func (w *world) kill(victim string) (restarted bool) {
	w.t.Helper()
	switch victim {
	case "the directory":
		w.server.Kill()
		w.serve()
	case "alice's core":
		w.people[0].killCore()
	case "bob's core":
		w.people[1].killCore()
	case "alice's plugin":
		return w.people[0].killPlugin()
	case "bob's plugin":
		return w.people[1].killPlugin()
	}
	return false
}

// revive does what a person does who is told that a plugin is not started again.
func (p *person) revive() (done bool) { return p.revivePlugin("text") }

func (p *person) revivePlugin(name string) (done bool) {
	c := p.connected()
	if c == nil || p.plugin(name).GetState() != controlpb.PluginState_PLUGIN_STATE_BROKEN {
		return false
	}
	_, err := c.RestartPlugin(p.t.Context(), &controlpb.RestartPluginRequest{Name: name})
	return err == nil
}

// ahead waits until so many messages are queued.
func (w *world) ahead(queued *atomic.Int64, want int64) {
	w.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	last := int64(-1)
	for end := time.Now().Add(patience); queued.Load() < want; <-tick.C {
		if n := queued.Load(); n > last {
			last, end = n, time.Now().Add(patience)
		}
		if time.Now().After(end) {
			w.t.Fatalf("after %d messages nothing is queued any more", queued.Load())
		}
		for _, p := range w.people {
			p.revive()
		}
	}
}

func text(name string, number int) string { return fmt.Sprintf("%s %05d", name, number) }

// write sends the numbered messages one after the other.
func (p *person) write(messages int, queued, repeated *atomic.Int64) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := range messages {
		id := client.NewInvocation()
		for !p.invoke(id, text(p.name, i)) {
			repeated.Add(1)
			select {
			case <-tick.C:
			case <-p.t.Context().Done():
				return
			}
		}
		queued.Add(1)
	}
}

func (p *person) invoke(id []byte, text string) bool {
	_, err := p.act("text", &pluginpb.InvokeRequest{Invocation: id, Action: "send", Chat: p.chat(), Text: text})
	return err == nil
}

// act runs an action of a plugin.
func (p *person) act(plugin string, req *pluginpb.InvokeRequest) ([]byte, error) {
	c := p.connected()
	if c == nil {
		return nil, errGone
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	result, err := c.InvokeAction(ctx, plugin, req, nil)
	if err != nil && client.Reason(err) == "" {
		p.broken(c)
	}
	return result.GetResult(), err
}

// errGone: the core does not run now.
var errGone = errors.New("the core does not answer")

// check says whether both have every number once, in its author's order, and all
// in the same order.
func (w *world) check(messages int) {
	w.t.Helper()
	shown := make([][]string, len(w.people))
	for i, p := range w.people {
		next := map[string]int{}
		for _, m := range p.history() {
			shown[i] = append(shown[i], fmt.Sprintf("%x %s", m.GetId(), m.GetBody()))
			name, _, _ := strings.Cut(m.GetBody(), " ")
			if want := text(name, next[name]); m.GetBody() != want || m.GetAuthor() != name {
				w.t.Fatalf("%s shows %q of %s, where %q is due", p.name, m.GetBody(), m.GetAuthor(), want)
			}
			next[name]++
		}
		for _, author := range w.people {
			if next[author.name] != messages {
				w.t.Errorf("%s shows %d messages of %s, not %d", p.name, next[author.name], author.name, messages)
			}
		}
	}
	if !slices.Equal(shown[0], shown[1]) {
		w.t.Errorf("they show them in different orders")
	}
}
