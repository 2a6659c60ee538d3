package viewmodel

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/parley-chat/parley/protocol/controlpb"
)

// annotationMention is the annotation by which the text plugin says whom a text
// mentions: a JSON array of user ids. It is the author's own.
const annotationMention = "mention"

// maxMentions is how many of those that a message mentions count.
const maxMentions = 50

// mentioned gives whom a message mentions.
func mentioned(m *controlpb.Message) []string {
	for _, a := range m.GetAnnotations() {
		var users []string
		if a.GetKind() != annotationMention || a.GetAuthor() != m.GetAuthor() || json.Unmarshal(a.GetValue(), &users) != nil {
			continue
		}
		return users[:min(len(users), maxMentions)]
	}
	return nil
}

// mentionSpan finds where somebody whom a text mentions may stand in it.
var mentionSpan = regexp.MustCompile(`@[A-Za-z0-9][A-Za-z0-9._]*`)

// wordEnds says whether a text ends in a word, so that what follows is a part of it.
func wordEnds(s string) bool {
	if s == "" {
		return false
	}
	c := s[len(s)-1]
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '@' || c == '/'
}

// markMentions marks where users stand in a text that mentions them.
func markMentions(spans []Span, users []string) []Span {
	if len(users) == 0 {
		return spans
	}
	var marked []Span
	for _, s := range spans {
		if s.Code || s.Link != "" {
			marked = append(marked, s)
			continue
		}
		from := 0
		for _, at := range mentionSpan.FindAllStringIndex(s.Text, maxMarked) {
			part := strings.TrimRight(s.Text[at[0]:at[1]], ".") // the sentence's
			who := strings.ToLower(part[1:])
			if wordEnds(s.Text[:at[0]]) || !slices.Contains(users, who) {
				continue
			}
			if at[0] > from {
				before := s
				before.Text = s.Text[from:at[0]]
				marked = append(marked, before)
			}
			mention := s
			mention.Text, mention.Mention = part, who
			marked = append(marked, mention)
			from = at[0] + len(part)
		}
		if from < len(s.Text) || s.Text == "" {
			s.Text = s.Text[from:]
			marked = append(marked, s)
		}
	}
	return marked
}

// maxMarked is how many are marked in one part of a text.
const maxMarked = 100

// mark marks where members of the group stand whom a message mentions.
func (c *Conversation) mark(t Text, m *controlpb.Message) Text {
	users := mentioned(m)
	if len(users) == 0 {
		return t
	}
	members := c.session.Chats.Get(c.chat).GetMembers()
	users = slices.DeleteFunc(users, func(user string) bool { return !slices.Contains(members, user) })
	for i := range t.Blocks {
		if t.Blocks[i].Kind != CodeBlock {
			t.Blocks[i].Spans = markMentions(t.Blocks[i].Spans, users)
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
	if !ok || chat.GetKind() != kindGroup {
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
	x.Completion.set(Completion{Items: items, after: len(x.before) - len(part)})
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
