// Package blob moves files, pictures, folders and whatever else is large
// between the members of a chat. It owns their bytes; what they mean is their
// plugins' business.
//
// A blob is one stream of bytes with an id that its author made: a file's
// content, or a folder's index followed by the content of its files. It is cut
// into pieces of 1 MiB with a BLAKE3 hash each. The author hashes a piece when it
// first reads it to send it, so that nothing is read before sending begins; once
// all are known it signs the manifest, by which others can serve the blob too.
//
//	Prepare    looks at a file or folder, and keeps an index of the folder
//	Share      lets the members of a chat fetch it
//	Fetch      has it fetched, over restarts, until it is here or failed
//	Steer      pauses, resumes, cancels
//
// What travels when is decided by who fetches: it asks for the pieces it lacks,
// from the author or from any other member that is linked, over bulk streams
// (see core/conn), several at a time (gather.go). Each source has a claim on some
// of the pieces, and one that has nothing left to do takes over what a slower one
// is not going to give soon (claims.go). In a group who fetches a blob gives what
// it has of it meanwhile. What is on the disk:
//
//	<data>/blobs/<id>/pieces           which pieces are here, and their hashes (ledger.go)
//	<data>/blobs/<id>/index            the index of a folder
//	<destination>/.parley/<id>         what came so far, until all of it is verified
//
// A transfer that was cut off, even by kill -9, goes on where it stopped, in the
// middle of a piece, without reading what came before. After a power failure,
// when what the ledger says may never have reached the disk, the pieces it names
// are verified once.
package blob
