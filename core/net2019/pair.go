package net2019

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/packet"
	wire "github.com/parley-chat/parley/protocol/packet/net2019"
)

// pairKey names what a link is for.
type pairKey struct {
	chat packet.ChatID
	peer wire.ID
}

// pair is one person in one chat: the links with them, and what is to be written.
type pair struct {
	run  *run
	chat wire.Chat
	peer wire.ID
	wake chan struct{} // there may be something to write; has room for one

	// Owned by the pump: the entry that could not be written, and how often; whether
	// it has a file.
	trying uint64
	tries  int
	file   bool

	// All below is guarded by run.mu.
	links   []*link
	open    chan struct{} // closed when the chat is one to read and write in
	opened  bool
	pumping bool
	dialing bool
	dialAt  time.Time // not before
	retry   backoff
	// farewell: the other side has said that it is going; nobody dials it until it
	// was elsewhere, or something is to be said.
	farewell bool
	lost     bool // the last link ended without a farewell
	doubt    bool // there is another since, on which nothing has come yet
}

// maxPairLinks is how many links one person has for one chat: two when both dial
// at once, and what is left of others that the system has not given up yet.
const maxPairLinks = 4

func (r *run) pairLocked(chat wire.Chat, peer wire.ID) *pair {
	key := pairKey{chat.ID(), peer}
	p := r.pairs[key]
	if p == nil {
		p = &pair{run: r, chat: chat, peer: peer, wake: make(chan struct{}, 1), open: make(chan struct{})}
		if !chat.Group() {
			p.lost = r.lost[peer]
			delete(r.lost, peer)
		}
		r.pairs[key] = p
	}
	return p
}

func (p *pair) isOpen() bool {
	select {
	case <-p.open:
		return true
	default:
		return false
	}
}

// mayRead waits until what comes on a link can be put somewhere.
func (p *pair) mayRead(ctx context.Context, l *link) error {
	if !p.chat.Group() {
		return nil // who asks is held
	}
	select {
	case <-p.open:
		return nil
	case <-l.closed:
		return net.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// review sees anew in which chats is read and written, and hangs up on whom is not
// to be talked with.
func (r *run) review() {
	s := r.s
	s.mu.Lock()
	r.mu.Lock()
	var drop []*link
	for key, p := range r.pairs {
		person, group := s.people[p.peer], s.groups[key.chat]
		var stays, open bool
		if p.chat.Group() {
			open = group != nil
			stays = person.state != store.ContactBlocked && (open || r.invited[key.chat] != "")
		} else {
			open = person.state == store.ContactAccepted
			stays = open || person.state == store.ContactIncoming
		}
		switch {
		case !stays || p.opened && !open:
			drop = append(drop, p.links...)
			delete(r.pairs, key)
		case open && !p.opened:
			p.opened = true
			close(p.open)
			r.pumpLocked(p)
		}
	}
	r.mu.Unlock()
	s.mu.Unlock()
	for _, l := range drop {
		r.group.Go(func() { l.farewell(true) })
	}
}

// add makes a link one of its pair's and reads it until it ends; false when it is
// not wanted any more.
func (r *run) add(l *link) (*pair, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil || r.countLocked() >= maxLinks {
		return nil, false
	}
	r.serial++
	l.serial = r.serial
	p := r.pairLocked(l.chat, l.peer)
	p.links = append(p.links, l)
	p.doubt = p.lost && l.dialed
	p.farewell, p.retry, p.lost = false, backoff{}, false
	if len(p.links) > maxPairLinks {
		p.links[0].close()
	}
	r.pumpLocked(p)
	wake(p.wake)
	return p, true
}

func (r *run) countLocked() int {
	n := 0
	for _, p := range r.pairs {
		n += len(p.links)
	}
	return n
}

// live reads a link that was added until it ends.
func (r *run) live(p *pair, l *link) {
	if !l.chat.Group() {
		r.s.noteLinked(l.peer, true)
	}
	r.review()
	r.shown(l.peer)
	r.suspect(p, l)
	defer context.AfterFunc(r.ctx, l.close)()
	err := l.read(r.ctx, p)
	if protocolError(err) {
		l.farewell(true)
	}
	l.finish()
	r.ended(p, l, err)
}

// heard notes that something came from the other side.
func (r *run) heard(p *pair) {
	r.mu.Lock()
	doubt := p.doubt
	p.doubt = false
	r.mu.Unlock()
	if doubt {
		r.shown(p.peer)
	}
}

// protocolError says whether a link ended because of what came on it.
func protocolError(err error) bool {
	return errors.Is(err, packet.ErrMalformed) || errors.Is(err, packet.ErrTooLarge) || errors.Is(err, errStranger) || errors.Is(err, errHeldFull) || errors.Is(err, errNotWhole)
}

// ended notes that a link is gone.
func (r *run) ended(p *pair, l *link, err error) {
	log := r.s.cfg.Log.With("peer", l.peer.Name(), "chat", l.chat.ID(), "remote", l.remote, "encrypted", false)
	left := errors.Is(err, errFarewell)
	switch {
	case left || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled):
		log.Debug("link of 2019 ended", "reason", err)
	case protocolError(err):
		log.Warn("link of 2019 was closed because of what came on it", "reason", err)
	default:
		log.Info("link of 2019 was lost", "reason", err)
	}
	r.mu.Lock()
	p.links = slices.DeleteFunc(p.links, func(o *link) bool { return o == l })
	last := len(p.links) == 0
	if last {
		p.farewell = p.farewell || left
		p.lost = !p.farewell
		p.dialAt = r.s.cfg.Clock().Add(r.s.cfg.timing.backoff)
	}
	r.mu.Unlock()
	wake(p.wake)
	switch {
	case left && l.chat.Group():
		r.s.left(l.chat, l.peer)
	case left && last:
		r.s.noteLinked(l.peer, false)
	}
	r.shown(l.peer)
	wake(r.steer)
}

// suspect tells when two connections from different addresses say to be of the
// same person: nothing proves who is who.
func (r *run) suspect(p *pair, l *link) {
	r.mu.Lock()
	var from []netip.Addr
	for _, o := range p.links {
		if o != l && o.remote != l.remote && !o.isClosed() {
			from = append(from, o.remote)
		}
	}
	r.mu.Unlock()
	if len(from) == 0 {
		return
	}
	r.s.cfg.Log.Warn("two connections of 2019 from different addresses say to be the same person; nothing proves which is",
		"peer", l.peer.Name(), "remote", l.remote, "others", fmt.Sprint(from), "encrypted", false)
	bus.Publish(r.s.cfg.Bus, bus.Noticed, bus.Notice{
		Level: "warning", Subject: "contact:" + l.peer.Name(),
		Text: fmt.Sprintf("A second connection, from %s, says to be %s, who is connected from %s too. The protocol of 2019 proves nobody: ask them by another way.",
			l.remote, r.s.Name(packet.UserID(l.peer.Name())), from[0]),
		Reason: failure.Because("NET2019_SECOND_CONNECTION", "user", l.peer.Name(), "address", l.remote, "other", from[0]),
	})
}

// best is the link to write on: one with where the directory says that the person
// is, of those one that the person dialed, of those the latest. A client of the
// original never reads what others dialed once it has dialed itself.
func (p *pair) best() *link {
	r := p.run
	r.mu.Lock()
	defer r.mu.Unlock()
	var where netip.Addr
	if at := r.places[p.peer]; at != nil && at.online {
		where = at.where.Addr()
	}
	var best *link
	for _, l := range p.links {
		if l.isClosed() {
			continue
		}
		if best == nil || p.compare(l, best, where) > 0 {
			best = l
		}
	}
	return best
}

func (p *pair) compare(a, b *link, where netip.Addr) int {
	return cmp.Or(truth(a.remote == where)-truth(b.remote == where), truth(!a.dialed)-truth(!b.dialed), cmp.Compare(a.serial, b.serial))
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// pumpLocked starts writing for a pair that has a link and an open chat.
func (r *run) pumpLocked(p *pair) {
	if p.opened && !p.pumping && len(p.links) > 0 && r.ctx.Err() == nil {
		p.pumping = true
		r.group.Go(func() { r.pump(p) })
	}
}

// pump writes what is queued for a pair, in order, as long as it has a link.
func (r *run) pump(p *pair) {
	for {
		e, again := r.next(p)
		l := p.best() // only now: another link may be the better one since
		if l == nil {
			r.mu.Lock()
			if !slices.ContainsFunc(p.links, func(l *link) bool { return !l.isClosed() }) {
				p.pumping = false
				r.mu.Unlock()
				return
			}
			r.mu.Unlock()
			continue
		}
		if e != nil {
			again = r.pumpOne(p, l, e)
		}
		if r.ctx.Err() != nil {
			l.close()
			continue
		}
		if again {
			continue
		}
		select {
		case <-p.wake:
		case <-l.closed:
		case <-r.ctx.Done():
		}
	}
}

// next gives the first of one's own entries that the other side has not; again
// says that it is to be asked for once more.
func (r *run) next(p *pair) (e *store.Entry, again bool) {
	log := r.s.ownLog(p.chat.ID())
	var entries []store.Entry
	err := r.s.cfg.Store.View(r.ctx, func(tx store.ReadTx) error {
		upto, err := uptoOf(tx, log, p.peer)
		if err == nil {
			entries, err = tx.Entries(log, upto+1, 1<<62, 1, 0, true)
		}
		return err
	})
	switch {
	case err != nil:
		return nil, r.storeTrouble(err)
	case len(entries) == 0:
		return nil, false
	}
	return &entries[0], false
}

// pumpOne writes an entry and notes that it is written; it gives true when the next
// is to be looked for.
func (r *run) pumpOne(p *pair, l *link, e *store.Entry) bool {
	s := r.s
	key := e.Packet.Header.Key()
	var failed string
	kind, _ := wire.KindOf(e.Packet.Header.Type)
	// That a group was opened is for this account's history; to the others it is said
	// by the connection.
	said := kind == wire.Text || kind.HasBytes()
	if said && !e.Dropped && e.State != store.EntryStub {
		var err error
		p.file = kind.HasBytes()
		if failed, err = r.send(l, &e.Packet); err != nil {
			if r.ctx.Err() == nil {
				s.cfg.Log.Info("link of 2019 does not take what is written", "peer", p.peer.Name(), "error", err, "encrypted", false)
			}
			l.close()
			if r.ctx.Err() != nil || p.again(key.Number) {
				return true
			}
			failed = "the other side hung up in the middle of it, several times"
		}
	}
	err := s.cfg.Store.Update(context.WithoutCancel(r.ctx), store.Lazy, func(tx store.Tx) error {
		head := store.PeerHead{User: packet.UserID(p.peer.Name()), Device: deviceOf(p.peer), Upto: key.Number}
		if _, _, err := tx.PutPeerHead(key.Log, head, false); err != nil || failed == "" {
			return err
		}
		return tx.PutRefused(key, store.Refused{User: head.User, Reason: packet.ReasonUnreadable, Text: failed})
	})
	if err != nil {
		return r.storeTrouble(err)
	}
	bus.Publish(s.cfg.Bus, bus.MessageChanged, bus.MessageRef{Chat: key.Chat, ID: e.Packet.Header.ID})
	if kind.HasBytes() {
		s.settleSent(context.WithoutCancel(r.ctx), e.Packet.Header.ID)
	}
	return true
}

// again says whether an entry is to be tried again that could not be written whole:
// what is no file, always. It is for the pair's pump.
func (p *pair) again(number uint64) bool {
	if p.trying != number {
		p.trying, p.tries = number, 0
	}
	p.tries++
	return p.tries < maxTries || !p.file
}

// storeTrouble waits out a store that cannot be used now, for which the link is not
// to blame; true says to try again.
func (r *run) storeTrouble(err error) bool {
	if r.ctx.Err() != nil {
		return true
	}
	r.s.cfg.Log.Error("what is to be sent to 2019 cannot be read or noted", "error", err)
	timer := time.NewTimer(r.s.cfg.timing.backoff)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.ctx.Done():
	}
	return true
}

// uptoOf says up to which entry of one's own log somebody has all.
func uptoOf(tx store.ReadTx, log packet.Log, peer wire.ID) (uint64, error) {
	heads, err := tx.PeerHeads(log)
	for _, h := range heads {
		if h.User == packet.UserID(peer.Name()) {
			return h.Upto, err
		}
	}
	return 0, err
}

// send writes one packet; failed says why it can never be, for people.
func (r *run) send(l *link, p *packet.Packet) (failed string, err error) {
	own := *p
	own.Header.Author = packet.UserID(r.set.ID.Name())
	f, err := wire.FrameOf(&own, r.port)
	if err != nil {
		return "The protocol of 2019 cannot say this: " + err.Error(), nil //nolint:nilerr // that is the answer
	}
	var file *os.File
	var t *transfer
	if f.Kind.HasBytes() {
		if file, t, failed, err = r.s.outgoing(r.ctx, p.Header.ID, f.Size, l.peer); err != nil || failed != "" {
			return failed, err
		}
		defer func() { _ = file.Close() }() // only read
		defer t.end(r.ctx)
	}
	if err := l.take(r.ctx); err != nil {
		return "", err
	}
	defer l.give()
	if t != nil && t.cancelled.Load() {
		return takenBack, nil
	}
	if err := l.write(r.ctx, f.Split()...); err != nil || t == nil {
		return "", err
	}
	return l.writeFile(r.ctx, file, t)
}

// presence says how somebody is shown.
func (r *run) presence(chat wire.Chat, peer wire.ID) (online, linked bool, trouble error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.places[peer]
	online = at != nil && at.online
	p := r.pairs[pairKey{chat.ID(), peer}]
	if p == nil {
		return online, false, nil
	}
	linked = len(p.links) > 0
	switch {
	case linked && p.doubt:
		return true, true, failure.New(ErrUnreachable, "The connection with %s was lost and made again, which a client of the original does not notice: if they do not see what you write, they must delete you and add you again.", peer.Name()).Because("NET2019_LINK_MADE_AGAIN", "user", peer.Name())
	case linked:
		return true, true, nil
	case p.farewell:
		return false, false, nil
	case online && p.lost:
		trouble = failure.New(ErrUnreachable, "The connection with %s was lost. A client of the original does not notice that: they must delete you and add you again.", peer.Name()).Because("NET2019_LINK_LOST", "user", peer.Name())
	case online && p.retry.last > 0:
		trouble = failure.New(ErrUnreachable, "%s is online, and cannot be connected to at %s: a firewall may be in between.", peer.Name(), at.where).Because("NET2019_FIREWALL", "user", peer.Name(), "address", at.where)
	}
	return online, false, trouble
}

// noticeCall tells of a call that was declined, not too often.
func (r *run) noticeCall(peer wire.ID) {
	r.tellOf(r.calls, peer, "info", failure.Because("NET2019_CALL", "user", peer.Name()),
		fmt.Sprintf("%s wanted a video call, which was declined: calls of 2019 send programs for the other side to run, so Parley takes none.",
			r.s.Name(packet.UserID(peer.Name()))))
}

// tellOf tells something about somebody, if nothing of the kind was told lately.
func (r *run) tellOf(told map[wire.ID]time.Time, peer wire.ID, level string, reason *errdetails.ErrorInfo, text string) {
	r.mu.Lock()
	now := r.s.cfg.Clock()
	silent := now.Sub(told[peer]) < noticeEvery || len(told) >= maxPeople
	if !silent {
		told[peer] = now
	}
	r.mu.Unlock()
	if !silent {
		bus.Publish(r.s.cfg.Bus, bus.Noticed, bus.Notice{Level: level, Subject: "contact:" + peer.Name(), Text: text, Reason: reason})
	}
}

// noticeEvery is how often one thing is told of one person at most.
const noticeEvery = time.Minute
