// Package store keeps an account's state: logs, messages, annotations, chats,
// contacts, settings, and the index to search them. Open gives the real one, a
// SQLite database encrypted at rest; storetest.New a fake in memory that keeps
// the same promises, proved by the same conformance suite.
//
// The store knows shapes and no rules: who may write what is decided by its
// callers. What it does decide is what must be consistent with everything else
// in one transaction: the unread counter and last message of a chat, the search
// index, and the vector of a log.
package store

import (
	"context"
	"slices"
	"time"

	"github.com/parley-chat/parley/protocol/packet"
)

// Durability is how hard a commit is pressed.
type Durability int

const (
	// Synced: Update returns when the commit is on disk (fsync). Concurrent
	// calls share one.
	Synced Durability = iota
	// Lazy: Update returns when the commit is visible; a power loss may undo it
	// (never a part of it, and never anything committed before by Synced). For
	// what would be done again.
	Lazy
)

// Store is an account's state. All methods may be called concurrently. Errors:
// those of errors.go, or ctx's. What a transaction returns is a copy and stays
// valid afterwards; byte slices handed in are not kept. The transaction itself is
// not to be used after fn has returned.
type Store interface {
	// Update runs fn in a read-write transaction and commits it, or, when fn
	// gives an error or panics, undoes everything fn did and gives that error.
	// Transactions run one after the other; fn sees all earlier ones. Several
	// callers may be committed together, but each stands or falls alone; only when
	// the commit itself fails, as on a full disk, all of them get its error, and
	// nothing of them is kept. fn must be quick, do no I/O, and not call the store
	// again.
	Update(ctx context.Context, d Durability, fn func(Tx) error) error
	// View runs fn on a consistent snapshot, beside writers. fn must not call
	// Update.
	View(ctx context.Context, fn func(ReadTx) error) error
	// Close waits for running transactions, then closes. Idempotent.
	Close() error
}

// ReadTx reads. A missing thing is ErrNotFound where a method gives one thing,
// and an empty slice where it gives many; so is what belongs to a chat that is not
// there. Limits of 0 or less give nothing, unless said otherwise.
type ReadTx interface {
	// Value gives a small value of a namespace, such as "settings" or
	// "plugin:text".
	Value(namespace, key string) ([]byte, error)
	// Values gives those whose key begins with prefix, in key order. limit 0
	// means all.
	Values(namespace, prefix string, limit int) ([]Value, error)

	Contact(user packet.UserID) (Contact, error)
	// Contacts gives all, in the order of user ids.
	Contacts() ([]Contact, error)

	Chat(id packet.ChatID) (Chat, error)
	// Chats gives all, the one with the latest message (else creation) first.
	Chats() ([]Chat, error)
	// Membership gives a version of a chat's member list.
	Membership(chat packet.ChatID, version uint64) (Membership, error)
	// Versions gives the versions of a chat's member list that are here, ascending.
	Versions(chat packet.ChatID) ([]uint64, error)

	// Entry gives one entry of a log.
	Entry(key packet.EntryKey) (Entry, error)
	// EntryByID finds the entry of a packet, of several the one that came first.
	EntryByID(id packet.PacketID) (Entry, error)
	// EntriesByID gives entries with a packet's id, in the order in which they came,
	// at most limit.
	EntriesByID(id packet.PacketID, limit int) ([]Entry, error)
	// Entries gives entries of a log with numbers in [first, last] in ascending
	// order, at most limit of them and, past the first one, at most maxBytes of
	// content. Entries in state EntryStub are left out unless stubs is set, and twins
	// in any case.
	Entries(log packet.Log, first, last uint64, limit, maxBytes int, stubs bool) ([]Entry, error)
	// Twins gives the twins (see Tx.PutTwin) of a log that come after an entry of it,
	// with numbers up to last, in the order of (number, twin), stubs too; at most limit
	// of them and, past the first one, at most maxBytes of content.
	Twins(after packet.EntryKey, last uint64, limit, maxBytes int) ([]Entry, error)
	// Digests gives the digest of each entry of a log with a number in [first, last],
	// of twins and stubs too, in the order of (number, digest).
	Digests(log packet.Log, first, last uint64) ([]EntryDigest, error)
	// Heads says what the store has of each log of a chat (stubs count), in the
	// order of (device, epoch).
	Heads(chat packet.ChatID) ([]Head, error)
	// Head says it of one log; the zero Head when there is nothing.
	Head(log packet.Log) (Head, error)
	// Depth is the highest depth a chat's entries ever had, 0 when there was none.
	Depth(chat packet.ChatID) (uint64, error)
	// Unhandled gives entries whose State is EntryNew and of one of the types,
	// of chat or (empty) of all chats, twins too, that are reachable without a gap from the
	// start of their log, with no number before them of which all entries are
	// EntryWaiting, and no earlier
	// entry of these types that is not in the answer. Entries of other types hold
	// up nobody: their plugin may be missing. Per chat they come in the order in which the store got them, those of a
	// log by number. At most limit entries and, past the first, maxBytes of content.
	Unhandled(types []packet.Type, chat packet.ChatID, limit, maxBytes int) ([]Entry, error)
	// UnhandledChats gives the chats that have such entries.
	UnhandledChats(types []packet.Type) ([]packet.ChatID, error)
	// Waiting gives entries of a log, but no twins, in state EntryWaiting with numbers in
	// [first, last], ascending, at most limit of them and, past the first one, at
	// most maxBytes of content.
	Waiting(log packet.Log, first, last uint64, limit, maxBytes int) ([]Entry, error)
	// Stubs gives the refusals this account owes to the author of a log: its
	// stubs but for twins, newest first, at most limit.
	Stubs(log packet.Log, limit int) ([]packet.Refusal, error)

	// PeerHeads says what each other member's device was last known to have of
	// a log.
	PeerHeads(log packet.Log) ([]PeerHead, error)
	// Refused gives the refusals by others of an entry of one's own.
	Refused(key packet.EntryKey) ([]Refused, error)

	// Register gives a register.
	Register(chat packet.ChatID, author packet.UserID, name packet.Type) (packet.Register, error)
	// Registers gives all of a chat.
	Registers(chat packet.ChatID) ([]packet.Register, error)

	Message(id packet.PacketID) (Message, error)
	// Messages gives a page of a chat in ascending order. With Before or After
	// set, the page ends or begins next to that place (or on it, Inclusive);
	// with neither it is the newest page. more says that the chat goes on in
	// that direction. Messages at one place are ordered by id; a page may end
	// between them.
	Messages(chat packet.ChatID, page Page) (messages []Message, more bool, err error)
	// FirstUnread is the earliest message of a chat that counts as unread.
	FirstUnread(chat packet.ChatID) (packet.PacketID, error)
	// OwnMessages gives messages whose entries' numbers in log lie in
	// (above, upto], ascending, at most limit: those whose delivery state a vector
	// moved.
	OwnMessages(log packet.Log, above, upto uint64, limit int) ([]Message, error)
	// Search gives messages that hold every word of the query, in their body or
	// in an annotation's search text, newest (by SentAt) first and those of one
	// moment in any order. Words match from their beginning, whatever case and
	// diacritics; Chinese, Japanese and Korean need no spaces. Only the first 4 KiB
	// of the query count; one without words finds nothing. An empty chat means all.
	Search(q Query) (messages []Message, more bool, err error)
	// Annotations gives those of some messages, in the order of (message, kind,
	// author).
	Annotations(ids []packet.PacketID) ([]Annotation, error)

	Blob(id packet.BlobID) (Blob, error)
	// Blobs gives those selected, the newest (by CreatedAt, then id) first.
	Blobs(q BlobQuery) ([]Blob, error)
	// BlobsOf gives those of some messages, in the order of the messages given,
	// of one message the oldest first.
	BlobsOf(messages []packet.PacketID) ([]Blob, error)
	// UntoldBlobs gives a plugin's that are settled and not Told, oldest first.
	UntoldBlobs(plugin string, limit int) ([]Blob, error)

	// Invocation gives the result of an Invoke that was committed.
	Invocation(id packet.PacketID) (Invocation, error)
}

// Tx reads and writes. Writing to a chat that is not there is ErrNotFound;
// deleting what is not there is no error, unless said otherwise.
type Tx interface {
	ReadTx

	// PutValue sets a value; a nil one removes it.
	PutValue(namespace, key string, value []byte) error

	PutContact(c Contact) error
	DeleteContact(user packet.UserID) error

	// PutChat makes a chat or changes its Title, Muted, Pinned, Draft,
	// CreatedAt. The other fields are the store's own.
	PutChat(c Chat) error
	// DeleteChat removes a chat with its messages, entries, registers,
	// memberships, annotations and blobs. Its depth and the heads of its logs stay, so
	// that a chat made again goes on counting, and entries that were there once are
	// not taken again.
	DeleteChat(id packet.ChatID) error
	// ClearChat removes what was said in a chat and what its user set of it: messages,
	// annotations, blobs, registers, draft, Muted and Pinned, and all entries but those
	// of types that keep names. The chat and its member lists stay, and what its logs
	// have had, so that it is not taken again.
	ClearChat(id packet.ChatID, keep func(packet.Type) bool) error
	// PutMembership adds a version of a member list; the highest is the chat's
	// present one. ErrExists when the version is there and says something else;
	// the same again changes nothing.
	PutMembership(chat packet.ChatID, m Membership) error

	// NextNumber gives the number that a new entry of a log gets.
	NextNumber(log packet.Log) (uint64, error)
	// PutEntry adds an entry, which CheckEntry must find well-formed. added is
	// false when that entry is there already,
	// with any content; then nothing changes. ErrConflict when an entry with
	// that key and another header is there: two entries were signed with one
	// number.
	PutEntry(e Entry) (added bool, err error)
	// PutTwin adds an entry beside the one that is there with its key (ErrNotFound
	// if there is none): its author signed both. It gets the next Twin, and the vector of its
	// log stays as it is. added is false when it is there already.
	PutTwin(e Entry) (added bool, err error)
	// SetEntryState moves an entry to another state; reason and text are kept for
	// EntryStub and EntrySetAside alone. A stub loses its content.
	SetEntryState(key packet.EntryKey, s EntryState, reason packet.Reason, text string) error
	// AddAttempt counts a start of handling an entry and gives the count.
	AddAttempt(key packet.EntryKey) (int, error)
	// DropContent deletes an entry's content; its header stays.
	DropContent(key packet.EntryKey) error

	// PutPeerHead keeps what a member's device has of a log. It never goes
	// back, unless reset. changed says that it moved, before gives what it was.
	PutPeerHead(log packet.Log, h PeerHead, reset bool) (before uint64, changed bool, err error)
	// PutRefused keeps another's refusal of an entry of one's own. Idempotent.
	PutRefused(key packet.EntryKey, r Refused) error

	// PutRegister keeps a register if it supersedes the one that is there.
	PutRegister(r packet.Register) (newer bool, err error)
	// SetRead moves the place up to which the account's user has read a chat,
	// forward only, and recounts Unread.
	SetRead(chat packet.ChatID, place packet.OrderKey) (moved bool, err error)

	// AddMessage adds a message, counts it as unread if it is beyond the read
	// place, Notifies and not Own, and indexes it. added is false when the id is
	// there already. Annotations that came before it are its own, if they were of
	// the same chat. CheckMessage says what it must have.
	AddMessage(m Message) (added bool, err error)
	// ChangeMessage replaces Body, Search, Data, Card and Edited of a message
	// that is there and not deleted, else ErrNotFound.
	ChangeMessage(m Message) error
	// DeleteMessage empties a message, marks it deleted and removes its
	// annotations; it no longer counts as unread. Idempotent; ErrNotFound when it
	// was never there.
	DeleteMessage(id packet.PacketID) error
	// WithdrawMessage undoes AddMessage: nothing remains of the message but its
	// annotations, which are there when it is added again. One that is deleted or
	// not there stays so.
	WithdrawMessage(id packet.PacketID) error

	// PutAnnotation sets the annotation of (message, kind, author), also of a
	// message that is not there yet; never of a deleted one or one of another chat
	// (ErrNotFound).
	PutAnnotation(a Annotation) error
	DeleteAnnotation(message packet.PacketID, kind string, author packet.UserID) error

	// PutBlob adds a blob or replaces the one with its id; CheckBlob says what it
	// must have. One that is not settled counts as told.
	PutBlob(b Blob) error
	DeleteBlob(id packet.BlobID) error

	// PutInvocation keeps an Invoke's result. ErrExists.
	PutInvocation(i Invocation) error
	// PruneInvocations forgets those older than t.
	PruneInvocations(t time.Time) error
}

// Value is a small named value.
type Value struct {
	Key   string
	Bytes []byte
}

// ContactState is where a contact stands.
type ContactState int

// The states; see controlpb.ContactState. Values are stored: never renumber.
const (
	ContactOutgoing ContactState = iota + 1
	ContactIncoming
	ContactAccepted
	ContactBlocked
	ContactLeft
	// ContactAcquaintance is nobody's contact: a member of a group that this
	// account is in.
	ContactAcquaintance
)

// Device is a device of a user as this account knows it.
type Device struct {
	Key []byte // Ed25519 public key, 32 bytes
	// Pinned keys are trusted. One that is not is a change that the user has
	// not accepted yet.
	Pinned bool
}

// Contact is a person in the roster.
type Contact struct {
	User        packet.UserID
	State       ContactState
	Before      ContactState // state before it was blocked, else 0
	Nickname    string
	DisplayName string
	Avatar      []byte
	Greeting    string
	Devices     []Device
	Verified    bool // keys were compared in person
	CreatedAt   int64
	LastSeen    int64
}

// Chat is a chat as a list shows it.
type Chat struct {
	ID        packet.ChatID
	Title     string
	Muted     bool
	Pinned    bool
	Draft     string
	CreatedAt int64

	// Kept by the store.
	Membership uint64          // present version, 0 before the first
	Members    []packet.UserID // of that version, ascending
	Invited    []packet.UserID // of those, who has not answered yet, ascending
	History    History         // of that version
	Last       packet.PacketID // newest message, zero when there is none
	LastAt     int64           // its SentAt, else CreatedAt
	Unread     int
	Read       packet.OrderKey // read up to here
}

// Membership is one version of a chat's member list.
type Membership struct {
	Version uint64
	Members []packet.UserID
	// Invited are those of Members who were asked and have not answered yet. It is no
	// part of what makes a version the same.
	Invited []packet.UserID
	// Cutoffs of each log of anybody who was ever removed.
	Cutoffs []Cutoff
	// Merged: it is the sum of changes made apart, and nobody writes under it.
	Merged  bool
	History History
}

// Same says whether two versions say the same. Both have their members in order.
func (m *Membership) Same(other *Membership) bool {
	return m.Version == other.Version && m.Merged == other.Merged && m.History == other.History &&
		slices.Equal(m.Members, other.Members) && slices.Equal(m.Cutoffs, other.Cutoffs)
}

// Cutoff names the last entry of a removed author's log that still counts.
type Cutoff struct {
	User packet.UserID
	packet.EntryKey
}

// History is who may see what is written under a list.
type History int

// The values are stored: never renumber.
const (
	HistoryFromJoin History = iota // its members
	HistoryAll                     // and whoever is a member later
)

// EntryState is what became of an entry.
type EntryState int

// The states. Values are stored: never renumber.
const (
	// EntryNew: committed, not handled yet.
	EntryNew EntryState = iota + 1
	// EntryHandled: its effects are committed.
	EntryHandled
	// EntryStub: refused, or, without a reason, deleted by the user for himself;
	// counted, without content.
	EntryStub
	// EntrySetAside: it killed its plugin too often, or the plugin could not
	// make effects of it that could be applied.
	EntrySetAside
	// EntryWaiting: by the member lists that are here it does not count yet, or
	// any more.
	EntryWaiting
)

// Entry is a RELIABLE packet in its log.
type Entry struct {
	Packet   packet.Packet // Content is empty once dropped
	State    EntryState
	Reason   packet.Reason // of a stub
	Text     string        // why it was refused or set aside
	Attempts int
	Dropped  bool // the content was deleted
}

// Head is what is known of a log, and whose it is.
type Head struct {
	Author packet.UserID
	packet.LogVector
	// Waiting are the numbers of which all entries are in that state, ascending; when
	// they lie in more than 256 places, some between them too.
	Waiting []packet.Range
}

// EntryDigest is what stands for an entry when logs are compared.
type EntryDigest struct {
	Number uint64
	Digest packet.Digest
}

// PeerHead is what a member's device was last known to have of a log.
type PeerHead struct {
	User   packet.UserID
	Device packet.DeviceID
	Upto   uint64
}

// Refused is one member's refusal of one's own entry.
type Refused struct {
	User   packet.UserID
	Reason packet.Reason
	Text   string
}

// Message is what a plugin made of a packet, or by itself.
type Message struct {
	ID       packet.PacketID
	Chat     packet.ChatID
	Author   packet.UserID
	Plugin   string
	Kind     string
	Body     string
	Search   string // further words to find it by
	ReplyTo  packet.PacketID
	Data     []byte
	Card     []byte // encoded pluginpb.Card
	SentAt   int64
	Order    packet.OrderKey
	Entry    packet.EntryKey // zero Number when it is of no packet
	Own      bool
	Notifies bool
	Edited   bool
	Deleted  bool
}

// Page selects messages of a chat.
type Page struct {
	Before    *packet.OrderKey
	After     *packet.OrderKey
	Inclusive bool
	Limit     int // 1 to MaxPage
}

// Query selects messages by words.
type Query struct {
	Text   string
	Chat   packet.ChatID
	Before packet.PacketID // go on after this result of an earlier page; ErrNotFound when it is gone
	Limit  int             // 1 to MaxResults
}

// Annotation is something said of a message.
type Annotation struct {
	Chat    packet.ChatID
	Message packet.PacketID
	Kind    string
	Author  packet.UserID
	Plugin  string
	Value   []byte
	Search  string
}

// Invocation is a committed Invoke.
type Invocation struct {
	ID     packet.PacketID
	Plugin string
	Action string
	Result []byte
	Sent   []packet.PacketID
	At     int64
}
