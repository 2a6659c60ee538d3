package directory_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/directory"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/protocol/packet"
	records "github.com/parley-chat/parley/server/directory"
)

// TestPresenceModel: whatever people, networks and the server do, in the end
// everybody sees of each contact what is so. One fixed course of events, so that
// it fails for everybody or for nobody; TestSoakPresenceModel tries others.
func TestPresenceModel(t *testing.T) {
	setFlags(t, map[string]string{"rapid.seed": "2019", "rapid.checks": "2", "rapid.shrinktime": "0s", "rapid.nofailfile": "true"})
	done := map[string]int{}
	rapid.Check(t, func(t *rapid.T) { playModel(t, 150, done) })
	t.Logf("steps: %v", done)
	for _, step := range steps {
		if done[step.name] == 0 {
			t.Errorf("%q was never done: take another seed, or more steps", step.name)
		}
	}
}

func TestSoakPresenceModel(t *testing.T) {
	soak, err := time.ParseDuration(os.Getenv("PARLEY_SOAK"))
	if err != nil || soak <= 0 {
		t.Skip("runs when PARLEY_SOAK says how long, such as 10m")
	}
	setFlags(t, map[string]string{"rapid.checks": "1", "rapid.shrinktime": "2m"})
	for end := time.Now().Add(soak); time.Now().Before(end) && !t.Failed(); {
		rapid.Check(t, func(t *rapid.T) { playModel(t, 300, map[string]int{}) })
	}
}

// setFlags sets rapid's flags, which are for whole processes, for one test.
func setFlags(t *testing.T, values map[string]string) {
	t.Helper()
	for name, value := range values {
		f := flag.Lookup(name)
		if f == nil {
			t.Fatalf("there is no flag %s", name)
		}
		before := f.Value.String()
		if f.Value.String() == f.DefValue { // else it was given by hand
			if err := f.Value.Set(value); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() { _ = f.Value.Set(before) })
	}
}

// modelPatience bounds how long a check waits. rapid plays a course that failed
// again, so it is shorter than other tests'.
const modelPatience = time.Minute

// device is one that was logged in at some time.
type device struct {
	id   *identity.Identity
	wire *wire
	*person
	heard map[packet.UserID]bus.Presence // what was published last
}

// account is what a model knows of a user.
type account struct {
	user     packet.UserID
	exists   bool
	disabled bool
	bound    *device // logged in; nil when none is
	contacts map[packet.UserID]bool
	blocked  map[packet.UserID]bool
	port     uint16
	name     string
}

func (a *account) runs() bool { return a.bound != nil && a.bound.person != nil }

// online says whether the directory is to think so in the end.
func (a *account) online() bool {
	return a.exists && !a.disabled && a.runs() && !a.bound.wire.isCut()
}

func (a *account) lists(b *account) bool { return a.contacts[b.user] && !a.blocked[b.user] }

// model is a directory with people.
type model struct {
	*running
	accounts map[packet.UserID]*account
	users    []packet.UserID // all but beacon, in order
	beacon   *account        // is always online and everybody's contact
	up       bool            // the server runs
	ghosts   []*device       // run, and are logged in no more
	wires    []*wire
	port     uint16
}

// steps are what can happen; a step that cannot be done now does nothing, and
// says so.
var steps = []struct {
	name string
	do   func(*model, *rapid.T, *account) bool
}{
	{"log in", (*model).logIn},
	{"start", (*model).start},
	{"log in", (*model).logIn}, // as often as what undoes it
	{"start", (*model).start},
	{"stop", func(m *model, _ *rapid.T, a *account) bool { return m.leave(a, false) }},
	{"crash", func(m *model, _ *rapid.T, a *account) bool { return m.leave(a, true) }},
	{"log out", (*model).logOut},
	{"log in elsewhere", (*model).logInElsewhere},
	{"break connections", (*model).breakConnections},
	{"cut", (*model).cut},
	{"heal", (*model).heal},
	{"contact", (*model).toggleContact},
	{"block", (*model).toggleBlock},
	{"move", (*model).move},
	{"rename", (*model).rename},
	{"disable", (*model).disable},
	{"remove", (*model).remove},
	{"server stops", func(m *model, _ *rapid.T, _ *account) bool { return m.serverStops(false) }},
	{"server crashes", func(m *model, _ *rapid.T, _ *account) bool { return m.serverStops(true) }},
	{"server starts", func(m *model, _ *rapid.T, _ *account) bool { return m.serverStarts() }},
	{"server starts", func(m *model, _ *rapid.T, _ *account) bool { return m.serverStarts() }},
	{"all is well", func(m *model, t *rapid.T, _ *account) bool { m.check(t); return true }},
}

// playModel does n steps, and counts them by name.
func playModel(t *rapid.T, n int, done map[string]int) {
	folder, err := os.MkdirTemp("", "parley-presence-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	m := &model{running: startIn(t, folder, 2*time.Second), accounts: map[packet.UserID]*account{}, up: true}
	t.Cleanup(func() {
		for _, w := range m.wires {
			w.close()
		}
	})
	m.begin(t)
	for range n {
		step := steps[rapid.IntRange(0, len(steps)-1).Draw(t, "step")]
		user := rapid.SampledFrom(m.users).Draw(t, "user")
		if did := step.do(m, t, m.accounts[user]); did {
			t.Logf("%s: %s", step.name, user)
			done[step.name]++
		}
	}
	m.check(t)
}

// begin makes the people; half of the pairs know each other.
func (m *model) begin(t *rapid.T) {
	m.users = []packet.UserID{"alice", "bob", "carol", "dave", "erin"}
	for _, user := range append([]packet.UserID{"beacon"}, m.users...) {
		m.accounts[user] = &account{user: user, contacts: map[packet.UserID]bool{}, blocked: map[packet.UserID]bool{}, port: 1}
	}
	for i, user := range m.users {
		for _, other := range m.users[i+1:] {
			m.accounts[user].contacts[other] = (i+len(other))%2 == 0
			m.accounts[other].contacts[user] = (i+len(other))%3 != 0
		}
		m.accounts[user].contacts["beacon"] = true
		m.accounts["beacon"].contacts[user] = true
	}
	m.beacon = m.accounts["beacon"]
	for _, user := range []packet.UserID{"beacon", "alice", "bob", "carol", "dave"} {
		a := m.accounts[user]
		m.logIn(t, a)
		m.move(t, a)
		m.start(t, a)
	}
}

func (m *model) device(t tester, user packet.UserID) *device {
	d := &device{id: newIdentity(t, user), wire: newWire(), heard: map[packet.UserID]bus.Presence{}}
	m.wires = append(m.wires, d.wire)
	return d
}

func (m *model) logIn(t *rapid.T, a *account) bool {
	if !m.up || a.bound != nil || a.disabled {
		return false
	}
	d := m.device(t, a.user)
	var err error
	if a.exists {
		_, err = directory.LogIn(t.Context(), m.target(d.id), directory.Credentials{Password: goodPassword})
	} else {
		_, err = directory.Register(t.Context(), m.target(d.id), directory.Registration{Password: goodPassword})
		a.name = string(a.user)
	}
	if err != nil {
		t.Fatalf("register or log in %s: %v", a.user, err)
	}
	a.exists, a.bound = true, d
	return true
}

func (m *model) start(_ *rapid.T, a *account) bool {
	if a.bound == nil || a.bound.person != nil {
		return false
	}
	m.run(a, a.bound)
	return true
}

func (m *model) run(a *account, d *device) {
	cfg := directory.Config{Address: m.addr, Pin: m.fingerprint, Identity: d.id}
	cfg.SetDialer(d.wire.dial)
	cfg.Quicken()
	contacts, blocked, endpoints := a.published()
	d.person = serveWith(m.t, cfg, contacts, blocked, endpoints)
	d.heard = map[packet.UserID]bus.Presence{}
}

// published is what a device tells the directory.
func (a *account) published() (contacts, blocked []packet.UserID, endpoints []bus.Endpoint) {
	list := func(set map[packet.UserID]bool) []packet.UserID {
		var users []packet.UserID
		for user, in := range set {
			if in {
				users = append(users, user)
			}
		}
		return users
	}
	return list(a.contacts), list(a.blocked), []bus.Endpoint{{Host: "192.0.2.1", Port: a.port}}
}

// update tells a device that runs.
func (a *account) update() {
	if !a.runs() {
		return
	}
	contacts, blocked, endpoints := a.published()
	a.bound.change(func() { a.bound.contacts, a.bound.blocked, a.bound.endpoints = contacts, blocked, endpoints })
}

// leave ends a device's program; in a crash nobody has the time for good-byes.
// On its next start it has another network.
func (m *model) leave(a *account, crash bool) bool {
	if !a.runs() {
		return false
	}
	if crash {
		a.bound.wire.kill()
	}
	a.bound.stop()
	a.bound = &device{id: a.bound.id, wire: newWire()}
	m.wires = append(m.wires, a.bound.wire)
	return true
}

// logOut has a connection of its own: whether the session is there just now, which
// nobody waited for, makes no difference.
func (m *model) logOut(t *rapid.T, a *account) bool {
	if !m.up || !a.online() {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := a.bound.LogOut(ctx); err != nil {
		t.Fatalf("log out %s: %v", a.user, err)
	}
	m.ghosts = append(m.ghosts, a.bound)
	a.bound = nil
	return true
}

func (m *model) logInElsewhere(t *rapid.T, a *account) bool {
	if !m.up || !a.exists || a.disabled || a.bound == nil {
		return false
	}
	if a.runs() {
		m.ghosts = append(m.ghosts, a.bound)
	}
	d := m.device(t, a.user)
	if _, err := directory.LogIn(t.Context(), m.target(d.id), directory.Credentials{Password: goodPassword, Replace: true}); err != nil {
		t.Fatalf("log in %s: %v", a.user, err)
	}
	a.bound = d
	m.run(a, d)
	return true
}

func (m *model) breakConnections(_ *rapid.T, a *account) bool {
	if !a.runs() {
		return false
	}
	a.bound.wire.drop()
	return true
}

func (m *model) cut(t *rapid.T, a *account) bool {
	if !a.runs() || a.bound.wire.isCut() {
		return false
	}
	which := rapid.IntRange(1, 3).Draw(t, "directions")
	a.bound.wire.set(which&1 != 0, which&2 != 0)
	return true
}

// heal makes the first wire whole that is cut.
func (m *model) heal(t *rapid.T, _ *account) bool {
	for _, user := range m.users {
		if a := m.accounts[user]; a.runs() && a.bound.wire.isCut() {
			a.bound.wire.set(false, false)
			if rapid.Bool().Draw(t, "noticed") {
				a.bound.Wake()
			}
			return true
		}
	}
	return false
}

func (m *model) toggleContact(t *rapid.T, a *account) bool { return m.toggle(t, a, a.contacts) }
func (m *model) toggleBlock(t *rapid.T, a *account) bool   { return m.toggle(t, a, a.blocked) }

func (m *model) toggle(t *rapid.T, a *account, set map[packet.UserID]bool) bool {
	other := rapid.SampledFrom(m.users).Draw(t, "other")
	if other == a.user {
		return false
	}
	set[other] = !set[other]
	a.update()
	return true
}

func (m *model) move(_ *rapid.T, a *account) bool {
	m.port++
	a.port = m.port
	a.update()
	return true
}

func (m *model) rename(t *rapid.T, a *account) bool {
	if !m.up || !a.exists {
		return false
	}
	m.port++
	a.name = fmt.Sprintf("%s %d", a.user, m.port)
	if err := m.server.Directory().SetProfile(t.Context(), a.user, a.name, nil); err != nil {
		t.Fatalf("rename %s: %v", a.user, err)
	}
	return true
}

func (m *model) disable(t *rapid.T, a *account) bool {
	if !m.up || !a.exists {
		return false
	}
	a.disabled = !a.disabled
	_, err := m.server.Directory().ChangeAccount(t.Context(), a.user, func(r *records.Account) error {
		r.Disabled = a.disabled
		return nil
	})
	if err != nil {
		t.Fatalf("disable or enable %s: %v", a.user, err)
	}
	return true
}

func (m *model) remove(t *rapid.T, a *account) bool {
	if !m.up || !a.exists {
		return false
	}
	if err := m.server.Directory().RemoveAccount(t.Context(), a.user); err != nil {
		t.Fatalf("remove %s: %v", a.user, err)
	}
	if a.runs() {
		m.ghosts = append(m.ghosts, a.bound)
	}
	a.exists, a.disabled, a.bound = false, false, nil
	return true
}

// serverStops stops the server; in a crash the connections break first.
func (m *model) serverStops(crash bool) bool {
	if !m.up {
		return false
	}
	if crash {
		for _, w := range m.wires {
			w.drop()
		}
	}
	m.stop()
	m.up = false
	return true
}

func (m *model) serverStarts() bool {
	if m.up {
		return false
	}
	m.running.start()
	m.up = true
	return true
}

// check waits until all is as it should be. That may be for a moment only, with
// something wrong on its way: so everybody then hears of a change that comes
// after all others, and all must be as it should be still, or again.
func (m *model) check(t *rapid.T) {
	if !m.up {
		m.serverStarts()
	}
	for range 3 {
		deadline := time.After(modelPatience)
		tick := time.NewTicker(10 * time.Millisecond)
		for wrong := m.wrong(); wrong != ""; wrong = m.wrong() {
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatal(wrong)
			}
		}
		tick.Stop()
		m.move(t, m.beacon)
	}
}

// wrong gives something that is not as it should be.
func (m *model) wrong() string {
	for _, user := range append([]packet.UserID{"beacon"}, m.users...) {
		watcher := m.accounts[user]
		if !watcher.runs() {
			continue
		}
		if state := watcher.bound.State(); state.Connected != watcher.online() {
			return fmt.Sprintf("%s is connected: %t, %v", user, state.Connected, state.Err)
		}
		if !watcher.online() {
			continue // and knows what it knew
		}
		for other, a := range m.accounts {
			if wrong := m.wrongOf(watcher, a); other != user && wrong != "" {
				return wrong
			}
		}
	}
	for _, ghost := range m.ghosts {
		if state := ghost.State(); state.Connected || !ghost.wire.isCut() && !errors.Is(state.Err, directory.ErrNotLoggedIn) {
			return fmt.Sprintf("an old device of %s is connected: %t, %v", ghost.id.User(), state.Connected, state.Err)
		}
	}
	return ""
}

func (m *model) wrongOf(watcher, a *account) string {
	d := watcher.bound
	for {
		p, ok := d.presence.TryNext()
		if !ok {
			break
		}
		d.heard[p.User] = p
	}
	want := bus.Presence{User: a.user}
	if a.online() && a.lists(watcher) && watcher.lists(a) {
		want.Online = true
		want.DisplayName = a.name
		want.Endpoints = []bus.Endpoint{{Host: "192.0.2.1", Port: a.port}}
		want.Keys = append(want.Keys, a.bound.id.Key())
	}
	tell := func(p bus.Presence) string {
		return fmt.Sprintf("online %t as %q at %v with %x", p.Online, p.DisplayName, p.Endpoints, p.Keys)
	}
	got, known := d.Presence(a.user)
	switch heard := d.heard[a.user]; {
	case known && !watcher.contacts[a.user]:
		return fmt.Sprintf("%s knows how %s is, who is no contact", watcher.user, a.user)
	case tell(got) != tell(want):
		return fmt.Sprintf("to %s, %s is %s; right is %s", watcher.user, a.user, tell(got), tell(want))
	case tell(heard) != tell(got):
		return fmt.Sprintf("%s heard last that %s is %s, and knows that it is %s", watcher.user, a.user, tell(heard), tell(got))
	}
	return ""
}
