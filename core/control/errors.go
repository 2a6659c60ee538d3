package control

import (
	"errors"

	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/packet/net2019"
)

// ErrInvalid is the kind of the answer to a request that cannot be meant so
// (INVALID_ARGUMENT).
var ErrInvalid = errors.New("invalid request")

// ErrNotNow is the kind of the answer to a request that something stands against
// (FAILED_PRECONDITION).
var ErrNotNow = errors.New("not possible now")

func invalid(format string, args ...any) *failure.Failure {
	return failure.New(ErrInvalid, format, args...)
}

// userID is a user id or a name of 2019.
func userID(s string) (packet.UserID, error) {
	if net2019.IsName(s) {
		if _, err := net2019.ParseName(s); err != nil {
			return "", invalid("%.70q is no name of 2019: \"net2019:\" and ten digits, such as net2019:2017000001", s).Because("NET2019_INVALID_NAME", "name", s)
		}
		return packet.UserID(s), nil
	}
	user, err := packet.ParseUserID(s)
	if err != nil {
		return "", invalid("%q is not a user id: 1 to 64 of a-z, 0-9, \".\" and \"_\", starting with a letter or digit", s).Because("INVALID_USER", "user", s)
	}
	return user, nil
}

func optionalUser(s string) (packet.UserID, error) {
	if s == "" {
		return "", nil
	}
	return userID(s)
}

func chatID(s string) (packet.ChatID, error) {
	chat, err := packet.ParseChatID(s)
	if err != nil {
		return "", invalid("%.140q is not a chat id", s)
	}
	return chat, nil
}

func messageID(b []byte) (packet.PacketID, error) {
	id, err := packet.PacketIDFromBytes(b)
	if err != nil {
		return packet.PacketID{}, invalid("a message id has 16 bytes, not %d", len(b))
	}
	return id, nil
}
