package main

import (
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
)

func press(code rune, mod tea.KeyMod) tea.Msg {
	return tea.KeyPressMsg{Code: code, Mod: mod}
}

func typed(text string) (keys []tea.Msg) {
	for _, r := range text {
		keys = append(keys, tea.KeyPressMsg{Code: r, Text: string(r)})
	}
	return keys
}

func TestLineEditor(t *testing.T) {
	enter, back := press(tea.KeyEnter, 0), press(tea.KeyBackspace, 0)
	for _, test := range []struct {
		name string
		keys []tea.Msg
		want []string
	}{
		{"Chinese, one taken back", append(typed("明天见"), back, enter), []string{"明天"}},
		{"cursor keys", append(typed("ac"), press(tea.KeyLeft, 0), typed("b")[0], enter), []string{"abc"}},
		{"the line before", append(typed("one"), enter, press(tea.KeyUp, 0), typed("!")[0], enter), []string{"one", "one!"}},
		{"and back", append(typed("one"), enter, press(tea.KeyUp, 0), press(tea.KeyDown, 0), typed("x")[0], enter), []string{"one", "x"}},
		{"pasted with its line breaks", []tea.Msg{tea.PasteMsg{Content: "one\r\ntwo\n中文"}, enter}, []string{"one\ntwo\n中文"}},
		{"more than can be sent", []tea.Msg{tea.PasteMsg{Content: strings.Repeat("天", maxText/3+1)}, enter}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			lines := make(chan string, 16)
			m := newLineModel(lines)
			m.Update(tea.WindowSizeMsg{Width: 40, Height: 10})
			for _, key := range test.keys {
				m.Update(key)
			}
			close(lines)
			var got []string
			for line := range lines {
				got = append(got, line)
			}
			if strings.Join(got, "|") != strings.Join(test.want, "|") {
				t.Errorf("%.200q, want %.200q", got, test.want)
			}
		})
	}
}

func TestLineEditorEnds(t *testing.T) {
	m := newLineModel(nil)
	m.Update(typed("x")[0])
	if m.Update(press('d', tea.ModCtrl)); m.ended {
		t.Error("Ctrl+D ended a line that was not empty")
	}
	if m.Update(press('c', tea.ModCtrl)); !m.ended {
		t.Error("Ctrl+C did not end")
	}
}

// completeWith is Tab with some emoji that there are.
func completeWith(text string) (string, []suggestion) {
	if i := strings.LastIndex(text, ":ta"); i >= 0 {
		return text[i:], []suggestion{{"🎉", "tada"}, {"❤️", "tart"}, {"🧑🏻‍❤️‍💋‍🧑🏼", "tall"}}
	}
	return "", nil
}

func TestTab(t *testing.T) {
	tab, back, left := press(tea.KeyTab, 0), press(tea.KeyTab, tea.ModShift), press(tea.KeyLeft, 0)
	for _, test := range []struct {
		name string
		keys []tea.Msg
		want string
		row  bool // whether others are offered
	}{
		{"the first", append(typed("明天 :ta"), tab), "明天 🎉", true},
		{"the next", append(typed("明天 :ta"), tab, tab), "明天 ❤️", true},
		{"around", append(typed(":ta"), tab, tab, tab, tab), "🎉", true},
		{"back", append(typed(":ta"), tab, back, back), "❤️", true},
		{"before others", append(typed(":ta!"), left, tab, tab, tab, tab), "🎉!", true},
		{"going on", append(append(typed(":ta"), tab), typed("x")...), "🎉x", false},
		{"twice", append(append(append(typed(":ta"), tab), typed(":ta")...), tab), "🎉🎉", true},
		{"on the second line", append(append(append(typed("a"), press(tea.KeyEnter, tea.ModAlt)), typed(":ta")...), tab), "a\n🎉", true},
		{"nothing", append(typed("ta"), tab, tab), "ta", false},
		{"back of nothing", append(typed(":ta"), back), ":ta", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newLineModel(nil)
			m.complete = completeWith
			m.Update(tea.WindowSizeMsg{Width: 40, Height: 10})
			for _, key := range test.keys {
				if _, cmd := m.Update(key); cmd != nil && key == tab {
					m.Update(cmd())
				}
			}
			if got := m.area.Value(); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
			if offers := strings.Contains(m.View().Content, "Tab: "); offers != test.row {
				t.Errorf("what is offered shows: %t\n%s", offers, m.View().Content)
			}
		})
	}
}

// What comes when the line is another does not change it.
func TestTabTooLate(t *testing.T) {
	m := newLineModel(nil)
	m.complete = completeWith
	m.Update(tea.WindowSizeMsg{Width: 40, Height: 10})
	for _, key := range typed(":ta") {
		m.Update(key)
	}
	_, cmd := m.Update(press(tea.KeyTab, 0))
	m.Update(typed("x")[0])
	m.Update(cmd())
	if got := m.area.Value(); got != ":tax" {
		t.Errorf("%q", got)
	}
}

// Tab after "@" offers the members of the group.
func TestMentionTab(t *testing.T) {
	members := []string{"dave", "carol", "alice", "carla"}
	names := map[string]string{"dave": "Caspar D.", "carla": "Carla"}
	for _, test := range []struct{ text, want string }{
		{"hello @ca", "hello @carla|hello @carol|hello @dave"},
		{"@CARO", "@carol"},
		{"你好@d", "你好@dave"},
		{"(@", "(@carla|(@carol|(@dave"},
		{"@alice", ""},      // oneself
		{"mail@ca", ""},     // an address
		{"@carol look", ""}, // done with
		{"@@ca", ""},        // no mention
		{"nothing to see", ""},
	} {
		var got []string
		if typed, ok := mentionBegun(test.text); ok {
			for _, item := range membersToMention(members, "alice", names, typed) {
				got = append(got, strings.TrimSuffix(test.text, typed)+item.text)
			}
		}
		if strings.Join(got, "|") != test.want {
			t.Errorf("%q: %q, want %q", test.text, got, test.want)
		}
	}
}
