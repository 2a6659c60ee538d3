package admin

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/server/directory"
	"github.com/parley-chat/parley/server/password"
	"github.com/parley-chat/parley/server/state"
)

// Kind is what sort of error it is, for scripts.
type Kind string

// The kinds of errors.
const (
	KindInvalid     Kind = "invalid"
	KindNotFound    Kind = "not_found"
	KindExists      Kind = "exists"
	KindUnavailable Kind = "unavailable"
	KindInternal    Kind = "internal"
)

// Error says in a sentence what went wrong.
type Error struct {
	Kind Kind   `json:"kind"`
	Text string `json:"error"`
}

// Error implements error.
func (e *Error) Error() string { return e.Text }

func invalid(format string, args ...any) error {
	return &Error{KindInvalid, fmt.Sprintf(format, args...)}
}

// errorOf puts an error into a sentence.
func errorOf(err error) error {
	var e *Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	if s, ok := status.FromError(err); ok { // what package api refused
		return &Error{KindInvalid, s.Message()}
	}
	for _, k := range []struct {
		err  error
		kind Kind
		text string
	}{
		{directory.ErrExists, KindExists, "This user name is taken; choose another."},
		{directory.ErrNoUser, KindNotFound, "There is no such user; parley-server user list shows all."},
		{directory.ErrNoInvite, KindNotFound, "There is no such invite; parley-server invite list shows all."},
		{directory.ErrTooManyInvites, KindInvalid, fmt.Sprintf("There are %d invites already; revoke some.", directory.MaxInvites)},
		{directory.ErrState, KindUnavailable, "The directory's records cannot be written, most likely because the disk is full; see its log."},
		{password.ErrBounds, KindInvalid, fmt.Sprintf("A password has %d to %d bytes of UTF-8.", password.MinBytes, password.MaxBytes)},
		{password.ErrBusy, KindUnavailable, "Too many people are logging in at this moment; try again."},
		{state.ErrInUse, KindUnavailable, "The server is starting or stopping; try again in a moment."},
		{context.DeadlineExceeded, KindUnavailable, "The server took too long; try again."},
	} {
		if errors.Is(err, k.err) {
			return &Error{k.kind, k.text}
		}
	}
	return &Error{KindInternal, "It failed: " + err.Error() + "."}
}
