package viewmodel

import "github.com/parley-chat/parley/ui-gtk/texts"

// Sentences that the core and the directory say as they stand here. They are
// listed so that the catalogues have them; others are shown as they come.
var _ = []string{
	texts.Mark("The user name or the password is wrong."),
	texts.Mark("This user name is taken; choose another."),
	texts.Mark("This account is disabled; ask whoever runs the directory."),
	texts.Mark("This invite is not valid, has been used up, or has expired; ask whoever runs the directory for another."),
	texts.Mark("This directory makes no new accounts; ask whoever runs it for one."),
	texts.Mark("This directory asks for an invite; ask whoever runs it for one."),
	texts.Mark("A password has 8 to 256 bytes of UTF-8."),
	texts.Mark("Too many people are logging in at this moment."),
	texts.Mark("There is no user of that name here."),
	texts.Mark("it was changed or removed before everybody had it"),
}
