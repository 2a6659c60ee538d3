package roster

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
)

// hidden are characters that a name must not have: controls, and those that
// turn the direction of what follows.
func hidden(c rune) bool {
	return unicode.IsControl(c) || c == '\u2028' || c == '\u2029' || unicode.Is(unicode.Bidi_Control, c)
}

func checkName(what, name string) error {
	switch {
	case !utf8.ValidString(name):
		return failure.New(ErrInvalid, "%s must be UTF-8 text", what).Because("NAME_CHARACTERS")
	case utf8.RuneCountInString(name) > maxName:
		return failure.New(ErrInvalid, "%s has at most %d characters, and this one has %d: shorten it", what, maxName, utf8.RuneCountInString(name)).Because("NAME_TOO_LONG", "limit", maxName)
	case strings.ContainsFunc(name, hidden):
		return failure.New(ErrInvalid, "%s must not have line breaks or other control characters", what).Because("NAME_CHARACTERS")
	case name != strings.TrimSpace(name):
		return failure.New(ErrInvalid, "%s must not begin or end with a space", what).Because("NAME_SPACES")
	}
	return nil
}

// cleanName makes a name of what others say of themselves.
func cleanName(name string) string {
	name = strings.Map(func(c rune) rune {
		if hidden(c) || c == utf8.RuneError {
			return -1
		}
		return c
	}, name[:min(len(name), 8*maxName)])
	if runes := []rune(name); len(runes) > maxName {
		name = string(runes[:maxName])
	}
	return strings.TrimSpace(name)
}

// picture says whether b looks like a PNG, JPEG or WebP of bearable size.
func picture(b []byte) bool {
	switch {
	case len(b) > maxAvatar || len(b) < 12:
		return false
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")), bytes.HasPrefix(b, []byte("\xff\xd8\xff")):
		return true
	default:
		return bytes.HasPrefix(b, []byte("RIFF")) && bytes.Equal(b[8:12], []byte("WEBP"))
	}
}

// setProfile takes what a person's profile says, as far as it is acceptable.
func (s *step) setProfile(p *directorypb.Profile) {
	if p == nil || s.c == nil {
		return
	}
	s.c.DisplayName = cleanName(p.GetDisplayName())
	switch hash := p.GetAvatarHash(); {
	case picture(p.GetAvatar()):
		s.c.Avatar = p.GetAvatar()
	case len(p.GetAvatar()) > 0: // nothing that can be shown
	case len(hash) == 0:
		s.c.Avatar = nil
	default:
		have := packet.HashOf(s.c.Avatar)
		if !bytes.Equal(have[:], hash) {
			s.fetch = wantProfile
		}
	}
}

// want is what of somebody is to be looked up.
type want int

const (
	wantKeys    want = iota + 1 // unless presence tells them first
	wantProfile                 // with the keys
)

// want asks serveProfiles to look somebody up.
func (r *Roster) want(user packet.UserID, what want) {
	r.mu.Lock()
	r.wanted[user] = max(r.wanted[user], what)
	r.mu.Unlock()
	wake(r.fetch)
}

// presenceTime is how long presence has to tell the keys of those who share a new
// group. Of most it does; of all of a large group the directory does not answer so
// many look-ups at once, and would not answer any other for minutes.
const presenceTime = time.Second

// lookUpsAtOnce is how many look-ups are made in a row once the directory asked to
// go slower.
const lookUpsAtOnce = 10

// serveProfiles looks up the pictures that presence named and that are not
// here, and the keys of new acquaintances. One that cannot be had now is tried
// when presence names it again, or when the directory is back.
func (r *Roster) serveProfiles(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.fetch:
		}
		if r.onlyKeysWanted() && pause(ctx, presenceTime) != nil {
			return ctx.Err()
		}
		for {
			user, what := r.nextWanted()
			if what == 0 || ctx.Err() != nil {
				break
			}
			err := r.fetchProfile(ctx, user)
			if err == nil || ended(ctx, err) {
				continue
			}
			r.cfg.Log.Info("profile cannot be looked up", "user", user, "error", err)
			if wait := askedDelay(err); wait > 0 {
				// A large group is more than the directory answers at once. Several are
				// waited for, so that meanwhile there is one for what the user asks.
				r.want(user, what)
				if pause(ctx, min(lookUpsAtOnce*wait, retryMost)) != nil {
					break
				}
			}
		}
	}
}

func (r *Roster) onlyKeysWanted() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, what := range r.wanted {
		if what != wantKeys {
			return false
		}
	}
	return len(r.wanted) > 0
}

func (r *Roster) nextWanted() (packet.UserID, want) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for user, what := range r.wanted {
		delete(r.wanted, user)
		if what != wantKeys || len(r.people[user].pinned) == 0 {
			return user, what
		}
	}
	return "", 0
}

func (r *Roster) fetchProfile(ctx context.Context, user packet.UserID) error {
	found, err := r.lookUp(ctx, user)
	if err != nil {
		return err
	}
	return r.update(ctx, store.Synced, user, func(s *step) error {
		if s.c == nil || s.c.State == store.ContactBlocked {
			return nil
		}
		err := s.learn(found)
		s.fetch = 0 // what a look-up does not give is not to be had
		return err
	})
}

// SetProfile sets the account's own display name and picture. When the
// directory cannot be reached, it gets them once it can.
func (r *Roster) SetProfile(ctx context.Context, req *controlpb.SetProfileRequest) error {
	if req.GetSetDisplayName() {
		if err := checkName("a display name", req.GetDisplayName()); err != nil {
			return err
		}
	}
	if req.GetSetAvatar() && len(req.GetAvatar()) > 0 && !picture(req.GetAvatar()) {
		return failure.New(ErrInvalid, "a picture is a PNG, JPEG or WebP of at most 64 KiB: choose another, or make it smaller").Because("PICTURE")
	}
	err := r.cfg.Store.Update(ctx, store.Synced, func(tx store.Tx) error {
		p, err := readProfile(tx)
		if err != nil {
			return err
		}
		if req.GetSetDisplayName() {
			p.DisplayName = req.GetDisplayName()
		}
		if req.GetSetAvatar() {
			p.Avatar = req.GetAvatar()
		}
		return putProfile(tx, p, true)
	})
	if err != nil {
		return err
	}
	bus.Publish(r.cfg.Bus, bus.ProfileChanged, struct{}{})
	wake(r.kick)
	return nil
}

// AdoptProfile takes the profile that the directory has of this account, for
// after a log-in; one that was set here and has not got there yet wins.
func (r *Roster) AdoptProfile(ctx context.Context, p *directorypb.Profile) error {
	adopted := &directorypb.Profile{DisplayName: cleanName(p.GetDisplayName())}
	if picture(p.GetAvatar()) {
		adopted.Avatar = p.GetAvatar()
	}
	return r.cfg.Store.Update(ctx, store.Synced, func(tx store.Tx) error {
		unsettled, err := readValue(tx, keyUnsettled)
		if err != nil || unsettled != nil {
			return err
		}
		return putProfile(tx, adopted, false)
	})
}

// Profile gives the account's own profile.
func (r *Roster) Profile(ctx context.Context) (*directorypb.Profile, error) {
	var p *directorypb.Profile
	err := r.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
		p, err = readProfile(tx)
		return err
	})
	return p, err
}

func readProfile(tx store.ReadTx) (*directorypb.Profile, error) {
	b, err := readValue(tx, keyProfile)
	if err != nil {
		return nil, err
	}
	p := &directorypb.Profile{}
	if err := proto.Unmarshal(b, p); err != nil {
		return nil, fmt.Errorf("read own profile: %w", err)
	}
	return p, nil
}

func putProfile(tx store.Tx, p *directorypb.Profile, unsettled bool) error {
	b, err := proto.Marshal(p)
	if err == nil {
		err = tx.PutValue(namespace, keyProfile, append([]byte{}, b...))
	}
	if err == nil && unsettled {
		err = tx.PutValue(namespace, keyUnsettled, []byte{1})
	}
	if err != nil {
		return fmt.Errorf("store own profile: %w", err)
	}
	return nil
}

// publishProfile gives the directory the profile if it does not have it.
func (r *Roster) publishProfile(ctx context.Context) error {
	var p *directorypb.Profile
	err := r.cfg.Store.View(ctx, func(tx store.ReadTx) error {
		unsettled, err := readValue(tx, keyUnsettled)
		if err == nil && unsettled != nil {
			p, err = readProfile(tx)
		}
		return err
	})
	if err != nil || p == nil {
		return err
	}
	callCtx, cancel := call(ctx)
	defer cancel()
	if err := r.cfg.Directory.SetProfile(callCtx, p); err != nil {
		if !final(err) {
			return err
		}
		bus.Publish(r.cfg.Bus, bus.Noticed, bus.Notice{
			Level: "error", Subject: "profile", Text: "The directory refused your name or picture: " + sentence(err),
			Reason: failure.Because("PROFILE_REFUSED", "why", sentence(err)),
		})
	}
	return r.cfg.Store.Update(context.WithoutCancel(ctx), store.Synced, func(tx store.Tx) error {
		now, err := readProfile(tx)
		if err != nil || !proto.Equal(now, p) {
			return err // set again since: stays unsettled
		}
		return tx.PutValue(namespace, keyUnsettled, nil)
	})
}
