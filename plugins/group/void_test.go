package group_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-chat/parley/plugins/group"
	"github.com/parley-chat/parley/plugins/sdk/plugintest"
	"github.com/parley-chat/parley/protocol/packet"
)

// storm is a group of anna, who owns it, bob and carol, admins of whom bob stands above, and
// dave.
func storm(t *testing.T) (hosts []*plugintest.Host, chat packet.ChatID) {
	t.Helper()
	h := people(t, "anna", "bob", "carol", "dave")
	chat = tea(t, h)
	for _, user := range []string{"bob", "carol"} {
		do(t, h[0], plugintest.Call{Action: "role", Chat: chat, Args: map[string]string{"user": user, "role": "admin"}})
	}
	return h, chat
}

// wantStory: everybody is told the same of what came after the first n lines.
func wantStory(t *testing.T, chat packet.ChatID, n int, want []string, hosts ...*plugintest.Host) {
	t.Helper()
	time.Sleep(time.Minute) // of the test's clock: what is done beside Handle
	synctest.Wait()
	slices.Sort(want)
	for _, h := range hosts {
		got := strings.Split(told(h, chat), "|")[n:]
		slices.Sort(got) // the test's hosts do not know the order of packets
		if !slices.Equal(got, want) {
			t.Errorf("%s is told\n%s\nnot\n%s", h.User(), strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// What turns out not to count says so for everybody, and no longer if it counts after all.
func TestVoidIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, chat := storm(t)
		anna, bob, carol, dave := h[0], h[1], h[2], h[3]
		n := len(anna.Messages(chat))
		do(t, carol, plugintest.Call{Action: "describe", Chat: chat, Text: "Before."})
		anna.SetOnline(false)
		carol.SetOnline(false)
		do(t, carol, plugintest.Call{Action: "remove", Chat: chat, Text: "dave"})
		do(t, carol, plugintest.Call{Action: "rename", Chat: chat, Text: "Carol's club"})
		do(t, bob, plugintest.Call{Action: "remove", Chat: chat, Text: "carol"})
		do(t, anna, plugintest.Call{Action: "describe", Chat: chat, Text: "Still."})
		do(t, anna, plugintest.Call{Action: "remove", Chat: chat, Text: "bob"})
		carol.SetOnline(true)
		why := " (does not count: bob removed carol meanwhile)"
		wantStory(t, chat, n, []string{
			"carol changed the description", "carol removed dave" + why, "carol named the group “Carol's club”" + why, "bob removed carol",
		}, bob, carol, dave)
		wantAll(t, chat, "anna owner, bob admin, dave member", bob, carol, dave)
		var event group.Event
		for _, m := range dave.Messages(chat) {
			if strings.HasPrefix(m.Body, "carol removed dave") {
				if err := json.Unmarshal(m.Data, &event); err != nil {
					t.Fatal(err)
				}
			}
		}
		if len(event.Facts) != 1 || event.Facts[0] != (group.Fact{What: "removed", User: "dave", Void: true}) ||
			event.Meanwhile == nil || event.Meanwhile.By != "bob" || event.Meanwhile.Facts[0] != (group.Fact{What: "removed", User: "carol"}) {
			t.Errorf("data %+v", event)
		}
		dave.Restart()
		anna.SetOnline(true)
		wantStory(t, chat, n, []string{
			"carol changed the description", "carol removed dave", "carol named the group “Carol's club”",
			"bob removed carol (does not count: anna removed bob meanwhile)", "anna changed the description", "anna removed bob",
		}, h...)
		wantAll(t, chat, "anna owner, carol admin", h...)
	})
}

// Of names given apart one counts; the lines of the others say so.
func TestLostNameIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, chat := storm(t)
		anna, bob := h[0], h[1]
		n := len(anna.Messages(chat))
		bob.SetOnline(false)
		do(t, bob, plugintest.Call{Action: "rename", Chat: chat, Text: "SplB"})
		do(t, anna, plugintest.Call{Action: "rename", Chat: chat, Text: "SplA"})
		bob.SetOnline(true)
		want := []string{"bob named the group “SplB”", "anna named the group “SplA” (does not count: bob named the group “SplB” meanwhile)"}
		wantStory(t, chat, n, want, h...)
		if got := info(t, anna, chat).Title; got != "SplB" {
			t.Errorf("it is called %q", got)
		}
		time.Sleep(3 * time.Hour) // it is joined
		do(t, anna, plugintest.Call{Action: "rename", Chat: chat, Text: "One"})
		wantStory(t, chat, n, append(want, "anna named the group “One”"), h...)
	})
}

// A change may say as much as there is room for.
func TestMuchIsTold(t *testing.T) {
	h := people(t, "anna", "bob")
	chat := tea(t, h)
	parent := packets(h[1], chat)[0]
	var operations []group.Operation
	for i := range 800 {
		user := packet.UserID(strings.Repeat("x", 60))
		operations = append(operations, group.Operation{Verb: []group.Verb{group.VerbInvite, group.VerbRemove}[i%2], User: user})
	}
	for range 40 {
		operations = append(operations, group.Operation{Verb: group.VerbSetTitle, Text: strings.Repeat("<", group.MaxTitle)})
	}
	content, err := group.Change{Parents: []group.ChangeID{group.IDOf(chat, "bob", parent.ID, parent.Content)}, Operations: operations}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if o := h[1].Receive(h[1].Packet(chat, "anna", group.TypeChange, content))[0]; o.Err != nil || o.Refused != "" {
		t.Fatalf("%+v", o)
	}
	if got := told(h[1], chat); !strings.HasSuffix(got, ", and more") || len(got) > 64<<10 {
		t.Errorf("bob is told %d bytes, …%.80s", len(got), got[max(0, len(got)-80):])
	}
}

func TestHeirIsTold(t *testing.T) {
	h := people(t, "anna", "bob")
	chat := tea(t, h)
	do(t, h[0], plugintest.Call{Action: "role", Chat: chat, Args: map[string]string{"user": "bob", "role": "admin"}})
	do(t, h[1], plugintest.Call{Action: "role", Chat: chat, Args: map[string]string{"user": "bob", "role": "member"}})
	do(t, h[0], plugintest.Call{Action: "leave", Chat: chat})
	if got := told(h[1], chat); !strings.HasSuffix(got, "|anna made bob an admin|bob gave up being an admin|anna left, and bob is the owner now") {
		t.Errorf("bob is told %s", got)
	}
}
