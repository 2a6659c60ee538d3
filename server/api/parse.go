package api

import (
	"crypto/ed25519"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/server/directory"
)

const (
	maxInvite = 128 // bytes
	// maxPacket is an encoded packet with the longest header and content that a
	// request may have.
	maxPacket = packet.MaxHeader + directory.MaxRequest + 256
)

// ParseUser checks a user id.
func ParseUser(s string) (packet.UserID, error) {
	user, err := packet.ParseUserID(s)
	if err != nil {
		return "", failure.Status(codes.InvalidArgument, fmt.Sprintf("%.70q is no user name: it has 1 to %d of a-z, 0-9, \".\" and \"_\", and starts with a letter or digit.", s, packet.MaxUserID),
			because("INVALID_USER"))
	}
	return user, nil
}

// ParseName checks a display name; an empty one becomes the user id.
func ParseName(s string, user packet.UserID) (string, error) {
	// Bytes first, so that nothing long is worked on.
	if len(s) > utf8.UTFMax*directory.MaxDisplayName || utf8.RuneCountInString(s) > directory.MaxDisplayName {
		return "", failure.Status(codes.InvalidArgument, fmt.Sprintf("A display name has at most %d characters.", directory.MaxDisplayName),
			because("NAME_TOO_LONG", "limit", directory.MaxDisplayName))
	}
	if strings.ContainsFunc(s, misleading) {
		return "", failure.Status(codes.InvalidArgument, "A display name has no control characters.", because("NAME_CHARACTERS"))
	}
	if s = strings.TrimSpace(s); s == "" {
		return string(user), nil
	}
	return s, nil
}

// misleading says whether a character could make a name look like another's, or
// spill over what stands beside it.
func misleading(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r)
}

func checkAvatar(b []byte) error {
	if len(b) > directory.MaxAvatar {
		return invalid("A picture has at most %d KiB.", directory.MaxAvatar>>10)
	}
	if len(b) == 0 {
		return nil
	}
	switch http.DetectContentType(b) {
	case "image/png", "image/jpeg", "image/webp":
		return nil
	default:
		return invalid("A picture is a PNG, JPEG or WebP.")
	}
}

func parseEndpoints(pb *directorypb.Publish) ([]netip.AddrPort, error) {
	if len(pb.GetEndpoints()) > directory.MaxEndpoints {
		return nil, invalid("%d endpoints; at most %d can be published.", len(pb.GetEndpoints()), directory.MaxEndpoints)
	}
	endpoints := make([]netip.AddrPort, 0, len(pb.GetEndpoints()))
	for _, e := range pb.GetEndpoints() {
		addr, err := netip.ParseAddr(e.GetHost())
		if err != nil || addr.Zone() != "" || addr.IsUnspecified() || addr.IsMulticast() || e.GetPort() == 0 || e.GetPort() > 65535 {
			return nil, invalid("An endpoint is an IP address without a zone, and a port.")
		}
		endpoints = append(endpoints, netip.AddrPortFrom(addr.Unmap(), uint16(e.GetPort())))
	}
	return endpoints, nil
}

func parseLists(pb *directorypb.SetContacts) (directory.Lists, error) {
	contacts, err := parseUsers(pb.GetContacts())
	if err != nil {
		return directory.Lists{}, err
	}
	blocked, err := parseUsers(pb.GetBlocked())
	return directory.Lists{Contacts: contacts, Blocked: blocked}, err
}

func parseUsers(names []string) ([]packet.UserID, error) {
	if len(names) > directory.MaxContacts {
		return nil, invalid("A list of %d users; it can have %d.", len(names), directory.MaxContacts)
	}
	users := make([]packet.UserID, len(names))
	for i, name := range names {
		user, err := ParseUser(name)
		if err != nil {
			return nil, err
		}
		users[i] = user
	}
	return users, nil
}

// parseDeliver checks that a packet is one that the directory carries, that it
// is between these two, and that the sender's device signed it.
func parseDeliver(pb *directorypb.Deliver, from packet.UserID, key ed25519.PublicKey) (to packet.UserID, kind packet.Type, err error) {
	if to, err = ParseUser(pb.GetTo()); err != nil {
		return "", "", err
	}
	if to == from {
		return "", "", invalid("A packet cannot be delivered to its sender.")
	}
	if len(pb.GetPacket()) > maxPacket {
		return "", "", invalid("The packet is too large.")
	}
	p, err := packet.Unmarshal(pb.GetPacket())
	if err != nil {
		return "", "", invalid("The packet cannot be read.")
	}
	switch p.Header.Type {
	case packet.TypeRequest, packet.TypeAccept, packet.TypeLeave:
	default:
		return "", "", invalid("The directory carries no packets of type %s.", p.Header.Type)
	}
	if len(p.Content) > directory.MaxRequest {
		return "", "", invalid("The packet's content has %d bytes; it can have %d.", len(p.Content), directory.MaxRequest)
	}
	if p.Header.Author != from || p.Header.Chat != packet.DirectChat(from, to) {
		return "", "", invalid("The packet is not from this account to that user.")
	}
	if p.CheckContent() != nil || p.Verify(key) != nil {
		return "", "", invalid("The packet is not signed by this device.")
	}
	return to, p.Header.Type, nil
}
