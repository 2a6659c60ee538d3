package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

const (
	groupPlugin = "group"
	groupEvent  = "group.event" // the kind of messages that tell what was changed
	groupKind   = "group"       // of chats
)

func (a *app) groupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "group",
		Short: "Make groups, and say who is in them and what they may",
		Long: `Make groups, and say who is in them and what they may.

GROUP is a group's name, or its id: parley group list. All that is done with a
chat is done with groups as well: parley send GROUP TEXT, parley chat GROUP, ...`,
		Example: `  parley group create "Tea at five" bob carol
  parley group accept "Tea at five"          # bob and carol do
  parley send "Tea at five" "Who comes?"`,
		Args: noArgs,
		RunE: showHelp,
	}
	cmd.AddCommand(
		a.groupCreateCommand(), a.groupListCommand(), a.groupMembersCommand(),
		a.groupAction("accept GROUP", "Join a group you are invited to", 1, 1, nil, "You are in the group now."),
		a.groupAction("decline GROUP", "Decline an invitation", 1, 1, nil, "Declined."),
		a.groupAction("invite GROUP USER...", "Ask contacts to join (admins)", 2, -1, usersArg, "Invited %s."),
		a.groupAction("remove GROUP USER...", "Take people out (admins)", 2, -1, usersArg, "Removed %s."),
		a.groupAction("leave GROUP", "Leave a group; its history stays here", 1, 1, nil, "You have left the group."),
		a.groupRoleCommand(),
		a.groupAction("rename GROUP NAME", "Name the group (admins)", 2, -1, textArg, "The group is called %s now."),
		a.groupAction("describe GROUP [TEXT...]", "Say what the group is for; without TEXT, nothing any more (admins)", 1, -1, textArg, "Saved."),
		a.groupPictureCommand(), a.groupHistoryCommand(),
	)
	return cmd
}

// usersArg and textArg put a command's further arguments into the request.
func usersArg(req *pluginpb.InvokeRequest, args []string) {
	req.Args = map[string]string{"users": strings.Join(eachOnce(args), ",")}
}

// eachOnce gives users in their order without those named twice; they may be parted by
// commas as well.
func eachOnce(args []string) []string {
	var users []string
	for _, user := range strings.Split(strings.Join(args, ","), ",") {
		if user = strings.TrimSpace(user); user != "" && !slices.Contains(users, user) {
			users = append(users, user)
		}
	}
	return users
}

func textArg(req *pluginpb.InvokeRequest, args []string) { req.Text = strings.Join(args, " ") }

// groupAction is a command that runs the action of its name on a group.
func (a *app) groupAction(use, short string, least, most int, put func(*pluginpb.InvokeRequest, []string), said string) *cobra.Command {
	action := strings.Fields(use)[0]
	return &cobra.Command{
		Use: use, Short: short, Args: needArgs(least, most), ValidArgsFunction: a.completeGroup(action),
		RunE: func(cmd *cobra.Command, args []string) error {
			req := &pluginpb.InvokeRequest{Action: action}
			if put != nil {
				put(req, args[1:])
			}
			if strings.Contains(said, "%s") {
				what := strings.Join(args[1:], " ")
				if users := eachOnce(args[1:]); req.GetText() == "" && len(users) > 0 { // people, and no name
					what = users[len(users)-1]
					if len(users) > 1 {
						what = strings.Join(users[:len(users)-1], ", ") + " and " + what
					}
				}
				return a.onGroup(cmd, args[0], req, fmt.Sprintf(said, client.PrintableLine(what)))
			}
			return a.onGroup(cmd, args[0], req, said)
		},
	}
}

// onGroup runs an action on a group and says that it is done.
func (a *app) onGroup(cmd *cobra.Command, group string, req *pluginpb.InvokeRequest, said string) error {
	return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
		if of2019(group) {
			if req.GetAction() == "leave" {
				return a.leaveNet2019Group(ctx, c, group)
			}
			return errors.New("a group of 2019 stays as it was made: one can write in it and leave it, and nothing more")
		}
		chat, err := resolveGroup(ctx, c, group)
		if err != nil {
			return err
		}
		req.Invocation, req.Chat = client.NewInvocation(), chat
		var done struct {
			Chat string `json:"chat"`
			ID   string `json:"id,omitempty"`
		}
		if err := askGroup(ctx, c, req, &done); err != nil {
			return err
		}
		if done.ID == "" {
			said = "It is so already."
		} else if req.GetAction() == "invite" && !a.json {
			var info groupInfo
			if err := askGroup(ctx, c, &pluginpb.InvokeRequest{Action: "info", Chat: chat}, &info); err == nil {
				said += " " + readableBy(info.History)
			}
		}
		return a.done(done, "%s", said)
	})
}

// readableBy says what those can read who are invited now.
func readableBy(history string) string {
	if history == "all" {
		return "They can read what is said from now on, and of what was said before all that is shared with people invited later."
	}
	return "They can read what is said from now on."
}

// askGroup runs an action of the group plugin and reads its result.
func askGroup(ctx context.Context, c *client.Client, req *pluginpb.InvokeRequest, result any) error {
	if len(req.GetInvocation()) == 0 {
		req.Invocation = client.NewInvocation()
	}
	got, err := c.InvokeAction(ctx, groupPlugin, req, nil)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(got.GetResult(), result); err != nil {
		return fmt.Errorf("what the group plugin answered to %q cannot be read: %w", req.GetAction(), err)
	}
	return nil
}

// groupSummary is one of the action "list" of the group plugin.
type groupSummary struct {
	Chat   string `json:"chat"`
	Title  string `json:"title"`
	Role   string `json:"role"`
	People int    `json:"people"`
	By     string `json:"by,omitempty"`
	// Declined: asked, and never in it.
	Declined bool `json:"declined,omitempty"`
	// Withdrawn: the invitation was taken back.
	Withdrawn bool `json:"withdrawn,omitempty"`
	// Removed: was in it, and others took this account out.
	Removed bool `json:"removed,omitempty"`
}

func groups(ctx context.Context, c *client.Client) ([]groupSummary, error) {
	var list []groupSummary
	return list, askGroup(ctx, c, &pluginpb.InvokeRequest{Action: "list"}, &list)
}

// groupInfo is the result of the action "info" of the group plugin.
type groupInfo struct {
	Chat        string        `json:"chat"`
	Title       string        `json:"title"`
	Description string        `json:"description"`
	History     string        `json:"history"`
	Picture     string        `json:"picture"`
	Role        string        `json:"role"`
	By          string        `json:"by"`
	People      []groupPerson `json:"people"`
	Changes     int           `json:"changes"`
	Waiting     int           `json:"waiting"`
	Split       bool          `json:"split"`
}

type groupPerson struct {
	User string `json:"user"`
	Role string `json:"role"`
	By   string `json:"by"`
}

func (a *app) groupCreateCommand() *cobra.Command {
	var history string
	cmd := &cobra.Command{
		Use:   "create NAME [USER...]",
		Short: "Make a group and ask contacts to join",
		Long: `Make a group and ask contacts to join. They decide with parley group accept, or
decline; you are the owner.

Of people of 2019 it makes a group of 2019, which is NOT ENCRYPTED, has no name
and the same people for ever.`,
		Example: `  parley group create "Tea at five" bob carol
  parley group create net2019:2017000001 net2019:2017000002`,
		Args: needArgs(1, -1), ValidArgsFunction: a.completeFurther(a.people(controlpb.ContactState_CONTACT_STATE_CONTACT)),
		RunE: func(cmd *cobra.Command, args []string) error {
			req := &pluginpb.InvokeRequest{
				Invocation: client.NewInvocation(), Action: "create", Text: args[0], Args: map[string]string{"users": strings.Join(args[1:], ","), "history": history},
			}
			names := args
			if !of2019(args[0]) { // a group of 2019 needs no name, and has none
				names = args[1:]
			}
			old, err := allOf2019(names)
			if err != nil {
				return err
			}
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				if old {
					return a.createNet2019Group(ctx, c, names)
				}
				var done struct {
					Chat string `json:"chat"`
				}
				if err := askGroup(ctx, c, req, &done); err != nil {
					return err
				}
				return a.done(done, "Made the group %s; its id is %s.", client.PrintableLine(args[0]), done.Chat)
			})
		},
	}
	cmd.Flags().StringVar(&history, "history", "from-join", "what people can read of what was said before they were invited: from-join (nothing), all")
	return cmd
}

func (a *app) groupListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List groups and invitations", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				list, err := groups(ctx, c)
				if err != nil {
					return err
				}
				chats, err := c.ListChats(ctx, &controlpb.ListChatsRequest{})
				if err != nil {
					return err
				}
				list = slices.DeleteFunc(list, func(g groupSummary) bool { // its chat was removed
					return g.Role == "" && !slices.ContainsFunc(chats.GetChats(), func(chat *controlpb.Chat) bool { return chat.GetId() == g.Chat })
				})
				slices.SortStableFunc(list, func(x, y groupSummary) int { return strings.Compare(x.Title, y.Title) })
				if len(list) == 0 && !a.json {
					a.println("No groups yet. Make one: parley group create NAME USER...")
					return nil
				}
				var rows [][]string
				for _, g := range list {
					if a.json {
						if err := a.object(g); err != nil {
							return err
						}
						continue
					}
					people := strconv.Itoa(g.People) + " people"
					if g.People == 1 {
						people = "1 person"
					}
					rows = append(rows, []string{client.PrintableLine(g.Title), g.Chat, groupNote(g), people})
				}
				a.table(rows)
				return nil
			})
		},
	}
}

// groupNote says what this account is in a group.
func groupNote(g groupSummary) string {
	switch g.Role {
	case "invited":
		return "invited by " + g.By
	case "":
		if g.Withdrawn {
			return "invitation withdrawn"
		}
		if g.Declined {
			return "declined"
		}
		if g.Removed {
			return "removed"
		}
		return "left"
	}
	return g.Role
}

func (a *app) groupMembersCommand() *cobra.Command {
	return &cobra.Command{
		Use: "members GROUP", Short: "Show a group and who is in it", Args: needArgs(1, 1), ValidArgsFunction: a.completeGroup("members"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				chat, err := resolveGroup(ctx, c, args[0])
				if err != nil {
					return err
				}
				var info groupInfo
				if err := askGroup(ctx, c, &pluginpb.InvokeRequest{Action: "info", Chat: chat}, &info); err != nil {
					return err
				}
				if a.json {
					return a.object(info)
				}
				a.println(client.PrintableLine(info.Title) + "  " + info.Chat)
				if info.Description != "" {
					a.println(client.Printable(info.Description))
				}
				if info.History == "all" {
					a.println("What is said now, people who are invited later can read, too.")
				} else {
					a.println("What is said now, people who are invited later cannot read.")
				}
				if info.Split {
					a.println("It was changed in two places at once; that is joined as soon as somebody who may is online.")
				}
				names, err := namesOfPeople(ctx, c)
				if err != nil {
					return err
				}
				var rows [][]string
				for _, p := range info.People {
					note := ""
					if p.Role == "invited" {
						note = "by " + p.By
					}
					rows = append(rows, []string{p.User, p.Role, note, names[p.User]})
				}
				a.table(rows)
				return nil
			})
		},
	}
}

// namesOfPeople gives what contacts and members of common groups are called, by their
// user ids, where that is something else.
func namesOfPeople(ctx context.Context, c *client.Client) (map[string]string, error) {
	resp, err := c.ListContacts(ctx, &controlpb.ListContactsRequest{Acquaintances: true})
	names := map[string]string{}
	for _, x := range resp.GetContacts() {
		if x.GetName() != x.GetUser() {
			names[x.GetUser()] = client.PrintableLine(x.GetName())
		}
	}
	return names, err
}

func (a *app) groupRoleCommand() *cobra.Command {
	return &cobra.Command{
		Use: "role GROUP USER ROLE", Short: "Make somebody an admin, a member, or the owner",
		Long: `Make somebody an admin, a member, or the owner. ROLE is admin, member or owner.

Admins invite and remove people, name the group and give roles. An admin stands
below the owner, and below those who have been admins for longer: these he can
neither remove nor dismiss. Only the owner can make somebody else the owner, and is
an admin from then on.`,
		Args: needArgs(3, 3), ValidArgsFunction: a.completeGroup("role"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req := &pluginpb.InvokeRequest{Action: "role", Args: map[string]string{"user": args[1], "role": args[2]}}
			word := map[string]string{"admin": "an admin", "member": "a member", "owner": "the owner"}[args[2]]
			return a.onGroup(cmd, args[0], req, fmt.Sprintf("%s is %s now.", args[1], word))
		},
	}
}

func (a *app) groupHistoryCommand() *cobra.Command {
	return &cobra.Command{
		Use: "history GROUP from-join|all", Short: "Say whether people invited later can read what is said from now on (admins)",
		Long: `Say whether people who are invited later can read what is said from now on: all, or
from-join. What is said after the invitation they read in any case, before they accept
too. What was said before now stays as it was: neither opened nor closed.`,
		Args: needArgs(2, 2), ValidArgsFunction: a.completeGroup("history"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onGroup(cmd, args[0], &pluginpb.InvokeRequest{Action: "history", Text: args[1]}, "Saved.")
		},
	}
}

func (a *app) groupPictureCommand() *cobra.Command {
	var save string
	cmd := &cobra.Command{
		Use: "picture GROUP [FILE]", Short: "Set the group's picture; without FILE, none any more (admins)", Args: needArgs(1, 2),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return nil, cobra.ShellCompDirectiveDefault // a path
			}
			return a.completeGroup("picture")(cmd, args, typed)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if save != "" && len(args) == 2 {
				return usagef("give FILE to set the picture, or --save to write the present one to a file, not both")
			}
			if save != "" {
				return a.saveGroupPicture(cmd, args[0], save)
			}
			paths, err := absolutePaths(args[1:])
			if err != nil {
				return err
			}
			req := &pluginpb.InvokeRequest{Action: "picture", Paths: paths}
			return a.onGroup(cmd, args[0], req, "Saved.")
		},
	}
	cmd.Flags().StringVar(&save, "save", "", "write the present picture to this `FILE` instead")
	return cmd
}

func (a *app) saveGroupPicture(cmd *cobra.Command, group, path string) error {
	return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
		chat, err := resolveGroup(ctx, c, group)
		if err != nil {
			return err
		}
		got, err := c.InvokeAction(ctx, groupPlugin, &pluginpb.InvokeRequest{Invocation: client.NewInvocation(), Action: "get-picture", Chat: chat}, nil)
		if err != nil {
			return err
		}
		if len(got.GetResult()) == 0 {
			return fmt.Errorf("the group %s has no picture", group)
		}
		if err := os.WriteFile(path, got.GetResult(), 0o600); err != nil {
			return fmt.Errorf("save the picture: %w", err)
		}
		return a.done(map[string]any{"file": path, "bytes": len(got.GetResult())}, "Saved to %s.", path)
	})
}

// resolveGroup turns what a person wrote, a name or an id, into a group's chat id.
func resolveGroup(ctx context.Context, c *client.Client, who string) (string, error) {
	s, err := c.GetStatus(ctx, &controlpb.GetStatusRequest{})
	if err != nil {
		return "", err
	}
	chats, err := c.ListChats(ctx, &controlpb.ListChatsRequest{})
	if err != nil {
		return "", err
	}
	chat, err := groupNamed(chats.GetChats(), s.GetUser(), who)
	if err == nil && chat == "" {
		err = fmt.Errorf("there is no group %.100q; which there are: parley group list", who)
	}
	return chat, err
}

// groupNamed finds a group by its id or, if it is the only one of that name, by its
// name; none gives "". Groups that self is in count before those he left.
func groupNamed(chats []*controlpb.Chat, self, who string) (string, error) {
	var named, left []string
	for _, chat := range chats {
		if chat.GetKind() != groupKind {
			continue
		}
		if chat.GetId() == who {
			return who, nil
		}
		if strings.EqualFold(chat.GetTitle(), strings.TrimSpace(who)) && who != "" {
			if slices.Contains(chat.GetMembers(), self) {
				named = append(named, chat.GetId())
			} else {
				left = append(left, chat.GetId())
			}
		}
	}
	if len(named) == 0 {
		named = left
	}
	switch len(named) {
	case 0:
		return "", nil
	case 1:
		return named[0], nil
	}
	return "", usagef("%d groups are called %.100q: give the id of one: %s", len(named), who, strings.Join(named[:min(len(named), 5)], ", "))
}

// completeGroup offers the groups that an action can be done to, then what the command
// takes.
func (a *app) completeGroup(action string) cobra.CompletionFunc {
	first := a.chatsThat(func(chat *controlpb.Chat, g groupSummary) bool {
		return chat.GetKind() == groupKind && offersGroup(action, g)
	})
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		switch {
		case len(args) == 0:
			return first(cmd, args, typed)
		case action == "invite":
			return a.people(controlpb.ContactState_CONTACT_STATE_CONTACT)(cmd, nil, typed)
		case action == "remove" || action == "role" && len(args) == 1:
			return a.completeMembers(args[0])(cmd, nil, typed)
		case action == "role" && len(args) == 2:
			return []string{"admin", "member", "owner"}, cobra.ShellCompDirectiveNoFileComp
		case action == "history" && len(args) == 1:
			return []string{"from-join", "all"}, cobra.ShellCompDirectiveNoFileComp
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

func (a *app) completeMembers(group string) cobra.CompletionFunc {
	return a.complete(func(ctx context.Context, c *client.Client) ([]string, error) {
		chat, err := resolveGroup(ctx, c, group)
		if err != nil {
			return nil, err
		}
		var info groupInfo
		if err := askGroup(ctx, c, &pluginpb.InvokeRequest{Action: "info", Chat: chat}, &info); err != nil {
			return nil, err
		}
		var names []string
		for _, p := range info.People {
			names = append(names, cobra.CompletionWithDesc(p.User, p.Role))
		}
		return names, nil
	})
}

// offersGroup says whether a group is one for an action, as this account stands in it.
// Of a group of which nothing is known, everything may be done.
func offersGroup(action string, g groupSummary) bool {
	switch action {
	case "accept", "decline":
		return g.Chat == "" || g.Role == "invited"
	case "remove-chat":
		return g.Role == ""
	case "members", "picture":
		return true
	}
	return g.Chat == "" || g.Role != "" && g.Role != "invited"
}

// completeFurther offers names for all arguments but the first.
func (*app) completeFurther(names cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names(cmd, nil, typed)
	}
}

// groupNotes gives what the group plugin says of the groups among chats; less when
// it cannot be asked.
func groupNotes(ctx context.Context, c *client.Client, chats []*controlpb.Chat) map[string]groupSummary {
	if !slices.ContainsFunc(chats, func(chat *controlpb.Chat) bool { return chat.GetKind() == groupKind }) {
		return nil
	}
	list, err := groups(ctx, c)
	if err != nil {
		return nil
	}
	notes := map[string]groupSummary{}
	for _, g := range list {
		notes[g.Chat] = g
	}
	return notes
}
