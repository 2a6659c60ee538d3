package directory

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
	"unicode"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/internal/failure"
)

// kindCodes maps kinds to gRPC codes and, where only one kind has a code, back.
// The first of a code is the one that a directory's error becomes.
var kindCodes = []struct {
	kind error
	code codes.Code
}{
	{ErrUnreachable, codes.Unavailable},
	{ErrInvalid, codes.InvalidArgument},
	{ErrPassword, codes.Unauthenticated},
	{ErrOtherDevice, codes.FailedPrecondition},
	{ErrTaken, codes.AlreadyExists},
	{ErrNoUser, codes.NotFound},
	{ErrDenied, codes.PermissionDenied},
	{ErrLimit, codes.ResourceExhausted},
	{ErrReplaced, codes.Aborted},
	{ErrInternal, codes.Internal},
	{ErrAddress, codes.InvalidArgument},
	{ErrNotLoggedIn, codes.Unauthenticated},
	{ErrNotParley, codes.Unavailable},
	{ErrPin, codes.FailedPrecondition},
	{ErrUntrusted, codes.FailedPrecondition},
	{ErrProtocol, codes.Internal},
}

// callError maps an error of a gRPC call to address. unauthenticated is what
// that code means for the call.
func callError(ctx context.Context, address string, err error, unauthenticated error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return timedOut(ctx, address)
	}
	s := status.Convert(err)
	e := &Error{Kind: ErrInternal, Text: sentence(s.Message()), cause: err}
	for _, k := range kindCodes {
		if k.code == s.Code() {
			e.Kind = k.kind
			break
		}
	}
	switch s.Code() {
	case codes.Unauthenticated:
		e.Kind = unauthenticated
	case codes.Unavailable:
		if e.Text == "" || strings.Contains(e.Text, "desc =") || strings.Contains(e.Text, "error reading") || strings.Contains(e.Text, "closing") {
			e.Text = "The connection to the directory " + address + " broke."
			e.Why = failure.Because("DIRECTORY_BROKE", "directory", address)
		}
	case codes.DeadlineExceeded:
		e.Kind, e.Text = ErrUnreachable, "The directory "+address+" did not answer in time; try again."
		e.Why = failure.Because("DIRECTORY_TIMEOUT", "directory", address)
	}
	if notGRPC(s) {
		return notParley(address, err)
	}
	for _, d := range s.Details() {
		switch info := d.(type) {
		case *errdetails.RetryInfo:
			e.Retry = min(max(info.GetRetryDelay().AsDuration(), 0), time.Hour)
		case *errdetails.ErrorInfo:
			// In the directory's domain whatever it says: it does not speak for the core.
			if e.Why == nil && failure.Valid(info.GetReason(), info.GetMetadata()) {
				e.Why = &errdetails.ErrorInfo{Reason: info.GetReason(), Domain: failure.DirectoryDomain, Metadata: info.GetMetadata()}
			}
		}
	}
	if e.Text == "" {
		e.Text = fmt.Sprintf("The directory %s failed and did not say why (%s).", address, s.Code())
	}
	return e
}

// notGRPC says whether the status was made up by gRPC for an HTTP answer that
// is none of gRPC's, or by a gRPC server that does not know the service.
func notGRPC(s *status.Status) bool {
	return s.Code() == codes.Unimplemented || strings.Contains(s.Message(), "unexpected HTTP status code") ||
		strings.Contains(s.Message(), "content-type")
}

func notParley(address string, cause error) error {
	return &Error{Kind: ErrNotParley, cause: cause, Why: failure.Because("DIRECTORY_NOT_PARLEY", "directory", address, "port", DefaultPort),
		Text: fmt.Sprintf("What answers at %s is not a Parley directory; check the host and the port (usually %d).", address, DefaultPort)}
}

func timedOut(ctx context.Context, address string) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &Error{Kind: ErrUnreachable, cause: ctx.Err(), Why: failure.Because("DIRECTORY_TIMEOUT", "directory", address),
			Text: "The directory " + address + " did not answer in time; check the address, the network and firewalls between."}
	}
	return ctx.Err()
}

// dialError maps an error of a TCP connection to address.
func dialError(ctx context.Context, address string, err error) error {
	e := &Error{Kind: ErrUnreachable, cause: err}
	var dns *net.DNSError
	switch {
	case ctx.Err() != nil:
		return timedOut(ctx, address)
	case errors.As(err, &dns) && dns.IsNotFound:
		e.Text = fmt.Sprintf("The name %s does not exist; check the directory's address.", sentence(dns.Name))
		e.Why = failure.Because("DIRECTORY_NO_NAME", "name", sentence(dns.Name))
	case errors.As(err, &dns):
		e.Text = fmt.Sprintf("The name %s cannot be looked up; check this machine's network and DNS.", sentence(dns.Name))
		e.Why = failure.Because("DIRECTORY_LOOKUP", "name", sentence(dns.Name))
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Text = fmt.Sprintf("Nothing listens at %s; check the port, and whether the directory is running.", address)
		e.Why = failure.Because("DIRECTORY_NOBODY", "directory", address)
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		e.Text = fmt.Sprintf("There is no way from here to %s; check this machine's network.", address)
		e.Why = failure.Because("DIRECTORY_NO_WAY", "directory", address)
	default:
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			e.Text = "The directory " + address + " did not answer in time; check the address, the network and firewalls between."
			e.Why = failure.Because("DIRECTORY_TIMEOUT", "directory", address)
		} else {
			e.Text = fmt.Sprintf("The directory %s cannot be reached: %v.", address, err)
			e.Why = failure.Because("DIRECTORY_UNREACHABLE", "directory", address, "why", err)
		}
	}
	return e
}

// tlsError maps an error of the TLS handshake with address.
func tlsError(ctx context.Context, address string, err error) error {
	var own *Error
	var record tls.RecordHeaderError
	var alert *net.OpError
	switch {
	case errors.As(err, &own):
		return own
	case ctx.Err() != nil:
		return timedOut(ctx, address)
	case errors.As(err, &record), errors.As(err, &alert) && alert.Op == "remote error", strings.HasPrefix(err.Error(), "tls: "):
		return notParley(address, err)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return &Error{Kind: ErrUnreachable, cause: err, Why: failure.Because("DIRECTORY_CLOSED", "directory", address),
			Text: fmt.Sprintf("The directory %s closed the connection; it may be overloaded, or something else listens there.", address)}
	}
	return dialError(ctx, address, err)
}

func pinError(address, pinned, met string, vouched bool) error {
	more := ""
	if vouched {
		more = " An authority vouches for the new one: if the operator says so, you can also log in again without a fingerprint."
	}
	return &Error{Kind: ErrPin, Text: fmt.Sprintf("The directory %s shows another certificate than before. Either it was set up anew, or somebody "+
		"stands between. Ask its operator for the fingerprint: if it is %s, log in again with that one; if not, do not connect.%s (Known: %s.)",
		address, met, more, pinned), Why: failure.Because("PIN_MISMATCH", "directory", address, "fingerprint", met, "known", pinned)}
}

func untrustedError(address, met string, cause error) error {
	text := fmt.Sprintf("No authority vouches for the certificate of the directory %s, and it was not accepted before; "+
		"ask its operator whether its fingerprint is %s, and log in again with that one.", address, met)
	why := failure.Because("DIRECTORY_UNTRUSTED", "directory", address, "fingerprint", met)
	var expired x509.CertificateInvalidError
	if errors.As(cause, &expired) && expired.Reason == x509.Expired {
		text = fmt.Sprintf("The certificate of the directory %s has expired, or this machine's clock is wrong; "+
			"check the clock, and tell the directory's operator.", address)
		why = failure.Because("DIRECTORY_EXPIRED", "directory", address)
	}
	return &Error{Kind: ErrUntrusted, Text: text, Why: why, cause: cause}
}

// maxSentence bounds what is shown of a directory's words.
const maxSentence = 300

// sentence makes a directory's words fit to be shown.
func sentence(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsPrint(r) && !unicode.Is(unicode.Bidi_Control, r):
			return r
		case unicode.IsSpace(r):
			return ' '
		default:
			return -1
		}
	}, s)
	if len(s) <= maxSentence {
		return s
	}
	return strings.ToValidUTF8(s[:maxSentence], "") + "..."
}
