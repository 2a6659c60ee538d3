package packet

import (
	"crypto/ed25519"
	"fmt"
	"math"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/protocol/packet/peerpb"
)

// BlobID is a UUIDv7 made by a blob's author.
type BlobID [16]byte

// NewBlobID makes a new id.
func NewBlobID() BlobID { return BlobID(uuid.Must(uuid.NewV7())) }

// BlobIDFromBytes takes the 16 bytes of an id; the nil UUID is refused.
func BlobIDFromBytes(b []byte) (BlobID, error) {
	if len(b) != len(BlobID{}) || BlobID(b) == (BlobID{}) {
		return BlobID{}, fmt.Errorf("blob id of %d bytes: %w", len(b), ErrMalformed)
	}
	return BlobID(b), nil
}

// ParseBlobID reads the form that String writes, in either case.
func ParseBlobID(s string) (BlobID, error) {
	id, err := ParsePacketID(s)
	if err != nil {
		return BlobID{}, fmt.Errorf("blob id %.40q: %w", s, ErrMalformed)
	}
	return BlobID(id), nil
}

// String gives the usual form of a UUID.
func (b BlobID) String() string { return uuid.UUID(b).String() }

// Pieces gives how many pieces content of a size has: none when it is empty.
func Pieces(size uint64) uint64 {
	return size/PieceSize + min(1, size%PieceSize)
}

// PieceLength gives the length of a piece of content of a size, 0 when there is
// no such piece.
func PieceLength(size, number uint64) int {
	if number >= Pieces(size) {
		return 0
	}
	return int(min(PieceSize, size-number*PieceSize))
}

// Token names a bulk stream that was announced.
type Token [16]byte

// Stream announces a bulk stream; see peerpb.Stream.
type Stream struct {
	Token Token
	Dial  bool // the receiver is to dial
}

// BlobNews says that asking for blobs again is worthwhile.
type BlobNews struct {
	Chat  ChatID
	Blobs []BlobID
}

func (*Stream) frame()   {}
func (*BlobNews) frame() {}

func (s *Stream) proto() *peerpb.Stream { return &peerpb.Stream{Token: s.Token[:], Dial: s.Dial} }

func streamFromProto(pb *peerpb.Stream) (*Stream, error) {
	token, err := tokenFromBytes(pb.GetToken())
	if err != nil {
		return nil, err
	}
	return &Stream{Token: token, Dial: pb.GetDial()}, nil
}

func tokenFromBytes(b []byte) (Token, error) {
	if len(b) != len(Token{}) {
		return Token{}, fmt.Errorf("token of %d bytes: %w", len(b), ErrMalformed)
	}
	return Token(b), nil
}

func (n *BlobNews) proto() *peerpb.BlobNews {
	pb := &peerpb.BlobNews{Chat: string(n.Chat)}
	for _, blob := range n.Blobs {
		pb.Blobs = append(pb.Blobs, blob[:])
	}
	return pb
}

func blobNewsFromProto(pb *peerpb.BlobNews) (*BlobNews, error) {
	chat, err := ParseChatID(pb.GetChat())
	if err != nil {
		return nil, fmt.Errorf("blob news: %w", err)
	}
	if len(pb.GetBlobs()) > MaxBlobNews {
		return nil, fmt.Errorf("blob news of %d blobs: %w", len(pb.GetBlobs()), ErrTooLarge)
	}
	n := &BlobNews{Chat: chat}
	for _, b := range pb.GetBlobs() {
		id, err := BlobIDFromBytes(b)
		if err != nil {
			return nil, fmt.Errorf("blob news: %w", err)
		}
		n.Blobs = append(n.Blobs, id)
	}
	return n, nil
}

// Manifest is the author's word on a blob's whole content.
type Manifest struct {
	Blob      BlobID
	Chat      ChatID
	Author    UserID
	Device    DeviceID
	Size      uint64
	IndexSize uint32 // a folder's index, 0 for a file
	Root      Hash   // over the pieces' hashes

	// Raw is the encoded body, Signature the author's over it.
	Raw       []byte
	Signature []byte
}

const manifestContext = "parley manifest v1\x00"

// SealManifest signs what m says; Raw and Signature of m are not read.
func SealManifest(m Manifest, sign Signer) (Manifest, error) {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(&peerpb.ManifestBody{
		Blob: m.Blob[:], Chat: string(m.Chat), Author: string(m.Author), Device: m.Device[:],
		Size: m.Size, IndexSize: m.IndexSize, Root: m.Root[:],
	})
	if err != nil {
		return Manifest{}, fmt.Errorf("seal manifest: %w", err)
	}
	return OpenManifest(raw, sign(append([]byte(manifestContext), raw...)))
}

// OpenManifest reads a manifest; Verify says whether it is the author's.
func OpenManifest(raw, signature []byte) (Manifest, error) {
	if len(raw) > MaxManifestBody {
		return Manifest{}, fmt.Errorf("manifest of %d bytes: %w", len(raw), ErrTooLarge)
	}
	if len(signature) != ed25519.SignatureSize {
		return Manifest{}, fmt.Errorf("manifest with a signature of %d bytes: %w", len(signature), ErrMalformed)
	}
	var pb peerpb.ManifestBody
	if err := proto.Unmarshal(raw, &pb); err != nil {
		return Manifest{}, fmt.Errorf("manifest: %w: %w", ErrMalformed, err)
	}
	blob, err := BlobIDFromBytes(pb.GetBlob())
	if err != nil {
		return Manifest{}, fmt.Errorf("manifest: %w", err)
	}
	chat, err := ParseChatID(pb.GetChat())
	if err != nil {
		return Manifest{}, fmt.Errorf("manifest: %w", err)
	}
	author, err := ParseUserID(pb.GetAuthor())
	if err != nil {
		return Manifest{}, fmt.Errorf("manifest: %w", err)
	}
	if len(pb.GetDevice()) != len(DeviceID{}) || len(pb.GetRoot()) != len(Hash{}) {
		return Manifest{}, fmt.Errorf("manifest of %s: %w", blob, ErrMalformed)
	}
	if err := validateAuthor(author, chat); err != nil {
		return Manifest{}, fmt.Errorf("manifest of %s: %w", blob, err)
	}
	if err := checkSizes(pb.GetSize(), pb.GetIndexSize()); err != nil {
		return Manifest{}, fmt.Errorf("manifest of %s: %w", blob, err)
	}
	return Manifest{
		Blob: blob, Chat: chat, Author: author, Device: DeviceID(pb.GetDevice()),
		Size: pb.GetSize(), IndexSize: pb.GetIndexSize(), Root: Hash(pb.GetRoot()), Raw: raw, Signature: signature,
	}, nil
}

// Verify checks that the holder of the author's device key signed it.
func (m *Manifest) Verify(key ed25519.PublicKey) error {
	if len(key) != ed25519.PublicKeySize || DeviceIDOf(key) != m.Device ||
		!ed25519.Verify(key, append([]byte(manifestContext), m.Raw...), m.Signature) {
		return fmt.Errorf("manifest of %s: %w", m.Blob, ErrSignature)
	}
	return nil
}

func checkSizes(size uint64, index uint32) error {
	if size > MaxBlob || index > MaxIndex || uint64(index) > size {
		return fmt.Errorf("content of %d bytes, %d of them index: %w", size, index, ErrTooLarge)
	}
	return nil
}

// piecesFromProto checks that the ranges ascend and do not touch.
func piecesFromProto(pb []*peerpb.Range) ([]Range, error) {
	if len(pb) > MaxRanges {
		return nil, fmt.Errorf("%d ranges: %w", len(pb), ErrTooLarge)
	}
	var rs []Range
	next := uint64(0) // the least that may come
	for _, r := range pb {
		if r.GetFirst() < next || r.GetLast() < r.GetFirst() || r.GetLast() >= math.MaxUint32 {
			return nil, fmt.Errorf("pieces %d-%d: %w", r.GetFirst(), r.GetLast(), ErrMalformed)
		}
		rs = append(rs, Range{r.GetFirst(), r.GetLast()})
		next = r.GetLast() + 2
	}
	return rs, nil
}
