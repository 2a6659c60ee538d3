package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/packet/net2019"
)

// net2019Native is what --net2019 calls the directory that one is logged in to.
const net2019Native = "native"

// net2019Flags are those of a log-in with the protocol of 2019.
type net2019Flags struct {
	server, id string
	port       uint32
	course     bool
}

func (f *net2019Flags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.server, "net2019", "", "switch the protocol of 2019 on, which is NOT ENCRYPTED, at `SERVER`: HOST[:PORT], or native")
	cmd.Flags().StringVar(&f.id, "id", "", "your ten `DIGITS` in 2019; without, the last ones (with --net2019)")
	cmd.Flags().Uint32Var(&f.port, "port", 0, fmt.Sprintf("`PORT` where people of 2019 connect; without, %d or any free one (with --net2019)", net2019.DefaultPort))
	cmd.Flags().BoolVar(&f.course, "course", false, "log in as at the course's server, without naming the port (with --net2019)")
}

// check refuses flags that do not go together.
func (f *net2019Flags) check(cmd *cobra.Command) error {
	own := []string{"id", "port", "course"}
	others := []string{"register", "name", "invite", "replace", "pin", "no-pin", "passphrase"}
	wrong, why := own, "is for log-ins with --net2019 SERVER"
	if cmd.Flags().Changed("net2019") {
		wrong, why = others, "is not for log-ins with --net2019"
		if f.server == "" {
			return usagef("--net2019 needs a server: HOST[:PORT], or native")
		}
	}
	for _, name := range wrong {
		if cmd.Flags().Changed(name) {
			return usagef("--%s %s", name, why)
		}
	}
	return nil
}

func (a *app) logInNet2019(ctx context.Context, c *client.Client, f *net2019Flags) error {
	req := &controlpb.LogInNet2019Request{Id: f.id, Port: f.port, Course: f.course}
	if f.server != net2019Native {
		req.Server = f.server
		var err error
		if req.Password, err = a.secret(ctx, "Password of the server of 2019"); err != nil {
			return err
		}
	}
	s, err := c.LogInNet2019(ctx, req)
	if err != nil {
		return err
	}
	return a.done(net2019JSON(s), "Logged in to 2019 as %s, listening on port %d. Nothing there is encrypted, and nobody is proved to be who they say.", s.GetId(), s.GetPort())
}

func (a *app) logOutNet2019(ctx context.Context, c *client.Client) error {
	if _, err := c.LogOutNet2019(ctx, &controlpb.LogOutNet2019Request{}); err != nil {
		return err
	}
	return a.done(map[string]any{"logged_out": true}, "The protocol of 2019 is off. Its chats stay.")
}

type jsonNet2019 struct {
	On        bool   `json:"on"`
	ID        string `json:"id"`
	Port      uint32 `json:"port,omitempty"`
	Server    string `json:"server"`
	Course    bool   `json:"course,omitempty"`
	LoggedIn  bool   `json:"logged_in"`
	Error     string `json:"error,omitempty"`
	Reason    string `json:"reason,omitempty"` // of the error
	Encrypted bool   `json:"encrypted"`        // never
}

// net2019JSON is nil when nobody ever logged in so.
func net2019JSON(s *controlpb.Net2019Status) *jsonNet2019 {
	if s.GetId() == "" {
		return nil
	}
	j := &jsonNet2019{
		On: s.GetOn(), ID: s.GetId(), Port: s.GetPort(), Server: s.GetServer(), Course: s.GetCourse(), LoggedIn: s.GetLoggedIn(), Error: s.GetError(),
		Reason: s.GetReason().GetReason(),
	}
	if j.Server == "" {
		j.Server = net2019Native
	}
	return j
}

func (a *app) printNet2019(s *controlpb.Net2019Status) {
	if !s.GetOn() {
		return
	}
	server := s.GetServer()
	if server == "" {
		server = "the directory"
	}
	state := "logged in to " + server
	if !s.GetLoggedIn() {
		state = "not logged in to " + server
	}
	if s.GetPort() != 0 {
		state += fmt.Sprintf(", listening on port %d", s.GetPort())
	}
	a.printf("Protocol of 2019, NOT ENCRYPTED: on as %s, %s.\n", s.GetId(), state)
	if s.GetError() != "" {
		a.println("  " + client.PrintableLine(s.GetError()))
	}
}

// notEncrypted marks a chat of 2019.
func notEncrypted(chat string) string {
	if packet.ChatID(chat).Kind() == packet.Net2019 {
		return "NOT ENCRYPTED"
	}
	return ""
}

// of2019 says whether who is meant is of 2019.
func of2019(who string) bool { return net2019.IsName(who) }

// allOf2019 says whether people to be in a group are of 2019; they are all or none.
func allOf2019(users []string) (bool, error) {
	of := slices.IndexFunc(users, of2019)
	native := slices.IndexFunc(users, func(user string) bool { return !of2019(user) })
	if of >= 0 && native >= 0 {
		return false, usagef("%s is of 2019 and %s is not: a group is of the one or of the other", users[of], users[native])
	}
	return of >= 0, nil
}

// createNet2019Group makes a group of people of 2019, which has no name.
func (a *app) createNet2019Group(ctx context.Context, c *client.Client, users []string) error {
	chat, err := c.CreateNet2019Group(ctx, &controlpb.CreateNet2019GroupRequest{Users: users})
	if err != nil {
		return err
	}
	return a.done(map[string]any{"chat": chat.GetId()}, "Made a group of 2019: %s. Nothing in it is encrypted, it has no name, and nobody can join it later.", chat.GetId())
}

// leaveNet2019Group leaves a group of 2019.
func (a *app) leaveNet2019Group(ctx context.Context, c *client.Client, chat string) error {
	if _, err := c.LeaveNet2019Group(ctx, &controlpb.LeaveNet2019GroupRequest{Chat: chat}); err != nil {
		return err
	}
	return a.done(map[string]any{"chat": chat}, "You have left the group. For people with the program of 2019 it has ended; its history stays here.")
}

// net2019Chat finds the chat of a name of 2019, or of a chat's id.
func net2019Chat(ctx context.Context, c *client.Client, who string) (string, error) {
	if strings.Contains(who, "-") {
		if chat, err := packet.ParseChatID(who); err == nil {
			return string(chat), nil
		}
	}
	if _, err := net2019.ParseName(who); err != nil {
		return "", usagef("%.100q is neither a name of 2019, such as net2019:2017000001, nor a chat of 2019; those there are: parley chats", who)
	}
	contact, err := findContact(ctx, c, who)
	if err != nil {
		return "", err
	}
	if contact.GetChat() == "" {
		return "", fmt.Errorf("there is no chat with %s yet: parley contacts accept %s, or add", who, who)
	}
	return contact.GetChat(), nil
}
