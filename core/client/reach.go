package client

import "github.com/parley-chat/parley/protocol/controlpb"

// Reach is to how many of its recipients a message of one's own came.
type Reach struct {
	All       int
	Delivered int // to those who read it, too
	Read      int
	Failed    int
}

// ReachOf counts the recipients of a message.
func ReachOf(m *controlpb.Message) Reach {
	r := Reach{All: len(m.GetRecipients())}
	for _, x := range m.GetRecipients() {
		switch x.GetDelivery() {
		case controlpb.Delivery_DELIVERY_READ:
			r.Read++
			r.Delivered++
		case controlpb.Delivery_DELIVERY_DELIVERED:
			r.Delivered++
		case controlpb.Delivery_DELIVERY_FAILED:
			r.Failed++
		}
	}
	return r
}

// Partly says whether it came to some, and never will to the others.
func (r Reach) Partly() bool { return r.Delivered > 0 && r.Failed > 0 }

// Uneven says, where it came farther to some of several than to others, to how many it
// was delivered, or how many read it; n is 0 where it came as far to all.
func (r Reach) Uneven() (n int, read bool) {
	switch {
	case r.All < 2:
		return 0, false
	case !r.Partly() && r.Read > 0 && r.Read < r.All:
		return r.Read, true
	case r.Delivered > 0 && r.Delivered < r.All:
		return r.Delivered, false
	}
	return 0, false
}
