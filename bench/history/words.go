package history

import (
	"math/rand/v2"
	"strings"
)

// Texts are made of words whose frequency falls with their rank, as in any
// language: the first ones are in every few messages, most in a handful.

var commonEnglish = strings.Fields(`the to and you that for it of is in have with not on this but be at we are
	they one all would there what so up out about who get which go me when make can like time no just him know take
	people into year your good some could them see other than then now look only come over think also back after use
	two how our work first well way even new want because any these give day most us meeting train dinner holiday
	project tomorrow ticket birthday weather coffee garden doctor kitchen window station letter music`)

var commonChinese = strings.Fields(`我们 你好 今天 明天 现在 什么 可以 知道 没有 时间 工作 一起 吃饭 朋友 喜欢 怎么 已经 因为 所以
	觉得 回家 电话 老师 学校 公司 开会 火车 飞机 天气 生日 快乐 谢谢 晚安 早上 下午 周末 电影 音乐 医院 孩子`)

const (
	rareEnglish = 40_000 // made words beyond the common ones
	rareChinese = 2_500  // characters to make words of
)

// English and Chinese are what to search for. The last ones of each are words
// that hardly ever stand together, and of which a hit is far away.
var (
	English = []string{
		"the", "meeting", "music", "m", "me", "tomorrow", "the music", "birthday tick",
		madeWord(10), madeWord(20_000), "the " + madeWord(5_000), "dinner " + madeWord(39_000),
	}
	Chinese = []string{
		"我们", "今天", "孩子", "晚安", "吃饭", "火车", "我们 孩子", "医院 音乐",
		madePair(3), madePair(70_003), "我们 " + madePair(400), "the 今天",
	}
)

var syllables = strings.Fields("ba co du fe gi ha jo ku le mi no pa qui ro su ta ve wo xi zu")

// madeWord gives the n-th rare word.
func madeWord(n int) string {
	var b strings.Builder
	for n += len(syllables) * len(syllables); n > 0; n /= len(syllables) {
		b.WriteString(syllables[n%len(syllables)])
	}
	return b.String()
}

// madePair gives the n-th rare word of two characters.
func madePair(n int) string {
	const first = 0x4E00
	return string([]rune{first + rune(n*7919%rareChinese), first + rune(n*104_729/7%rareChinese)})
}

// writer makes texts.
type writer struct {
	random                     *rand.Rand
	common, rare, han, hanRare *rand.Zipf
}

func newWriter(seed uint64) *writer {
	r := rand.New(rand.NewPCG(seed, 2019)) //nolint:gosec // no secret
	zipf := func(n int) *rand.Zipf { return rand.NewZipf(r, 1.1, 4, uint64(n-1)) }
	return &writer{r, zipf(len(commonEnglish)), zipf(rareEnglish), zipf(len(commonChinese)), zipf(100_000)}
}

// text is a message of 2 to 24 words; three of ten are Chinese, one is of both.
func (w *writer) text() string {
	kind := w.random.IntN(10)
	var b strings.Builder
	for range 2 + w.random.IntN(12) + w.random.IntN(12) {
		han := kind < 3 || kind == 3 && w.random.IntN(2) == 0
		if !han && b.Len() > 0 {
			b.WriteByte(' ')
		}
		switch rare := w.random.IntN(4) == 0; {
		case han && rare:
			b.WriteString(madePair(int(w.hanRare.Uint64())))
		case han:
			b.WriteString(commonChinese[w.han.Uint64()])
		case rare:
			b.WriteString(madeWord(int(w.rare.Uint64())))
		default:
			b.WriteString(commonEnglish[w.common.Uint64()])
		}
	}
	return b.String()
}
