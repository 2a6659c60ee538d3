package viewmodel

import (
	"context"
	"regexp"
	"strconv"
	"strings"

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
		v.State = n.session.tell(st.GetReason(), st.GetError())
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
			v.Field, v.Problem = net2019Fields[client.Reason(err)], n.session.Sentence(err)
		} else {
			n.Form.Password = ""
		}
		n.View.set(v)
	})
}

// NoticeText gives what the core says that a person should know.
func (s *Session) NoticeText(n *controlpb.Notice) string { return s.tell(n.GetReason(), n.GetText()) }

// Net2019Members gives who is in a group of 2019.
func (s *Session) Net2019Members(chat string) []MemberRow {
	users := s.Chats.Get(chat).GetMembers()
	rows := make([]MemberRow, 0, len(users))
	for _, user := range users {
		r := MemberRow{key: user, User: user, Name: s.Contacts.Name(user), Line: user, Avatar: s.Contacts.Get(user).GetAvatar()}
		if user == s.User() {
			r.Line, r.Avatar = net2019Prefix+s.Status.Get().GetNet2019().GetId(), s.Status.Get().GetAvatar()
		}
		if r.Line == r.Name {
			r.Line = ""
		}
		rows = append(rows, r)
	}
	return rows
}

// LeaveNet2019 leaves a group of 2019.
func (s *Session) LeaveNet2019(chat string, erase bool) {
	s.ask(func(ctx context.Context, core Core) error {
		_, err := core.LeaveNet2019Group(ctx, &controlpb.LeaveNet2019GroupRequest{Chat: chat, EraseHistory: erase})
		return err
	})
}

// net2019Fields is what field caused an error.
var net2019Fields = map[string]Net2019Field{
	"NET2019_ID": Net2019ID, "NET2019_TAKEN": Net2019ID,
	"NET2019_ADDRESS": Net2019Server, "NET2019_SERVER_UNREACHABLE": Net2019Server, "NET2019_SERVER_SILENT": Net2019Server, "NET2019_SLOW": Net2019Server,
	"NET2019_SERVER_LOST": Net2019Server, "NET2019_DIRECTORY": Net2019Server,
	"NET2019_PASSWORD": Net2019Password, "NET2019_SERVER_REFUSED": Net2019Password, "NET2019_NO_SERVER": Net2019Password,
	"NET2019_PORT": Net2019Port, "NET2019_NO_PORT": Net2019Port, "NET2019_PORT_INVALID": Net2019Port, "NET2019_COURSE_PORT": Net2019Port,
}
