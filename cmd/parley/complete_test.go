package main

import (
	"strings"
	"testing"

	"github.com/parley-chat/parley/protocol/controlpb"
)

// A group is offered by its name where that says which one it is and can be typed,
// else by its id.
func TestOfferedChat(t *testing.T) {
	group := func(id, title string) *controlpb.Chat {
		return &controlpb.Chat{Id: strings.Repeat(id, 26), Title: title, Kind: groupKind, Members: []string{"alice"}}
	}
	chats := []*controlpb.Chat{
		{Id: "alice-bob", Title: "Bob B.", Kind: "direct", Members: []string{"alice", "bob"}},
		group("a", "Storm"), group("b", "Tea"), group("c", "tea"), group("d", "bob"), group("e", "-x"), group("f", "one\ntwo"),
	}
	for _, test := range []struct {
		chat        int
		typed, want string
	}{
		{0, "", "bob\tBob B."},
		{1, "", "Storm\tgroup aaaaaaaaaaaaaaaaaaaaaaaaaa"},
		{1, "Sto", "Storm\tgroup aaaaaaaaaaaaaaaaaaaaaaaaaa"},
		{1, "aa", "aaaaaaaaaaaaaaaaaaaaaaaaaa\tStorm"},
		{2, "", "bbbbbbbbbbbbbbbbbbbbbbbbbb\tTea"},
		{3, "", "cccccccccccccccccccccccccc\ttea"},
		{4, "", "dddddddddddddddddddddddddd\tbob"}, // is taken for the person
		{5, "", "eeeeeeeeeeeeeeeeeeeeeeeeee\t-x"},
		{6, "", "ffffffffffffffffffffffffff\tone two"},
	} {
		if got := offeredChat(chats, chats[test.chat], "alice", test.typed); got != test.want {
			t.Errorf("%q, typed %q: %q, want %q", chats[test.chat].GetTitle(), test.typed, got, test.want)
		}
	}
}
