// Package failure is how an error of the core reaches people: a sentence that says
// what to do, of a kind that programs look for.
package failure

import "fmt"

// Failure is an error whose text is for people.
type Failure struct {
	kind error
	text string
}

// New makes the error of a kind with a text. Its text is what format and args give,
// without the kind's; errors.Is finds the kind.
func New(kind error, format string, args ...any) error {
	return &Failure{kind, fmt.Sprintf(format, args...)}
}

// Error gives the sentence.
func (f *Failure) Error() string { return f.text }

// Unwrap gives the kind.
func (f *Failure) Unwrap() error { return f.kind }
