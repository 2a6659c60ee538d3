// Command gen makes data/emoji.txt of package emoji anew from emojibase-data,
// which npm fetches:
//
//	go generate ./plugins/emoji
//
// For another version change emojibase and its integrity below (npm view
// emojibase-data@VERSION dist.integrity), and data/NOTICE.
package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/parley-chat/parley/plugins/emoji"
)

const (
	emojibase = "emojibase-data@17.0.0"
	integrity = "sha512-Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA=="
)

func main() {
	archive := flag.String("archive", "", "emojibase-data as `FILE.tgz`; without it npm fetches "+emojibase)
	out := flag.String("out", "data/emoji.txt", "`FILE` to write")
	flag.Parse()
	if err := run(*archive, *out); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1) //nolint:forbidigo // a program
	}
}

func run(archive, out string) error {
	packed, err := fetch(archive)
	if err != nil {
		return err
	}
	sum := sha512.Sum512(packed)
	if got := "sha512-" + base64.StdEncoding.EncodeToString(sum[:]); got != integrity {
		return fmt.Errorf("%s is not what it was: its integrity is %s, not %s", emojibase, got, integrity)
	}
	files, err := unpack(packed)
	if err != nil {
		return err
	}
	text, err := generate(files)
	if err != nil {
		return err
	}
	return os.WriteFile(out, text, 0o644) //nolint:gosec // a file of the repository
}

func fetch(archive string) ([]byte, error) {
	if archive != "" {
		return os.ReadFile(archive) //nolint:gosec // named by who runs this
	}
	folder, err := os.MkdirTemp("", "emojibase-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }()                                                                          // a temporary folder
	npm := exec.CommandContext(context.Background(), "npm", "pack", "--silent", "--pack-destination", folder, emojibase) //nolint:gosec // a constant and a folder of ours
	npm.Stderr = os.Stderr
	name, err := npm.Output()
	if err != nil {
		return nil, fmt.Errorf("npm pack %s: %w", emojibase, err)
	}
	return os.ReadFile(filepath.Join(folder, filepath.Base(strings.TrimSpace(string(name))))) //nolint:gosec // made by npm
}

// unpack gives the files of the package that are needed, by their names in it.
func unpack(packed []byte) (map[string][]byte, error) {
	zipped, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for t := tar.NewReader(zipped); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		name := strings.TrimPrefix(h.Name, "package/")
		language, _, _ := strings.Cut(name, "/")
		if !slices.Contains([]string{"en", "zh", "zh-hant", "meta"}, language) || !strings.HasSuffix(name, ".json") {
			continue
		}
		if files[name], err = io.ReadAll(t); err != nil {
			return nil, err
		}
	}
}

// entry is an emoji as emojibase has it.
type entry struct {
	Label    string          `json:"label"`
	Hexcode  string          `json:"hexcode"`
	Tags     []string        `json:"tags"`
	Emoji    string          `json:"emoji"`
	Order    int             `json:"order"`
	Group    *int            `json:"group"`
	Version  float64         `json:"version"`
	Emoticon json.RawMessage `json:"emoticon"`
	Skins    []skin          `json:"skins"`
}

type skin struct {
	Emoji   string          `json:"emoji"`
	Tone    json.RawMessage `json:"tone"` // 1 to 5, or two of these
	Version float64         `json:"version"`
}

// components are skin tones and hair, which nobody sends by themselves.
const components = "component"

func generate(files map[string][]byte) ([]byte, error) {
	var english, chinese, traditional []entry
	var meta struct{ Groups map[int]string }
	err := errors.Join(
		json.Unmarshal(files["en/data.json"], &english),
		json.Unmarshal(files["zh/data.json"], &chinese),
		json.Unmarshal(files["zh-hant/data.json"], &traditional),
		json.Unmarshal(files["meta/groups.json"], &meta),
	)
	if err != nil {
		return nil, err
	}
	codes, err := shortcodes(files)
	if err != nil {
		return nil, err
	}
	inChinese := map[string]*entry{}
	for i := range chinese {
		inChinese[chinese[i].Hexcode] = &chinese[i]
	}
	for i := range traditional { // to find by; what is shown is simplified
		if e := inChinese[traditional[i].Hexcode]; e != nil {
			e.Tags = slices.Concat(e.Tags, []string{ownName(traditional[i].Label)}, traditional[i].Tags)
		}
	}
	english = slices.DeleteFunc(english, func(e entry) bool { return e.Group == nil || meta.Groups[*e.Group] == components })
	slices.SortStableFunc(english, func(a, b entry) int {
		return cmp.Or(cmp.Compare(*a.Group, *b.Group), cmp.Compare(a.Order, b.Order))
	})
	var out bytes.Buffer
	group := -1
	for i := range english {
		e := &english[i]
		if *e.Group != group {
			group = *e.Group
			fmt.Fprintf(&out, ">%s\n", meta.Groups[group])
		}
		line, err := lineOf(e, inChinese[e.Hexcode], codes[e.Hexcode])
		if err != nil {
			return nil, fmt.Errorf("%s (%s): %w", e.Label, e.Hexcode, err)
		}
		out.WriteString(line)
	}
	return out.Bytes(), nil
}

// ownName is a name without the kind before it: that of the country of "旗子：日本".
func ownName(label string) string {
	if _, own, ok := strings.Cut(strings.ReplaceAll(label, "：", ": "), ": "); ok {
		return strings.TrimSpace(own)
	}
	return label
}

func lineOf(e, chinese *entry, codes []string) (string, error) {
	plain, err := emoji.Canonical(e.Emoji)
	if err != nil {
		return "", err
	}
	tones, err := tonesOf(plain, e.Skins)
	if err != nil {
		return "", err
	}
	if len(codes) == 0 {
		return "", errors.New("it has no shortcode")
	}
	if chinese == nil {
		chinese = &entry{}
	}
	var emoticons []string
	if len(e.Emoticon) > 0 && json.Unmarshal(e.Emoticon, &emoticons) != nil {
		emoticons = make([]string, 1)
		if err := json.Unmarshal(e.Emoticon, &emoticons[0]); err != nil {
			return "", err
		}
	}
	fields := []string{
		plain, version(e.Version), tones, ":" + strings.Join(codes, ":") + ":",
		e.Label, words(e.Label, append(e.Tags, emoticons...)),
		chinese.Label, words(chinese.Label, chinese.Tags),
	}
	for _, f := range fields {
		if strings.ContainsAny(f, "\t\n") {
			return "", fmt.Errorf("%q has a tabulator or a line's end", f)
		}
	}
	return strings.Join(fields, "\t") + "\n", nil
}

// version is an emoji version times ten.
func version(v float64) string { return fmt.Sprint(int(v*10 + 0.5)) }

// words are what an emoji is found by, besides its name: in lower case, and also
// without accents. A "|" stands before and behind each.
func words(name string, tags []string) string {
	var all []string
	add := func(w string) {
		w = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(w)), "|", " ")
		if w != "" && w != name && !slices.Contains(all, w) {
			all = append(all, w)
		}
	}
	for _, w := range append([]string{name}, tags...) {
		add(w)
		add(strings.ReplaceAll(bare(w), "’", "'"))
	}
	if len(all) == 0 {
		return ""
	}
	return "|" + strings.Join(all, "|") + "|"
}

// bare gives a word without accents.
func bare(w string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFD.String(w))
}

// shortcodes gives the shortcodes of emoji: GitHub's first, then emojibase's,
// Slack's and CLDR's. One that several claim is that of the first.
func shortcodes(files map[string][]byte) (map[string][]string, error) {
	owner, codes := map[string]string{}, map[string][]string{}
	for _, name := range []string{"github", "emojibase", "iamcal", "cldr"} {
		var of map[string]json.RawMessage
		if err := json.Unmarshal(files["en/shortcodes/"+name+".json"], &of); err != nil {
			return nil, fmt.Errorf("shortcodes of %s: %w", name, err)
		}
		for _, hexcode := range slices.Sorted(maps.Keys(of)) {
			raw := of[hexcode]
			list := make([]string, 1)
			if err := json.Unmarshal(raw, &list[0]); err != nil {
				if err := json.Unmarshal(raw, &list); err != nil {
					return nil, fmt.Errorf("shortcodes of %s: %s: %w", name, hexcode, err)
				}
			}
			for _, code := range list {
				if was := owner[code]; was == "" {
					owner[code] = hexcode
					codes[hexcode] = append(codes[hexcode], code)
				}
			}
		}
	}
	for _, list := range codes {
		// "thumbsup" says more than "+1" where only the first is shown.
		slices.SortStableFunc(list, func(a, b string) int { return btoi(!isLetter(a[0])) - btoi(!isLetter(b[0])) })
	}
	return codes, nil
}

func isLetter(b byte) bool { return b >= 'a' && b <= 'z' }

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// tonesOf gives the field with the skin tones: "10" when they came with version
// 1.0 and stand behind the first code point, else "10=PATTERN", and for pairs of
// tones " 140=PATTERN" more. In a pattern "1" and "2" stand for the tones.
func tonesOf(plain string, skins []skin) (string, error) {
	if len(skins) == 0 {
		return "", nil
	}
	var singleVersion, pairVersion float64
	var single, pair string
	for _, s := range skins {
		got, err := emoji.Canonical(s.Emoji)
		if err != nil {
			return "", err
		}
		var one int
		var two []int
		if json.Unmarshal(s.Tone, &one) == nil {
			two = []int{one, one}
		} else if err := json.Unmarshal(s.Tone, &two); err != nil || len(two) != 2 {
			return "", fmt.Errorf("tone %s of %s", s.Tone, s.Emoji)
		}
		pattern := got
		for i, tone := range two {
			pattern = strings.ReplaceAll(pattern, string(rune(0x1f3fa+tone)), fmt.Sprint(i+1))
		}
		into, since := &single, &singleVersion
		if two[0] != two[1] {
			into, since = &pair, &pairVersion
		}
		if *into == "" {
			*into = pattern
		}
		if *into != pattern {
			return "", fmt.Errorf("%s is made otherwise than %s", s.Emoji, *into)
		}
		*since = max(*since, s.Version)
	}
	field := version(singleVersion)
	if single != emoji.DefaultPattern(plain) {
		field += "=" + single
	}
	if pair != "" {
		field += " " + version(pairVersion) + "=" + pair
	}
	return field, nil
}
