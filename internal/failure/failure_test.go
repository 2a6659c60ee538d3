package failure_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/parley-chat/parley/internal/failure"
)

func TestFailure(t *testing.T) {
	kind, other := errors.New("kind"), errors.New("other")
	err := fmt.Errorf("wrapped: %w", failure.New(kind, "Bob is not there: ask %d times", 2))
	if err.Error() != "wrapped: Bob is not there: ask 2 times" {
		t.Error(err)
	}
	if !errors.Is(err, kind) || errors.Is(err, other) {
		t.Error("it is not of its kind")
	}
	var f *failure.Failure
	if !errors.As(err, &f) || f.Error() != "Bob is not there: ask 2 times" {
		t.Error("its sentence is lost")
	}
}
