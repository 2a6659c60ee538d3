package viewmodel

// Panes are the two sides of the window: the list of chats, and one chat. Where
// there is room for one alone, the chat that is open covers the list.
type Panes struct {
	// Chat is the id of the chat that is open; empty for none.
	Chat Value[string]
	// Layout is what is seen.
	Layout Value[Layout]
}

// Layout is what is seen of the two sides.
type Layout struct {
	// SideWidth in pixels, where both are seen.
	SideWidth  int
	Side, Chat bool
	// Back is there to leave the chat for the list.
	Back bool
}

// Sizes in pixels, for text of 100%.
const (
	sideWidth   = 300
	foldedBelow = 700
)

func newPanes(chats *Chats) *Panes {
	p := &Panes{}
	p.Layout.set(Layout{SideWidth: sideWidth, Side: true, Chat: true})
	chats.Changed.Observe(func(id string) {
		if id == p.Chat.Get() && chats.Get(id) == nil {
			p.Open("")
		}
	})
	return p
}

// Open opens a chat, or none.
func (p *Panes) Open(chat string) {
	if chat != p.Chat.Get() {
		p.Chat.set(chat)
	}
	l := p.Layout.Get()
	p.arrange(!l.Side || !l.Chat, l.SideWidth)
}

// Resize tells the width of the window in pixels, and the size of text in percent:
// larger text needs more room, though not all of it in proportion.
func (p *Panes) Resize(width, textSize int) {
	scale := func(x int) int { return x * (100 + max(0, textSize-100)/2) / 100 }
	p.arrange(width < scale(foldedBelow), scale(sideWidth))
}

func (p *Panes) arrange(folded bool, side int) {
	open := p.Chat.Get() != ""
	next := Layout{SideWidth: side, Side: !folded || !open, Chat: !folded || open, Back: folded && open}
	if next != p.Layout.Get() {
		p.Layout.set(next)
	}
}
