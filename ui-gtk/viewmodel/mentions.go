package viewmodel

import (
	"regexp"
	"strings"
)

// mentionSpan finds where somebody may be mentioned: "@" and a user id, not within
// a word.
var mentionSpan = regexp.MustCompile(`(?i)@[a-z0-9][a-z0-9._]{0,63}`)

// mentioned gives who is mentioned by a part of a text that mentionSpan found, and
// how long that part is: a full stop at its end is the sentence's.
func mentioned(part string) (user string, length int) {
	part = strings.TrimRight(part, "._")
	return strings.ToLower(part[1:]), len(part)
}

// wordEnds says whether a text ends in a word, so that what follows is a part of it.
func wordEnds(s string) bool {
	if s == "" {
		return false
	}
	c := s[len(s)-1]
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '@' || c == '/'
}

// mentions says whether a text mentions somebody.
func mentions(text, user string) bool {
	for _, at := range mentionSpan.FindAllStringIndex(text, 100) {
		if who, _ := mentioned(text[at[0]:at[1]]); who == user && user != "" && !wordEnds(text[:at[0]]) {
			return true
		}
	}
	return false
}

// markMentions marks where those are mentioned whom known knows.
func markMentions(spans []Span, known func(user string) bool) []Span {
	var marked []Span
	for _, s := range spans {
		if s.Code || s.Link != "" {
			marked = append(marked, s)
			continue
		}
		from := 0
		for _, at := range mentionSpan.FindAllStringIndex(s.Text, maxMentions) {
			who, length := mentioned(s.Text[at[0]:at[1]])
			if wordEnds(s.Text[:at[0]]) || !known(who) {
				continue
			}
			if at[0] > from {
				before := s
				before.Text = s.Text[from:at[0]]
				marked = append(marked, before)
			}
			mention := s
			mention.Text, mention.Mention = s.Text[at[0]:at[0]+length], who
			marked = append(marked, mention)
			from = at[0] + length
		}
		if from < len(s.Text) || s.Text == "" {
			s.Text = s.Text[from:]
			marked = append(marked, s)
		}
	}
	return marked
}

// maxMentions is how many are marked in one part of a text.
const maxMentions = 100

// mark marks who is mentioned in a text, in a group.
func (c *Conversation) mark(t Text) Text {
	chat := c.session.Chats.Get(c.chat)
	if chat.GetKind() == kindDirect || chat == nil {
		return t
	}
	members := map[string]bool{}
	for _, m := range chat.GetMembers() {
		members[m] = true
	}
	for i := range t.Blocks {
		if t.Blocks[i].Kind != CodeBlock {
			t.Blocks[i].Spans = markMentions(t.Blocks[i].Spans, func(user string) bool { return members[user] })
		}
	}
	return t
}

// mentioning gives the beginning of a mention at the end of a line, if there is one.
func mentioning(line string) (part string, ok bool) {
	at := strings.LastIndexByte(line, '@')
	if at < 0 || wordEnds(line[:at]) || strings.ContainsAny(line[at:], " \t\u3000") || len(line)-at > 64 {
		return "", false
	}
	return line[at:], true
}

// maxMembersOffered is how many members are offered to be mentioned.
const maxMembersOffered = 8

// completeMention offers the members of the group whose names begin with what was
// typed after "@", and says whether there are any.
func (x *Composer) completeMention(line string) bool {
	part, ok := mentioning(line)
	chat := x.session.Chats.Get(x.chat)
	if !ok || chat == nil || chat.GetKind() == kindDirect {
		return false
	}
	wanted := fold(part[1:])
	var items []Completing
	for _, user := range chat.GetMembers() {
		if user == x.session.User() || len(items) == maxMembersOffered {
			continue
		}
		name := x.session.Contacts.Name(user)
		if wanted != "" && !strings.HasPrefix(user, wanted) && !wordsBegin(fold(name), wanted) {
			continue
		}
		items = append(items, Completing{User: user, Name: name, Code: "@" + user, text: "@" + user + " "})
	}
	if len(items) == 0 {
		return false
	}
	x.Completion.set(Completion{Items: items, typed: len([]rune(part))})
	return true
}

// wordsBegin says whether one of the words of a name begins with something.
func wordsBegin(name, with string) bool {
	if strings.HasPrefix(name, with) {
		return true
	}
	for _, word := range strings.Fields(name) {
		if strings.HasPrefix(word, with) {
			return true
		}
	}
	return false
}
