package packet

import "errors"

// Errors of this package. Decoders wrap them with what was wrong.
var (
	// ErrMalformed: bytes that no correct peer sends.
	ErrMalformed = errors.New("malformed")
	// ErrTooLarge: something exceeds a limit of limits.go.
	ErrTooLarge = errors.New("too large")
	// ErrSignature: the signature is not the author's.
	ErrSignature = errors.New("signature does not verify")
	// ErrContent: the content is not the one the header was made for.
	ErrContent = errors.New("content does not match its hash")
)
