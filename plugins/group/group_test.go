package group_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/group"
	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/plugins/sdk/plugintest"
	"github.com/parley-chat/parley/protocol/packet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func config(user packet.UserID) plugintest.Config {
	return plugintest.Config{New: func() sdk.Plugin {
		p := group.New()
		p.JoinAfter = func(above int) time.Duration { return time.Hour << (2 * above) }
		return p
	}, User: user, Bundled: true}
}

// people gives hosts of users who are each other's contacts.
func people(t *testing.T, users ...packet.UserID) []*plugintest.Host {
	t.Helper()
	net := plugintest.NewNetwork(t)
	var hosts []*plugintest.Host
	for _, u := range users {
		hosts = append(hosts, net.Host(config(u)))
	}
	meet(hosts)
	return hosts
}

func meet(hosts []*plugintest.Host) {
	for _, h := range hosts {
		for _, other := range hosts {
			if h != other {
				h.AddContact(sdk.Contact{User: other.User(), Name: string(other.User()), Keys: [][]byte{bytes.Repeat([]byte{byte(len(other.User()))}, 32)}})
			}
		}
	}
}

type result struct {
	Chat packet.ChatID
	ID   string
}

func do(t *testing.T, h *plugintest.Host, call plugintest.Call) result {
	t.Helper()
	got, err := h.Invoke(call)
	if err != nil {
		t.Fatalf("%s by %s: %v", call.Action, h.User(), err)
	}
	var r result
	if err := json.Unmarshal(got.Value, &r); err != nil {
		t.Fatalf("%s: result %q: %v", call.Action, got.Value, err)
	}
	return r
}

func fails(t *testing.T, h *plugintest.Host, call plugintest.Call, code codes.Code, says string) {
	t.Helper()
	_, err := h.Invoke(call)
	var e *sdk.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(err.Error(), says) {
		t.Errorf("%s by %s: got %v, want one that says %q", call.Action, h.User(), err, says)
	}
}

func info(t *testing.T, h *plugintest.Host, chat packet.ChatID) group.Info {
	t.Helper()
	got, err := h.Invoke(plugintest.Call{Action: "info", Chat: chat})
	if err != nil {
		t.Fatalf("info for %s: %v", h.User(), err)
	}
	var i group.Info
	if err := json.Unmarshal(got.Value, &i); err != nil {
		t.Fatal(err)
	}
	return i
}

func roles(t *testing.T, h *plugintest.Host, chat packet.ChatID) string {
	t.Helper()
	var all []string
	for _, p := range info(t, h, chat).People {
		all = append(all, string(p.User)+" "+p.Role)
	}
	return strings.Join(all, ", ")
}

func wantAll(t *testing.T, chat packet.ChatID, want string, hosts ...*plugintest.Host) {
	t.Helper()
	for _, h := range hosts {
		if got := roles(t, h, chat); got != want {
			t.Errorf("%s sees %q, want %q", h.User(), got, want)
		}
	}
}

func told(h *plugintest.Host, chat packet.ChatID) string {
	var all []string
	for _, m := range h.Messages(chat) {
		s := m.Body
		if m.Deleted {
			s += "-"
		}
		all = append(all, s)
	}
	return strings.Join(all, "|")
}

// tea is a group of anna (owner), bob and carol, who have all joined.
func tea(t *testing.T, hosts []*plugintest.Host) packet.ChatID {
	t.Helper()
	var users []string
	for _, h := range hosts[1:] {
		users = append(users, string(h.User()))
	}
	chat := do(t, hosts[0], plugintest.Call{Action: "create", Text: "Tea", Args: map[string]string{"users": strings.Join(users, ",")}}).Chat
	for _, h := range hosts[1:] {
		do(t, h, plugintest.Call{Action: "accept", Chat: chat})
	}
	return chat
}

func TestGroup(t *testing.T) {
	h := people(t, "anna", "bob", "carol", "dave")
	anna, bob, carol, dave := h[0], h[1], h[2], h[3]
	chat := tea(t, h[:3])
	wantAll(t, chat, "anna owner, bob member, carol member", anna, bob, carol)
	do(t, anna, plugintest.Call{Action: "role", Chat: chat, Args: map[string]string{"user": "bob", "role": "admin"}})
	do(t, bob, plugintest.Call{Action: "invite", Chat: chat, Text: "dave"})
	wantAll(t, chat, "anna owner, bob admin, carol member, dave invited", h...)
	if i := info(t, dave, chat); i.Role != "invited" || i.By != "bob" {
		t.Errorf("dave is told %+v", i)
	}
	do(t, dave, plugintest.Call{Action: "decline", Chat: chat})
	if i := info(t, dave, chat); i.Role != "" || !i.Declined || i.Withdrawn {
		t.Errorf("dave, who declined, is told %+v", i)
	}
	do(t, bob, plugintest.Call{Action: "invite", Chat: chat, Text: "dave"})
	do(t, anna, plugintest.Call{Action: "remove", Chat: chat, Text: "dave"})
	if i := info(t, dave, chat); i.Role != "" || !i.Withdrawn || i.Removed {
		t.Errorf("dave, whose invitation was withdrawn, is told %+v", i)
	}
	do(t, bob, plugintest.Call{Action: "rename", Chat: chat, Text: " Tea at five "})
	do(t, bob, plugintest.Call{Action: "describe", Chat: chat, Text: "Daily."})
	do(t, bob, plugintest.Call{Action: "history", Chat: chat, Text: "all"})
	do(t, anna, plugintest.Call{Action: "remove", Chat: chat, Text: "carol"})
	wantAll(t, chat, "anna owner, bob admin", anna, bob, carol)
	if i := info(t, carol, chat); i.Role != "" || i.Declined || i.Withdrawn || !i.Removed {
		t.Errorf("carol, who was removed, is told %+v", i)
	}
	do(t, anna, plugintest.Call{Action: "leave", Chat: chat})
	wantAll(t, chat, "bob owner", anna, bob)
	if i := info(t, anna, chat); i.Role != "" || i.Removed {
		t.Errorf("anna, who left, is told %+v", i)
	}
	i := info(t, bob, chat)
	if i.Title != "Tea at five" || i.Description != "Daily." || i.History != "all" || i.Role != "owner" || i.Split || i.Waiting != 0 {
		t.Errorf("bob is told %+v", i)
	}
	const story = "anna created the group “Tea”, invited bob and carol|bob joined|carol joined|anna made bob an admin|bob invited dave|" +
		"dave declined the invitation|bob invited dave|anna withdrew the invitation to dave|bob named the group “Tea at five”|bob changed the description|bob shares what is said from now on with people invited later, too|anna removed carol|anna left, and bob is the owner now"
	if got := told(bob, chat); got != story {
		t.Errorf("bob is told\n%s\nnot\n%s", got, story)
	}
	if c, a := told(carol, chat), told(anna, chat); c != strings.TrimSuffix(story, "|anna left, and bob is the owner now") || a != story {
		t.Errorf("carol is told\n%s\nanna\n%s", c, a)
	}
	var event group.Event
	if err := json.Unmarshal(bob.Messages(chat)[3].Data, &event); err != nil || event.By != "anna" || len(event.Facts) != 1 ||
		event.Facts[0] != (group.Fact{What: "role", User: "bob", Role: "admin"}) {
		t.Errorf("data %s (%v)", bob.Messages(chat)[3].Data, err)
	}
}

// What the core is told: a list for each change, with who was removed.
func TestLists(t *testing.T) {
	h := people(t, "anna", "bob", "carol")
	anna, bob := h[0], h[1]
	chat := tea(t, h)
	do(t, anna, plugintest.Call{Action: "remove", Chat: chat, Text: "carol"})
	lists := bob.Lists(chat)
	if len(lists) != 5 || lists[0].GetVersion() != group.FirstVersion || !slices.Equal(lists[0].GetMembers(), []string{"anna"}) {
		t.Fatalf("%d lists, the first %v", len(lists), lists[0])
	}
	last := lists[len(lists)-1]
	if !slices.Equal(last.GetMembers(), []string{"anna", "bob"}) || last.GetTitle() != "Tea" || last.GetMerged() || len(last.GetCutoffs()) != 1 ||
		last.GetCutoffs()[0].GetUser() != "carol" || last.GetCutoffs()[0].GetNumber() != 1 {
		t.Errorf("the last is %v", last)
	}
	if v := lists[1].GetVouched(); len(v) != 2 || v[0].GetUser() != "bob" || v[1].GetUser() != "carol" {
		t.Errorf("keys %v", v)
	}
	for i, want := range [][]string{nil, {"bob", "carol"}, {"carol"}, nil, nil} {
		if got := lists[i].GetInvited(); !slices.Equal(got, want) {
			t.Errorf("invited are %q in list %d, not %q", got, i, want)
		}
	}
	for i, l := range anna.Lists(chat) {
		if l.String() != lists[i].String() {
			t.Errorf("anna has %v, bob %v", l, lists[i])
		}
	}
}

func TestErrors(t *testing.T) {
	h := people(t, "anna", "bob", "carol")
	anna, bob, carol := h[0], h[1], h[2]
	chat := tea(t, h[:2])
	do(t, anna, plugintest.Call{Action: "invite", Chat: chat, Args: map[string]string{"users": "carol"}})
	call := func(action, text string, args ...string) plugintest.Call {
		c := plugintest.Call{Action: action, Chat: chat, Text: text, Args: map[string]string{}}
		for i := 0; i < len(args); i += 2 {
			c.Args[args[i]] = args[i+1]
		}
		return c
	}
	sent := func() int { return len(anna.Sent()) + len(bob.Sent()) + len(carol.Sent()) }
	before := sent()
	for _, c := range []struct {
		by   *plugintest.Host
		call plugintest.Call
		code codes.Code
		says string
	}{
		{bob, call("invite", "carol"), codes.PermissionDenied, "only an admin can invite"},
		{bob, call("invite", "mallory"), codes.PermissionDenied, "only an admin can invite"},
		{bob, call("remove", "anna"), codes.PermissionDenied, "only an admin can remove"},
		{bob, call("rename", "Mine"), codes.PermissionDenied, "only an admin"},
		{bob, call("describe", "Mine"), codes.PermissionDenied, "only an admin"},
		{bob, call("history", "all"), codes.PermissionDenied, "only an admin"},
		{bob, call("role", "", "user", "bob", "role", "admin"), codes.PermissionDenied, "only an admin"},
		{bob, call("role", "", "user", "bob", "role", "owner"), codes.PermissionDenied, "only the owner"},
		{bob, call("decline", ""), codes.FailedPrecondition, "leave it instead"},
		{carol, call("rename", "Mine"), codes.PermissionDenied, "only an admin"},
		{anna, call("invite", "mallory"), codes.FailedPrecondition, "mallory is not among your contacts"},
		{anna, call("invite", "Bob!"), codes.InvalidArgument, "no user id"},
		{anna, call("invite", " ,"), codes.InvalidArgument, "nobody was named"},
		{anna, call("invite", "anna"), codes.InvalidArgument, "you are in the group"},
		{anna, call("remove", "dave"), codes.NotFound, "dave is not in the group"},
		{anna, call("remove", "anna"), codes.InvalidArgument, "leave the group instead"},
		{anna, call("role", "", "user", "carol", "role", "admin"), codes.FailedPrecondition, "not accepted"},
		{anna, call("role", "", "user", "bob", "role", "king"), codes.InvalidArgument, "no role"},
		{anna, call("role", "", "role", "admin"), codes.InvalidArgument, "who is to have"},
		{anna, call("role", "", "user", "anna", "role", "member"), codes.FailedPrecondition, "you are the owner"},
		{anna, call("rename", ""), codes.InvalidArgument, "1 to 128"},
		{anna, call("rename", strings.Repeat("x", 129)), codes.InvalidArgument, "1 to 128"},
		{anna, call("rename", "x\ny"), codes.InvalidArgument, "one line"},
		{anna, call("rename", "x\u2028y"), codes.InvalidArgument, "one line"},
		{anna, call("describe", "x\x1by"), codes.InvalidArgument, "control characters"},
		{anna, plugintest.Call{Action: "create", Text: "x\ty"}, codes.InvalidArgument, "one line"},
		{anna, call("describe", strings.Repeat("x", 2049)), codes.InvalidArgument, "2048"},
		{anna, call("history", "some"), codes.InvalidArgument, "from-join, all"},
		{anna, call("history", ""), codes.InvalidArgument, "from-join, all"},
		{anna, call("picture", "", "picture", "AAAA"), codes.InvalidArgument, "no PNG"},
		{anna, plugintest.Call{Action: "create", Text: " "}, codes.InvalidArgument, "1 to 128"},
		{anna, plugintest.Call{Action: "create", Text: "x", Args: map[string]string{"users": "mallory"}}, codes.FailedPrecondition, "contacts"},
		{anna, plugintest.Call{Action: "create", Text: "x", Args: map[string]string{"history": "some"}}, codes.InvalidArgument, "from-join"},
		{anna, plugintest.Call{Action: "invite", Chat: packet.NewGroupChat(), Text: "bob"}, codes.NotFound, "there is no group"},
		{anna, plugintest.Call{Action: "leave", Chat: "anna-bob"}, codes.InvalidArgument, "no group"},
		{anna, plugintest.Call{Action: "info", Chat: packet.NewGroupChat()}, codes.NotFound, "there is no group"},
	} {
		fails(t, c.by, c.call, c.code, c.says)
	}
	if sent() != before {
		t.Errorf("%d packets were sent", sent()-before)
	}
	do(t, anna, call("remove", "bob"))
	fails(t, bob, call("rename", "x"), codes.FailedPrecondition, "not in the group “Tea” any more")
	// What is so already is no error, and no change.
	before = sent()
	for _, c := range []plugintest.Call{call("rename", "Tea"), call("invite", "carol"), call("history", "from-join"), call("picture", "")} {
		if r := do(t, anna, c); r.ID != "" {
			t.Errorf("%s: %+v", c.Action, r)
		}
	}
	if sent() != before {
		t.Error("nothing to do was told to others")
	}
}

func TestRepeatedAction(t *testing.T) {
	h := people(t, "anna", "bob")
	id := packet.NewPacketID()
	first := do(t, h[0], plugintest.Call{ID: id, Action: "create", Text: "Tea", Args: map[string]string{"users": "bob"}})
	for range 2 {
		h[0].Restart()
		// The host itself would give the first result: ask the plugin.
		if got := do(t, h[0], plugintest.Call{ID: id, Action: "create", Text: "Tea", Args: map[string]string{"users": "bob"}}); got != first {
			t.Errorf("again: %+v, first %+v", got, first)
		}
	}
	if n := len(h[0].Sent()); n != 1 {
		t.Errorf("%d packets were sent", n)
	}
}

func TestRestart(t *testing.T) {
	h := people(t, "anna", "bob", "carol")
	chat := tea(t, h)
	for _, x := range h {
		x.Restart()
	}
	wantAll(t, chat, "anna owner, bob member, carol member", h...)
	do(t, h[0], plugintest.Call{Action: "role", Chat: chat, Args: map[string]string{"user": "carol", "role": "admin"}})
	do(t, h[2], plugintest.Call{Action: "remove", Chat: chat, Text: "bob"})
	wantAll(t, chat, "anna owner, carol admin", h...)
}

// Two admins act at once while apart; somebody joins it.
func TestApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := people(t, "anna", "bob", "carol", "dave")
		anna, bob := h[0], h[1]
		chat := tea(t, h[:3])
		do(t, anna, plugintest.Call{Action: "role", Chat: chat, Args: map[string]string{"user": "bob", "role": "admin"}})
		bob.SetOnline(false)
		do(t, bob, plugintest.Call{Action: "rename", Chat: chat, Text: "Coffee"})
		do(t, bob, plugintest.Call{Action: "invite", Chat: chat, Text: "dave"})
		do(t, anna, plugintest.Call{Action: "remove", Chat: chat, Text: "carol"})
		wantAll(t, chat, "anna owner, bob admin", anna)
		bob.SetOnline(true)
		wantAll(t, chat, "anna owner, bob admin, dave invited", anna, bob)
		for _, x := range h[:2] {
			i := info(t, x, chat)
			lists := x.Lists(chat)
			if !i.Split || i.Title != "Coffee" || !lists[len(lists)-1].GetMerged() {
				t.Errorf("%s has %+v, the last list is %v", x.User(), i, lists[len(lists)-1])
			}
		}
		// Anna is the first to join it, after an hour, or another if she began to wait
		// before she had it all.
		time.Sleep(150 * time.Minute)
		synctest.Wait()
		for _, x := range h[:2] {
			i := info(t, x, chat)
			lists := x.Lists(chat)
			if last := lists[len(lists)-1]; i.Split || last.GetMerged() || !slices.Equal(last.GetMembers(), []string{"anna", "bob", "dave"}) {
				t.Errorf("%s has %+v, the last list is %v", x.User(), i, last)
			}
		}
		wantAll(t, chat, "anna owner, bob admin, dave invited", anna, bob, h[3])
		// After a restart too.
		bob.SetOnline(false)
		do(t, bob, plugintest.Call{Action: "rename", Chat: chat, Text: "Tea"})
		do(t, anna, plugintest.Call{Action: "describe", Chat: chat, Text: "x"})
		bob.SetOnline(true)
		anna.Restart()
		time.Sleep(150 * time.Minute)
		synctest.Wait()
		if i := info(t, bob, chat); i.Split || i.Title != "Tea" || i.Description != "x" {
			t.Errorf("bob has %+v", i)
		}
	})
}

// Many join apart, and hear of each other one after the other: that is joined once,
// when all have been heard of, and not by everybody.
func TestManyJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := people(t, "anna", "bob", "carol", "dave", "erin", "frank")
		chat := do(t, h[0], plugintest.Call{Action: "create", Text: "Tea", Args: map[string]string{"users": "bob,carol,dave,erin,frank"}}).Chat
		for _, x := range h[1:] {
			x.SetOnline(false)
			do(t, x, plugintest.Call{Action: "accept", Chat: chat})
		}
		for _, x := range h[1:] {
			x.SetOnline(true)
			time.Sleep(50 * time.Minute) // anna's turn is after an hour
		}
		time.Sleep(90 * time.Minute)
		synctest.Wait()
		joints := 0
		for _, x := range h {
			if i := info(t, x, chat); i.Split {
				t.Errorf("%s has changes that are not joined", x.User())
			}
			for _, k := range packets(x, chat) {
				if c, err := group.DecodeChange(k.Content); err != nil {
					t.Error(err)
				} else if len(c.Operations) == 0 {
					joints++
				}
			}
		}
		if joints != 1 {
			t.Errorf("it was joined %d times", joints)
		}
		wantAll(t, chat, "anna owner, bob member, carol member, dave member, erin member, frank member", h...)
	})
}

// Somebody who does not stop does not keep others from joining what is apart.
func TestJoinedAnyhow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := people(t, "anna", "bob", "carol")
		chat := tea(t, h)
		do(t, h[0], plugintest.Call{Action: "role", Chat: chat, Args: map[string]string{"user": "bob", "role": "admin"}})
		for i := range 30 {
			h[1].SetOnline(false)
			do(t, h[1], plugintest.Call{Action: "rename", Chat: chat, Text: fmt.Sprint("Coffee ", i)})
			do(t, h[0], plugintest.Call{Action: "describe", Chat: chat, Text: fmt.Sprint("Daily ", i)})
			h[1].SetOnline(true)
			time.Sleep(30 * time.Minute) // anna's turn is after an hour
		}
		synctest.Wait()
		joined := false
		for _, k := range packets(h[0], chat) {
			c, err := group.DecodeChange(k.Content)
			joined = joined || err == nil && len(c.Operations) == 0
		}
		if !joined {
			t.Error("anna has joined nothing")
		}
	})
}

// The changes of a group, as packets.
func packets(h *plugintest.Host, chat packet.ChatID) []sdk.Packet {
	var all []sdk.Packet
	for _, p := range h.Sent() {
		if p.Chat == chat {
			all = append(all, p)
		}
	}
	return all
}

func TestAnyOrder(t *testing.T) {
	h := people(t, "anna", "bob", "carol")
	chat := tea(t, h)
	do(t, h[0], plugintest.Call{Action: "rename", Chat: chat, Text: "Coffee"})
	var all []sdk.Packet
	for _, x := range h {
		all = append(all, packets(x, chat)...)
	}
	want := h[1].Lists(chat)
	for i, restart := range []bool{false, true, false} {
		dave := plugintest.New(t, config("dave"))
		order := slices.Clone(all)
		switch i {
		case 0, 1:
			slices.Reverse(order)
		case 2:
			order[0], order[1] = order[1], order[0]
		}
		dave.OpenChat(chat)
		for j := range order {
			order[j].Own = false
			if o := dave.Receive(order[j])[0]; o.Err != nil || o.Refused != "" {
				t.Fatalf("packet %d: %+v", j, o)
			}
			if restart {
				dave.Restart()
			}
		}
		if got := roles(t, dave, chat); got != "anna owner, bob member, carol member" {
			t.Errorf("order %d: %s", i, got)
		}
		var got []string
		for _, l := range dave.Lists(chat) {
			if l.GetVersion() == group.FirstVersion || l.GetVersion() >= 1<<40 {
				got = append(got, l.String())
			}
		}
		for _, l := range want {
			if !slices.Contains(got, l.String()) {
				t.Errorf("order %d: the list %v is not set", i, l)
			}
		}
		if n := len(dave.Messages(chat)); n != 4 {
			t.Errorf("order %d: %d messages: %s", i, n, told(dave, chat))
		}
	}
}

// A joiner gets a long history all at once, its beginning last.
func TestLongHistory(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	synctest.Test(t, func(t *testing.T) {
		h := people(t, "anna", "bob")
		chat := tea(t, h)
		for i := range 600 {
			do(t, h[0], plugintest.Call{Action: "rename", Chat: chat, Text: fmt.Sprintf("Tea %d", i)})
		}
		all := slices.Concat(packets(h[0], chat), packets(h[1], chat))
		slices.Reverse(all)
		dave := plugintest.New(t, config("dave"))
		dave.OpenChat(chat)
		for i := range all {
			all[i].Own = false
			if o := dave.Receive(all[i])[0]; o.Err != nil || o.Refused != "" {
				t.Fatalf("packet %d: %+v", i, o)
			}
		}
		time.Sleep(time.Minute) // of the test's clock: what is done beside Handle
		synctest.Wait()
		real := 0
		for _, l := range dave.Lists(chat) {
			if l.GetVersion() == group.FirstVersion || l.GetVersion() >= 1<<40 {
				real++
			}
		}
		if i := info(t, dave, chat); i.Title != "Tea 599" || i.Waiting != 0 || real != len(h[0].Lists(chat)) {
			t.Errorf("dave has %+v and %d lists, anna %d", i, real, len(h[0].Lists(chat)))
		}
		if n := len(dave.Messages(chat)); n != len(h[0].Messages(chat)) {
			t.Errorf("dave is told %d things, anna %d", n, len(h[0].Messages(chat)))
		}
		for key := range dave.Values() {
			if strings.HasPrefix(key, "l/") {
				t.Error("it is still noted that lists are missing")
			}
		}
	})
}

// What is said to be done is shown when it is known that it may be, in the place of
// its packet; who forged it is named then.
func TestWaitingIsNotShown(t *testing.T) {
	h := people(t, "anna", "bob")
	anna, bob := h[0], h[1]
	chat := tea(t, h)
	last := packets(bob, chat)[0]
	next := func(author packet.UserID, after *sdk.Packet, o group.Operation) sdk.Packet {
		content, err := group.Change{Parents: []group.ChangeID{group.IDOf(chat, after.Author, after.ID, after.Content)}, Operations: []group.Operation{o}}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return bob.Packet(chat, author, group.TypeChange, content)
	}
	coffee := next("anna", &last, group.Operation{Verb: group.VerbSetTitle, Text: "Coffee"})
	cake := next("anna", &coffee, group.Operation{Verb: group.VerbSetTitle, Text: "Cake"})
	forged := next("bob", &coffee, group.Operation{Verb: group.VerbInvite, User: "mallory"})
	nowhere := next("bob", &sdk.Packet{Author: "anna", ID: packet.NewPacketID()}, group.Operation{Verb: group.VerbInvite, User: "mallory"})
	for _, x := range []*plugintest.Host{anna, bob} {
		before := told(x, chat)
		for _, p := range []sdk.Packet{cake, forged, nowhere} {
			p.Own = p.Author == x.User()
			x.Receive(p)
		}
		if got := told(x, chat); got != before {
			t.Errorf("%s is told %s, and was told %s", x.User(), got, before)
		}
		x.Restart()
		p := coffee
		p.Own = p.Author == x.User()
		x.Receive(p)
		want := before + "|anna named the group “Coffee”|anna named the group “Cake”"
		if x == anna {
			want += "|bob tried to change the group without having the right to; it was ignored"
		}
		got := strings.Split(told(x, chat), "|") // the test's host does not know the order of packets
		slices.Sort(got)
		all := strings.Split(want, "|")
		slices.Sort(all)
		if !slices.Equal(got, all) {
			t.Errorf("%s is told %q, not %q", x.User(), got, all)
		}
	}
}

// However much waits for one change, and whoever forged it, it is answered.
func TestMuchWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := people(t, "anna", "bob")
		bob := h[1]
		chat := tea(t, h)
		last := packets(bob, chat)[0]
		next := func(author packet.UserID, after *sdk.Packet, o group.Operation) sdk.Packet {
			content, err := group.Change{Parents: []group.ChangeID{group.IDOf(chat, after.Author, after.ID, after.Content)}, Operations: []group.Operation{o}}.Encode()
			if err != nil {
				t.Fatal(err)
			}
			return bob.Packet(chat, author, group.TypeChange, content)
		}
		first := next("anna", &last, group.Operation{Verb: group.VerbSetTitle, Text: "Coffee"})
		for i := range 110 {
			bob.Receive(next("anna", &first, group.Operation{Verb: group.VerbSetTitle, Text: fmt.Sprint(i)}))
			bob.Receive(next(packet.UserID(fmt.Sprintf("mallory%03d", i)), &first, group.Operation{Verb: group.VerbInvite, User: "mallory"}))
		}
		if o := bob.Receive(first)[0]; o.Err != nil || o.Refused != "" {
			t.Errorf("%+v", o)
		}
	})
}

func TestForgedIsNamed(t *testing.T) {
	h := people(t, "anna", "bob", "carol")
	anna, bob := h[0], h[1]
	chat := tea(t, h[:2])
	root := packets(anna, chat)[0]
	forge := func(author packet.UserID, parents ...group.ChangeID) sdk.Packet {
		content, err := group.Change{Parents: parents, Operations: []group.Operation{{Verb: group.VerbInvite, User: "mallory"}}}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return anna.Packet(chat, author, group.TypeChange, content)
	}
	rootID := group.IDOf(chat, "anna", root.ID, root.Content)
	for i := range 5 {
		o := anna.Receive(forge("bob", rootID))[0]
		if o.Err != nil || o.Refused != "" { // or others would not get it, nor what follows
			t.Errorf("forged change %d: %+v", i, o)
		}
	}
	if got := told(anna, chat); strings.Count(got, "bob tried to change the group") != 3 {
		t.Errorf("anna is told %s", got)
	}
	for _, p := range []sdk.Packet{anna.Packet(chat, "bob", group.TypeChange, []byte("\xff")), anna.Packet(chat, "bob", group.TypeChange, nil)} {
		if o := anna.Receive(p)[0]; o.Err != nil || o.Refused != "" {
			t.Errorf("%.10q: %+v", p.Content, o)
		}
	}
	// What builds on a forged one that has not come waits, and is then not taken.
	early := forge("bob", group.ChangeID{7})
	last := forge("bob", rootID)
	child := forge("bob", group.IDOf(chat, "bob", last.ID, last.Content))
	anna.Receive(early, child, last)
	wantAll(t, chat, "anna owner, bob member", anna, bob)
	if i := info(t, anna, chat); i.Waiting != 1 {
		t.Errorf("%d wait", i.Waiting)
	}
	anna.Restart()
	wantAll(t, chat, "anna owner, bob member", anna)
}

func TestPicture(t *testing.T) {
	h := people(t, "anna", "bob")
	chat := tea(t, h)
	get := func(x *plugintest.Host) []byte {
		t.Helper()
		got, err := x.Invoke(plugintest.Call{Action: "get-picture", Chat: chat})
		if err != nil {
			t.Fatal(err)
		}
		return got.Value
	}
	if len(get(h[0])) > 0 || info(t, h[0], chat).Picture != "" {
		t.Error("a picture before there is one")
	}
	large := image.NewNRGBA(image.Rect(0, 0, 900, 600))
	for i := range large.Pix {
		large.Pix[i] = byte(i * i)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, large); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tea.png")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	do(t, h[0], plugintest.Call{Action: "picture", Chat: chat, Paths: []string{path}})
	h[1].Restart()
	got := get(h[1])
	c, format, err := image.DecodeConfig(bytes.NewReader(got))
	if err != nil || format != "jpeg" || c.Width > 384 || c.Height >= c.Width || len(got) > group.MaxPicture {
		t.Errorf("%d bytes, %s of %d x %d (%v)", len(got), format, c.Width, c.Height, err)
	}
	fails(t, h[0], plugintest.Call{Action: "picture", Chat: chat, Paths: []string{filepath.Join(t.TempDir(), "none.png")}}, codes.InvalidArgument, "none.png does not exist")
	do(t, h[0], plugintest.Call{Action: "picture", Chat: chat})
	if len(get(h[1])) > 0 || info(t, h[1], chat).Picture != "" {
		t.Error("it was not removed")
	}
}

func TestList(t *testing.T) {
	h := people(t, "anna", "bob")
	chat := tea(t, h)
	do(t, h[1], plugintest.Call{Action: "create", Text: "Coffee"})
	do(t, h[0], plugintest.Call{Action: "create", Text: "Milk", Args: map[string]string{"users": "bob"}})
	do(t, h[1], plugintest.Call{Action: "leave", Chat: chat})
	got, err := h[1].Invoke(plugintest.Call{Action: "list"})
	if err != nil {
		t.Fatal(err)
	}
	var list []group.Summary
	if err := json.Unmarshal(got.Value, &list); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, s := range list {
		all = append(all, fmt.Sprintf("%s: %s of %d", s.Title, s.Role, s.People))
	}
	slices.Sort(all)
	if strings.Join(all, ", ") != "Coffee: owner of 1, Milk: invited of 2, Tea:  of 1" {
		t.Errorf("bob has %q", all)
	}
	events := h[1].Published()
	var last group.Changed
	if err := json.Unmarshal(events[len(events)-1].Data, &last); err != nil || last.Role != "" {
		t.Errorf("the last event is %s (%v)", events[len(events)-1].Data, err)
	}
	if !slices.ContainsFunc(events, func(e sdk.PublishEvent) bool {
		var c group.Changed
		return json.Unmarshal(e.Data, &c) == nil && c.Invited && c.By == "anna" && e.Name == group.EventChanged
	}) {
		t.Error("no event told of the invitation")
	}
}

// Who is invited by an admin and has nothing of the group's history yet is told
// whom to ask for it, and with which keys they sign.
func TestIntroduced(t *testing.T) {
	h := people(t, "anna", "bob", "carol", "dave")
	h[1].AddContact(sdk.Contact{User: "bob", Member: true, Keys: [][]byte{bytes.Repeat([]byte{9}, 32)}}) // itself
	chat := tea(t, h[:3])
	do(t, h[0], plugintest.Call{Action: "role", Chat: chat, Args: map[string]string{"user": "bob", "role": "admin"}})
	do(t, h[1], plugintest.Call{Action: "invite", Chat: chat, Text: "dave"})
	all := packets(h[1], chat)
	dave := plugintest.New(t, config("dave"))
	dave.OpenChat(chat)
	for range 2 { // it may come again
		invitation := all[len(all)-1]
		invitation.Own = false
		if o := dave.Receive(invitation)[0]; o.Err != nil || o.Refused != "" {
			t.Fatalf("%+v", o)
		}
	}
	lists := dave.Lists(chat)
	if len(lists) != 1 || !lists[0].GetMerged() || lists[0].GetVersion() != group.FirstVersion+1 ||
		!slices.Equal(lists[0].GetMembers(), []string{"anna", "bob", "carol", "dave"}) {
		t.Fatalf("lists %v", lists)
	}
	var keys []string
	for _, k := range lists[0].GetVouched() {
		keys = append(keys, k.GetUser())
	}
	if strings.Join(keys, " ") != "dave anna bob carol" {
		t.Errorf("keys of %v", keys)
	}
	fails(t, dave, plugintest.Call{Action: "accept", Chat: chat}, codes.FailedPrecondition, "beginning has not come yet")
}
