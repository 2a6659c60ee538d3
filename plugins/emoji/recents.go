package emoji

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/sdk"
)

const (
	usedPrefix      = "used/"      // + emoji: its used
	favouritePrefix = "favourite/" // + emoji: its used

	maxUsed       = 200 // that are remembered
	maxFavourites = 36
	maxRecent     = 36 // that are given
	quickRow      = 6
)

// usual fill the quick row of who has used no emoji yet.
var usual = []string{"👍", "❤️", "😂", "😮", "😢", "🙏"}

// used is how an emoji has been used, and the value kept for it.
type used struct {
	Count int   `json:"count"`
	At    int64 `json:"at"` // last, Unix time in microseconds
}

// habits are the emoji a person uses. Guarded by the plugin's mu.
type habits struct {
	used       map[string]used
	favourites map[string]used // At is since when
}

// loadHabits reads what is kept.
func (p *Plugin) loadHabits(ctx context.Context) error {
	h := habits{map[string]used{}, map[string]used{}}
	for prefix, into := range map[string]map[string]used{usedPrefix: h.used, favouritePrefix: h.favourites} {
		values, err := p.core.Values(ctx, prefix, 0)
		if err != nil {
			return fmt.Errorf("read the emoji that were used: %w", err)
		}
		for _, v := range values {
			var u used
			if json.Unmarshal(v.Value, &u) == nil { // written by nobody but us
				into[strings.TrimPrefix(v.Key, prefix)] = u
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.habits = h
	return nil
}

// newestFirst gives the emoji of m, the last used first.
func newestFirst(m map[string]used) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(m[b].At, m[a].At), strings.Compare(a, b))
	})
}

// use notes that an emoji was used, and gives the effects that keep it.
func (p *Plugin) use(emoji string) []sdk.Effect {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.habits.used[emoji]
	u.Count++
	u.At = max(time.Now().UnixMicro(), u.At+1)
	p.habits.used[emoji] = u
	effects := keep(usedPrefix+emoji, u)
	for _, old := range newestFirst(p.habits.used)[min(len(p.habits.used), maxUsed):] {
		delete(p.habits.used, old)
		effects = append(effects, sdk.PutValue{Key: usedPrefix + old})
	}
	return effects
}

func keep(key string, u used) []sdk.Effect {
	value, err := json.Marshal(u)
	if err != nil {
		panic(err) // of two numbers
	}
	return []sdk.Effect{sdk.PutValue{Key: key, Value: value}}
}

// favourite stars an emoji, or takes its star away.
func (p *Plugin) favourite(emoji string, on bool) ([]sdk.Effect, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, there := p.habits.favourites[emoji]
	switch {
	case there == on:
		return nil, nil
	case !on:
		delete(p.habits.favourites, emoji)
		return []sdk.Effect{sdk.PutValue{Key: favouritePrefix + emoji}}, nil
	case len(p.habits.favourites) >= maxFavourites:
		return nil, sdk.Errorf(codes.ResourceExhausted, "there are %d favourite emoji, the most there can be: take one out first", maxFavourites).Because("FAVOURITES_FULL", "limit", maxFavourites)
	}
	u := used{At: time.Now().UnixMicro()}
	p.habits.favourites[emoji] = u
	return keep(favouritePrefix+emoji, u), nil
}

// remembered gives the emoji that were used last, the favourites, first the one
// that has been one for longest, and those for the quick row, which usual ones in
// the tone t fill.
func (p *Plugin) remembered(t tone) (recent, favourites, quick []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	recent = newestFirst(p.habits.used)
	favourites = newestFirst(p.habits.favourites)
	slices.Reverse(favourites)
	often := slices.Clone(recent)
	slices.SortStableFunc(often, func(a, b string) int { return cmp.Compare(p.habits.used[b].Count, p.habits.used[a].Count) })
	for _, emoji := range slices.Concat(favourites, often, inTone(usual, t)) {
		if len(quick) < quickRow && !slices.Contains(quick, emoji) {
			quick = append(quick, emoji)
		}
	}
	return recent[:min(len(recent), maxRecent)], favourites, quick
}

func inTone(list []string, t tone) []string {
	toned := make([]string, len(list))
	for i, emoji := range list {
		toned[i] = emoji
		if e, ok := find(emoji); ok {
			toned[i] = e.in(t, newest)
		}
	}
	return toned
}
