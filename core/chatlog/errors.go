package chatlog

import "errors"

// Errors of this package. They come wrapped with what they are about.
var (
	// ErrUnknownChat: there is no such chat.
	ErrUnknownChat = errors.New("chat is not known")
	// ErrNotMember: this account is not a member of the chat.
	ErrNotMember = errors.New("not a member of the chat")
	// ErrTooLarge: the content is larger than its type takes.
	ErrTooLarge = errors.New("content is too large")
	// ErrTaken: another packet has that id.
	ErrTaken = errors.New("packet id is taken")
	// ErrMember: this account is a member of the chat.
	ErrMember = errors.New("a member of the chat still")
	// ErrNoChanges: no type is known that the chat could have been opened with.
	ErrNoChanges = errors.New("the plugin that keeps the chat is not there")
	// ErrDraft: the draft is of a type or chat that cannot be sent this way.
	ErrDraft = errors.New("packet cannot be sent")
)
