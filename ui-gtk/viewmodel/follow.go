package viewmodel

import "strings"

// Follow says where a link to a person leads.
type Follow int

// Where a link leads.
const (
	// FollowHere: the account is one of the link's directory.
	FollowHere Follow = iota
	// FollowElsewhere: it is one of another directory.
	FollowElsewhere
	// FollowLater: no account is open.
	FollowLater
)

// directoryPort is what an address of a directory has where it says none.
const directoryPort = "7410"

// Follows says whether this account can follow a link to somebody of a directory,
// which is empty where the link says none.
func (s *Session) Follows(directory string) Follow {
	switch {
	case !s.Open():
		return FollowLater
	case s.home(directory):
		return FollowHere
	}
	return FollowElsewhere
}

// home says whether a directory that a link names is the account's own; empty is
// none, and so it.
func (s *Session) home(directory string) bool {
	return directory == "" || sameDirectory(directory, s.Status.Get().GetDirectory().GetAddress()) || sameDirectory(directory, s.reachable())
}

// sameDirectory says whether two addresses are written for the same one.
func sameDirectory(a, b string) bool {
	plain := func(s string) string {
		return strings.ToLower(strings.TrimSuffix(strings.TrimSpace(s), ":"+directoryPort))
	}
	return plain(a) == plain(b)
}
