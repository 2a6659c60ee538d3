package gtkx

import (
	"sync"

	"github.com/gotk3/gotk3/glib"
)

// endings are objects that Go has no use for any more, to be ended on GTK's thread.
// The garbage collector finds thousands at once: a wake-up for each would take longer
// than what is to be done.
var endings struct {
	sync.Mutex
	list []glib.Finalizer
}

// endedAtOnce bounds how many are ended before GTK may do something else.
const endedAtOnce = 256

// end has an object ended soon. It is called by a goroutine of the garbage collector,
// in which GTK must not be called.
func end(f glib.Finalizer) {
	endings.Lock()
	endings.list = append(endings.list, f)
	first := len(endings.list) == 1
	endings.Unlock()
	if first {
		glib.IdleAdd(endSome)
	}
}

// endSome ends some objects, and says whether there are more.
func endSome() (more bool) {
	endings.Lock()
	n := min(len(endings.list), endedAtOnce)
	some := endings.list[:n]
	endings.list = endings.list[n:]
	more = len(endings.list) > 0
	if !more {
		endings.list = nil
	}
	endings.Unlock()
	for _, f := range some {
		f()
	}
	return more
}
