package packet

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"regexp"
	"strings"

	"github.com/google/uuid"
	"github.com/zeebo/blake3"
)

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// UserID names a person: 1 to 64 of lower-case letters, digits, "." and "_",
// starting with a letter or digit.
type UserID string

var userIDPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._]{0,63}$`)

// ParseUserID checks s.
func ParseUserID(s string) (UserID, error) {
	if !userIDPattern.MatchString(s) {
		return "", fmt.Errorf("user id %.70q: 1 to 64 of a-z, 0-9, \".\" and \"_\", starting with a letter or digit: %w", s, ErrMalformed)
	}
	return UserID(s), nil
}

// DeviceID names a device key: the first 20 bytes of the key's BLAKE3-256 hash.
type DeviceID [20]byte

// DeviceIDOf gives the id of an Ed25519 public key.
func DeviceIDOf(key ed25519.PublicKey) DeviceID {
	sum := blake3.Sum256(key)
	return DeviceID(sum[:20])
}

// ParseDeviceID reads the form that String writes.
func ParseDeviceID(s string) (DeviceID, error) {
	b, err := lowerBase32.DecodeString(s)
	// The decoder skips line ends; a device has one name only.
	if err != nil || len(b) != len(DeviceID{}) || DeviceID(b).String() != s {
		return DeviceID{}, fmt.Errorf("device id %.40q: %w", s, ErrMalformed)
	}
	return DeviceID(b), nil
}

// String gives 32 characters of lower-case base32.
func (d DeviceID) String() string { return lowerBase32.EncodeToString(d[:]) }

// Compare orders device ids by their bytes.
func (d DeviceID) Compare(e DeviceID) int { return bytes.Compare(d[:], e[:]) }

// PacketID is a UUIDv7 made by a packet's author. A message has the id of the
// packet that made it.
type PacketID [16]byte

// NewPacketID makes a new id.
func NewPacketID() PacketID { return PacketID(uuid.Must(uuid.NewV7())) }

// ParsePacketID reads the form that String writes, in either case, since front
// ends make ids too. The nil UUID is refused.
func ParsePacketID(s string) (PacketID, error) {
	u, err := uuid.Parse(s)
	if err != nil || len(s) != 36 || u == uuid.Nil {
		return PacketID{}, fmt.Errorf("packet id %.40q: %w", s, ErrMalformed)
	}
	return PacketID(u), nil
}

// PacketIDFromBytes takes the 16 bytes of an id; the nil UUID is refused.
func PacketIDFromBytes(b []byte) (PacketID, error) {
	if len(b) != len(PacketID{}) || PacketID(b) == (PacketID{}) {
		return PacketID{}, fmt.Errorf("packet id of %d bytes: %w", len(b), ErrMalformed)
	}
	return PacketID(b), nil
}

// String gives the usual form of a UUID.
func (p PacketID) String() string { return uuid.UUID(p).String() }

// IsZero says whether p is no id at all.
func (p PacketID) IsZero() bool { return p == PacketID{} }

// ChatID names a chat: two user ids ascending joined by "-" (direct), or 26
// characters of lower-case base32 (group), or "net2019:" and the original name.
type ChatID string

// ChatKind tells the kinds of chats apart.
type ChatKind string

// The kinds of chats.
const (
	Direct  ChatKind = "direct"
	Group   ChatKind = "group"
	Net2019 ChatKind = "net2019"
)

const net2019Prefix = "net2019:"

var (
	groupIDPattern   = regexp.MustCompile(`^[a-z2-7]{26}$`)
	net2019IDPattern = regexp.MustCompile(`^net2019:[0-9]{10}(-[0-9]{10}){1,9}$`)
)

// DirectChat is the chat of two different users.
func DirectChat(a, b UserID) ChatID {
	if b < a {
		a, b = b, a
	}
	return ChatID(a + "-" + b)
}

// NewGroupChat makes the id of a new group.
func NewGroupChat() ChatID {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return ChatID(lowerBase32.EncodeToString(b[:]))
}

// ParseChatID checks s.
func ParseChatID(s string) (ChatID, error) {
	bad := fmt.Errorf("chat id %.140q: %w", s, ErrMalformed)
	if len(s) > MaxChatID {
		return "", bad
	}
	if a, b, ok := strings.Cut(s, "-"); ok && !strings.HasPrefix(s, net2019Prefix) {
		if !userIDPattern.MatchString(a) || !userIDPattern.MatchString(b) || a >= b {
			return "", bad
		}
		return ChatID(s), nil
	}
	if !groupIDPattern.MatchString(s) && !net2019IDPattern.MatchString(s) {
		return "", bad
	}
	return ChatID(s), nil
}

// Kind of a well-formed id.
func (c ChatID) Kind() ChatKind {
	switch {
	case strings.HasPrefix(string(c), net2019Prefix):
		return Net2019
	case strings.Contains(string(c), "-"):
		return Direct
	default:
		return Group
	}
}

// Users gives the two people of a direct chat; ok is false for other kinds.
func (c ChatID) Users() (a, b UserID, ok bool) {
	if c.Kind() != Direct {
		return "", "", false
	}
	x, y, _ := strings.Cut(string(c), "-")
	return UserID(x), UserID(y), true
}

// Peer gives the other person of a direct chat of self; ok is false when the
// chat is of another kind, or not one of self.
func (c ChatID) Peer(self UserID) (peer UserID, ok bool) {
	a, b, ok := c.Users()
	switch {
	case ok && a == self:
		return b, true
	case ok && b == self:
		return a, true
	}
	return "", false
}

// Type names what a packet is: "text", "chat.request", or with a reverse-DNS
// prefix "org.example.poll/vote".
type Type string

var typePattern = regexp.MustCompile(`^([a-z0-9]+([.-][a-z0-9]+)+/)?[a-z0-9]+([._-][a-z0-9]+)*$`)

// ParseType checks s.
func ParseType(s string) (Type, error) {
	if len(s) > MaxType || !typePattern.MatchString(s) {
		return "", fmt.Errorf("packet type %.70q: %w", s, ErrMalformed)
	}
	return Type(s), nil
}

// Foreign says whether the type has a reverse-DNS prefix, as those of plugins
// outside this repository do.
func (t Type) Foreign() bool { return strings.Contains(string(t), "/") }

// Types that the core itself owns.
const (
	TypeRequest Type = "chat.request" // content: greeting, UTF-8, at most 1,000 bytes
	TypeAccept  Type = "chat.accept"  // no content
	TypeLeave   Type = "chat.leave"   // no content
)
