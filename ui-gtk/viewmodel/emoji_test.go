package viewmodel

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// emojiCore is a core with an emoji plugin, which answers with what answer gives.
func emojiCore(answer func(req *pluginpb.InvokeRequest) (any, error)) *fakeCore {
	core := newFakeCore()
	core.plugins = []*controlpb.Plugin{emojiManifest(controlpb.PluginState_PLUGIN_STATE_IDLE)}
	core.settings = map[string]*controlpb.Settings{"emoji": {Values: map[string]string{"skin-tone": "none"}}}
	core.invoke = func(_ context.Context, r *controlpb.InvokeRequest, _ func(*pluginpb.InvokeUpdate)) (*controlpb.InvokeResult, error) {
		if r.GetPlugin() != emojiPlugin {
			return &controlpb.InvokeResult{}, nil
		}
		x, err := answer(r.GetRequest())
		if err != nil {
			return nil, err
		}
		b, err := json.Marshal(x)
		return &controlpb.InvokeResult{Result: b}, err
	}
	return core
}

func emojiManifest(state controlpb.PluginState) *controlpb.Plugin {
	hidden := []pluginpb.Place{pluginpb.Place_PLACE_HIDDEN}
	return &controlpb.Plugin{Name: "emoji", State: state, Manifest: &pluginpb.Manifest{Actions: []*pluginpb.Action{{Name: "list", Places: hidden}}}}
}

type object map[string]any

func emojiOf(list ...string) []Emoji {
	var items []Emoji
	for _, x := range list {
		items = append(items, Emoji{Emoji: x, Name: "name of " + x})
	}
	return items
}

func texts2(list []Emoji) string {
	var s []string
	for _, x := range list {
		s = append(s, x.Emoji)
	}
	return strings.Join(s, "")
}

// shapes writes the rows of the picker.
func shapes(v PickerView) []string {
	var rows []string
	for _, r := range v.Rows {
		rows = append(rows, r.Heading+texts2(r.Emoji))
	}
	return rows
}

// many emoji, which are letters here.
func many(n int) []Emoji {
	var list []string
	for i := range n {
		list = append(list, string(rune('a'+i%26)))
	}
	return emojiOf(list...)
}

func TestPicker(t *testing.T) {
	favourites := emojiOf("F")
	var mu sync.Mutex // guards both
	var all []string
	asked := func(forget bool) []string {
		mu.Lock()
		defer mu.Unlock()
		list := all
		if forget {
			all = nil
		}
		return list
	}
	core := emojiCore(func(r *pluginpb.InvokeRequest) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, r.GetAction()+" "+r.GetArgs()["category"]+r.GetText()+r.GetArgs()["tone"]+r.GetArgs()["language"])
		switch r.GetAction() {
		case "recents":
			return object{"recent": emojiOf("R"), "favourites": favourites, "quick": emojiOf("1", "2", "3")}, nil
		case "categories":
			return object{"categories": []object{{"id": "smileys", "name": "Smileys", "icon": "😀"}, {"id": "flags", "name": "Flags", "icon": "🏁"}}}, nil
		case "list":
			if r.GetArgs()["category"] == "flags" {
				list := emojiOf("x", "y")
				list[1].Version = 16
				return object{"items": list}, nil
			}
			return object{"items": many(20)}, nil
		case "search":
			if r.GetText() == "nothing" {
				return object{"items": nil}, nil
			}
			return object{"items": emojiOf("s", "S")}, nil
		case "favourite":
			favourites = append(favourites, emojiOf(r.GetText())...)
		}
		return object{}, nil
	})
	w := openWindow(t, core, func(c *Config) { c.Draws = func(e string) bool { return e != "y" } })
	p := w.session.Emojis.Picker
	p.Open()
	if v := p.View.Get(); !v.Busy {
		t.Errorf("before it is read: %+v", v)
	}
	w.until("it is read", func() bool { return !p.View.Get().Busy })
	want := []string{"Favourites", "F", "Recently used", "R", "Smileys", "abcdefghi", "jklmnopqr", "st", "Flags", "x"}
	v := p.View.Get()
	if got := shapes(v); !slices.Equal(got, want) {
		t.Errorf("rows %q, want %q", got, want)
	}
	if len(v.Tabs) != 3 || v.Tabs[0].ID != "recent" || v.Tabs[1].Row != 4 || v.Tabs[2].Row != 8 || v.Tabs[2].Name != "Flags" {
		t.Errorf("tabs %+v", v.Tabs)
	}
	if got := texts2(w.session.Emojis.Quick.Get()); got != "123" {
		t.Errorf("quick reactions %s", got)
	}
	if !slices.Contains(asked(false), "list smileysnoneen") {
		t.Errorf("asked %q", asked(false))
	}

	p.Search(" cat ")
	p.Search("cats") // whose answer counts
	w.until("it is found", func() bool { return !p.View.Get().Busy })
	if v := p.View.Get(); !slices.Equal(shapes(v), []string{"sS"}) || v.Query != "cats" || len(v.Tabs) > 0 {
		t.Errorf("found %q of %q", shapes(v), v.Query)
	}
	p.Search("nothing")
	w.until("nothing is found", func() bool { return p.View.Get().Problem == "No emoji found" })
	p.Search("")
	if v := p.View.Get(); len(v.Rows) != len(want) || v.Problem != "" || v.Busy {
		t.Errorf("after the search: %+v", v)
	}

	// Another time only what may have changed is asked for.
	asked(true)
	p.SetFavourite("a", true)
	w.until("it is a favourite", func() bool { return p.IsFavourite("a") })
	if p.View.Get().Rows[1].Emoji[1].Emoji != "a" || slices.ContainsFunc(asked(false), func(s string) bool { return strings.HasPrefix(s, "list") }) {
		t.Errorf("%q, after %q", shapes(p.View.Get()), asked(false))
	}
	// And in another tone all.
	p.Search("cats")
	w.until("it is found", func() bool { return !p.View.Get().Busy })
	asked(true)
	p.SetTone("dark")
	w.until("the tone is another", func() bool { v := p.View.Get(); return v.Tone == "dark" && !v.Busy })
	if !slices.Contains(asked(false), "list flagsdarken") || !slices.Contains(asked(false), "search catsdarken") {
		t.Errorf("asked %q", asked(false))
	}
}

// TestPickerWithoutAnswers: a plugin that does not answer as it should is said to.
func TestPickerWithoutAnswers(t *testing.T) {
	core := emojiCore(func(*pluginpb.InvokeRequest) (any, error) { return "what?", nil })
	w := openWindow(t, core)
	p := w.session.Emojis.Picker
	p.Open()
	w.until("it is said", func() bool { return strings.Contains(p.View.Get().Problem, "emoji plugin") })
	if v := p.View.Get(); v.Busy || len(v.Rows) > 0 {
		t.Errorf("%+v", v)
	}
}

// TestVariants: those of one name are told apart by their tones.
func TestVariants(t *testing.T) {
	core := emojiCore(func(r *pluginpb.InvokeRequest) (any, error) {
		return object{"items": []Emoji{{Emoji: "👍", Name: "thumbs up"}, {Emoji: "👍🏽", Name: "thumbs up"}, {Emoji: "🫱🏻‍🫲🏿", Name: "handshake"}}}, nil
	})
	w := openWindow(t, core)
	var names []string
	w.session.Emojis.Variants("👍", func(list []Emoji) {
		for _, x := range list {
			names = append(names, x.Name)
		}
	})
	w.until("they are there", func() bool { return names != nil })
	if !slices.Equal(names, []string{"thumbs up", "thumbs up, medium", "handshake, light, dark"}) {
		t.Errorf("%q", names)
	}
}

func TestPickerKeys(t *testing.T) {
	v := PickerView{Rows: []PickerRow{{Heading: "A"}, {Emoji: many(9)}, {Emoji: many(2)}, {Heading: "B"}, {Emoji: many(5)}}}
	for _, x := range []struct {
		row, column int
		to          Direction
		want        string
	}{
		{1, 3, Right, "1 4 true"}, {1, 8, Right, "2 0 true"}, {2, 1, Right, "4 0 true"}, {4, 4, Right, "4 4 false"},
		{4, 0, Left, "2 1 true"}, {1, 0, Left, "1 0 false"}, {4, 3, Left, "4 2 true"},
		{1, 7, Down, "2 1 true"}, {2, 1, Down, "4 1 true"}, {4, 1, Down, "4 1 false"},
		{4, 4, Up, "2 1 true"}, {1, 4, Up, "1 4 false"}, {-1, 0, Down, "1 0 true"}, {0, 0, Down, "1 0 true"},
	} {
		row, column, ok := v.Move(x.row, x.column, x.to)
		if got := fmt.Sprint(row, column, ok); got != x.want {
			t.Errorf("%d %d to %d leads to %s, want %s", x.row, x.column, x.to, got, x.want)
		}
	}
	if _, _, ok := (PickerView{}).Move(0, 0, Down); ok {
		t.Error("there is a way in nothing")
	}
}

// TestEmojiPluginGoes: without the plugin nothing of it is offered.
func TestEmojiPluginGoes(t *testing.T) {
	core := emojiCore(func(*pluginpb.InvokeRequest) (any, error) { return object{}, nil })
	w, c, _ := openChat(t, core, talk("b", 0, 1), 0)
	if !w.session.Emojis.Available.Get() {
		t.Fatal("it is not offered")
	}
	offered := func() bool {
		return slices.ContainsFunc(c.Menu(messageKey(fakeID(0))), func(i MenuItem) bool { return i.Choice == ChooseReact })
	}
	if !offered() {
		t.Error("no reaction is offered")
	}
	core.tell(nil, &controlpb.Event{Event: &controlpb.Event_Plugin{Plugin: emojiManifest(controlpb.PluginState_PLUGIN_STATE_DISABLED)}})
	w.until("it is gone", func() bool { return !w.session.Emojis.Available.Get() })
	if offered() {
		t.Error("a reaction is offered")
	}
	c.Composer.Before("look :smile", true)
	if n := len(core.asks("complete")); n > 0 {
		t.Error("it is asked")
	}
}

func TestCompletion(t *testing.T) {
	release := make(chan struct{}, 10)
	core := emojiCore(func(r *pluginpb.InvokeRequest) (any, error) {
		if r.GetAction() != "complete" {
			return object{}, nil
		}
		<-release
		if strings.HasSuffix(r.GetText(), "zzz") {
			return object{"start": 0, "items": nil}, nil
		}
		return object{"start": strings.LastIndex(r.GetText(), ":"), "items": emojiOf("a", "b", "c")}, nil
	})
	w, c, _ := openChat(t, core, nil, 0)
	x := c.Composer
	var replaced []Replacement
	x.Replace.Observe(func(r Replacement) { replaced = append(replaced, r) })
	offered := func() string {
		var s string
		for _, item := range x.Completion.Get().Items {
			s += item.Emoji
		}
		return s
	}
	type_ := func(line string) { x.Typed(line); x.Before(line, true) }

	for _, line := range []string{"h", "h:", "h: ", "at 12", "a:b c", ":"} {
		type_(line)
	}
	if n := len(core.asks("complete")); n > 0 {
		t.Errorf("asked for %q", core.asks("complete"))
	}
	type_("é :s")
	type_("é :sm") // whose answer counts
	release <- struct{}{}
	release <- struct{}{}
	w.until("it is offered", func() bool { return offered() == "abc" })
	x.MoveCompletion(false)
	x.MoveCompletion(true)
	x.MoveCompletion(true)
	if at := x.Completion.Get().Selected; at != 2 {
		t.Errorf("%d is selected", at)
	}
	x.TakeSelected()
	if !slices.Equal(replaced, []Replacement{{Chars: 3, Text: "c"}}) || offered() != "" {
		t.Errorf("%+v, then %q is offered", replaced, offered())
	}
	w.until("that it was used is told", func() bool { u := core.asks("used"); return len(u) == 1 && u[0].GetText() == "c" })
	x.TakeSelected() // there is none

	// More is typed, and one is taken before it is answered.
	type_("é c ")
	type_("é c :sm")
	release <- struct{}{}
	w.until("it is offered", func() bool { return offered() == "abc" })
	type_("é c :smé")
	x.TakeSelected()
	if !slices.Equal(replaced[1:], []Replacement{{Chars: 4, Text: "a"}}) {
		t.Errorf("of what is typed on %+v is replaced", replaced)
	}
	release <- struct{}{}

	// The cursor goes elsewhere, or nothing fits.
	type_(":sm")
	release <- struct{}{}
	w.until("it is offered", func() bool { return offered() == "abc" })
	x.Before(":s", false)
	if offered() != "" {
		t.Errorf("%q is offered", offered())
	}
	type_(":sma")
	release <- struct{}{}
	w.until("it is offered", func() bool { return offered() == "abc" })
	if !x.EndCompletion() || x.EndCompletion() || offered() != "" {
		t.Errorf("%q is offered", offered())
	}
	asked := len(core.asks("complete"))
	type_(":zzz")
	release <- struct{}{}
	w.until("it is asked", func() bool { return len(core.asks("complete")) > asked })
	type_(":zzz ") // a late answer counts for nothing
	if offered() != "" {
		t.Errorf("%q is offered", offered())
	}
	if len(replaced) != 2 {
		t.Errorf("%+v", replaced)
	}
}

// TestCompletionOfNonsense: a plugin that says to replace what is not there is not
// followed.
func TestCompletionOfNonsense(t *testing.T) {
	for _, start := range []int{-1, 4, 1 << 40} {
		core := emojiCore(func(*pluginpb.InvokeRequest) (any, error) { return object{"start": start, "items": emojiOf("a")}, nil })
		w, c, _ := openChat(t, core, nil, 0)
		done := false
		c.Composer.Before(":abc", true)
		turn := c.Composer.completions
		w.until("it is answered", func() bool { done = c.Composer.completions > turn; return done })
		if len(c.Composer.Completion.Get().Items) > 0 {
			t.Errorf("start %d is taken", start)
		}
	}
}

// TestShortcodesAreReplaced: what a person typed goes with emoji for its shortcodes,
// and as it is where the plugin does not answer; what was forwarded stays.
func TestShortcodesAreReplaced(t *testing.T) {
	var fail error
	core := emojiCore(func(r *pluginpb.InvokeRequest) (any, error) {
		if r.GetAction() == "replace" {
			return object{"text": strings.ReplaceAll(r.GetText(), ":smile:", "😄")}, fail
		}
		return object{}, nil
	})
	first := said("b", "alice", 0, "first")
	w, c, _ := openChat(t, core, []*controlpb.Message{first, said("b", "bob", 1, "I like :smile: a lot: yes")}, 0)
	sent := func() []string {
		var list []string
		for _, action := range []string{"send", "edit"} {
			for _, r := range core.asks(action) {
				list = append(list, r.GetText())
			}
		}
		return list
	}
	send := func(text string) {
		c.Composer.Typed(text)
		c.Composer.Send()
	}
	send("hi :smile:")
	send("one: colon")
	w.until("they are sent", func() bool { return len(sent()) == 2 })
	c.Forward(messageKey(fakeID(1)), "b")
	w.until("it is forwarded", func() bool { return len(sent()) == 3 })
	c.Composer.Edit(messageKey(fakeID(0)))
	send("second :smile:")
	w.until("it is changed", func() bool { return len(sent()) == 4 })
	fail = status.Error(codes.NotFound, "no such plugin")
	send("again :smile:")
	w.until("it is sent", func() bool { return len(sent()) == 5 })
	want := []string{"hi 😄", "one: colon", "I like :smile: a lot: yes", "again :smile:", "second 😄"}
	if got := sent(); !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
	if n := len(core.asks("replace")); n != 3 {
		t.Errorf("asked %d times", n)
	}
}

func reacted(emoji, author string, at int64) *controlpb.Annotation {
	return &controlpb.Annotation{Kind: "reaction#" + emoji, Author: author, Value: fmt.Appendf(nil, `{"at":%d}`, at)}
}

func TestReactions(t *testing.T) {
	core := emojiCore(func(*pluginpb.InvokeRequest) (any, error) { return object{}, nil })
	m := said("b", "bob", 0, "hello")
	m.Annotations = []*controlpb.Annotation{
		reacted("👍", "alice", 30), reacted("❤️", "bob", 20), reacted("👍", "bob", 10), reacted("👍", "carol", 20),
		{Kind: "reaction", Author: "bob", Value: []byte(`{"at":1}`)}, {Kind: "org.example.poll/vote", Author: "bob"},
		{Kind: "reaction#\u202e", Author: "bob"},
	}
	w, c, _ := openChat(t, core, []*controlpb.Message{m, said("b", "bob", 1, "x")}, 0)
	r := c.Rows.At(0)
	want := []Reaction{
		{Emoji: "👍", Text: "👍", Count: 3, Own: true, Who: "👍 Bob, carol, You"},
		{Emoji: "❤️", Text: "❤️", Count: 1, Who: "❤️ Bob"},
	}
	if r.Reactions == nil || !slices.Equal(r.Reactions.List, want) || r.Reactions.More != 0 {
		t.Fatalf("%+v", r.Reactions)
	}
	if !strings.Contains(r.Label, "👍 Bob, carol, You, ❤️ Bob") {
		t.Errorf("it is called %q", r.Label)
	}
	if c.Rows.At(1).Reactions != nil {
		t.Error("what nobody reacted to has reactions")
	}

	c.Toggle(r.Key, "👍")
	c.Toggle(r.Key, "❤️")
	c.React(r.Key, "👍", true)
	w.until("the core is asked", func() bool { return len(core.asks("react")) == 2 && len(core.asks("unreact")) == 1 })
	if x := core.asks("unreact")[0]; x.GetText() != "👍" || string(x.GetMessage()) != string(m.GetId()) || x.GetChat() != "b" {
		t.Errorf("asked %+v", x)
	}

	// The same reactions are the same row.
	changed := 0
	c.Rows.Observe(func(steps []Change[*MessageRow]) { changed += len(steps) })
	changed = 0
	again := said("b", "bob", 0, "hello")
	again.Annotations = slices.Clone(m.GetAnnotations())
	slices.Reverse(again.Annotations)
	core.tell(nil, &controlpb.Event{Event: &controlpb.Event_MessageChanged{MessageChanged: again}},
		&controlpb.Event{Event: &controlpb.Event_MessageChanged{MessageChanged: said("b", "bob", 1, "y")}})
	w.until("the other is changed", func() bool { return c.Rows.At(1).Message.GetBody() == "y" })
	if changed != 1 || c.Rows.At(0).Reactions != r.Reactions {
		t.Errorf("%d rows changed", changed)
	}
	gone := said("b", "bob", 0, "hello")
	core.tell(nil, &controlpb.Event{Event: &controlpb.Event_MessageChanged{MessageChanged: gone}})
	w.until("they are gone", func() bool { return c.Rows.At(0).Reactions == nil })
}

// TestManyReactions: what thousands send is bounded.
func TestManyReactions(t *testing.T) {
	m := said("b", "bob", 0, "hello")
	for i := range 500 {
		m.Annotations = append(m.Annotations, reacted("👍", fmt.Sprint("user", i), int64(i)-1), reacted(strings.Repeat(string(rune(0x4e00+i)), 16), "bob", int64(i)))
	}
	_, c, _ := openChat(t, newFakeCore(), []*controlpb.Message{m}, 0)
	x := c.Rows.At(0).Reactions
	if len(x.List) != maxReactions || x.More != 501-maxReactions {
		t.Errorf("%d are drawn, and %d said", len(x.List), x.More)
	}
	for _, r := range x.List {
		if len([]rune(r.Text)) > maxReaction || len([]rune(r.Who)) > 300 {
			t.Errorf("%q %q", r.Text, r.Who)
		}
	}
	if !strings.HasSuffix(x.List[0].Who, " and 480 others") {
		t.Errorf("%q", x.List[0].Who)
	}
}

// TestRefusedReaction: why is said.
func TestRefusedReaction(t *testing.T) {
	core := emojiCore(func(*pluginpb.InvokeRequest) (any, error) {
		return nil, status.Error(codes.ResourceExhausted, "too many reactions")
	})
	w, c, _ := openChat(t, core, talk("b", 0, 1), 0)
	said := ""
	w.session.Failures.Observe(func(s string) { said = s })
	c.React(messageKey(fakeID(0)), "👍", true)
	w.until("it is said", func() bool { return strings.Contains(said, "too many reactions") })
	c.React("no such message", "👍", true)
}

func TestNearest(t *testing.T) {
	row := func(list ...string) (r PickerRow) {
		for _, x := range list {
			r.Emoji = append(r.Emoji, Emoji{Emoji: x})
		}
		return r
	}
	v := PickerView{Rows: []PickerRow{{Heading: "Recently used"}, row("🐱", "🙂"), {Heading: "Smileys"}, row("😀", "🙂"), row("😴")}}
	for _, c := range []struct {
		emoji       string
		to          int
		row, column int
		ok          bool
	}{
		{"🙂", 0, 1, 1, true},
		{"🙂", 1, 1, 1, true},
		{"🙂", 4, 3, 1, true},
		{"🙂", 100, 3, 1, true},
		{"🐱", 4, 1, 0, true},
		{"😴", 0, 4, 0, true},
		{"🦄", 1, 0, 0, false},
	} {
		if row, column, ok := v.Nearest(c.emoji, c.to); row != c.row || column != c.column || ok != c.ok {
			t.Errorf("%s from row %d: %d, %d, %v", c.emoji, c.to, row, column, ok)
		}
	}
}
