package group

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/sdk"
)

// quiet is a core that only has a log.
type quiet struct{ sdk.Host }

func (quiet) Log() *slog.Logger { return slog.New(slog.DiscardHandler) }

// TestNotTaken: who made a change that is refused while it is handled is told why.
func TestNotTaken(t *testing.T) {
	for want, why := range map[string]error{
		"CHANGES_FULL":     fmt.Errorf("alice made 9: %w", ErrFull),
		"CHANGE_NOT_TAKEN": fmt.Errorf("alice had not the right: %w", ErrForged),
	} {
		p := &Plugin{self: "alice", core: quiet{}}
		_, refused := p.ignore(&Signed{Author: "alice"}, "chat", why)
		if _, ok := sdk.RefusalText(refused); !ok {
			t.Fatalf("%v: it is not refused: %v", why, refused)
		}
		var e *sdk.Error
		if err := notTaken(refused); !errors.As(err, &e) || e.Reason != want || e.Code != codes.FailedPrecondition || !errors.Is(err, errors.Unwrap(why)) {
			t.Errorf("%v: %+v", why, err)
		}
	}
}
