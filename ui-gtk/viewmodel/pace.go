package viewmodel

import "time"

// What a person does goes before what the core tells: however many events there
// are, a letter that was typed is on the screen before the next of them are drawn.
const (
	// frame is how long events are gathered at least, so that a burst is drawn in few
	// steps and typing stays quick; and half of it, changes of rows by other ways.
	frame = 40 * time.Millisecond
	// typingLasts is how long somebody counts as typing after a key. Meanwhile events
	// are taken in small steps, right after the picture in which a key shows, where
	// the next key is the farthest; or without a picture, after typingRest.
	typingLasts = 500 * time.Millisecond
	typingRest  = 60 * time.Millisecond
	// typingStep is how many messages are taken at once then, as long as few wait.
	typingStep = 8
	// paintLimit is how long a picture is waited for: a window that is not seen draws
	// none.
	paintLimit = 100 * time.Millisecond
)

// pace says when events are taken. It belongs to the loop, but for painted.
type pace struct {
	session *Session
	typed   time.Time // when the last key was pressed
	pending bool      // what it does is not on the screen yet
	stop    func()    // forgets that nothing was painted
	held    func()    // what waits for the picture; nil for nothing
	painted chan struct{}
}

func newPace(s *Session) *pace { return &pace{session: s, painted: make(chan struct{}, 1)} }

// Pressed notes that a person pressed a key, of which nothing is on the screen yet.
// Painted is to be called once it is.
func (s *Session) Pressed() {
	p := s.pace
	p.typed = s.cfg.Now()
	if p.pending {
		return
	}
	p.pending = true
	p.stop = s.cfg.After(paintLimit, s.Painted)
}

// Painted notes that what was pressed is on the screen.
func (s *Session) Painted() {
	p := s.pace
	if !p.pending {
		return
	}
	p.pending = false
	p.stop()
	select {
	case p.painted <- struct{}{}:
	default:
	}
	if f := p.held; f != nil {
		p.held = nil
		f()
	}
}

// run runs f now or, when a key waits for its picture, right after that.
func (p *pace) run(f func()) {
	if p.pending {
		p.held = f
		return
	}
	f()
}

// typing says whether somebody is typing.
func (p *pace) typing() bool {
	since := p.session.cfg.Now().Sub(p.typed)
	return since >= 0 && since < typingLasts
}

// step gives how many messages are taken at once when so many events wait. Most come
// with the event of their chat: a quarter of them, when they are many.
func (p *pace) step(waiting int) int {
	if !p.typing() {
		return maxGathered
	}
	return max(typingStep, waiting/8)
}
