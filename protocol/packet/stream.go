package packet

import (
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/protocol/packet/peerpb"
)

// StreamFrame is what a bulk stream carries: one of *StreamOpen, *BlobRequest,
// *BlobCancel, *BlobInfo, *Piece, *BlobHashes, *BlobEnd, or nil for a kind this
// version does not know.
type StreamFrame interface{ streamFrame() }

func (*StreamOpen) streamFrame()  {}
func (*BlobRequest) streamFrame() {}
func (*BlobCancel) streamFrame()  {}
func (*BlobInfo) streamFrame()    {}
func (*Piece) streamFrame()       {}
func (*BlobHashes) streamFrame()  {}
func (*BlobEnd) streamFrame()     {}

// StreamOpen says which announced stream this is.
type StreamOpen struct{ Token Token }

// BlobRequest asks for pieces of a blob, or for their hashes.
type BlobRequest struct {
	Request uint32
	Blob    BlobID
	Chat    ChatID
	First   uint64
	Count   uint64 // 0: to the end
	Offset  uint32 // bytes of the first piece that are here already
	Hashes  bool
}

// BlobCancel ends a request early.
type BlobCancel struct{ Request uint32 }

// BlobInfo says what the answerer knows of a blob.
type BlobInfo struct {
	Request   uint32
	Size      uint64
	IndexSize uint32
	Manifest  *Manifest // nil while the author has not read all of it
	Have      []Range   // pieces; empty means all
}

// Piece is followed by Length raw bytes.
type Piece struct {
	Request uint32
	Number  uint64
	Offset  uint32
	Length  uint32
	Hash    Hash // of the whole piece
}

// BlobHashes gives hashes of pieces from First on.
type BlobHashes struct {
	Request uint32
	First   uint64
	Hashes  []Hash
}

// BlobCode says how a request ended.
type BlobCode uint8

// The codes; see peerpb.BlobCode.
const (
	BlobGiven      = BlobCode(peerpb.BlobCode_BLOB_CODE_UNSPECIFIED)
	BlobNotFound   = BlobCode(peerpb.BlobCode_BLOB_CODE_NOT_FOUND)
	BlobPaused     = BlobCode(peerpb.BlobCode_BLOB_CODE_PAUSED)
	BlobChanged    = BlobCode(peerpb.BlobCode_BLOB_CODE_CHANGED)
	BlobUnreadable = BlobCode(peerpb.BlobCode_BLOB_CODE_UNREADABLE)
	BlobNotHere    = BlobCode(peerpb.BlobCode_BLOB_CODE_NOT_HERE)
	BlobWithdrawn  = BlobCode(peerpb.BlobCode_BLOB_CODE_WITHDRAWN)
	BlobCancelled  = BlobCode(peerpb.BlobCode_BLOB_CODE_CANCELLED)
	BlobBusy       = BlobCode(peerpb.BlobCode_BLOB_CODE_BUSY)
)

// BlobEnd is the last answer to a request.
type BlobEnd struct {
	Request uint32
	Code    BlobCode
	Text    string
}

// AppendStreamFrame appends f with its length to b. What the other side would
// refuse is an error here.
func AppendStreamFrame(b []byte, f StreamFrame) ([]byte, error) {
	pb, err := streamFrameToProto(f)
	if err != nil {
		return b, err
	}
	if _, err := streamFrameFromProto(pb); err != nil {
		return b, fmt.Errorf("encode stream frame: %w", err)
	}
	return appendSized(b, pb, MaxStreamFrame)
}

// ReadStreamFrame reads one frame; what follows a *Piece is the caller's to
// read. A longer one than limit is ErrTooLarge before anything is allocated for
// it, a malformed one ErrMalformed. io.EOF comes only between frames.
func ReadStreamFrame(r io.Reader, limit int) (StreamFrame, error) {
	b, err := readSized(r, min(limit, MaxStreamFrame))
	if err != nil {
		return nil, err
	}
	return DecodeStreamFrame(b)
}

// DecodeStreamFrame reads one frame without its length. The result may keep
// parts of b.
func DecodeStreamFrame(b []byte) (StreamFrame, error) {
	if len(b) > MaxStreamFrame {
		return nil, fmt.Errorf("stream frame of %d bytes: %w", len(b), ErrTooLarge)
	}
	if err := streamShape.check(b); err != nil {
		return nil, err
	}
	var pb peerpb.StreamFrame
	if err := proto.Unmarshal(b, &pb); err != nil {
		return nil, fmt.Errorf("stream frame: %w: %w", ErrMalformed, err)
	}
	return streamFrameFromProto(&pb)
}

func streamFrameToProto(f StreamFrame) (*peerpb.StreamFrame, error) {
	switch f := f.(type) {
	case *StreamOpen:
		return &peerpb.StreamFrame{Body: &peerpb.StreamFrame_Open{Open: &peerpb.StreamOpen{Token: f.Token[:]}}}, nil
	case *BlobRequest:
		return &peerpb.StreamFrame{Body: &peerpb.StreamFrame_Request{Request: &peerpb.BlobRequest{
			Request: f.Request, Blob: f.Blob[:], Chat: string(f.Chat), First: f.First, Count: f.Count, Offset: f.Offset, Hashes: f.Hashes,
		}}}, nil
	case *BlobCancel:
		return &peerpb.StreamFrame{Body: &peerpb.StreamFrame_Cancel{Cancel: &peerpb.BlobCancel{Request: f.Request}}}, nil
	case *BlobInfo:
		pb := &peerpb.BlobInfo{Request: f.Request, Size: f.Size, IndexSize: f.IndexSize, Have: rangesToProto(f.Have)}
		if f.Manifest != nil {
			pb.Manifest = &peerpb.Manifest{Body: f.Manifest.Raw, Signature: f.Manifest.Signature}
		}
		return &peerpb.StreamFrame{Body: &peerpb.StreamFrame_Info{Info: pb}}, nil
	case *Piece:
		return &peerpb.StreamFrame{Body: &peerpb.StreamFrame_Piece{Piece: &peerpb.Piece{
			Request: f.Request, Number: f.Number, Offset: f.Offset, Length: f.Length, Hash: f.Hash[:],
		}}}, nil
	case *BlobHashes:
		pb := &peerpb.BlobHashes{Request: f.Request, First: f.First, Hashes: make([]byte, 0, len(f.Hashes)*len(Hash{}))}
		for _, h := range f.Hashes {
			pb.Hashes = append(pb.Hashes, h[:]...)
		}
		return &peerpb.StreamFrame{Body: &peerpb.StreamFrame_Hashes{Hashes: pb}}, nil
	case *BlobEnd:
		return &peerpb.StreamFrame{Body: &peerpb.StreamFrame_End{End: &peerpb.BlobEnd{
			Request: f.Request, Code: peerpb.BlobCode(f.Code), Text: cutText(f.Text, MaxReason),
		}}}, nil
	default:
		return nil, fmt.Errorf("stream frame of type %T: %w", f, ErrMalformed)
	}
}

func streamFrameFromProto(pb *peerpb.StreamFrame) (StreamFrame, error) {
	switch body := pb.Body.(type) {
	case *peerpb.StreamFrame_Open:
		token, err := tokenFromBytes(body.Open.GetToken())
		if err != nil {
			return nil, err
		}
		return &StreamOpen{Token: token}, nil
	case *peerpb.StreamFrame_Request:
		return requestFromProto(body.Request)
	case *peerpb.StreamFrame_Cancel:
		return &BlobCancel{Request: body.Cancel.GetRequest()}, nil
	case *peerpb.StreamFrame_Info:
		return infoFromProto(body.Info)
	case *peerpb.StreamFrame_Piece:
		return pieceFromProto(body.Piece)
	case *peerpb.StreamFrame_Hashes:
		return hashesFromProto(body.Hashes)
	case *peerpb.StreamFrame_End:
		code := body.End.GetCode()
		if code < 0 || code > 255 {
			return nil, fmt.Errorf("end of a request with code %d: %w", code, ErrMalformed)
		}
		return &BlobEnd{Request: body.End.GetRequest(), Code: BlobCode(code), Text: cutText(body.End.GetText(), MaxReason)}, nil
	default:
		return nil, nil //nolint:nilnil // documented: a kind this version does not know
	}
}

func requestFromProto(pb *peerpb.BlobRequest) (*BlobRequest, error) {
	blob, err := BlobIDFromBytes(pb.GetBlob())
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	chat, err := ParseChatID(pb.GetChat())
	if err != nil {
		return nil, fmt.Errorf("request for %s: %w", blob, err)
	}
	const most = MaxBlob / PieceSize
	if pb.GetFirst() > most || pb.GetCount() > most || pb.GetOffset() >= PieceSize {
		return nil, fmt.Errorf("request for %s, piece %d: %w", blob, pb.GetFirst(), ErrMalformed)
	}
	return &BlobRequest{
		Request: pb.GetRequest(), Blob: blob, Chat: chat, First: pb.GetFirst(), Count: pb.GetCount(), Offset: pb.GetOffset(), Hashes: pb.GetHashes(),
	}, nil
}

func infoFromProto(pb *peerpb.BlobInfo) (*BlobInfo, error) {
	if err := checkSizes(pb.GetSize(), pb.GetIndexSize()); err != nil {
		return nil, err
	}
	have, err := piecesFromProto(pb.GetHave())
	if err != nil {
		return nil, err
	}
	info := &BlobInfo{Request: pb.GetRequest(), Size: pb.GetSize(), IndexSize: pb.GetIndexSize(), Have: have}
	if m := pb.GetManifest(); m != nil {
		manifest, err := OpenManifest(m.GetBody(), m.GetSignature())
		if err != nil {
			return nil, err
		}
		if manifest.Size != info.Size || manifest.IndexSize != info.IndexSize {
			return nil, fmt.Errorf("manifest of %s is not of this content: %w", manifest.Blob, ErrMalformed)
		}
		info.Manifest = &manifest
	}
	return info, nil
}

func pieceFromProto(pb *peerpb.Piece) (*Piece, error) {
	if len(pb.GetHash()) != len(Hash{}) || pb.GetNumber() >= MaxBlob/PieceSize || pb.GetLength() == 0 ||
		uint64(pb.GetOffset())+uint64(pb.GetLength()) > PieceSize {
		return nil, fmt.Errorf("piece %d: %w", pb.GetNumber(), ErrMalformed)
	}
	return &Piece{
		Request: pb.GetRequest(), Number: pb.GetNumber(), Offset: pb.GetOffset(), Length: pb.GetLength(), Hash: Hash(pb.GetHash()),
	}, nil
}

func hashesFromProto(pb *peerpb.BlobHashes) (*BlobHashes, error) {
	b := pb.GetHashes()
	if len(b)%len(Hash{}) != 0 || len(b) > MaxHashes*len(Hash{}) || pb.GetFirst() >= MaxBlob/PieceSize {
		return nil, fmt.Errorf("hashes of %d bytes: %w", len(b), ErrMalformed)
	}
	h := &BlobHashes{Request: pb.GetRequest(), First: pb.GetFirst(), Hashes: make([]Hash, 0, len(b)/len(Hash{}))}
	for ; len(b) > 0; b = b[len(Hash{}):] {
		h.Hashes = append(h.Hashes, Hash(b[:len(Hash{})]))
	}
	return h, nil
}
