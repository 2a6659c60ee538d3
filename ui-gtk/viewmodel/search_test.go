package viewmodel

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/parley-chat/parley/protocol/controlpb"
)

// TestFindPeople: names are found as people look for them.
func TestFindPeople(t *testing.T) {
	core := newFakeCore()
	person := func(user, name, display string, state controlpb.ContactState) *controlpb.Contact {
		x := &controlpb.Contact{User: user, Name: name, DisplayName: name, State: state, Chat: "chat " + user}
		if display != "" {
			x.DisplayName, x.Nickname = display, name
		}
		return x
	}
	ok := controlpb.ContactState_CONTACT_STATE_CONTACT
	core.contacts = []*controlpb.Contact{
		person("lin", "林小雨 Lin Xiaoyu", "", ok), person("wang.wei", "王伟", "", ok), person("jurgen", "Jürgen Schäfer", "", ok),
		person("marta", "Boss", "Marta Nowak", ok), person("eve", "Eve", "", controlpb.ContactState_CONTACT_STATE_INCOMING),
	}
	core.chats = []*controlpb.Chat{
		chatOf("chat lin", "lin", 5, ""), chatOf("chat wang.wei", "wang.wei", 9, ""),
		{Id: "g", Kind: "group", Title: "设计小组 Design", Last: &controlpb.Message{SentAt: 7}},
	}
	w := openWindow(t, core, newClock().use)
	for query, want := range map[string][]string{
		"lin":          {"林小雨 Lin Xiaoyu"},
		"LX":           {"林小雨 Lin Xiaoyu"},
		"小雨":           {"林小雨 Lin Xiaoyu"},
		"xiao lin":     {"林小雨 Lin Xiaoyu"},
		"jurgen":       {"Jürgen Schäfer"},
		"SCHÄ":         {"Jürgen Schäfer"},
		"王":            {"王伟"},
		"wang.":        {"王伟"},
		"nowak":        {"Boss"},
		"design":       {"设计小组 Design"},
		"组":            {"设计小组 Design"},
		"e":            {"Eve", "王伟", "设计小组 Design", "Jürgen Schäfer"},
		"nobody here":  nil,
		"  ":           nil,
		"\u202e\x00\\": nil,
	} {
		w.session.Search.SetQuery(query)
		var got []string
		for _, r := range w.session.Search.People.Rows() {
			got = append(got, r.Title)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q finds %q, want %q", query, got, want)
		}
	}
	w.session.Search.SetQuery("Zoe")
	if s := w.session.Search.State.Get().Stranger; s != "zoe" {
		t.Errorf("the stranger is %q", s)
	}
	w.session.Search.SetQuery("Zoe!")
	if s := w.session.Search.State.Get().Stranger; s != "" {
		t.Errorf("%q is a stranger", s)
	}
}

// TestSearchFollowsPeople: who changes while results are shown does so in them too.
func TestSearchFollowsPeople(t *testing.T) {
	now, core := newClock(), newFakeCore()
	w := openWindow(t, core, now.use)
	w.session.Search.SetQuery("zoe")
	core.tell(nil, &controlpb.Event{Event: &controlpb.Event_Contact{Contact: &controlpb.Contact{User: "zoe", Name: "Zoe"}}})
	w.until("Zoe is known", func() bool { return w.session.Contacts.Get("zoe") != nil })
	now.pass(time.Second)
	if s := w.session.Search.State.Get().Stranger; s != "" || w.session.Search.People.Len() != 1 {
		t.Errorf("stranger %q, %d people", s, w.session.Search.People.Len())
	}
}

func message(id byte, body string) *controlpb.Message {
	return &controlpb.Message{Id: []byte{id}, Chat: "b", Author: "bob", Body: body, SentAt: int64(id)}
}

// TestSearchMessages: the core is asked once typing pauses, and page by page.
func TestSearchMessages(t *testing.T) {
	now, core := newClock(), newFakeCore()
	core.contacts = []*controlpb.Contact{{User: "bob", Name: "Bob", Chat: "b"}}
	core.chats = []*controlpb.Chat{chatOf("b", "bob", 1, "hi")}
	core.found = func(r *controlpb.SearchRequest) (*controlpb.SearchResponse, error) {
		if len(r.GetBefore()) > 0 {
			return &controlpb.SearchResponse{Messages: []*controlpb.Message{message(8, "again tea"), message(7, "no more tea")}}, nil
		}
		return &controlpb.SearchResponse{Messages: []*controlpb.Message{message(9, "tea?"), message(8, "again tea")}, More: true}, nil
	}
	w := openWindow(t, core, now.use)
	f := w.session.Search
	f.Open(SearchMessages)
	for _, q := range []string{"t", "te", "tea"} {
		f.SetQuery(q)
		now.pass(100 * time.Millisecond)
	}
	if n := len(taken[*controlpb.SearchRequest](core)); n != 0 || !f.State.Get().Busy {
		t.Errorf("while typing the core was asked %d times; %+v", n, f.State.Get())
	}
	now.pass(time.Second)
	w.until("the first page is there", func() bool { return f.Messages.Len() == 2 && !f.State.Get().Busy })
	if r := f.Messages.At(0); r.Title != "Bob" || r.Author != "Bob" || r.Text != "tea?" || !slices.Equal(r.Marks, [][2]int{{0, 3}}) {
		t.Errorf("the first is %+v", r)
	}
	f.More()
	f.More() // asked for already
	w.until("the second page is there", func() bool { return f.Messages.Len() == 3 && !f.State.Get().Busy })
	asked := taken[*controlpb.SearchRequest](core)
	if len(asked) != 2 || asked[0].GetQuery() != "tea" || string(asked[1].GetBefore()) != "\x08" || f.State.Get().More {
		t.Errorf("the core was asked %v; %+v", asked, f.State.Get())
	}
	core.tell(nil, &controlpb.Event{Event: &controlpb.Event_MessageRemoved{MessageRemoved: &controlpb.MessageRemoved{Chat: "b", Id: []byte{8}}}})
	w.until("a message that is gone is gone here", func() bool { return f.Messages.Len() == 2 })
	f.Close()
	if f.Messages.Len() != 0 || f.State.Get() != (SearchState{}) {
		t.Errorf("after closing %d messages; %+v", f.Messages.Len(), f.State.Get())
	}
	now.pass(time.Second)
	if n := len(taken[*controlpb.SearchRequest](core)); n != 2 {
		t.Errorf("after closing the core was asked, %d times in all", n)
	}
}

// TestSearchDropsStaleAnswers: an answer to what was typed before is not shown.
func TestSearchDropsStaleAnswers(t *testing.T) {
	now, core := newClock(), newFakeCore()
	began, hold, held := make(chan struct{}), make(chan struct{}), make(chan struct{})
	core.found = func(r *controlpb.SearchRequest) (*controlpb.SearchResponse, error) {
		if r.GetQuery() == "slow" {
			close(began)
			<-hold
			defer close(held)
		}
		return &controlpb.SearchResponse{Messages: []*controlpb.Message{message(1, r.GetQuery())}}, nil
	}
	w := openWindow(t, core, now.use)
	f := w.session.Search
	var shown []string
	f.Messages.Observe(func(steps []Change[HitRow]) {
		for _, s := range steps {
			shown = append(shown, s.Row.Text)
		}
	})
	f.SetQuery("slow")
	now.pass(time.Second)
	<-began
	f.SetQuery("fast")
	now.pass(time.Second)
	w.until("the second answer is there", func() bool { return f.Messages.Len() == 1 })
	close(hold)
	<-held
	f.SetQuery("last")
	now.pass(time.Second)
	w.until("the third answer is there", func() bool { return slices.Contains(shown, "last") })
	if slices.Contains(shown, "slow") || !slices.Contains(shown, "fast") {
		t.Errorf("shown was %q", shown)
	}
}

// TestSearchFailure is said, and looked for again once the core is back.
func TestSearchFailure(t *testing.T) {
	now, core := newClock(), newFakeCore()
	core.refuse = status.Error(codes.Internal, "the database is damaged")
	w := openWindow(t, core, now.use)
	f := w.session.Search
	f.SetQuery("tea")
	now.pass(time.Second)
	w.until("it is said", func() bool { return f.State.Get().Problem == "the database is damaged" && !f.State.Get().Busy })
	core.tell(func() { core.refuse = nil }, &controlpb.Event{Event: &controlpb.Event_Resync{Resync: &controlpb.Resync{}}})
	w.until("it works", func() bool { return f.State.Get().Problem == "" && !f.State.Get().Busy })
}

// TestSearchEndsWithTheAccount: what one account found is not shown to another.
func TestSearchEndsWithTheAccount(t *testing.T) {
	now, core := newClock(), newFakeCore()
	core.contacts = []*controlpb.Contact{{User: "bob", Name: "Bob"}}
	w := openWindow(t, core, now.use)
	w.session.Search.SetQuery("bo")
	if w.session.Search.People.Len() != 1 {
		t.Fatal("Bob is not found")
	}
	gone := &controlpb.Status{State: controlpb.AccountState_ACCOUNT_STATE_NONE}
	core.tell(func() { core.status, core.contacts = gone, nil }, &controlpb.Event{Event: &controlpb.Event_Status{Status: gone}})
	w.until("nobody is logged in", func() bool { return w.session.User() == "" })
	if s := w.session.Search; s.People.Len() != 0 || s.State.Get() != (SearchState{}) {
		t.Errorf("%d people; %+v", s.People.Len(), s.State.Get())
	}
}

func TestExcerpts(t *testing.T) {
	long := strings.Repeat("word ", 100)
	for _, test := range []struct{ body, query, want string }{
		{"Tea at four?", "tea", "[Tea] at four?"},
		{"steam, team, TEA", "tea", "steam, [tea]m, [TEA]"},
		{"one\ntwo", "two one", "[one] [two]"},
		{"我们明天下午喝茶吧", "喝茶", "我们明天下午[喝茶]吧"},
		{"Café ＣＡＦＥ", "cafe", "[Café] [ＣＡＦＥ]"},
		{"cafe\u0301 x", "cafe", "[cafe\u0301] x"},
		{"ﬁne", "fine", "[ﬁne]"},
		{long + "needle " + long, "needle", "…ord word word word word [needle] word"},
		{"nothing", "else", "nothing"},
		{"exe.\u202Egpj tea", "tea", "exe.\uFFFDgpj [tea]"},
		{"👍 yes", "👍", "[👍] yes"},
		{"aa aa", "a aa", "[aa] [aa]"},
	} {
		text, marks := excerpt(test.body, queryWords(test.query))
		var b strings.Builder
		at := 0
		for _, m := range marks {
			b.WriteString(text[at:m[0]] + "[" + text[m[0]:m[1]] + "]")
			at = m[1]
		}
		b.WriteString(text[at:])
		if got := b.String(); got != test.want && (len(test.body) < 200 || !strings.HasPrefix(got, test.want)) {
			t.Errorf("%.30q in %.40q: %q, want %q", test.query, test.body, got, test.want)
		}
	}
}

// TestExcerptsAreSound: marks are in order, within the text, and cut no character.
func TestExcerptsAreSound(t *testing.T) {
	alphabet := rapid.SampledFrom([]rune("aAbé\u0301ﬁ中文茶😀 .\n\u202eＡ각"))
	rapid.Check(t, func(t *rapid.T) {
		body := string(rapid.SliceOfN(alphabet, 0, 400).Draw(t, "body"))
		words := queryWords(string(rapid.SliceOfN(alphabet, 0, 4).Draw(t, "query")))
		text, marks := excerpt(body, words)
		if !utf8.ValidString(text) || utf8.RuneCountInString(text) > excerptBefore+excerptLength+2 {
			t.Fatalf("%q", text)
		}
		at := 0
		for _, m := range marks {
			if m[0] < at || m[1] <= m[0] || m[1] > len(text) || !utf8.ValidString(text[m[0]:m[1]]) {
				t.Fatalf("marks %v in %q", marks, text)
			}
			at = m[1]
		}
	})
}

// BenchmarkFindAmongMany: what one key costs in the search among 10,000 people.
func BenchmarkFindAmongMany(b *testing.B) {
	s := crowd(10_000)
	for _, query := range []string{"p", "person 00123", "zzz", "人"} {
		b.Run(fmt.Sprintf("%q", query), func(b *testing.B) {
			for b.Loop() {
				s.Search.people(SearchPeople, query)
			}
		})
	}
}
