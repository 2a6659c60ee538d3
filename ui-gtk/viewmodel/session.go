package viewmodel

import (
	"context"
	"errors"
	"io"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
	"github.com/parley-chat/parley/ui-gtk/texts"
)

// Core is a connection to the headless core of one profile. *client.Client is
// one.
type Core interface {
	controlpb.ControlClient
	InvokeAction(ctx context.Context, plugin string, req *pluginpb.InvokeRequest, update func(*pluginpb.InvokeUpdate)) (*controlpb.InvokeResult, error)
	Close() error
}

// Config says what a Session needs.
type Config struct {
	Loop Loop
	// Connect connects to the core, which it starts when none runs. It is called
	// again after each loss.
	Connect func(context.Context) (Core, error)
	// Host starts a directory on this computer, and makes an invite for it; nil where
	// that is not possible. HostState looks how it stands, StopHost ends it.
	Host      func(context.Context) (Hosted, error)
	HostState func(context.Context) (HostState, error)
	StopHost  func(context.Context) error
	// Reachable gives the address by which others reach the directory at an address,
	// which is another one if that runs on this computer; nil where none can.
	Reachable func(address string) string
	// Draws says whether the font can draw an emoji; all of them when nil.
	Draws func(emoji string) bool
	// Texts has what is said to people.
	Texts *texts.Texts
	// Now tells the time; time.Now when nil.
	Now func() time.Time
	// After runs f on the Loop once some time has passed, unless stop is called
	// before; made of time.AfterFunc when nil.
	After func(d time.Duration, f func()) (stop func())
}

// LinkState is how the window and the core stand.
type LinkState int

// States of the link to the core.
const (
	// Connecting: for the first time.
	Connecting LinkState = iota
	// Connected: what is shown is what is.
	Connected
	// Lost: what is shown is what was; it is being connected anew.
	Lost
	// Foreign: a core of another version answers, which this window does not
	// understand.
	Foreign
)

// Link is the connection to the core.
type Link struct {
	State LinkState
	// Problem says why it is not connected, for people.
	Problem string
}

// Session is one profile's account, as the window shows it.
type Session struct {
	cfg  Config
	core Core // nil while there is no connection

	// Link is the connection to the core, Status what the core says of itself and
	// the account; nil before the first answer.
	Link   Value[Link]
	Status Value[*controlpb.Status]
	// Notices are what the core says that a person should know.
	Notices Signal[*controlpb.Notice]
	// Failures are sentences about what a person asked for and did not work.
	Failures Signal[string]
	// Events are all events of the core, after the models here have taken them.
	Events Signal[*controlpb.Event]
	// Loaded is called each time all was read anew: after a connection, and when
	// the core said that something was missed.
	Loaded Signal[struct{}]

	Contacts *Contacts
	Chats    *Chats
	Plugins  *Plugins
	Groups   *Groups
	Panes    *Panes
	Login    *Login
	// Conversation is the chat that is shown.
	Conversation *Conversation

	Search  *Search
	Avatars *Avatars
	Emojis  *Emojis

	outbox *outbox
	pace   *pace

	ctx     context.Context // of Run; ends all calls
	loading bool            // models are being told all anew
}

// NewSession makes a session that Run connects.
func NewSession(cfg Config) *Session {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.After == nil {
		cfg.After = func(d time.Duration, f func()) func() {
			stopped := false
			t := time.AfterFunc(d, func() {
				cfg.Loop.Post(func() {
					if !stopped {
						f()
					}
				})
			})
			return func() { stopped = true; t.Stop() }
		}
	}
	s := &Session{cfg: cfg, ctx: context.Background()}
	s.pace = newPace(s)
	s.Contacts = newContacts(s)
	s.Chats = newChats(s)
	s.Plugins = newPlugins(s)
	s.Emojis = newEmojis(s)
	s.Groups = newGroups(s)
	s.Panes = newPanes(s.Chats)
	s.Login = newLogin(s)
	s.outbox = newOutbox(s)
	s.Conversation = newConversation(s)
	s.Search = newSearch(s)
	s.Avatars = newAvatars(s)
	return s
}

// Texts has what is said to people, in the language that is set.
func (s *Session) Texts() *texts.Texts { return s.cfg.Texts }

// User is the account's id; empty when nobody is logged in.
func (s *Session) User() string { return s.Status.Get().GetUser() }

// Open says whether the account is open: logged in, and not locked.
func (s *Session) Open() bool { return s.Stage() == Opened }

// Relabel writes anew what is said in words, after the language changed.
func (s *Session) Relabel() {
	s.Groups.Relabel()
	s.Chats.Relabel()
	s.Conversation.Relabel()
}

// Stage is how far a session is.
type Stage int

// Stages.
const (
	// Starting: nothing was heard of the core yet.
	Starting Stage = iota
	// LoggedOut: there is no account.
	LoggedOut
	// Locked: there is one that cannot be opened.
	Locked
	// Opened: there is one, and it is open.
	Opened
)

// Stage says how far it is.
func (s *Session) Stage() Stage {
	switch s.Status.Get().GetState() {
	case controlpb.AccountState_ACCOUNT_STATE_OPEN:
		return Opened
	case controlpb.AccountState_ACCOUNT_STATE_LOCKED:
		return Locked
	case controlpb.AccountState_ACCOUNT_STATE_NONE:
		return LoggedOut
	}
	return Starting
}

// Waits between two tries to connect.
const (
	firstWait   = 100 * time.Millisecond
	longestWait = 5 * time.Second
)

// Run connects to the core, and again whenever the connection is lost, until ctx
// ends. It is called on a goroutine of its own.
func (s *Session) Run(ctx context.Context) {
	s.cfg.Loop.Post(func() { s.ctx = ctx })
	wait := firstWait
	for ctx.Err() == nil {
		began := s.cfg.Now()
		err := s.connection(ctx)
		if ctx.Err() != nil {
			return
		}
		if s.cfg.Now().Sub(began) > longestWait {
			wait = firstWait
		}
		s.cfg.Loop.Post(func() { s.lost(err) })
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
		case <-t.C:
		}
		wait = min(2*wait, longestWait)
	}
}

// connection lives through one connection to the core.
func (s *Session) connection(ctx context.Context) error {
	core, err := s.cfg.Connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = core.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events, err := core.Watch(ctx, &controlpb.WatchRequest{Acquaintances: true})
	if err != nil {
		return err
	}
	if _, err := events.Recv(); err != nil { // Watching: from here on nothing is missed
		return err
	}
	if err := s.load(ctx, core); err != nil {
		return err
	}
	// Events are gathered while the loop is busy, so that a burst is drawn once.
	// What is not taken from the stream in time the core replaces by one Resync.
	incoming := make(chan *controlpb.Event, maxGathered)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.take(ctx, core, incoming)
	}()
	defer func() { cancel(); <-done }()
	for {
		e, err := events.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the core has ended")
			}
			return err
		}
		select {
		case incoming <- e:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// maxGathered bounds the events that wait for the loop.
const maxGathered = 512

// take hands events to the loop: all that have come when the loop gets to it, or in
// small steps while somebody types. Then it leaves the loop alone for a frame, or for as
// long as the loop had no time for it, or until the next key shows: however many
// events there are, what a person does comes in between.
func (s *Session) take(ctx context.Context, core Core, incoming <-chan *controlpb.Event) {
	for {
		var batch []*controlpb.Event
		select {
		case <-ctx.Done():
			return
		case e := <-incoming:
			batch = append(batch, e)
		}
		var again, typing bool
		asked := time.Now()
		began := asked
		taken := make(chan struct{})
		s.cfg.Loop.Post(func() {
			busy := time.Since(asked)
			s.pace.run(func() {
				defer close(taken)
				began = time.Now().Add(-busy) // without the wait for a picture
				typing = s.pace.typing()
				batch = gather(batch, incoming, s.pace.step(len(incoming)))
				if ctx.Err() == nil {
					again = s.handle(batch)
				}
			})
		})
		select {
		case <-ctx.Done():
			return
		case <-taken:
		}
		if again {
			if err := s.load(ctx, core); err != nil && ctx.Err() == nil {
				s.cfg.Loop.Post(func() { s.Failures.emit(s.Sentence(err)) })
			}
		}
		s.rest(ctx, time.Since(began), typing)
	}
}

// gather takes events that wait, after those in batch, up to so many messages.
func gather(batch []*controlpb.Event, incoming <-chan *controlpb.Event, messages int) []*controlpb.Event {
	for _, e := range batch {
		if e.GetMessageAdded() != nil {
			messages--
		}
	}
	for len(batch) < maxGathered && len(incoming) > 0 && messages > 0 {
		e := <-incoming
		batch = append(batch, e)
		if e.GetMessageAdded() != nil {
			messages--
		}
	}
	return batch
}

// rest leaves the loop alone after it was busy with events.
func (s *Session) rest(ctx context.Context, busy time.Duration, typing bool) {
	wait := func(d time.Duration, or <-chan struct{}) {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-or:
		}
	}
	if !typing {
		wait(max(frame, busy), nil)
		return
	}
	wait(frame/2, nil)
	select {
	case <-s.pace.painted: // before now
	default:
	}
	wait(max(typingRest-frame/2, busy), s.pace.painted)
}

// hugeLists is how many people and chats take memory that is worth to be given back once
// they are read.
const hugeLists = 1000

// load reads all that the models show, in one picture.
func (s *Session) load(ctx context.Context, core Core) error {
	st, err := core.GetStatus(ctx, &controlpb.GetStatusRequest{})
	if err != nil {
		return err
	}
	plugins, err := core.ListPlugins(ctx, &controlpb.ListPluginsRequest{})
	if err := unlessClosed(err); err != nil {
		return err
	}
	// With thousands of people each takes a part of a second.
	var contacts *controlpb.ListContactsResponse
	var chats *controlpb.ListChatsResponse
	both, inner := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		contacts, err = core.ListContacts(inner, &controlpb.ListContactsRequest{Acquaintances: true})
		return unlessClosed(err)
	})
	both.Go(func() (err error) {
		chats, err = core.ListChats(inner, &controlpb.ListChatsRequest{})
		return unlessClosed(err)
	})
	if err := both.Wait(); err != nil {
		return err
	}
	s.cfg.Loop.Post(func() {
		if ctx.Err() != nil {
			return
		}
		s.core, s.loading = core, true
		s.Status.set(st)
		s.Plugins.load(plugins.GetPlugins())
		s.Contacts.load(contacts.GetContacts())
		s.Chats.load(chats.GetChats())
		s.loading = false
		s.Link.set(Link{State: Connected})
		s.Loaded.emit(struct{}{})
		if len(contacts.GetContacts())+len(chats.GetChats()) > hugeLists {
			// What was read was also answers and rows on the way, tens of megabytes.
			go debug.FreeOSMemory()
		}
	})
	return nil
}

// unlessClosed gives an error, unless it only says that no account is open.
func unlessClosed(err error) error {
	if closedAccount(err) {
		return nil
	}
	return err
}

// closedAccount says whether an error only says that no account is open.
func closedAccount(err error) bool {
	reason := client.Reason(err)
	return reason == "NO_ACCOUNT" || reason == "LOCKED"
}

// lost notes that the connection is gone.
func (s *Session) lost(err error) {
	s.core = nil
	link := Link{State: Lost, Problem: client.Message(err)}
	if was := s.Link.Get().State; was == Connecting {
		link.State = Connecting
	}
	if status.Code(err) == codes.Unimplemented {
		link = Link{State: Foreign, Problem: s.Texts().T("Another version of Parley is running. Quit it, then try again.")}
	}
	s.Link.set(link)
}

// Replace asks the core that answers to end, so that one of this version is
// started: after a new version of Parley was installed.
func (s *Session) Replace() {
	go func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		core, err := s.cfg.Connect(ctx)
		if err == nil {
			_, err = core.Shutdown(ctx, &controlpb.ShutdownRequest{})
			_ = core.Close()
		}
		s.cfg.Loop.Post(func() {
			if err != nil && s.ctx.Err() == nil {
				s.Failures.emit(s.Sentence(err))
			}
		})
	}(s.ctx)
}

// handle takes events of the core, and says whether all must be read anew.
func (s *Session) handle(batch []*controlpb.Event) (again bool) {
	for _, e := range batch {
		switch e := e.GetEvent().(type) {
		case *controlpb.Event_Resync:
			again = true
		case *controlpb.Event_Status:
			was := s.Status.Get()
			s.Status.set(e.Status)
			if was.GetState() != e.Status.GetState() || was.GetUser() != e.Status.GetUser() {
				again = true
			}
		case *controlpb.Event_Notice:
			s.Notices.emit(e.Notice)
		}
	}
	s.Contacts.handle(batch)
	s.Plugins.handle(batch)
	s.Groups.handle(batch)
	s.Chats.handle(batch)
	s.Conversation.handle(batch)
	for _, e := range batch {
		s.Events.emit(e)
	}
	return again
}

// callTimeout ends a call that the core does not answer.
const callTimeout = 30 * time.Second

// errNotConnected is what calls end with while there is no connection.
var errNotConnected = status.Error(codes.Unavailable, "")

// call runs do beside the loop, and then done with its error on the loop. Without
// a connection, done gets an error at once, though not before call has returned.
func (s *Session) call(do func(ctx context.Context, core Core) error, done func(error)) {
	s.callFor(callTimeout, do, done)
}

// callFor is call with a deadline of its own; 0 for none, for what a person ends.
func (s *Session) callFor(limit time.Duration, do func(ctx context.Context, core Core) error, done func(error)) {
	core, ctx := s.core, s.ctx
	if core == nil {
		s.cfg.Loop.Post(func() { done(errNotConnected) })
		return
	}
	go func() {
		cancel := context.CancelFunc(func() {})
		if limit > 0 {
			ctx, cancel = context.WithTimeout(ctx, limit)
		}
		defer cancel()
		err := do(ctx, core)
		s.cfg.Loop.Post(func() { done(err) })
	}()
}

// beside runs do, which needs no core, beside the loop, and then done on it.
func (s *Session) beside(do func() error, done func(error)) {
	go func() {
		err := do()
		s.cfg.Loop.Post(func() { done(err) })
	}()
}

// ask is call for what a person asked for, where a failure is shown and nothing
// else is to be done.
func (s *Session) ask(do func(ctx context.Context, core Core) error) {
	s.call(do, func(err error) {
		if err != nil {
			s.Failures.emit(s.Sentence(err))
		}
	})
}

// DirectoryProblem says what is not well with the directory; empty for nothing.
func (s *Session) DirectoryProblem() string {
	d := s.Status.Get().GetDirectory()
	return s.tell(d.GetReason(), d.GetError())
}

// Sentence says to a person why something failed.
func (s *Session) Sentence(err error) string {
	switch {
	case errors.Is(err, errNotConnected):
		return s.Texts().T("Parley is being started. Try again in a moment.")
	case client.Info(err) == nil && (errors.Is(err, context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded):
		return s.Texts().T("That took too long. Try again.")
	}
	return s.tell(client.Info(err), client.Message(err))
}
