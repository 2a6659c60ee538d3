package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
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

// chats offers those one can chat with: users of direct chats, groups, ids of others.
func (a *app) chats() cobra.CompletionFunc {
	return a.chatsThat(func(*controlpb.Chat, groupSummary) bool { return true })
}

// chatsThat offers the chats that suit; of a group it is known what the plugin says,
// if it can be asked.
func (a *app) chatsThat(suits func(*controlpb.Chat, groupSummary) bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		return a.complete(func(ctx context.Context, c *client.Client) ([]string, error) {
			s, err := c.GetStatus(ctx, &controlpb.GetStatusRequest{})
			if err != nil {
				return nil, err
			}
			resp, err := c.ListChats(ctx, &controlpb.ListChatsRequest{})
			notes := groupNotes(ctx, c, resp.GetChats())
			var names []string
			for _, chat := range resp.GetChats() {
				if suits(chat, notes[chat.GetId()]) {
					names = append(names, offeredChat(resp.GetChats(), chat, s.GetUser(), typed))
				}
			}
			return names, err
		})(cmd, args, typed)
	}
}

// offeredChat is what the shell offers for a chat: the other's user id, or what a group
// is called. That is its id where its name does not say which one it is, or cannot be
// typed, or where its id is being typed.
func offeredChat(all []*controlpb.Chat, chat *controlpb.Chat, self, typed string) string {
	id, title := chat.GetId(), chat.GetTitle()
	if peer, ok := packet.ChatID(id).Peer(packet.UserID(self)); ok {
		return cobra.CompletionWithDesc(string(peer), client.PrintableLine(title))
	}
	named, err := groupNamed(all, self, title)
	clear := err == nil && named == id && title == client.PrintableLine(title) && !strings.HasPrefix(title, "-")
	for _, other := range all { // a person comes before a group of that name
		peer, ok := packet.ChatID(other.GetId()).Peer(packet.UserID(self))
		clear = clear && !(ok && string(peer) == title)
	}
	if !clear || typed != "" && strings.HasPrefix(id, typed) && !strings.HasPrefix(title, typed) {
		return cobra.CompletionWithDesc(id, client.PrintableLine(title))
	}
	return cobra.CompletionWithDesc(title, "group "+id)
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
