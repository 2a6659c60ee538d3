package core

import (
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/parley-chat/parley/core/chatlog"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/packet"
)

// refusal says for programs why a recipient did not take a message, nil unless it
// failed: by the code that came over the wire. The text that came with it is the
// recipient's word, which stands in the metadata ("why") where there is no better; the
// peer protocol bounds and cleans it.
func refusal(r *chatlog.Recipient) *errdetails.ErrorInfo {
	switch {
	case r.State != chatlog.Failed:
		return nil
	case r.Reason == packet.ReasonTooLarge:
		return failure.Because("REFUSED_TOO_LARGE", "user", r.User)
	case r.Reason == packet.ReasonBlocked:
		return failure.Because("REFUSED_BLOCKED", "user", r.User)
	case r.Reason == packet.ReasonForbidden:
		return failure.Because("REFUSED_FORBIDDEN", "user", r.User)
	case r.Reason == packet.ReasonQuota:
		return failure.Because("REFUSED_QUOTA", "user", r.User)
	case r.Text == "":
		return failure.Because("REFUSED", "user", r.User)
	case r.Reason == packet.ReasonUnreadable:
		return failure.Because("REFUSED_UNREADABLE", "user", r.User, "why", r.Text)
	}
	return failure.Because("REFUSED_SAYING", "user", r.User, "why", r.Text) // of a later version
}
