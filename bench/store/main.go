// Command store measures how a core answers that has a long history.
package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/parley-chat/parley/bench/history"
	"github.com/parley-chat/parley/bench/people"
	"github.com/parley-chat/parley/bench/report"
	"github.com/parley-chat/parley/protocol/controlpb"
)

func main() { os.Exit(report.Main(bench)) }

const (
	metricStart   = "start until the account is open"
	metricList    = "list of all chats"
	metricPage    = "page of 50, slowest of 200"
	metricEnglish = "search English, slowest of 12"
	metricChinese = "search two Chinese characters, slowest of 12"
	metricMemory  = "resident afterwards"
)

var bench = report.Bench{
	Name: "store", Title: "a core with a long history",
	About:  about,
	Rounds: 5, Warmup: true,
	Metrics: []report.Metric{
		{Name: metricStart, Unit: report.Seconds, Goal: report.AtMost(1)},
		{Name: metricList, Unit: report.Seconds},
		{Name: metricPage, Unit: report.Seconds, Goal: report.AtMost(0.020)},
		{Name: metricEnglish, Unit: report.Seconds, Goal: report.AtMost(0.050)},
		{Name: metricChinese, Unit: report.Seconds, Goal: report.AtMost(0.050)},
		{Name: metricMemory, Unit: report.Bytes},
	},
	Variants: []report.Variant{
		{Name: "a short one", Run: account{small}.measure},
		{Name: "a million messages", Run: account{large}.measure},
	},
	Baseline: "a short one",
}

var (
	small = history.History{Name: "small", Messages: 10_000, Chats: 100}
	large = history.History{Name: "large", Messages: 1_000_000, Chats: 1_000}
)

// account is what is measured.
type account struct{ history.History }

const about = `An account with 1,000,000 messages in 1,000 chats over three years, each with its signed entry, beside one with 10,000 messages
in 100 chats. Words are as frequent as in a language: the first ones stand in every few messages, most of 40,000 in a handful, and three
of ten messages are Chinese. The history is made once, through the store, and kept in .cache/bench.

A round starts the core and asks it over the control API, as a front end does. **Start** is the time from starting the process to the
answer that the account is open. **Page** is the slowest of 200 pages of 50 messages: the newest, and others anywhere in the chat.
**Search** is the slowest of 12 searches over everything: words that are in very many messages, in some, in few and in none, their first
letters, and two words together. Everything is asked twice with all else in between, and the quicker time counts, since other programs
disturb.`

func (h account) measure(ctx context.Context, r *report.Round) error {
	w, p, err := h.Open(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	began := time.Now()
	if err := p.Start(ctx); err != nil {
		return err
	}
	if err := p.AwaitOpen(ctx); err != nil {
		return err
	}
	r.Record(metricStart, time.Since(began).Seconds())
	began = time.Now()
	chats, err := p.Client.ListChats(ctx, &controlpb.ListChatsRequest{})
	if err != nil {
		return err
	}
	r.Record(metricList, time.Since(began).Seconds())
	if n := len(chats.GetChats()); n != h.Chats {
		return fmt.Errorf("%d chats are listed, not %d", n, h.Chats)
	}
	// Another way through the history each round.
	random := rand.New(rand.NewPCG(uint64(r.N), 1)) //nolint:gosec // no secret
	if err := h.pages(ctx, r, p, chats.GetChats(), random); err != nil {
		return err
	}
	if err := h.searches(ctx, r, p); err != nil {
		return err
	}
	u, err := p.Core.Usage()
	if err != nil {
		return err
	}
	r.Record(metricMemory, float64(u.Resident))
	return nil
}

// pages opens chats at their end, and goes back from there.
func (h account) pages(ctx context.Context, r *report.Round, p *people.Person, chats []*controlpb.Chat, random *rand.Rand) error {
	const opened = 50
	var pages []*controlpb.ListMessagesRequest
	for i := range opened {
		chat := chats[random.IntN(len(chats))].GetId()
		if i%5 == 0 {
			chat = h.Largest()
		}
		// The newest page, one far back, and those before and after a message.
		pages = append(pages,
			&controlpb.ListMessagesRequest{Chat: chat},
			&controlpb.ListMessagesRequest{Chat: chat, Before: h.MessageOf(chat, random)},
			&controlpb.ListMessagesRequest{Chat: chat, Before: h.MessageOf(chat, random), Inclusive: true},
			&controlpb.ListMessagesRequest{Chat: chat, After: h.MessageOf(chat, random), Inclusive: true})
	}
	return slowest(r, metricPage, pages, func(page *controlpb.ListMessagesRequest) error {
		resp, err := p.Client.ListMessages(ctx, page)
		if err == nil && len(resp.GetMessages()) == 0 && (page.GetInclusive() || len(page.GetBefore()) == 0) {
			err = fmt.Errorf("a page of chat %s is empty", page.GetChat())
		}
		return err
	})
}

// slowest records how long the slowest of some things takes. All are done one
// after the other, and all once more; of each the quicker time counts, because
// other programs of the machine make one slow now and then. What one leaves in
// the core's cache is gone when it is done again.
func slowest[T any](r *report.Round, metric string, things []T, do func(T) error) error {
	times := make([]time.Duration, len(things))
	for pass := range 2 {
		for i, thing := range things {
			began := time.Now()
			if err := do(thing); err != nil {
				return err
			}
			if took := time.Since(began); pass == 0 || took < times[i] {
				times[i] = took
			}
		}
	}
	r.Record(metric, slices.Max(times).Seconds())
	return nil
}

// searches looks for words that are in very many messages, in some and in few,
// alone and together.
func (h account) searches(ctx context.Context, r *report.Round, p *people.Person) error {
	search := func(query string) error {
		_, err := p.Client.Search(ctx, &controlpb.SearchRequest{Query: query})
		if err != nil {
			return fmt.Errorf("search %q: %w", query, err)
		}
		return nil
	}
	return errors.Join(slowest(r, metricEnglish, history.English, search), slowest(r, metricChinese, history.Chinese, search))
}
