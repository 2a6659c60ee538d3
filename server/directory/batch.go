package directory

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// record is what a batch writes, provided that its key is at revision last.
type record struct {
	key   string
	value []byte
	last  uint64
}

// Headers of an atomic batch (NATS ADR-50); the client library has no call for
// it.
const (
	headerBatch  = "Nats-Batch-Id"
	headerPlace  = "Nats-Batch-Sequence"
	headerCommit = "Nats-Batch-Commit"
	headerLast   = "Nats-Expected-Last-Subject-Sequence"
	// headerOperation is on what removes a key.
	headerOperation = "KV-Operation"
)

// Codes of JetStream for a key that is at another revision.
const (
	codeWrongLast      = 10071
	codeWrongLastConst = 10164
)

func (b *bucket) subject(key string) string { return "$KV." + b.Bucket() + "." + key }

// wrongLast says that a key was at another revision than expected.
func wrongLast(err *jetstream.APIError) bool {
	return err.ErrorCode == codeWrongLast || err.ErrorCode == codeWrongLastConst
}

// batch writes records all together or not at all, and gives the revision of the
// last. Errors: jetstream.ErrKeyRevisionMismatch.
func (b *bucket) batch(ctx context.Context, conn *nats.Conn, records []record) (uint64, error) {
	id := strconv.FormatUint(rand.Uint64(), 36)
	for n, r := range records {
		m := nats.NewMsg(b.subject(r.key))
		m.Data = r.value
		m.Header.Set(headerBatch, id)
		m.Header.Set(headerPlace, strconv.Itoa(n+1))
		m.Header.Set(headerLast, strconv.FormatUint(r.last, 10))
		last := n == len(records)-1
		if last {
			m.Header.Set(headerCommit, "1")
		}
		answer, err := conn.RequestMsgWithContext(ctx, m)
		if err != nil {
			return 0, err
		}
		if !last && len(answer.Data) == 0 {
			continue
		}
		var ack struct {
			Error    *jetstream.APIError `json:"error"`
			Sequence uint64              `json:"seq"`
		}
		if err := json.Unmarshal(answer.Data, &ack); err != nil {
			return 0, fmt.Errorf("answer to a batch: %w", err)
		}
		switch {
		case ack.Error == nil && last:
			return ack.Sequence, nil
		case ack.Error == nil:
		case wrongLast(ack.Error):
			return 0, jetstream.ErrKeyRevisionMismatch
		default:
			return 0, ack.Error
		}
	}
	return 0, nil
}
