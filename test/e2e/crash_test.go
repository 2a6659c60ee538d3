package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/client"
)

// A core is killed while it answers an Invoke; the front end does not know
// whether the message went out and asks again with the same id. Both people
// then have each message once, in the order in which they were asked for.
func TestCrashBetweenInvokeAndAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice, bob := w.person("alice"), w.person("bob")
	w.befriend(alice, bob)
	random := rand.New(rand.NewPCG(2019, 10000))
	var want []string
	for round := range 12 {
		text := fmt.Sprintf("message %d", round)
		want = append(want, text)
		id := client.NewInvocation()

		ctx, cancel := context.WithTimeout(t.Context(), patience)
		answered := make(chan error, 1)
		go func() { answered <- alice.invokeSend(ctx, bob, id, text) }()
		// The moment of the kill wanders over the whole of an Invoke, which takes
		// some milliseconds; this is not a wait for anything.
		select {
		case err := <-answered:
			answered <- err
		case <-time.After(time.Duration(random.IntN(8000)) * time.Microsecond):
		}
		alice.kill()
		first := <-answered
		cancel()
		t.Logf("round %d: the first answer was %v", round, first)

		alice.begin()
		w.until("the repeated Invoke is answered", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			err := alice.invokeSend(ctx, bob, id, text)
			if err != nil && client.Reason(err) != "NO_ACCOUNT" && client.Reason(err) != "LOCKED" {
				t.Logf("round %d: again: %v", round, err)
			}
			return err == nil
		})
	}
	w.until("bob has everything once, in order", func() bool { return slices.Equal(bob.bodies(alice), want) })
	if got := alice.bodies(bob); !slices.Equal(got, want) {
		t.Errorf("alice has %q", got)
	}
}
