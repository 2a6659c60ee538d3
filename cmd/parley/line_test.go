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
