package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/server/directory"
	"github.com/parley-chat/parley/server/password"
)

// busyRetry is when somebody whom the hasher could not take may try again.
const busyRetry = 2 * time.Second

var (
	errWrongPassword = failure.Status(codes.Unauthenticated, "The user name or the password is wrong.", because("WRONG_PASSWORD"))
	errOtherDevice   = status.Error(codes.FailedPrecondition,
		"Another device is logged in to this account. Logging in here will log it out.")
	errNoKey = status.Error(codes.Unauthenticated, "The connection shows no device key; a client certificate with an Ed25519 key is needed.")
	errLease = status.Error(codes.DeadlineExceeded, "Nothing was heard from this device for too long.")
	errBegin = status.Error(codes.InvalidArgument, "A session starts with one Begin.")
)

// kinds is what each error of the packages below is to a client. The first that
// matches counts.
var kinds = []struct {
	err    error
	code   codes.Code
	text   string
	reason *errdetails.ErrorInfo // for programs; nil for none
}{
	{directory.ErrExists, codes.AlreadyExists, "This user name is taken; choose another.", because("USER_TAKEN")},
	{directory.ErrNoUser, codes.NotFound, "There is no user of that name here.", because("NO_USER")},
	{directory.ErrNotBound, codes.Unauthenticated, "This device is not logged in, or another device has taken its place; log in again.", because("NOT_LOGGED_IN")},
	{directory.ErrDisabled, codes.PermissionDenied, "This account is disabled; ask whoever runs the directory.", because("DISABLED")},
	{directory.ErrNoInvite, codes.PermissionDenied, "This invite is not valid, has been used up, or has expired; ask whoever runs the directory for another.", because("INVITE_INVALID")},
	{errClosed, codes.PermissionDenied, "This directory makes no new accounts; ask whoever runs it for one.", because("CLOSED")},
	{errNeedsInvite, codes.PermissionDenied, "This directory asks for an invite; ask whoever runs it for one.", because("INVITE_NEEDED")},
	{directory.ErrKeyTaken, codes.PermissionDenied, "This device key belongs to another account; log in with a new one.", because("KEY_TAKEN")},
	{directory.ErrReplaced, codes.Aborted, "A newer session of this account has begun.", nil},
	{directory.ErrSlow, codes.ResourceExhausted, "This device does not read what the directory sends.", nil},
	{directory.ErrFull, codes.ResourceExhausted, "Too many requests wait for this person already; try again later.", because("REQUESTS_FULL")},
	{directory.ErrClosed, codes.Unavailable, "The directory is shutting down; try again in a moment.", because("SHUTTING_DOWN")},
	{password.ErrMismatch, codes.Unauthenticated, "The user name or the password is wrong.", because("WRONG_PASSWORD")},
	{
		password.ErrBounds, codes.InvalidArgument, fmt.Sprintf("A password has %d to %d bytes of UTF-8.", password.MinBytes, password.MaxBytes),
		because("PASSWORD_BOUNDS", "min", password.MinBytes, "max", password.MaxBytes),
	},
	{context.Canceled, codes.Canceled, "The call was cancelled.", nil},
	{context.DeadlineExceeded, codes.DeadlineExceeded, "The directory took too long; try again.", nil},
}

// statusOf maps an error to what a client sees. What is the server's own fault
// is logged here and told without its insides.
func statusOf(log *slog.Logger, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	if errors.Is(err, password.ErrBusy) {
		return exhausted("Too many people are logging in at this moment.", busyRetry)
	}
	if errors.Is(err, directory.ErrState) {
		log.Error("a call failed", "error", err)
		return failure.Status(codes.Unavailable,
			"The directory cannot use its records at this moment; try again later, and tell its operator if it lasts.", because("RECORDS"))
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return failure.Status(k.code, k.text, k.reason)
		}
	}
	log.Error("a call failed", "error", err)
	return failure.Status(codes.Internal, "The directory failed; its log says why.", because("FAILED"))
}

// exhausted is RESOURCE_EXHAUSTED with when to try again.
func exhausted(text string, wait time.Duration) error {
	wait = max(wait.Round(time.Second), time.Second)
	s := status.New(codes.ResourceExhausted, fmt.Sprintf("%s Try again in %s.", text, wait))
	if detailed, err := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(wait)}, because("TOO_OFTEN", "wait", wait)); err == nil {
		s = detailed
	}
	return s.Err()
}

func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

// because gives a reason of the directory's: see failure.Because.
func because(reason string, params ...any) *errdetails.ErrorInfo {
	return &errdetails.ErrorInfo{Reason: reason, Domain: failure.DirectoryDomain, Metadata: failure.Metadata(params...)}
}
