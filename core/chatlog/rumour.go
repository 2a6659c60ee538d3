package chatlog

import (
	"encoding/binary"
	"time"

	"github.com/parley-chat/parley/protocol/packet"
)

// Entries of a group travel on where their author and a member have no link: who
// has new ones tells others so. Were all to tell all, one message to 200 members
// would cost 40,000 frames, nearly always in vain; so it is told in waves. In each, a
// peer is told by a few of those who could, whom all work out alike from the ids of
// devices, and who are others for each entry. By the last wave, in which what grew
// meanwhile is told together, everybody has told everybody or was told.

// wave is one of them. Beyond the first it also has what the one before had.
type wave struct {
	after  time.Duration // the growth, or the wave before
	spread time.Duration // and up to so much more, each device its own: who is told meanwhile need not tell
	width  int           // how many tell one peer; 0 for all
}

var waves = [...]wave{
	{after: 2 * time.Second, width: 3},
	{after: 10 * time.Second, width: 8},
	{after: 5 * time.Minute, spread: 5 * time.Minute},
}

// rumours are logs of groups that grew. Guarded by Service.mu.
type rumours struct {
	due  [len(waves)]time.Time // zero where there is none
	logs [len(waves)]map[packet.Log]struct{}
	of   map[packet.Log]*rumour // of all that are in logs
}

// rumour is what is told of a log, and who need not be told any more.
type rumour struct {
	have packet.LogVector
	told map[uint64]struct{} // links
}

// knows notes that the peer of a link has told what it has of a log.
func (r *rumours) knows(log packet.Log, link uint64, v packet.LogVector) {
	if of := r.of[log]; of != nil && len(minus(all(of.have), all(v))) == 0 {
		of.told[link] = struct{}{}
	}
}

// told notes that the peer of a link is told of a log.
func (r *rumours) told(log packet.Log, link uint64) {
	if of := r.of[log]; of != nil {
		of.told[link] = struct{}{}
	}
}

// forget drops those of a chat.
func (r *rumours) forget(chat packet.ChatID) {
	dropChat(r.of, chat)
	for _, logs := range r.logs {
		dropChat(logs, chat)
	}
}

// put has logs told in a wave.
func (r *rumours) put(w int, now time.Time, self packet.DeviceID, logs ...packet.Log) {
	if r.logs[w] == nil {
		r.logs[w] = map[packet.Log]struct{}{}
	}
	for _, log := range logs {
		r.logs[w][log] = struct{}{}
	}
	if r.due[w].IsZero() && len(r.logs[w]) > 0 {
		part := float64(binary.BigEndian.Uint32(self[:])) / (1 << 32)
		r.due[w] = now.Add(waves[w].after + time.Duration(part*float64(waves[w].spread)))
	}
}

// rumour has linked members told of a log soon. The caller holds mu.
func (s *Service) rumour(log packet.Log, have packet.LogVector) {
	if log.Chat.Kind() == packet.Direct {
		return
	}
	if s.rumours.of == nil {
		s.rumours.of = map[packet.Log]*rumour{}
	}
	s.rumours.of[log] = &rumour{have: have, told: map[uint64]struct{}{}}
	s.rumours.put(0, s.cfg.Now(), s.device, log)
}

// tickRumours tells what is due. The caller holds mu.
func (s *Service) tickRumours(now time.Time) {
	for w := range waves {
		if s.rumours.due[w].IsZero() || now.Before(s.rumours.due[w]) {
			continue
		}
		logs := sortedLogs(s.rumours.logs[w])
		s.rumours.due[w], s.rumours.logs[w] = time.Time{}, nil
		for _, log := range logs {
			s.spread(log, w)
		}
		if w+1 < len(waves) {
			s.rumours.put(w+1, now, s.device, logs...)
			continue
		}
		for _, log := range logs {
			if !s.rumours.has(log) {
				delete(s.rumours.of, log)
			}
		}
	}
}

// has says whether a log is yet to be told in a wave.
func (r *rumours) has(log packet.Log) bool {
	for _, logs := range r.logs {
		if _, ok := logs[log]; ok {
			return true
		}
	}
	return false
}

// spread tells a log to those to whom it is this device that tells it in a wave. When
// its author is not linked here, it is perhaps with nobody, so that more is done.
func (s *Service) spread(log packet.Log, w int) {
	of := s.rumours.of[log]
	if of == nil {
		return
	}
	var linked []*link
	author := log.Device == s.device
	for _, id := range sortedLinks(s.links) {
		l := s.links[id]
		author = author || l.Device == log.Device
		if sh := l.shared[log.Chat]; sh != nil && sh.role != leaving && l.Device != log.Device {
			linked = append(linked, l)
		}
	}
	if !author {
		w = min(w+1, len(waves)-1)
	}
	salt := scatter(word(log.Device) ^ scatter(log.Epoch^scatter(highest(of.have))))
	for _, l := range linked {
		if _, told := of.told[l.ID]; told || waves[w].width > 0 && !s.tells(l, linked, salt, waves[w].width) {
			continue
		}
		of.told[l.ID] = struct{}{}
		l.tell[log] = struct{}{}
		l.signal()
	}
}

// tells says whether this device is one of the first few to tell l's peer, of all
// that could as far as is known here.
func (s *Service) tells(l *link, linked []*link, salt uint64, few int) bool {
	salt = scatter(word(l.Device) ^ salt)
	own := scatter(word(s.device) ^ salt)
	for _, other := range linked {
		if other != l && scatter(word(other.Device)^salt) < own {
			if few--; few == 0 {
				return false
			}
		}
	}
	return true
}

// word gives the beginning of a device's id, which is a hash.
func word(d packet.DeviceID) uint64 { return binary.BigEndian.Uint64(d[:]) }

// scatter makes of numbers that have something in common ones that seem to have
// nothing: the last step of SplitMix64.
func scatter(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// rumoursWith adds to what is told on a link what would be told later in a frame of
// its own. The caller holds mu.
func (s *Service) rumoursWith(l *link) {
	chats := map[packet.ChatID]struct{}{}
	for log := range l.tell {
		chats[log.Chat] = struct{}{}
	}
	if len(chats) == 0 {
		return
	}
	for log := range s.rumours.logs[len(waves)-1] {
		if _, ok := chats[log.Chat]; !ok || l.Device == log.Device {
			continue
		}
		of := s.rumours.of[log]
		if _, told := of.told[l.ID]; !told && l.shared[log.Chat] != nil && l.shared[log.Chat].role != leaving {
			of.told[l.ID] = struct{}{}
			l.tell[log] = struct{}{}
		}
	}
}
