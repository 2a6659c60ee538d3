package net2019

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/parley-chat/parley/protocol/packet"
)

// The directory's replies that say nothing but themselves.
const (
	ReplyLogIn         = "lol"
	ReplyLogOut        = "loo"
	ReplyLogOutPrinted = "100" // instead of ReplyLogOut, in a printed copy of the report
	ReplyOffline       = "n"
	ReplyInvalid       = "Invalid Command!"
)

// Ports of the directory, where none is named.
const (
	DirectoryPort = 10000
	CoursePort    = 8000 // of the course's server, whose log-in names no port
)

const (
	minPort   = 1025
	portChars = 5

	// MaxPassword is how many bytes the password has at most.
	MaxPassword = 64
)

// reserved are ports of services that the original refused too: a directory that
// gives them out has its users connect to databases.
var reserved = []uint16{3306, 5432, 6379, 8080, 8888, 9200, 27017, 22122}

// CheckPort says whether somebody may log in with that port.
func CheckPort(port uint16) error {
	if !open(port) {
		return fmt.Errorf("net2019 port %d: it is %d to 65535, and none of %v: %w", port, minPort, reserved, packet.ErrMalformed)
	}
	return nil
}

func open(port uint16) bool { return port >= minPort && !slices.Contains(reserved, port) }

// CheckPassword says whether word can be the directory's password.
func CheckPassword(word string) error {
	if word == "" || len(word) > MaxPassword || !utf8.ValidString(word) ||
		strings.ContainsFunc(word, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsGraphic(r) }) {
		return fmt.Errorf("a net2019 password is 1 to %d bytes of visible characters without spaces: %w", MaxPassword, packet.ErrMalformed)
	}
	return nil
}

// CheckLogOutReply says whether a log-out can be replied to so.
func CheckLogOutReply(reply string) error {
	if reply != ReplyLogOut && reply != ReplyLogOutPrinted {
		return fmt.Errorf("the reply to a net2019 log-out is %q or %q: %w", ReplyLogOut, ReplyLogOutPrinted, packet.ErrMalformed)
	}
	return nil
}

// AppendLogIn appends the log-in of id, who listens on port; 0 means the course's
// form, which names none.
func AppendLogIn(b []byte, id ID, password string, port uint16) []byte {
	b = append(append(append(b, id...), '_'), password...)
	if port != 0 {
		b = strconv.AppendUint(append(b, '_'), uint64(port), 10)
	}
	return b
}

// AppendQuery appends the question where id is.
func AppendQuery(b []byte, id ID) []byte { return append(append(b, 'q'), id...) }

// AppendLogOut appends the log-out of id.
func AppendLogOut(b []byte, id ID) []byte { return append(append(b, "logout"...), id...) }

// AppendWhere appends the answer to a query for who is online at where, without
// the port for who logged in with the course's form.
func AppendWhere(b []byte, where netip.AddrPort, course bool) []byte {
	b = where.Addr().AppendTo(b)
	if !course {
		b = strconv.AppendUint(append(b, '_'), uint64(where.Port()), 10)
	}
	return b
}

// ParseWhere reads the answer to a query; online is false for who is not. Without
// a port it is DefaultPort. An address that cannot be connected to is
// packet.ErrMalformed.
func ParseWhere(s string) (where netip.AddrPort, online bool, err error) {
	if s == ReplyOffline {
		return netip.AddrPort{}, false, nil
	}
	host, port, named := strings.Cut(s, "_")
	addr, err := netip.ParseAddr(host)
	if err != nil || len(s) > 64 || addr.Zone() != "" || addr.IsUnspecified() || addr.IsMulticast() {
		return netip.AddrPort{}, false, fmt.Errorf("net2019 address %.40q: %w", s, packet.ErrMalformed)
	}
	n := uint64(DefaultPort)
	if named {
		if n, err = number(port, 1<<16-1); err != nil {
			return netip.AddrPort{}, false, err
		}
	}
	if err := CheckPort(uint16(n)); err != nil {
		return netip.AddrPort{}, false, err
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), true, nil
}

// Verb is what a command asks for.
type Verb uint8

// The verbs.
const (
	Invalid Verb = iota // anything else
	LogIn
	Query
	LogOut
)

// Command is one command of a client.
type Command struct {
	Verb Verb
	ID   ID
	// Port of a LogIn; 0: the course's form.
	Port uint16
	// Guess says of an Invalid that it was a log-in with a wrong password.
	Guess bool
}
