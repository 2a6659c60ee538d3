package blob

import "errors"

// Errors of this package; they come wrapped with what they are about.
var (
	// ErrNotFound: there is no such file or folder, or no such blob of the plugin.
	ErrNotFound = errors.New("not found")
	// ErrUnreadable: the file or folder, or something in it, cannot be read.
	ErrUnreadable = errors.New("cannot be read")
	// ErrNotContent: neither a file nor a folder.
	ErrNotContent = errors.New("is neither a file nor a folder")
	// ErrTooLarge: more than can be shared.
	ErrTooLarge = errors.New("is too large")
	// ErrChanged: the content is another one than when it was prepared.
	ErrChanged = errors.New("was changed")
	// ErrState: the blob is in a state in which this cannot be.
	ErrState = errors.New("not in this state")
)

// Why a fetch does not go on; for this package only.
var (
	errNoRoom    = errors.New("the disk is full")
	errLied      = errors.New("is not what was offered")
	errCorrupt   = errors.New("piece does not match its hash")
	errStopped   = errors.New("stopped")
	errRobbed    = errors.New("another source gives this piece now")
	errNotNow    = errors.New("it cannot be given now")
	errNotHere   = errors.New("is not here")
	errNoSource  = errors.New("nobody who has it is connected")
	errStreamEnd = errors.New("the stream ended")
)
