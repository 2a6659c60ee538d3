// Package failure is how what the core has to say reaches people: an error that is a
// sentence saying what to do, of a kind that programs look for; and beside sentences
// the reasons by which front ends say them in another language.
package failure

import (
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
)

// Failure is an error whose text is for people.
type Failure struct {
	kind   error
	text   string
	reason *errdetails.ErrorInfo
}

// New makes the error of a kind with a text. Its text is what format and args give,
// without the kind's; errors.Is finds the kind.
func New(kind error, format string, args ...any) *Failure {
	return &Failure{kind: kind, text: fmt.Sprintf(format, args...)}
}

// Because gives the error with a reason: see the function Because.
func (f *Failure) Because(reason string, params ...any) error {
	return &Failure{f.kind, f.text, Because(reason, params...)}
}

// Of gives the error with the reason that another error has, if it has one.
func (f *Failure) Of(err error) error { return &Failure{f.kind, f.text, Reason(err)} }

// Error gives the sentence.
func (f *Failure) Error() string { return f.text }

// Unwrap gives the kind.
func (f *Failure) Unwrap() error { return f.kind }

// Reason implements Reasoned.
func (f *Failure) Reason() *errdetails.ErrorInfo { return f.reason }
