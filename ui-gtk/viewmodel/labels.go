package viewmodel

import (
	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/ui-gtk/texts"
)

// What the core and Parley's own plugins call their settings, choices and
// actions, so that it is translated. Others' labels are shown as they are; a test
// reads the manifests.
var _ = []string{
	// The core's settings.
	texts.Mark("Read receipts"), texts.Mark("Tell others how far you have read."),
	texts.Mark("Language"), texts.Mark("Language of what Parley and its plugins say."),
	texts.Mark("Upload limit"), texts.Mark("KiB a second that files may take on the way out, at least 16; 0 is no limit."),
	texts.Mark("Download limit"), texts.Mark("KiB a second that files may take on the way in, at least 16; 0 is no limit."),
	// Text.
	texts.Mark("Text messages with replies, edits and deletion"),
	texts.Mark("Send"), texts.Mark("Edit"), texts.Mark("Delete for everyone"), texts.Mark("Delete for me"), texts.Mark("Typing"),
	texts.Mark("Typing notices"), texts.Mark("Show others when you are typing, and see when they are"),
	// Groups.
	texts.Mark("Groups with roles, invitations, a name and a picture"),
	texts.Mark("New group"), texts.Mark("Invite"), texts.Mark("Join"), texts.Mark("Decline"), texts.Mark("Leave group"), texts.Mark("Remove"),
	texts.Mark("Change role"), texts.Mark("Rename group"), texts.Mark("Describe group"), texts.Mark("Change picture"), texts.Mark("Picture"),
	texts.Mark("What joiners see"), texts.Mark("About the group"), texts.Mark("Groups"),
	// Files.
	texts.Mark("Files, pictures and folders of any size"),
	texts.Mark("Send a file"), texts.Mark("Download"), texts.Mark("Decline"), texts.Mark("Pause"), texts.Mark("Resume"),
	texts.Mark("Cancel"), texts.Mark("Try again"),
	texts.Mark("Download by itself"), texts.Mark("Whose files are downloaded without asking: nobody's, those of contacts, those of everyone in your chats"),
	texts.Mark("off"), texts.Mark("contacts"), texts.Mark("everyone"),
	texts.Mark("Largest download by itself, in MiB"), texts.Mark("What is larger waits until you accept it"),
	texts.Mark("Download folder"), texts.Mark("Where what you accept is put"),
	texts.Mark("Remove the location from pictures"), texts.Mark("Send GIF, PNG, JPEG and WebP pictures without what says where, when and with what they were made"),
	// Emoji.
	texts.Mark("Emoji, and reactions to messages"),
	texts.Mark("React"), texts.Mark("Take the reaction back"), texts.Mark("Categories of emoji"), texts.Mark("Emoji of a category"),
	texts.Mark("Search emoji"), texts.Mark("Skin tones of an emoji"), texts.Mark("Complete a shortcode"), texts.Mark("Replace shortcodes"),
	texts.Mark("Recent emoji"), texts.Mark("Note the use of an emoji"), texts.Mark("Favourite emoji"),
	texts.Mark("Skin tone"), texts.Mark("Of emoji with people and hands"),
	texts.Mark("none"), texts.Mark("light"), texts.Mark("medium-light"), texts.Mark("medium"), texts.Mark("medium-dark"), texts.Mark("dark"),
}

// Label gives a label of the core or of a plugin in the language, if it is known,
// and harmless to show on one line.
func (s *Session) Label(label string) string {
	if label == "" {
		return ""
	}
	return client.PrintableLine(s.Texts().T(label))
}
