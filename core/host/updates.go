package host

import (
	"fmt"

	"github.com/parley-chat/parley/protocol/pluginpb"
)

// update hands an update on to all callers. It runs in the session's reader, so
// it must not wait: previews and progress replace what was not taken yet.
func (i *invocation) update(u *pluginpb.InvokeUpdate) error {
	err := checkUpdate(i.plugin.powers(), u)
	i.mu.Lock()
	defer i.mu.Unlock()
	if err != nil {
		i.spoil(err)
		return nil
	}
	if _, ok := u.GetUpdate().(*pluginpb.InvokeUpdate_Insert); ok {
		i.inserts++
		if i.inserts <= i.before {
			return nil // a second try: the front end has it
		}
	}
	for w := range i.waiters {
		if !w.add(u) {
			i.spoil(fmt.Errorf("more than %d updates wait for the front end", maxUpdates))
		}
	}
	return nil
}

// spoil has the invocation fail; the caller holds mu.
func (i *invocation) spoil(err error) {
	if i.spoiled == nil {
		i.spoiled = err
		i.cancel()
	}
}

// add queues an update; the caller holds the invocation's mu.
func (w *waiter) add(u *pluginpb.InvokeUpdate) bool {
	defer func() {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}()
	if n := len(w.updates); n > 0 && replaces(u, w.updates[n-1]) {
		w.updates[n-1] = u
		return true
	}
	if len(w.updates) >= maxUpdates {
		return false
	}
	w.updates = append(w.updates, u)
	return true
}

func replaces(u, old *pluginpb.InvokeUpdate) bool {
	switch u.GetUpdate().(type) {
	case *pluginpb.InvokeUpdate_Preview:
		_, same := old.GetUpdate().(*pluginpb.InvokeUpdate_Preview)
		return same
	case *pluginpb.InvokeUpdate_Progress:
		_, same := old.GetUpdate().(*pluginpb.InvokeUpdate_Progress)
		return same
	}
	return false
}

func checkUpdate(w powers, u *pluginpb.InvokeUpdate) error {
	c := checker{plugin: w.plugin}
	switch u := u.GetUpdate().(type) {
	case *pluginpb.InvokeUpdate_Preview:
		c.within("update.preview", len(u.Preview), maxBody)
	case *pluginpb.InvokeUpdate_Insert:
		c.within("update.insert", len(u.Insert), maxBody)
	case *pluginpb.InvokeUpdate_Card:
		c.card(w, "update.card", u.Card)
	case *pluginpb.InvokeUpdate_Progress:
		c.within("update.progress.label", len(u.Progress.GetLabel()), maxTitle)
	default:
		c.must(false, "update", "is none that API %d knows", apiVersion)
	}
	return c.err
}
