package bus

import (
	"crypto/ed25519"
	"net/netip"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/packet/net2019"
)

// The topics. Who publishes, who listens:
var (
	// LinkUp and LinkDown: conn -> chatlog, roster, control, host.
	LinkUp   = Topic[Link]{"link.up"}
	LinkDown = Topic[Link]{"link.down"}

	// PacketReceived: conn -> chatlog (and roster, for the core's own types).
	PacketReceived = Topic[Received]{"packet.received"}
	// SyncReceived: vectors, wants, refusals, registers; conn -> chatlog.
	SyncReceived = Topic[SyncFrame]{"sync.received"}

	// AuthorUnknown: an entry of a group came whose author's key is not known;
	// chatlog -> roster.
	AuthorUnknown = Topic[Author]{"author.unknown"}

	// BlobNewsReceived: a *packet.BlobNews; conn -> blob.
	BlobNewsReceived = Topic[SyncFrame]{"blob.news"}

	// EntryAppended: entries of this account's own logs were committed;
	// host -> chatlog.
	EntryAppended = Topic[packet.ChatID]{"entry.appended"}

	// DirectoryChanged: the session with the directory; directory -> control, roster.
	DirectoryChanged = Topic[DirectoryState]{"directory.changed"}
	// PresenceChanged: of a contact or a member of a common group;
	// directory -> roster, conn, host.
	PresenceChanged = Topic[Presence]{"presence.changed"}
	// DirectoryDelivered: a signed packet by way of the directory;
	// directory -> roster.
	DirectoryDelivered = Topic[*directorypb.Delivered]{"directory.delivered"}

	// Net2019Changed: the state of the protocol of 2019; net2019 -> control.
	Net2019Changed = Topic[struct{}]{"net2019.changed"}
	// Net2019Answered: what came of asking the directory to show the account to
	// clients of 2019; directory -> net2019.
	Net2019Answered = Topic[Net2019Answer]{"net2019.answered"}
	// Net2019Located: where somebody of 2019 is, by the directory;
	// directory -> net2019.
	Net2019Located = Topic[Net2019Place]{"net2019.located"}

	// AccountChanged: logged in, logged out, locked or unlocked; core -> control.
	AccountChanged = Topic[struct{}]{"account.changed"}
	// ProfileChanged: the account's own name or picture; roster -> control.
	ProfileChanged = Topic[struct{}]{"profile.changed"}
	// ContactChanged and ChatChanged: roster, host, chatlog -> control; those of
	// members also -> chatlog, roster.
	ContactChanged = Topic[ContactChange]{"contact.changed"}
	ChatChanged    = Topic[ChatChange]{"chat.changed"}
	// Messages: host, chatlog -> control. The message is read from the store.
	MessageAdded   = Topic[MessageRef]{"message.added"}
	MessageChanged = Topic[MessageRef]{"message.changed"}
	MessageRemoved = Topic[MessageRef]{"message.removed"}

	// BlobChanged: a blob is in another state, or moved on; blob -> control, host.
	BlobChanged = Topic[BlobRef]{"blob.changed"}

	// PluginChanged: state of a plugin; host -> control.
	PluginChanged = Topic[string]{"plugin.changed"}
	// PluginPublished: an event of a plugin's; host -> control.
	PluginPublished = Topic[PluginEvent]{"plugin.published"}
	// Noticed: what a person should know; anyone -> control.
	Noticed = Topic[Notice]{"notice"}
	// SettingsChanged: name of the plugin, or empty for the core; control -> host and others.
	SettingsChanged = Topic[string]{"settings.changed"}
)

// PacketStored is the topic "packet:<type>": packets of that type wait to be
// handled; chatlog -> host. The colon keeps the types, which peers choose, apart
// from the names above: a packet of type "received" is not on "packet.received".
func PacketStored(t packet.Type) Topic[Stored] {
	return Topic[Stored]{"packet:" + string(t)}
}

// Link is a control link to one device of a peer.
type Link struct {
	ID     uint64 // unique in this process
	User   packet.UserID
	Device packet.DeviceID
	Key    ed25519.PublicKey // the peer's, proved by TLS
	Path   string            // "loopback", "lan", "direct" or "relay"
	Remote string            // "host:port"
	Since  time.Time
}

// Received is a packet as it came over a link: well-formed, and nothing else is
// known of it.
type Received struct {
	Link   Link
	Packet *packet.Packet
	// Release gives the link its credit back; called once the packet is
	// committed or dropped, at least once.
	Release func()
}

// Dropped gives the credit back when the queue was full; see Dropper. The author
// sends again what the vectors say is missing.
func (r Received) Dropped() { release(r.Release) }

func release(f func()) {
	if f != nil {
		f()
	}
}

// SyncFrame is a *packet.Vectors, *packet.Want, *packet.Refusals,
// *packet.Registers, *packet.Compare or *packet.BlobNews as it came over a link.
type SyncFrame struct {
	Link    Link
	Frame   packet.Frame
	Release func() // as in Received
}

// Dropped is as in Received.
func (f SyncFrame) Dropped() { release(f.Release) }

// Author is whom an entry of a chat says to be of. It need not be true.
type Author struct {
	Chat   packet.ChatID
	User   packet.UserID
	Device packet.DeviceID
}

// Stored wakes who handles a type. An EPHEMERAL packet comes along; of entries
// the log is the truth.
type Stored struct {
	Chat      packet.ChatID
	Ephemeral *packet.Packet
}

// DirectoryState is the state of the session with the directory.
type DirectoryState struct {
	Connected bool
	Observed  string // this host's address as the directory sees it
	// ClockOffset is how far this host's clock is ahead of the directory's.
	ClockOffset time.Duration
	Err         error // why not connected
}

// Net2019Answer is what the directory says of showing the account to clients of
// 2019.
type Net2019Answer struct {
	On bool
	// Err is why not although it was asked for, with a gRPC code; nil otherwise.
	Err error
}

// Net2019Place is where somebody of 2019 is.
type Net2019Place struct {
	ID     net2019.ID
	Online bool
	Where  netip.AddrPort // when online
}

// Endpoint is where a device listens.
type Endpoint struct {
	Host string // IP address
	Port uint16
}

// Presence is a contact's.
type Presence struct {
	User        packet.UserID
	Online      bool
	Endpoints   []Endpoint
	Keys        []ed25519.PublicKey // of its devices, as the directory says
	DisplayName string
	Avatar      []byte // seldom given; what differs from AvatarHash is looked up by the roster
	AvatarHash  []byte // BLAKE3-256 of the picture, empty when there is none
}

// ContactChange says that a contact changed or is gone. Of nobody in particular
// (User is empty) it says that more signatures of members of groups can be
// verified.
type ContactChange struct {
	User    packet.UserID
	Removed bool
	// Acquaintance: the user is a member of a common group and no contact, before
	// and after.
	Acquaintance bool
}

// ChatChange says that a chat changed or is gone.
type ChatChange struct {
	Chat    packet.ChatID
	Removed bool
	// Content: only its messages, counters or what the user set of it changed;
	// its members are the same.
	Content bool
	// Cleared: what was said in it is gone.
	Cleared bool
}

// MessageRef names a message.
type MessageRef struct {
	Chat packet.ChatID
	ID   packet.PacketID
}

// BlobRef names a blob and what it belongs to.
type BlobRef struct {
	ID      packet.BlobID
	Chat    packet.ChatID
	Message packet.PacketID
	Plugin  string
	Settled bool // it came to an end of which its plugin is to hear
}

// PluginEvent is something a plugin tells front ends; it is not kept.
type PluginEvent struct {
	Plugin string
	Name   string
	Chat   packet.ChatID
	User   packet.UserID
	Data   []byte
}

// Notice is what a person should know.
type Notice struct {
	Level   string // "info", "warning" or "error"
	Subject string // "plugin:text", "contact:bob", "directory", "disk"
	Text    string
	Reason  *errdetails.ErrorInfo // the text for programs; nil for none
}
