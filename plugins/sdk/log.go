package sdk

import (
	"context"
	"log/slog"
	"strings"

	"github.com/parley-chat/parley/protocol/pluginpb"
)

const maxLogText = 1 << 10

// logHandler sends what is logged to the core, as "message key=value ...".
type logHandler struct {
	send  func(*pluginpb.LogRequest) error
	attrs string // written before, each with a space in front
	group string // prefix of keys, with a dot behind
}

func (h *logHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Message)
	b.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		writeAttr(&b, h.group, a)
		return b.Len() <= maxLogText
	})
	level := pluginpb.Level_LEVEL_ERROR
	switch {
	case r.Level < slog.LevelInfo:
		level = pluginpb.Level_LEVEL_DEBUG
	case r.Level < slog.LevelWarn:
		level = pluginpb.Level_LEVEL_INFO
	case r.Level < slog.LevelError:
		level = pluginpb.Level_LEVEL_WARN
	}
	return h.send(&pluginpb.LogRequest{Level: level, Text: cut(b.String(), maxLogText)})
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	b.WriteString(h.attrs)
	for _, a := range attrs {
		writeAttr(&b, h.group, a)
	}
	return &logHandler{send: h.send, attrs: b.String(), group: h.group}
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &logHandler{send: h.send, attrs: h.attrs, group: h.group + name + "."}
}

func writeAttr(b *strings.Builder, group string, a slog.Attr) {
	value := a.Value.Resolve()
	switch {
	case value.Kind() == slog.KindGroup:
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, member := range value.Group() {
			writeAttr(b, group, member)
		}
	case a.Key != "":
		b.WriteString(" " + group + a.Key + "=" + value.String())
	}
}
