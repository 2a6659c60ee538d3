package packet

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/parley-chat/parley/protocol/packet/peerpb"
)

// Digest stands for entries: the first half of a BLAKE3-256 hash.
//
//   - Of an entry it is over its encoded header.
//   - Of a place it is over the digests of all entries there, ascending.
//   - Of several places it is over the digests of their parts: see Parts.
type Digest [16]byte

// DigestOf is the digest of an encoded header.
func DigestOf(raw []byte) Digest {
	h := HashOf(raw)
	return Digest(h[:16])
}

// Combine gives the digest of a place, or of several, by those of what is in
// it. It is another for one digest than that digest.
func Combine(digests []Digest) Digest {
	b := make([]byte, 0, len(digests)*len(Digest{}))
	for i := range digests {
		b = append(b, digests[i][:]...)
	}
	return DigestOf(b)
}

// SortDigests puts those of one place in order.
func SortDigests(digests []Digest) {
	slices.SortFunc(digests, func(a, b Digest) int { return bytes.Compare(a[:], b[:]) })
}

// MaxParts is how many parts Parts gives at most.
const MaxParts = 64

// Parts divides places into parts of 1, 64, 64², 64³... places each, of which the
// last may have fewer; of these sizes it is the largest that is less than all. One
// place has no parts.
func Parts(places Range) []Range {
	count := places.Last - places.First + 1
	if count < 2 {
		return nil
	}
	size := uint64(1)
	for size <= (count-1)/MaxParts {
		size *= MaxParts
	}
	parts := make([]Range, 0, (count+size-1)/size)
	for first := places.First; first <= places.Last; first += size {
		parts = append(parts, Range{first, min(first+size-1, places.Last)})
	}
	return parts
}

// Compare says what the sender has at some places of logs. See peerpb.Compare.
type Compare struct {
	Chat ChatID
	Logs []LogDigest
}

func (*Compare) frame() {}

// LogDigest is what somebody has at places of a log: of several one digest of
// all, or one of each part; of a single place one of each entry, ascending.
type LogDigest struct {
	Device  DeviceID
	Epoch   uint64
	Places  Range
	Digests []Digest
	Answer  bool // what was lacking at the receiver is asked for already
}

func (c *Compare) proto() *peerpb.Compare {
	pb := &peerpb.Compare{Chat: string(c.Chat)}
	for i := range c.Logs {
		l := &c.Logs[i]
		digests := make([]byte, 0, len(l.Digests)*len(Digest{}))
		for j := range l.Digests {
			digests = append(digests, l.Digests[j][:]...)
		}
		pb.Logs = append(pb.Logs, &peerpb.LogDigest{
			Device: l.Device[:], Epoch: l.Epoch, First: l.Places.First, Last: l.Places.Last, Digests: digests, Answer: l.Answer,
		})
	}
	return pb
}

func compareFromProto(pb *peerpb.Compare) (*Compare, error) {
	chat, err := ParseChatID(pb.GetChat())
	if err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	if len(pb.GetLogs()) > MaxCompared {
		return nil, fmt.Errorf("compare of %d parts of logs: %w", len(pb.GetLogs()), ErrTooLarge)
	}
	c := &Compare{Chat: chat, Logs: make([]LogDigest, 0, len(pb.GetLogs()))}
	for _, l := range pb.GetLogs() {
		d, err := logDigestFromProto(chat, l)
		if err != nil {
			return nil, fmt.Errorf("compare in %s: %w", chat, err)
		}
		c.Logs = append(c.Logs, d)
	}
	return c, nil
}

func logDigestFromProto(chat ChatID, pb *peerpb.LogDigest) (LogDigest, error) {
	log, err := logFromParts(chat, pb.GetDevice(), pb.GetEpoch())
	if err != nil {
		return LogDigest{}, err
	}
	places := Range{pb.GetFirst(), pb.GetLast()}
	if places.First == 0 || places.Last < places.First || places.Last > maxCounter {
		return LogDigest{}, fmt.Errorf("places %d-%d: %w", places.First, places.Last, ErrMalformed)
	}
	most := MaxTwins
	if places.First < places.Last {
		most = MaxParts
	}
	const size = len(Digest{})
	b := pb.GetDigests()
	switch {
	case len(b) == 0 || len(b)%size != 0:
		return LogDigest{}, fmt.Errorf("digests of %d bytes: %w", len(b), ErrMalformed)
	case len(b) > most*size:
		return LogDigest{}, fmt.Errorf("%d digests: %w", len(b)/size, ErrTooLarge)
	case places.First < places.Last && len(b) > size && len(b) != len(Parts(places))*size:
		return LogDigest{}, fmt.Errorf("%d digests of places %d-%d: %w", len(b)/size, places.First, places.Last, ErrMalformed)
	}
	d := LogDigest{Device: log.Device, Epoch: log.Epoch, Places: places, Answer: pb.GetAnswer()}
	for ; len(b) > 0; b = b[size:] {
		d.Digests = append(d.Digests, Digest(b))
	}
	return d, nil
}
