package directory

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/parley-chat/parley/protocol/packet"
)

// What is relayed to somebody who does not read is dropped beyond a bound, so
// that nobody can fill the memory with it; once it is read there is room again.
func TestRelaysThatWaitAreBounded(t *testing.T) {
	for _, tt := range []struct {
		name       string
		size, most int
	}{
		{"large ones by their bytes", MaxRelay, maxRelayBytes / MaxRelay},
		{"small ones by their number", 1, maxReplies / 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &Session{dir: &Directory{}, ready: true, wake: func() {}}
			for range 3 * tt.most {
				s.addRelay("mallory", make([]byte, tt.size))
			}
			if len(s.replies) != tt.most {
				t.Errorf("%d wait, want %d", len(s.replies), tt.most)
			}
			for range tt.most {
				if reply, _, _, ok := s.pop(); !ok || reply.GetRelay() == nil {
					t.Fatal("one that waited is gone")
				}
			}
			s.addRelay("alice", make([]byte, tt.size))
			if len(s.replies) != 1 || s.relayBytes != tt.size {
				t.Errorf("when all was read %d wait with %d bytes", len(s.replies), s.relayBytes)
			}
		})
	}
}

// A request that has waited for too long is neither handed over nor in the way
// of others.
func TestOldRequestsAreLetGo(t *testing.T) {
	v := newView()
	v.accounts["alice"] = &Account{User: "alice"}
	v.kept["alice"] = map[keptKey]kept{}
	young := uint64(0)
	for i := range MaxRequests {
		age := KeepRequests + time.Hour
		if i == 0 {
			age, young = KeepRequests-time.Hour, uint64(i+1)
		}
		from := packet.UserID(fmt.Sprint("user", i))
		v.kept["alice"][keptKey{from, string(packet.TypeRequest)}] = kept{revision: uint64(i + 1), at: time.Now().Add(-age)}
	}
	if waiting := v.waiting("alice"); len(waiting) != 1 || waiting[0] != young {
		t.Errorf("%d wait, want the one that is young enough", len(waiting))
	}
	releases := 0
	for i := range MaxRequests {
		_, _, err := v.reserve("alice", keptKey{packet.UserID(fmt.Sprint("late", i)), string(packet.TypeRequest)})
		if err == nil {
			releases++
		} else if !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	}
	if releases != MaxRequests-1 {
		t.Errorf("%d more can be kept, want %d", releases, MaxRequests-1)
	}
}

// Who is blocked is dropped before anything is stored.
func TestBlockedRequestsAreNotStored(t *testing.T) {
	v := newView()
	v.accounts["alice"] = &Account{User: "alice"}
	v.online["alice"] = &presence{Blocked: []packet.UserID{"mallory"}}
	if dropped, _, err := v.reserve("alice", keptKey{"mallory", string(packet.TypeRequest)}); err != nil || !dropped {
		t.Errorf("from who is blocked: %v, %v", dropped, err)
	}
	if dropped, _, err := v.reserve("alice", keptKey{"bob", string(packet.TypeRequest)}); err != nil || dropped {
		t.Errorf("from another: %v, %v", dropped, err)
	}
}
