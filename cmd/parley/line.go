package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"charm.land/bubbles/v2/key"
	"charm.land/bubbles/v2/textarea"
	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"

	"github.com/parley-chat/parley/core/client"
)

const (
	prompt     = "> "
	maxHistory = 100 // lines that can be called back
	maxRows    = 5   // of the terminal that a long line takes
)

// lineEditor edits a line at the bottom of a terminal while others write lines
// above it.
type lineEditor struct {
	screen  *screenFile
	program *tea.Program
	lines   chan string
	typed   chan struct{} // has an element when something was typed that is no command
	done    chan struct{} // closed when program has ended
	err     error         // why; set before done is closed
}

// screenFile tells when the line is on the screen: what Bubble Tea is given to
// print before, it overwrites.
type screenFile struct {
	*os.File
	once  sync.Once
	drawn chan struct{} // closed then
}

// Write shows b, as Bubble Tea made it.
func (f *screenFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	if bytes.Contains(b, []byte(prompt[:1])) {
		f.once.Do(func() { close(f.drawn) })
	}
	return n, err
}

// written says that something was put above the line.
type written struct{}

// newLineEditor takes the terminal until Close.
// complete is asked when Tab is pressed.
func newLineEditor(ctx context.Context, in io.Reader, out *os.File, complete completer) *lineEditor {
	screen := &screenFile{File: out, drawn: make(chan struct{})}
	e := &lineEditor{screen: screen, lines: make(chan string, 16), typed: make(chan struct{}, 1), done: make(chan struct{})}
	model := newLineModel(e.lines)
	model.typed, model.complete = e.typed, complete
	e.program = tea.NewProgram(model, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(screen), tea.WithoutSignalHandler())
	go func() {
		defer close(e.done)
		if _, err := e.program.Run(); err != nil && ctx.Err() == nil {
			e.err = err
		}
	}()
	return e
}

// Close gives the terminal back as it was.
func (e *lineEditor) Close() {
	e.program.Quit()
	<-e.done
}

// Write shows whole lines above the one that is edited.
func (e *lineEditor) Write(b []byte) (int, error) {
	select {
	case <-e.screen.drawn:
	case <-e.done:
	}
	columns, _, err := term.GetSize(int(e.screen.Fd()))
	if err != nil || columns <= 0 {
		columns = 80
	}
	// Bubble Tea loses its own line when what it puts above is higher than the
	// terminal, so it gets one row at a time.
	for _, row := range rowsOf(strings.TrimSuffix(string(b), "\n"), columns) {
		e.program.Println(row)
	}
	e.program.Send(written{})
	return len(b), nil
}

// rowsOf breaks text between words into rows of a terminal. What goes on on the
// next row stands below the text and not below the time before it.
func rowsOf(text string, columns int) []string {
	indent := strings.Repeat(" ", messageIndent)
	if columns < 4*messageIndent {
		indent = "" // no room to be pretty
	}
	var rows []string
	for line := range strings.SplitSeq(text, "\n") {
		wrapped := ansi.Wrap(line, columns-len(indent), "")
		for i, row := range strings.Split(wrapped, "\n") {
			if i > 0 {
				row = indent + strings.TrimLeft(row, " ")
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// SetStatus shows a row below the line.
func (e *lineEditor) SetStatus(row string) { e.program.Send(statusText(row)) }

// statusText is what stands below the line.
type statusText string

// ReadLine waits for the next line; io.EOF on Ctrl+C, or on Ctrl+D in an empty one.
func (e *lineEditor) ReadLine() (string, error) {
	select {
	case line := <-e.lines:
		if !strings.HasPrefix(line, "/") || strings.HasPrefix(line, "//") {
			return line, nil // a message, which is shown when it is in the chat
		}
		_, err := e.Write([]byte(prompt + client.Printable(line)))
		return line, err
	case <-e.done:
		if e.err != nil {
			return "", e.err
		}
		return "", io.EOF
	}
}

// lineModel is what Bubble Tea shows.
type lineModel struct {
	area     textarea.Model
	lines    chan<- string
	typed    chan<- struct{} // or nil
	complete completer       // or nil
	offer    completion
	status   string
	width    int
	history  []string
	shown    int   // index in history of what is edited; len(history) for a new line
	written  uint8 // counts what was put above
	ended    bool
}

func newLineModel(lines chan<- string) *lineModel {
	area := textarea.New()
	area.SetPromptFunc(len(prompt), func(info textarea.PromptInfo) string {
		if info.LineNumber == 0 {
			return prompt
		}
		return strings.Repeat(" ", len(prompt))
	})
	area.ShowLineNumbers, area.EndOfBufferCharacter = false, ' '
	area.DynamicHeight, area.MinHeight, area.MaxHeight = true, 1, maxRows
	area.CharLimit, area.MaxContentHeight = maxText, maxText
	area.KeyMap.InsertNewline = key.NewBinding(key.WithKeys("alt+enter", "shift+enter"))
	area.KeyMap.Paste.SetEnabled(false) // the terminal's own way to paste does it
	area.SetStyles(textarea.Styles{})
	area.SetVirtualCursor(false)
	area.Focus()
	return &lineModel{area: area, lines: lines}
}

// Init has nothing to begin.
func (*lineModel) Init() tea.Cmd { return nil }

// Update does what a key means, or what else happened.
func (m *lineModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width = msg.Width
		m.area.SetWidth(msg.Width)
		return m, nil
	case statusText:
		m.status = string(msg)
		return m, nil
	case written:
		m.written++
		return m, nil
	case offered:
		m.take(msg)
		return m, nil
	case tea.PasteMsg:
		msg.Content = strings.ReplaceAll(msg.Content, "\r\n", "\n")
		return m, m.edit(msg)
	case tea.KeyPressMsg:
		switch press := msg.String(); {
		case press == "ctrl+c", press == "ctrl+d" && m.area.Length() == 0:
			m.ended = true
			return m, tea.Quit
		case press == "enter", press == "ctrl+j":
			return m, m.enter()
		case press == "tab":
			return m, m.tab(1)
		case press == "shift+tab":
			return m, m.tab(-1)
		case (press == "up" || press == "ctrl+p") && m.area.Line() == 0 && m.area.LineInfo().RowOffset == 0:
			m.recall(m.shown - 1)
			return m, nil
		case (press == "down" || press == "ctrl+n") && m.onLastRow():
			m.recall(m.shown + 1)
			return m, nil
		}
	}
	before := m.area.Length()
	cmd := m.edit(msg)
	if m.area.Length() > before && !strings.HasPrefix(m.area.Value(), "/") {
		select {
		case m.typed <- struct{}{}:
		default: // told already, or nobody asks
		}
	}
	return m, cmd
}

func (m *lineModel) edit(msg tea.Msg) (cmd tea.Cmd) {
	m.area, cmd = m.area.Update(msg)
	return cmd
}

func (m *lineModel) onLastRow() bool {
	info := m.area.LineInfo()
	return m.area.Line() == m.area.LineCount()-1 && info.RowOffset >= info.Height-1
}

// enter hands the line on.
func (m *lineModel) enter() tea.Cmd {
	line := m.area.Value()
	if len(line) > maxText {
		return tea.Println("parley: " + errTooLong.Error())
	}
	select {
	case m.lines <- line:
	default:
		return nil // those before it are still being sent: it stays
	}
	if line != "" && (len(m.history) == 0 || m.history[len(m.history)-1] != line) {
		m.history = append(m.history, line)
		m.history = m.history[max(0, len(m.history)-maxHistory):]
	}
	m.shown = len(m.history)
	m.area.Reset()
	return nil
}

func (m *lineModel) recall(i int) {
	if i < 0 || i > len(m.history) {
		return
	}
	m.shown = i
	if i == len(m.history) {
		m.area.Reset()
		return
	}
	m.area.SetValue(m.history[i])
}

// View shows the line; nothing at the end.
func (m *lineModel) View() tea.View {
	if m.ended {
		return tea.NewView("")
	}
	// Bubble Tea leaves the cursor where it printed until the view is another: a
	// color that colors nothing makes it one.
	text := fmt.Sprintf("%s\x1b[38;5;%dm\x1b[m", m.area.View(), m.written)
	row := m.status
	if offer := m.offerRow(); offer != "" {
		row = offer
	}
	if row != "" {
		text += "\n\x1b[2m" + ansi.Truncate(row, m.width, "…") + "\x1b[m"
	}
	view := tea.NewView(text)
	view.Cursor = m.area.Cursor()
	return view
}

var errTooLong = errors.New("a line is longer than 64 KiB, the most that one message can have: break it up")
