package server

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// TestWatch: a server ends when it is worth starting it again, which a disk that is
// full or slow does not make it.
func TestWatch(t *testing.T) {
	cannot := errors.New("no answer")
	const probe = 2 * time.Second
	for _, tt := range []struct {
		name string
		// ready is when records can be written again, and room when the disk has some;
		// how long it takes for that is what slow says.
		ready, room time.Duration
		slow        func(since time.Duration) time.Duration
		ends        time.Duration // 0: never
	}{
		{"well", 0, 0, nil, 0},
		{"never again", time.Hour, 0, nil, 2 * probe},
		{"full", time.Hour, time.Minute, nil, time.Minute + 2*healthEvery},
		{"slow for a while", time.Minute, 0, func(since time.Duration) time.Duration {
			if since < time.Minute {
				return 3 * time.Second
			}
			return 0
		}, 0},
		{"slow until it is asked", 2 * probe, 0, nil, 0},
		{"slow, and never again", time.Hour, 0, func(time.Duration) time.Duration { return 3 * time.Second }, slowMost + 5*time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				w := watch{
					check: func(context.Context) error {
						if time.Since(began) >= tt.ready {
							return nil
						}
						time.Sleep(probe)
						if time.Since(began) >= tt.ready {
							return nil
						}
						return cannot
					},
					room: func() error {
						if time.Since(began) < tt.room {
							return errors.New("no room")
						}
						if tt.slow != nil {
							time.Sleep(tt.slow(time.Since(began)))
						}
						return nil
					},
					log: slog.New(slog.DiscardHandler),
				}
				var ended time.Duration
				for ended == 0 && time.Since(began) < 10*time.Minute {
					if w.recovered(t.Context()) {
						ended = time.Since(began)
					}
					time.Sleep(healthEvery)
				}
				if (ended == 0) != (tt.ends == 0) || ended < tt.ends || ended > tt.ends+10*time.Second {
					t.Errorf("it ends after %s, want %s or a little later", ended, tt.ends)
				}
			})
		})
	}
}
