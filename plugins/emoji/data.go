package emoji

import (
	_ "embed"
	"strconv"
	"strings"
)

//go:generate go run ./internal/gen

// data has the emoji, a line each, in the order of the Unicode CLDR: what
// internal/gen writes, from emojibase-data. A line has these fields, with
// tabulators between them:
//
//	emoji, version times ten, skin tones, :shortcodes:, English name and |words|, Chinese name and |words|
//
// A line ">id" begins a category. It is searched as it is, in the program's file:
// nothing of it lies in memory a second time, and what is not used is not read.
//
//go:embed data/emoji.txt
var data string

// Version is the newest emoji version that is known, times ten.
const newest = 170

// entry is a line of data.
type entry struct {
	emoji   string
	version int // times ten
	tones   string
	codes   string // with ":" before, between and behind them
	names   [languages]string
	words   [languages]string // with "|" before, between and behind them
}

// language is one of those that emoji have names in.
type language int

const (
	english language = iota
	chinese
	languages
)

// languageOf takes a BCP 47 tag.
func languageOf(tag string) language {
	if strings.HasPrefix(strings.ToLower(tag), "zh") {
		return chinese
	}
	return english
}

func parse(line string) entry {
	var e entry
	var version string
	for _, into := range []*string{&e.emoji, &version, &e.tones, &e.codes, &e.names[english], &e.words[english], &e.names[chinese]} {
		*into, line, _ = strings.Cut(line, "\t")
	}
	e.words[chinese] = line
	e.version, _ = strconv.Atoi(version) // made by us
	if e.names[chinese] == "" {
		e.names[chinese] = e.names[english]
	}
	return e
}

// code is the first shortcode.
func (e *entry) code() string {
	first, _, _ := strings.Cut(e.codes[1:], ":")
	return first
}

// lineAt gives the line that has the byte at i.
func lineAt(i int) string {
	line := data[strings.LastIndexByte(data[:i], '\n')+1:]
	line, _, _ = strings.Cut(line, "\n")
	return line
}

// find gives the entry of an emoji in its canonical spelling, of any skin tone.
func find(s string) (entry, bool) {
	if strings.ContainsAny(s, "\t\n") || s == "" {
		return entry{}, false
	}
	plain := withoutTones(s)
	if i := strings.Index(data, "\n"+plain+"\t"); i >= 0 {
		return parse(lineAt(i + 1)), true
	}
	if plain == s {
		return entry{}, false
	}
	// Some pairs are made of others than the emoji itself.
	pattern, _ := patternOf(s)
	if i := strings.Index(data, "="+pattern+"\t"); i >= 0 {
		return parse(lineAt(i)), true
	}
	return entry{}, false
}

// findCode gives the entry that has a shortcode.
func findCode(code string) (entry, bool) {
	if code == "" || strings.ContainsFunc(code, notInCode) {
		return entry{}, false
	}
	if i := strings.Index(data, ":"+code+":"); i >= 0 {
		return parse(lineAt(i)), true
	}
	return entry{}, false
}

func notInCode(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '-' && r != '+'
}

// category is a group of emoji that a picker shows together.
type category struct {
	id    string
	icon  string
	names [languages]string
}

// categories are those of data, in its order.
var categories = []category{
	{"smileys-emotion", "😀", [languages]string{"Smileys & emotion", "笑脸与情感"}},
	{"people-body", "👋", [languages]string{"People & body", "人物与身体"}},
	{"animals-nature", "🐻", [languages]string{"Animals & nature", "动物与自然"}},
	{"food-drink", "🍔", [languages]string{"Food & drink", "食物与饮料"}},
	{"travel-places", "🚗", [languages]string{"Travel & places", "旅行与地点"}},
	{"activities", "⚽", [languages]string{"Activities", "活动"}},
	{"objects", "💡", [languages]string{"Objects", "物品"}},
	{"symbols", "🔣", [languages]string{"Symbols", "符号"}},
	{"flags", "🏁", [languages]string{"Flags", "旗帜"}},
}

// linesOf gives the lines of a category, "" if there is none of this name.
func linesOf(id string) string {
	_, rest, _ := strings.Cut("\n"+data, "\n>"+id+"\n")
	lines, _, _ := strings.Cut(rest, "\n>")
	return strings.TrimSuffix(lines, "\n")
}
