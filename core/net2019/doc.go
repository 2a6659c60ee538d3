// Package net2019 is the account's side of the protocol of 2019, see
// protocol/packet/net2019: it logs in where clients of the original do, listens
// where they dial, and keeps what is said with them. Nothing of it is encrypted
// and nobody is proved to be who they say; it is off until the user switches it
// on.
//
// # Who is who
//
// A person of 2019 is "net2019:" and ten digits wherever a native user id stands:
// in contacts, member lists and as the author of a packet. No native user can be
// called so. What the account itself says in a chat of 2019 is authored by the
// account's user id, as everywhere; only on the wire it is the account's ten
// digits, and in the chat's name.
//
// # Where it is kept
//
// A chat of 2019 is a chat of the store like any other, whose id is its list of
// people. Each author has one log in it, made here: unsigned, numbered as the
// frames came, of a device id that is derived from the author's name. So
// history, search, unread counters, restarts and plugins are what they are for
// every chat. core/chatlog keeps away from these chats, as does the directory.
//
// Contacts of 2019 are rows of the store's contacts under their names, which
// core/roster leaves to this package. The rest is in the namespace "net2019".
//
// # How far a message comes
//
// The protocol confirms nothing. A message is queued until it was written to a
// link with a member, and then sent; which of one's own entries were written to
// whom is the store's PeerHead of that member.
//
// # Files
//
// Their bytes are pushed behind a frame, on the connection on which all else is said.
// What comes is put into Config.Folder and settled by one goroutine (watchBlobs): put
// into its place when it is wanted, removed when it is not or did not come whole. What
// is under way, in either direction, is a transfer; its progress goes to core/blob,
// which tells it as that of all others.
package net2019
