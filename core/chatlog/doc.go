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
//     Other linked members of a group hear of it a little later from a few of those
//     who have it, and of all that they did not hear of with something else within
//     minutes from all (see rumour.go), so that entries travel on where author and reader have no
//     link.
//
// To anyone but its author a vector offers a log without stubs, because a stub
// cannot be passed on (but for those the member lists forbid: all judge them the
// same by their headers), and without entries that wait; to its author it counts
// them.
//
// # Members
//
// The plugin of groups makes of the changes of members, which form a graph because
// several people make them at once, lists: for each change the list of all that is
// before it and itself, which everybody works out alike and which never changes, and
// for what is known altogether the present one. Lists are never compared with each
// other; each question is answered by one or two of them.
//
//   - An entry is written under a list; see stamp. It counts if its author is in that
//     list and it is within what the present list says of its author's log: up to a
//     number that is named, else all of a member's and nothing of others'. If its
//     list is not known it waits, and if it is beyond what counts too (up to maxPast;
//     further ones are not taken): two who removed each other while apart are judged
//     anew when they meet, and then it may count after all. What stops to count
//     is taken out of sight and not deleted.
//   - Entries of types that may open chats are how lists come to be, so they are not
//     judged by them: they are taken from all, and handed in. Whose change
//     counts is the plugin's to say. They have a log of their own for each device, so that
//     who is invited handles them without all that was said before.
//   - An entry is given whole to the members of the list it was written under, and to
//     all present members if that list says that it is for whoever joins later. Other
//     present members get it without content, so that no gap remains in the logs. It
//     is theirs to pass on like this; who may have the content does not take it
//     so from somebody who may not.
//   - Who is no member any more is given what there was for him when this device
//     learnt it, and the changes up to then, so that he learns it too: his farewell.
//     It is kept before anything is written under the new list, and is more when a list
//     comes by which he believes to be a member.
//   - Who is no member as far as is known here, and tells of the chat, or was gone when
//     this account became a member, is its guest: given nothing, and listened to, because
//     he may be a member again by what has not come here yet.
//   - Who is a member again begins new logs when the present list names the ends of
//     the old ones.
//   - Recipients of a message are the members of the list it was written under who are
//     present: that somebody has an entry without its content is no receipt.
//
// # Authors who say two things at once
//
// An author may sign several entries with one number and give each to others, whose
// vectors then say the same. All of them count, for everybody: those that come later
// are twins of the first (store.Tx.PutTwin), and judged like it. Members find them by
// comparing digests of logs; see compare.go and packet.Compare. Who does that is named.
//
// # Chats that are told later
//
// A link begins with the vectors of all chats the peer is a member of. A chat
// that becomes shared later is told when it does, as told anew; the peer then tells
// it once more, because its earlier vector came too soon to be understood. Another
// member list is no reason to tell anything: what a peer said it has and does not count
// is kept as said, and looked at again when the list is another.
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
// he and a member of the other branch compare before that, each comes to have both as
// twins and names the author: nobody can tell a restored backup from a lie. A core that knows by itself that its store
// was restored calls Renew before it writes, and none of this happens.
package chatlog
