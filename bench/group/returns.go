package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/parley-chat/parley/bench/people"
	"github.com/parley-chat/parley/bench/report"
	"github.com/parley-chat/parley/protocol/controlpb"
)

// returns has one of three be away while the others write, and come back.
func returns(ctx context.Context, r *report.Round) error {
	g, err := group(ctx, r, 3)
	if err != nil {
		return err
	}
	defer g.Close()
	all, chat := g.all, g.chat
	away := all[2]
	if err := away.Stop(); err != nil {
		return err
	}
	writers, writing := errgroup.WithContext(ctx)
	writers.SetLimit(flight)
	for i := range history {
		writers.Go(func() error { return all[i%2].Send(writing, chat, fmt.Sprint(body, " ", i)) })
	}
	if err := writers.Wait(); err != nil {
		return err
	}
	r.Say("the two others wrote %d messages", history)
	began := time.Now()
	if err := away.Start(ctx); err != nil {
		return err
	}
	if err := away.AwaitOpen(ctx); err != nil {
		return err
	}
	err = people.UntilIn(ctx, 10*time.Minute, "all messages are here", func(ctx context.Context) (bool, error) {
		resp, err := away.Client.ListChats(ctx, &controlpb.ListChatsRequest{Id: string(chat)})
		return err == nil && len(resp.GetChats()) == 1 && resp.GetChats()[0].GetUnread() >= history, err
	})
	if err != nil {
		return err
	}
	r.Record(metricCaught, history/time.Since(began).Seconds())
	return nil
}
