package directory

import (
	"crypto/ed25519"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
)

// What a directory may send; more is not taken.
const (
	maxEndpoints   = 32
	maxContacts    = 10_000
	maxDevices     = 16
	maxAvatar      = 64 << 10
	maxDisplayName = 64 // characters
	maxPacket      = packet.MaxHeader + 1<<10 + 256
)

// cleanProfile makes a profile that is fit to be shown; what is not is left
// out. It is never nil.
func cleanProfile(p *directorypb.Profile) *directorypb.Profile {
	clean := &directorypb.Profile{DisplayName: cleanName(p.GetDisplayName())}
	if len(p.GetAvatarHash()) == len(packet.Hash{}) {
		clean.AvatarHash = p.GetAvatarHash()
	}
	if avatar := p.GetAvatar(); len(avatar) > 0 && len(avatar) <= maxAvatar {
		hash := packet.HashOf(avatar)
		clean.Avatar, clean.AvatarHash = avatar, hash[:]
	}
	return clean
}

func cleanName(s string) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, s[:min(len(s), 4*utf8.UTFMax*maxDisplayName)]))
	n := 0
	for i := range s {
		if n++; n > maxDisplayName {
			return s[:i]
		}
	}
	return s
}

// cleanDevices checks device keys; not ok when one is none, or there are too
// many.
func cleanDevices(devices []*directorypb.Device) ([]*directorypb.Device, bool) {
	if len(devices) > maxDevices {
		return nil, false
	}
	for _, d := range devices {
		if len(d.GetKey()) != ed25519.PublicKeySize {
			return nil, false
		}
	}
	return devices, true
}

// parsePresence reads a presence; not ok when no directory sends such a one.
func parsePresence(pb *directorypb.Presence) (bus.Presence, bool) {
	user, err := packet.ParseUserID(pb.GetUser())
	devices, ok := cleanDevices(pb.GetDevices())
	if err != nil || !ok || len(pb.GetEndpoints()) > maxEndpoints {
		return bus.Presence{}, false
	}
	p := bus.Presence{User: user, Online: pb.GetOnline()}
	if !p.Online {
		return p, true
	}
	for _, e := range pb.GetEndpoints() {
		addr, err := netip.ParseAddr(e.GetHost())
		if err != nil || addr.Zone() != "" || addr.IsUnspecified() || addr.IsMulticast() || e.GetPort() == 0 || e.GetPort() > 65535 {
			return bus.Presence{}, false
		}
		p.Endpoints = append(p.Endpoints, bus.Endpoint{Host: addr.Unmap().String(), Port: uint16(e.GetPort())})
	}
	for _, d := range devices {
		p.Keys = append(p.Keys, ed25519.PublicKey(d.GetKey()))
	}
	profile := cleanProfile(pb.GetProfile())
	p.DisplayName, p.Avatar, p.AvatarHash = profile.GetDisplayName(), profile.GetAvatar(), profile.GetAvatarHash()
	return p, true
}

func samePresence(a, b bus.Presence) bool {
	return a.User == b.User && a.Online == b.Online && a.DisplayName == b.DisplayName && slices.Equal(a.Endpoints, b.Endpoints) &&
		string(a.AvatarHash) == string(b.AvatarHash) &&
		slices.EqualFunc(a.Keys, b.Keys, func(x, y ed25519.PublicKey) bool { return x.Equal(y) })
}

// parseDelivered reads a delivered packet: one of the types that go by way of
// the directory, by the user that it says. Whether that user signed it is for
// the roster to check.
func parseDelivered(pb *directorypb.Delivered) (*directorypb.Delivered, bool) {
	from, err := packet.ParseUserID(pb.GetFrom())
	devices, ok := cleanDevices(pb.GetDevices())
	if err != nil || !ok || len(pb.GetPacket()) > maxPacket {
		return nil, false
	}
	p, err := packet.Unmarshal(pb.GetPacket())
	if err != nil || p.Header.Author != from {
		return nil, false
	}
	switch p.Header.Type {
	case packet.TypeRequest, packet.TypeAccept, packet.TypeLeave:
	default:
		return nil, false
	}
	return &directorypb.Delivered{
		Delivery: pb.GetDelivery(), From: string(from), Packet: pb.GetPacket(), Devices: devices, Profile: cleanProfile(pb.GetProfile()),
	}, true
}

// observed is an IP address, or nothing.
func observed(host string) string {
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Zone() != "" {
		return ""
	}
	return addr.Unmap().String()
}
