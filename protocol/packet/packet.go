package packet

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zeebo/blake3"
	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/protocol/packet/peerpb"
)

// Delivery is how hard a packet is tried.
type Delivery uint8

// The two ways of delivery; see peerpb.Delivery.
const (
	Reliable  = Delivery(peerpb.Delivery_DELIVERY_RELIABLE)
	Ephemeral = Delivery(peerpb.Delivery_DELIVERY_EPHEMERAL)
)

// Hash is a BLAKE3-256 hash.
type Hash [32]byte

// HashOf hashes content.
func HashOf(content []byte) Hash { return blake3.Sum256(content) }

// Log names one append-only log: what one device of one author wrote into one
// chat since Epoch.
type Log struct {
	Chat   ChatID
	Device DeviceID
	Epoch  uint64 // Unix microseconds at which the log was begun
}

// EntryKey names one entry of a log.
type EntryKey struct {
	Log
	Number uint64 // 1, 2, 3...
	// Twin tells apart the entries of an author who signed several with one number:
	// 0 is the one that came here first. It never leaves this device.
	Twin uint32 `json:"-"`
}

func (k EntryKey) String() string {
	s := fmt.Sprintf("%s/%s/%d/%d", k.Chat, k.Device, k.Epoch, k.Number)
	if k.Twin > 0 {
		s += fmt.Sprintf("+%d", k.Twin)
	}
	return s
}

// Header is the preamble of a packet. See peerpb.Header for each field.
type Header struct {
	ID          PacketID
	Chat        ChatID
	Type        Type
	Author      UserID
	Device      DeviceID
	Epoch       uint64
	Number      uint64
	Depth       uint64
	Membership  uint64
	SentAt      int64 // Unix microseconds by the author's clock
	Delivery    Delivery
	ContentHash Hash
	Twin        uint32 `json:"-"` // of its EntryKey; not signed, and 0 in what comes over a link
}

// Key names the entry a RELIABLE packet is.
func (h *Header) Key() EntryKey {
	return EntryKey{Log{h.Chat, h.Device, h.Epoch}, h.Number, h.Twin}
}

// Time is the author's wall clock.
func (h *Header) Time() time.Time { return time.UnixMicro(h.SentAt) }

// OrderKey is a place in a chat's order. Keys compare bytewise.
//
//	depth 8 B BE | sent_at 8 B BE | device 20 B | epoch 8 B BE | number 8 B BE
type OrderKey [52]byte

// OrderKeyFromBytes takes the 52 bytes of a key.
func OrderKeyFromBytes(b []byte) (OrderKey, error) {
	if len(b) != len(OrderKey{}) {
		return OrderKey{}, fmt.Errorf("order key of %d bytes: %w", len(b), ErrMalformed)
	}
	return OrderKey(b), nil
}

// Compare orders keys as the chat shows its entries.
func (k OrderKey) Compare(l OrderKey) int { return bytes.Compare(k[:], l[:]) }

// Order is the packet's place in its chat.
func (h *Header) Order() OrderKey {
	var k OrderKey
	binary.BigEndian.PutUint64(k[0:], h.Depth)
	binary.BigEndian.PutUint64(k[8:], uint64(max(h.SentAt, 0)))
	copy(k[16:], h.Device[:])
	binary.BigEndian.PutUint64(k[36:], h.Epoch)
	binary.BigEndian.PutUint64(k[44:], h.Number)
	return k
}

// maxCounter bounds epochs, numbers and depths: they are stored as signed
// 64-bit integers, and a hostile author must not push a depth to where the next
// one overflows.
const maxCounter = 1 << 62

// NextDepth is the depth of an entry whose author has seen depth. It stops at
// the highest one allowed, where the order goes on by the authors' clocks, so
// that a hostile member who jumps there breaks nothing.
func NextDepth(seen uint64) uint64 { return min(seen+1, maxCounter) }

// validateAuthor checks the id, and that nobody but its people writes into a
// direct chat or one of 2019. In the latter alone may an author be one of 2019.
func validateAuthor(author UserID, chat ChatID) error {
	if id, ok := strings.CutPrefix(string(author), net2019Prefix); ok {
		if people, of2019 := strings.CutPrefix(string(chat), net2019Prefix); !of2019 || !slices.Contains(strings.Split(people, "-"), id) {
			return fmt.Errorf("%.70q writing into chat %s: %w", author, chat, ErrMalformed)
		}
		return nil
	}
	if _, err := ParseUserID(string(author)); err != nil {
		return err
	}
	if a, b, ok := chat.Users(); ok && author != a && author != b {
		return fmt.Errorf("%s writing into chat %s: %w", author, chat, ErrMalformed)
	}
	return nil
}

func (h *Header) validate() error {
	if h.ID.IsZero() {
		return fmt.Errorf("header without id: %w", ErrMalformed)
	}
	if _, err := ParseChatID(string(h.Chat)); err != nil {
		return err
	}
	if _, err := ParseType(string(h.Type)); err != nil {
		return err
	}
	if err := validateAuthor(h.Author, h.Chat); err != nil {
		return err
	}
	if h.SentAt < 0 || h.SentAt > maxCounter || h.Depth > maxCounter || h.Membership > maxCounter {
		return fmt.Errorf("header of %s with a counter out of range: %w", h.ID, ErrMalformed)
	}
	switch h.Delivery {
	case Reliable:
		if h.Number == 0 || h.Epoch == 0 || h.Depth == 0 || h.Number > maxCounter || h.Epoch > maxCounter {
			return fmt.Errorf("reliable packet %s without a place in a log: %w", h.ID, ErrMalformed)
		}
	case Ephemeral:
		if h.Number != 0 || h.Epoch != 0 {
			return fmt.Errorf("ephemeral packet %s with a place in a log: %w", h.ID, ErrMalformed)
		}
	default:
		return fmt.Errorf("packet %s with delivery %d: %w", h.ID, h.Delivery, ErrMalformed)
	}
	return nil
}

// Packet is one packet as it travels. Raw and Signature are kept as they came,
// because the signature is over these bytes. A Packet is not changed once made.
type Packet struct {
	Header    Header
	Raw       []byte // the encoded header
	Signature []byte // 64 bytes, or empty
	Content   []byte // empty too when the content was deleted
}

const packetContext = "parley packet v1\x00"

// Signer signs with the device key; ed25519.PrivateKey.Sign of package identity.
type Signer func(message []byte) []byte

// Seal makes a packet of h and content: it fills in the content hash, checks
// everything a receiver would, and signs. A nil sign leaves it unsigned.
func Seal(h Header, content []byte, sign Signer) (Packet, error) {
	if len(content) > MaxContent {
		return Packet{}, fmt.Errorf("content of %d bytes, at most %d can be sent: %w", len(content), MaxContent, ErrTooLarge)
	}
	h.ContentHash = HashOf(content)
	if err := h.validate(); err != nil {
		return Packet{}, err
	}
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(&peerpb.Header{
		Id: h.ID[:], Chat: string(h.Chat), Type: string(h.Type), Author: string(h.Author), Device: h.Device[:],
		Epoch: h.Epoch, Number: h.Number, Depth: h.Depth, Membership: h.Membership, SentAt: h.SentAt,
		Delivery: peerpb.Delivery(h.Delivery), ContentHash: h.ContentHash[:],
	})
	if err != nil {
		return Packet{}, fmt.Errorf("encode header of %s: %w", h.ID, err)
	}
	p := Packet{Header: h, Raw: raw, Content: content}
	if sign != nil {
		p.Signature = sign(append([]byte(packetContext), raw...))
	}
	return p, nil
}

// Open reads a packet from its three parts. It checks form and bounds, and not
// who signed (Verify) nor what is in it (CheckContent). The slices are kept.
// Unlike what comes over a link, a RELIABLE packet may be unsigned here.
func Open(raw, signature, content []byte) (Packet, error) {
	if len(raw) > MaxHeader || len(content) > MaxContent {
		return Packet{}, fmt.Errorf("packet with a header of %d and a content of %d bytes: %w", len(raw), len(content), ErrTooLarge)
	}
	if len(signature) != 0 && len(signature) != ed25519.SignatureSize {
		return Packet{}, fmt.Errorf("signature of %d bytes: %w", len(signature), ErrMalformed)
	}
	var pb peerpb.Header
	if err := proto.Unmarshal(raw, &pb); err != nil {
		return Packet{}, fmt.Errorf("packet header: %w: %w", ErrMalformed, err)
	}
	if len(pb.Id) != len(PacketID{}) || len(pb.Device) != len(DeviceID{}) || len(pb.ContentHash) != len(Hash{}) ||
		pb.Delivery < 0 || pb.Delivery > 255 {
		return Packet{}, fmt.Errorf("packet header with ids of wrong length: %w", ErrMalformed)
	}
	h := Header{
		ID: PacketID(pb.Id), Chat: ChatID(pb.Chat), Type: Type(pb.Type), Author: UserID(pb.Author),
		Device: DeviceID(pb.Device), Epoch: pb.Epoch, Number: pb.Number, Depth: pb.Depth,
		Membership: pb.Membership, SentAt: pb.SentAt, Delivery: Delivery(pb.Delivery), ContentHash: Hash(pb.ContentHash),
	}
	if err := h.validate(); err != nil {
		return Packet{}, err
	}
	return Packet{Header: h, Raw: raw, Signature: signature, Content: content}, nil
}

// Verify checks that key, which must be the author's device key, signed the
// packet.
func (p *Packet) Verify(key ed25519.PublicKey) error {
	if len(key) != ed25519.PublicKeySize || DeviceIDOf(key) != p.Header.Device ||
		!ed25519.Verify(key, append([]byte(packetContext), p.Raw...), p.Signature) {
		return fmt.Errorf("packet %s of %s: %w", p.Header.ID, p.Header.Author, ErrSignature)
	}
	return nil
}

// CheckContent checks that the content is the one the author wrote.
func (p *Packet) CheckContent() error {
	if HashOf(p.Content) != p.Header.ContentHash {
		return fmt.Errorf("packet %s of %s: %w", p.Header.ID, p.Header.Author, ErrContent)
	}
	return nil
}

// Marshal gives the encoded peerpb.Packet, as the directory carries it.
func (p *Packet) Marshal() ([]byte, error) {
	return proto.Marshal(p.proto())
}

// Unmarshal reads what Marshal wrote.
func Unmarshal(b []byte) (Packet, error) {
	if len(b) > MaxFrame {
		return Packet{}, fmt.Errorf("packet of %d bytes: %w", len(b), ErrTooLarge)
	}
	var pb peerpb.Packet
	if err := proto.Unmarshal(b, &pb); err != nil {
		return Packet{}, fmt.Errorf("packet: %w: %w", ErrMalformed, err)
	}
	return openSigned(&pb)
}

// openSigned is Open for what comes from other machines, where every entry of a
// log is signed.
func openSigned(pb *peerpb.Packet) (Packet, error) {
	p, err := Open(pb.GetHeader(), pb.GetSignature(), pb.GetContent())
	if err == nil && p.Header.Delivery == Reliable && len(p.Signature) == 0 {
		return Packet{}, fmt.Errorf("reliable packet %s without a signature: %w", p.Header.ID, ErrMalformed)
	}
	return p, err
}

func (p *Packet) proto() *peerpb.Packet {
	return &peerpb.Packet{Header: p.Raw, Signature: p.Signature, Content: p.Content}
}
