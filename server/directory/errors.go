package directory

import "errors"

// Errors of this package. Like all that they are wrapped in here they name nobody,
// because they end in the log.
var (
	// ErrExists: the user id is taken.
	ErrExists = errors.New("user id is taken")
	// ErrNoUser: there is no such user.
	ErrNoUser = errors.New("no such user")
	// ErrNotBound: the device key is no account's.
	ErrNotBound = errors.New("device is not logged in")
	// ErrKeyTaken: the device key is another account's.
	ErrKeyTaken = errors.New("device key belongs to another account")
	// ErrDisabled: the operator has disabled the account.
	ErrDisabled = errors.New("account is disabled")
	// ErrNoInvite: there is no such invite, or none that can still be used.
	ErrNoInvite = errors.New("no invite that can be used")
	// ErrTooManyInvites: more cannot be kept.
	ErrTooManyInvites = errors.New("too many invites; revoke some")
	// ErrReplaced: a newer session of the user has begun.
	ErrReplaced = errors.New("a newer session has begun")
	// ErrSlow: the client does not read what it is sent.
	ErrSlow = errors.New("client does not read its session")
	// ErrFull: no more can be kept for the user.
	ErrFull = errors.New("too much waits for this user")
	// ErrClosed: the directory is closing.
	ErrClosed = errors.New("the directory is closing")
	// ErrState: the records cannot be read or written.
	ErrState = errors.New("the directory's records cannot be used")
)
