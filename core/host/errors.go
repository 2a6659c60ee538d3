package host

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/core/store"
)

// Errors of this package; they come wrapped with the plugin's name.
var (
	// ErrNoPlugin: no plugin of that name was found (NOT_FOUND).
	ErrNoPlugin = errors.New("no such plugin")
	// ErrNoAction: the plugin has no such action (NOT_FOUND).
	ErrNoAction = errors.New("no such action")
	// ErrNoSetting: the plugin has no such setting (NOT_FOUND).
	ErrNoSetting = errors.New("no such setting")
	// ErrInvalid: what was asked breaks a rule of plugin.proto
	// (INVALID_ARGUMENT).
	ErrInvalid = errors.New("not valid")
	// ErrUnavailable: the plugin is disabled, broken or does not come up; the
	// text says which and what to do (UNAVAILABLE).
	ErrUnavailable = errors.New("plugin cannot be used")
	// ErrFileChanged: the file is not the one the user saw (ABORTED).
	ErrFileChanged = errors.New("plugin file has changed")
	// ErrBusy: too many actions of one plugin are under way
	// (RESOURCE_EXHAUSTED).
	ErrBusy = errors.New("too much at once")
)

// PluginError is a failure a plugin reported of an action, or one of its answers
// that could not be used (code Internal).
type PluginError struct {
	Plugin string
	Code   codes.Code
	Text   string                // for people
	Why    *errdetails.ErrorInfo // the same for programs; nil for none
}

func (e *PluginError) Error() string { return fmt.Sprintf("plugin %s: %s", e.Plugin, e.Text) }

// Reason implements failure.Reasoned.
func (e *PluginError) Reason() *errdetails.ErrorInfo { return e.Why }

// answerError says which field of a plugin's answer broke which rule.
type answerError struct {
	plugin, field string
	err           error
}

func (e *answerError) Error() string {
	return fmt.Sprintf("plugin %s: %s: %v", e.plugin, e.field, e.err)
}
func (e *answerError) Unwrap() error { return e.err }

// Refusal is why something cannot be sent, which is neither the plugin's fault nor
// the store's: of what a person asked for, the person is told it (FailedPrecondition).
type Refusal struct {
	Text string
	Why  *errdetails.ErrorInfo // the same for programs; nil for none
}

func (e *Refusal) Error() string { return e.Text }

var (
	errHalted    = errors.New("plugin is being stopped")
	errDead      = errors.New("plugin died")
	errNotAsked  = fmt.Errorf("%w before it was asked", errDead)
	errNoAnswer  = errors.New("plugin did not answer in time")
	errProtocol  = errors.New("plugin broke the protocol")
	errNotServed = errors.New("plugin host is not running")
)

// storeFailed says whether err is the store's trouble, which has to be waited
// out, and not that of the one thing that was to be stored.
func storeFailed(err error) bool {
	for _, of := range []error{
		store.ErrFull, store.ErrReadOnly, store.ErrBusy, store.ErrClosed, store.ErrCorrupt, store.ErrKey, store.ErrNewer,
		context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, of) {
			return true
		}
	}
	return false
}
