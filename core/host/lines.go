package host

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/time/rate"
)

const (
	keptLines = 20
	maxLine   = 1 << 10
)

// lines keeps the last lines a plugin wrote to standard error, and logs them,
// but not faster than a person could want.
type lines struct {
	log   *slog.Logger
	limit *rate.Limiter

	mu      sync.Mutex // guards all below
	partial []byte
	skip    bool // the rest of a line that was too long
	kept    []string
	dropped int
}

func newLines(log *slog.Logger) *lines {
	return &lines{log: log, limit: rate.NewLimiter(20, 100)}
}

// Write never fails.
func (l *lines) Write(b []byte) (int, error) {
	n := len(b)
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(b) > 0 {
		line, rest, whole := bytes.Cut(b, []byte{'\n'})
		if !l.skip {
			l.partial = append(l.partial, line[:min(len(line), maxLine-len(l.partial))]...)
		}
		if whole || len(l.partial) == maxLine {
			l.flush()
			l.skip = !whole
		}
		b = rest
	}
	return n, nil
}

// flush ends the line; the caller holds mu.
func (l *lines) flush() {
	line := clean(string(l.partial))
	l.partial = l.partial[:0]
	if line == "" {
		return
	}
	if len(l.kept) == keptLines {
		l.kept = append(l.kept[:0], l.kept[1:]...)
	}
	l.kept = append(l.kept, line)
	l.say(slog.LevelDebug, line)
}

// say logs a line if it is not one too many; the caller holds mu.
func (l *lines) say(level slog.Level, line string) {
	if !l.limit.Allow() {
		l.dropped++
		return
	}
	if l.dropped > 0 {
		l.log.Warn("plugin logs too much", "lines_dropped", l.dropped)
		l.dropped = 0
	}
	l.log.Log(context.Background(), level, line)
}

// request logs a line the plugin asked to be logged.
func (l *lines) request(level slog.Level, line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.say(level, clean(line))
}

// last gives the last lines, oldest first.
func (l *lines) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := l.kept
	if tail := clean(string(l.partial)); tail != "" {
		kept = append(kept[:len(kept):len(kept)], tail)
	}
	return strings.Join(kept, "\n")
}

// clean makes text safe for logs and terminals.
func clean(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r < ' ', r == 0x7f, 0x80 <= r && r < 0xa0:
			return -1
		}
		return r
	}, s))
}
