package viewmodel

import (
	"context"
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/ui-gtk/texts"
)

// What the core calls the protocol of 2019: the kind of its chats, and what the names
// of its people and chats begin with.
const (
	kindNet2019   = "net2019"
	net2019Prefix = "net2019:"
)

// IsNet2019 says whether a user id, or what somebody writes for one, or the id of a
// chat, is one of 2019: nothing that is said there is encrypted.
func IsNet2019(id string) bool { return strings.HasPrefix(id, net2019Prefix) }

// net2019Name is what somebody of 2019 is called who has no other name: the digits
// first, which tell one from the other where there is little room.
func net2019Name(user string) string {
	return tidy(strings.TrimPrefix(user, net2019Prefix), maxShownName) + " (2019)"
}

// ofTwo says whether a chat has one other person: what is said needs no names then.
func ofTwo(x *controlpb.Chat) bool {
	return x.GetKind() == kindDirect || x.GetKind() == kindNet2019 && len(x.GetMembers()) == 2
}

// Net2019 is talking with people of 2019: whether it is on, and how one logs in.
type Net2019 struct {
	session *Session
	stop    func()

	// Form is what is written. Pages write it.
	Form Net2019Form
	View Value[Net2019View]
}

// Net2019Form is what a person writes.
type Net2019Form struct {
	ID string
	// Server is where to log in, with Password, and Course when that is done as at the
	// course's server. Without Elsewhere it is the account's own directory.
	Elsewhere        bool
	Server, Password string
	Course           bool
	Port             string
}

// Net2019Field is a field of the form.
type Net2019Field int

// Fields. Net2019None is for what no field has caused.
const (
	Net2019None Net2019Field = iota
	Net2019ID
	Net2019Server
	Net2019Password
	Net2019Port
)

// Net2019View is what is seen.
type Net2019View struct {
	// On: it is switched on. State says how it stands, and Trouble that it is not well.
	On      bool
	State   string
	Trouble bool
	// Busy says what is under way; empty when nothing is.
	Busy string
	// Problem is what went wrong with what was asked for, and Field what caused it.
	Problem string
	Field   Net2019Field
}

// OpenNet2019 follows it until Close.
func (s *Session) OpenNet2019() *Net2019 {
	n := &Net2019{session: s}
	st := s.Status.Get().GetNet2019()
	n.Form = Net2019Form{ID: st.GetId(), Elsewhere: st.GetServer() != "", Server: st.GetServer(), Course: st.GetCourse()}
	if p := st.GetPort(); p != 0 && p != defaultNet2019Port {
		n.Form.Port = strconv.Itoa(int(p))
	}
	n.stop = s.Status.Observe(func(st *controlpb.Status) { n.look(st.GetNet2019()) })
	return n
}

// Close stops following.
func (n *Net2019) Close() { n.stop() }

func (n *Net2019) look(st *controlpb.Net2019Status) {
	t, v := n.session.Texts(), n.View.Get()
	v.On, v.Trouble = st.GetOn(), st.GetOn() && st.GetError() != ""
	switch {
	case !v.On:
		v.State = t.T("Switched off")
	case v.Trouble:
		v.State = n.session.said(st.GetError())
	case !st.GetLoggedIn():
		v.State = t.T("Logging in…")
	case st.GetServer() == "":
		v.State = t.F("Logged in at your directory as %s", st.GetId())
	default:
		v.State = t.F("Logged in at %[1]s as %[2]s", client.PrintableLine(st.GetServer()), st.GetId())
	}
	n.View.set(v)
}

const (
	defaultNet2019Port = 2333
	lowestNet2019Port  = 1025
)

var net2019ID = regexp.MustCompile(`^[0-9]{10}$`)

// request makes of the form what is asked of the core, or says what is wrong.
func (f Net2019Form) request(t *texts.Texts) (*controlpb.LogInNet2019Request, Net2019Field, string) {
	req := &controlpb.LogInNet2019Request{Id: strings.TrimPrefix(strings.TrimSpace(f.ID), net2019Prefix)}
	if !net2019ID.MatchString(req.GetId()) {
		return nil, Net2019ID, t.T("An id of 2019 has ten digits, such as 2017000001.")
	}
	if f.Elsewhere {
		req.Server, req.Password, req.Course = strings.TrimSpace(f.Server), f.Password, f.Course
		switch {
		case req.GetServer() == "":
			return nil, Net2019Server, t.T("Write the address of the server, such as chat.example.org or 192.0.2.7:5555.")
		case req.GetPassword() == "":
			return nil, Net2019Password, t.T("A password is needed: all who use the server have the same one.")
		}
	}
	if port := strings.TrimSpace(f.Port); port != "" && !req.GetCourse() {
		p, err := strconv.ParseUint(port, 10, 16)
		if err != nil || p < lowestNet2019Port {
			return nil, Net2019Port, t.T("A port is a number from 1025 to 65535.")
		}
		req.Port = uint32(p)
	}
	return req, Net2019None, ""
}

// LogIn switches it on with what is written.
func (n *Net2019) LogIn() {
	t := n.session.Texts()
	req, field, problem := n.Form.request(t)
	if problem != "" {
		v := n.View.Get()
		v.Field, v.Problem = field, problem
		n.View.set(v)
		return
	}
	n.run(t.T("Logging in…"), func(ctx context.Context, core Core) error {
		_, err := core.LogInNet2019(ctx, req)
		return err
	})
}

// Off switches it off.
func (n *Net2019) Off() {
	n.run(n.session.Texts().T("Logging out…"), func(ctx context.Context, core Core) error {
		_, err := core.LogOutNet2019(ctx, &controlpb.LogOutNet2019Request{})
		return err
	})
}

// Typed forgets what was wrong, since it is being put right.
func (n *Net2019) Typed() {
	if v := n.View.Get(); v.Problem != "" {
		v.Problem, v.Field = "", Net2019None
		n.View.set(v)
	}
}

func (n *Net2019) run(busy string, do func(context.Context, Core) error) {
	v := n.View.Get()
	if v.Busy != "" {
		return
	}
	v.Busy, v.Problem, v.Field = busy, "", Net2019None
	n.View.set(v)
	n.session.callFor(loginTimeout, do, func(err error) {
		v := n.View.Get()
		v.Busy = ""
		if err != nil {
			v.Field, v.Problem = net2019Cause(err), n.session.Sentence(err)
			switch status.Code(err) {
			case codes.Unimplemented:
				v.Problem = n.session.Texts().T("Your directory does not serve people of 2019. Ask whoever runs it, or log in at a server of 2019.")
			case codes.AlreadyExists:
				v.Problem = n.session.Texts().T("Somebody is online in 2019 with this id.")
			}
		} else {
			n.Form.Password = ""
		}
		n.View.set(v)
	})
}

// NoticeText gives what the core says that a person should know.
func (s *Session) NoticeText(n *controlpb.Notice) string { return s.said(n.GetText()) }

// LeaveNet2019 leaves a group of 2019.
func (s *Session) LeaveNet2019(chat string, erase bool) {
	s.ask(func(ctx context.Context, core Core) error {
		_, err := core.LeaveNet2019Group(ctx, &controlpb.LeaveNet2019GroupRequest{Chat: chat, EraseHistory: erase})
		return err
	})
}

// net2019Cause gives the field that caused an error.
func net2019Cause(err error) Net2019Field {
	switch status.Code(err) {
	case codes.PermissionDenied, codes.Unauthenticated:
		return Net2019Password
	case codes.AlreadyExists:
		return Net2019ID
	case codes.Unavailable:
		return Net2019Server
	case codes.FailedPrecondition:
		return Net2019Port
	case codes.InvalidArgument:
		for _, x := range []struct {
			word  string
			field Net2019Field
		}{
			{"port", Net2019Port}, {"password", Net2019Password}, {"no server", Net2019Server}, {" id ", Net2019ID},
		} {
			if strings.Contains(client.Message(err), x.word) {
				return x.field
			}
		}
	}
	return Net2019None
}

// said gives something that the core says to people in the language, harmless to show
// on one line.
func (s *Session) said(sentence string) string {
	if sentence == "" {
		return "" // for which catalogues have their header
	}
	t := s.Texts()
	if known := t.T(sentence); known != sentence {
		return client.PrintableLine(known)
	}
	for _, x := range net2019Said {
		if m := x.core.FindStringSubmatch(sentence); m != nil {
			args := make([]any, 0, len(m)-1)
			for _, part := range m[1:] {
				args = append(args, client.PrintableLine(part))
			}
			if len(args) == 0 {
				return t.T(x.text)
			}
			return t.F(x.text, args...)
		}
	}
	return client.PrintableLine(sentence)
}

// net2019Said is what the core says of 2019, with names and addresses in it, and what
// the window says for it: the core's words are for the command line.
var net2019Said = []struct {
	core *regexp.Regexp
	text string
}{
	{regexp.MustCompile(`^The protocol of 2019 cannot say this \(`), texts.Mark("This cannot be said to people of 2019: they get texts, pictures and files, and nothing more.")},
	{regexp.MustCompile(`^The protocol of 2019 cannot name this file`), texts.Mark("This file has a name that cannot be told to people of 2019. Rename it, then try again.")},
	{regexp.MustCompile(`^The protocol of 2019 is off`), texts.Mark("Talking with people of 2019 is switched off. Switch it on in the preferences, on the page Account.")},
	{regexp.MustCompile(`^Nobody of 2019 can connect: port (\d+) cannot be listened on: (.+)\. Choose another`), texts.Mark("Nobody of 2019 can connect: port %[1]s cannot be used here (%[2]s). Choose another one.")},
	{regexp.MustCompile(`^port (\d+) cannot be taken for net2019`), texts.Mark("Port %s cannot be used for this: choose one from 1025 to 65535 that no database uses.")},
	{regexp.MustCompile(`^The server of 2019 at (\S+) cannot be reached`), texts.Mark("The server of 2019 at %s cannot be reached. Check the address, and whether it is running.")},
	{regexp.MustCompile(`^The server of 2019 at (\S+) did not answer the log-in`), texts.Mark("The server at %s did not answer. Is it one of 2019, with this form of log-in?")},
	{regexp.MustCompile(`^The server of 2019 at (\S+) refused the log-in of (\d+)`), texts.Mark("The server of 2019 at %[1]s refused %[2]s. Check the password, and the id: some servers take only those that begin with 20.")},
	{regexp.MustCompile(`^The server of 2019 at (\S+) (?:ended|said|does not answer)`), texts.Mark("The connection with the server of 2019 at %s was lost, and is being made again.")},
	{regexp.MustCompile(`^The log-in to net2019 got no answer`), texts.Mark("The log-in got no answer. Check the address, and whether the server is running.")},
	{regexp.MustCompile(`^.* is no server: write HOST:PORT`), texts.Mark("This is no address of a server. Write one such as chat.example.org or 192.0.2.7:5555.")},
	{regexp.MustCompile(`^that cannot be the password of a server of 2019`), texts.Mark("This cannot be the password of a server of 2019.")},
	{regexp.MustCompile(`^Not among those of 2019, because the directory is not there`), texts.Mark("Your directory is not there at the moment, so that people of 2019 do not find you.")},
	{regexp.MustCompile(`^(.+) wanted a video call, which was declined`), texts.Mark("%s wanted a video call. It was declined: calls of 2019 send programs for the other side to run, so Parley takes none.")},
	{regexp.MustCompile(`^(.+) has left the group (.+)\.$`), texts.Mark("%[1]s has left the group %[2]s.")},
	{regexp.MustCompile(`^A second connection, from (\S+), says to be (.+), who is connected from (\S+) too`), texts.Mark("A second connection, from %[1]s, says to be %[2]s, who is connected from %[3]s too. Nothing proves which is right: ask them in another way.")},
	{regexp.MustCompile(`^The connection with (.+) was lost and made again`), texts.Mark("The connection with %s was lost and made again, which their program does not notice: if they do not see what you write, they must delete you and add you again.")},
	{regexp.MustCompile(`^The connection with (.+) was lost\.`), texts.Mark("The connection with %s was lost, which their program does not notice: they must delete you and add you again.")},
	{regexp.MustCompile(`^(\S+) is online, and cannot be connected to at (\S+): a firewall`), texts.Mark("%[1]s is online, and cannot be connected to at %[2]s: a firewall may be in between.")},
	{regexp.MustCompile(`^This chat is with an id that you had in 2019 before, not with (\d+)`), texts.Mark("In this chat you had another id of 2019, not %s. Log in with that one again, or write in another chat.")},
	{regexp.MustCompile(`^You have left this group of 2019`), texts.Mark("You have left this group of 2019. Make it again to write to its people.")},
	{regexp.MustCompile(`^(.+) is no contact any more: add them again`), texts.Mark("%s is no contact any more. Add them again to write.")},
	{regexp.MustCompile(`^(.+) is a contact already$`), texts.Mark("%s is a contact already.")},
	{regexp.MustCompile(`^(.+) is blocked: unblock first`), texts.Mark("%s is blocked. Unblock them on their page first.")},
}
