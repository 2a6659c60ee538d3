package text

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
)

// AnnotationMention is the kind of the annotation that a text in a group has when
// it mentions people. Its author is the message's, its value a JSON array of user
// ids, in the order of the text. A front end tells its user of a message that mentions
// him even when the chat is muted.
const AnnotationMention = "mention"

// maxMentions is how many people one text mentions; further ones do not count.
const maxMentions = 50

// What stands before an "@" must be no part of a word, so that addresses of mail are
// none; where words are written without spaces between them every letter may. The id is
// that of packet.UserID; a full stop behind it ends a sentence.
var mention = regexp.MustCompile(`(?:^|[^\pL\pN@._+-]|[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}])@([A-Za-z0-9][A-Za-z0-9._]*)`)

// Mentions gives the user ids that a text mentions as "@bob", each once. It is a
// function of the text alone, so that everybody's history says the same: whether they are
// members it does not ask.
func Mentions(body string) []packet.UserID {
	if !strings.Contains(body, "@") {
		return nil
	}
	var users []packet.UserID
	for _, m := range mention.FindAllStringSubmatch(body, -1) {
		user, err := packet.ParseUserID(strings.ToLower(strings.TrimRight(m[1], ".")))
		if err == nil && len(users) < maxMentions && !slices.Contains(users, user) {
			users = append(users, user)
		}
	}
	return users
}

// mentions notes whom a new text mentions.
func mentions(chat packet.ChatID, message packet.PacketID, body string) []sdk.Effect {
	users := Mentions(body)
	if chat.Kind() != packet.Group || len(users) == 0 {
		return nil
	}
	value, err := json.Marshal(users)
	if err != nil || len(value) > 4<<10 {
		return nil // of strings: cannot fail, and 50 ids are shorter
	}
	return []sdk.Effect{sdk.Annotate{Chat: chat, Message: message, Kind: AnnotationMention, Value: value}}
}

// mentionsNow notes whom an edited text mentions.
func mentionsNow(chat packet.ChatID, message packet.PacketID, body string) []sdk.Effect {
	if chat.Kind() != packet.Group {
		return nil
	}
	if effects := mentions(chat, message, body); effects != nil {
		return effects
	}
	return []sdk.Effect{sdk.RemoveAnnotation{Chat: chat, Message: message, Kind: AnnotationMention}}
}
