package viewmodel

import (
	"cmp"
	"context"
	"encoding/hex"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/parley-chat/parley/protocol/controlpb"
)

// SearchMode is what is searched.
type SearchMode int

// Modes.
const (
	// SearchOff: nothing is; the chats are shown.
	SearchOff SearchMode = iota
	// SearchPeople and chats, by name.
	SearchPeople
	// SearchMessages of all chats, by their words.
	SearchMessages
)

// Search finds people, chats and messages.
type Search struct {
	session *Session
	asked   int    // counts what the core was asked: later answers win
	stop    func() // of the wait before the next
	stale   bool   // People are to be looked for again, which is under way

	State Value[SearchState]
	// People are people and chats whose names fit, the best first.
	People List[FoundRow]
	// Messages are those with the words, the newest first.
	Messages List[HitRow]
}

// SearchState is how far a search is.
type SearchState struct {
	Mode  SearchMode
	Query string
	// Busy: messages are being looked for, or will be once typing pauses.
	Busy bool
	// More: there are older messages, for which More asks.
	More bool
	// Problem says why messages could not be looked for.
	Problem string
	// Stranger is what was typed when nobody known fits and it can be a user id.
	Stranger string
}

// FoundRow is a person or a chat that fits.
type FoundRow struct {
	// Title is the name, and Detail the user id where it says more.
	Title, Detail string
	// Contact of a person, Chat that there is; one of the two may be nil.
	Contact *controlpb.Contact
	Chat    *controlpb.Chat
	rank    int
	folded  string
}

// RowKey implements Row.
func (r FoundRow) RowKey() string {
	if r.Contact != nil {
		return "person " + r.Contact.GetUser()
	}
	return "chat " + r.Chat.GetId()
}

// Same implements Row.
func (r FoundRow) Same(o FoundRow) bool {
	return r.Title == o.Title && r.Detail == o.Detail && r.Contact == o.Contact && r.Chat == o.Chat
}

// HitRow is a message that fits.
type HitRow struct {
	Message *controlpb.Message
	// Title is the chat's, Author who wrote it.
	Title, Author string
	Sign          Sign
	// Text is the part of the message around what was looked for, on one line, and
	// Marks what of it that is, as pairs of byte offsets.
	Text  string
	Marks [][2]int
	When  string
}

// RowKey implements Row.
func (r HitRow) RowKey() string { return hex.EncodeToString(r.Message.GetId()) }

// Same implements Row.
func (r HitRow) Same(o HitRow) bool {
	return r.Message == o.Message && r.Title == o.Title && r.Text == o.Text && r.When == o.When && slices.Equal(r.Marks, o.Marks)
}

const (
	// typingPause is how long nobody types before the core is asked.
	typingPause = 250 * time.Millisecond
	// maxQuery is how many characters are looked for at most.
	maxQuery = 200
	// maxFound is how many people and chats are shown at most.
	maxFound = 50
	// hitPage is how many messages are asked for at once.
	hitPage = 50
	// refreshPause gathers what changes in people and chats while they are shown.
	refreshPause = 300 * time.Millisecond
)

func newSearch(s *Session) *Search {
	f := &Search{session: s, stop: func() {}}
	refresh := func(string) { f.refresh() }
	s.Contacts.Changed.Observe(refresh)
	s.Chats.Changed.Observe(refresh)
	s.Events.Observe(func(e *controlpb.Event) {
		if gone := e.GetMessageRemoved(); gone != nil && f.Messages.Len() > 0 {
			f.Messages.set(slices.DeleteFunc(slices.Clone(f.Messages.Rows()), func(r HitRow) bool {
				return string(r.Message.GetId()) == string(gone.GetId())
			}))
		}
	})
	user := s.User()
	s.Status.Observe(func(*controlpb.Status) {
		if s.User() != user { // what one account found is not for another
			user = s.User()
			f.Close()
		}
	})
	s.Loaded.Observe(func(struct{}) {
		if f.State.Get().Problem != "" {
			f.look()
		}
	})
	return f
}

// Open begins a search, or changes what is searched; the query stays.
func (f *Search) Open(mode SearchMode) {
	if mode != f.State.Get().Mode {
		f.begin(mode, f.State.Get().Query)
	}
}

// Close ends it, and forgets what was looked for.
func (f *Search) Close() { f.begin(SearchOff, "") }

// SetQuery looks for something else, of which the first characters count.
func (f *Search) SetQuery(query string) {
	query = firstRunes(query, maxQuery)
	s := f.State.Get()
	if query == s.Query {
		return
	}
	f.begin(max(s.Mode, SearchPeople), query)
}

// begin looks for a query anew.
func (f *Search) begin(mode SearchMode, query string) {
	f.stop()
	f.asked++
	before := f.State.Get()
	s := SearchState{Mode: mode, Query: query}
	words := queryWords(query)
	f.People.set(f.people(mode, query))
	if id := strings.ToLower(strings.TrimSpace(query)); mode == SearchPeople && f.People.Len() == 0 && len(id) > 1 && ValidUser(id) &&
		id != f.session.User() {
		s.Stranger = id
	}
	if mode == SearchOff || len(words) == 0 {
		f.Messages.set(nil)
		f.State.set(s)
		return
	}
	if before.Mode == SearchOff {
		f.Messages.set(nil)
	}
	// The messages found before stay until the answer comes: a list that empties
	// with each key flickers.
	s.Busy = true
	f.State.set(s)
	f.stop = f.session.cfg.After(typingPause, f.look)
}

// look asks the core for the newest messages.
func (f *Search) look() { f.ask(nil) }

// More asks for the next, older messages.
func (f *Search) More() {
	s := f.State.Get()
	if n := f.Messages.Len(); n > 0 && s.More && !s.Busy {
		f.ask(f.Messages.At(n - 1).Message.GetId())
	}
}

func (f *Search) ask(before []byte) {
	s := f.State.Get()
	words := queryWords(s.Query)
	if s.Mode == SearchOff || len(words) == 0 {
		return
	}
	f.stop()
	f.asked++
	asked := f.asked
	s.Busy, s.Problem = true, ""
	f.State.set(s)
	var found *controlpb.SearchResponse
	f.session.call(func(ctx context.Context, core Core) (err error) {
		found, err = core.Search(ctx, &controlpb.SearchRequest{Query: s.Query, Limit: hitPage, Before: before})
		return err
	}, func(err error) {
		if asked != f.asked {
			return // something else is looked for meanwhile
		}
		s := f.State.Get()
		s.Busy = false
		if err != nil {
			s.Problem = f.session.Sentence(err)
			f.State.set(s)
			return
		}
		var rows []HitRow
		if before != nil {
			rows = slices.Clone(f.Messages.Rows())
		}
		for _, m := range found.GetMessages() {
			rows = append(rows, f.hit(m, words))
		}
		f.Messages.set(unique(rows))
		s.More = found.GetMore()
		f.State.set(s)
	})
}

// unique leaves out rows that came twice, since keys must not.
func unique(rows []HitRow) []HitRow {
	seen := make(map[string]struct{}, len(rows))
	return slices.DeleteFunc(rows, func(r HitRow) bool {
		_, twice := seen[r.RowKey()]
		seen[r.RowKey()] = struct{}{}
		return twice
	})
}

func (f *Search) hit(m *controlpb.Message, words []string) HitRow {
	s := f.session
	r := HitRow{Message: m, Author: s.Contacts.Name(m.GetAuthor()), When: s.Texts().When(time.UnixMicro(m.GetSentAt()), s.cfg.Now())}
	if m.GetOwn() {
		r.Author = s.Texts().T("You")
	}
	if chat, ok := s.Chats.Row(m.GetChat()); ok {
		r.Title = chat.Title
	} else {
		r.Title = s.Texts().T("Chat")
	}
	r.Sign, _ = s.brief(m)
	r.Text, r.Marks = excerpt(m.GetBody(), words)
	return r
}

// refresh looks for people again soon, since some of them changed.
func (f *Search) refresh() {
	if f.stale || f.State.Get().Mode == SearchOff || f.State.Get().Query == "" {
		return
	}
	f.stale = true
	f.session.cfg.After(refreshPause, func() {
		f.stale = false
		s := f.State.Get()
		f.People.set(f.people(s.Mode, s.Query))
		if s.Stranger != "" && f.People.Len() > 0 {
			s.Stranger = ""
			f.State.set(s)
		}
	})
}

// people gives who and what fits a query by name.
func (f *Search) people(mode SearchMode, query string) []FoundRow {
	q := strings.TrimSpace(fold(query))
	if mode != SearchPeople || q == "" {
		return nil
	}
	s := f.session
	words := strings.Fields(q)
	var found []FoundRow
	for _, r := range s.Contacts.Rows.Rows() {
		x := r.Contact
		rank := fitOf(q, words, r.folded, x.GetUser())
		if x.GetNickname() != "" && rank > 0 { // who has one is found by the other name too
			rank = min(rank, fitOf(q, words, fold(tidyName(x.GetDisplayName())), ""))
		}
		if rank == noFit {
			continue
		}
		row := FoundRow{Title: r.Name, Contact: x, Chat: s.Chats.Get(x.GetChat()), rank: rank, folded: r.folded}
		if r.Name != x.GetUser() {
			row.Detail = x.GetUser()
		}
		found = append(found, row)
	}
	for id := range s.Chats.groups {
		if r, ok := s.Chats.Row(id); ok {
			if rank := fitOf(q, words, r.folded, ""); rank != noFit {
				found = append(found, FoundRow{Title: r.Title, Chat: r.Chat, rank: rank, folded: r.folded})
			}
		}
	}
	slices.SortFunc(found, func(a, b FoundRow) int {
		return cmp.Or(a.rank-b.rank, cmp.Compare(b.Chat.GetLast().GetSentAt(), a.Chat.GetLast().GetSentAt()),
			strings.Compare(a.folded, b.folded), strings.Compare(a.RowKey(), b.RowKey()))
	})
	return found[:min(len(found), maxFound)]
}

// How well a name fits; less is better.
const (
	fitBegins    = iota // the name begins with the query
	fitWords            // each word of the query begins a word of the name
	fitID               // the user id begins with it
	fitInside           // it is somewhere inside
	fitScattered        // its characters come in that order, the first at the beginning of a word
	noFit
)

// fitOf says how well a folded name or a user id fits a folded query.
func fitOf(query string, words []string, name, user string) int {
	switch {
	case strings.HasPrefix(name, query):
		return fitBegins
	case begins(words, name):
		return fitWords
	case user != "" && strings.HasPrefix(user, query):
		return fitID
	case strings.Contains(name, query) || strings.Contains(user, query):
		return fitInside
	case utf8.RuneCountInString(query) > 1 && (scattered(query, name) || scattered(query, user)):
		return fitScattered
	}
	return noFit
}

// begins says whether each word begins a word of the name.
func begins(words []string, name string) bool {
	for _, w := range words {
		at := 0
		for {
			i := strings.Index(name[at:], w)
			if i < 0 {
				return false
			}
			if at += i; wordStart(name, at) {
				break
			}
			_, n := utf8.DecodeRuneInString(name[at:])
			at += n
		}
	}
	return len(words) > 0
}

// scattered says whether the characters of a query come in the name in their order,
// and the first of them at the beginning of a word: "lx" in "lin xiaoyu".
func scattered(query, name string) bool {
	first, n := utf8.DecodeRuneInString(query)
	for i, r := range name {
		if r != first || !wordStart(name, i) {
			continue
		}
		rest := query[n:]
		for _, x := range name[i+n:] {
			if want, n := utf8.DecodeRuneInString(rest); rest != "" && x == want {
				rest = rest[n:]
			}
		}
		return strings.Trim(rest, " ") == ""
	}
	return false
}

// wordStart says whether a word begins at a byte of a folded text. In scripts that
// are written without spaces, one may begin at each character.
func wordStart(s string, at int) bool {
	if at == 0 {
		return true
	}
	r, _ := utf8.DecodeRuneInString(s[at:])
	before, _ := utf8.DecodeLastRuneInString(s[:at])
	return spaceless(r) || spaceless(before) || !wordRune(before)
}

func spaceless(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul) || unicode.Is(unicode.So, r)
}

func wordRune(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)
}

// queryWords cuts a query into what is looked for: words by their beginnings, and
// runs of scripts without spaces.
func queryWords(query string) []string {
	var words []string
	var word strings.Builder
	run := false
	flush := func() {
		if word.Len() > 0 {
			words = append(words, word.String())
			word.Reset()
		}
	}
	for _, r := range fold(query) {
		switch {
		case spaceless(r):
			if !run {
				flush()
			}
			run = true
		case wordRune(r):
			if run {
				flush()
			}
			run = false
		default:
			flush()
			continue
		}
		word.WriteRune(r)
	}
	flush()
	return words
}

// How much of a message is shown: so many characters before what was found, and so
// many in all.
const (
	excerptBefore = 24
	excerptLength = 160
)

// excerpt gives the part of a text around the first of the words that is in it, and
// where in it they are.
func excerpt(body string, words []string) (string, [][2]int) {
	line := tidy(body, maxSearched)
	folded, from := foldedPlaces(line)
	marks := markWords(folded, from, words)
	first := 0
	if len(marks) > 0 {
		first = marks[0][0]
	}
	start, end := first, first
	for range excerptBefore {
		_, n := utf8.DecodeLastRuneInString(line[:start])
		start -= n
	}
	for range excerptLength {
		_, n := utf8.DecodeRuneInString(line[end:])
		end += n
	}
	text, shift := line[start:end], start
	if start > 0 {
		text, shift = "…"+text, start-len("…")
	}
	if end < len(line) {
		text += "…"
	}
	var shown [][2]int
	for _, m := range marks {
		if m[0] >= start && m[1] <= end {
			shown = append(shown, [2]int{m[0] - shift, m[1] - shift})
		}
	}
	return text, shown
}

// maxSearched is how many characters of a message are searched for marks.
const maxSearched = 100_000

// foldedPlaces folds a text, and gives for each byte of the outcome, and its end,
// which byte of the text it comes from.
func foldedPlaces(s string) (folded string, from []int) {
	var b strings.Builder
	for i, r := range s {
		for _, x := range norm.NFKD.String(string(r)) {
			if x = foldRune(x); x >= 0 {
				for range utf8.RuneLen(x) {
					from = append(from, i)
				}
				b.WriteRune(x)
			}
		}
	}
	return b.String(), append(from, len(s))
}

// markWords gives where in a text words are, by places that foldedPlaces gave, in
// order and without overlap.
func markWords(folded string, from []int, words []string) [][2]int {
	var marks [][2]int
	for _, w := range words {
		for at := 0; ; {
			i := strings.Index(folded[at:], w)
			if i < 0 {
				break
			}
			begin := at + i
			at = begin + len(w)
			if wordStart(folded, begin) {
				marks = append(marks, [2]int{from[begin], from[at]})
			}
		}
	}
	slices.SortFunc(marks, func(a, b [2]int) int { return cmp.Or(a[0]-b[0], b[1]-a[1]) })
	var out [][2]int
	for _, m := range marks {
		if n := len(out); n > 0 && m[0] < out[n-1][1] {
			out[n-1][1] = max(out[n-1][1], m[1])
			continue
		}
		if m[0] < m[1] {
			out = append(out, m)
		}
	}
	return out
}
