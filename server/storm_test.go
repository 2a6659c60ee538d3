package server_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/server"
	"github.com/parley-chat/parley/server/password"
)

// Log-ins compute few hashes at a time, and so much memory; beyond a bounded
// line they are refused. Who is online and what is asked of it does not wait for
// them: here all of that happens while the hashes that are being computed take
// longer than the test.
func TestStormOfLogInsHoldsUpNobody(t *testing.T) {
	r := start(t, func(c *server.Config) { c.Metrics = "127.0.0.1:0" })
	alice, bob := r.registered("alice"), r.registered("bob")
	r.stop()
	// Hashes carry their cost: those of nobody cost what new ones do.
	r.cfg.PasswordCost = password.Cost{MemoryKiB: 8 << 10, Passes: 16, Lanes: 1}
	r.start()
	alice, bob = r.connect(alice.key), r.connect(bob.key)

	storm, calm := context.WithCancel(t.Context())
	defer calm()
	var all sync.WaitGroup
	var mu sync.Mutex
	busy := 0
	most := max(runtime.GOMAXPROCS(0)/2, 1)
	const line = 64
	for i := range most + line + 5 {
		d := r.device()
		all.Go(func() {
			for storm.Err() == nil {
				_, err := d.LogIn(storm, &directorypb.LogInRequest{User: fmt.Sprint("nobody", i), Password: goodPassword})
				if status.Code(err) == codes.ResourceExhausted {
					mu.Lock()
					busy++
					mu.Unlock()
					time.Sleep(50 * time.Millisecond) // who is refused waits, and tries again
				}
			}
		})
	}
	load := func() (computing, waiting int) {
		all := r.scrape()
		computing, waiting = int(all["parley_password_hashes_computing"]), int(all["parley_password_hashes_waiting"])
		if computing > most || waiting > line {
			t.Errorf("%d hashes are computed and %d wait, want at most %d and %d", computing, waiting, most, line)
		}
		return computing, waiting
	}
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		computing, waiting := load()
		if computing == most && waiting > 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("there is no storm")
		}
	}
	a, b := alice.begin(lists{contacts: []string{"bob"}}), bob.begin(lists{contacts: []string{"alice"}})
	b.awaitPresence("alice", true)
	for range 3 {
		a.cancel()
		b.awaitPresence("alice", false)
		a = alice.begin(lists{contacts: []string{"bob"}})
		b.awaitPresence("alice", true)
		if _, err := bob.lookUp("alice"); err != nil {
			t.Error(err)
		}
		if got := a.deliver(1, "bob", alice.packet(packet.TypeRequest, "alice", "bob", "hello")); got.GetCode() != 0 {
			t.Error(got)
		}
		if computing, _ := load(); computing == 0 {
			t.Error("the storm is over")
		}
	}
	calm()
	all.Wait()
	if busy == 0 {
		t.Error("nobody was told that too many log in")
	}
}
