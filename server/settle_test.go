package server_test

import (
	"testing"
	"time"

	"github.com/parley-chat/parley/protocol/directorypb"
)

// TestRestartIsNotALeave: after a restart people are told of contacts who are
// back, and of the others only once all had the time to come back.
func TestRestartIsNotALeave(t *testing.T) {
	r := start(t, nil)
	alice, bob, carol := r.registered("alice"), r.registered("bob"), r.registered("carol")
	r.stop()
	r.start()
	all := lists{contacts: []string{"alice", "bob", "carol"}}
	began := time.Now()
	a := r.connect(alice.key).begin(all)
	// It goes the whole way, and comes after what Begin has caused.
	a.quiet("nobody is said to be away before all could be back", isPresence)
	b := r.connect(bob.key).begin(all)
	b.awaitPresence("alice", true)
	first := a.await("presence", isPresence).GetPresence()
	if inTime := time.Since(began) < time.Second; inTime && first.GetUser() != "bob" || !first.GetOnline() {
		t.Errorf("told first: %v, want that bob is back", first)
	}
	a.awaitPresence("carol", false)
	b.awaitPresence("carol", false)
	// From now on it is told at once.
	b.cancel()
	a.awaitPresence("bob", false)
	c := r.connect(carol.key).begin(all)
	c.awaitPresence("bob", false)
}

func isPresence(m *directorypb.SessionResponse) bool { return m.GetPresence() != nil }

// TestSpreadIsTold: clients know over how long to come back before they need it.
func TestSpreadIsTold(t *testing.T) {
	r := start(t, nil)
	alice := r.registered("alice")
	s := alice.open()
	s.send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_Begin{Begin: &directorypb.Begin{}}})
	begun := s.await("begun", func(m *directorypb.SessionResponse) bool { return m.GetBegun() != nil }).GetBegun()
	s.send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_KeepAlive{KeepAlive: &directorypb.KeepAlive{}}})
	alive := s.await("keep-alive", func(m *directorypb.SessionResponse) bool { return m.GetKeepAlive() != nil }).GetKeepAlive()
	if begun.GetSpreadMs() == 0 || alive.GetSpreadMs() == 0 {
		t.Errorf("told %d and %d ms", begun.GetSpreadMs(), alive.GetSpreadMs())
	}
}
