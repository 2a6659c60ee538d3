// Package texts is what the window says to people: sentences from gettext
// catalogues, and times, dates, numbers and sizes as the language writes them.
// The sentences in the code are the English ones; a language that lacks one shows
// it in English.
package texts

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/leonelquinteros/gotext"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/parley-chat/parley/ui-gtk/assets"
)

// Languages that there are, as BCP 47 tags, with what they call themselves.
var Languages = []struct{ Tag, Name string }{
	{"en", "English"},
	{"zh-Hans", "简体中文"},
}

// Texts says things in one language, which may be changed. It belongs to one
// goroutine.
type Texts struct {
	tag     string
	entries map[string]entry // none in English
	numbers *message.Printer
}

// entry is a sentence of a catalogue, which knows how its language counts.
type entry struct {
	catalog     *gotext.Po
	translation *gotext.Translation
}

// New gives the texts of a language by its BCP 47 tag; of the system's when it is
// empty, and in English when there is no catalogue for it.
func New(tag string) *Texts {
	t := &Texts{}
	t.Use(tag)
	return t
}

// Use changes the language; see New.
func (t *Texts) Use(tag string) {
	if tag == "" {
		tag = system(os.Getenv)
	}
	if !slices.ContainsFunc(Languages, func(l struct{ Tag, Name string }) bool { return l.Tag == tag }) {
		tag = "en"
	}
	t.tag, t.entries = tag, map[string]entry{}
	folder := "translations/" + tag
	files, _ := assets.Translations.ReadDir(folder) // there is none for English
	for _, f := range files {
		b, err := assets.Translations.ReadFile(folder + "/" + f.Name())
		if err != nil {
			continue // what the program carries with it can be read
		}
		catalog := gotext.NewPo()
		catalog.Parse(b)
		for sentence, translation := range catalog.GetDomain().GetTranslations() {
			t.entries[sentence] = entry{catalog, translation}
		}
	}
	t.numbers = message.NewPrinter(language.Make(tag))
}

// system gives the language that the environment asks for, as POSIX says.
func system(env func(string) string) string {
	locale := ""
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if locale = env(name); locale != "" {
			break
		}
	}
	wanted := []string{locale}
	if locale != "" && locale != "C" && locale != "POSIX" {
		wanted = append(strings.Split(env("LANGUAGE"), ":"), locale) // which GNU's gettext puts first
	}
	for _, w := range wanted {
		w, _, _ = strings.Cut(w, ".")
		tag, err := language.Parse(strings.ReplaceAll(w, "_", "-"))
		if w == "" || err != nil {
			continue
		}
		base, _ := tag.Base()
		script, _ := tag.Script()
		switch {
		case base.String() == "zh" && script.String() == "Hans":
			return "zh-Hans"
		case base.String() == "en":
			return "en"
		}
	}
	return "en"
}

// Language gives the BCP 47 tag of the language in use.
func (t *Texts) Language() string { return t.tag }

// T gives a sentence in the language.
func (t *Texts) T(sentence string) string {
	if e, ok := t.entries[sentence]; ok {
		return e.translation.Get()
	}
	return sentence
}

// F is T with fmt.Sprintf's verbs. A translation may take them in another order,
// as in "%[2]s %[1]s". What is written from right to left stands in the sentence as
// one piece, so that it does not turn the rest around.
func (t *Texts) F(format string, args ...any) string {
	var pieces []any
	for i, arg := range args {
		if s, ok := arg.(string); ok && strings.ContainsFunc(s, rightToLeft) {
			if pieces == nil {
				pieces = slices.Clone(args)
			}
			pieces[i] = isolate + s + endIsolate
		}
	}
	if pieces == nil {
		return fmt.Sprintf(t.T(format), args...)
	}
	// The mark is for toolkits that look into pieces for a paragraph's direction.
	return leftToRight + fmt.Sprintf(t.T(format), pieces...)
}

// Characters of Unicode's bidirectional algorithm: a mark, and what begins and ends a
// piece whose direction is its own.
const (
	leftToRight = "\u200e"
	isolate     = "\u2068"
	endIsolate  = "\u2069"
)

func rightToLeft(r rune) bool {
	return unicode.In(r, unicode.Arabic, unicode.Hebrew, unicode.Syriac, unicode.Thaana, unicode.Nko, unicode.Adlam)
}

// N gives the sentence for a number of things, which stands in it as %d.
func (t *Texts) N(one, many string, n int) string {
	format := many
	if e, ok := t.entries[one]; ok {
		format = e.catalog.GetN(one, many, n)
	} else if n == 1 {
		format = one
	}
	return fmt.Sprintf(strings.Replace(format, "%d", "%s", 1), t.Number(n))
}

// Number writes a number with the language's separators.
func (t *Texts) Number(n int) string { return t.numbers.Sprintf("%d", n) }

// Size writes a number of bytes with three digits: "12.8 MB" of 1,000,000 bytes
// each, as file managers do.
func (t *Texts) Size(bytes uint64) string {
	const units = "kMGTPE"
	if bytes < 1000 {
		return fmt.Sprintf("%d B", bytes)
	}
	x, unit := float64(bytes)/1000, 0
	for x >= 999.5 && unit < len(units)-1 {
		x, unit = x/1000, unit+1
	}
	digits := 0
	switch {
	case x < 9.995:
		digits = 2
	case x < 99.95:
		digits = 1
	}
	return t.numbers.Sprintf(fmt.Sprintf("%%.%df %%cB", digits), x, units[unit])
}

// Speed writes bytes a second.
func (t *Texts) Speed(bytes uint64) string { return t.F("%s/s", t.Size(bytes)) }

// Left writes how long something will take.
func (t *Texts) Left(d time.Duration) string {
	switch {
	case d < time.Minute:
		return t.N("%d second left", "%d seconds left", max(1, int(d.Seconds())))
	case d < time.Hour:
		return t.N("%d minute left", "%d minutes left", int(d.Minutes()))
	}
	return t.N("%d hour left", "%d hours left", int(d.Hours()))
}

// Mark marks a sentence that is said later, by T with a variable, so that the
// catalogues' test finds it. It gives the sentence itself.
func Mark(sentence string) string { return sentence }
