package net2019

import (
	"strconv"
	"time"
)

// How long a client must have been silent to have ended what it has sent.
const (
	// Silence ends a log-in that could go on, and what is no command.
	Silence = 100 * time.Millisecond
	// LongSilence ends what is not yet a command and could become one: the rest may
	// have been lost on the way, and come again.
	LongSilence = time.Second
)

const (
	// MaxPending is how many bytes Scanner.Next leaves unused at most: a log-in with
	// the longest password, and so many digits behind it that they could be a port
	// and the id of another one.
	MaxPending = idLength + 1 + MaxPassword + 1 + portChars + idLength

	// maxJunk bounds what is waited for to end.
	maxJunk = 4 << 10
)

// Scanner finds the commands in what a client of the directory sends.
type Scanner struct {
	// Password is the directory's word.
	Password string

	junk  int // bytes since the last silence that are no command
	guess bool
	wait  time.Duration
}

// Next gives the first command in b, and how many bytes it used. When it is not ok
// there is none yet: what is behind the used bytes is to be given again with what
// follows, and after Wait without more once with silent, which then uses all up, in
// one call or more.
func (s *Scanner) Next(b []byte, silent bool) (c Command, used int, ok bool) {
	s.wait = 0
	if s.junk == 0 && len(b) > 0 {
		c, used, found := match(b, s.Password)
		switch {
		case found == whole || found == ending && silent:
			return c, used, true
		case found == ending:
			s.wait = Silence
			return Command{}, 0, false
		case found == growing && !silent:
			s.wait = LongSilence
			return Command{}, 0, false
		}
		s.guess = c.Guess
	}
	s.junk += len(b)
	switch {
	case s.junk == 0:
		return Command{}, 0, false
	case !silent:
		s.wait = Silence
		return Command{}, len(b), false
	}
	c = Command{Guess: s.guess}
	s.junk, s.guess = 0, false
	return c, len(b), true
}

// Wait is how long nothing must come until Next is to be told of it; 0 when there is
// nothing to end.
func (s *Scanner) Wait() time.Duration { return s.wait }

// Endless says that what is no command goes on for too long to be waited for.
func (s *Scanner) Endless() bool { return s.junk > maxJunk }

// state is what the beginning of a buffer is.
type state uint8

const (
	junk    state = iota // no command, whatever follows
	growing              // not yet a command
	ending               // a command, if nothing follows
	whole                // a command, whatever follows
)

// match looks for a command at the beginning of b, which is not empty.
func match(b []byte, password string) (Command, int, state) {
	switch b[0] {
	case 'q':
		return matchVerb(b, "q", Query)
	case 'l':
		return matchVerb(b, "logout", LogOut)
	default:
		return matchLogIn(b, password)
	}
}

func matchVerb(b []byte, word string, verb Verb) (Command, int, state) {
	n := len(word) + idLength
	if known := min(len(b), len(word)); string(b[:known]) != word[:known] {
		return Command{}, 0, junk
	}
	id := b[min(len(b), len(word)):min(len(b), n)]
	switch {
	case digits(id) < len(id):
		return Command{}, 0, junk
	case len(b) < n:
		return Command{}, 0, growing
	}
	return Command{Verb: verb, ID: ID(id)}, n, whole
}

func matchLogIn(b []byte, password string) (Command, int, state) {
	switch n := digits(b[:min(len(b), idLength)]); {
	case n == len(b):
		return Command{}, 0, growing
	case n < idLength || b[n] != '_':
		return Command{}, 0, junk
	}
	word := b[idLength+1:]
	if known := min(len(word), len(password)); string(word[:known]) != password[:known] {
		return Command{Guess: true}, 0, junk
	}
	if len(word) < len(password) {
		return Command{Guess: len(word) > 0}, 0, growing
	}
	end := idLength + 1 + len(password)
	c := Command{Verb: LogIn, ID: ID(b[:idLength])}
	switch {
	case len(b) == end:
		return c, end, ending
	case b[end] != '_':
		return c, end, whole
	}
	port, found := matchPort(b[end+1:])
	c.Port = portOf(b[end+1 : end+1+port])
	return c, end + 1 + port, found
}

// matchPort says how many bytes of b are a port. Digits that go on behind it may be
// the id of another log-in.
func matchPort(b []byte) (int, state) {
	n := digits(b)
	switch {
	case n > portChars+idLength:
		return 0, junk
	case n == len(b) && n <= portChars && portOf(b) != 0:
		return n, ending
	case n == len(b):
		return 0, growing
	case n > portChars && b[n] == '_':
		n -= idLength
	}
	if n < 0 || n > portChars || portOf(b[:n]) == 0 {
		return 0, junk
	}
	return n, whole
}

// portOf reads a port with which one may log in; 0 for what is none.
func portOf(b []byte) uint16 {
	n, err := strconv.ParseUint(string(b), 10, 16)
	if err != nil || !open(uint16(n)) {
		return 0
	}
	return uint16(n)
}

// digits counts the digits that b begins with.
func digits(b []byte) int {
	for i, c := range b {
		if c < '0' || c > '9' {
			return i
		}
	}
	return len(b)
}
