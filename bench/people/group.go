package people

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// meshPatience is how long the members of a large group may take to find each
// other.
const meshPatience = 10 * time.Minute

// Group makes a group of which the first person is the owner, who has the others as
// contacts, and waits until all have joined and every pair is linked.
func Group(ctx context.Context, title string, all ...*Person) (packet.ChatID, error) {
	names := make([]string, 0, len(all))
	for _, p := range all[1:] {
		names = append(names, p.Name)
	}
	result, err := all[0].Client.InvokeAction(ctx, "group", &pluginpb.InvokeRequest{
		Invocation: client.NewInvocation(), Action: "create", Text: title, Args: map[string]string{"users": strings.Join(names, " ")},
	}, nil)
	if err != nil {
		return "", fmt.Errorf("%s makes a group: %w", all[0].Name, err)
	}
	var made struct {
		Chat packet.ChatID `json:"chat"`
	}
	if err := json.Unmarshal(result.GetResult(), &made); err != nil {
		return "", err
	}
	joining, within := errgroup.WithContext(ctx)
	for _, p := range all[1:] {
		joining.Go(func() error { return p.Join(within, made.Chat) })
	}
	if err := joining.Wait(); err != nil {
		return "", err
	}
	for _, p := range all {
		err := UntilIn(ctx, meshPatience, p.Name+" is linked with all members", func(ctx context.Context) (bool, error) {
			resp, err := p.Client.ListContacts(ctx, &controlpb.ListContactsRequest{Acquaintances: true})
			linked := 0
			for _, c := range resp.GetContacts() {
				if c.GetLinked() {
					linked++
				}
			}
			return linked >= len(all)-1, err
		})
		if err != nil {
			return "", err
		}
	}
	return made.Chat, nil
}

// Join accepts an invitation as soon as it comes.
func (p *Person) Join(ctx context.Context, chat packet.ChatID) error {
	err := UntilIn(ctx, meshPatience, p.Name+" is invited", func(ctx context.Context) (bool, error) {
		resp, err := p.Client.ListChats(ctx, &controlpb.ListChatsRequest{})
		for _, c := range resp.GetChats() {
			if c.GetId() == string(chat) && c.GetTitle() != "" { // the beginning came
				return true, nil
			}
		}
		return false, err
	})
	if err != nil {
		return err
	}
	_, err = p.Client.InvokeAction(ctx, "group", &pluginpb.InvokeRequest{Invocation: client.NewInvocation(), Action: "accept", Chat: string(chat)}, nil)
	if err != nil {
		return fmt.Errorf("%s joins: %w", p.Name, err)
	}
	return nil
}
