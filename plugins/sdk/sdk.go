// Package sdk is what the author of a Parley plugin imports. A plugin is a
// process of its own; its main function is
//
//	func main() { os.Exit(sdk.Serve(poll.New())) }
//
// and its feature a type with the four methods of [Plugin]. A feature is a
// function over packets: it gets a packet, or an action a person asked for, and
// gives back effects. The core commits the effects of a packet together with the
// mark that it is handled, so after a crash the packet comes again, and nothing
// happens twice.
//
// Promises:
//   - Handle and HandleEvent are called for one item of a chat at a time, in
//     order; for different chats, and for Invoke, concurrently.
//   - What a Host method reads within Handle has the effects of everything
//     handled before. Packets come in batches whose effects are committed
//     together, so a call that reads what an earlier one of them changes gives
//     [ErrAgain]: return it, and Handle is called again with the same packet
//     once the effects before it are committed. Pass the ctx on, or this promise is void.
//   - Nothing recovers a panic: the process dies, the core starts it again, and
//     sets a packet aside that does it three times.
//
// docs/plugin-guide.md is the way in, plugintest a host for tests,
// protocol/pluginpb/plugin.proto the contract below with all its limits.
package sdk

import (
	"context"
	"log/slog"
	"time"

	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// APIVersion is the version of the plugin API this package speaks.
const APIVersion = 1

// Plugin is a feature. An error that is an [*Error] keeps its code and text;
// give people a sentence that says what happened, to what, and what to do.
type Plugin interface {
	// Manifest says what the plugin is. It must give the same at each call and
	// need nothing.
	Manifest() *pluginpb.Manifest
	// Start comes first, once, within 10 s. The plugin keeps host; what it
	// starts itself must end with ctx, which ends with the process.
	Start(ctx context.Context, host Host, info StartInfo) error
	// Handle handles a packet of one of the manifest's types. Refuse gives the
	// error for one that is not what its type says; its author is told. Any
	// other error means that the plugin failed, and the packet comes again.
	Handle(ctx context.Context, p Packet) ([]Effect, error)
	// Invoke does what a person asked for. ctx ends when the person cancels; then
	// nothing of the result counts.
	Invoke(ctx context.Context, call Invocation, updates Updates) (Result, error)
}

// EventHandler is a Plugin that names topics in its manifest, has blobs, or wants
// to hear of changed settings.
type EventHandler interface {
	// HandleEvent handles an event, as Handle does a packet; it cannot refuse.
	HandleEvent(ctx context.Context, e Event) ([]Effect, error)
}

// Stopper is a Plugin that has something to bring to an end.
type Stopper interface {
	// Stop is called when everything else has returned, and has a second.
	Stop(ctx context.Context) error
}

// Host is the core as a plugin sees it. All methods may be called concurrently.
// Those with a ctx give ctx's error, an [*Error] from the core, [ErrClosed], or
// within Handle [ErrAgain]; the core answers within 10 s.
type Host interface {
	// Apply applies effects outside a call, in one transaction that is on disk
	// when it returns. When the error is ctx's, they may have been applied.
	Apply(ctx context.Context, effects ...Effect) error
	// Messages gives messages by their ids, at most 256; one that is not there
	// is missing in the answer. Only kinds of the plugin's own, or all with
	// CAPABILITY_HISTORY; the same holds for MessagesBefore.
	Messages(ctx context.Context, chat packet.ChatID, ids ...packet.PacketID) ([]Message, error)
	// MessagesBefore gives a page that ends before a message (zero: at the
	// newest), newest first; limit is at most and by default (0) 100.
	MessagesBefore(ctx context.Context, chat packet.ChatID, before packet.PacketID, limit int) ([]Message, error)
	// Annotations gives annotations of at most 256 messages; an empty kind means
	// all that the plugin may read.
	Annotations(ctx context.Context, chat packet.ChatID, kind string, messages ...packet.PacketID) ([]Annotation, error)
	// Contacts gives the account's contacts.
	Contacts(ctx context.Context) ([]Contact, error)
	// People gives the contacts, the members of the account's groups who are none,
	// and the account itself.
	People(ctx context.Context) ([]Contact, error)
	// Chats gives one chat, or all when chat is empty.
	Chats(ctx context.Context, chat packet.ChatID) ([]Chat, error)
	// Heads gives, of every log of a chat, this account's too, the last entry up
	// to which all are here: with them a removal says what still counts.
	Heads(ctx context.Context, chat packet.ChatID) ([]*pluginpb.Cutoff, error)
	// Values gives the plugin's private values whose key begins with prefix, in
	// key order; limit is at most and by default (0) 1,000.
	Values(ctx context.Context, prefix string, limit int) ([]Value, error)
	// PrepareBlob looks at the file or folder at an absolute path, for ShareBlob.
	// The path is one that a person gave with an Invoke that is under way (needs
	// CAPABILITY_FILES), or in the plugin's folders. Codes: NotFound,
	// PermissionDenied, InvalidArgument (neither file nor folder, too large).
	PrepareBlob(ctx context.Context, path string) (Blob, error)
	// Blobs says how blobs of this plugin's are, at most 256; one that is not
	// there is missing in the answer.
	Blobs(ctx context.Context, ids ...packet.BlobID) ([]Blob, error)
	// Setting gives a setting's present value, the default included.
	Setting(name string) string
	// Log writes to the core's log: never message bodies, keys or passwords.
	Log() *slog.Logger
}

// StartInfo is what a plugin may know of where it runs.
type StartInfo struct {
	User        packet.UserID
	DisplayName string
	// DataFolder is private to the plugin and kept; CacheFolder may be emptied
	// between runs.
	DataFolder  string
	CacheFolder string
	// Locale is a BCP 47 tag, "en" or "zh-Hans".
	Locale string
}

// Packet is a packet whose author the core has verified.
type Packet struct {
	ID     packet.PacketID
	Chat   packet.ChatID
	Type   packet.Type
	Author packet.UserID
	// SentAt is by the author's clock.
	SentAt time.Time
	// Ephemeral packets are not entries of the log and are not repeated.
	Ephemeral bool
	Content   []byte
	// Own: written by this account on this or another of its devices.
	Own bool
	// Device, Epoch and Number are its place in its author's log of the chat, the
	// first is number 1. No other packet has it, unless its author signed two with
	// one number. Zero when Ephemeral.
	Device packet.DeviceID
	Epoch  uint64
	Number uint64
}

// Event is something that happened: exactly one of the pointers is set.
type Event struct {
	// Chat is empty for an event of no chat.
	Chat     packet.ChatID
	Presence *Presence
	Link     *Link
	Message  *Message
	// Blob of the plugin's that is done, failed or cancelled. It comes without
	// being asked for, and may come twice.
	Blob *Blob
	// Settings are all of the plugin's, after one changed.
	Settings map[string]string
}

// Presence of a contact.
type Presence struct {
	User   packet.UserID
	Online bool
}

// Link to a person that came up or went down.
type Link struct {
	User packet.UserID
	Up   bool
}

// Invocation is an action a person asked for.
type Invocation struct {
	// ID is the same when a front end asks again because it does not know
	// whether the first came through: what the action sends first should have
	// it as its packet id.
	ID     packet.PacketID
	Action string
	Chat   packet.ChatID
	// Message it was asked on, or zero.
	Message packet.PacketID
	// Text in the composer or behind the slash command.
	Text string
	Args map[string]string
	// Paths are absolute; the user chose them.
	Paths []string
}

// Result of an Invocation. Effects and Value are committed together before the
// front end hears of them.
type Result struct {
	Effects []Effect
	// Value is for front ends that know the action, at most 64 KiB; often JSON.
	Value []byte
}

// Updates shows something to the front end while an Invoke goes on. Its methods
// wait while the core does not read.
type Updates interface {
	// Preview replaces the composer's text for now.
	Preview(text string)
	// Insert goes into the composer for good.
	Insert(text string)
	Card(card *pluginpb.Card)
	// Progress in units of the plugin's own; total 0 means unknown.
	Progress(label string, done, total uint64)
}

// Message is a stored message.
type Message struct {
	ID      packet.PacketID
	Chat    packet.ChatID
	Author  packet.UserID
	Kind    string
	Body    string
	ReplyTo packet.PacketID
	Data    []byte
	SentAt  time.Time
	Edited  bool
	Deleted bool
	Own     bool
}

// Annotation is a stored annotation.
type Annotation struct {
	Chat    packet.ChatID
	Message packet.PacketID
	Kind    string
	Author  packet.UserID
	Value   []byte
}

// Blob is a file, folder or other content as this device knows it.
type Blob struct {
	ID      packet.BlobID
	Chat    packet.ChatID
	Message packet.PacketID // or zero
	Own     bool            // shared by this account
	State   pluginpb.BlobState
	// Reason why it failed, for people.
	Reason string
	// Name is its last, without the folders above.
	Name string
	// Size in bytes of all files, and for a folder of its index too.
	Size   uint64
	Folder bool
	Files  uint32 // of a folder
	// Path is where it is shared from, or where it was put once done.
	Path string
	// Root is the BLAKE3-256 over the hashes of its pieces, once all are known.
	Root []byte
	// LeftOut has, from PrepareBlob only, the first of what is in a folder and is
	// not shared with it; LeftOutCount says how many those are.
	LeftOut      []LeftOut
	LeftOutCount uint32
}

// LeftOut is something in a folder that cannot be shared.
type LeftOut struct {
	Path string `json:"path"` // within the folder, as it may be shown
	Why  string `json:"why"`  // for people
}

// Contact is a person in the roster.
type Contact struct {
	User   packet.UserID
	Name   string
	Online bool
	// Keys are the Ed25519 public keys of the devices that are known and trusted.
	Keys [][]byte
	// Member: is no contact, see Host.People.
	Member bool
}

// Chat is a chat with its members.
type Chat struct {
	ID         packet.ChatID
	Title      string
	Membership uint64
	Members    []packet.UserID
}

// Value is a private value.
type Value struct {
	Key   string
	Value []byte
}
