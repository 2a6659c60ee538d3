// Package password hashes passwords with Argon2id, with bounded memory: at most
// a few at a time, and a bounded line of others who wait.
package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"runtime/metrics"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// Bounds of a password, in bytes.
const (
	MinBytes = 8
	MaxBytes = 256
)

const (
	saltBytes = 16
	hashBytes = 32
)

var (
	// ErrBusy says that too many others wait already.
	ErrBusy = errors.New("too many log-ins at this moment")
	// ErrMismatch says that the password is not the one hashed.
	ErrMismatch = errors.New("password does not match")
	// ErrBounds says that a password is too short, too long, or not text.
	ErrBounds = fmt.Errorf("a password has %d to %d bytes of UTF-8", MinBytes, MaxBytes)
	// ErrFormat says that a stored hash cannot be read.
	ErrFormat = errors.New("password hash cannot be read")
)

// Cost of a hash. Each stored hash names its own, so a change concerns new ones.
type Cost struct {
	MemoryKiB uint32
	Passes    uint32
	Lanes     uint8
}

// DefaultCost takes 64 MiB and some 50 ms of one processor. One lane, so that a
// hash never takes more than one processor from those who serve presence.
var DefaultCost = Cost{MemoryKiB: 64 << 10, Passes: 1, Lanes: 1}

// maxCost bounds what a damaged record can make Verify do.
var maxCost = Cost{MemoryKiB: 1 << 20, Passes: 16, Lanes: 16}

// Hasher hashes and verifies. It is safe for concurrent use.
type Hasher struct {
	cost  Cost
	turns chan struct{} // one element for each hash being computed
	line  chan struct{} // one for each caller, computing or waiting
	dummy string
}

// New makes a hasher that computes half as many hashes at a time as there are
// processors, and lets at most waiting others wait.
func New(cost Cost, waiting int) (*Hasher, error) {
	if cost.MemoryKiB == 0 || cost.Passes == 0 || cost.Lanes == 0 || cost.exceeds(maxCost) {
		return nil, fmt.Errorf("password cost %+v is out of bounds", cost)
	}
	parallel := max(runtime.GOMAXPROCS(0)/2, 1)
	h := &Hasher{
		cost:  cost,
		turns: make(chan struct{}, parallel),
		line:  make(chan struct{}, parallel+max(waiting, 0)),
	}
	var err error
	h.dummy, err = h.Hash(context.Background(), strings.Repeat("x", MinBytes))
	return h, err
}

func (c Cost) exceeds(limit Cost) bool {
	return c.MemoryKiB > limit.MemoryKiB || c.Passes > limit.Passes || c.Lanes > limit.Lanes
}

// Load counts the hashes being computed, and the callers that wait for theirs.
func (h *Hasher) Load() (computing, waiting int) {
	// Between the two others may have come or gone.
	computing = len(h.turns)
	return computing, min(max(len(h.line)-computing, 0), cap(h.line)-cap(h.turns))
}

// Check says whether password is within bounds.
func Check(password string) error {
	if len(password) < MinBytes || len(password) > MaxBytes || !utf8.ValidString(password) {
		return ErrBounds
	}
	return nil
}

// Hash gives the hash of a password in PHC string format. Errors: ErrBounds,
// ErrBusy, ctx's.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	if err := Check(password); err != nil {
		return "", err
	}
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails, see crypto/rand
	sum, err := h.compute(ctx, password, salt, h.cost, hashBytes)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.cost.MemoryKiB, h.cost.Passes, h.cost.Lanes,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum)), nil
}

// Verify checks a password. An empty hash, for users who do not exist, takes as
// long as another and never matches. Errors: ErrMismatch, ErrFormat, ErrBusy,
// ctx's.
func (h *Hasher) Verify(ctx context.Context, hash, password string) error {
	nobody := hash == ""
	if nobody {
		hash = h.dummy
	}
	cost, salt, want, err := parse(hash)
	if err != nil {
		return err
	}
	if Check(password) != nil {
		// It was never accepted, so it is nobody's; but it takes as long.
		nobody, password = true, ""
	}
	sum, err := h.compute(ctx, password, salt, cost, uint32(len(want)))
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(sum, want) != 1 || nobody {
		return ErrMismatch
	}
	return nil
}

func (h *Hasher) compute(ctx context.Context, password string, salt []byte, cost Cost, size uint32) ([]byte, error) {
	select {
	case h.line <- struct{}{}:
		defer func() { <-h.line }()
	default:
		return nil, ErrBusy
	}
	select {
	case h.turns <- struct{}{}:
		defer func() { <-h.turns }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	// The same letters typed on different systems come as different bytes.
	text := norm.NFC.Bytes([]byte(password))
	sum := argon2.IDKey(text, salt, cost.Passes, cost.MemoryKiB, cost.Lanes, size)
	reclaim(uint64(cost.MemoryKiB) << 10)
	return sum, nil
}

// reclaim gives the next hash the memory of this one, which otherwise lies
// about until the heap has doubled: three hashes would be in memory at a time
// when one is computed. Where the rest of the heap is large the collector comes
// soon enough by itself, and calling it would cost more than the hash.
func reclaim(used uint64) {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	if live[0].Value.Kind() == metrics.KindUint64 && used > live[0].Value.Uint64()/4 && used > 1<<20 {
		runtime.GC()
	}
}

func parse(hash string) (cost Cost, salt, sum []byte, err error) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return Cost{}, nil, nil, ErrFormat
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &cost.MemoryKiB, &cost.Passes, &cost.Lanes); err != nil || n != 3 {
		return Cost{}, nil, nil, ErrFormat
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	sum, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(salt) < 8 || len(sum) < 16 || len(sum) > 64 ||
		cost.MemoryKiB == 0 || cost.Passes == 0 || cost.Lanes == 0 || cost.exceeds(maxCost) {
		return Cost{}, nil, nil, ErrFormat
	}
	return cost, salt, sum, nil
}
