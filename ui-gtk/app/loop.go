package app

import (
	"github.com/gotk3/gotk3/glib"

	"github.com/parley-chat/parley/ui-gtk/viewmodel"
)

// newLoop makes the one gateway to the GTK thread: what is posted runs there when
// GTK has nothing better to do, and all that has gathered at once.
func newLoop() *viewmodel.Queue {
	var queue *viewmodel.Queue
	queue = viewmodel.NewQueue(func() { glib.IdleAdd(func() { queue.Run() }) })
	return queue
}
