package directory

import (
	"errors"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Kinds of errors. What this package returns is an *Error of one of these
// kinds, or ctx's error.
var (
	// ErrAddress: the address cannot be meant so.
	ErrAddress = errors.New("malformed directory address")
	// ErrUnreachable: no connection, or it broke, or there is no session now.
	ErrUnreachable = errors.New("directory is not reachable")
	// ErrNotParley: what answers is no directory.
	ErrNotParley = errors.New("not a Parley directory")
	// ErrPin: the directory's certificate is not the pinned one.
	ErrPin = errors.New("directory's certificate has changed")
	// ErrUntrusted: nobody vouches for the directory's certificate, and it is not
	// pinned.
	ErrUntrusted = errors.New("directory's certificate is not trusted")
	// ErrPassword: wrong user name or password.
	ErrPassword = errors.New("wrong user name or password")
	// ErrNotLoggedIn: this device's key is not bound to the account (any more).
	ErrNotLoggedIn = errors.New("device is not logged in")
	// ErrOtherDevice: another device is logged in, and was not to be replaced.
	ErrOtherDevice = errors.New("another device is logged in")
	// ErrTaken: the user id is taken.
	ErrTaken = errors.New("user id is taken")
	// ErrNoUser: there is no such user.
	ErrNoUser = errors.New("no such user")
	// ErrInvalid: the directory does not accept what was given.
	ErrInvalid = errors.New("not accepted")
	// ErrDenied: the directory does not allow it.
	ErrDenied = errors.New("not allowed")
	// ErrLimit: too often; Error.Retry says when it may work, if known.
	ErrLimit = errors.New("too often")
	// ErrReplaced: another process has begun a session with this device's key.
	ErrReplaced = errors.New("session was replaced by a newer one")
	// ErrProtocol: the directory did what it should not.
	ErrProtocol = errors.New("directory broke the protocol")
	// ErrInternal: the directory failed.
	ErrInternal = errors.New("directory failed")
)

// Error is a sentence for people, of a kind for programs.
type Error struct {
	Kind  error                 // one of the above
	Text  string                // what happened, to what, and what to do
	Retry time.Duration         // when the directory said to try again; else 0
	Why   *errdetails.ErrorInfo // Text for programs; nil for none
	cause error
}

// Reason implements failure.Reasoned.
func (e *Error) Reason() *errdetails.ErrorInfo { return e.Why }

// Error implements error.
func (e *Error) Error() string { return e.Text }

// Unwrap gives the kind and what was behind it.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.cause}
}

// GRPCStatus gives the gRPC code of the kind, with a RetryInfo when Retry is
// known.
func (e *Error) GRPCStatus() *status.Status {
	code := codes.Internal
	for _, k := range kindCodes {
		if errors.Is(e.Kind, k.kind) {
			code = k.code
			break
		}
	}
	s := status.New(code, e.Text)
	if e.Retry > 0 {
		if detailed, err := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(e.Retry)}); err == nil {
			return detailed
		}
	}
	return s
}
