package sdk

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

var (
	// ErrAgain: within Handle, what is to be read is not committed yet. Return
	// it, and Handle is called again.
	ErrAgain = errors.New("effects of earlier packets are not committed yet: handle this one again")
	// ErrClosed: the session with the core is over.
	ErrClosed = errors.New("the session with the core is over")
)

const (
	maxErrorText  = 1 << 10
	maxRefuseText = 200
)

// Error is a failure with a code for programs and a sentence for people.
type Error struct {
	Code codes.Code
	Text string
	// Reason and Metadata say the same as Text to programs: see Because. Empty for
	// none.
	Reason   string
	Metadata map[string]string
	cause    error
}

func (e *Error) Error() string { return e.Text }
func (e *Error) Unwrap() error { return e.cause }

// Errorf makes an *Error. What it wraps with %w only the plugin itself sees.
func Errorf(code codes.Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Text: err.Error(), cause: errors.Unwrap(err)}
}

// Because gives the error with a reason, by which a front end says it in its own
// language: one such as "NOT_ADMIN" for each sentence of the plugin's, and what the
// sentence has of names and numbers, as keys and values by turns ("user", id). The
// bounds stand at Error in plugin.proto; values are cut to them.
func (e *Error) Because(reason string, params ...any) error {
	return &Error{e.Code, e.Text, reason, failure.Metadata(params...), e.cause}
}

type refusal struct {
	text  string
	cause error
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.cause }

// Refuse gives the error by which Handle refuses a packet that is not what its
// type says. The author is told the text, at most 200 bytes of it. What it wraps with
// %w only the plugin itself sees.
func Refuse(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	text := cut(err.Error(), maxRefuseText)
	if text == "" {
		text = "not a valid packet of its type"
	}
	return &refusal{text, errors.Unwrap(err)}
}

// RefusalText gives the text of a refusal.
func RefusalText(err error) (text string, ok bool) {
	var r *refusal
	if !errors.As(err, &r) {
		return "", false
	}
	return r.text, true
}

// errorProto is err as it is sent to the core.
func errorProto(err error) *pluginpb.Error {
	out := &pluginpb.Error{}
	code := codes.Unknown
	var e *Error
	_, refused := RefusalText(err)
	switch {
	case errors.As(err, &e):
		code = e.Code
		out.Reason, out.Metadata = e.Reason, e.Metadata
	case refused:
		code = codes.InvalidArgument
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	}
	if code == codes.OK {
		code = codes.Unknown
	}
	text := cut(err.Error(), maxErrorText)
	if text == "" {
		text = code.String()
	}
	out.Code, out.Message = int32(code), text //nolint:gosec // codes are below 17
	return out
}

// cut makes s valid UTF-8 of at most limit bytes.
func cut(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
