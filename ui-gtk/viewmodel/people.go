package viewmodel

import (
	"context"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/protocol/controlpb"
)

// Person is the page of somebody: a contact, who asks to become one, a stranger, or
// oneself.
type Person struct {
	session *Session
	user    string
	stops   []func()

	// View is what the page shows.
	View Value[PersonView]
}

// PersonView is what the page of a person shows. All texts are harmless to show.
type PersonView struct {
	User string
	// Self: it is one's own page. Known: a contact, a request or somebody blocked.
	Self, Known bool
	State       controlpb.ContactState
	// Name is what the person is called here; DisplayName what they call themselves.
	Name, Nickname, DisplayName string
	Greeting                    string
	// Open: nothing that is said with the person is encrypted, and nothing proves who it
	// is.
	Open     bool
	Avatar   []byte
	Presence Presence
	// Standing says whether the person is there, or how one stands to them.
	Standing string
	// Path says how messages travel, while there is a direct link.
	Path string
	// Trouble says why no link comes up, and what to do.
	Trouble string
	Chat    string
	Muted   bool
	// Safety is the safety number, in groups of five digits; NewSafety that of keys
	// that changed and were not accepted yet.
	Safety, NewSafety    []string
	KeyChanged, Verified bool
	// Link is one's own link, for others to follow, and Device one's own key id.
	Link, Device string
}

// OpenPerson follows a person until Close.
func (s *Session) OpenPerson(user string) *Person {
	p := &Person{session: s, user: user}
	p.stops = []func(){
		s.Status.Observe(func(*controlpb.Status) { p.View.set(p.look()) }),
		s.Contacts.Changed.Observe(func(who string) {
			if who == user {
				p.View.set(p.look())
			}
		}),
		s.Chats.Changed.Observe(func(chat string) {
			if chat == s.Contacts.Get(user).GetChat() {
				p.View.set(p.look())
			}
		}),
	}
	return p
}

// Close stops following.
func (p *Person) Close() {
	for _, stop := range p.stops {
		stop()
	}
}

func (p *Person) look() PersonView {
	s := p.session
	v := PersonView{User: p.user, Name: s.Contacts.Name(p.user), Self: p.user == s.User(), Open: IsNet2019(p.user)}
	if v.Self {
		st := s.Status.Get()
		v.DisplayName, v.Avatar, v.Device = tidyName(st.GetDisplayName()), st.GetAvatar(), st.GetDevice()
		v.Link = s.OwnLink()
		return v
	}
	x := s.Contacts.Get(p.user)
	if x == nil {
		v.Standing = s.Texts().T("not a contact")
		return v
	}
	v.Known, v.State = !acquaintance(x), x.GetState()
	v.Nickname, v.DisplayName, v.Greeting = tidyName(x.GetNickname()), tidyName(x.GetDisplayName()), s.Greeting(x)
	v.Avatar, v.Presence = x.GetAvatar(), presenceOf(x)
	v.Standing, v.Path, v.Trouble = s.standing(x), s.path(x), tidy(s.tell(x.GetTroubleReason(), x.GetTrouble()), 4*maxShownLine)
	v.Chat, v.Muted = x.GetChat(), s.Chats.Get(x.GetChat()).GetMuted()
	v.Safety, v.NewSafety = strings.Fields(x.GetSafetyNumber()), strings.Fields(x.GetNewSafetyNumber())
	v.KeyChanged, v.Verified = x.GetKeyChanged(), x.GetVerified()
	return v
}

// standing says how one stands to a person.
func (s *Session) standing(x *controlpb.Contact) string {
	t := s.Texts()
	switch x.GetState() {
	case controlpb.ContactState_CONTACT_STATE_INCOMING:
		return t.T("wants to be your contact")
	case controlpb.ContactState_CONTACT_STATE_OUTGOING:
		return t.T("has not answered yet")
	case controlpb.ContactState_CONTACT_STATE_BLOCKED:
		return t.T("blocked")
	case controlpb.ContactState_CONTACT_STATE_LEFT:
		return t.T("not a contact any more")
	case controlpb.ContactState_CONTACT_STATE_ACQUAINTANCE:
		if x.GetOnline() {
			return t.T("in a group with you, online")
		}
		return t.T("in a group with you")
	}
	if x.GetOnline() {
		return t.T("online")
	}
	return t.T("offline")
}

// path says how messages to a person travel.
func (s *Session) path(x *controlpb.Contact) string {
	t := s.Texts()
	switch x.GetPath() {
	case "lan":
		return t.T("Directly, over the local network")
	case "direct":
		return t.T("Directly, over the internet")
	case "relay":
		return t.T("Through the directory's relay, which cannot read them")
	case "loopback":
		return t.T("Directly, on this computer")
	}
	return ""
}

// OwnLink is the link by which others add this account.
func (s *Session) OwnLink() string { return PersonLink(s.User(), s.reachable()) }

// reachable is the address by which others reach the account's directory.
func (s *Session) reachable() string {
	address := s.Status.Get().GetDirectory().GetAddress()
	if s.cfg.Reachable == nil {
		return address
	}
	return s.cfg.Reachable(address)
}

// maxGreeting is how many characters of a greeting there are at most, and how many
// bytes the core takes.
const maxGreeting = 1000

// AddContact asks somebody to become a contact.
type AddContact struct {
	session *Session
	asked   int // counts what was asked: later answers win

	State Value[AddState]
}

// AddState is how far asking is.
type AddState struct {
	Busy bool
	// What is wrong with the user id, the greeting, or else. At most one is there.
	UserProblem, GreetingProblem, Problem string
	// Done says, when it worked, what happens now; User is who was asked.
	Done, User string
}

// NewAddContact makes one.
func (s *Session) NewAddContact() *AddContact { return &AddContact{session: s} }

// Typed forgets what was wrong, since it is being put right.
func (a *AddContact) Typed() {
	if s := a.State.Get(); s != (AddState{Busy: s.Busy}) {
		a.State.set(AddState{Busy: s.Busy})
	}
}

// Ask asks the user, given by the id or by a link, unless it is seen at once that it
// cannot be.
func (a *AddContact) Ask(who, greeting string) {
	t, s := a.session.Texts(), a.session
	if a.State.Get().Busy {
		return
	}
	user, directory := strings.ToLower(strings.TrimPrefix(strings.TrimSpace(who), "@")), ""
	if isLink(who) {
		var err error
		if user, directory, err = ParseLink(who); err != nil {
			a.State.set(AddState{UserProblem: t.T("This is not a link to somebody. One looks like parley:bob")})
			return
		}
	}
	other := IsNet2019(user)
	switch {
	case other && !net2019ID.MatchString(strings.TrimPrefix(user, net2019Prefix)):
		a.State.set(AddState{UserProblem: t.T("An id of 2019 has ten digits: net2019:2017000001")})
		return
	case other && !s.Status.Get().GetNet2019().GetOn():
		a.State.set(AddState{UserProblem: t.T("Talking with people of 2019 is switched off. Switch it on in the preferences, on the page Account.")})
		return
	case other && user == net2019Prefix+s.Status.Get().GetNet2019().GetId():
		a.State.set(AddState{UserProblem: t.T("This is yourself. Write the user id of somebody else.")})
		return
	case other:
		greeting = "" // there are none
	case user == "":
		a.State.set(AddState{UserProblem: t.T("Write the user id of the person, or paste their link.")})
		return
	case !ValidUser(user):
		a.State.set(AddState{UserProblem: t.T("A user id has 1 to 64 of the characters a-z, 0-9, “.” and “_”, and starts with a letter or digit.")})
		return
	case user == s.User():
		a.State.set(AddState{UserProblem: t.T("This is yourself. Write the user id of somebody else.")})
		return
	case len(greeting) > maxGreeting:
		a.State.set(AddState{GreetingProblem: t.T("The greeting is too long. Shorten it.")})
		return
	}
	was := s.Contacts.Get(user).GetState()
	a.asked++
	asked := a.asked
	a.State.set(AddState{Busy: true})
	s.Contacts.Request(user, greeting, func(err error) {
		if asked != a.asked {
			return
		}
		a.State.set(a.outcome(user, directory, was, err))
	})
}

// outcome says what became of asking.
func (a *AddContact) outcome(user, directory string, was controlpb.ContactState, err error) AddState {
	t, s := a.session.Texts(), a.session
	name := s.Contacts.Name(user)
	if status.Code(err) == codes.NotFound {
		here := s.Status.Get().GetDirectory().GetAddress()
		if !s.home(directory) {
			return AddState{UserProblem: t.F("Your directory %[1]s has no user “%[2]s”. The link is for another one: %[3]s", here, user, tidy(directory, maxShownName))}
		}
		return AddState{UserProblem: t.F("The directory has no user “%s”. Check the spelling.", user)}
	}
	if err != nil {
		problem := AddState{Problem: s.Sentence(err)}
		if code := status.Code(err); code == codes.InvalidArgument || code == codes.AlreadyExists || code == codes.FailedPrecondition {
			problem = AddState{UserProblem: problem.Problem}
		}
		return problem
	}
	if IsNet2019(user) {
		return AddState{User: user, Done: t.F("%s is your contact now. Nothing that you say to each other is encrypted.", name)}
	}
	if was == controlpb.ContactState_CONTACT_STATE_INCOMING {
		return AddState{User: user, Done: t.F("%s had asked you too: you are contacts now.", name)}
	}
	return AddState{User: user, Done: t.F("%s was asked. The chat opens here once the answer is yes.", name)}
}

// Rename sets the nickname shown here only, or removes it when it is empty; done
// hears what is wrong with it, or nothing.
func (p *Person) Rename(nickname string, done func(problem string)) {
	p.session.call(func(ctx context.Context, core Core) error {
		_, err := core.RenameContact(ctx, &controlpb.RenameContactRequest{User: p.user, Nickname: strings.TrimSpace(nickname)})
		return err
	}, p.session.problem(done))
}

// SetDisplayName sets what one is called by others; done hears what is wrong with
// it, or nothing.
func (s *Session) SetDisplayName(name string, done func(problem string)) {
	s.call(func(ctx context.Context, core Core) error {
		_, err := core.SetProfile(ctx, &controlpb.SetProfileRequest{SetDisplayName: true, DisplayName: strings.TrimSpace(name)})
		return err
	}, s.problem(done))
}

// SetAvatar makes a picture of a file one's own, cut to a square; an empty path
// removes it. done hears what is wrong, or nothing.
func (s *Session) SetAvatar(path string, done func(problem string)) {
	t := s.Texts()
	s.call(func(ctx context.Context, core Core) error {
		var picture []byte
		if path != "" {
			var err error
			if picture, err = avatarOfFile(path); err != nil {
				return err
			}
		}
		_, err := core.SetProfile(ctx, &controlpb.SetProfileRequest{SetAvatar: true, Avatar: picture})
		return err
	}, func(err error) {
		switch {
		case err == nil:
			done("")
		case isPictureError(err):
			done(t.T("This file cannot be used: choose a PNG, JPEG, GIF or WebP picture of at most 32 MB."))
		default:
			done(s.Sentence(err))
		}
	})
}

// ReadPicture makes a picture of a file small, to be shown before it is used; done
// hears what is wrong with it, or nothing.
func (s *Session) ReadPicture(path string, done func(small []byte, problem string)) {
	var small []byte
	s.beside(func() (err error) {
		small, err = avatarOfFile(path)
		return err
	}, func(err error) {
		if err != nil {
			done(nil, s.Texts().T("This file cannot be used: choose a PNG, JPEG, GIF or WebP picture of at most 32 MB."))
			return
		}
		done(small, "")
	})
}

// Greeting is what somebody wrote who asks to become a contact, harmless to show.
func (s *Session) Greeting(x *controlpb.Contact) string { return tidy(x.GetGreeting(), maxGreeting) }
