package failure_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/internal/failure"
)

func TestReason(t *testing.T) {
	kind := errors.New("kind")
	plain := failure.New(kind, "%s is not there", "bob")
	err := fmt.Errorf("wrapped: %w", plain.Because("NOT_THERE", "user", "bob", "times", 2))
	why := failure.Reason(err)
	if why.GetReason() != "NOT_THERE" || why.GetDomain() != failure.Domain || why.GetMetadata()["user"] != "bob" || why.GetMetadata()["times"] != "2" {
		t.Errorf("%v", why)
	}
	if err.Error() != "wrapped: bob is not there" || !errors.Is(err, kind) {
		t.Errorf("%v", err)
	}
	if why := failure.Reason(plain); why != nil {
		t.Errorf("one without has %v", why)
	}
	if why := failure.Reason(kind); why != nil {
		t.Errorf("one of another kind has %v", why)
	}
	s := status.Convert(failure.Status(codes.NotFound, "gone", why))
	if len(s.Details()) != 1 || s.Details()[0].(*errdetails.ErrorInfo).GetReason() != "NOT_THERE" || s.Message() != "gone" || s.Code() != codes.NotFound {
		t.Errorf("%v", s)
	}
	if s := status.Convert(failure.Status(codes.NotFound, "gone", nil)); len(s.Details()) != 0 {
		t.Errorf("%v", s)
	}
}

func TestMetadata(t *testing.T) {
	long := strings.Repeat("好", 1000)
	m := failure.Metadata("a", long, "b", "x\xffy", "odd")
	if len(m) != 2 || len(m["a"]) > 512 || !utf8.ValidString(m["a"]) || !strings.HasPrefix(long, m["a"]) || m["b"] != "x\ufffdy" {
		t.Errorf("%q", m)
	}
	if !failure.Valid("FULL", m) {
		t.Error("what is cut is out of bounds")
	}
}

func TestValid(t *testing.T) {
	many := map[string]string{}
	for i := range 17 {
		many[fmt.Sprintf("k%d", i)] = ""
	}
	for _, x := range []struct {
		reason   string
		metadata map[string]string
		want     bool
	}{
		{"NOT_ADMIN", nil, true},
		{"OK", map[string]string{"a_1": strings.Repeat("x", 512)}, true},
		{strings.Repeat("A", 63), nil, true},
		{strings.Repeat("A", 64), nil, false},
		{"", nil, false}, {"A", nil, false}, {"_A", nil, false}, {"A_", nil, false}, {"not_admin", nil, false}, {"NOT ADMIN", nil, false}, {"A\nB", nil, false},
		{"FULL", many, false},
		{"FULL", map[string]string{"": ""}, false},
		{"FULL", map[string]string{"Key": ""}, false},
		{"FULL", map[string]string{strings.Repeat("k", 64): ""}, false},
		{"FULL", map[string]string{"a": strings.Repeat("x", 513)}, false},
		{"FULL", map[string]string{"a": "\xff"}, false},
	} {
		if got := failure.Valid(x.reason, x.metadata); got != x.want {
			t.Errorf("%q with %.80q: %v", x.reason, fmt.Sprint(x.metadata), got)
		}
	}
}
