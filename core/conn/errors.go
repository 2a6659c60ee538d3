package conn

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/parley-chat/parley/protocol/packet"
)

// Errors of this package; they come wrapped with whom or what they are about.
var (
	// ErrLinkGone: the link is down, or never was. What was queued on it may not
	// have arrived.
	ErrLinkGone = errors.New("link is down")
	// ErrNotAFrame: Send was given a frame that is the link's own business.
	ErrNotAFrame = errors.New("frame is not one that can be sent")
	// ErrTooManyStreams: there are as many bulk streams with the device as there
	// may be.
	ErrTooManyStreams = errors.New("too many streams at once")
	// ErrPortInUse: another program listens on the configured port.
	ErrPortInUse = errors.New("port is in use")
	// ErrServing: Serve runs already.
	ErrServing = errors.New("connection manager runs already")

	// ErrUnknownKey: the peer's device key is in nobody's record.
	ErrUnknownKey = errors.New("device key is unknown")
	// ErrNotWanted: the key's owner is blocked, or no links with it are wanted.
	ErrNotWanted = errors.New("links with this user are not wanted")
	// ErrWrongPeer: whoever answered is not the user that was dialed.
	ErrWrongPeer = errors.New("another user answered")
	// ErrRefused: the peer does not take links from this device.
	ErrRefused = errors.New("peer refuses the link")
	// ErrVersion: the peer speaks another version of the protocol.
	ErrVersion = errors.New("protocol versions do not match")
	// ErrProtocol: the peer broke the protocol.
	ErrProtocol = errors.New("peer broke the protocol")
	// ErrDead: nothing came from the peer for too long.
	ErrDead = errors.New("peer is silent")
)

// Why a dial was given up; for this package only.
var (
	errLinked     = errors.New("device is linked already")
	errPreempted  = errors.New("another link of the same device was settled on")
	errStopping   = errors.New("connection manager stops")
	errPenalty    = errors.New("peer broke the protocol a short while ago")
	errDuplicate  = errors.New("peer keeps another link of the same device")
	errLocalClose = errors.New("closed on purpose")
	errReplaced   = errors.New("replaced by a newer link")
	errUntrusted  = errors.New("user or key is no longer trusted")
)

// byeError is a Bye from the peer as an error.
type byeError struct{ bye packet.Bye }

func (e *byeError) Error() string {
	return fmt.Sprintf("peer closed the link (%s): %q", byeName(e.bye.Reason), e.bye.Text)
}

func (e *byeError) Unwrap() error {
	switch e.bye.Reason {
	case packet.ByeVersion:
		return ErrVersion
	case packet.ByeRefused:
		return ErrRefused
	case packet.ByeDuplicate:
		return errDuplicate
	default:
		return nil
	}
}

func byeName(r packet.ByeReason) string {
	switch r {
	case packet.ByeShutdown:
		return "shutdown"
	case packet.ByeDuplicate:
		return "duplicate"
	case packet.ByeVersion:
		return "version"
	case packet.ByeProtocol:
		return "protocol"
	case packet.ByeRefused:
		return "refused"
	default:
		return fmt.Sprintf("reason %d", r)
	}
}

// breaksProtocol says whether err is the peer's fault rather than the network's.
func breaksProtocol(err error) bool {
	return errors.Is(err, ErrProtocol) || errors.Is(err, packet.ErrMalformed) || errors.Is(err, packet.ErrTooLarge)
}

func versionText(theirs uint32) string {
	return fmt.Sprintf("this side speaks parley/%d, yours parley/%d: update the program that is older", packet.Version, theirs)
}

func keyName(key ed25519.PublicKey) string { return packet.DeviceIDOf(key).String() }
