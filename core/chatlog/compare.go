package chatlog

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// An author who signs two entries with one number, and gives one to some and the
// other to others, leaves them with logs whose vectors are the same. So members of a
// group compare what they have of others' logs: see packet.Compare. What each lacks
// is then given, and all have both.

const (
	// compareAfter is how long after something came it is compared, all that came
	// meanwhile at once.
	compareAfter = 10 * time.Second
	// compareMax is the longest time until what differed with a peer is compared again:
	// twice as long each time.
	compareMax = time.Hour
	// compareLinks is with how many peers it is compared at a time, in turn: who is the
	// same as another is the same as those whom that other is the same as.
	compareLinks = 8
	// compareParts is how many parts of a log that differ are looked into at a time.
	compareParts = 16
	// maxDoubts bounds the logs of one link that differed, and what waits to be sent of
	// comparing.
	maxDoubts    = 64
	maxComparing = 256
	// maxKept is the largest part of a log whose digest is kept: 64⁴.
	maxKept = 1 << 24
)

// comparing is what a service is to compare.
type comparing struct {
	at    time.Time // of the next round, zero for none
	last  uint64    // counts what grew
	grown map[packet.Log]uint64
	turn  uint64 // the last link that had its turn
}

// doubt is a log that was not the same at a peer.
type doubt struct {
	tries int
	at    time.Time
}

// grew has a log compared soon. The caller holds mu.
func (s *Service) grew(log packet.Log) {
	if log.Chat.Kind() != packet.Group || log.Device == s.device {
		return
	}
	s.comparing.last++
	s.comparing.grown[log] = s.comparing.last
	s.compareSoon()
}

func (s *Service) compareSoon() {
	if s.comparing.at.IsZero() {
		s.comparing.at = s.cfg.Now().Add(compareAfter)
	}
}

// comparison is what is to be compared on a link.
type comparison struct {
	link  bus.Link
	chats []packet.ChatID // as a whole
	logs  []packet.Log
}

// takeComparisons takes what is due. The caller holds mu.
func (s *Service) takeComparisons(now time.Time) []comparison {
	var due []comparison
	ids := sortedLinks(s.links)
	round := !s.comparing.at.IsZero() && !now.Before(s.comparing.at)
	if round {
		s.comparing.at = time.Time{}
		n, _ := slices.BinarySearch(ids, s.comparing.turn+1)
		ids = slices.Concat(ids[n:], ids[:n])
	}
	told := 0
	for _, id := range ids {
		l := s.links[id]
		c := comparison{link: l.Link}
		for _, log := range sortedLogs(l.doubts) {
			if d := l.doubts[log]; !now.Before(d.at) {
				d.tries = min(d.tries+1, 16)
				d.at = now.Add(min(compareAfter<<d.tries, compareMax))
				c.logs = append(c.logs, log)
			}
		}
		if round && l.complete && l.peerComplete && (l.compareAll || l.compared < s.comparing.last) {
			if told == compareLinks {
				s.compareSoon()
				round = false
			} else {
				told++
				s.comparing.turn = id
				s.takeComparison(l, &c)
			}
		}
		if len(c.chats)+len(c.logs) > 0 {
			due = append(due, c)
		}
	}
	if !slices.ContainsFunc(ids, func(id uint64) bool { return s.links[id].compared < s.comparing.last }) {
		clear(s.comparing.grown)
	}
	return due
}

func (s *Service) takeComparison(l *link, c *comparison) {
	if l.compareAll {
		for chat, sh := range l.shared {
			if sh.role != guest && chat.Kind() == packet.Group {
				c.chats = append(c.chats, chat)
			}
		}
		slices.Sort(c.chats)
	} else {
		for _, log := range sortedLogs(s.comparing.grown) {
			sh := l.shared[log.Chat]
			if s.comparing.grown[log] > l.compared && sh != nil && sh.role != guest && l.doubts[log] == nil {
				c.logs = append(c.logs, log)
			}
		}
	}
	l.compareAll, l.compared = false, s.comparing.last
}

// compare tells peers what stands for the logs that are to be compared.
func (s *Service) compare(ctx context.Context) {
	s.mu.Lock()
	due := s.takeComparisons(s.cfg.Now())
	s.mu.Unlock()
	if len(due) == 0 {
		return
	}
	told := map[uint64][]packet.Frame{}
	err := s.cfg.Store.Update(ctx, store.Lazy, func(tx store.Tx) error {
		clear(told)
		sums := map[packet.EntryKey]*packet.LogDigest{} // of logs up to there; most are the same for all
		for _, c := range due {
			frames, err := s.compareWith(tx, &c, sums)
			if err != nil {
				return err
			}
			told[c.link.ID] = frames
		}
		return nil
	})
	if err != nil {
		if ctx.Err() == nil {
			s.log.Error("chat log: comparing logs with others", "error", err)
		}
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, frames := range told {
		if l := s.links[id]; l != nil {
			l.tellComparing(frames)
		}
	}
}

// tellComparing has frames sent; what is too much is compared another time.
func (l *link) tellComparing(frames []packet.Frame) {
	l.comparing = append(l.comparing, frames[:min(len(frames), maxComparing-len(l.comparing))]...)
	l.signal()
}

func (s *Service) compareWith(tx store.Tx, c *comparison, sums map[packet.EntryKey]*packet.LogDigest) ([]packet.Frame, error) {
	logs := slices.Clone(c.logs)
	for _, chat := range c.chats {
		heads, err := tx.Heads(chat)
		if err != nil {
			return nil, err
		}
		for i := range heads {
			logs = append(logs, packet.Log{Chat: chat, Device: heads[i].Device, Epoch: heads[i].Epoch})
		}
	}
	var frames []packet.Frame
	var a *access
	for i, log := range logs {
		if log.Device == s.device || log.Device == c.link.Device {
			continue
		}
		if i == 0 || a == nil || a.chat.ID != log.Chat {
			var err error
			if a, err = s.access(tx, log.Chat, c.link.User); err != nil {
				return nil, err
			}
		}
		if a == nil {
			continue
		}
		head, err := tx.Head(log)
		if err != nil {
			return nil, err
		}
		upto := packet.EntryKey{Log: log, Number: min(head.Upto, a.last(log))}
		if len(head.Waiting) > 0 {
			// The peer may not be given what waits: then he has less, and could not compare.
			upto.Number = min(upto.Number, head.Waiting[0].First-1)
		}
		d, known := sums[upto]
		if !known && upto.Number > 0 {
			if d, err = sum(tx, log, packet.Range{First: 1, Last: upto.Number}); err != nil {
				return nil, err
			}
			sums[upto] = d
		}
		if d != nil {
			frames = appendCompare(frames, log.Chat, *d)
		}
	}
	return frames, nil
}

// appendCompare adds a log to the last frame, or in another one.
func appendCompare(frames []packet.Frame, chat packet.ChatID, d packet.LogDigest) []packet.Frame {
	if n := len(frames); n > 0 {
		last, is := frames[n-1].(*packet.Compare)
		if is && last.Chat == chat && len(last.Logs) < packet.MaxCompared && len(last.Logs[len(last.Logs)-1].Digests)+len(d.Digests) <= packet.MaxTwins {
			last.Logs = append(last.Logs, d)
			return frames
		}
	}
	return append(frames, &packet.Compare{Chat: chat, Logs: []packet.LogDigest{d}})
}

// compared takes what a peer has at places of logs, and answers where something
// else is here.
func (r *run) compared(l bus.Link, f *packet.Compare) error {
	c, err := r.chat(f.Chat)
	if err != nil {
		return err
	}
	if is, err := r.role(c, l.User); err != nil || is == outsider || is == guest || f.Chat.Kind() != packet.Group {
		return err
	}
	if err := r.loadHeads(c); err != nil {
		return err
	}
	a, err := r.s.access(r.tx, f.Chat, l.User)
	if err != nil || a == nil {
		return err
	}
	var frames []packet.Frame
	for i := range f.Logs {
		d := &f.Logs[i]
		log := packet.Log{Chat: f.Chat, Device: d.Device, Epoch: d.Epoch}
		head := c.heads[log]
		if log.Device == r.s.device || head == nil || head.Upto < d.Places.Last || !aligned(d.Places) {
			continue // what is lacking is compared when it is here
		}
		if is, err := a.compares(log, d.Places.Last); err != nil || !is {
			if err != nil {
				return err
			}
			continue
		}
		answers, packets, differs, err := r.differences(a, log, d)
		if err != nil {
			return err
		}
		for _, answer := range answers {
			frames = appendCompare(frames, f.Chat, answer)
		}
		frames = append(frames, packets...)
		if whole := d.Places.First == 1 && (len(d.Digests) == 1 || d.Places.Last == 1); differs || whole {
			r.then(func(s *Service) {
				if l := s.links[l.ID]; l != nil {
					l.doubted(log, differs, s.cfg.Now())
				}
			})
		}
	}
	if len(frames) > 0 {
		r.then(func(s *Service) {
			if l := s.links[l.ID]; l != nil {
				l.tellComparing(frames)
			}
		})
	}
	return nil
}

// compares says whether somebody may hear whether a log up to number differs from his:
// of who is leaving up to what he may have; and of changes all that he has, because
// somebody may have told him alone, with a number that others know for another
// change, that he is a member again. Only who knows that can tell him better.
func (a *access) compares(log packet.Log, number uint64) (bool, error) {
	if number <= a.last(log) {
		return true, nil
	}
	first, err := a.tx.Entries(log, 1, number, 1, 1, false)
	return len(first) > 0 && a.s.kindOf(first[0].Packet.Header.Type, log.Chat) == changes, err
}

// doubted notes that a log differs from the peer's, so that it is compared again
// whatever becomes of what is said now; or that it no longer does.
func (l *link) doubted(log packet.Log, differs bool, now time.Time) {
	if !differs {
		delete(l.doubts, log)
	} else if l.doubts[log] == nil && len(l.doubts) < maxDoubts {
		l.doubts[log] = &doubt{at: now.Add(compareAfter)}
	}
}

// differences answers what a peer has at places of a log: with what is here of the
// parts that differ, and with entries that the peer lacks.
func (r *run) differences(a *access, log packet.Log, d *packet.LogDigest) (answers []packet.LogDigest, packets []packet.Frame, differs bool, err error) {
	if d.Places.First == d.Places.Last {
		answer, packets, err := r.differencesAt(a, log, d)
		if answer != nil {
			answers = append(answers, *answer)
		}
		return answers, packets, len(answers)+len(packets) > 0, err
	}
	parts := []packet.Range{d.Places}
	if len(d.Digests) > 1 {
		parts = packet.Parts(d.Places)
	}
	for i, part := range parts {
		mine, err := digestOf(r.tx, log, part)
		if err != nil {
			return nil, nil, false, err
		}
		if mine == nil || *mine == d.Digests[i] {
			continue
		}
		if len(answers) == compareParts {
			break
		}
		answer, err := divide(r.tx, log, part)
		if err != nil {
			return nil, nil, false, err
		}
		if answer != nil {
			answers = append(answers, *answer)
		}
	}
	return answers, nil, len(answers) > 0, nil
}

// differencesAt does so at a single place.
func (r *run) differencesAt(a *access, log packet.Log, d *packet.LogDigest) (*packet.LogDigest, []packet.Frame, error) {
	mine, err := divide(r.tx, log, d.Places)
	if err != nil || mine == nil {
		return nil, nil, err
	}
	lacks := func(digests []packet.Digest, other packet.Digest) bool { return !slices.Contains(digests, other) }
	var packets []packet.Frame
	if d.Places.Last <= a.last(log) && slices.ContainsFunc(mine.Digests, func(own packet.Digest) bool { return lacks(d.Digests, own) }) {
		entries, err := entriesAt(r.tx, packet.EntryKey{Log: log, Number: d.Places.First})
		if err != nil {
			return nil, nil, err
		}
		size := 0
		for i := range entries {
			e := &entries[i]
			if !lacks(d.Digests, packet.DigestOf(e.Packet.Raw)) || !passable(e) || len(packets) >= turnEntries || size > turnBytes {
				continue // the rest another time
			}
			size += len(e.Packet.Content)
			if packets, err = a.give(packets, &e.Packet); err != nil {
				return nil, nil, err
			}
		}
	}
	if d.Answer || !slices.ContainsFunc(d.Digests, func(other packet.Digest) bool { return lacks(mine.Digests, other) }) {
		return nil, packets, nil
	}
	mine.Answer = true
	return mine, packets, nil
}

// entriesAt gives an entry and its twins.
func entriesAt(tx store.ReadTx, key packet.EntryKey) ([]store.Entry, error) {
	first, err := tx.Entry(key)
	if err != nil {
		return nil, err
	}
	twins, err := tx.Twins(key, key.Number, packet.MaxTwins, 16*turnBytes)
	return append([]store.Entry{first}, twins...), err
}

// sum gives the digest of places of a log, or of a single place what is there; nil
// when not all is here.
func sum(tx store.Tx, log packet.Log, places packet.Range) (*packet.LogDigest, error) {
	if places.First == places.Last {
		return divide(tx, log, places)
	}
	digest, err := digestOf(tx, log, places)
	if err != nil || digest == nil {
		return nil, err
	}
	return &packet.LogDigest{Device: log.Device, Epoch: log.Epoch, Places: places, Digests: []packet.Digest{*digest}}, nil
}

// divide gives the digests of the parts of places, of a single place those of the
// entries there; nil when not all is here.
func divide(tx store.Tx, log packet.Log, places packet.Range) (*packet.LogDigest, error) {
	d := &packet.LogDigest{Device: log.Device, Epoch: log.Epoch, Places: places}
	if places.First == places.Last {
		entries, err := tx.Digests(log, places.First, places.Last)
		for i := range entries[:min(len(entries), packet.MaxTwins)] {
			d.Digests = append(d.Digests, entries[i].Digest)
		}
		if err != nil || len(entries) == 0 {
			return nil, err
		}
		return d, nil
	}
	digests, err := digestsOf(tx, log, packet.Parts(places))
	if err != nil || digests == nil {
		return nil, err
	}
	d.Digests = digests
	return d, nil
}

// digestOf gives the digest of places; nil when not all is here. Those of a whole
// part (64, 64² and so on of them) are kept.
func digestOf(tx store.Tx, log packet.Log, places packet.Range) (*packet.Digest, error) {
	size := places.Last - places.First + 1
	keep := size == sizeOf(places) && size > 1 && size <= maxKept && aligned(places)
	if keep {
		b, err := tx.Value(namespace, keyDigest(log, size, places.First))
		if err == nil && len(b) == len(packet.Digest{}) {
			d := packet.Digest(b)
			return &d, nil
		}
		if err != nil && !isNotFound(err) {
			return nil, err
		}
	}
	parts := packet.Parts(places)
	if size == 1 {
		parts = []packet.Range{places}
	}
	digests, err := digestsOf(tx, log, parts)
	if err != nil || digests == nil {
		return nil, err
	}
	d := digests[0]
	if size > 1 {
		d = packet.Combine(digests)
	}
	if keep {
		err = tx.PutValue(namespace, keyDigest(log, size, places.First), d[:])
	}
	return &d, err
}

// digestsOf gives the digest of each part; nil when not all is here.
func digestsOf(tx store.Tx, log packet.Log, parts []packet.Range) ([]packet.Digest, error) {
	first, last := parts[0].First, parts[len(parts)-1].Last
	digests := make([]packet.Digest, 0, len(parts))
	if uint64(len(parts)) < last-first+1 {
		for _, part := range parts {
			d, err := digestOf(tx, log, part)
			if err != nil || d == nil {
				return nil, err
			}
			digests = append(digests, *d)
		}
		return digests, nil
	}
	entries, err := tx.Digests(log, first, last)
	if err != nil {
		return nil, err
	}
	var place []packet.Digest
	for i := range entries {
		place = append(place, entries[i].Digest)
		if i+1 == len(entries) || entries[i+1].Number != entries[i].Number {
			digests = append(digests, packet.Combine(place))
			place = place[:0]
		}
	}
	if len(digests) < len(parts) {
		return nil, nil // of a chat that was deleted and made again
	}
	return digests, nil
}

// sizeOf gives of 1, 64, 64² and so on the first that is not less than how many
// places there are.
func sizeOf(places packet.Range) uint64 {
	size := uint64(1)
	for places.Last-places.First >= size {
		size *= packet.MaxParts
	}
	return size
}

// aligned says whether places are what comes of dividing a log: those of others
// would be a lot to read.
func aligned(places packet.Range) bool { return (places.First-1)%sizeOf(places) == 0 }

// undoDigests forgets the digests that are kept of an entry's place.
func undoDigests(tx store.Tx, key packet.EntryKey) error {
	for size := uint64(packet.MaxParts); size <= maxKept; size *= packet.MaxParts {
		first := (key.Number-1)/size*size + 1
		if err := tx.PutValue(namespace, keyDigest(key.Log, size, first), nil); err != nil {
			return err
		}
	}
	return nil
}

// forgetDigests forgets those of a chat: made again, it may have other entries.
func forgetDigests(tx store.Tx, chat packet.ChatID) error {
	values, err := tx.Values(namespace, prefixDigest(chat), 0)
	for _, v := range values {
		if err == nil {
			err = tx.PutValue(namespace, v.Key, nil)
		}
	}
	return err
}

func keyDigest(log packet.Log, size, first uint64) string {
	return fmt.Sprintf("%s%s/%016x/%x/%016x", prefixDigest(log.Chat), log.Device, log.Epoch, size, first)
}

func prefixDigest(chat packet.ChatID) string { return "digest/" + string(chat) + "/" }
