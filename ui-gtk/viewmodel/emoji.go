package viewmodel

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// emojiPlugin is what the plugin is called that knows emoji and reactions.
const emojiPlugin = "emoji"

// Emoji is one emoji as the plugin lists it.
type Emoji struct {
	// Emoji is what is written; always the same spelling of the same one.
	Emoji string `json:"emoji"`
	// Name in the window's language; Code is the shortcode without colons.
	Name string `json:"name"`
	Code string `json:"code"`
	// Tones is not 0 where there are others of another skin tone.
	Tones int `json:"tones"`
	// Version of the emoji standard it came with, where fonts may not have it yet.
	Version float64 `json:"version"`
}

// Bounds of what the plugin lists.
const (
	maxEmoji       = 5000 // in one list
	maxEmojiBytes  = 64
	maxCategories  = 20
	quickReactions = 6
)

// Emojis is what the window knows of emoji: all of it the emoji plugin says.
type Emojis struct {
	session *Session

	// Available: the plugin is there.
	Available Value[bool]
	// Quick are the reactions that are offered first.
	Quick Value[[]Emoji]
	// Picker is where one is chosen of all.
	Picker *EmojiPicker
	asked  bool            // Quick was read
	draws  map[string]bool // what the font can draw
}

func newEmojis(s *Session) *Emojis {
	e := &Emojis{session: s, draws: map[string]bool{}}
	e.Quick.set([]Emoji{{Emoji: "👍"}, {Emoji: "❤️"}, {Emoji: "😂"}, {Emoji: "😮"}, {Emoji: "😢"}, {Emoji: "🙏"}})
	e.Picker = newEmojiPicker(e)
	s.Plugins.Rows.Observe(func([]Change[PluginRow]) {
		there := s.Plugins.hidden(emojiPlugin, "list")
		if there != e.Available.Get() {
			e.Available.set(there)
		}
	})
	return e
}

// emojiCall asks the plugin for something; answer is where its JSON goes, or nil.
func emojiCall(ctx context.Context, core Core, action, text string, args map[string]string, answer any) error {
	r, err := core.InvokeAction(ctx, emojiPlugin, &pluginpb.InvokeRequest{Invocation: client.NewInvocation(), Action: action, Text: text, Args: args}, nil)
	if err != nil || answer == nil {
		return err
	}
	if err := json.Unmarshal(r.GetResult(), answer); err != nil {
		return fmt.Errorf("the emoji plugin answered %s with something else: %w", action, err)
	}
	return nil
}

// language is what the plugin calls the window's language.
func (e *Emojis) language() string {
	base, _, _ := strings.Cut(e.session.Texts().Language(), "-")
	return base
}

// args are the arguments that most actions take, and others.
func (e *Emojis) args(others ...string) map[string]string {
	m := map[string]string{"language": e.language()}
	for i := 0; i+1 < len(others); i += 2 {
		m[others[i]] = others[i+1]
	}
	return m
}

// shown leaves out what is no emoji, and what the font cannot draw, and makes names
// harmless.
func (e *Emojis) shown(list []Emoji) []Emoji {
	kept := make([]Emoji, 0, len(list))
	for _, x := range list[:min(len(list), maxEmoji)] {
		if x.Emoji == "" || len(x.Emoji) > maxEmojiBytes || x.Version > 0 && !e.drawn(x.Emoji) {
			continue
		}
		x.Name, x.Code = tidyName(x.Name), tidyName(x.Code)
		kept = append(kept, x)
	}
	return kept
}

func (e *Emojis) drawn(emoji string) bool {
	if e.session.cfg.Draws == nil {
		return true
	}
	can, known := e.draws[emoji]
	if !known {
		can = e.session.cfg.Draws(emoji)
		e.draws[emoji] = can
	}
	return can
}

// AskQuick reads what Quick is, if it was not read yet.
func (e *Emojis) AskQuick() {
	if e.asked || !e.Available.Get() {
		return
	}
	e.asked = true
	e.readQuick()
}

func (e *Emojis) readQuick() {
	var answer struct {
		Quick []Emoji `json:"quick"`
	}
	e.session.call(func(ctx context.Context, core Core) error {
		return emojiCall(ctx, core, "recents", "", e.args(), &answer)
	}, func(err error) {
		if err != nil {
			e.asked = false
			return
		}
		e.setQuick(answer.Quick)
	})
}

func (e *Emojis) setQuick(list []Emoji) {
	if list = e.shown(list); len(list) > 0 {
		e.Quick.set(list[:min(len(list), quickReactions)])
	}
}

// Used tells the plugin that an emoji was written.
func (e *Emojis) Used(emoji string) {
	e.session.call(func(ctx context.Context, core Core) error {
		return emojiCall(ctx, core, "used", emoji, nil, nil)
	}, func(err error) {
		if err == nil && e.asked {
			e.readQuick()
		}
	})
}

// Favourite keeps an emoji among the favourites, or no longer; done is called when
// that is so.
func (e *Emojis) Favourite(emoji string, on bool, done func()) {
	e.session.call(func(ctx context.Context, core Core) error {
		return emojiCall(ctx, core, "favourite", emoji, map[string]string{"on": fmt.Sprint(on)}, nil)
	}, func(err error) {
		if err != nil {
			e.session.Failures.emit(e.session.Sentence(err))
			return
		}
		if e.asked {
			e.readQuick()
		}
		done()
	})
}

// Variants gives an emoji in all skin tones to show; show may never be called.
func (e *Emojis) Variants(emoji string, show func([]Emoji)) {
	var answer struct {
		Items []Emoji `json:"items"`
	}
	e.session.call(func(ctx context.Context, core Core) error {
		return emojiCall(ctx, core, "variants", emoji, e.args(), &answer)
	}, func(err error) {
		if err != nil {
			e.session.Failures.emit(e.session.Sentence(err))
			return
		}
		list := e.shown(answer.Items)
		for i, x := range list { // which all have one name
			for _, r := range x.Emoji {
				if at := slices.Index(modifiers, r); at >= 0 {
					list[i].Name += ", " + e.session.Label(Tones[at+1])
				}
			}
		}
		show(list)
	})
}

// modifiers give what stands before them a skin tone: all but the first of Tones.
var modifiers = []rune{0x1f3fb, 0x1f3fc, 0x1f3fd, 0x1f3fe, 0x1f3ff}

// Completion is what completes what is being typed: a shortcode, or a mention.
type Completion struct {
	Items []Completing
	// Selected is the one that is taken.
	Selected int
	// after is where in the line begins what it replaces, in bytes: more of it may be
	// typed before one is taken.
	after int
}

// Completing is one of the things that may be meant: an emoji, or a member.
type Completing struct {
	Emoji, User string
	// Name is what it is called, Code what may be typed for it.
	Name, Code string
	text       string // that is written
}

// Replacement is text instead of some characters before the cursor.
type Replacement struct {
	Chars int
	Text  string
}

// maxCompletionLine is how much of a line is looked at to complete something, in bytes.
const maxCompletionLine = 256

// completable says whether a line may end in the beginning of a shortcode: it saves
// the question with each other letter.
func completable(line string) bool {
	i := strings.LastIndexAny(line, ":：")
	return i >= 0 && strings.TrimLeft(line[i:], ":：") != "" && !strings.ContainsAny(line[i:], " \t\u3000")
}

// Before takes what stands in the line before the cursor, after something was typed
// or the cursor went elsewhere.
func (x *Composer) Before(line string, typed bool) {
	if line == x.before {
		return // the cursor followed what was typed
	}
	x.before = line
	x.completions++
	if len(line) > maxCompletionLine {
		line = strings.ToValidUTF8(line[len(line)-maxCompletionLine:], "")
	}
	if typed && x.completeMention(line) {
		return
	}
	if !typed || !completable(line) || !x.session.Emojis.Available.Get() {
		x.EndCompletion()
		return
	}
	turn := x.completions
	var answer struct {
		Start int     `json:"start"`
		Items []Emoji `json:"items"`
	}
	args := x.session.Emojis.args("limit", "8")
	x.session.call(func(ctx context.Context, core Core) error {
		return emojiCall(ctx, core, "complete", line, args, &answer)
	}, func(err error) {
		if turn != x.completions {
			return // more was typed
		}
		items := x.session.Emojis.shown(answer.Items)
		if err != nil || len(items) == 0 || answer.Start < 0 || answer.Start >= len(line) {
			x.EndCompletion()
			return
		}
		c := Completion{after: len(x.before) - len(line) + answer.Start}
		for _, e := range items {
			code := ""
			if e.Code != "" {
				code = ":" + e.Code + ":"
			}
			c.Items = append(c.Items, Completing{Emoji: e.Emoji, Name: e.Name, Code: code, text: e.Emoji})
		}
		x.Completion.set(c)
	})
}

// EndCompletion offers nothing until more is typed; it says whether something was
// offered.
func (x *Composer) EndCompletion() bool {
	x.completions++
	if len(x.Completion.Get().Items) == 0 {
		return false
	}
	x.Completion.set(Completion{})
	return true
}

// MoveCompletion selects the next one, or with back the one before.
func (x *Composer) MoveCompletion(back bool) {
	c := x.Completion.Get()
	n := len(c.Items)
	if n == 0 {
		return
	}
	step := 1
	if back {
		step = n - 1
	}
	c.Selected = (c.Selected + step) % n
	x.Completion.set(c)
}

// TakeCompletion writes the one at a place instead of what was typed.
func (x *Composer) TakeCompletion(at int) {
	c := x.Completion.Get()
	if at < 0 || at >= len(c.Items) {
		return
	}
	x.EndCompletion()
	item := c.Items[at]
	typed := x.before[min(c.after, len(x.before)):]
	x.Replace.emit(Replacement{Chars: utf8.RuneCountInString(typed), Text: item.text})
	if item.Emoji != "" {
		x.session.Emojis.Used(item.Emoji)
	}
}

// TakeSelected is TakeCompletion of the selected one.
func (x *Composer) TakeSelected() { x.TakeCompletion(x.Completion.Get().Selected) }

// InsertEmoji writes an emoji where the cursor is.
func (x *Composer) InsertEmoji(emoji string) {
	x.Insert.emit(emoji)
	x.session.Emojis.Used(emoji)
}

// withEmoji gives a request as it goes to the core: with an emoji instead of each
// shortcode in its text. Where the plugin is not there, it goes as it is.
func withEmoji(ctx context.Context, core Core, req *pluginpb.InvokeRequest) *pluginpb.InvokeRequest {
	text := req.GetText()
	if strings.Count(text, ":") < 2 {
		return req
	}
	var answer struct {
		Text string `json:"text"`
	}
	if err := emojiCall(ctx, core, "replace", text, nil, &answer); err != nil || answer.Text == "" {
		return req
	}
	return &pluginpb.InvokeRequest{
		Invocation: req.GetInvocation(), Action: req.GetAction(), Chat: req.GetChat(), Message: req.GetMessage(), Text: answer.Text,
		Args: maps.Clone(req.GetArgs()), Paths: req.GetPaths(),
	}
}

// tone reads the skin tone that is set.
func (e *Emojis) tone(ctx context.Context, core Core) (string, error) {
	s, err := core.GetSettings(ctx, &controlpb.GetSettingsRequest{Plugin: emojiPlugin})
	if err != nil {
		return "", err
	}
	return s.GetValues()["skin-tone"], nil
}
