package chatlog

import (
	"fmt"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// Clear removes what was said in a group that this account is no member of, inside
// tx. What was changed in the group stays, with the ends of all logs: others are to
// hear yet that this account left, and who is invited again goes on from there; what
// was cleared does not come again. What this account says then is in a new log, because
// others may lack what it said in the old one. Nothing is kept of an entry, not even
// without content, so that nobody takes it for deleted. Errors: ErrUnknownChat,
// ErrMember, ErrNoChanges, ErrDraft for a chat that is no group, and the store's.
func (s *Service) Clear(tx store.Tx, chat packet.ChatID) error {
	c, err := tx.Chat(chat)
	switch {
	case isNotFound(err):
		return fmt.Errorf("chat %s: %w", chat, ErrUnknownChat)
	case err != nil:
		return err
	case chat.Kind() != packet.Group:
		return fmt.Errorf("chat %s is no group: %w", chat, ErrDraft)
	case isMember(&c, s.self):
		return fmt.Errorf("chat %s: %s is %w", chat, s.self, ErrMember)
	}
	opened := false
	err = tx.ClearChat(chat, func(t packet.Type) bool {
		keep := s.kindOf(t, chat) == changes
		opened = opened || keep
		return keep
	})
	if err == nil && !opened {
		// Which entries are changes is not known: they must not be lost.
		return fmt.Errorf("chat %s: %w", chat, ErrNoChanges)
	}
	if err != nil {
		return err
	}
	if err := forgetDigests(tx, chat); err != nil {
		return err
	}
	_, err = s.beginEpoch(tx, chat, talk)
	return err
}
