package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
)

// completePatience is how long the shell waits for names.
const completePatience = 2 * time.Second

// complete offers names for a command's first argument. It asks a core that
// runs, and starts none.
func (a *app) complete(names func(ctx context.Context, c *client.Client) ([]string, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completePatience)
		defer cancel()
		c, err := a.connectRunning(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer func() { _ = c.Close() }()
		found, err := names(ctx, c)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

// people offers the contacts that are in one of these states; all of them when
// none is given.
func (a *app) people(states ...controlpb.ContactState) cobra.CompletionFunc {
	return a.complete(func(ctx context.Context, c *client.Client) ([]string, error) {
		resp, err := c.ListContacts(ctx, &controlpb.ListContactsRequest{})
		var names []string
		for _, contact := range resp.GetContacts() {
			if len(states) == 0 || slices.Contains(states, contact.GetState()) {
				names = append(names, cobra.CompletionWithDesc(contact.GetUser(), client.PrintableLine(contact.GetName())))
			}
		}
		return names, err
	})
}

// chats offers those one can chat with: users of direct chats, ids of others.
func (a *app) chats() cobra.CompletionFunc {
	return a.complete(func(ctx context.Context, c *client.Client) ([]string, error) {
		s, err := c.GetStatus(ctx, &controlpb.GetStatusRequest{})
		if err != nil {
			return nil, err
		}
		resp, err := c.ListChats(ctx, &controlpb.ListChatsRequest{})
		var names []string
		for _, chat := range resp.GetChats() {
			name := chat.GetId()
			for _, member := range chat.GetMembers() {
				if chat.GetKind() == "direct" && member != s.GetUser() {
					name = member
				}
			}
			names = append(names, cobra.CompletionWithDesc(name, client.PrintableLine(chat.GetTitle())))
		}
		return names, err
	})
}

func (a *app) pluginNames() cobra.CompletionFunc {
	return a.complete(func(ctx context.Context, c *client.Client) ([]string, error) {
		resp, err := c.ListPlugins(ctx, &controlpb.ListPluginsRequest{})
		var names []string
		for _, p := range resp.GetPlugins() {
			names = append(names, cobra.CompletionWithDesc(p.GetName(), pluginWord(p.GetState())))
		}
		return names, err
	})
}
