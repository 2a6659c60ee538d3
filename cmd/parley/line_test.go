package main

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestLineEditor(t *testing.T) {
	for _, test := range []struct{ name, typed, want string }{
		{"plain", "hello\r", "hello"},
		{"Chinese, one taken back", "明天见\x7f再\r", "明天再"},
		{"a mark goes with its letter", "xe\u0301\x7fy\r", "xy"},
		{"cursor keys", "ac\x1b[Db\r", "abc"},
		{"home, end, delete", "xbc\x1b[H\x1b[3~a\x1b[Fd\r", "abcd"},
		{"a word taken back", "one two \x17three\r", "one three"},
		{"to the end, to the beginning", "one\x01\x0btwo\x15three\r", "three"},
		{"the line before", "first\r\x1b[A!\r", "first!"},
		{"pasted with its line breaks", "\x1b[200~one\rtwo\n\x1b[31mthree\x1b[201~\r", "one\ntwo\n[31mthree"},
		{"unknown keys", "a\x1b[15~\x1b[1;5Cb\r", "ab"},
		{"control characters", "a\x00\x1fb\r", "ab"},
		{"not UTF-8", "a\xffb\r", "ab"},
		{"at most what can be sent", strings.Repeat("天", maxText/3+10) + "\r", strings.Repeat("天", maxText/3)},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := newLineEditor(strings.NewReader(test.typed), io.Discard, "> ", func() int { return 20 })
			got, err := "", error(nil)
			for range strings.Count(strings.Split(test.typed, "\x1b[200~")[0], "\r") + strings.Count(test.typed, "\x1b[201~") {
				if got, err = e.ReadLine(); err != nil {
					t.Fatal(err)
				}
			}
			if got != test.want {
				t.Errorf("%.100q, want %.100q", got, test.want)
			}
			if _, err := e.ReadLine(); !errors.Is(err, io.EOF) {
				t.Errorf("at the end: %v", err)
			}
		})
	}
	for _, end := range []string{"\x04", "x\x03"} {
		if _, err := newLineEditor(strings.NewReader(end+"more\r"), io.Discard, "> ", func() int { return 20 }).ReadLine(); !errors.Is(err, io.EOF) {
			t.Errorf("%q: %v", end, err)
		}
	}
}

// What is on the screen fits, and the cursor is where the next character goes.
func TestLineEditorDraws(t *testing.T) {
	var screen strings.Builder
	e := newLineEditor(strings.NewReader("明天在图书馆见面"), &screen, "> ", func() int { return 11 })
	if _, err := e.ReadLine(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	// Eight columns are left: the last four characters, and the cursor behind them.
	if want := "\r\x1b[J> 书馆见面\r\x1b[10C"; !strings.HasSuffix(screen.String(), want) {
		t.Errorf("%q, want at the end %q", screen.String(), want)
	}
	screen.Reset()
	if _, err := io.WriteString(e, "a message\n"); err != nil {
		t.Fatal(err)
	}
	if want := "\r\x1b[Ja message\r\n\r\x1b[J> 书馆见面\r\x1b[10C"; screen.String() != want {
		t.Errorf("%q, want %q", screen.String(), want)
	}
}
