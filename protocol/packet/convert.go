package packet

import (
	"fmt"
	"regexp"

	"github.com/parley-chat/parley/protocol/packet/peerpb"
)

func frameToProto(f Frame) (*peerpb.Frame, error) {
	switch f := f.(type) {
	case *Packet:
		return &peerpb.Frame{Body: &peerpb.Frame_Packet{Packet: f.proto()}}, nil
	case *Hello:
		return &peerpb.Frame{Body: &peerpb.Frame_Hello{Hello: &peerpb.Hello{
			Version: f.Version, User: string(f.User), Device: f.Device[:], Port: uint32(f.Port), Features: f.Features, Agent: cutText(f.Agent, MaxAgent),
		}}}, nil
	case *Vectors:
		pb := &peerpb.Vectors{Complete: f.Complete}
		for _, c := range f.Chats {
			pb.Chats = append(pb.Chats, chatVectorToProto(c))
		}
		return &peerpb.Frame{Body: &peerpb.Frame_Vectors{Vectors: pb}}, nil
	case *Want:
		return &peerpb.Frame{Body: &peerpb.Frame_Want{Want: &peerpb.Want{
			Chat: string(f.Log.Chat), Device: f.Log.Device[:], Epoch: f.Log.Epoch, Ranges: rangesToProto(f.Ranges),
		}}}, nil
	case *Refusals:
		pb := &peerpb.Refusals{}
		for _, r := range f.Refusals {
			pb.Refusals = append(pb.Refusals, &peerpb.Refusal{
				Chat: string(r.Key.Chat), Device: r.Key.Device[:], Epoch: r.Key.Epoch, Number: r.Key.Number,
				Reason: peerpb.Reason(r.Reason), Text: cutText(r.Text, MaxReason),
			})
		}
		return &peerpb.Frame{Body: &peerpb.Frame_Refusals{Refusals: pb}}, nil
	case *Registers:
		pb := &peerpb.Registers{}
		for _, r := range f.Registers {
			pb.Registers = append(pb.Registers, &peerpb.Register{Body: r.Raw, Signature: r.Signature})
		}
		return &peerpb.Frame{Body: &peerpb.Frame_Registers{Registers: pb}}, nil
	case *Ping:
		return &peerpb.Frame{Body: &peerpb.Frame_Ping{Ping: &peerpb.Ping{Nonce: f.Nonce}}}, nil
	case *Pong:
		return &peerpb.Frame{Body: &peerpb.Frame_Pong{Pong: &peerpb.Pong{Nonce: f.Nonce}}}, nil
	case *Bye:
		return &peerpb.Frame{Body: &peerpb.Frame_Bye{Bye: &peerpb.Bye{Reason: peerpb.ByeReason(f.Reason), Text: cutText(f.Text, MaxReason)}}}, nil
	case *Compare:
		return &peerpb.Frame{Body: &peerpb.Frame_Compare{Compare: f.proto()}}, nil
	case *Stream:
		return &peerpb.Frame{Body: &peerpb.Frame_Stream{Stream: f.proto()}}, nil
	case *BlobNews:
		return &peerpb.Frame{Body: &peerpb.Frame_BlobNews{BlobNews: f.proto()}}, nil
	default:
		return nil, fmt.Errorf("frame of type %T: %w", f, ErrMalformed)
	}
}

func frameFromProto(pb *peerpb.Frame) (Frame, error) {
	switch body := pb.Body.(type) {
	case *peerpb.Frame_Packet:
		p, err := openSigned(body.Packet)
		if err != nil {
			return nil, err
		}
		return &p, nil
	case *peerpb.Frame_Hello:
		return helloFromProto(body.Hello)
	case *peerpb.Frame_Vectors:
		return vectorsFromProto(body.Vectors)
	case *peerpb.Frame_Want:
		return wantFromProto(body.Want)
	case *peerpb.Frame_Refusals:
		return refusalsFromProto(body.Refusals)
	case *peerpb.Frame_Registers:
		rs := &Registers{}
		for _, r := range body.Registers.GetRegisters() {
			reg, err := OpenRegister(r.GetBody(), r.GetSignature())
			if err != nil {
				return nil, err
			}
			rs.Registers = append(rs.Registers, reg)
		}
		return rs, nil
	case *peerpb.Frame_Ping:
		return &Ping{Nonce: body.Ping.GetNonce()}, nil
	case *peerpb.Frame_Pong:
		return &Pong{Nonce: body.Pong.GetNonce()}, nil
	case *peerpb.Frame_Bye:
		reason := body.Bye.GetReason()
		if reason < 0 || reason > 255 {
			reason = 0
		}
		return &Bye{Reason: ByeReason(reason), Text: cutText(body.Bye.GetText(), MaxReason)}, nil
	case *peerpb.Frame_Compare:
		return compareFromProto(body.Compare)
	case *peerpb.Frame_Stream:
		return streamFromProto(body.Stream)
	case *peerpb.Frame_BlobNews:
		return blobNewsFromProto(body.BlobNews)
	default:
		return nil, nil //nolint:nilnil // documented: a kind this version does not know
	}
}

var featurePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._/=+-]{0,31}$`)

// helloFromProto gives nothing but the version of a Hello of another version,
// whose other fields may mean something else.
func helloFromProto(pb *peerpb.Hello) (*Hello, error) {
	if pb.GetVersion() != Version {
		return &Hello{Version: pb.GetVersion()}, nil
	}
	user, err := ParseUserID(pb.GetUser())
	if err != nil {
		return nil, fmt.Errorf("hello: %w", err)
	}
	if len(pb.GetDevice()) != len(DeviceID{}) || pb.GetPort() > 65535 || len(pb.GetFeatures()) > MaxFeatures {
		return nil, fmt.Errorf("hello of %s: %w", user, ErrMalformed)
	}
	for _, f := range pb.GetFeatures() {
		if !featurePattern.MatchString(f) {
			return nil, fmt.Errorf("hello of %s: %w", user, ErrMalformed)
		}
	}
	return &Hello{
		Version: pb.GetVersion(), User: user, Device: DeviceID(pb.GetDevice()), Port: uint16(pb.GetPort()),
		Features: pb.GetFeatures(), Agent: cutText(pb.GetAgent(), MaxAgent),
	}, nil
}

func chatVectorToProto(c ChatVector) *peerpb.ChatVector {
	pb := &peerpb.ChatVector{Chat: string(c.Chat), Membership: c.Membership, Anew: c.Anew}
	for _, l := range c.Logs {
		pb.Logs = append(pb.Logs, &peerpb.LogVector{Device: l.Device[:], Epoch: l.Epoch, Upto: l.Upto, Beyond: rangesToProto(l.Beyond)})
	}
	return pb
}

func vectorsFromProto(pb *peerpb.Vectors) (*Vectors, error) {
	v := &Vectors{Complete: pb.GetComplete(), Chats: make([]ChatVector, 0, len(pb.GetChats()))}
	for _, c := range pb.GetChats() {
		chat, err := ParseChatID(c.GetChat())
		if err != nil {
			return nil, fmt.Errorf("vector: %w", err)
		}
		if c.GetMembership() > maxCounter {
			return nil, fmt.Errorf("vector of %s: %w", chat, ErrMalformed)
		}
		cv := ChatVector{Chat: chat, Membership: c.GetMembership(), Anew: c.GetAnew()}
		for _, l := range c.GetLogs() {
			log, err := logFromParts(chat, l.GetDevice(), l.GetEpoch())
			if err != nil {
				return nil, fmt.Errorf("vector: %w", err)
			}
			if l.GetUpto() > maxCounter {
				return nil, fmt.Errorf("vector of %s: %w", chat, ErrMalformed)
			}
			beyond, err := rangesFromProto(l.GetBeyond(), l.GetUpto()+1)
			if err != nil {
				return nil, fmt.Errorf("vector of %s: %w", chat, err)
			}
			cv.Logs = append(cv.Logs, LogVector{Device: log.Device, Epoch: log.Epoch, Upto: l.GetUpto(), Beyond: beyond})
		}
		v.Chats = append(v.Chats, cv)
	}
	return v, nil
}

func wantFromProto(pb *peerpb.Want) (*Want, error) {
	chat, err := ParseChatID(pb.GetChat())
	if err != nil {
		return nil, fmt.Errorf("want: %w", err)
	}
	log, err := logFromParts(chat, pb.GetDevice(), pb.GetEpoch())
	if err != nil {
		return nil, fmt.Errorf("want: %w", err)
	}
	ranges, err := rangesFromProto(pb.GetRanges(), 0)
	if err != nil {
		return nil, fmt.Errorf("want in %s: %w", chat, err)
	}
	return &Want{Log: log, Ranges: ranges}, nil
}

func refusalsFromProto(pb *peerpb.Refusals) (*Refusals, error) {
	rs := &Refusals{}
	for _, r := range pb.GetRefusals() {
		chat, err := ParseChatID(r.GetChat())
		if err != nil {
			return nil, fmt.Errorf("refusal: %w", err)
		}
		log, err := logFromParts(chat, r.GetDevice(), r.GetEpoch())
		if err != nil {
			return nil, fmt.Errorf("refusal: %w", err)
		}
		reason := r.GetReason()
		if r.GetNumber() == 0 || r.GetNumber() > maxCounter || reason < 0 || reason > 255 {
			return nil, fmt.Errorf("refusal in %s: %w", chat, ErrMalformed)
		}
		rs.Refusals = append(rs.Refusals, Refusal{Key: EntryKey{Log: log, Number: r.GetNumber()}, Reason: Reason(reason), Text: cutText(r.GetText(), MaxReason)})
	}
	return rs, nil
}

func logFromParts(chat ChatID, device []byte, epoch uint64) (Log, error) {
	if len(device) != len(DeviceID{}) || epoch == 0 || epoch > maxCounter {
		return Log{}, fmt.Errorf("log of %s: %w", chat, ErrMalformed)
	}
	return Log{Chat: chat, Device: DeviceID(device), Epoch: epoch}, nil
}

func rangesToProto(rs []Range) []*peerpb.Range {
	pb := make([]*peerpb.Range, len(rs))
	for i, r := range rs {
		pb[i] = &peerpb.Range{First: r.First, Last: r.Last}
	}
	return pb
}

// rangesFromProto checks that the ranges ascend, do not touch, and begin above
// after.
func rangesFromProto(pb []*peerpb.Range, after uint64) ([]Range, error) {
	if len(pb) > MaxRanges {
		return nil, fmt.Errorf("%d ranges: %w", len(pb), ErrTooLarge)
	}
	var rs []Range
	for _, r := range pb {
		if r.GetFirst() <= after || r.GetLast() < r.GetFirst() || r.GetLast() > maxCounter {
			return nil, fmt.Errorf("range %d-%d: %w", r.GetFirst(), r.GetLast(), ErrMalformed)
		}
		rs = append(rs, Range{r.GetFirst(), r.GetLast()})
		after = r.GetLast() + 1
	}
	return rs, nil
}
