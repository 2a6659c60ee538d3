// Package original is the system of 2019 as its users have it: a directory and the
// published client, with all their faults, for tests of how Parley gets along with
// them. It knows the protocol from its description alone and imports nothing of
// Parley's, so that no mistake is in both.
//
// A [Client] does by itself what the published one does by itself, and what its user
// does when a test says so. What it does wrong:
//
//   - It logs in twice.
//   - A frame is two reads: four bytes, and as many as they say. Of a frame that
//     comes in pieces it takes the first for the whole, and the rest for a frame.
//   - What it cannot read ends the thread that reads that connection, and nothing
//     else: the friend is still listed, and can be written to.
//   - So does the end of a connection: nobody hears of it.
//   - It has a friend as soon as it has asked him, and ignores a request of one whom
//     it has.
//   - A file's name is what stands behind the last "/" of the path; without one its
//     thread ends.
//   - Of a file that comes, each read counts as 1,024 bytes, or as what is left,
//     however few it gave. Of one that goes, each write counts so.
//   - Both farewells erase a friend, or the whole group, with its history.
//   - In a group it reads nothing until it is connected with each member.
//   - A text is one frame, however long.
//
// The methods of both are safe for concurrent use.
package original
