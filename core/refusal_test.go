package core

import (
	"testing"

	"github.com/parley-chat/parley/core/chatlog"
	"github.com/parley-chat/parley/protocol/packet"
)

// TestRefusal: what is known by its code needs no words of a peer's; those of others
// are handed on as such.
func TestRefusal(t *testing.T) {
	for _, c := range []struct {
		state  chatlog.State
		reason packet.Reason
		text   string
		want   string
		why    bool
	}{
		{chatlog.Read, 0, "", "", false},
		{chatlog.Failed, packet.ReasonTooLarge, "text", "REFUSED_TOO_LARGE", false},
		{chatlog.Failed, packet.ReasonBlocked, "text", "REFUSED_BLOCKED", false},
		{chatlog.Failed, packet.ReasonForbidden, "text", "REFUSED_FORBIDDEN", false},
		{chatlog.Failed, packet.ReasonQuota, "", "REFUSED_QUOTA", false},
		{chatlog.Failed, packet.ReasonUnreadable, "text", "REFUSED_UNREADABLE", true},
		{chatlog.Failed, packet.ReasonUnreadable, "", "REFUSED", false},
		{chatlog.Failed, 0, "", "REFUSED", false},
		{chatlog.Failed, 200, "text", "REFUSED_SAYING", true},
	} {
		got := refusal(&chatlog.Recipient{User: "bob", State: c.state, Reason: c.reason, Text: c.text})
		why, has := got.GetMetadata()["why"]
		if got.GetReason() != c.want || has != c.why || why != "" && why != c.text || got != nil && got.GetMetadata()["user"] != "bob" {
			t.Errorf("%v, %v, %q: %v", c.state, c.reason, c.text, got)
		}
	}
}
