package roster

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/packet"
)

// How long the outbox waits before it tries again.
const (
	retryFirst = time.Second
	retryMost  = 5 * time.Minute
)

// retries says when to try again, by user; the empty user is the profile.
type retries map[packet.UserID]retry

type retry struct {
	at    time.Time
	delay time.Duration
}

// send puts a packet for the person into the outbox, in place of an older one.
func (s *step) send(t packet.Type, content []byte) error {
	last, err := s.value(keySent)
	if err != nil {
		return err
	}
	at := max(s.now(), decodeTime(last)+1)
	p, err := packet.Seal(packet.Header{
		ID: packet.NewPacketID(), Chat: s.chat(), Type: t, Author: s.r.self, Device: s.r.cfg.Identity.Device(),
		SentAt: at, Delivery: packet.Ephemeral,
	}, content, s.r.cfg.Identity.Sign)
	if err != nil {
		return err
	}
	b, err := p.Marshal()
	if err != nil {
		return err
	}
	if err := s.put(keySent, encodeTime(at)); err != nil {
		return err
	}
	s.sent, s.wake = &p, true
	return s.put(keyOutbox, b)
}

// dropPackets forgets what waits to be sent to, or was held back of, the person.
func (s *step) dropPackets() error {
	if err := s.put(keyHeld, nil); err != nil {
		return err
	}
	return s.put(keyOutbox, nil)
}

// sendLinks gives a packet to the links with a user, as well as it can: the
// directory's way is the sure one.
func (r *Roster) sendLinks(ctx context.Context, user packet.UserID, p *packet.Packet) {
	r.mu.RLock()
	links := maps.Clone(r.links[user])
	r.mu.RUnlock()
	for id := range links {
		sendCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), linkTimeout)
		if err := r.cfg.Links.Send(sendCtx, id, p); err != nil {
			r.cfg.Log.Debug("packet not sent over link", "type", p.Header.Type, "user", user, "error", err)
		}
		cancel()
	}
}

// sendWaiting gives what waits for a user to a link that came up.
func (r *Roster) sendWaiting(ctx context.Context, link bus.Link) {
	var b []byte
	err := r.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
		b, err = readValue(tx, keyOutbox+string(link.User))
		return err
	})
	if err != nil || b == nil {
		return
	}
	p, err := packet.Unmarshal(b)
	if err != nil {
		return
	}
	sendCtx, cancel := context.WithTimeout(ctx, linkTimeout)
	defer cancel()
	if err := r.cfg.Links.Send(sendCtx, link.ID, &p); err != nil {
		r.cfg.Log.Debug("packet not sent over link", "type", p.Header.Type, "user", link.User, "error", err)
	}
}

// serveOutbox tries what waits whenever something new does, the directory comes
// back, or it is time to try again.
func (r *Roster) serveOutbox(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.kick:
		case <-timer.C:
		}
		timer.Reset(r.flush(ctx))
	}
}

// flush tries what is due and says when to come again.
func (r *Roster) flush(ctx context.Context) time.Duration {
	if !r.isConnected() {
		// Wait for DirectoryChanged, and then begin with a clean slate.
		clear(r.outbox)
		return retryMost
	}
	waiting := map[packet.UserID][]byte{"": nil}
	err := r.cfg.Store.View(ctx, func(tx store.ReadTx) error {
		values, err := tx.Values(namespace, keyOutbox, 0)
		for _, v := range values {
			waiting[packet.UserID(strings.TrimPrefix(v.Key, keyOutbox))] = v.Bytes
		}
		return err
	})
	if err != nil {
		if !ended(ctx, err) {
			r.cfg.Log.Error("outbox cannot be read", "error", err)
		}
		return retryMost
	}
	maps.DeleteFunc(r.outbox, func(user packet.UserID, _ retry) bool {
		_, waits := waiting[user]
		return !waits
	})
	next := retryMost
	for user, b := range waiting {
		if ctx.Err() != nil {
			break
		}
		wait, err := r.try(ctx, user, b)
		if wait > 0 {
			next = min(next, wait)
		}
		if err != nil && unreachable(err) {
			break // the others would fare no better now
		}
	}
	return next
}

// try sends one waiting packet if it is due, and says how long to wait before
// the next try, 0 when there is nothing left to do.
func (r *Roster) try(ctx context.Context, user packet.UserID, b []byte) (wait time.Duration, err error) {
	before := r.outbox[user]
	if wait := before.at.Sub(r.clock()); wait > 0 {
		return wait, nil
	}
	if user == "" {
		err = r.publishProfile(ctx)
	} else if !r.withheld(user) {
		err = r.deliver(ctx, user, b)
	}
	if err == nil {
		delete(r.outbox, user)
		return 0, nil
	}
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	delay := min(max(2*before.delay, retryFirst, askedDelay(err)), retryMost)
	r.outbox[user] = retry{r.clock().Add(delay), delay}
	r.cfg.Log.Info("directory did not take a packet, trying again", "user", user, "delay", delay, "error", err)
	return delay, err
}

// withheld says that nothing goes to a user now: blocked, or with keys that the
// account's user has not accepted.
func (r *Roster) withheld(user packet.UserID) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	p := r.people[user]
	return p.state == store.ContactBlocked || p.changed
}

// deliver gives one packet to the directory. An error means to try again.
func (r *Roster) deliver(ctx context.Context, user packet.UserID, b []byte) error {
	ready, err := r.prepare(ctx, user)
	if err != nil || !ready {
		return err
	}
	callCtx, cancel := call(ctx)
	defer cancel()
	err = r.cfg.Directory.Deliver(callCtx, user, b)
	if err != nil && !final(err) {
		return err
	}
	refused := err
	return r.update(ctx, store.Synced, user, func(s *step) error {
		now, err := s.value(keyOutbox)
		if err != nil || !bytes.Equal(now, b) {
			return err // another took its place
		}
		if refused != nil {
			s.undeliverable(refused)
		}
		return s.put(keyOutbox, nil)
	})
}

// undeliverable ends what the directory will never take.
func (s *step) undeliverable(err error) {
	s.r.cfg.Log.Warn("directory refused a packet", "user", s.user, "error", err)
	if s.state() != store.ContactOutgoing {
		return
	}
	s.refresh = true
	reason := failure.Because("REQUEST_REFUSED", "user", s.user, "why", sentence(err))
	if errors.Is(err, ErrNoUser) || status.Code(err) == codes.NotFound {
		reason = failure.Because("REQUEST_NO_USER", "user", s.user)
	}
	s.notice("error", reason, "%s cannot be asked to be a contact: %s", s.name(), sentence(err))
	if history, hasErr := s.hasChat(); hasErr == nil && history {
		s.c.State, s.c.Greeting = store.ContactLeft, ""
	} else {
		s.c = nil
	}
}

// prepare looks up the keys of someone who was asked while the directory could
// not be reached. ready is false when nothing is to be sent now.
func (r *Roster) prepare(ctx context.Context, user packet.UserID) (ready bool, err error) {
	r.mu.RLock()
	p, known := r.people[user]
	r.mu.RUnlock()
	if !known || p.state != store.ContactOutgoing || len(p.pinned) > 0 {
		return true, nil
	}
	found, err := r.lookUp(ctx, user)
	if err != nil && !final(err) {
		return false, err
	}
	refused := err
	err = r.update(ctx, store.Synced, user, func(s *step) error {
		if s.state() != store.ContactOutgoing {
			return nil
		}
		if refused != nil {
			s.undeliverable(refused)
			return s.put(keyOutbox, nil)
		}
		return s.learn(found)
	})
	return refused == nil && !r.withheld(user), err
}

// askedDelay is how long the directory asked to wait, 0 when it did not.
func askedDelay(err error) time.Duration {
	st, _ := status.FromError(err)
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			return max(info.GetRetryDelay().AsDuration(), 0)
		}
	}
	return 0
}

// sentence is what the directory said, without the words of gRPC.
func sentence(err error) string {
	if st, ok := status.FromError(err); ok {
		return st.Message()
	}
	return err.Error()
}

func (r *Roster) isConnected() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.connected
}
