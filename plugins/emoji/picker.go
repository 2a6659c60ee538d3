package emoji

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/sdk"
)

const (
	// What fonts have had for long needs no telling.
	knownVersion = 140

	searchLimit   = 60
	completeLimit = 8
	maxLimit      = 200

	maxAnswer = 64 << 10 // bytes that a result may have
)

// Item is an emoji as front ends get it.
type Item struct {
	// Emoji is what to insert, or to react with: canonical, in the tone asked for.
	Emoji string `json:"emoji"`
	// Name in the language asked for.
	Name string `json:"name,omitempty"`
	// Code is a shortcode without its colons.
	Code string `json:"code,omitempty"`
	// Tones is how many skin tones at once it can have: 0, 1 or 2.
	Tones int `json:"tones,omitempty"`
	// Version of emoji it came with, from 14 on; fonts may lack it.
	Version float64 `json:"version,omitempty"`
}

// Category is a part of a picker.
type Category struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Icon  string `json:"icon"`
	Count int    `json:"count"`
}

// options are what all actions that give emoji take.
type options struct {
	language language
	tone     tone
	version  int // the newest, times ten
	limit    int
}

func (p *Plugin) options(call sdk.Invocation) (options, error) {
	o := options{language: languageOf(call.Args["language"]), version: newest}
	o.tone, _ = toneOf(p.core.Setting(settingTone)) // a CHOICE
	if name, ok := call.Args["tone"]; ok {
		if o.tone, ok = toneOf(name); !ok {
			return o, sdk.Errorf(codes.InvalidArgument, "there is no skin tone %.40q: it is one of %s", name, strings.Join(toneNames, ", "))
		}
	}
	if v, ok := call.Args["version"]; ok {
		number, err := strconv.ParseFloat(v, 64)
		if err != nil || !(number >= 0 && number < 1000) {
			return o, sdk.Errorf(codes.InvalidArgument, "%.40q is no emoji version such as 15.1", v)
		}
		o.version = int(number*10 + 0.5)
	}
	if n, ok := call.Args["limit"]; ok {
		var err error
		if o.limit, err = strconv.Atoi(n); err != nil || o.limit < 1 {
			return o, sdk.Errorf(codes.InvalidArgument, "%.40q is no limit: it is a number from 1 to %d", n, maxLimit)
		}
		o.limit = min(o.limit, maxLimit)
	}
	return o, nil
}

// item makes of an entry what is given; spelled is the emoji in a tone of its own.
func (o options) item(e *entry, spelled string) Item {
	i := Item{Emoji: spelled, Name: e.names[o.language], Code: e.code(), Tones: e.kinds()}
	if spelled == "" {
		i.Emoji = e.in(o.tone, o.version)
	}
	if e.version >= knownVersion {
		i.Version = float64(e.version) / 10
	}
	return i
}

// items gives those that are old enough.
func (o options) items(entries []entry) []Item {
	items := make([]Item, 0, len(entries))
	for i := range entries {
		if entries[i].version <= o.version {
			items = append(items, o.item(&entries[i], ""))
		}
	}
	return items
}

// spelled gives items for emoji as they are; one that is not known has no name.
func (o options) spelled(list []string) []Item {
	items := make([]Item, 0, len(list))
	for _, s := range list {
		if e, ok := find(s); ok {
			items = append(items, o.item(&e, s))
		} else {
			items = append(items, Item{Emoji: s})
		}
	}
	return items
}

// itemList is an answer.
type itemList struct {
	Items []Item `json:"items"`
}

func (p *Plugin) categories(_ sdk.Invocation, o options) (any, error) {
	answer := struct {
		Version    float64    `json:"version"`
		Categories []Category `json:"categories"`
	}{Version: newest / 10.}
	for _, c := range categories {
		answer.Categories = append(answer.Categories, Category{c.id, c.names[o.language], c.icon, len(o.items(entriesOf(c.id)))})
	}
	return answer, nil
}

func entriesOf(category string) []entry {
	var entries []entry
	for line := range strings.SplitSeq(linesOf(category), "\n") {
		if line != "" {
			entries = append(entries, parse(line))
		}
	}
	return entries
}

func (p *Plugin) list(call sdk.Invocation, o options) (any, error) {
	entries := entriesOf(call.Args["category"])
	if len(entries) == 0 {
		return nil, sdk.Errorf(codes.NotFound, "there is no category %.40q of emoji: categories lists them", call.Args["category"])
	}
	return itemList{o.items(entries)}, nil
}

// found asks for more than limit, as those that are too new are left out.
func (o options) found(entries []entry, limit int) []Item {
	items := o.items(entries)
	return items[:min(len(items), limit)]
}

func (p *Plugin) search(call sdk.Invocation, o options) (any, error) {
	if o.limit == 0 {
		o.limit = searchLimit
	}
	if s, err := Canonical(strings.TrimSpace(call.Text)); err == nil {
		if _, ok := find(s); ok {
			return itemList{o.spelled([]string{s})}, nil
		}
	}
	return itemList{o.found(search(call.Text, 2*o.limit), o.limit)}, nil
}

func (p *Plugin) complete(call sdk.Invocation, o options) (any, error) {
	if o.limit == 0 {
		o.limit = completeLimit
	}
	start, entries := complete(call.Text, 2*o.limit)
	return struct {
		Start int `json:"start"`
		itemList
	}{start, itemList{o.found(entries, o.limit)}}, nil
}

// replace gives what is to be sent for what was typed, and notes the emoji that were
// written so as used.
func (p *Plugin) replace(call sdk.Invocation) (sdk.Result, error) {
	o, err := p.options(call)
	if err != nil {
		return sdk.Result{}, err
	}
	text, put := replace(call.Text, o.tone)
	r, err := result(struct {
		Text string `json:"text"`
	}{text})
	if err != nil {
		return sdk.Result{}, err
	}
	for _, emoji := range put {
		r.Effects = append(r.Effects, p.use(emoji)...)
	}
	return r, nil
}

func (p *Plugin) variants(call sdk.Invocation, o options) (any, error) {
	emoji, err := p.emojiIn(call)
	if err != nil {
		return nil, err
	}
	e, ok := find(emoji)
	if !ok {
		return itemList{o.spelled([]string{emoji})}, nil
	}
	return itemList{o.spelled(e.variants(o.version))}, nil
}

func (p *Plugin) recents(_ sdk.Invocation, o options) (any, error) {
	recent, favourites, quick := p.remembered(o.tone)
	return struct {
		Recent     []Item `json:"recent"`
		Favourites []Item `json:"favourites"`
		Quick      []Item `json:"quick"`
	}{o.spelled(recent), o.spelled(favourites), o.spelled(quick)}, nil
}

func (p *Plugin) noteUse(call sdk.Invocation) (sdk.Result, error) {
	emoji, err := p.emojiIn(call)
	if err != nil {
		return sdk.Result{}, err
	}
	return sdk.Result{Effects: p.use(emoji), Value: []byte("{}")}, nil
}

func (p *Plugin) star(call sdk.Invocation) (sdk.Result, error) {
	emoji, err := p.emojiIn(call)
	if err != nil {
		return sdk.Result{}, err
	}
	effects, err := p.favourite(emoji, call.Args["on"] != "false")
	return sdk.Result{Effects: effects, Value: []byte("{}")}, err
}

// emojiIn gives the emoji that a call names, by itself or by its shortcode.
func (p *Plugin) emojiIn(call sdk.Invocation) (string, error) {
	text := strings.TrimSpace(call.Text)
	if emoji, err := Canonical(text); err == nil {
		return emoji, nil
	}
	o, err := p.options(call)
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(text, ":") && strings.HasSuffix(text, ":") {
		if emoji, n := codeAt(text, o.tone); n == len(text) {
			return emoji, nil
		}
		return "", sdk.Errorf(codes.NotFound, "there is no emoji %.70s: search for one with parley emoji search", text).Because("NO_EMOJI", "emoji", text)
	}
	return "", sdk.Errorf(codes.InvalidArgument, "%.40q is not one emoji: write one, or its shortcode such as :tada:", text).Because("NOT_ONE_EMOJI", "emoji", text)
}

// result is an answer in JSON, in which "<", ">" and "&" stay as they are.
func result(value any) (sdk.Result, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return sdk.Result{}, err
	}
	if out.Len() > maxAnswer {
		return sdk.Result{}, sdk.Errorf(codes.ResourceExhausted, "the answer has %d bytes, and at most %d can be given: ask for less", out.Len(), maxAnswer)
	}
	return sdk.Result{Value: bytes.TrimSuffix(out.Bytes(), []byte("\n"))}, nil
}
