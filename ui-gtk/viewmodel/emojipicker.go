package viewmodel

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/parley-chat/parley/protocol/controlpb"
)

// PickerColumns is how many emoji are in a row of the picker.
const PickerColumns = 9

// Tones are the skin tones that can be set, as the plugin calls them.
var Tones = []string{"none", "light", "medium-light", "medium", "medium-dark", "dark"}

// EmojiPicker is all emoji, or those that were searched for, in rows.
type EmojiPicker struct {
	emojis  *Emojis
	known   pickerData
	reading int // counts readings, and
	turn    int // searches: answers to older ones are not wanted
	found   []Emoji

	View Value[PickerView]
}

// PickerView is what the picker shows.
type PickerView struct {
	Query string
	Rows  []PickerRow
	// Tabs lead to the parts of Rows; none while something is searched for.
	Tabs []PickerTab
	// Tone is the skin tone that is set.
	Tone string
	// Busy: they are being read. Problem says why there are none, or nothing.
	Busy    bool
	Problem string
}

// PickerRow is a row of at most PickerColumns emoji, or a heading.
type PickerRow struct {
	Heading string
	Emoji   []Emoji
}

// PickerTab is a part of the rows, which begins at Row. Icon is one of its emoji; ID
// what the plugin calls it, or "recent".
type PickerTab struct {
	ID, Name, Icon string
	Row            int
}

type pickerData struct {
	language, tone     string
	parts              []pickerPart
	recent, favourites []Emoji
}

type pickerPart struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Icon  string `json:"icon"`
	items []Emoji
}

func newEmojiPicker(e *Emojis) *EmojiPicker { return &EmojiPicker{emojis: e} }

// Open reads what has changed since the last time, and shows all.
func (p *EmojiPicker) Open() {
	p.found = nil
	p.turn++
	view := p.View.Get()
	view.Query, view.Problem, view.Busy = "", "", len(p.known.parts) == 0
	p.set(view)
	p.read()
}

// read reads them from the plugin.
func (p *EmojiPicker) read() {
	e := p.emojis
	p.reading++
	reading, known, language := p.reading, p.known, e.language()
	var recents struct {
		Recent     []Emoji `json:"recent"`
		Favourites []Emoji `json:"favourites"`
		Quick      []Emoji `json:"quick"`
	}
	e.session.call(func(ctx context.Context, core Core) error {
		tone, err := e.tone(ctx, core)
		if err != nil {
			return err
		}
		args := map[string]string{"language": language, "tone": cmp.Or(tone, Tones[0])}
		if err := emojiCall(ctx, core, "recents", "", args, &recents); err != nil {
			return err
		}
		if known.language == language && known.tone == tone && len(known.parts) > 0 {
			return nil
		}
		known = pickerData{language: language, tone: tone}
		var categories struct {
			Categories []pickerPart `json:"categories"`
		}
		if err := emojiCall(ctx, core, "categories", "", args, &categories); err != nil {
			return err
		}
		for _, part := range categories.Categories[:min(len(categories.Categories), maxCategories)] {
			var list struct {
				Items []Emoji `json:"items"`
			}
			args["category"] = part.ID
			if err := emojiCall(ctx, core, "list", "", args, &list); err != nil {
				return err
			}
			part.items = list.Items
			known.parts = append(known.parts, part)
		}
		return nil
	}, func(err error) {
		if reading != p.reading {
			return
		}
		view := p.View.Get()
		view.Busy = false
		if err != nil {
			view.Problem = e.session.Sentence(err)
			p.set(view)
			return
		}
		known.recent, known.favourites = e.shown(recents.Recent), e.shown(recents.Favourites)
		if known.tone != p.known.tone || known.language != p.known.language || len(p.known.parts) == 0 {
			for i := range known.parts {
				known.parts[i].items = e.shown(known.parts[i].items)
				known.parts[i].Name = tidyName(known.parts[i].Name)
			}
		}
		p.known = known
		e.asked = true
		e.setQuick(recents.Quick)
		if view.Query != "" { // whose answer may be in another tone now
			p.search(view.Query)
			return
		}
		p.set(view)
	})
}

// set shows a view, whose rows it makes.
func (p *EmojiPicker) set(v PickerView) {
	t := p.emojis.session.Texts()
	v.Tone, v.Rows, v.Tabs = cmp.Or(p.known.tone, Tones[0]), nil, nil
	add := func(heading string, items []Emoji) {
		if heading != "" {
			v.Rows = append(v.Rows, PickerRow{Heading: heading})
		}
		for row := range slices.Chunk(items, PickerColumns) {
			v.Rows = append(v.Rows, PickerRow{Emoji: row})
		}
	}
	if v.Query != "" {
		add("", p.found)
		p.View.set(v)
		return
	}
	if len(p.known.recent)+len(p.known.favourites) > 0 {
		v.Tabs = append(v.Tabs, PickerTab{ID: "recent", Name: t.T("Favourites and recently used")})
	}
	if len(p.known.favourites) > 0 {
		add(t.T("Favourites"), p.known.favourites)
	}
	if len(p.known.recent) > 0 {
		add(t.T("Recently used"), p.known.recent)
	}
	for _, part := range p.known.parts {
		v.Tabs = append(v.Tabs, PickerTab{ID: part.ID, Name: part.Name, Icon: part.Icon, Row: len(v.Rows)})
		add(part.Name, part.items)
	}
	p.View.set(v)
}

// Search shows what fits some words, or all when they are empty.
func (p *EmojiPicker) Search(query string) {
	if query = strings.TrimSpace(firstRunes(query, 100)); query != p.View.Get().Query {
		p.search(query)
	}
}

func (p *EmojiPicker) search(query string) {
	p.turn++
	turn, e, v := p.turn, p.emojis, p.View.Get()
	v.Query, v.Problem, v.Busy = query, "", query != "" || len(p.known.parts) == 0
	if query == "" {
		p.found = nil
	}
	p.set(v)
	if query == "" {
		return
	}
	args := e.args("tone", cmp.Or(p.known.tone, Tones[0]), "limit", "90")
	var answer struct {
		Items []Emoji `json:"items"`
	}
	e.session.call(func(ctx context.Context, core Core) error {
		return emojiCall(ctx, core, "search", query, args, &answer)
	}, func(err error) {
		if turn != p.turn {
			return
		}
		v := p.View.Get()
		v.Busy = false
		p.found = e.shown(answer.Items)
		switch {
		case err != nil:
			v.Problem = e.session.Sentence(err)
		case len(p.found) == 0:
			v.Problem = e.session.Texts().T("No emoji found")
		}
		p.set(v)
	})
}

// SetTone sets the skin tone in which they are shown from now on.
func (p *EmojiPicker) SetTone(tone string) {
	e := p.emojis
	e.session.call(func(ctx context.Context, core Core) error {
		_, err := core.SetSetting(ctx, &controlpb.SetSettingRequest{Plugin: emojiPlugin, Name: "skin-tone", Value: tone})
		return err
	}, func(err error) {
		if err != nil {
			e.session.Failures.emit(e.session.Sentence(err))
			return
		}
		p.read()
	})
}

// IsFavourite says whether an emoji is among the favourites.
func (p *EmojiPicker) IsFavourite(emoji string) bool {
	return slices.ContainsFunc(p.known.favourites, func(x Emoji) bool { return x.Emoji == emoji })
}

// SetFavourite keeps an emoji among the favourites, or no longer.
func (p *EmojiPicker) SetFavourite(emoji string, on bool) {
	p.emojis.Favourite(emoji, on, p.read)
}

// Nearest gives the place of an emoji; of several the one that is nearest to a row.
func (v PickerView) Nearest(emoji string, to int) (row, column int, ok bool) {
	for at := range v.Rows {
		i := slices.IndexFunc(v.Rows[at].Emoji, func(x Emoji) bool { return x.Emoji == emoji })
		if i >= 0 && (!ok || abs(at-to) < abs(row-to)) {
			row, column, ok = at, i, true
		}
	}
	return row, column, ok
}

func abs(n int) int { return max(n, -n) }

// Direction is where an arrow key leads.
type Direction int

// Directions.
const (
	Left Direction = iota
	Right
	Up
	Down
)

// Move gives the place that a key leads to from another one; ok is false where
// there is none.
func (v PickerView) Move(row, column int, to Direction) (nextRow, nextColumn int, ok bool) {
	if row >= 0 && row < len(v.Rows) {
		switch {
		case to == Left && column > 0:
			return row, column - 1, true
		case to == Right && column+1 < len(v.Rows[row].Emoji):
			return row, column + 1, true
		}
	}
	step := 1
	if to == Left || to == Up {
		step = -1
	}
	for next := row + step; next >= 0 && next < len(v.Rows); next += step {
		n := len(v.Rows[next].Emoji)
		switch {
		case n == 0: // a heading
		case to == Left:
			return next, n - 1, true
		case to == Right:
			return next, 0, true
		default:
			return next, min(column, n-1), true
		}
	}
	return row, column, false
}
