package chaos

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/bench/network/networktest"
	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/plugins/group"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// members of the group, and who of them knows whom: ann and ben are the admins, and
// most of the others have never met.
var (
	members = []string{"ann", "ben", "cid", "dot", "eve", "fay", "gus", "hal"}
	friends = map[string][]string{"ann": {"ben", "cid", "dot", "hal"}, "ben": {"eve", "fay", "gus", "hal"}}
)

// TestGroupMesh has eight people in one group of whom most do not know each other:
// each pair gets one link, nobody new is among the contacts, and they talk with
// each other while the one who brought them together is gone.
func TestGroupMesh(t *testing.T) {
	t.Parallel()
	if networktest.Need(t) {
		return
	}
	g := newGroup(t)
	ben, cid, eve := g.person("ben"), g.person("cid"), g.person("eve")
	for _, p := range g.people {
		g.wantContacts(p)
	}

	ben.core.Kill()
	ben.broken(ben.connectedBefore())
	g.says(cid, "is ben asleep?")
	g.says(eve, "I do not see him either")
	g.until("what cid and eve said is everywhere but at ben's", func() bool {
		return g.everywhere([]string{"cid: is ben asleep?", "eve: I do not see him either"}, ben)
	})
	ben.begin()
	g.whole()
	g.until("ben has it as well", func() bool { return g.everywhere(g.bodies(cid)) })

	// Two halves, for as long as it takes to see that the others are gone.
	must(t, g.network.Part("cid", "eve", "gus"))
	g.says(cid, "who hears this?")
	g.says(g.person("ann"), "and this?")
	g.until("both halves see that the others are gone", func() bool {
		return g.linkedWith(cid, "eve", "gus") && g.linkedWith(eve, "cid", "gus") && g.linkedWith(g.person("ann"), "ben", "dot", "fay", "hal")
	})
	for _, name := range []string{"cid", "eve", "gus"} {
		must(t, g.network.SetCable(name, true))
	}
	g.whole()
	g.until("what was said apart is everywhere", func() bool {
		return slices.Contains(g.bodies(eve), "ann: and this?") && g.everywhere(g.bodies(eve))
	})

	// Who is taken out hears of it, and is then no more to who is no contact.
	hal := g.person("hal")
	g.do(ben, "remove", &pluginpb.InvokeRequest{Text: "hal"})
	g.until("hal sees that he is out", func() bool { info, ok := g.info(hal); return ok && info.Role == "" })
	g.until("nobody but his contacts has a link with hal", func() bool {
		return g.linkedWith(hal, "ann", "ben") && g.linkedWith(cid, "ann", "ben", "dot", "eve", "fay", "gus")
	})
	if got := g.acquaintances(hal); len(got) > 0 {
		t.Errorf("hal still lists %q", got)
	}
}

// TestGroup has the members of a group write while parts of them are cut off and
// their cores are killed, and two admins change who is in it meanwhile, apart or
// not: all end with the same history, the same members, and nothing lost or twice.
func TestGroup(t *testing.T) {
	t.Parallel()
	groupChaos{messages: 20, troubles: 6, changes: 8, seed: 1}.run(t)
}

// TestSoakGroup does the same with 400 messages of each and 60 troubles.
func TestSoakGroup(t *testing.T) {
	if os.Getenv("PARLEY_SOAK") == "" {
		t.Skip("takes long; see make soak")
	}
	groupChaos{messages: 400, troubles: 60, changes: 60, seed: uint64(time.Now().UnixNano()), long: true}.run(t)
}

// groupWorld is a group of people at hosts of their own.
type groupWorld struct {
	*world
	chat string
}

func newGroup(t *testing.T) *groupWorld {
	t.Helper()
	addresses := map[string]string{"directory": "10.79.0.1/24"}
	for i, name := range members {
		addresses[name] = fmt.Sprintf("10.79.0.%d/24", i+2)
	}
	g := &groupWorld{world: emptyWorldIn(t, networktest.New(t, "directory", addresses), "10.79.0.1:7410", "0.0.0.0:0")}
	for _, name := range members {
		g.join(name)
	}
	ann, ben := g.person("ann"), g.person("ben")
	for name, others := range friends {
		for _, other := range others {
			g.befriend(g.person(name), g.person(other))
		}
	}
	result := g.do(ann, "create", &pluginpb.InvokeRequest{Text: "eight of us", Args: map[string]string{"users": strings.Join(friends["ann"], " "), "history": "all"}})
	var done group.Done
	must(t, json.Unmarshal(result, &done))
	g.chat = string(done.Chat)
	g.accept(ben)
	g.do(ann, "role", &pluginpb.InvokeRequest{Args: map[string]string{"user": "ben", "role": "admin"}})
	g.until("ben is an admin", func() bool { info, ok := g.info(ben); return ok && info.Role == "admin" })
	g.do(ben, "invite", &pluginpb.InvokeRequest{Text: "eve fay gus"})
	for _, p := range g.people[2:] {
		g.accept(p)
	}
	g.whole()
	g.agreed()
	return g
}

func (g *groupWorld) person(name string) *person { return g.people[slices.Index(members, name)] }

// do has somebody run an action of the group plugin, again until it came through.
func (g *groupWorld) do(p *person, action string, req *pluginpb.InvokeRequest) (result []byte) {
	g.t.Helper()
	req.Action, req.Chat, req.Invocation = action, g.chat, client.NewInvocation()
	g.until(p.name+" does: "+action, func() bool {
		var err error
		if result, err = p.act("group", req); err == nil {
			return true
		}
		p.revivePlugin("group")
		switch status.Code(err) {
		case codes.InvalidArgument, codes.PermissionDenied:
			g.t.Fatalf("%s does %s: %v", p.name, action, err)
		default:
		}
		return false
	})
	return result
}

// changes has an admin change something, if that may be at present: another may
// have changed it just now, or the admin's core may not run.
func (g *groupWorld) changes(p *person, action, text string) (done bool) {
	id := client.NewInvocation()
	for range 5 {
		_, err := p.act("group", &pluginpb.InvokeRequest{Invocation: id, Action: action, Chat: g.chat, Text: text})
		switch status.Code(err) {
		case codes.OK:
			return true
		case codes.FailedPrecondition, codes.NotFound, codes.PermissionDenied:
			return false
		case codes.InvalidArgument:
			g.t.Errorf("%s does %s %q: %v", p.name, action, text, err)
			return false
		default:
			p.revivePlugin("group")
			g.rest(100 * time.Millisecond)
		}
	}
	return false
}

func (g *groupWorld) rest(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-g.t.Context().Done():
	}
}

// accept has somebody join once the invitation is there.
func (g *groupWorld) accept(p *person) {
	g.t.Helper()
	g.until(p.name+" is invited", func() bool { info, ok := g.info(p); return ok && info.Role == "invited" })
	g.do(p, "accept", &pluginpb.InvokeRequest{})
}

func (g *groupWorld) info(p *person) (info group.Info, ok bool) {
	result, err := p.act("group", &pluginpb.InvokeRequest{Invocation: client.NewInvocation(), Action: "info", Chat: g.chat})
	return info, err == nil && json.Unmarshal(result, &info) == nil
}

// linked gives with whom somebody has how many links; not ok when the core does
// not say.
func (g *groupWorld) linked(p *person) (links map[string]int, ok bool) {
	c := p.connected()
	if c == nil {
		return nil, false
	}
	s, err := c.GetStatus(g.t.Context(), &controlpb.GetStatusRequest{})
	if err != nil {
		p.broken(c)
		return nil, false
	}
	links = map[string]int{}
	for _, l := range s.GetLinks() {
		links[l.GetUser()]++
	}
	return links, true
}

// linkedWith says whether somebody has one link with each of these, and none with
// anybody else.
func (g *groupWorld) linkedWith(p *person, names ...string) bool {
	links, ok := g.linked(p)
	for _, name := range names {
		ok = ok && links[name] == 1
	}
	return ok && len(links) == len(names)
}

// whole waits until each pair of all people has one link.
func (g *groupWorld) whole() {
	g.t.Helper()
	var missing string
	g.until("every pair has one link", func() bool {
		missing = g.missing()
		return missing == ""
	}, func() string { return missing })
}

// missing says who has not one link with each of the others; "" is nobody.
func (g *groupWorld) missing() string {
	for _, p := range g.people {
		var others []string
		for _, other := range g.people {
			if other != p {
				others = append(others, other.name)
			}
		}
		if !g.linkedWith(p, others...) {
			links, _ := g.linked(p)
			return fmt.Sprintf("%s has %v", p.name, links)
		}
	}
	return ""
}

func (g *groupWorld) acquaintances(p *person) (users []string) {
	resp, err := p.connected().ListContacts(g.t.Context(), &controlpb.ListContactsRequest{Acquaintances: true})
	must(g.t, err)
	for _, c := range resp.GetContacts() {
		if c.GetState() == controlpb.ContactState_CONTACT_STATE_ACQUAINTANCE {
			users = append(users, c.GetUser())
		}
	}
	return users
}

// wantContacts checks that somebody's contacts are those of before, and everybody
// else is an acquaintance who is linked.
func (g *groupWorld) wantContacts(p *person) {
	g.t.Helper()
	resp, err := p.connected().ListContacts(g.t.Context(), &controlpb.ListContactsRequest{})
	must(g.t, err)
	for _, c := range resp.GetContacts() {
		if c.GetState() != controlpb.ContactState_CONTACT_STATE_CONTACT || !slices.Contains(friends[p.name], c.GetUser()) && !slices.Contains(friends[c.GetUser()], p.name) {
			g.t.Errorf("%s has %s among the contacts, as %s", p.name, c.GetUser(), c.GetState())
		}
	}
	if got := len(resp.GetContacts()) + len(g.acquaintances(p)); got != len(members)-1 {
		g.t.Errorf("%s has %d contacts and acquaintances, not %d", p.name, got, len(members)-1)
	}
}

func (g *groupWorld) says(p *person, text string) {
	g.t.Helper()
	id := client.NewInvocation()
	g.until(p.name+" says something", func() bool { return g.tell(p, id, text) })
}

func (g *groupWorld) tell(p *person, id []byte, text string) bool {
	_, err := p.act("text", &pluginpb.InvokeRequest{Invocation: id, Action: "send", Chat: g.chat, Text: text})
	if err != nil {
		p.revivePlugin("text")
	}
	return err == nil
}

// texts gives what people wrote, without what the group says of itself.
func (g *groupWorld) texts(p *person) []*controlpb.Message {
	return slices.DeleteFunc(p.historyOf(g.chat), func(m *controlpb.Message) bool { return m.GetPlugin() != "text" })
}

func (g *groupWorld) bodies(p *person) (all []string) {
	for _, m := range g.texts(p) {
		all = append(all, m.GetAuthor()+": "+m.GetBody())
	}
	return all
}

// everywhere says whether everybody shows the same, but for some.
func (g *groupWorld) everywhere(want []string, but ...*person) bool {
	for _, p := range g.people {
		if !slices.Contains(but, p) && !slices.Equal(g.bodies(p), want) {
			p.revivePlugin("text")
			p.revivePlugin("group")
			return false
		}
	}
	return true
}

// agreed waits until all who are in the group say the same of it, and the chat's
// members are those.
func (g *groupWorld) agreed() (last group.Info) {
	g.t.Helper()
	var differ string
	g.until("all say the same of the group", func() bool {
		last, differ = g.said()
		return differ == ""
	}, func() string { return differ })
	return last
}

// said gives what the last one who is in the group says of it, and how others
// differ; "" when they do not.
func (g *groupWorld) said() (last group.Info, differ string) {
	var first string
	for _, p := range g.people {
		info, ok := g.info(p)
		if !ok {
			return last, p.name + " says nothing"
		}
		if info.Role == "" {
			continue // was taken out
		}
		chat, ok := g.chatOf(p)
		var people []string
		for _, x := range info.People {
			people = append(people, string(x.User))
		}
		slices.Sort(people)
		if !ok || !slices.Equal(chat.GetMembers(), people) {
			return last, fmt.Sprintf("%s: the chat has %q, the group %q", p.name, chat.GetMembers(), people)
		}
		last = info
		info.Role, info.By = "", ""
		said, err := json.Marshal(info)
		must(g.t, err)
		if first == "" {
			first = string(said) + chat.GetTitle()
		}
		if first != string(said)+chat.GetTitle() || info.Waiting > 0 {
			return last, fmt.Sprintf("%s says %s, the first one %s", p.name, said, first)
		}
	}
	return last, ""
}

func (g *groupWorld) chatOf(p *person) (*controlpb.Chat, bool) {
	c := p.connected()
	if c == nil {
		return nil, false
	}
	resp, err := c.ListChats(g.t.Context(), &controlpb.ListChatsRequest{Id: g.chat})
	if err != nil || len(resp.GetChats()) != 1 {
		return nil, false
	}
	return resp.GetChats()[0], true
}

// groupChaos is what happens to a group.
type groupChaos struct {
	messages, troubles, changes int
	seed                        uint64
	long                        bool // parts stay apart for longer than links live without a sign
}

func (c groupChaos) run(t *testing.T) {
	if networktest.Need(t) {
		return
	}
	began := time.Now()
	g := newGroup(t)
	made := time.Since(began)
	random := rand.New(rand.NewPCG(c.seed, 2026))
	// Hal comes and goes; what he wrote while he was out counts for nobody.
	staying := g.people[:len(g.people)-1]
	var queued, repeated atomic.Int64
	var writing sync.WaitGroup
	for _, p := range staying {
		writing.Go(func() {
			for i := range c.messages {
				id := client.NewInvocation()
				for !g.tell(p, id, text(p.name, i)) {
					repeated.Add(1)
					if g.rest(50 * time.Millisecond); t.Context().Err() != nil {
						return
					}
				}
				queued.Add(1)
			}
		})
	}
	t.Cleanup(writing.Wait)
	count := map[string]int{}
	var changing sync.WaitGroup
	for i, admin := range []*person{g.person("ann"), g.person("ben")} {
		mine := rand.New(rand.NewPCG(c.seed, uint64(i)))
		changing.Go(func() {
			for n := range c.changes {
				switch mine.IntN(5) {
				case 0:
					g.changes(admin, "rename", fmt.Sprintf("title %d of %s", n, admin.name))
				case 1:
					g.changes(admin, "describe", fmt.Sprintf("description %d of %s", n, admin.name))
				case 2, 3:
					g.changes(admin, "remove", "hal")
				default:
					g.changes(admin, "invite", "hal")
				}
				g.rest(time.Duration(mine.IntN(1500)) * time.Millisecond)
			}
		})
	}
	t.Cleanup(changing.Wait)
	total := int64(c.messages * len(staying))
	for i := range c.troubles {
		g.ahead(&queued, total*int64(i)/int64(c.troubles+1))
		count[g.trouble(random, c.long)]++
	}
	g.ahead(&queued, total)
	changing.Wait()
	written := time.Since(began)
	// What an admin did while they were apart may come late, and take hal out again.
	var why string
	g.until("hal is in the group, every pair has one link, and all say the same", func() bool {
		info, ok := g.info(g.person("hal"))
		why = fmt.Sprintf("hal says %v: %+v", ok, info)
		switch {
		case !ok:
			g.person("hal").revivePlugin("group")
		case info.Role == "":
			g.changes(g.person("ann"), "invite", "hal")
		case info.Role == "invited":
			g.changes(g.person("hal"), "accept", "")
		default:
			if why = g.missing(); why == "" {
				_, why = g.said()
			}
			return why == ""
		}
		return false
	}, func() string { return why })
	last := g.agreed()
	g.until("all have all", func() bool {
		for _, p := range staying {
			if len(g.texts(p)) < int(total) {
				p.revivePlugin("text")
				return false
			}
		}
		return true
	})
	g.agreed()
	t.Logf("seed %d: %d messages of each of %d, %d changes of the group by 2 admins, troubles %v, %d Invokes repeated; made in %.1f s, written in %.1f s, all there after %.1f s",
		c.seed, c.messages, len(staying), last.Changes, count, repeated.Load(), made.Seconds(), written.Seconds(), time.Since(began).Seconds())
	g.check(staying, c.messages)
}

// trouble lets one thing happen, and mends it.
func (g *groupWorld) trouble(random *rand.Rand, long bool) string {
	g.t.Helper()
	who := g.people[random.IntN(len(g.people))]
	apart := time.Duration(1000+random.IntN(3000)) * time.Millisecond
	if long && random.IntN(2) == 0 {
		apart += 30 * time.Second // until links are given up
	}
	switch random.IntN(5) {
	case 0, 1:
		who.killCore()
		return "core killed"
	case 2:
		must(g.t, g.network.SetUplink(who.name, false))
		g.rest(apart)
		must(g.t, g.network.SetUplink(who.name, true))
		return "link down"
	case 3:
		var island []string
		for _, i := range random.Perm(len(members))[:1+random.IntN(len(members)-1)] {
			island = append(island, members[i])
		}
		must(g.t, g.network.Part(island...))
		g.rest(apart)
		for _, name := range island {
			must(g.t, g.network.SetCable(name, true))
		}
		return "parted"
	default:
		g.server.Kill()
		g.serve()
		return "directory killed"
	}
}

// ahead waits until so many messages are queued.
func (g *groupWorld) ahead(queued *atomic.Int64, want int64) {
	g.t.Helper()
	last := int64(-1)
	for end := time.Now().Add(patience); queued.Load() < want; g.rest(50 * time.Millisecond) {
		if n := queued.Load(); n > last {
			last, end = n, time.Now().Add(patience)
		}
		if time.Now().After(end) {
			g.t.Fatalf("after %d messages nothing is queued any more", queued.Load())
		}
	}
}

// check says whether all who stayed have every number once, in its author's order,
// and all in the same order; and whether hal has nothing else.
func (g *groupWorld) check(staying []*person, messages int) {
	g.t.Helper()
	var first []string
	for _, p := range staying {
		var shown []string
		next := map[string]int{}
		for _, m := range g.texts(p) {
			shown = append(shown, fmt.Sprintf("%x %s", m.GetId(), m.GetBody()))
			if want := text(m.GetAuthor(), next[m.GetAuthor()]); m.GetBody() != want {
				g.t.Fatalf("%s shows %q of %s, where %q is due", p.name, m.GetBody(), m.GetAuthor(), want)
			}
			next[m.GetAuthor()]++
		}
		for _, author := range staying {
			if next[author.name] != messages {
				g.t.Errorf("%s shows %d messages of %s, not %d", p.name, next[author.name], author.name, messages)
			}
		}
		if first == nil {
			first = shown
		}
		if !slices.Equal(shown, first) {
			g.t.Errorf("%s shows them in another order than %s", p.name, staying[0].name)
		}
	}
	// Hal was out at times: what he has stands in the order in which all have it.
	at := 0
	for _, m := range g.texts(g.person("hal")) {
		line := fmt.Sprintf("%x %s", m.GetId(), m.GetBody())
		i := slices.Index(first[at:], line)
		if i < 0 {
			g.t.Fatalf("hal shows %q in another place, or twice, or alone", line)
		}
		at += i + 1
	}
}
