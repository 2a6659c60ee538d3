package chatlog

import (
	"slices"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// frameBytes is how large frames of many items grow, by rough count.
const frameBytes = 256 << 10

// stubsExcluded bounds the stubs of one log that are kept out of an offer.
const stubsExcluded = 4096

// vectorFrames collects logs of chats into frames.
type vectorFrames struct {
	frames []*packet.Vectors
	size   int
}

func (v *vectorFrames) frame(size int) *packet.Vectors {
	if len(v.frames) == 0 || v.size+size > frameBytes {
		v.frames, v.size = append(v.frames, &packet.Vectors{}), 0
	}
	v.size += size
	return v.frames[len(v.frames)-1]
}

// add appends a chat, in parts when its logs are many.
func (v *vectorFrames) add(c packet.ChatVector) {
	logs := c.Logs
	c.Logs = nil
	head := 32 + len(c.Chat)
	f := v.frame(head)
	f.Chats = append(f.Chats, c)
	c.Anew = false
	for _, log := range logs {
		size := 48 + 24*len(log.Beyond)
		if g := v.frame(size); g != f {
			f = g
			v.size += head
			f.Chats = append(f.Chats, c)
		}
		last := &f.Chats[len(f.Chats)-1]
		last.Logs = append(last.Logs, log)
	}
}

func (v *vectorFrames) result() []packet.Frame {
	out := make([]packet.Frame, len(v.frames))
	for i, f := range v.frames {
		out[i] = f
	}
	return out
}

// tellChats gives the vectors of chats; an empty name stands for the end of the
// first exchange.
func (s *Service) tellChats(tx store.ReadTx, l *link, chats []packet.ChatID) ([]packet.Frame, error) {
	var v vectorFrames
	for _, chat := range chats {
		if chat == "" {
			v.frame(0).Complete = true
			continue
		}
		a, logs, err := s.offer(tx, l, chat, nil)
		if err != nil {
			return nil, err
		}
		if a == nil {
			continue
		}
		c := packet.ChatVector{Chat: chat, Membership: a.chat.Membership, Logs: logs}
		s.mu.Lock()
		if sh := l.shared[chat]; sh != nil {
			c.Anew, sh.anew = sh.anew, false
			if !slices.Contains(l.extras, chat) {
				l.extras = append(l.extras, chat)
			}
		}
		s.mu.Unlock()
		v.add(c)
	}
	return v.result(), nil
}

// tellLogs gives the vectors of single logs: the receipts.
func (s *Service) tellLogs(tx store.ReadTx, l *link, logs []packet.Log) ([]packet.Frame, error) {
	var v vectorFrames
	for len(logs) > 0 {
		chat := logs[0].Chat
		n := 1
		for n < len(logs) && logs[n].Chat == chat {
			n++
		}
		a, vectors, err := s.offer(tx, l, chat, logs[:n])
		if err != nil {
			return nil, err
		}
		if logs = logs[n:]; a != nil {
			v.add(packet.ChatVector{Chat: chat, Membership: a.chat.Membership, Logs: vectors})
		}
	}
	return v.result(), nil
}

// offer gives what is here of a chat, or of some of its logs, as l's peer is to
// see it; no chat when it is not shared with the peer any more. The peer's own
// logs come first, so that the first frame of a chat has them.
func (s *Service) offer(tx store.ReadTx, l *link, chat packet.ChatID, only []packet.Log) (*access, []packet.LogVector, error) {
	a, err := s.access(tx, chat, l.User)
	if err != nil || a == nil {
		return nil, nil, err
	}
	heads, err := headsOf(tx, chat, only)
	if err != nil {
		return nil, nil, err
	}
	var theirs, others []packet.LogVector
	for i := range heads {
		h := &heads[i]
		log := packet.Log{Chat: chat, Device: h.Device, Epoch: h.Epoch}
		if h.Device == l.Device {
			theirs = append(theirs, h.LogVector)
			continue
		}
		if a.role == guest {
			continue
		}
		v, err := s.offered(tx, log, h)
		if err != nil {
			return nil, nil, err
		}
		if a.role == leaving {
			v = vectorOf(v.Device, v.Epoch, within(all(v), 1, a.last(log)))
			if highest(v) == 0 {
				continue
			}
		}
		others = append(others, v)
	}
	return a, append(theirs, others...), nil
}

// headsOf gives the heads of a chat, or those of some of its logs.
func headsOf(tx store.ReadTx, chat packet.ChatID, only []packet.Log) ([]store.Head, error) {
	if only == nil {
		return tx.Heads(chat)
	}
	heads := make([]store.Head, 0, len(only))
	for _, log := range only {
		h, err := tx.Head(log)
		if err != nil {
			return nil, err
		}
		if highest(h.LogVector) > 0 {
			heads = append(heads, h)
		}
	}
	return heads, nil
}

// offered is a log as others than its author see it: without stubs, and without
// entries of which it is not known whose they are to have.
func (s *Service) offered(tx store.ReadTx, log packet.Log, h *store.Head) (packet.LogVector, error) {
	v := h.LogVector
	if log.Device == s.device {
		limit, err := forkLimit(tx, log)
		if err != nil {
			return v, err
		}
		return vectorOf(v.Device, v.Epoch, within(all(v), 1, limit)), nil
	}
	if log.Chat.Kind() == packet.Direct {
		return v, nil
	}
	stubs, err := tx.Stubs(log, stubsExcluded)
	if err != nil || len(stubs)+len(h.Waiting) == 0 {
		return v, err
	}
	numbers := minus(all(v), h.Waiting)
	for _, stub := range stubs {
		if stub.Reason == packet.ReasonForbidden {
			continue // its header is all that others need of it
		}
		numbers = without(numbers, stub.Key.Number)
	}
	return vectorOf(v.Device, v.Epoch, numbers), nil
}

// tellExtras gives the registers of chats, and the refusals of the peer's
// entries.
func (s *Service) tellExtras(tx store.ReadTx, l *link, chats []packet.ChatID) ([]packet.Frame, error) {
	var registers []packet.Register
	var refusals []packet.Refusal
	for _, chat := range chats {
		a, err := s.access(tx, chat, l.User)
		if err != nil {
			return nil, err
		}
		if a == nil || a.role != present {
			continue
		}
		rs, err := tx.Registers(chat)
		if err != nil {
			return nil, err
		}
		registers = append(registers, rs...)
		heads, err := tx.Heads(chat)
		if err != nil {
			return nil, err
		}
		for _, h := range heads {
			if h.Device != l.Device {
				continue
			}
			stubs, err := tx.Stubs(packet.Log{Chat: chat, Device: h.Device, Epoch: h.Epoch}, maxRefusals)
			if err != nil {
				return nil, err
			}
			for _, stub := range stubs {
				if stub.Reason != 0 { // else the user deleted it, which is nobody's business
					refusals = append(refusals, stub)
				}
			}
		}
	}
	return append(registerFrames(registers), refusalFrames(refusals)...), nil
}

func registerFrames(rs []packet.Register) []packet.Frame {
	var frames []packet.Frame
	var f *packet.Registers
	size := 0
	for _, r := range rs {
		if f == nil || size > frameBytes {
			f, size = &packet.Registers{}, 0
			frames = append(frames, f)
		}
		f.Registers = append(f.Registers, r)
		size += len(r.Raw) + 80
	}
	return frames
}

func refusalFrames(rs []packet.Refusal) []packet.Frame {
	var frames []packet.Frame
	for part := range slices.Chunk(rs, maxRefusals) {
		frames = append(frames, &packet.Refusals{Refusals: part})
	}
	return frames
}
