package viewmodel

import "github.com/parley-chat/parley/ui-gtk/texts"

// Sentences that the core says as they stand here, and that have no reason beside
// them. They are listed so that the catalogues have them; others are shown as they
// come.
var _ = []string{
	texts.Mark("it was changed or removed before everybody had it"),
	texts.Mark("It came damaged."),
	texts.Mark("only its author may edit a message"),
	texts.Mark("only its author may delete a message for everybody"),
	texts.Mark("the other side hung up in the middle of it, several times"),
}
