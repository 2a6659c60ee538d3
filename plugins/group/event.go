package group

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
)

// Event is the data, as JSON, of a message of the kind KindEvent: what somebody
// did to the group. The message's body says the same in English.
type Event struct {
	By    packet.UserID `json:"by"`
	Facts []Fact        `json:"facts"`
}

// Fact is one of the things that were done.
type Fact struct {
	// What is "created" (Title, History), "invited" (User), "joined", "left",
	// "declined", "removed" (User), "withdrawn" (User: an invitation was taken back), "role" (User, Role), "title" (Title),
	// "description", "picture" (Removed if there is none now), "history"
	// (History), or "forged": somebody tried what he had no right to.
	What    string        `json:"what"`
	User    packet.UserID `json:"user,omitempty"`
	Role    string        `json:"role,omitempty"`    // "owner", "admin", "member"
	Title   string        `json:"title,omitempty"`   // not made harmless
	History string        `json:"history,omitempty"` // "from-join", "all"
	Removed bool          `json:"removed,omitempty"`
}

// message shows what a change did, in the place of its packet.
func (e *Event) message(chat packet.ChatID, s *Signed) sdk.AddMessage {
	return sdk.AddMessage{
		ID: s.Packet, Chat: chat, Kind: KindEvent, Body: e.sentence(), Data: mustJSON(e),
		Handled: &sdk.HandledPacket{Author: s.Author, ContentHash: s.Content},
	}
}

// Changed is the data, as JSON, of the event EventChanged.
type Changed struct {
	By   packet.UserID `json:"by"`
	Role string        `json:"role"` // this account's now, "" when it is in the group no more
	// Invited: this account was just asked to join.
	Invited bool   `json:"invited,omitempty"`
	Facts   []Fact `json:"facts,omitempty"`
}

// factsOf depends on the change and what is before it alone, so that everybody's
// history reads the same. A change that only joins others has none.
func factsOf(c *Change, withdrawn []packet.UserID) []Fact {
	var facts []Fact
	for i := range c.Operations {
		switch o := &c.Operations[i]; o.Verb {
		case VerbCreate:
			facts = append(facts, Fact{What: "created", Title: o.Text, History: o.History.String()})
		case VerbInvite:
			facts = append(facts, Fact{What: "invited", User: o.User})
		case VerbAccept:
			facts = append(facts, Fact{What: "joined"})
		case VerbLeave:
			what := "left"
			if o.Decline {
				what = "declined"
			}
			facts = append(facts, Fact{What: what})
		case VerbRemove:
			what := "removed"
			if slices.Contains(withdrawn, o.User) {
				what = "withdrawn"
			}
			facts = append(facts, Fact{What: what, User: o.User})
		case VerbSetRole:
			facts = append(facts, Fact{What: "role", User: o.User, Role: o.Role.String()})
		case VerbSetTitle:
			facts = append(facts, Fact{What: "title", Title: o.Text})
		case VerbSetDescription:
			facts = append(facts, Fact{What: "description"})
		case VerbSetPicture:
			facts = append(facts, Fact{What: "picture", Removed: len(o.Picture) == 0})
		case VerbSetHistory:
			facts = append(facts, Fact{What: "history", History: o.History.String()})
		}
	}
	return facts
}

// maxNamed is how many people one sentence names.
const maxNamed = 10

// sentence tells an event in English: "anna invited bob and carol, made bob an
// admin".
func (e *Event) sentence() string {
	var parts []string
	for i := 0; i < len(e.Facts); i++ {
		f := &e.Facts[i]
		if f.What != "invited" && f.What != "removed" && f.What != "withdrawn" {
			parts = append(parts, f.phrase())
			continue
		}
		var users []string
		for ; i < len(e.Facts) && e.Facts[i].What == f.What; i++ {
			users = append(users, string(e.Facts[i].User))
		}
		i--
		verb := f.What
		if verb == "withdrawn" {
			verb = "withdrew the invitation to"
		}
		parts = append(parts, verb+" "+names(users))
	}
	return string(e.By) + " " + strings.Join(parts, ", ")
}

func names(users []string) string {
	if len(users) > maxNamed {
		users = append(users[:maxNamed:maxNamed], fmt.Sprintf("%d others", len(users)-maxNamed))
	}
	if len(users) == 1 {
		return users[0]
	}
	return strings.Join(users[:len(users)-1], ", ") + " and " + users[len(users)-1]
}

func (f *Fact) phrase() string {
	switch f.What {
	case "created":
		return fmt.Sprintf("created the group “%s”", f.Title)
	case "joined":
		return "joined"
	case "left":
		return "left"
	case "declined":
		return "declined the invitation"
	case "role":
		if f.Role == "admin" {
			return fmt.Sprintf("made %s an admin", f.User)
		}
		if f.Role == "owner" {
			return fmt.Sprintf("made %s the owner", f.User)
		}
		return fmt.Sprintf("made %s a member", f.User)
	case "title":
		return fmt.Sprintf("named the group “%s”", f.Title)
	case "description":
		return "changed the description"
	case "picture":
		if f.Removed {
			return "removed the picture"
		}
		return "changed the picture"
	case "history":
		if f.History == HistoryAll.String() {
			return "shares what is said from now on with new members, too"
		}
		return "no longer shares what is said from now on with new members"
	case "forged":
		return "tried to change the group without having the right to; it was ignored"
	}
	return "changed something that this version does not know"
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // of plain structs: cannot happen
	}
	return b
}
