package chatlog

import (
	"slices"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// serveBatch gives the next entries of what the peer wants. A stub goes to the
// log's author, for whom it tells what is lost, and to others when the member
// lists made it one, because they judge it the same; see offered. Its author gets
// back all that is here of an entry, others what they may have.
func (s *Service) serveBatch(a *access, l *link, log packet.Log, last uint64) ([]packet.Frame, error) {
	s.mu.Lock()
	ranges := l.serve[log]
	s.mu.Unlock()
	asked := ranges
	var frames []packet.Frame
	for size := 0; len(ranges) > 0 && len(frames) < turnEntries && size < turnBytes; {
		r := ranges[0]
		entries, err := a.tx.Entries(log, r.First, min(r.Last, last), turnEntries-len(frames), turnBytes-size, true)
		if err != nil {
			return nil, err
		}
		if len(entries) == 0 {
			ranges = ranges[1:]
			continue
		}
		through := entries[len(entries)-1].Packet.Header.Number
		twins, err := a.tx.Twins(packet.EntryKey{Log: log, Number: r.First}, through, turnEntries, turnBytes)
		if err != nil {
			return nil, err
		}
		for _, e := range slices.Concat(entries, twins) { // of very many twins the rest comes of comparing
			size += len(e.Packet.Content)
			switch {
			case log.Device == l.Device:
				frames = append(frames, &e.Packet)
			case passable(&e):
				if frames, err = a.give(frames, &e.Packet); err != nil {
					return nil, err
				}
			}
		}
		ranges = minus(ranges, []packet.Range{{First: 1, Last: through}})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(l.serve[log], asked) {
		l.queue(task{log: log, serve: true}) // asked anew meanwhile
		return frames, nil
	}
	if len(ranges) == 0 {
		delete(l.serve, log)
		return frames, nil
	}
	l.serve[log] = ranges
	l.queue(task{log: log, serve: true})
	return frames, nil
}

func passable(e *store.Entry) bool {
	switch e.State {
	case store.EntryStub:
		return e.Reason == packet.ReasonForbidden
	case store.EntryWaiting:
		return false
	}
	return true
}

// wanted notes what the peer asks for; a newer Want of a log replaces the older.
func (s *Service) wanted(id uint64, w *packet.Want) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.links[id]
	if l == nil || l.shared[w.Log.Chat] == nil || len(w.Ranges) == 0 {
		return
	}
	if l.shared[w.Log.Chat].role == guest && w.Log.Device != l.Device {
		return
	}
	if _, ok := l.serve[w.Log]; !ok && len(l.serve) >= maxServing {
		return // it asks again when nothing comes
	}
	l.serve[w.Log] = w.Ranges
	l.queue(task{log: w.Log, serve: true})
}
