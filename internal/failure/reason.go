package failure

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The domains of reasons. A plugin's is its name.
const (
	Domain          = "parley" // the core's
	DirectoryDomain = "directory"
)

// Bounds of a reason; plugin.proto says them to others.
const (
	maxReason = 63 // bytes
	maxParams = 16
	maxKey    = 63
	maxValue  = 512
)

var (
	reasonPattern = regexp.MustCompile(`^[A-Z][A-Z0-9_]*[A-Z0-9]$`)
	keyPattern    = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

// Reasoned is an error with a reason; nil for none.
type Reasoned interface {
	error
	Reason() *errdetails.ErrorInfo
}

// Because gives a reason of the core's. params are what the sentence beside it has of
// names and numbers: keys and values by turns, as in slog.
func Because(reason string, params ...any) *errdetails.ErrorInfo {
	return &errdetails.ErrorInfo{Reason: reason, Domain: Domain, Metadata: Metadata(params...)}
}

// Metadata makes the metadata of a reason of keys and values by turns; values are cut
// to what one may have.
func Metadata(params ...any) map[string]string {
	if len(params) < 2 {
		return nil
	}
	m := make(map[string]string, len(params)/2)
	for i := 0; i+1 < len(params); i += 2 {
		m[fmt.Sprint(params[i])] = cut(fmt.Sprint(params[i+1]))
	}
	return m
}

// cut makes s valid UTF-8 of at most maxValue bytes.
func cut(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxValue {
		return s
	}
	n := maxValue
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// Valid says whether a reason that came from elsewhere keeps the bounds.
func Valid(reason string, metadata map[string]string) bool {
	if len(reason) > maxReason || !reasonPattern.MatchString(reason) || len(metadata) > maxParams {
		return false
	}
	for key, value := range metadata {
		if len(key) > maxKey || !keyPattern.MatchString(key) || len(value) > maxValue || !utf8.ValidString(value) {
			return false
		}
	}
	return true
}

// Reason gives the reason of the outermost error in a chain that has one; else nil.
func Reason(err error) *errdetails.ErrorInfo {
	var r Reasoned
	if errors.As(err, &r) {
		return r.Reason()
	}
	return nil
}

// Status gives what a front end gets: a code, a sentence, and its reason, which may be
// nil, in the details.
func Status(code codes.Code, text string, reason *errdetails.ErrorInfo) error {
	s := status.New(code, text)
	if reason != nil {
		// Fails for text that is not UTF-8 alone: then the sentence has to do.
		if detailed, err := s.WithDetails(reason); err == nil {
			s = detailed
		}
	}
	return s.Err()
}
