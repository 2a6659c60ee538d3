package net2019

import (
	"fmt"
	"slices"
	"strings"

	"github.com/parley-chat/parley/protocol/packet"
)

// ID is a person: ten ASCII digits.
type ID string

const (
	idLength = 10
	prefix   = "net2019:"

	// MaxMembers of a chat.
	MaxMembers = 10
)

// ParseID checks s.
func ParseID(s string) (ID, error) {
	if len(s) != idLength || digits([]byte(s)) < idLength {
		return "", fmt.Errorf("net2019 id %.40q: ten digits: %w", s, packet.ErrMalformed)
	}
	return ID(s), nil
}

// ParseName checks the name that an id has among native ones: "net2019:2017000001".
func ParseName(s string) (ID, error) {
	id, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return "", fmt.Errorf("net2019 name %.40q: %q and ten digits: %w", s, prefix, packet.ErrMalformed)
	}
	return ParseID(id)
}

// IsName says whether s is meant to be such a name, well-formed or not.
func IsName(s string) bool { return strings.HasPrefix(s, prefix) }

// Name is what the id is called where native names stand too.
func (id ID) Name() string { return prefix + string(id) }

// Chat is the people of a chat, ascending: 2 to MaxMembers.
type Chat []ID

// NewChat makes a chat of people in any order, who may be named twice.
func NewChat(members ...ID) (Chat, error) {
	c := Chat(slices.Clone(members))
	slices.Sort(c)
	c = slices.Compact(c)
	return c, c.check()
}

// ParseChat reads a chat as it stands in a frame: "2017000001-2017000002".
func ParseChat(s string) (Chat, error) {
	if len(s) > MaxMembers*(idLength+1) {
		return nil, fmt.Errorf("net2019 chat of %d bytes, of at most %d people: %w", len(s), MaxMembers, packet.ErrTooLarge)
	}
	var c Chat
	for name := range strings.SplitSeq(s, "-") {
		id, err := ParseID(name)
		if err != nil {
			return nil, fmt.Errorf("net2019 chat %.120q: %w", s, err)
		}
		c = append(c, id)
	}
	return c, c.check()
}

// ParseChatID reads a chat's native id: "net2019:2017000001-2017000002".
func ParseChatID(id packet.ChatID) (Chat, error) {
	s, ok := strings.CutPrefix(string(id), prefix)
	if !ok {
		return nil, fmt.Errorf("chat %.140q is none of net2019: %w", id, packet.ErrMalformed)
	}
	return ParseChat(s)
}

func (c Chat) check() error {
	if len(c) < 2 || len(c) > MaxMembers {
		return fmt.Errorf("net2019 chat of %d people, it has 2 to %d: %w", len(c), MaxMembers, packet.ErrMalformed)
	}
	for i, id := range c {
		if _, err := ParseID(string(id)); err != nil {
			return err
		}
		if i > 0 && c[i-1] >= id {
			return fmt.Errorf("net2019 chat whose people do not ascend: %w", packet.ErrMalformed)
		}
	}
	return nil
}

// String is the chat's name in a frame.
func (c Chat) String() string {
	var b strings.Builder
	for i, id := range c {
		if i > 0 {
			b.WriteByte('-')
		}
		b.WriteString(string(id))
	}
	return b.String()
}

// ID is the chat's native id.
func (c Chat) ID() packet.ChatID { return packet.ChatID(prefix + c.String()) }

// Has says whether id is one of the chat's people.
func (c Chat) Has(id ID) bool { return slices.Contains(c, id) }

// Group says whether the chat has more than two people.
func (c Chat) Group() bool { return len(c) > 2 }
