// Package net2019 is the protocol of 2019, which the system that Parley continues
// spoke and its published client still speaks. Nothing in it is encrypted or
// proved: whoever is on the way reads and changes it, and anybody may claim to be
// anybody. It is spoken only where somebody has switched it on.
//
// A person is an [ID] of ten digits, which is "net2019:2017000001" where native
// names stand too. A chat is all its people, ascending, joined by "-".
//
// # Directory
//
// TCP, UTF-8, without framing: the client writes one command and reads one
// reply. The connection is kept for the session, and its end is log-out.
//
//	command                     reply
//	<id>_<password>_<port>      lol     log in; people find <ip>_<port>
//	<id>_<password>             lol     log in as at the course's server; people find <ip>
//	q<id>                       where <id> is, in the form of the asker's own log-in; else n
//	logout<id>                  loo     (100 in a printed report), then the server closes
//	anything else               Invalid Command!
//
// The password is one word for all. A client logs in twice, always. [Scanner] finds
// the commands in what comes, together or in pieces.
//
// # Peers
//
//	+----------------+-------------------------------------------------------+
//	| length, 4 B BE | <chat>_<port>_<kind>_<sender>_<content>_<size>, UTF-8 |
//	+----------------+-------------------------------------------------------+
//
// Decoded from both ends: chat up to the first "_", port up to the next, kind up to
// the next, exactly ten characters of sender, and size behind the last; what is left
// is content, which may have "_" in it. After an image or a file follow its size
// bytes, as they are. See [Kind] and [Frame].
//
// What the published client needs of who talks to it:
//
//   - It loses a frame that comes in two pieces: one write a frame, and at most
//     [MaxSent] bytes. [Frame.Split] makes several of a long text.
//   - It takes the name of a file from behind the last "/", and fails without one.
//   - It numbers the farewells 7 and 8 the other way round than its report; both
//     mean that the other side has left.
//   - It does not notice that a connection has ended: say [LoggedOut] before.
package net2019
