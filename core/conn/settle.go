package conn

import (
	"context"
	"fmt"
	"time"

	"github.com/parley-chat/parley/protocol/packet"
)

// How two devices that dial each other at once end with one link, the same one.
//
// Call the device with the smaller id A, the other B. A connection is offered by
// the dialer's Hello and taken by the acceptor's. A alone decides; B follows:
//
//	B takes every connection that A offers. In doing so it drops what it has:
//	a link, and an own offer that A has not answered.
//	A takes a connection that B offers, in the place of what it has, except:
//	(a) While A itself has an offer out that B has not answered, B's waits.
//	    Then A either has a link (see b) or takes B's. After timing.hold A takes
//	    back its own offer and takes B's.
//	(b) While A's link is one that A dialed and is younger than timing.young, B's
//	    is refused as a duplicate: it was under way when A's was settled.
//	Neither offers a connection while it has a link to that device, nor a second
//	one while its first is not answered; taking one cancels dials under way.
//
// Why this ends with the same link on both sides. Everything A decides about B
// happens under one lock, so it has an order; consider the last thing A decided.
// If it was to take B's offer c, then A had no offer out (a), and makes none
// while it has c; so B gets no later offer that would displace c, and when A's
// Hello arrives B has it too, unless B gave c up meanwhile. If it was that B took
// A's offer c (A read B's Hello), then B took c before, since when A takes no
// offer of B's that is not newer; an offer of B's that was still under way is
// dropped by B when it took c, and refused by A (b). Giving up means closing, and
// the other side then reads the end of that connection, which no later decision
// rests on, and begins anew. So the two differ only while an answer is under way,
// and every connection that one side holds and the other does not is closed or
// about to be.
//
// Why it does not flap. Between two devices that stay reachable A decides once:
// in (a) an offer waits instead of being taken and displaced. Two links in a row
// need an answer that takes longer than timing.hold or a Hello that takes longer
// than timing.young on its way.
//
// Why a dead link is no obstacle. Whoever notices the death has no link and so
// offers. B takes A's offer at once. A takes B's at once too unless A's link is
// younger than timing.young; then A asks its link for a sign of life, and B
// comes again a moment later. A peer that was restarted is the same case.
//
// That (b) goes by who dialed keeps a link that B offered replaceable by a later
// offer of B's: B makes one only when it has given up the earlier.

// device is what is settled with one device of somebody's. Its fields are
// guarded by Manager.mu.
type device struct {
	link  *link  // the one that counts; perhaps already closing
	offer *offer // own Hello that is not answered
}

// offer is an own Hello that the peer has not answered.
type offer struct {
	device packet.DeviceID
	cancel context.CancelCauseFunc // ends the exchange
	over   chan struct{}           // closed when it is answered or taken back
}

// deviceLocked gives the state of a device, made where there is none.
func (m *Manager) deviceLocked(id packet.DeviceID) *device {
	d := m.devices[id]
	if d == nil {
		d = &device{}
		m.devices[id] = d
	}
	return d
}

// tidyLocked forgets a device of which there is nothing to know.
func (m *Manager) tidyLocked(id packet.DeviceID) {
	if d := m.devices[id]; d != nil && d.link == nil && d.offer == nil {
		delete(m.devices, id)
	}
}

// linkedLocked says whether there is a link to that device.
func (m *Manager) linkedLocked(id packet.DeviceID) bool {
	d := m.devices[id]
	return d != nil && d.link != nil && !d.link.closing()
}

// beginOffer asks whether the caller may send its Hello to that device. Each
// offer that began is ended.
func (m *Manager) beginOffer(id packet.DeviceID, cancel context.CancelCauseFunc) (*offer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopping {
		return nil, errStopping
	}
	d := m.deviceLocked(id)
	if d.offer != nil || d.link != nil && !d.link.closing() {
		return nil, errLinked
	}
	d.offer = &offer{device: id, cancel: cancel, over: make(chan struct{})}
	return d.offer, nil
}

// endOffer ends an offer: with the link it led to, or with nil. The link is
// taken unless the offer was taken back meanwhile.
func (m *Manager) endOffer(o *offer, l *link) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.deviceLocked(o.device)
	defer m.tidyLocked(o.device)
	if d.offer != o {
		return errPreempted
	}
	d.offer = nil
	close(o.over)
	if l == nil {
		return nil
	}
	return m.takeLocked(d, l)
}

// withdrawLocked takes an offer back.
func withdrawLocked(d *device) {
	if d.offer != nil {
		d.offer.cancel(errPreempted)
		close(d.offer.over)
		d.offer = nil
	}
}

// takeLocked makes l the link that counts.
func (m *Manager) takeLocked(d *device, l *link) error {
	if m.stopping {
		return errStopping
	}
	if err := m.mayLink(l.info.Key); err != nil {
		return err // it changed while we shook hands
	}
	if d.link != nil {
		l.previous = d.link
		d.link.close(errReplaced, &packet.Bye{Reason: packet.ByeDuplicate, Text: "a newer link between these devices is kept"})
	}
	d.link = l
	m.links[l.info.ID] = l
	if p := m.peers[l.info.User]; p != nil {
		p.linkedLocked(l)
	}
	return nil
}

// settleIncoming decides on a connection that a peer offers; nil means that it
// is the link now.
func (m *Manager) settleIncoming(ctx context.Context, l *link) error {
	self := m.config.Identity.Device()
	decides := self.Compare(l.info.Device) < 0
	patience := time.NewTimer(m.timing.hold)
	defer patience.Stop()
	for patient := decides; ; {
		over, err := m.trySettle(l, decides, patient)
		if over == nil {
			return err
		}
		select {
		case <-over:
		case <-patience.C:
			patient = false
		case <-ctx.Done():
			return fmt.Errorf("wait for the answer of %s to an own offer: %w", l.info.User, context.Cause(ctx))
		}
	}
}

// trySettle gives either the decision, or what to wait for before it is made.
func (m *Manager) trySettle(l *link, decides, patient bool) (over <-chan struct{}, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.deviceLocked(l.info.Device)
	defer m.tidyLocked(l.info.Device)
	if d.offer != nil && patient {
		return d.offer.over, nil
	}
	if old := d.link; decides && old != nil && !old.closing() && old.dialed && time.Since(old.info.Since) < m.timing.young {
		old.probe(m.timing.probe)
		return nil, errDuplicate
	}
	withdrawLocked(d)
	return nil, m.takeLocked(d, l)
}
