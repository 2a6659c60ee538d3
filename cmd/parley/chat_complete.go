package main

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/parley-chat/parley/protocol/controlpb"
)

// complete gives what Tab makes of the end of a text: members for "@ca", emoji for
// ":ta".
func (v *conversation) complete(ctx context.Context, text string) (replaces string, items []suggestion) {
	if typed, ok := mentionBegun(text); ok {
		resp, err := v.client.ListChats(ctx, &controlpb.ListChatsRequest{Id: v.chat})
		if err != nil || len(resp.GetChats()) != 1 || resp.GetChats()[0].GetKind() != groupKind {
			return "", nil // there is nobody to offer
		}
		names, err := namesOfPeople(ctx, v.client)
		if err != nil {
			return "", nil // likewise
		}
		return typed, membersToMention(resp.GetChats()[0].GetMembers(), v.reader.self, names, typed)
	}
	replaces, found := completeEmoji(ctx, v.client, text)
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, item := range found {
		v.offered[item.Emoji] = true
		items = append(items, suggestion{item.Emoji, item.Code})
	}
	return replaces, items
}

// noteOffered tells which emoji that Tab offered were sent in a text. It is a courtesy:
// they are among those used last then.
func (v *conversation) noteOffered(ctx context.Context, text string) {
	v.mu.Lock()
	offered := v.offered
	v.offered = map[string]bool{}
	v.mu.Unlock()
	for emoji := range offered {
		if strings.Contains(text, emoji) {
			_ = askEmoji(ctx, v.client, "used", emoji, nil, &struct{}{})
		}
	}
}

// beginning is the "@" with what was typed of a user id at the end of a text; what may
// stand before it is as in plugins/text.
var beginning = regexp.MustCompile(`(?:^|[^\pL\pN@._+-]|[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}])(@[\pL\pN._]*)$`)

// mentionBegun gives the mention that is being typed at the end of a text.
func mentionBegun(text string) (typed string, ok bool) {
	if m := beginning.FindStringSubmatch(text); m != nil {
		return m[1], true
	}
	return "", false
}

// membersToMention are the members whose user ids or names begin with what was typed
// behind its "@", but oneself.
func membersToMention(members []string, self string, names map[string]string, typed string) []suggestion {
	begun := strings.ToLower(strings.TrimPrefix(typed, "@"))
	var items []suggestion
	for _, user := range slices.Sorted(slices.Values(members)) {
		if user != self && (strings.HasPrefix(user, begun) || strings.HasPrefix(strings.ToLower(names[user]), begun)) {
			items = append(items, suggestion{"@" + user, names[user]})
		}
	}
	return items
}
