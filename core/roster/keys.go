package roster

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"slices"
	"strings"

	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
)

func pinnedKeys(devices []store.Device) []ed25519.PublicKey {
	var keys []ed25519.PublicKey
	for _, d := range devices {
		if d.Pinned {
			keys = append(keys, d.Key)
		}
	}
	return keys
}

func keyChanged(devices []store.Device) bool {
	return slices.ContainsFunc(devices, func(d store.Device) bool { return !d.Pinned })
}

func devicesOf(pinned, others []ed25519.PublicKey) []store.Device {
	var devices []store.Device
	for _, k := range pinned {
		devices = append(devices, store.Device{Key: k, Pinned: true})
	}
	for _, k := range others {
		devices = append(devices, store.Device{Key: k})
	}
	return devices
}

// cleanKeys makes a set of what the directory listed: well-formed keys, sorted,
// none twice. Listing too many is as good as listing none.
func cleanKeys(keys []ed25519.PublicKey) []ed25519.PublicKey {
	if len(keys) > maxDevices {
		return nil
	}
	var clean []ed25519.PublicKey
	for _, k := range keys {
		if len(k) == ed25519.PublicKeySize {
			clean = append(clean, k)
		}
	}
	slices.SortFunc(clean, func(a, b ed25519.PublicKey) int { return bytes.Compare(a, b) })
	return slices.CompactFunc(clean, func(a, b ed25519.PublicKey) bool { return bytes.Equal(a, b) })
}

func listedKeys(devices []*directorypb.Device) []ed25519.PublicKey {
	keys := make([]ed25519.PublicKey, len(devices))
	for i, d := range devices {
		keys[i] = d.GetKey()
	}
	return cleanKeys(keys)
}

// claimable leaves out the keys that are somebody else's, or this device's own:
// a directory must not be able to pass one person's links off as another's.
func (s *step) claimable(keys []ed25519.PublicKey) []ed25519.PublicKey {
	var mine []ed25519.PublicKey
	for _, k := range keys {
		owner, known := s.r.cfg.Book.Owner(packet.DeviceIDOf(k))
		if known && owner != s.user || s.r.cfg.Identity.Key().Equal(k) {
			s.r.cfg.Log.Warn("directory lists a key of another person", "user", s.user, "owner", owner)
			continue
		}
		mine = append(mine, k)
	}
	return mine
}

func has(keys []ed25519.PublicKey, key ed25519.PublicKey) bool {
	return slices.ContainsFunc(keys, func(k ed25519.PublicKey) bool { return bytes.Equal(k, key) })
}

func encodeKeys(keys []ed25519.PublicKey) []byte {
	return bytes.Join(slices.Collect(func(yield func([]byte) bool) {
		for _, k := range keys {
			if !yield(k) {
				return
			}
		}
	}), nil)
}

func decodeKeys(b []byte) []ed25519.PublicKey {
	var keys []ed25519.PublicKey
	for k := range slices.Chunk(b, ed25519.PublicKeySize) {
		keys = append(keys, k)
	}
	return cleanKeys(keys)
}

// observe compares the keys the directory lists with those that are pinned.
// The first ones are pinned. One that is no longer listed is no longer trusted.
// One that is new is a change that the user has to accept.
func (s *step) observe(listed []ed25519.PublicKey) error {
	listed = s.claimable(listed)
	if len(listed) == 0 || s.c == nil {
		return nil
	}
	pinned := pinnedKeys(s.c.Devices)
	if len(pinned) == 0 {
		s.c.Devices = devicesOf(listed, nil)
		return s.put(keyListed, nil)
	}
	var kept, added []ed25519.PublicKey
	for _, k := range listed {
		if has(pinned, k) {
			kept = append(kept, k)
		} else {
			added = append(added, k)
		}
	}
	if len(added) == 0 {
		// Fewer, or the same again after a change that was taken back.
		if len(kept) < len(pinned) {
			s.disconnect = "a device of yours is no longer listed by the directory"
		}
		s.c.Devices = devicesOf(kept, nil)
		if err := s.remember(pinned); err != nil {
			return err
		}
		return s.put(keyListed, nil)
	}
	devices := devicesOf(pinned, added)
	if slices.EqualFunc(devices, s.c.Devices, func(a, b store.Device) bool { return a.Pinned == b.Pinned && bytes.Equal(a.Key, b.Key) }) {
		return nil // noticed before
	}
	s.c.Devices = devices
	s.disconnect = "your keys changed; links wait until they are accepted here"
	if s.c.State != store.ContactBlocked {
		s.notice("warning", failure.Because("KEYS_CHANGED", "user", s.user), "The keys of %s changed. That happens after a new device or a reinstallation, and also when somebody pretends to be %s. "+
			"Compare the new safety number with %s, then accept it; nothing is sent until then.", s.name(), s.name(), s.name())
	}
	return s.put(keyListed, encodeKeys(listed))
}

// AcceptKeys trusts the changed keys of a contact or acquaintance. newSafetyNumber must be the one
// that is shown for them, so that what the user compared is what is accepted.
func (r *Roster) AcceptKeys(ctx context.Context, user packet.UserID, newSafetyNumber string) error {
	return r.update(ctx, store.Synced, user, func(s *step) error {
		if s.c == nil {
			return failure.New(store.ErrNotFound, "%s is neither among your contacts nor in one of your groups", user).Because("UNKNOWN_USER", "user", user)
		}
		if !keyChanged(s.c.Devices) {
			return failure.New(ErrKeys, "the keys of %s have not changed: there is nothing to accept", s.name()).Because("KEYS_SAME", "user", user)
		}
		listed, err := s.value(keyListed)
		if err != nil {
			return err
		}
		keys := decodeKeys(listed)
		if digits(r.safetyNumber(user, keys)) != digits(newSafetyNumber) {
			return failure.New(ErrKeys, "that is not the safety number of the keys %s has now: look at the new number again, compare it, then accept it", s.name()).Because("OTHER_SAFETY_NUMBER", "user", user)
		}
		if err := s.remember(pinnedKeys(s.c.Devices)); err != nil {
			return err
		}
		s.c.Devices, s.c.Verified = devicesOf(keys, nil), false
		if err := s.put(keyListed, nil); err != nil {
			return err
		}
		s.wake = true // the outbox held back what is for changed keys
		return s.takeHeld()
	})
}

// SetVerified keeps that the user compared, or did not compare, the safety
// number in person.
func (r *Roster) SetVerified(ctx context.Context, user packet.UserID, verified bool) error {
	return r.update(ctx, store.Synced, user, func(s *step) error {
		switch {
		case s.c == nil:
			return failure.New(store.ErrNotFound, "%s is neither among your contacts nor in one of your groups", user).Because("UNKNOWN_USER", "user", user)
		case verified && keyChanged(s.c.Devices):
			return failure.New(ErrKeys, "the keys of %s changed: accept the new safety number first", s.name()).Because("ACCEPT_KEYS_FIRST", "user", user)
		case verified && len(s.c.Devices) == 0:
			return failure.New(ErrKeys, "the keys of %s are not known yet: wait until the directory can be reached", s.name()).Because("KEYS_UNKNOWN", "user", user)
		}
		s.c.Verified = verified
		return nil
	})
}

// safetyNumber is empty when there are no keys to make it of.
func (r *Roster) safetyNumber(user packet.UserID, keys []ed25519.PublicKey) string {
	if len(keys) == 0 {
		return ""
	}
	return identity.SafetyNumber(r.self, []ed25519.PublicKey{r.cfg.Identity.Key()}, user, keys)
}

// digits leaves the spaces out, which get lost when people copy numbers.
func digits(number string) string { return strings.Join(strings.Fields(number), "") }
