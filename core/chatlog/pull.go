package chatlog

import (
	"cmp"
	"time"

	"github.com/parley-chat/parley/protocol/packet"
)

// maxAhead is how far beyond a log's contiguous part entries are taken.
const maxAhead = 1_000_000

// claim is what a link's peer said it has of a log of which this device lacks
// something, be it that it does not count by the present member list: the peer
// does not tell it again when there is another.
type claim struct {
	vector   packet.LogVector
	refused  []packet.Range // came without the content that this device may have
	unknown  bool           // an entry came, and its author's key is not known
	failures int            // times that nothing came
	retry    time.Time      // not to be asked before
}

// pull is the fetching of one log. There is one as long as there is a claim.
type pull struct {
	have     packet.LogVector
	limit    uint64         // numbers above do not count (a removed author's)
	link     uint64         // who is asked, 0 for nobody
	want     []packet.Range // what was asked for
	deadline time.Time      // of the asked, or when to look for somebody to ask
}

func compareLogs(a, b packet.Log) int {
	return cmp.Or(cmp.Compare(a.Chat, b.Chat), a.Device.Compare(b.Device), cmp.Compare(a.Epoch, b.Epoch))
}

// claimed notes what l's peer has of a log, beside what is here. The caller
// holds mu.
func (s *Service) claimed(l *link, log packet.Log, offer, have packet.LogVector, limit uint64) {
	if p := s.pulls[log]; p != nil {
		p.have, p.limit = have, limit
	}
	s.rumours.knows(log, l.ID, offer)
	if len(minus(all(offer), all(have))) == 0 {
		if _, ok := l.claims[log]; ok {
			delete(l.claims, log)
			s.plan(log)
		}
		return
	}
	c := l.claims[log]
	if c == nil {
		if !s.roomForClaim(l, log, have) {
			return
		}
		c = &claim{}
		l.claims[log] = c
	}
	c.vector = offer
	if s.pulls[log] == nil {
		s.pulls[log] = &pull{have: have, limit: limit}
	}
	s.plan(log)
}

// roomForClaim bounds what claims a peer can invent.
func (s *Service) roomForClaim(l *link, log packet.Log, have packet.LogVector) bool {
	if have.Upto > 0 || len(have.Beyond) > 0 {
		return true
	}
	strange, limit := 0, maxStrangeLogs
	_, _, known := s.cfg.Book.Signer(log.Chat, log.Device)
	if known = known || log.Device == l.Device; !known {
		limit = maxStrangeDevices
	}
	for other := range l.claims {
		if _, _, ok := s.cfg.Book.Signer(other.Chat, other.Device); !known && !ok || other.Chat == log.Chat && other.Device == log.Device {
			strange++
		}
	}
	return strange < limit
}

// progress notes that this device has more of a log, by way of link id. The
// caller holds mu.
func (s *Service) progress(log packet.Log, have packet.LogVector, id uint64) {
	p := s.pulls[log]
	if p == nil {
		return
	}
	p.have = have
	if p.link == id {
		p.deadline = s.cfg.Now().Add(stallAfter)
	}
	if l := s.links[id]; l != nil && l.claims[log] != nil {
		l.claims[log].failures = 0
	}
	s.plan(log)
}

// reached notes that the author of a log, whose link this is, is at number,
// though the entry could not be taken now.
func (s *Service) reached(l *link, log packet.Log, number uint64, have packet.LogVector, limit uint64) {
	offer := packet.LogVector{Device: log.Device, Epoch: log.Epoch, Upto: number}
	if c := l.claims[log]; c != nil && highest(c.vector) > number {
		return
	}
	s.claimed(l, log, offer, have, limit)
}

// plan decides whom to ask for a log: the one who is asked as long as there is
// hope, else its author, else whoever has failed least. The caller holds mu.
func (s *Service) plan(log packet.Log) {
	p := s.pulls[log]
	if p == nil {
		return
	}
	now := s.cfg.Now()
	if l := s.links[p.link]; l != nil && l.claims[log] != nil && len(minus(p.want, all(p.have))) > 0 && now.Before(p.deadline) {
		return
	}
	p.link, p.want, p.deadline = 0, nil, time.Time{}
	_, _, known := s.cfg.Book.Signer(log.Chat, log.Device)
	var best *link
	claims := false
	for _, id := range sortedLinks(s.links) {
		l := s.links[id]
		c := l.claims[log]
		if c == nil {
			continue
		}
		if len(minus(all(c.vector), all(p.have))) == 0 {
			delete(l.claims, log)
			continue
		}
		claims = true // perhaps only by another member list
		if len(s.lacking(p, c)) == 0 {
			continue
		}
		if author := l.Device == log.Device; !known && !author && log.Chat.Kind() != packet.Group {
			continue // cannot be verified; looked at again when the book changes
		}
		if known && c.unknown {
			c.unknown, c.failures, c.retry = false, 0, time.Time{}
		}
		if now.Before(c.retry) {
			if p.deadline.IsZero() || c.retry.Before(p.deadline) {
				p.deadline = c.retry
			}
			continue
		}
		if best == nil || betterSource(l, best, log) {
			best = l
		}
	}
	if !claims {
		delete(s.pulls, log)
		return
	}
	if best != nil {
		s.ask(p, best, log, known)
	}
}

func betterSource(l, than *link, log packet.Log) bool {
	a, b := l.claims[log], than.claims[log]
	if a.failures != b.failures {
		return a.failures < b.failures
	}
	return l.Device == log.Device && than.Device != log.Device
}

// lacking gives what a claim has that is not here and can be taken.
func (s *Service) lacking(p *pull, c *claim) []packet.Range {
	return within(minus(minus(all(c.vector), all(p.have)), c.refused), 1, min(p.limit, p.have.Upto+maxAhead))
}

// ask asks for what is lacking of a log; of one of whom nobody knows here whose it
// is, for one entry, which says so.
func (s *Service) ask(p *pull, l *link, log packet.Log, known bool) {
	want := s.lacking(p, l.claims[log])
	if !known && l.Device != log.Device {
		want = []packet.Range{{First: want[0].First, Last: want[0].First}}
	}
	p.link, p.want = l.ID, want[:min(len(want), packet.MaxRanges)]
	p.deadline = s.cfg.Now().Add(stallAfter)
	if l.Device == log.Device && l.claims[log].failures == 0 {
		return // its author pushes it
	}
	l.wants[log] = p.want
	l.signal()
}

// strange notes that an entry came by way of link id whose author's key is not
// known: who asks for the log waits until it is. The caller holds mu.
func (s *Service) strange(log packet.Log, id uint64) {
	p, l := s.pulls[log], s.links[id]
	if p == nil || l == nil || l.claims[log] == nil || l.Device == log.Device {
		return
	}
	l.claims[log].unknown = true
	s.failed(l, log, s.cfg.Now())
	if p.link == id {
		p.link, p.want = 0, nil
	}
	s.plan(log)
}

// tickPulls turns away from those of whom nothing comes. The caller holds mu.
func (s *Service) tickPulls(now time.Time) {
	for _, log := range sortedLogs(s.pulls) {
		p := s.pulls[log]
		if p == nil || p.deadline.IsZero() || now.Before(p.deadline) {
			continue
		}
		if l := s.links[p.link]; l != nil && l.claims[log] != nil {
			s.failed(l, log, now)
		}
		p.link = 0
		s.plan(log)
	}
}

// failed notes that asking l for a log was in vain.
func (s *Service) failed(l *link, log packet.Log, now time.Time) {
	c := l.claims[log]
	c.failures++
	if l.Device == log.Device && c.failures == 1 {
		return // it was not asked in words yet
	}
	c.retry = now.Add(min(stallAfter<<min(c.failures-1, 10), stallMax))
}

// limited takes what is worth fetching of a chat's logs by another member list.
// The caller holds mu.
func (s *Service) limited(limits map[packet.Log]uint64) {
	for log, limit := range limits {
		if p := s.pulls[log]; p != nil {
			p.limit = limit
		}
		for _, l := range s.links {
			if c := l.claims[log]; c != nil {
				c.refused = nil // perhaps the peer may have the content by that list
			}
		}
	}
}

// planChat and planAll plan anew what a change of members or keys may have made
// possible. The caller of planChat holds mu.
func (s *Service) planChat(chat packet.ChatID) {
	for _, log := range sortedLogs(s.pulls) {
		if log.Chat == chat {
			s.plan(log)
		}
	}
}

func (s *Service) planAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, log := range sortedLogs(s.pulls) {
		s.plan(log)
	}
}

// audit asks entries of one's own log back of a peer that has more of it than
// was known. See the package documentation.
type audit struct {
	want     []packet.Range
	report   packet.LogVector
	deadline time.Time
	tries    int
}

// auditTries is how often an audit asks, waiting twice as long each time, before
// it goes without an answer: more than two minutes.
const auditTries = 5

// auditWhole is how long an audit asks for everything; of a longer one it asks
// for the ends, until something is found to differ.
const auditWhole = 128

// settling is an audit that is over, to be noted in the store.
type settling struct {
	link   uint64
	log    packet.Log
	report packet.LogVector
	doubt  []packet.Range // what did not come back
}

func (s *Service) startAudit(l *link, log packet.Log, want []packet.Range, report packet.LogVector) {
	l.asked[log] = union(l.asked[log], want)
	l.audits[log] = &audit{want: want, report: report, deadline: s.cfg.Now().Add(stallAfter)}
	l.wants[log] = want[:min(len(want), packet.MaxRanges)]
	l.signal()
}

// audited notes that an entry came back. The caller holds mu.
func (s *Service) audited(l *link, key packet.EntryKey) {
	a := l.audits[key.Log]
	if a == nil {
		return
	}
	a.want, a.deadline, a.tries = without(a.want, key.Number), s.cfg.Now().Add(stallAfter), 0
	if len(a.want) == 0 {
		s.endAudit(l, key.Log)
	}
}

// widenAudit asks for all that the peer has from number on, because something
// there differs. The caller holds mu.
func (s *Service) widenAudit(l *link, log packet.Log, number uint64) {
	a := l.audits[log]
	if a == nil {
		return
	}
	if more := within(minus(all(a.report), a.want), number+1, highest(a.report)); len(more) > 0 {
		a.want = union(more, a.want)
		l.wants[log] = a.want[:min(len(a.want), packet.MaxRanges)]
		l.signal()
	}
}

// lost looks into what a peer has, or has come to have by way of others, of a log of
// this device of which have is here: it was lost with an older store, and is asked
// back once on each link. The caller holds mu.
func (s *Service) lost(l *link, log packet.Log, have, report packet.LogVector) {
	missing := minus(minus(all(report), all(have)), l.asked[log])
	if len(missing) == 0 || len(l.asked[log]) >= packet.MaxRanges {
		return
	}
	if a := l.audits[log]; a != nil {
		a.report, a.want = report, union(a.want, missing)
		l.asked[log] = union(l.asked[log], missing)
		l.wants[log] = a.want[:min(len(a.want), packet.MaxRanges)]
		l.signal()
		return
	}
	ofChat := 0
	for other := range l.asked {
		if other.Chat == log.Chat && other != log {
			ofChat++
		}
	}
	if ofChat < maxStrangeLogs {
		s.startAudit(l, log, missing, report)
	}
}

func (s *Service) endAudit(l *link, log packet.Log) {
	s.settled = append(s.settled, settling{l.ID, log, l.audits[log].report, l.audits[log].want})
	delete(l.audits, log)
	delete(l.wants, log)
	if c := l.push[log]; c != nil {
		c.held = false
		l.queue(task{log: log})
	}
}

// tickAudits asks again those who do not answer. The caller holds mu.
func (s *Service) tickAudits(now time.Time) {
	for _, id := range sortedLinks(s.links) {
		l := s.links[id]
		for _, log := range sortedLogs(l.audits) {
			a := l.audits[log]
			if now.Before(a.deadline) {
				continue
			}
			if a.tries++; a.tries >= auditTries {
				s.endAudit(l, log)
				continue
			}
			a.deadline = now.Add(stallAfter << a.tries)
			l.wants[log] = a.want[:min(len(a.want), packet.MaxRanges)]
			l.signal()
		}
	}
}
