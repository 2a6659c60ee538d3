package texts_test

import (
	"testing"
	"time"

	"github.com/parley-chat/parley/ui-gtk/texts"
)

func TestTimes(t *testing.T) {
	now := time.Date(2026, time.March, 14, 14, 32, 5, 0, time.UTC)
	for _, test := range []struct {
		at            time.Time
		day, when     string
		dayZh, whenZh string
	}{
		{now, "Today", "14:32", "今天", "14:32"},
		{now.Add(time.Minute), "Today", "14:33", "今天", "14:33"},
		{now.Add(-15 * time.Hour), "Yesterday", "Yesterday", "昨天", "昨天"},
		{now.AddDate(0, 0, -3), "Wednesday, 11 March", "Wed", "3月11日 星期三", "周三"},
		{now.AddDate(0, -2, 0), "Wednesday, 14 January", "14/1", "1月14日 星期三", "1月14日"},
		{now.AddDate(-1, 0, 0), "Friday, 14 March 2025", "14/3/2025", "2025年3月14日 星期五", "2025/3/14"},
	} {
		en, zh := texts.New("en"), texts.New("zh-Hans")
		if got := en.Day(test.at, now); got != test.day {
			t.Errorf("Day(%v) = %q, want %q", test.at, got, test.day)
		}
		if got := en.When(test.at, now); got != test.when {
			t.Errorf("When(%v) = %q, want %q", test.at, got, test.when)
		}
		if got := zh.Day(test.at, now); got != test.dayZh {
			t.Errorf("Chinese: Day(%v) = %q, want %q", test.at, got, test.dayZh)
		}
		if got := zh.When(test.at, now); got != test.whenZh {
			t.Errorf("Chinese: When(%v) = %q, want %q", test.at, got, test.whenZh)
		}
	}
}

func TestNumbers(t *testing.T) {
	en, zh := texts.New("en"), texts.New("zh-Hans")
	for _, test := range []struct{ got, want string }{
		{en.Size(0), "0 B"},
		{en.Size(999), "999 B"},
		{en.Size(1000), "1.00 kB"},
		{en.Size(999_999), "1.00 MB"},
		{en.Size(12_800_000), "12.8 MB"},
		{en.Size(128_000_000), "128 MB"},
		{en.Size(1 << 63), "9.22 EB"},
		{en.Speed(1_900_000), "1.90 MB/s"},
		{zh.Speed(1_900_000), "1.90 MB/秒"},
		{en.Number(1234567), "1,234,567"},
		{en.N("%d hour left", "%d hours left", 1), "1 hour left"},
		{en.N("%d hour left", "%d hours left", 2000), "2,000 hours left"},
		{zh.N("%d hour left", "%d hours left", 2), "剩余 2 小时"},
		{en.Left(0), "1 second left"},
		{en.Left(90 * time.Second), "1 minute left"},
	} {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
	}
}

func TestSystemLanguage(t *testing.T) {
	for _, test := range []struct{ lang, language, all, want string }{
		{"", "", "", "en"},
		{"C", "zh_CN", "", "en"}, // as GNU's gettext
		{"de_DE.UTF-8", "", "", "en"},
		{"zh_CN.UTF-8", "", "", "zh-Hans"},
		{"zh_TW.UTF-8", "", "", "en"},
		{"en_GB.UTF-8", "zh_CN:en", "", "zh-Hans"},
		{"zh_CN.UTF-8", "", "en_US.UTF-8", "en"},
		{"nonsense!", "", "", "en"},
	} {
		t.Setenv("LANG", test.lang)
		t.Setenv("LANGUAGE", test.language)
		t.Setenv("LC_ALL", test.all)
		t.Setenv("LC_MESSAGES", "")
		if got := texts.New("").Language(); got != test.want {
			t.Errorf("LANG=%q LANGUAGE=%q LC_ALL=%q: %s, want %s", test.lang, test.language, test.all, got, test.want)
		}
	}
}

// TestRightToLeft: a name that is written from right to left is one piece of a
// sentence that is not.
func TestRightToLeft(t *testing.T) {
	english := texts.New("en")
	if got, want := english.F("%[1]s invited %[2]s", "أحمد", "Bob"), "\u200e\u2068أحمد\u2069 invited Bob"; got != want {
		t.Errorf("%q, not %q", got, want)
	}
	names := []any{"Bob", "王伟"}
	if got := english.F("%[1]s invited %[2]s", names...); got != "Bob invited 王伟" {
		t.Errorf("%q has marks", got)
	}
	rtl := []any{"שלום"}
	if english.F("%s joined", rtl...); rtl[0] != "שלום" {
		t.Errorf("what was handed in became %q", rtl[0])
	}
}
