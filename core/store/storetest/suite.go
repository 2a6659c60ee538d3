package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/parley-chat/parley/core/store"
)

// Run proves that what open gives keeps the promises of [store.Store]. open
// gives an empty store that is closed at the end of the test.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	t.Run("undo", func(t *testing.T) {
		s := open(t)
		stop := errors.New("stop")
		err := s.Update(context.Background(), store.Synced, func(tx store.Tx) error {
			if err := tx.PutValue("settings", "a", []byte("1")); err != nil {
				return err
			}
			return stop
		})
		if !errors.Is(err, stop) {
			t.Fatalf("Update gave %v", err)
		}
		err = s.View(context.Background(), func(tx store.ReadTx) error {
			_, err := tx.Value("settings", "a")
			return err
		})
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a value that was undone gives %v", err)
		}
	})
}
