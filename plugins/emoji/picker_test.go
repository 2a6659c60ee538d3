package emoji_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/emoji"
	"github.com/parley-chat/parley/plugins/sdk/plugintest"
)

type itemList struct {
	Start int
	Items []emoji.Item
}

func (l itemList) String() string {
	var all []string
	for _, i := range l.Items {
		all = append(all, i.Emoji)
	}
	return strings.Join(all, " ")
}

func TestSkinTone(t *testing.T) {
	h := plugintest.New(t, config("alice"))
	var list itemList
	ask(t, h, "search", "thumbsup", nil, &list)
	if i := list.Items[0]; i != (emoji.Item{Emoji: "👍", Name: "thumbs up", Code: "thumbsup", Tones: 1}) {
		t.Errorf("%+v", i)
	}
	h.Set("skin-tone", "medium")
	ask(t, h, "search", "thumbsup", map[string]string{"language": "zh-Hans"}, &list)
	if i := list.Items[0]; i.Emoji != "👍🏽" || i.Name != "拇指向上" {
		t.Errorf("%+v", i)
	}
	ask(t, h, "search", "thumbsup", map[string]string{"tone": "none"}, &list)
	if list.Items[0].Emoji != "👍" {
		t.Errorf("%+v", list.Items[0])
	}
	ask(t, h, "search", "👋🏿", nil, &list) // the emoji itself, as it is
	if len(list.Items) != 1 || list.Items[0].Emoji != "👋🏿" || list.Items[0].Name != "waving hand" {
		t.Errorf("%+v", list)
	}
	ask(t, h, "variants", ":thumbsup:", nil, &list)
	if list.String() != "👍 👍🏻 👍🏼 👍🏽 👍🏾 👍🏿" {
		t.Errorf("%s", list)
	}
	ask(t, h, "variants", "🫱🏻‍🫲🏿", nil, &list) // of one in tones
	if len(list.Items) != 26 || list.Items[0].Emoji != "🤝" || list.Items[0].Tones != 2 {
		t.Errorf("%s", list)
	}
	ask(t, h, "variants", "\U0001fafc", nil, &list) // newer than the data
	if list.String() != "\U0001fafc" {
		t.Errorf("%s", list)
	}
	var text struct{ Text string }
	ask(t, h, "replace", "a :wave: <b>", nil, &text)
	if text.Text != "a 👋🏽 <b>" {
		t.Errorf("%+v", text)
	}
}

func TestVersionLeavesOut(t *testing.T) {
	h := plugintest.New(t, config("alice"))
	var list itemList
	for version, want := range map[string]bool{"17": true, "16": false, "15.1": false} {
		ask(t, h, "search", "hairy creature", map[string]string{"version": version}, &list)
		if (len(list.Items) > 0) != want {
			t.Errorf("%s: %+v", version, list)
		}
	}
	ask(t, h, "search", "hairy creature", nil, &list)
	if list.Items[0].Version != 17 {
		t.Errorf("%+v", list.Items[0])
	}
	ask(t, h, "variants", "🤝", map[string]string{"version": "13"}, &list)
	if list.String() != "🤝" {
		t.Errorf("%s", list)
	}
}

func TestCompleteAnswer(t *testing.T) {
	h := plugintest.New(t, config("alice"))
	var list itemList
	ask(t, h, "complete", "so :tad", nil, &list)
	if list.Start != 3 || len(list.Items) == 0 || list.Items[0].Emoji != "🎉" {
		t.Errorf("%+v", list)
	}
	ask(t, h, "complete", ":face", map[string]string{"limit": "3"}, &list)
	if len(list.Items) != 3 {
		t.Errorf("%+v", list)
	}
}

// What is written as a shortcode is used, too.
func TestReplaceIsUse(t *testing.T) {
	h := plugintest.New(t, config("alice"))
	var nothing struct{}
	ask(t, h, "used", ":+1::skin-tone-3:", nil, &nothing) // as Slack writes tones
	ask(t, h, "used", ":tada:", nil, &nothing)
	ask(t, h, "replace", `:tea: and :dog:, :tea:, but neither \:heart: nor 12:30:15`, nil, &nothing)
	ask(t, h, "replace", "nothing", nil, &nothing)
	h.Restart()
	var got struct{ Recent []emoji.Item }
	ask(t, h, "recents", "", nil, &got)
	if list := (itemList{Items: got.Recent}); list.String() != "🐶 🍵 🎉 👍🏼" {
		t.Errorf("used last: %s", list)
	}
}

func TestRecents(t *testing.T) {
	h := plugintest.New(t, config("alice"))
	var got struct{ Recent, Favourites, Quick []emoji.Item }
	shown := func() string {
		got.Recent, got.Favourites, got.Quick = nil, nil, nil
		ask(t, h, "recents", "", nil, &got)
		return itemList{Items: got.Recent}.String() + "|" + itemList{Items: got.Favourites}.String() + "|" + itemList{Items: got.Quick}.String()
	}
	want := func(all string) {
		t.Helper()
		if now := shown(); now != all {
			t.Errorf("got %s, want %s", now, all)
		}
	}
	want("||👍 ❤️ 😂 😮 😢 🙏")
	var nothing struct{}
	for _, e := range []string{"🎉", "🍵", "🎉", "🐶", "❤", ":dog:"} {
		ask(t, h, "used", e, nil, &nothing)
	}
	want("🐶 ❤️ 🎉 🍵||🐶 🎉 ❤️ 🍵 👍 😂")
	ask(t, h, "favourite", "🍵", map[string]string{"on": "true"}, &nothing)
	ask(t, h, "favourite", "🚲", nil, &nothing)
	ask(t, h, "favourite", "🍵", nil, &nothing)
	want("🐶 ❤️ 🎉 🍵|🍵 🚲|🍵 🚲 🐶 🎉 ❤️ 👍")
	h.Restart()
	want("🐶 ❤️ 🎉 🍵|🍵 🚲|🍵 🚲 🐶 🎉 ❤️ 👍")
	ask(t, h, "favourite", "🍵", map[string]string{"on": "false"}, &nothing)
	want("🐶 ❤️ 🎉 🍵|🚲|🚲 🐶 🎉 ❤️ 🍵 👍")

	for i := range 300 {
		ask(t, h, "used", string(rune(0x1f300+i%0x21)), nil, &nothing)
		ask(t, h, "used", string(rune(0x1f400+i%200)), nil, &nothing)
	}
	shown()
	if len(got.Recent) != 36 || got.Recent[0].Emoji != string(rune(0x1f400+299%200)) {
		t.Errorf("%d recent, first %s", len(got.Recent), got.Recent[0].Emoji)
	}
	if n := len(h.Values()); n > 201 {
		t.Errorf("%d values are kept", n)
	}
	for i := range 40 {
		_, err := h.Invoke(plugintest.Call{Action: "favourite", Text: string(rune(0x1f400 + i))})
		if (i >= 35) != (code(err) == codes.ResourceExhausted) {
			t.Fatalf("favourite %d: %v", i+2, err)
		}
	}
}

func TestPickerErrors(t *testing.T) {
	h := plugintest.New(t, config("alice"))
	for _, c := range []struct {
		action, text string
		args         map[string]string
		code         codes.Code
	}{
		{"list", "", nil, codes.NotFound},
		{"list", "", map[string]string{"category": "x\n>flags"}, codes.NotFound},
		{"list", "", map[string]string{"category": ""}, codes.NotFound},
		{"search", "x", map[string]string{"tone": "green"}, codes.InvalidArgument},
		{"search", "x", map[string]string{"version": "new"}, codes.InvalidArgument},
		{"search", "x", map[string]string{"version": "NaN"}, codes.InvalidArgument},
		{"search", "x", map[string]string{"limit": "0"}, codes.InvalidArgument},
		{"search", "x", map[string]string{"limit": "many"}, codes.InvalidArgument},
		{"used", "x", nil, codes.InvalidArgument},
		{"favourite", "", nil, codes.InvalidArgument},
		{"variants", ":no_such:", nil, codes.NotFound},
		{"replace", strings.Repeat("x", 70<<10), nil, codes.ResourceExhausted},
	} {
		if _, err := h.Invoke(plugintest.Call{Action: c.action, Text: c.text, Args: c.args}); code(err) != c.code {
			t.Errorf("%s %.20q %v: %v", c.action, c.text, c.args, err)
		}
	}
	var list itemList
	ask(t, h, "search", "e", map[string]string{"limit": strconv.Itoa(1 << 30)}, &list)
	if b, err := json.Marshal(list); err != nil || len(b) > 64<<10 || len(list.Items) != 200 {
		t.Errorf("%d items, %d bytes (%v)", len(list.Items), len(b), err)
	}
}
