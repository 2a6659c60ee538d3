package chatlog

import (
	"fmt"
	"slices"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// State is how far a message came.
type State int

// The states, each more than the one before; Failed is none of them.
const (
	Queued    State = iota + 1 // in this account's log
	Sent                       // given to a link that is up
	Delivered                  // in the recipient's log
	Read                       // and the recipient says so
	Failed                     // refused
)

// Recipient is how far a message came for one member.
type Recipient struct {
	User   packet.UserID
	State  State
	Reason packet.Reason // of Failed
	Text   string        // why it failed, for people
}

// Receipts knows how far one's own messages of one chat came. It is good as long
// as the transaction it was made in, for one goroutine.
type Receipts struct {
	s          *Service
	tx         store.ReadTx
	chat       packet.ChatID
	now        *list // the present one of a group
	device     packet.DeviceID
	recipients []packet.UserID
	read       map[packet.UserID]packet.OrderKey
	sent       map[packet.UserID]map[packet.Log]uint64
	logs       map[packet.Log]*logReceipts
}

// logReceipts is what is known of one log.
type logReceipts struct {
	upto map[packet.UserID]uint64
	fork uint64 // numbers from this one on were copied to another log; 0: none
}

// Receipts reads what all messages of a chat have in common.
func (s *Service) Receipts(tx store.ReadTx, chat packet.ChatID) (*Receipts, error) {
	c, err := tx.Chat(chat)
	if err != nil {
		return nil, fmt.Errorf("receipts of chat %s: %w", chat, err)
	}
	r := &Receipts{
		s: s, tx: tx, chat: chat, device: s.device, read: map[packet.UserID]packet.OrderKey{},
		sent: map[packet.UserID]map[packet.Log]uint64{}, logs: map[packet.Log]*logReceipts{},
	}
	if chat.Kind() != packet.Direct {
		if r.now, err = s.list(tx, chat, c.Membership); err != nil {
			return nil, fmt.Errorf("receipts of chat %s: %w", chat, err)
		}
	}
	for _, user := range c.Members {
		if user == s.self || slices.Contains(c.Invited, user) {
			continue
		}
		r.recipients = append(r.recipients, user)
		reg, err := tx.Register(chat, user, packet.RegisterRead)
		if isNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("receipts of chat %s: %w", chat, err)
		}
		if place, err := packet.OrderKeyFromBytes(reg.Value); err == nil {
			r.read[user] = place
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		for log, c := range l.push {
			if log.Chat != chat || c.sent == 0 {
				continue
			}
			if r.sent[l.User] == nil {
				r.sent[l.User] = map[packet.Log]uint64{}
			}
			r.sent[l.User][log] = max(r.sent[l.User][log], c.sent)
		}
	}
	return r, nil
}

// Of gives the state of a message for each recipient, nothing for a message that
// was not sent by this device. Recipients are the members of the list it was
// written under who are still members: others get it without content, if at all. Who
// was asked to join gets it, too, but nobody waits for one who may never answer.
func (r *Receipts) Of(m *store.Message) ([]Recipient, error) {
	key := m.Entry
	if !m.Own || key.Number == 0 || key.Device != r.device {
		return nil, nil
	}
	log, err := r.log(key.Log)
	if err != nil {
		return nil, err
	}
	if log.fork > 0 && key.Number >= log.fork {
		to, ok, err := moved(r.tx, key.Chat, key.Device, m.ID)
		if err != nil {
			return nil, fmt.Errorf("receipts of message %s: %w", m.ID, err)
		}
		if ok {
			key = to
			if log, err = r.log(key.Log); err != nil {
				return nil, err
			}
		}
	}
	refused, err := r.tx.Refused(key)
	if err != nil {
		return nil, fmt.Errorf("receipts of message %s: %w", m.ID, err)
	}
	recipients, failed, err := r.of(key)
	if err != nil {
		return nil, fmt.Errorf("receipts of message %s: %w", m.ID, err)
	}
	states := make([]Recipient, len(recipients))
	for i, user := range recipients {
		states[i] = Recipient{User: user, State: Queued}
		if failed {
			states[i] = Recipient{User: user, State: Failed, Reason: packet.ReasonForbidden, Text: textForbidden}
			continue
		}
		place, hasRead := r.read[user]
		switch {
		case hasRead && m.Order.Compare(place) <= 0 && log.upto[user] >= key.Number:
			states[i].State = Read
		case log.upto[user] >= key.Number:
			states[i].State = Delivered
		case r.sent[user][key.Log] >= key.Number:
			states[i].State = Sent
		}
		for _, f := range refused {
			if f.User == user {
				states[i] = Recipient{User: user, State: Failed, Reason: f.Reason, Text: f.Text}
			}
		}
	}
	return states, nil
}

// of gives the recipients of an entry; failed says that it does not count for
// anybody, because this account was removed before others had it.
func (r *Receipts) of(key packet.EntryKey) (recipients []packet.UserID, failed bool, err error) {
	if r.now == nil {
		return r.recipients, false, nil
	}
	e, err := r.tx.Entry(key)
	if isNotFound(err) {
		return r.recipients, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	under, err := r.s.list(r.tx, r.chat, e.Packet.Header.Membership)
	if err != nil || under == nil {
		return r.recipients, false, err
	}
	for _, user := range r.recipients {
		if under.has(user) {
			recipients = append(recipients, user)
		}
	}
	return recipients, key.Number > r.now.limit(key.Log, r.s.self), nil
}

func (r *Receipts) log(log packet.Log) (*logReceipts, error) {
	if l := r.logs[log]; l != nil {
		return l, nil
	}
	heads, err := r.tx.PeerHeads(log)
	if err != nil {
		return nil, fmt.Errorf("receipts of log %s/%d: %w", log.Chat, log.Epoch, err)
	}
	l := &logReceipts{upto: map[packet.UserID]uint64{}}
	for _, h := range heads {
		l.upto[h.User] = max(l.upto[h.User], h.Upto)
	}
	if l.fork, err = number(r.tx, keyFork(log)); err != nil {
		return nil, err
	}
	r.logs[log] = l
	return l, nil
}
