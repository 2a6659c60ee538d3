// Package chatlog delivers RELIABLE packets: it appends to this device's logs,
// brings members of a chat to have the same entries, and knows how far each
// message came. Every kind of offline delivery is this one mechanism.
//
// # Logs
//
// A chat is a set of append-only logs, one per device and epoch of an author,
// numbered 1, 2, 3... What somebody has of a log is a vector: all numbers up to
// one, and ranges beyond it.
//
//   - An author's own log is pushed. The cursor of a link starts where the peer's
//     vector ends and reads the store; a new entry only marks the chat, so
//     nothing is queued in memory and a slow peer holds up nobody else.
//   - Other authors' logs are pulled. Who sees in a peer's vector what it lacks
//     sends a Want, to one peer at a time per log, and turns to another when the
//     link dies or nothing comes. From a log's author, who pushes by itself,
//     nothing is wanted until that pushing stalls.
//   - Who committed entries answers with the vector of the logs they are in, to
//     the link they came over and to their author: this is the delivery receipt.
//     Other linked members of a group hear of it a little later, so that entries
//     travel on where author and reader have no link.
//
// To anyone but its author a vector offers a log without stubs, because a stub
// cannot be passed on (but for those the member lists forbid: all judge them the
// same by their headers); to its author it counts them.
//
// # Chats that are told later
//
// A link begins with the vectors of all chats the peer is a member of. A chat
// that becomes shared later is told when it does; the peer that hears of a chat
// for the first time after its own first exchange tells it once more, because it
// cannot know whether its earlier vector came too soon to be understood. The
// same happens when the member list that a peer knows gets newer.
//
// # Epochs, and stores that were restored from a backup
//
// A device whose store is an old copy of itself would sign numbers again that
// others have already: two entries with one number. What it does instead:
//
//  1. It notices. When a peer's first vector on a link tells of more entries of
//     one's own log than that peer was last known to have, these are asked back
//     before anything of that log is pushed to it (an audit). After an
//     ordinary crash (the receipt did not make it to the disk) they turn out to
//     be the same, and all goes on. What a peer comes to have later, by way of
//     others, and is not here is asked back as well.
//  2. An entry that comes back and is not there was lost. It is taken back into
//     its place, for the plugins to handle again, and a new epoch begins in all
//     chats: other members may have further lost entries, whose numbers must not
//     be given away again.
//  3. An entry that comes back and differs from the one that stands there proves
//     a fork: the device wrote between the restore and this meeting. From that
//     number on the old log is dead to this device: it is not pushed, offered
//     or served any more. Both branches go into the new epoch under their packet
//     ids and with their depths and times: the own entries at once, the lost
//     ones as peers give them back. So everybody ends up with both branches in
//     the same order, whichever branch he got first; what he had already is
//     recognised by its packet id and not handled twice. Receipts of
//     the own messages follow the copies.
//
// In a direct chat nobody else can have got the forked entries: the only other
// person is audited before he is sent any. In a group a third member may have
// got them before the fork was found. He is caught up by the new epoch too. Should
// he and a member of the other branch exchange just those numbers, each keeps
// what it had first and names the author: the two entries are there, signed, and
// nobody can tell a restored backup from a lie. A core that knows by itself that its store
// was restored calls Renew before it writes, and none of this happens.
package chatlog
