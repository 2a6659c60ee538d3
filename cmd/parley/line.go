package main

import (
	"bufio"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// lineEditor edits one line at the bottom of a terminal in raw mode while
// others write lines above it. It knows how wide characters are, which
// golang.org/x/term's does not: Chinese takes two columns. A line that is too
// long for the terminal scrolls sideways; one that is pasted with line breaks
// keeps them.
type lineEditor struct {
	in      *bufio.Reader
	columns func() int // of the terminal, now
	prompt  string

	mu      sync.Mutex // guards all below, and that writes do not overlap
	out     io.Writer
	reading bool   // the line is on the screen
	line    []rune // what is typed
	size    int    // bytes of line
	at      int    // where the cursor is in line
	from    int    // first character of line on the screen
	history []string
	shown   int // index in history of what is edited; len(history) for a new line
}

// maxHistory is how many lines can be called back.
const maxHistory = 100

func newLineEditor(in io.Reader, out io.Writer, prompt string, columns func() int) *lineEditor {
	return &lineEditor{in: bufio.NewReader(in), out: out, prompt: prompt, columns: columns}
}

// Write shows whole lines above the one that is edited.
func (e *lineEditor) Write(b []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	text := strings.ReplaceAll(string(b), "\n", "\r\n")
	if e.reading {
		text = "\r\x1b[J" + text + e.drawn()
	}
	if _, err := io.WriteString(e.out, text); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Control codes of the keys.
const (
	keyHome, keyLeft, keyInterrupt, keyEnd, keyDelete, keyRight = 1, 2, 3, 5, 4, 6
	keyBackspace, keyNewline, keyKill, keyRedraw, keyEnter      = 8, 10, 11, 12, 13
	keyDown, keyUp, keyClear, keyWord, keyEscape, keyRubout     = 14, 16, 21, 23, 27, 127
)

// ReadLine reads the next line; io.EOF on Ctrl+C, or on Ctrl+D in an empty one.
func (e *lineEditor) ReadLine() (string, error) {
	e.edit(func() {
		e.reading, e.line, e.size, e.at, e.from, e.shown = true, nil, 0, 0, 0, len(e.history)
	})
	for {
		r, n, err := e.in.ReadRune()
		if err != nil {
			return "", err
		}
		if r == utf8.RuneError && n == 1 {
			continue // not a character
		}
		switch {
		case r == keyInterrupt, r == keyDelete && len(e.line) == 0:
			e.finish()
			return "", io.EOF
		case r == keyEnter, r == keyNewline:
			return e.finish(), nil
		case r == keyEscape:
			err = e.escape()
		default:
			e.edit(func() { e.key(r) })
		}
		if err != nil {
			return "", err
		}
	}
}

// edit changes the line and shows it, once no more keys wait.
func (e *lineEditor) edit(change func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change()
	if e.in.Buffered() == 0 {
		e.draw()
	}
}

func (e *lineEditor) draw() {
	_, _ = io.WriteString(e.out, e.drawn()) // a terminal that is gone shows at the next read
}

// finish takes the line off the editor; the whole of it stays on the screen.
func (e *lineEditor) finish() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	line := string(e.line)
	_, _ = io.WriteString(e.out, "\r\x1b[J"+e.prompt+display(e.line)+"\r\n")
	e.reading = false
	if line != "" && (len(e.history) == 0 || e.history[len(e.history)-1] != line) {
		e.history = append(e.history, line)
		if len(e.history) > maxHistory {
			e.history = e.history[1:]
		}
	}
	return line
}

// key does what one key means. The caller holds mu, as for all that changes the
// line or draws it.
func (e *lineEditor) key(r rune) {
	switch r {
	case keyHome:
		e.at = 0
	case keyEnd:
		e.at = len(e.line)
	case keyLeft:
		e.at = e.left()
	case keyRight:
		e.at = e.right()
	case keyBackspace, keyRubout:
		e.cut(e.left(), e.at)
	case keyDelete:
		e.cut(e.at, e.right())
	case keyKill:
		e.cut(e.at, len(e.line))
	case keyClear:
		e.cut(0, e.at)
	case keyWord:
		e.cut(e.word(), e.at)
	case keyUp:
		e.recall(e.shown - 1)
	case keyDown:
		e.recall(e.shown + 1)
	case keyRedraw:
		_, _ = io.WriteString(e.out, "\x1b[H\x1b[2J")
	default:
		if r >= ' ' || r == '\t' {
			e.insert(r)
		}
	}
}

func (e *lineEditor) insert(r rune) {
	if e.size+utf8.RuneLen(r) > maxText {
		_, _ = io.WriteString(e.out, "\a")
		return
	}
	e.line = slices.Insert(e.line, e.at, r)
	e.at++
	e.size += utf8.RuneLen(r)
}

// insertAll inserts the text in what was pasted.
func (e *lineEditor) insertAll(s string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range s {
		switch {
		case r == keyEnter:
			e.insert('\n')
		case r >= ' ', r == '\n', r == '\t':
			e.insert(r)
		}
	}
}

func (e *lineEditor) cut(from, to int) {
	e.line = slices.Delete(e.line, from, to)
	e.size, e.at = len(string(e.line)), from
}

// left is the place before the character before the cursor; marks go with what
// they are on.
func (e *lineEditor) left() int {
	at := e.at
	for at > 0 {
		at--
		if columnsOf(e.line[at]) > 0 {
			break
		}
	}
	return at
}

func (e *lineEditor) right() int {
	at := min(e.at+1, len(e.line))
	for at < len(e.line) && columnsOf(e.line[at]) == 0 {
		at++
	}
	return at
}

func (e *lineEditor) word() int {
	at := e.at
	for at > 0 && unicode.IsSpace(e.line[at-1]) {
		at--
	}
	for at > 0 && !unicode.IsSpace(e.line[at-1]) {
		at--
	}
	return at
}

func (e *lineEditor) recall(i int) {
	if i < 0 || i > len(e.history) {
		return
	}
	e.shown, e.line = i, nil
	if i < len(e.history) {
		e.line = []rune(e.history[i])
	}
	e.size, e.at = len(string(e.line)), len(e.line)
}

// escape reads the rest of a key's escape sequence.
func (e *lineEditor) escape() error {
	if e.in.Buffered() == 0 {
		return nil // the key itself
	}
	kind, err := e.in.ReadByte()
	if err != nil || kind != '[' && kind != 'O' {
		return err
	}
	sequence := ""
	for len(sequence) < 16 {
		b, err := e.in.ReadByte()
		if err != nil {
			return err
		}
		sequence += string(rune(b))
		if b >= '@' && b <= '~' {
			break
		}
	}
	if sequence == "200~" {
		return e.paste()
	}
	keys := map[string]rune{
		"A": keyUp, "B": keyDown, "C": keyRight, "D": keyLeft, "H": keyHome, "F": keyEnd,
		"1~": keyHome, "7~": keyHome, "4~": keyEnd, "8~": keyEnd, "3~": keyDelete,
	}
	if key, ok := keys[sequence]; ok {
		e.edit(func() { e.key(key) })
	}
	return nil
}

// pasteEnd is what a terminal sends after what is pasted.
const pasteEnd = "\x1b[201~"

// paste takes what is pasted, with its line breaks.
func (e *lineEditor) paste() error {
	var tail string // what may be the beginning of pasteEnd
	for tail != pasteEnd {
		r, n, err := e.in.ReadRune()
		if err != nil {
			return err
		}
		if r == utf8.RuneError && n == 1 {
			continue
		}
		if strings.HasPrefix(pasteEnd, tail+string(r)) {
			tail += string(r)
			continue
		}
		e.insertAll(tail + string(r))
		tail = ""
		if r == keyEscape {
			tail = pasteEnd[:1]
		}
	}
	e.edit(func() {})
	return nil
}

// drawn is what shows the line, as much of it as fits around the cursor.
func (e *lineEditor) drawn() string {
	room := max(e.columns()-columnsIn([]rune(e.prompt))-1, 2)
	e.from = min(e.from, e.at)
	for columnsIn(e.line[e.from:e.at]) > room {
		e.from++
	}
	to, used := e.from, 0
	for to < len(e.line) {
		used += columnsOf(e.line[to])
		if used > room {
			break
		}
		to++
	}
	text := "\r\x1b[J" + e.prompt + display(e.line[e.from:to]) + "\r"
	if right := columnsIn([]rune(e.prompt)) + columnsIn(e.line[e.from:e.at]); right > 0 {
		text += "\x1b[" + strconv.Itoa(right) + "C"
	}
	return text
}

// display shows each character in the columns that columnsOf counts.
func display(line []rune) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return '↵'
		case r == '\t':
			return ' '
		case r < ' ', r >= 0x7f && r < 0xa0, r >= 0x2028 && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return unicode.ReplacementChar
		default:
			return r
		}
	}, string(line))
}

// columnsOf is how many columns of a terminal a character takes.
func columnsOf(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me) || r == 0x200b || r == 0x200c || r == 0x200d || r == 0x200e || r == 0x200f || r == 0xfeff {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	default:
		return 1
	}
}

func columnsIn(line []rune) int {
	n := 0
	for _, r := range line {
		n += columnsOf(r)
	}
	return n
}
