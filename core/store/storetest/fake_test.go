package storetest_test

import (
	"testing"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/core/store/storetest"
)

func TestFake(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return storetest.New(t) })
}
