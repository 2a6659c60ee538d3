package host

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// maxBatch bounds the content handed in with one Handle; with one entry beyond
// it, and all headers, it stays below the limit of a message.
const maxBatch = 2 << 20

// settled is an entry and what is to become of it.
type settled struct {
	entry   store.Entry
	outcome *pluginpb.Outcome
	refuse  packet.Reason // without asking the plugin
	text    string
	failure error // why it is set aside
}

// work handles what lies on the desk, one chat at a time, until the session
// ends or run does.
func (p *plugin) work(run, ctx context.Context, sess *session) error {
	for {
		chat, dirty, items, ok := p.desk.take(ctx)
		if !ok {
			return nil
		}
		again, err := p.handleChat(run, ctx, sess, chat, dirty, items)
		p.desk.done(chat, again)
		if sess.isDead() {
			return errDead
		}
		if err != nil && ctx.Err() == nil {
			// The store's trouble: the packets stay where they are.
			p.log.Error("handling packets failed", "chat", chat, "error", err)
			p.storeTrouble(err)
			select {
			case <-ctx.Done():
			case <-time.After(p.host.cfg.timing.storeRetry):
			}
		}
	}
}

// storeTrouble tells a person once that packets wait, until they went on.
func (p *plugin) storeTrouble(err error) {
	p.mu.Lock()
	told := p.troubled
	p.troubled = true
	p.mu.Unlock()
	if !told {
		p.host.notice("error", p.name, fmt.Sprintf("Packets for the plugin %s wait, because the database cannot be written: %s", p.name, clean(err.Error())),
			failure.Because("PLUGIN_WAITS", "plugin", p.name, "why", clean(err.Error())))
	}
}

// handleChat handles one batch of a chat. again says that there may be more.
func (p *plugin) handleChat(run, ctx context.Context, sess *session, chat packet.ChatID, dirty bool, items []liveItem) (again bool, err error) {
	if len(items) > 0 {
		if err := p.handleLive(ctx, sess, chat, items); err != nil {
			return dirty, err
		}
	}
	types := p.types()
	if !dirty || types == nil {
		return false, nil
	}
	limit := p.stride.items()
	var entries []store.Entry
	var ended []store.Blob
	err = p.host.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
		if ended, err = p.endedBlobs(tx, chat); err != nil {
			return err
		}
		entries, err = tx.Unhandled(types, chat, limit, maxBatch)
		return err
	})
	if err == nil && len(ended) > 0 {
		return p.handleBlobs(ctx, sess, chat, ended)
	}
	if err != nil || len(entries) == 0 {
		return err != nil, err
	}
	if rest := p.withoutPlugin(entries); len(rest) > 0 {
		return true, p.commit(ctx, rest)
	}
	batch, width := p.cut(entries)
	more := len(batch) < len(entries) || mayBeMore(entries, limit)
	if p.gate.Acquire(ctx, width) != nil {
		return true, nil //nolint:nilerr // the session ends
	}
	answers, err := p.hand(ctx, sess, chat, batch)
	p.gate.Release(width)
	var refused *PluginError
	switch {
	case err == nil:
		p.stride.answered(len(answers), len(batch))
		more = more || len(answers) < len(batch)
		err = p.commit(ctx, answers)
		return more || err != nil, err
	case errors.As(err, &refused):
		return true, p.failed(ctx, batch[0], refused)
	case errors.Is(err, errDead) && !errors.Is(err, errNotAsked) && run.Err() == nil:
		return true, p.blame(run, batch, width == maxChats)
	}
	return true, nil
}

// stride is how many entries a plugin is handed at once. One that must read what
// the entry before led to answers only as far as that, and would get the rest again
// and again: so it gets at most twice as many as it answered last.
type stride struct{ n atomic.Int32 }

func (s *stride) items() int {
	if n := int(s.n.Load()); n > 0 {
		return n
	}
	return maxItems
}

// answered notes how many of those handed in were answered. Two chats at once may
// lose a note, which costs nothing but time.
func (s *stride) answered(answers, items int) {
	if answers < items || items == s.items() {
		s.n.Store(int32(min(2*answers, maxItems))) //nolint:gosec // at most maxItems
	}
}

// mayBeMore says whether the bounds of a batch may have left some out. What comes
// from now on is told of by itself.
func mayBeMore(entries []store.Entry, limit int) bool {
	size := 0
	for i := range entries {
		size += len(entries[i].Packet.Content)
	}
	return len(entries) >= limit || size > maxBatch-packet.MaxContent
}

// withoutPlugin gives the first entries if they need no plugin: their content
// was deleted before, or is larger than the plugin takes.
func (p *plugin) withoutPlugin(entries []store.Entry) []settled {
	var list []settled
	for _, e := range entries {
		limit, _, _ := p.host.MaxContent(e.Packet.Header.Type)
		size := len(e.Packet.Content)
		switch {
		case e.Dropped:
			list = append(list, settled{entry: e, outcome: &pluginpb.Outcome{}})
		case limit > 0 && size > limit:
			list = append(list, settled{
				entry: e, refuse: packet.ReasonTooLarge, text: fmt.Sprintf("%d bytes, at most %d are taken", size, limit),
			})
		default:
			return list
		}
	}
	return list
}

// cut gives the entries to hand in at once. One that was under way when the
// plugin died goes in alone, and nothing else with it, so that it shows who is
// to blame.
func (p *plugin) cut(entries []store.Entry) (batch []store.Entry, width int64) {
	if entries[0].Attempts > 0 {
		return entries[:1], maxChats
	}
	n := 1
	for n < len(entries) && entries[n].Attempts == 0 && !entries[n].Dropped {
		if limit, _, _ := p.host.MaxContent(entries[n].Packet.Header.Type); limit > 0 && len(entries[n].Packet.Content) > limit {
			break
		}
		n++
	}
	return entries[:n], 1
}

// hand hands in entries and gives what the plugin made of them.
func (p *plugin) hand(ctx context.Context, sess *session, chat packet.ChatID, batch []store.Entry) ([]settled, error) {
	items := make([]*pluginpb.Item, len(batch))
	for i := range batch {
		items[i] = &pluginpb.Item{Item: &pluginpb.Item_Packet{Packet: p.packetToProto(&batch[i].Packet)}}
	}
	outcomes, err := p.ask(ctx, sess, chat, items)
	if err != nil {
		return nil, err
	}
	w := p.powers()
	answers := make([]settled, len(outcomes))
	for i, o := range outcomes {
		answers[i] = settled{entry: batch[i], outcome: o, failure: checkOutcome(w, o)}
	}
	return answers, nil
}

// ask makes a Handle. The outcomes are at least one and at most the items.
func (p *plugin) ask(ctx context.Context, sess *session, chat packet.ChatID, items []*pluginpb.Item) ([]*pluginpb.Outcome, error) {
	answer, err := sess.call(ctx, "Handle", &pluginpb.HookRequest{Hook: &pluginpb.HookRequest_Handle{
		Handle: &pluginpb.HandleRequest{Chat: string(chat), Items: items},
	}}, p.host.cfg.timing.handle)
	if err != nil {
		return nil, err
	}
	handle := answer.GetHandle()
	if n := len(handle.GetOutcomes()); handle == nil || n == 0 || n > len(items) {
		sess.fail(fmt.Errorf("plugin %s: handle.outcomes: %d for %d items: %w", p.name, n, len(items), errProtocol))
		return nil, errDead
	}
	return handle.GetOutcomes(), nil
}

func checkOutcome(w powers, o *pluginpb.Outcome) error {
	c := checker{plugin: w.plugin}
	c.within("outcome.refuse", len(o.GetRefuse()), packet.MaxReason)
	c.must(o.GetRefuse() == "" || len(o.GetEffects()) == 0, "outcome", "has both effects and a refusal")
	if c.err != nil {
		return c.err
	}
	return checkEffects(w, "outcome", o.GetEffects())
}

func (p *plugin) packetToProto(k *packet.Packet) *pluginpb.Packet {
	h := &k.Header
	pb := &pluginpb.Packet{
		Id: h.ID[:], Chat: string(h.Chat), Type: string(h.Type), Author: string(h.Author), SentAt: h.SentAt,
		Ephemeral: h.Delivery == packet.Ephemeral, Content: k.Content, Own: h.Author == p.host.cfg.User,
	}
	if h.Delivery == packet.Reliable {
		pb.Device, pb.Epoch, pb.Number = h.Device[:], h.Epoch, h.Number
	}
	return pb
}

// commit commits what became of entries, in one transaction. Those whose effects
// cannot be applied are set aside, and the others are tried again without them.
func (p *plugin) commit(ctx context.Context, list []settled) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.host.cfg.timing.handle)
	defer cancel()
	for {
		durability := store.Lazy
		for i := range list {
			if list[i].failure == nil && sends(list[i].outcome.GetEffects()) {
				durability = store.Synced
			}
		}
		var n *news
		failed := -1
		err := p.host.cfg.Store.Update(ctx, durability, func(tx store.Tx) error {
			n, failed = &news{}, -1
			for i := range list {
				if err := p.settle(tx, &list[i], n); err != nil {
					failed = i
					return err
				}
			}
			return p.countAside(tx, n)
		})
		switch {
		case err == nil:
			p.mu.Lock()
			p.troubled = false
			p.mu.Unlock()
			n.tell(ctx, p)
			return nil
		case failed < 0 || storeFailed(err) || list[failed].failure != nil:
			return fmt.Errorf("commit what plugin %s made of packets: %w", p.name, err)
		}
		list[failed].failure = err
	}
}

func (p *plugin) countAside(tx store.Tx, n *news) error {
	if len(n.notices) == 0 {
		return nil
	}
	aside, err := countAside(tx, p.name, uint32(len(n.notices))) //nolint:gosec // at most maxItems
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.aside = aside
	p.mu.Unlock()
	return nil
}

// settle brings one entry to its end, in a transaction.
func (p *plugin) settle(tx store.Tx, s *settled, n *news) error {
	key := s.entry.Packet.Header.Key()
	switch now, err := tx.Entry(key); {
	case errors.Is(err, store.ErrNotFound):
		return nil // its chat was deleted meanwhile
	case err != nil:
		return err
	case now.State != store.EntryNew:
		return nil
	}
	own := s.entry.Packet.Header.Author == p.host.cfg.User
	reason, text := s.refuse, s.text
	if refused := s.outcome.GetRefuse(); refused != "" && s.failure == nil {
		reason, text = packet.ReasonUnreadable, clean(refused)
	}
	switch {
	case s.failure == nil && reason != 0 && own:
		// One's own entry stays for the others.
		return p.setAside(tx, s, errors.New(text), n)
	case s.failure == nil && reason != 0:
		n.refused = append(n.refused, refusal{key, reason, text})
		return tx.SetEntryState(key, store.EntryStub, reason, text)
	case s.failure != nil:
		return p.setAside(tx, s, s.failure, n)
	}
	a := &applier{host: p.host, powers: p.powers(), tx: tx, origin: &s.entry.Packet, news: n}
	if err := a.apply("outcome", s.outcome.GetEffects()); err != nil {
		return err
	}
	return tx.SetEntryState(key, store.EntryHandled, 0, "")
}

func (p *plugin) setAside(tx store.Tx, s *settled, why error, n *news) error {
	h := &s.entry.Packet.Header
	text := clean(why.Error())
	if len(text) > packet.MaxReason {
		text = clean(text[:packet.MaxReason])
	}
	n.notices = append(n.notices, fmt.Sprintf("A packet of %s in the chat %s (type %s) was set aside: %s", h.Author, h.Chat, h.Type, text))
	return tx.SetEntryState(h.Key(), store.EntrySetAside, packet.ReasonUnreadable, text)
}

// failed counts an error the plugin gave for the first entry of a batch. After
// three it is set aside.
func (p *plugin) failed(ctx context.Context, e store.Entry, why *PluginError) error {
	attempts, err := p.countAttempts(ctx, []store.Entry{e})
	if err != nil {
		return err
	}
	if attempts[0] >= maxKills {
		return p.commit(ctx, []settled{{entry: e, failure: why}})
	}
	p.log.Warn("plugin could not handle a packet", "packet", e.Packet.Header.ID, "attempt", attempts[0], "error", why.Text)
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(attempts[0]) * p.host.cfg.timing.backoff):
	}
	return nil
}

// blame counts the death of the plugin against the entries it had. One that had
// it alone for the third time is set aside.
func (p *plugin) blame(ctx context.Context, batch []store.Entry, alone bool) error {
	attempts, err := p.countAttempts(ctx, batch)
	if err != nil || !alone || attempts[0] < maxKills {
		return err
	}
	why := fmt.Errorf("it crashed the plugin %s %d times", p.name, attempts[0])
	if err := p.commit(ctx, []settled{{entry: batch[0], failure: why}}); err != nil {
		return err
	}
	p.mu.Lock()
	p.crashes.excuse()
	p.mu.Unlock()
	return nil
}

// countAttempts counts a failed handling of entries. It is counted afterwards
// and not before: what interrupts the core must not be held against a packet.
func (p *plugin) countAttempts(ctx context.Context, batch []store.Entry) ([]int, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.host.cfg.timing.handle)
	defer cancel()
	counts := make([]int, len(batch))
	err := p.host.cfg.Store.Update(ctx, store.Lazy, func(tx store.Tx) error {
		for i := range batch {
			n, err := tx.AddAttempt(batch[i].Packet.Header.Key())
			if err != nil {
				return err
			}
			counts[i] = n
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count attempts of plugin %s: %w", p.name, err)
	}
	return counts, nil
}
