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
// did to the group. The message's body says the same in English. Both change when it
// turns out that something of it does not count, or that it does after all.
type Event struct {
	By    packet.UserID `json:"by"`
	Facts []Fact        `json:"facts"`
	// Meanwhile is what somebody did apart from it, because of which the void facts do not
	// count; nil if there is no one such thing.
	Meanwhile *Event `json:"meanwhile,omitempty"`
}

// Fact is one of the things that were done.
type Fact struct {
	// What is "created" (Title, History), "invited" (User), "joined", "left",
	// "declined", "removed" (User), "withdrawn" (User: an invitation was taken back), "role" (User, Role), "title" (Title),
	// "description", "picture" (Removed if there is none now), "history"
	// (History), "more": there is more than is told, or "forged": somebody tried what he had
	// no right to.
	What    string        `json:"what"`
	User    packet.UserID `json:"user,omitempty"`
	Role    string        `json:"role,omitempty"`    // "owner", "admin", "member"
	Title   string        `json:"title,omitempty"`   // not made harmless
	History string        `json:"history,omitempty"` // "from-join", "all"
	Removed bool          `json:"removed,omitempty"`
	// Owner is who became the owner as the one of before left, or as the first one joined.
	Owner packet.UserID `json:"owner,omitempty"`
	// Void: it does not count, because of what others did apart from it.
	Void bool `json:"void,omitempty"`
}

// message shows what a change did, in the place of its packet.
func (e *Event) message(chat packet.ChatID, s *Signed) sdk.AddMessage {
	return sdk.AddMessage{
		ID: s.Packet, Chat: chat, Kind: KindEvent, Body: e.sentence(), Data: mustJSON(e),
		Handled: &sdk.HandledPacket{Author: s.Author, ContentHash: s.Content},
	}
}

// changed shows anew what a change did, which has turned.
func (e *Event) changed(n *node) sdk.ChangeMessage {
	return sdk.ChangeMessage{
		ID: n.packet, Body: e.sentence(), Data: mustJSON(e), Handled: &sdk.HandledPacket{Author: n.author, ContentHash: n.content},
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

// maxTold is how many facts one event has: as many as there are when a group is made with
// all the people it can have.
const maxTold = MaxPeople + 1

// event tells a change by its place among all that are here. Everybody who has the same
// changes tells it alike. One that only joins others, or introduces people, has no facts.
func (g *Graph) event(at int) Event {
	n, out := &g.nodes[at], g.outcomes[at]
	e := Event{By: n.author}
	var because []deed
	for k := range n.operations {
		o := &n.operations[k]
		if o.setsFact() && slices.ContainsFunc(n.operations[k+1:], func(later Operation) bool { return later.Verb == o.Verb }) {
			continue // it says something else itself
		}
		f := n.fact(k)
		if f.What == "" {
			continue
		}
		if len(e.Facts) == maxTold {
			e.Facts = append(e.Facts, Fact{What: "more"})
			break
		}
		if o.Verb == VerbLeave || o.Verb == VerbAccept {
			f.Owner = out.owner
		}
		if v := out.voidOf(k); v >= 0 {
			f.Void = true
			if by := out.void[v].by; !slices.Contains(because, by) {
				because = append(because, by)
			}
		}
		e.Facts = append(e.Facts, f)
	}
	if len(because) == 1 && because[0] != noDeed {
		by := &g.nodes[because[0].at]
		e.Meanwhile = &Event{By: by.author, Facts: []Fact{by.fact(because[0].operation)}}
	}
	return e
}

// fact tells an operation; none for those of which nothing is told.
func (n *node) fact(k int) Fact {
	switch o := &n.operations[k]; o.Verb {
	case VerbCreate:
		return Fact{What: "created", Title: o.Text, History: o.History.String()}
	case VerbInvite:
		return Fact{What: "invited", User: o.User}
	case VerbAccept:
		return Fact{What: "joined"}
	case VerbLeave:
		if o.Decline {
			return Fact{What: "declined"}
		}
		return Fact{What: "left"}
	case VerbRemove:
		if slices.Contains(n.withdrawn, o.User) {
			return Fact{What: "withdrawn", User: o.User}
		}
		return Fact{What: "removed", User: o.User}
	case VerbSetRole:
		return Fact{What: "role", User: o.User, Role: o.Role.String()}
	case VerbSetTitle:
		return Fact{What: "title", Title: o.Text}
	case VerbSetDescription:
		return Fact{What: "description"}
	case VerbSetPicture:
		return Fact{What: "picture", Removed: len(o.Picture) == 0}
	case VerbSetHistory:
		return Fact{What: "history", History: o.History.String()}
	}
	return Fact{}
}

// maxNamed is how many people one sentence names.
const maxNamed = 10

// sentence tells an event in English: "anna invited bob and carol, made bob an
// admin", "carol removed dave (does not count: bob removed carol meanwhile)".
func (e *Event) sentence() string {
	voids := 0
	for i := range e.Facts {
		if e.Facts[i].Void {
			voids++
		}
	}
	all := voids == len(e.Facts) // is said once
	note := "does not count"
	if all && voids > 1 {
		note = "none of it counts"
	}
	if e.Meanwhile != nil {
		note += ": " + e.Meanwhile.sentence() + " meanwhile"
	}
	note = " (" + note + ")"
	var parts []string
	for i := 0; i < len(e.Facts); i++ {
		f := &e.Facts[i]
		part := e.phrase(f)
		if f.What == "invited" || f.What == "removed" || f.What == "withdrawn" {
			var users []string
			for ; i < len(e.Facts) && e.Facts[i].What == f.What && e.Facts[i].Void == f.Void; i++ {
				users = append(users, string(e.Facts[i].User))
			}
			i--
			part += " " + names(users)
		}
		if f.Void && !all {
			part += note
		}
		parts = append(parts, part)
	}
	said := string(e.By) + " " + strings.Join(parts, ", ")
	if all && voids > 0 {
		said += note
	}
	return said
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

// phrase tells a fact; whom it is about is left out where those of several facts are named
// together.
func (e *Event) phrase(f *Fact) string {
	switch f.What {
	case "invited", "removed":
		return f.What
	case "withdrawn":
		return "withdrew the invitation to"
	case "created":
		return fmt.Sprintf("created the group “%s”", f.Title)
	case "joined":
		if f.Owner != "" {
			return "joined, and is the owner now"
		}
		return "joined"
	case "left":
		if f.Owner != "" {
			return fmt.Sprintf("left, and %s is the owner now", f.Owner)
		}
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
		if f.User == e.By {
			return "gave up being an admin"
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
			return "shares what is said from now on with people invited later, too"
		}
		return "no longer shares what is said from now on with people invited later"
	case "more":
		return "and more"
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
