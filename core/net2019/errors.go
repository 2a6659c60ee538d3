package net2019

import (
	"errors"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
)

// Kinds of errors. What a Service returns is one of these, store.ErrNotFound or
// another error of the store's, always as a sentence that says what to do.
var (
	// ErrOff: it is not switched on.
	ErrOff = errors.New("net2019 is off")
	// ErrInvalid: something that was given cannot be meant so.
	ErrInvalid = errors.New("invalid")
	// ErrUnreachable: the server cannot be reached.
	ErrUnreachable = errors.New("server of 2019 is not reachable")
	// ErrRefused: the server does not take the log-in.
	ErrRefused = errors.New("log-in refused")
	// ErrTaken: somebody is online with that id.
	ErrTaken = errors.New("id is in use")
	// ErrNotServed: the directory does not serve the protocol.
	ErrNotServed = errors.New("net2019 is not served here")
	// ErrPort: the port cannot be listened on.
	ErrPort = errors.New("port cannot be had")
	// ErrCannot: the protocol has nothing for what was to be said.
	ErrCannot = errors.New("net2019 cannot say this")
	// ErrContact: the person is a contact already.
	ErrContact = errors.New("is a contact already")
	// ErrBlocked: the person is blocked here.
	ErrBlocked = errors.New("is blocked")
	// ErrFull: there are as many contacts, or groups, as there can be.
	ErrFull = errors.New("full")
)

func notFound(err error) bool { return errors.Is(err, store.ErrNotFound) }

var errOff = failure.New(ErrOff, "The protocol of 2019 is off: parley login --net2019 switches it on (nothing in it is encrypted).").Because("NET2019_OFF")
