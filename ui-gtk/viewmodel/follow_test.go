package viewmodel

import (
	"testing"

	"github.com/parley-chat/parley/protocol/controlpb"
)

func TestWhoFollowsALink(t *testing.T) {
	core := newFakeCore()
	core.status.Directory = &controlpb.DirectoryStatus{Address: "directory.example.org:7410"}
	w := openWindow(t, core)
	for directory, want := range map[string]Follow{
		"": FollowHere, "directory.example.org": FollowHere, "Directory.Example.org:7410": FollowHere,
		"other.example.org": FollowElsewhere, "directory.example.org:7411": FollowElsewhere,
	} {
		if got := w.session.Follows(directory); got != want {
			t.Errorf("%q: %v", directory, got)
		}
	}
	// A directory on this computer has another name for others.
	w.session.cfg.Reachable = func(string) string { return "192.0.2.1:7410" }
	for directory, want := range map[string]Follow{"192.0.2.1": FollowHere, "directory.example.org": FollowHere, "192.0.2.2": FollowElsewhere} {
		if got := w.session.Follows(directory); got != want {
			t.Errorf("%q: %v", directory, got)
		}
	}
	out, _, _ := loggedOut(t)
	if out.session.Follows("") != FollowLater {
		t.Error("without an account a link is followed")
	}
}
