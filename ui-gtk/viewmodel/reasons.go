package viewmodel

import (
	"github.com/parley-chat/parley/core/client"
)

// reason names what a sentence of the core's or a plugin's says, with the names and
// numbers in it: an ErrorInfo of an error, or a controlpb.Reason beside a sentence.
type reason interface {
	GetReason() string
	GetDomain() string
	GetMetadata() map[string]string
}

// saying is what the window says for a reason.
type saying struct {
	text string
	// params are the keys of the metadata that stand in the text, in the order of its
	// verbs.
	params []string
}

// maxShownParam bounds what stands in a sentence, in characters.
const maxShownParam = 2 * maxShownLine

// tell says something of the core's or a plugin's in the language, harmless to show on
// one line: by its reason, which may be nil; else the sentence as it is.
func (s *Session) tell(why reason, sentence string) string {
	known, ok := sayings[why.GetDomain()][why.GetReason()]
	if !ok || known.text == "" {
		return s.said(sentence)
	}
	args := make([]any, 0, len(known.params))
	for _, key := range known.params {
		value, ok := why.GetMetadata()[key]
		if !ok { // of another version
			return s.said(sentence)
		}
		args = append(args, s.param(key, value))
	}
	if len(args) == 0 {
		return s.Texts().T(known.text)
	}
	return s.Texts().F(known.text, args...)
}

// param gives a value of a reason's metadata as it is shown.
func (s *Session) param(key, value string) string {
	switch key {
	case "user":
		return s.Contacts.Name(value)
	case "path":
		value = s.PathName(value)
	case "place":
		value = s.KeyPlaceName(value)
	case "why":
		value = s.said(value)
	}
	return tidy(value, maxShownParam)
}

// said gives a sentence in the language if it is known word by word, harmless to show
// on one line.
func (s *Session) said(sentence string) string {
	if sentence == "" {
		return "" // for which catalogues have their header
	}
	return client.PrintableLine(s.Texts().T(sentence))
}
