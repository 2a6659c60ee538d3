package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

func (a *app) println(args ...any) { _, _ = fmt.Fprintln(a.out, args...) }

func (a *app) printf(format string, args ...any) { _, _ = fmt.Fprintf(a.out, format, args...) }

// object prints one JSON object on a line.
func (a *app) object(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode JSON: %w", err)
	}
	a.println(string(b))
	return nil
}

// done reports what was done: a sentence, or with --json an object.
func (a *app) done(v any, format string, args ...any) error {
	if a.json {
		return a.object(v)
	}
	a.printf(format+"\n", args...)
	return nil
}

// table prints rows in columns.
func (a *app) table(rows [][]string) {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		_, _ = fmt.Fprintln(w, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	_ = w.Flush() // a.out's error, if any, shows at the next print
}

// jsonMessage is a message in the output.
type jsonMessage struct {
	ID         string           `json:"id"`
	Chat       string           `json:"chat"`
	Author     string           `json:"author"`
	Own        bool             `json:"own"`
	Kind       string           `json:"kind"`
	Body       string           `json:"body"`
	ReplyTo    string           `json:"reply_to,omitempty"`
	SentAt     string           `json:"sent_at"`
	Edited     bool             `json:"edited,omitempty"`
	Deleted    bool             `json:"deleted,omitempty"`
	State      string           `json:"state,omitempty"`
	Recipients []jsonRecipient  `json:"recipients,omitempty"`
	Mentions   []string         `json:"mentions,omitempty"`
	Reactions  []reaction       `json:"reactions,omitempty"`
	Notes      []jsonAnnotation `json:"annotations,omitempty"`
	Card       *jsonCard        `json:"card,omitempty"`
}

type jsonCard struct {
	Title   string   `json:"title,omitempty"`
	Body    string   `json:"body,omitempty"`
	Buttons []string `json:"buttons,omitempty"`
}

type jsonRecipient struct {
	User   string `json:"user"`
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
}

type jsonAnnotation struct {
	Kind   string `json:"kind"`
	Author string `json:"author"`
	Value  []byte `json:"value"`
}

func messageJSON(m *controlpb.Message) jsonMessage {
	j := jsonMessage{
		ID: idString(m.GetId()), Chat: m.GetChat(), Author: m.GetAuthor(), Own: m.GetOwn(), Kind: m.GetKind(), Body: m.GetBody(),
		SentAt: time.UnixMicro(m.GetSentAt()).UTC().Format(time.RFC3339Nano), Edited: m.GetEdited(), Deleted: m.GetDeleted(),
		State: stateWord(m.GetDelivery()), Mentions: mentions(m), Reactions: reactions(m),
	}
	if m.GetReplyTo() != nil {
		j.ReplyTo = idString(m.GetReplyTo().GetId())
	}
	for _, r := range m.GetRecipients() {
		j.Recipients = append(j.Recipients, jsonRecipient{r.GetUser(), stateWord(r.GetDelivery()), r.GetReason()})
	}
	for _, an := range m.GetAnnotations() {
		j.Notes = append(j.Notes, jsonAnnotation{an.GetKind(), an.GetAuthor(), an.GetValue()})
	}
	if card := m.GetCard(); card != nil {
		j.Card = &jsonCard{Title: card.GetTitle(), Body: card.GetBody()}
		for _, b := range card.GetButtons() {
			j.Card.Buttons = append(j.Card.Buttons, b.GetLabel())
		}
	}
	return j
}

// mentions gives whom a text in a group mentions, as plugins/text noted it.
func mentions(m *controlpb.Message) []string {
	var users []string
	for _, an := range m.GetAnnotations() {
		if an.GetKind() == "mention" && an.GetAuthor() == m.GetAuthor() && json.Unmarshal(an.GetValue(), &users) != nil {
			return nil
		}
	}
	return users
}

func stateWord(d controlpb.Delivery) string {
	switch d {
	case controlpb.Delivery_DELIVERY_QUEUED:
		return "queued"
	case controlpb.Delivery_DELIVERY_SENT:
		return "sent"
	case controlpb.Delivery_DELIVERY_DELIVERED:
		return "delivered"
	case controlpb.Delivery_DELIVERY_READ:
		return "read"
	case controlpb.Delivery_DELIVERY_FAILED:
		return "failed"
	default:
		return ""
	}
}

// stateOf says how far a message of one's own came; where it came farther to some of
// several people than to others, to how many.
func stateOf(m *controlpb.Message) string {
	reach := client.ReachOf(m)
	switch n, read := reach.Uneven(); {
	case n == 0:
		return stateWord(m.GetDelivery())
	case read:
		return fmt.Sprintf("read by %d of %d", n, reach.All)
	default:
		return fmt.Sprintf("delivered to %d of %d", n, reach.All)
	}
}

// failure says why a message failed.
func failure(m *controlpb.Message) string {
	var why []string
	for _, r := range m.GetRecipients() {
		if r.GetDelivery() == controlpb.Delivery_DELIVERY_FAILED {
			why = append(why, r.GetUser()+": "+strings.TrimSuffix(client.PrintableLine(r.GetReason()), "."))
		}
	}
	return strings.Join(why, "; ")
}

// messageText is a message's body as lists show it.
func messageText(m *controlpb.Message) string {
	switch {
	case m.GetDeleted():
		return "(deleted)"
	case m.GetCard() != nil:
		return cardText(m.GetCard())
	default:
		return client.Printable(m.GetBody())
	}
}

// cardText is a card as the terminal shows it: what it says, and its buttons.
func cardText(card *pluginpb.Card) string {
	var lines []string
	for _, s := range []string{card.GetTitle(), card.GetBody()} {
		if s != "" {
			lines = append(lines, client.Printable(s))
		}
	}
	var buttons []string
	for _, b := range card.GetButtons() {
		buttons = append(buttons, "["+client.PrintableLine(b.GetLabel())+"]")
	}
	if len(buttons) > 0 {
		lines = append(lines, strings.Join(buttons, " "))
	}
	return strings.Join(lines, "\n")
}

func idString(b []byte) string {
	id, err := uuid.FromBytes(b)
	if err != nil {
		return ""
	}
	return id.String()
}

// parseID reads a message id that a person copied.
func parseID(s string) ([]byte, error) {
	id, err := uuid.Parse(s)
	if err != nil {
		return nil, usagef("%q is not a message id; parley history --ids shows them", s)
	}
	return id[:], nil
}
