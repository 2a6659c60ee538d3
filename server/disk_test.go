package server_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/server"
)

// On a full disk nothing is acknowledged that is not kept, nobody waits long,
// presence goes on, and the server ends once it is worth starting it again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	if err := syscall.Mount("tmpfs", data, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("a small disk needs the right to mount one: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(data, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	cfg := testConfig(t)
	cfg.Data, cfg.Metrics = data, "127.0.0.1:0"
	s, err := server.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	r := &running{t: t, cfg: cfg, addr: s.Addr().String(), server: s}
	alice, bob := r.registered("alice"), r.registered("bob")
	a := alice.begin(lists{contacts: []string{"bob"}})

	fill := filepath.Join(data, "fill")
	f, err := os.Create(fill)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}

	var kept []*device
	for i := range 100 { // some still fit where there is room in the last block
		d := r.device()
		if err = d.register(fmt.Sprint("user", i), goodPassword); err != nil {
			break
		}
		kept = append(kept, d)
	}
	wantCode(t, err, codes.Unavailable)
	// The second who fails does not wait for an answer: nothing is tried any more.
	tried := func() float64 { return r.scrape()[`parley_write_seconds_count{bucket="accounts"}`] }
	before := tried()
	wantCode(t, r.device().register("late", goodPassword), codes.Unavailable)
	if after := tried(); before == 0 || after != before {
		t.Errorf("%v writes were tried before, and %v after the second who failed", before, after)
	}
	b := bob.begin(lists{contacts: []string{"alice"}})
	a.awaitPresence("bob", true)
	b.cancel()
	a.awaitPresence("bob", false)

	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-served:
		if !errors.Is(err, server.ErrState) {
			t.Errorf("Serve: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the server did not end to be started again")
	}
	r.start()
	defer r.stop()
	wantCode(t, r.device().register("late", goodPassword), codes.OK)
	for i, d := range kept {
		again := r.connect(d.key)
		_, err := again.LookUp(t.Context(), &directorypb.LookUpRequest{User: fmt.Sprint("user", i)})
		wantCode(t, err, codes.OK)
	}
}
