package roster

import (
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
)

// Kinds of errors. What a Roster returns is one of these, store.ErrNotFound
// (no such contact or request) or another error of the store's, or what the
// directory said, always as a sentence that says what to do.
var (
	// ErrInvalid: something that was given cannot be meant so.
	ErrInvalid = errors.New("invalid")
	// ErrNoUser: the directory knows no such user.
	ErrNoUser = errors.New("no such user")
	// ErrContact: the user is a contact already.
	ErrContact = errors.New("is a contact already")
	// ErrBlocked: the user is blocked here.
	ErrBlocked = errors.New("is blocked")
	// ErrKeys: the safety number is not the one of the changed keys, or the keys
	// are changed, or have not changed, where the opposite is needed.
	ErrKeys = errors.New("keys do not fit")
	// ErrFull: the roster has as many people as it can hold.
	ErrFull = errors.New("roster is full")
)

func notFound(err error) bool { return errors.Is(err, store.ErrNotFound) }

// unreachable says whether a call to the directory failed in a way that says
// nothing of what was asked, so that trying again later may well work.
func unreachable(err error) bool {
	var f *failure.Failure
	if errors.As(err, &f) {
		return false
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Aborted, codes.Unknown, codes.Internal:
		return true
	default:
		return false
	}
}

// final says whether the directory's answer will not change by trying again.
// Everything else may: a log-in that lapsed, a certificate that is looked into,
// a limit that was reached.
func final(err error) bool {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.NotFound, codes.PermissionDenied:
		return true
	default:
		return errors.Is(err, ErrNoUser)
	}
}
