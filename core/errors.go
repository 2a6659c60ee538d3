package core

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/core/chatlog"
	"github.com/parley-chat/parley/core/control"
	"github.com/parley-chat/parley/core/directory"
	"github.com/parley-chat/parley/core/host"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/core/net2019"
	"github.com/parley-chat/parley/core/roster"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
)

// Errors of this package.
var (
	// ErrNoAccount: nobody is logged in on the profile.
	ErrNoAccount = errors.New("nobody is logged in")
	// ErrOtherAccount: somebody else is.
	ErrOtherAccount = errors.New("another account is logged in")
	// ErrStopping: the core is about to end.
	ErrStopping = errors.New("parley is stopping: ask again, and it is started again")
	// ErrPassphraseNeeded: the account is protected by a passphrase and none was
	// given.
	ErrPassphraseNeeded = errors.New("the account is protected by a passphrase")
	// ErrInvalid: a request that cannot be meant so.
	ErrInvalid = errors.New("not valid")
)

// errLoggingIn: the account is closed for the moment.
var errLoggingIn = errors.New("a log-in is under way: ask again in a moment")

// LockedError says that an account is there and cannot be opened, and why.
type LockedError struct{ Cause error }

func (e *LockedError) Error() string { return "the account cannot be opened: " + e.Cause.Error() }

// Unwrap gives the cause.
func (e *LockedError) Unwrap() error { return e.Cause }

// advise adds what to do to the error of a database that cannot be opened; the
// store knows only what is wrong with it.
func advise(err error) error {
	for _, kind := range []struct {
		is   error
		what string
	}{
		{store.ErrCorrupt, "nothing was changed in it. Put the file back from a backup; or move it and its key.json away, and log in again to begin anew"},
		{store.ErrKey, "put back the key file that belongs to it; or move both away, and log in again to begin anew"},
		{store.ErrNewer, "install the version of Parley that wrote it, or a later one"},
		{store.ErrReadOnly, "make the file and its folder ones that you may write"},
		{store.ErrFull, "make room; nothing that was stored is lost"},
		{store.ErrBusy, "end the other process"},
	} {
		if errors.Is(err, kind.is) {
			return fmt.Errorf("%w: %s", err, kind.what)
		}
	}
	return err
}

// kinds says which gRPC code a front end gets for which kind of error; the
// first that fits counts.
var kinds = []struct {
	is     error
	code   codes.Code
	reason string // for front ends, in an ErrorInfo
}{
	{ErrNoAccount, codes.FailedPrecondition, "NO_ACCOUNT"},
	{ErrOtherAccount, codes.FailedPrecondition, "OTHER_ACCOUNT"},
	{ErrStopping, codes.Unavailable, "STOPPING"},
	{ErrPassphraseNeeded, codes.Unauthenticated, "PASSPHRASE"},
	{directory.ErrOtherDevice, codes.FailedPrecondition, "OTHER_DEVICE"},
	{directory.ErrPin, codes.FailedPrecondition, "PIN_MISMATCH"},
	{directory.ErrUnreachable, codes.Unavailable, "DIRECTORY"},
	{directory.ErrNotParley, codes.Unavailable, "DIRECTORY"},
	{identity.ErrLocked, codes.FailedPrecondition, "LOCKED"},
	{identity.ErrWrongPassphrase, codes.Unauthenticated, "WRONG_PASSPHRASE"},
	{identity.ErrNoVault, codes.FailedPrecondition, "KEY"},
	{identity.ErrKeyMissing, codes.FailedPrecondition, "KEY"},
	{identity.ErrWrongKey, codes.FailedPrecondition, "KEY"},
	{identity.ErrPermissions, codes.FailedPrecondition, "KEY"},
	{identity.ErrDamaged, codes.DataLoss, "KEY"},
	{identity.ErrPassphrase, codes.InvalidArgument, ""},
	{identity.ErrPlace, codes.InvalidArgument, ""},
	{store.ErrFull, codes.ResourceExhausted, "DISK_FULL"},
	{store.ErrCorrupt, codes.DataLoss, "DAMAGED"},
	{store.ErrNotFound, codes.NotFound, ""},
	{store.ErrExists, codes.AlreadyExists, ""},
	{store.ErrReadOnly, codes.Internal, "READ_ONLY"},
	{store.ErrBusy, codes.FailedPrecondition, "BUSY"},
	{store.ErrClosed, codes.Unavailable, ""},
	{roster.ErrInvalid, codes.InvalidArgument, ""},
	{roster.ErrNoUser, codes.NotFound, ""},
	{roster.ErrContact, codes.AlreadyExists, ""},
	{roster.ErrBlocked, codes.FailedPrecondition, ""},
	{roster.ErrKeys, codes.FailedPrecondition, ""},
	{roster.ErrFull, codes.ResourceExhausted, ""},
	{net2019.ErrOff, codes.FailedPrecondition, ""},
	{net2019.ErrInvalid, codes.InvalidArgument, ""},
	{net2019.ErrUnreachable, codes.Unavailable, ""},
	{net2019.ErrRefused, codes.PermissionDenied, ""},
	{net2019.ErrTaken, codes.AlreadyExists, ""},
	{net2019.ErrNotServed, codes.Unimplemented, ""},
	{net2019.ErrPort, codes.FailedPrecondition, ""},
	{net2019.ErrContact, codes.AlreadyExists, ""},
	{net2019.ErrBlocked, codes.FailedPrecondition, ""},
	{net2019.ErrFull, codes.ResourceExhausted, ""},
	{host.ErrNoPlugin, codes.NotFound, "NO_PLUGIN"},
	{host.ErrNoAction, codes.NotFound, ""},
	{host.ErrNoSetting, codes.NotFound, ""},
	{host.ErrInvalid, codes.InvalidArgument, ""},
	{host.ErrUnavailable, codes.Unavailable, "PLUGIN"},
	{host.ErrFileChanged, codes.Aborted, ""},
	{host.ErrBusy, codes.ResourceExhausted, ""},
	{chatlog.ErrNotMember, codes.FailedPrecondition, "NOT_MEMBER"},
	{chatlog.ErrUnknownChat, codes.NotFound, ""},
	{chatlog.ErrTooLarge, codes.InvalidArgument, ""},
	{chatlog.ErrTaken, codes.AlreadyExists, ""},
	{chatlog.ErrDraft, codes.InvalidArgument, ""},
	{ErrSetting, codes.InvalidArgument, ""},
	{ErrInvalid, codes.InvalidArgument, ""},
	{control.ErrInvalid, codes.InvalidArgument, ""},
	{control.ErrNotNow, codes.FailedPrecondition, ""},
	{context.Canceled, codes.Canceled, ""},
	{context.DeadlineExceeded, codes.DeadlineExceeded, ""},
}

// statusOf turns an error of the core into what front ends get: a code, the
// error's own sentence, and a reason for programs: the error's own, else its kind's.
func statusOf(err error) error {
	var locked *LockedError
	if errors.Is(err, errLoggingIn) {
		return failure.Status(codes.Unavailable, errLoggingIn.Error(), failure.Because("BUSY"))
	}
	if errors.As(err, &locked) {
		return failure.Status(codes.FailedPrecondition, err.Error(), failure.Because("LOCKED"))
	}
	var plugin *host.PluginError
	if errors.As(err, &plugin) {
		return failure.Status(plugin.Code, plugin.Text, plugin.Why)
	}
	reason := failure.Reason(err)
	for _, kind := range kinds {
		if errors.Is(err, kind.is) {
			text := err.Error()
			if kind.code == codes.InvalidArgument || kind.reason == "OTHER_ACCOUNT" {
				// The sentence says it all; its end is for programs.
				text = strings.TrimSuffix(text, ": "+kind.is.Error())
			}
			if reason == nil && kind.reason != "" {
				reason = &errdetails.ErrorInfo{Reason: kind.reason, Domain: failure.Domain}
			}
			return failure.Status(kind.code, text, reason)
		}
	}
	if s, ok := status.FromError(err); ok && s.Code() != codes.Unknown {
		return failure.Status(s.Code(), s.Message(), reason)
	}
	return failure.Status(codes.Internal, err.Error(), reason)
}
