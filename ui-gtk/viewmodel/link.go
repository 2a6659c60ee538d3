package viewmodel

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
)

// linkScheme is that of links to people: "parley:bob?directory=chat.example.org:7443".
// What follows the user id may be left out.
const linkScheme = "parley"

// maxPersonLink bounds a link, in bytes.
const maxPersonLink = 512

// ErrLink is what ParseLink gives for what is no link to a person.
var ErrLink = errors.New("this is not a link to somebody: one looks like parley:bob")

var userID = regexp.MustCompile(`^[a-z0-9][a-z0-9._]{0,63}$`)

// ValidUser says whether something can be a user id.
func ValidUser(s string) bool { return userID.MatchString(s) }

// PersonLink is the link to a user of a directory.
func PersonLink(user, directory string) string {
	link := url.URL{Scheme: linkScheme, Opaque: user}
	if directory != "" {
		// A colon may stand in a query, and is easier to read than "%3A".
		link.RawQuery = strings.ReplaceAll(url.Values{"directory": {directory}}.Encode(), "%3A", ":")
	}
	return link.String()
}

// ParseLink reads a link to a person. Who follows it into another directory may find
// somebody else of that name there; directory is empty where the link says none.
func ParseLink(s string) (user, directory string, err error) {
	if len(s) > maxPersonLink {
		return "", "", ErrLink
	}
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil || !strings.EqualFold(u.Scheme, linkScheme) {
		return "", "", ErrLink
	}
	user = u.Opaque
	if user == "" { // with two slashes
		user = u.Host
	}
	if !ValidUser(user) {
		return "", "", ErrLink
	}
	return user, u.Query().Get("directory"), nil
}

// isLink says whether something is meant to be a link.
func isLink(s string) bool {
	scheme, _, found := strings.Cut(strings.TrimSpace(s), ":")
	return found && strings.EqualFold(scheme, linkScheme)
}
