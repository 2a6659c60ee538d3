package poll

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/parley-chat/parley/protocol/packet"
)

// Limits of a poll. Lengths are in bytes of UTF-8.
const (
	MaxQuestion = 200 // fits a card's title
	MaxOption   = 64  // fits a button
	MaxOptions  = 10
	MaxVotes    = 20 // that one person may cast in one poll, changes included

	maxVoters = 1000 // members of a chat
)

// What travels is JSON: easy to read for whoever writes the like. Fields that a
// later version adds are passed over.

// Question is the content of a packet of type TypePoll, whose id is the poll's.
type Question struct {
	Text    string   `json:"question"`
	Options []string `json:"options"`
}

// Vote is the content of a packet of type TypeVote.
type Vote struct {
	Poll   string `json:"poll"`
	Option int    `json:"option"` // counted from 0
	// Turn counts the author's votes in this poll: 1, and one more with each
	// change. The vote with the highest counts, in whatever order they come.
	Turn int `json:"turn"`
}

// Closing is the content of a packet of type TypeClose. Only the poll's author
// can close it. It names the votes that count, so that all count the same,
// whether a late vote reached them before the closing or after.
type Closing struct {
	Poll  string                `json:"poll"`
	Turns map[packet.UserID]int `json:"turns"` // of each voter, the vote that counts
}

// ParseQuestion reads "Question | A | B" as somebody typed it.
func ParseQuestion(s string) (Question, error) {
	parts := strings.Split(s, "|")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	q := Question{Text: parts[0], Options: parts[1:]}
	if len(q.Options) > 0 && q.Options[len(q.Options)-1] == "" {
		q.Options = q.Options[:len(q.Options)-1] // a "|" at the end
	}
	return q, q.check()
}

func (q Question) check() error {
	if err := checkText("the question", q.Text, MaxQuestion); err != nil {
		return err
	}
	if n := len(q.Options); n < 2 || n > MaxOptions {
		return fmt.Errorf("%d options: a poll has 2 to %d", n, MaxOptions)
	}
	for i, o := range q.Options {
		if err := checkText(fmt.Sprintf("option %d", i+1), o, MaxOption); err != nil {
			return err
		}
		if slices.ContainsFunc(q.Options[:i], func(other string) bool { return strings.EqualFold(o, other) }) {
			return fmt.Errorf("%q is there twice among the options", o)
		}
	}
	return nil
}

func checkText(what, s string, most int) error {
	switch {
	case strings.TrimSpace(s) == "":
		return fmt.Errorf("%s is empty", what)
	case len(s) > most:
		return fmt.Errorf("%s has %d bytes, at most %d fit", what, len(s), most)
	case !utf8.ValidString(s):
		return fmt.Errorf("%s is not valid UTF-8", what)
	case strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Errorf("%s is more than one line", what)
	}
	return nil
}

// Option finds an option by its number, counted from 1, or by its text.
func (q Question) Option(s string) (int, bool) {
	s = strings.TrimSpace(s)
	for i, o := range q.Options {
		if strings.EqualFold(s, o) {
			return i, true
		}
	}
	for i := range q.Options {
		if s == fmt.Sprint(i+1) {
			return i, true
		}
	}
	return 0, false
}

// body is what is searched, quoted and shown where cards are not.
func (q Question) body() string {
	var b strings.Builder
	b.WriteString(q.Text)
	for i, o := range q.Options {
		fmt.Fprintf(&b, "\n%d. %s", i+1, o)
	}
	return b.String()
}

// DecodeQuestion decodes and checks.
func DecodeQuestion(content []byte) (q Question, err error) {
	if err := json.Unmarshal(content, &q); err != nil {
		return q, fmt.Errorf("a poll that cannot be read: %w", err)
	}
	return q, q.check()
}

// DecodeVote decodes and checks what can be checked without the poll.
func DecodeVote(content []byte) (poll packet.PacketID, v Vote, err error) {
	if err := json.Unmarshal(content, &v); err != nil {
		return poll, v, fmt.Errorf("a vote that cannot be read: %w", err)
	}
	switch {
	case v.Option < 0 || v.Option >= MaxOptions:
		return poll, v, fmt.Errorf("a vote for option %d of at most %d", v.Option, MaxOptions)
	case v.Turn < 1 || v.Turn > MaxVotes:
		return poll, v, fmt.Errorf("vote %d of at most %d", v.Turn, MaxVotes)
	}
	poll, err = parsePoll(v.Poll)
	return poll, v, err
}

// DecodeClosing decodes and checks what can be checked without the poll.
func DecodeClosing(content []byte) (poll packet.PacketID, c Closing, err error) {
	if err := json.Unmarshal(content, &c); err != nil {
		return poll, c, fmt.Errorf("a closing that cannot be read: %w", err)
	}
	if len(c.Turns) > maxVoters {
		return poll, c, fmt.Errorf("a closing with %d votes", len(c.Turns))
	}
	for _, user := range slices.Sorted(maps.Keys(c.Turns)) {
		if _, err := packet.ParseUserID(string(user)); err != nil {
			return poll, c, errors.New("a closing with the vote of no user")
		}
		if n := c.Turns[user]; n < 1 || n > MaxVotes {
			return poll, c, fmt.Errorf("a closing with vote %d of %s", n, user)
		}
	}
	poll, err = parsePoll(c.Poll)
	return poll, c, err
}

func parsePoll(s string) (packet.PacketID, error) {
	id, err := packet.ParsePacketID(s)
	if err != nil {
		return id, errors.New("it names no poll")
	}
	return id, nil
}
