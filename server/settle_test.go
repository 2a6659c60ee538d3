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
	began := time.Now()
	r.start()
	all := lists{contacts: []string{"alice", "bob", "carol"}}
	a := r.connect(alice.key).begin(all)
	// It goes the whole way, and comes after what Begin has caused.
	early := a.heard(isPresence)
	b := r.connect(bob.key).begin(all)
	b.awaitPresence("alice", true)
	said := func(user string, online bool) bool {
		p := a.presence[user]
		return p != nil && p.GetOnline() == online
	}
	for !said("bob", true) {
		p := a.await("presence", isPresence)
		early = append(early, p)
	}
	// On a machine that is too busy all have had their time before.
	if inTime := time.Since(began) < time.Second; inTime && len(early) > 1 {
		t.Errorf("before all could be back it is said: %v", early)
	}
	for !said("carol", false) {
		a.await("presence", isPresence)
	}
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
