package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
)

func (a *app) contactsCommand() *cobra.Command {
	var members bool
	cmd := &cobra.Command{
		Use:   "contacts",
		Short: "List contacts and requests, or change them",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error { return a.listContacts(ctx, c, members) })
		},
	}
	cmd.Flags().BoolVar(&members, "members", false, "also list the members of your groups who are no contacts")
	var erase bool
	remove := a.contactAction("remove USER", "Remove a contact", func(ctx context.Context, c *client.Client, user string) (string, error) {
		if err := a.knows(ctx, c, user); err != nil {
			return "", err
		}
		_, err := c.RemoveContact(ctx, &controlpb.RemoveContactRequest{User: user, EraseHistory: erase})
		return "Removed " + user + ".", err
	})
	remove.Flags().BoolVar(&erase, "erase-history", false, "erase the chat's history here as well")
	cmd.AddCommand(
		a.addContactCommand(), remove,
		a.contactAction("accept USER", "Accept somebody's request", func(ctx context.Context, c *client.Client, user string) (string, error) {
			_, err := c.AnswerContact(ctx, &controlpb.AnswerContactRequest{User: user, Accept: true})
			return user + " is a contact now.", err
		}),
		a.contactAction("decline USER", "Decline somebody's request", func(ctx context.Context, c *client.Client, user string) (string, error) {
			_, err := c.AnswerContact(ctx, &controlpb.AnswerContactRequest{User: user})
			return "Declined. " + user + " is not told.", err
		}),
		a.contactAction("block USER", "Take nothing of a user any more", func(ctx context.Context, c *client.Client, user string) (string, error) {
			_, err := c.BlockContact(ctx, &controlpb.BlockContactRequest{User: user, Block: true})
			return "Blocked " + user + ".", err
		}),
		a.contactAction("unblock USER", "Undo a block", func(ctx context.Context, c *client.Client, user string) (string, error) {
			_, err := c.BlockContact(ctx, &controlpb.BlockContactRequest{User: user})
			return "Unblocked " + user + ".", err
		}),
		a.renameContactCommand(), a.keysCommand(), a.trustCommand(),
	)
	return cmd
}

// completed says whom the shell offers for an action; everybody for the others.
var completed = map[string][]controlpb.ContactState{
	"accept":  {controlpb.ContactState_CONTACT_STATE_INCOMING},
	"decline": {controlpb.ContactState_CONTACT_STATE_INCOMING},
	"unblock": {controlpb.ContactState_CONTACT_STATE_BLOCKED},
}

// contactAction is a command on one user.
func (a *app) contactAction(use, short string, act func(ctx context.Context, c *client.Client, user string) (string, error)) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: needArgs(1, 1), ValidArgsFunction: a.people(completed[strings.Fields(use)[0]]...),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				said, err := act(ctx, c, args[0])
				if err != nil {
					return err
				}
				return a.done(map[string]any{"user": args[0], "done": strings.Fields(use)[0]}, "%s", said)
			})
		},
	}
}

func (a *app) addContactCommand() *cobra.Command {
	return &cobra.Command{
		Use: "add USER [GREETING]", Short: "Ask a user to become a contact, or add somebody of 2019 (net2019:DIGITS)", Args: needArgs(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				contact, err := c.RequestContact(ctx, &controlpb.RequestContactRequest{User: args[0], Greeting: strings.Join(args[1:], " ")})
				if err != nil {
					return err
				}
				if of2019(args[0]) {
					return a.done(contactJSON(contact), "%s is a contact now. Nothing that you write is encrypted; it goes there whenever they are online.", args[0])
				}
				if contact.GetState() == controlpb.ContactState_CONTACT_STATE_CONTACT {
					return a.done(contactJSON(contact), "%s had asked you as well: you are contacts now.", args[0])
				}
				return a.done(contactJSON(contact), "Asked %s. You can chat once %s accepts.", args[0], args[0])
			})
		},
	}
}

func (a *app) renameContactCommand() *cobra.Command {
	return &cobra.Command{
		Use: "rename USER [NICKNAME]", Short: "Set the name shown here, or with none go back to the user's own", Args: needArgs(1, 2),
		ValidArgsFunction: a.people(),
		RunE: func(cmd *cobra.Command, args []string) error {
			nickname := strings.Join(args[1:], "")
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				if _, err := c.RenameContact(ctx, &controlpb.RenameContactRequest{User: args[0], Nickname: nickname}); err != nil {
					return err
				}
				return a.done(map[string]any{"user": args[0], "nickname": nickname}, "Saved.")
			})
		},
	}
}

func (a *app) keysCommand() *cobra.Command {
	return &cobra.Command{
		Use: "keys USER", Short: "Show the safety number to compare with a contact", Args: needArgs(1, 1),
		ValidArgsFunction: a.people(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				contact, err := findContact(ctx, c, args[0])
				if err != nil {
					return err
				}
				if of2019(args[0]) {
					return fmt.Errorf("%s has no keys: the protocol of 2019 proves nobody and encrypts nothing", args[0])
				}
				if a.json {
					return a.object(map[string]any{
						"user": contact.GetUser(), "safety_number": contact.GetSafetyNumber(), "verified": contact.GetVerified(),
						"key_changed": contact.GetKeyChanged(), "new_safety_number": contact.GetNewSafetyNumber(),
					})
				}
				a.printf("Safety number with %s:\n%s\n", contact.GetUser(), safetyLines(contact.GetSafetyNumber()))
				switch {
				case contact.GetKeyChanged():
					a.printf("The keys of %s CHANGED. The new safety number is:\n%s\nAsk %s in person or by phone whether that is right. If it is: parley contacts trust %s --new-keys\n",
						contact.GetUser(), safetyLines(contact.GetNewSafetyNumber()), contact.GetUser(), contact.GetUser())
				case contact.GetVerified():
					a.println("You have compared it.")
				default:
					a.printf("If %s sees the same numbers, nobody stands between you: parley contacts trust %s\n", contact.GetUser(), contact.GetUser())
				}
				return nil
			})
		},
	}
}

func (a *app) trustCommand() *cobra.Command {
	var newKeys, undo bool
	var number string
	cmd := &cobra.Command{
		Use: "trust USER", Short: "Say that the safety number was compared, or accept changed keys", Args: needArgs(1, 1),
		ValidArgsFunction: a.people(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				contact, err := findContact(ctx, c, args[0])
				if err != nil {
					return err
				}
				req := &controlpb.TrustContactRequest{User: args[0], SetVerified: true, Verified: !undo}
				said := "Marked as compared."
				switch {
				case undo:
					said = "The mark is taken back."
				case newKeys:
					req = &controlpb.TrustContactRequest{User: args[0], NewSafetyNumber: contact.GetNewSafetyNumber()}
					if number != "" {
						req.NewSafetyNumber = number
					}
					if req.GetNewSafetyNumber() == "" {
						return fmt.Errorf("the keys of %s have not changed: there is nothing to accept", args[0])
					}
					said = "The new keys of " + args[0] + " are accepted."
				case contact.GetKeyChanged():
					return fmt.Errorf("the keys of %s changed: see them with: parley contacts keys %s", args[0], args[0])
				}
				if _, err := c.TrustContact(ctx, req); err != nil {
					return err
				}
				return a.done(map[string]any{"user": args[0], "done": "trust"}, "%s", said)
			})
		},
	}
	cmd.Flags().BoolVar(&newKeys, "new-keys", false, "accept the changed keys")
	cmd.Flags().StringVar(&number, "number", "", "accept them only if `NUMBER` is their safety number")
	cmd.Flags().BoolVar(&undo, "undo", false, "take the mark back")
	return cmd
}

// findContact finds a contact, or a member of one of the user's groups.
func findContact(ctx context.Context, c *client.Client, user string) (*controlpb.Contact, error) {
	resp, err := c.ListContacts(ctx, &controlpb.ListContactsRequest{Acquaintances: true})
	if err != nil {
		return nil, err
	}
	for _, contact := range resp.GetContacts() {
		if contact.GetUser() == user {
			return contact, nil
		}
	}
	return nil, fmt.Errorf("%s is not a contact; ask first: parley contacts add %s", user, user)
}

// knows is an error for a user of whom there is neither an entry among contacts nor a
// chat.
func (a *app) knows(ctx context.Context, c *client.Client, user string) error {
	contact, err := findContact(ctx, c, user)
	acquainted := contact.GetState() == controlpb.ContactState_CONTACT_STATE_ACQUAINTANCE
	if err == nil && !acquainted {
		return nil
	}
	if chat, chatErr := resolveChat(ctx, c, user); chatErr == nil && packet.ChatID(chat).Kind() != packet.Group {
		return nil
	}
	if acquainted {
		return fmt.Errorf("%s is not among your contacts, only in a group that you are in, too: there is nothing to remove", user)
	}
	return fmt.Errorf("%.64q is not among your contacts; who is: parley contacts", user)
}

func safetyLines(number string) string {
	groups := strings.Fields(number)
	var lines []string
	for len(groups) > 4 {
		lines = append(lines, "  "+strings.Join(groups[:4], " "))
		groups = groups[4:]
	}
	return strings.Join(append(lines, "  "+strings.Join(groups, " ")), "\n")
}

type jsonContact struct {
	User        string `json:"user"`
	State       string `json:"state"`
	Name        string `json:"name"`
	Nickname    string `json:"nickname,omitempty"`
	DisplayName string `json:"display_name,omitempty"`
	Greeting    string `json:"greeting,omitempty"`
	Online      bool   `json:"online"`
	Linked      bool   `json:"linked"`
	Path        string `json:"path,omitempty"`
	KeyChanged  bool   `json:"key_changed,omitempty"`
	Verified    bool   `json:"verified,omitempty"`
	Chat        string `json:"chat,omitempty"`
	Trouble     string `json:"trouble,omitempty"`
	Reason      string `json:"reason,omitempty"` // of the trouble
}

func contactJSON(c *controlpb.Contact) jsonContact {
	return jsonContact{
		User: c.GetUser(), State: contactWord(c.GetState()), Name: c.GetName(), Nickname: c.GetNickname(), DisplayName: c.GetDisplayName(),
		Greeting: c.GetGreeting(), Online: c.GetOnline(), Linked: c.GetLinked(), Path: c.GetPath(), KeyChanged: c.GetKeyChanged(),
		Verified: c.GetVerified(), Chat: c.GetChat(), Trouble: c.GetTrouble(), Reason: c.GetTroubleReason().GetReason(),
	}
}

func contactWord(s controlpb.ContactState) string {
	switch s {
	case controlpb.ContactState_CONTACT_STATE_OUTGOING:
		return "asked"
	case controlpb.ContactState_CONTACT_STATE_INCOMING:
		return "asks you"
	case controlpb.ContactState_CONTACT_STATE_CONTACT:
		return "contact"
	case controlpb.ContactState_CONTACT_STATE_BLOCKED:
		return "blocked"
	case controlpb.ContactState_CONTACT_STATE_LEFT:
		return "left"
	case controlpb.ContactState_CONTACT_STATE_ACQUAINTANCE:
		return "in a group"
	default:
		return ""
	}
}

func (a *app) listContacts(ctx context.Context, c *client.Client, members bool) error {
	resp, err := c.ListContacts(ctx, &controlpb.ListContactsRequest{Acquaintances: members})
	if err != nil {
		return err
	}
	if a.json {
		for _, contact := range resp.GetContacts() {
			if err := a.object(contactJSON(contact)); err != nil {
				return err
			}
		}
		return nil
	}
	if len(resp.GetContacts()) == 0 {
		a.println("No contacts yet. Ask somebody: parley contacts add USER")
		return nil
	}
	var rows [][]string
	for _, contact := range resp.GetContacts() {
		rows = append(rows, []string{contact.GetUser(), client.PrintableLine(contact.GetName()), contactWord(contact.GetState()), contactNote(contact)})
	}
	a.table(rows)
	return nil
}

// contactNote is what matters most about a contact now.
func contactNote(c *controlpb.Contact) string {
	switch {
	case c.GetKeyChanged():
		return "KEYS CHANGED: parley contacts keys " + c.GetUser()
	case c.GetState() == controlpb.ContactState_CONTACT_STATE_INCOMING:
		return fmt.Sprintf("%q", client.PrintableLine(c.GetGreeting()))
	case c.GetState() != controlpb.ContactState_CONTACT_STATE_CONTACT && c.GetState() != controlpb.ContactState_CONTACT_STATE_ACQUAINTANCE:
		return ""
	case c.GetLinked():
		return "online (" + c.GetPath() + ")"
	case c.GetOnline() && c.GetTrouble() != "":
		return "online, no link: " + client.PrintableLine(c.GetTrouble())
	case c.GetOnline():
		return "online, no link yet"
	default:
		return "offline"
	}
}
