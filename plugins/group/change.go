package group

import (
	"bytes"
	"cmp"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/zeebo/blake3"
	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/plugins/group/grouppb"
	"github.com/parley-chat/parley/protocol/packet"
)

// Limits of a change; see group.proto.
const (
	MaxContent     = 64 << 10 // bytes
	MaxParents     = 64
	MaxOperations  = 1000
	MaxTitle       = 128 // bytes
	MaxDescription = 2 << 10
	MaxPicture     = 48 << 10
	MaxKeys        = 4 // of one invited person
	MaxCutoffs     = 64
)

const keySize = 32 // of an Ed25519 public key

// maxCounter bounds epochs and numbers, as in packet.
const maxCounter = 1 << 62

// Errors of decoding, and of what a person asked for.
var (
	ErrMalformed   = errors.New("malformed change of a group")
	ErrTitle       = fmt.Errorf("a group's name has 1 to %d bytes of valid UTF-8", MaxTitle)
	ErrDescription = fmt.Errorf("a group's description has at most %d bytes of valid UTF-8", MaxDescription)
	ErrControl     = errors.New("a group's name is one line, and neither it nor the description has control characters")
	ErrPicture     = fmt.Errorf("a group's picture has at most %d bytes (48 KiB)", MaxPicture)
	ErrTooLarge    = fmt.Errorf("the change has more than %d bytes (64 KiB): do it in several steps", MaxContent)
)

// ChangeID names a change of a group: a hash over what it says and who said it.
type ChangeID [32]byte

// String gives 64 hexadecimal digits.
func (id ChangeID) String() string { return hex.EncodeToString(id[:]) }

func (id ChangeID) compare(other ChangeID) int { return bytes.Compare(id[:], other[:]) }

// Role of a person in a group.
type Role int32

// The roles. Nobody is RoleNone in a group.
const (
	RoleNone    Role = Role(grouppb.Role_ROLE_UNSPECIFIED)
	RoleOwner   Role = Role(grouppb.Role_ROLE_OWNER)
	RoleAdmin   Role = Role(grouppb.Role_ROLE_ADMIN)
	RoleMember  Role = Role(grouppb.Role_ROLE_MEMBER)
	RoleInvited Role = Role(grouppb.Role_ROLE_INVITED)
)

// String gives the role as front ends know it: "owner", "admin", "member",
// "invited", or "" for none.
func (r Role) String() string {
	switch r {
	case RoleOwner:
		return "owner"
	case RoleAdmin:
		return "admin"
	case RoleMember:
		return "member"
	case RoleInvited:
		return "invited"
	}
	return ""
}

// History is who may see what is written from then on: the members of the time,
// or also whoever joins later.
type History int32

// The settings of a group's history.
const (
	HistoryFromJoin History = History(grouppb.History_HISTORY_FROM_JOIN)
	HistoryAll      History = History(grouppb.History_HISTORY_ALL)
)

// String gives "from-join" or "all".
func (h History) String() string {
	if h == HistoryAll {
		return "all"
	}
	return "from-join"
}

// Verb is what an operation does.
type Verb int

// The verbs. An operation of a later version is VerbNone and does nothing.
const (
	VerbNone Verb = iota
	VerbCreate
	VerbInvite
	VerbAccept
	VerbLeave
	VerbRemove
	VerbSetRole
	VerbSetTitle
	VerbSetDescription
	VerbSetPicture
	VerbSetHistory
	VerbIntroduce
)

// Operation is one thing a change does; which of the fields count depends on the
// verb.
type Operation struct {
	Verb    Verb
	User    packet.UserID // Invite, Remove, SetRole, Introduce
	Role    Role          // SetRole
	Text    string        // Create, SetTitle, SetDescription
	History History       // Create, SetHistory
	Picture []byte        // SetPicture
	Keys    [][]byte      // Invite, Introduce
	Cutoffs []Cutoff      // Leave, Remove
	Decline bool          // Leave
}

// Cutoff names the last entry of a log that counts.
type Cutoff struct {
	Device packet.DeviceID
	Epoch  uint64
	Number uint64
}

// Change is a step of a group's history.
type Change struct {
	// Parents ascend.
	Parents    []ChangeID
	Operations []Operation
}

// IDOf gives the id of the change that a packet holds.
func IDOf(chat packet.ChatID, author packet.UserID, id packet.PacketID, content []byte) ChangeID {
	h := blake3.New()
	_, _ = h.WriteString("parley group change v1\x00") // never fails
	for _, part := range [][]byte{[]byte(chat), []byte(author), id[:], content} {
		_, _ = h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part)))) //nolint:gosec // at most 512 KiB
		_, _ = h.Write(part)
	}
	return ChangeID(h.Sum(nil))
}

// ChatOf gives the id of the group that an author's packet creates, so that
// nobody else can begin a history of that chat.
func ChatOf(author packet.UserID, id packet.PacketID) packet.ChatID {
	h := blake3.New()
	_, _ = h.WriteString("parley group chat v1\x00")
	_, _ = h.Write(id[:])
	_, _ = h.WriteString(string(author))
	return packet.ChatID(base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil)[:16]))
}

var deterministic = proto.MarshalOptions{Deterministic: true}

// Encode gives the bytes of the content. Errors: those of this file, for what a
// person asked for.
func (c Change) Encode() ([]byte, error) {
	pb := &grouppb.Change{}
	for i := range c.Parents {
		pb.Parents = append(pb.Parents, c.Parents[i][:])
	}
	for i := range c.Operations {
		o := &c.Operations[i]
		if err := o.check(); err != nil {
			return nil, err
		}
		if o.Text != o.Verb.plain(o.Text) {
			return nil, ErrControl
		}
		pb.Operations = append(pb.Operations, o.proto())
	}
	b, err := deterministic.Marshal(pb)
	if err != nil {
		return nil, err
	}
	if len(b) > MaxContent {
		return nil, ErrTooLarge
	}
	return b, c.check()
}

// DecodeChange reads what Encode wrote, and what later versions write. Its error
// wraps ErrMalformed.
func DecodeChange(b []byte) (Change, error) {
	if len(b) > MaxContent {
		return Change{}, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrMalformed, len(b), MaxContent)
	}
	pb := &grouppb.Change{}
	if err := proto.Unmarshal(b, pb); err != nil {
		return Change{}, fmt.Errorf("%w: not protobuf", ErrMalformed)
	}
	var c Change
	if len(pb.GetParents()) > MaxParents {
		return Change{}, fmt.Errorf("%w: %d parents, at most %d are allowed", ErrMalformed, len(pb.GetParents()), MaxParents)
	}
	for _, p := range pb.GetParents() {
		if len(p) != len(ChangeID{}) {
			return Change{}, fmt.Errorf("%w: a parent of %d bytes", ErrMalformed, len(p))
		}
		c.Parents = append(c.Parents, ChangeID(p))
	}
	if len(pb.GetOperations()) > MaxOperations {
		return Change{}, fmt.Errorf("%w: %d operations, at most %d are allowed", ErrMalformed, len(pb.GetOperations()), MaxOperations)
	}
	for i, o := range pb.GetOperations() {
		op, err := operationOf(o)
		if err == nil {
			err = op.check()
			op.Text = op.Verb.plain(op.Text)
		}
		if err != nil {
			return Change{}, fmt.Errorf("%w: operation %d: %w", ErrMalformed, i+1, err)
		}
		c.Operations = append(c.Operations, op)
	}
	if err := c.check(); err != nil {
		return Change{}, err
	}
	return c, nil
}

// check checks what concerns more than one operation.
func (c Change) check() error {
	for i := range c.Parents {
		if i > 0 && c.Parents[i-1].compare(c.Parents[i]) >= 0 {
			return fmt.Errorf("%w: parents that do not ascend", ErrMalformed)
		}
	}
	for i := range c.Operations {
		if first := i == 0 && len(c.Parents) == 0; first != (c.Operations[i].Verb == VerbCreate) {
			return fmt.Errorf("%w: create is the first operation of the first change, and of no other", ErrMalformed)
		}
	}
	if len(c.Parents) == 0 && len(c.Operations) == 0 {
		return fmt.Errorf("%w: it says nothing", ErrMalformed)
	}
	return nil
}

// plain gives the text of an operation with spaces in place of control characters, and of
// line breaks but in descriptions. It is no longer than before, and for everybody the same.
func (v Verb) plain(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case v == VerbSetDescription && (r == '\n' || r == '\t'):
			return r
		case unicode.IsControl(r), r == '\u2028', r == '\u2029':
			return ' '
		}
		return r
	}, text)
}

func checkText(s string, least, most int, wrong error) error {
	if len(s) < least || len(s) > most || !utf8.ValidString(s) {
		return wrong
	}
	return nil
}

// check checks one operation. A role or history of a later version fails: what
// is not understood must not be half done.
func (o Operation) check() error {
	switch o.Verb {
	case VerbInvite, VerbRemove, VerbSetRole, VerbIntroduce:
		if _, err := packet.ParseUserID(string(o.User)); err != nil {
			return err
		}
	}
	switch o.Verb {
	case VerbCreate:
		return errors.Join(checkText(o.Text, 1, MaxTitle, ErrTitle), checkHistory(o.History))
	case VerbInvite, VerbIntroduce:
		if len(o.Keys) > MaxKeys {
			return fmt.Errorf("%d keys, at most %d are allowed", len(o.Keys), MaxKeys)
		}
		for _, k := range o.Keys {
			if len(k) != keySize {
				return fmt.Errorf("a key of %d bytes, not %d", len(k), keySize)
			}
		}
	case VerbLeave, VerbRemove:
		return checkCutoffs(o.Cutoffs)
	case VerbSetRole:
		if o.Role != RoleOwner && o.Role != RoleAdmin && o.Role != RoleMember {
			return fmt.Errorf("role %d cannot be given", o.Role)
		}
	case VerbSetTitle:
		return checkText(o.Text, 1, MaxTitle, ErrTitle)
	case VerbSetDescription:
		return checkText(o.Text, 0, MaxDescription, ErrDescription)
	case VerbSetPicture:
		if len(o.Picture) > MaxPicture {
			return ErrPicture
		}
	case VerbSetHistory:
		return checkHistory(o.History)
	}
	return nil
}

func checkHistory(h History) error {
	if h != HistoryFromJoin && h != HistoryAll {
		return fmt.Errorf("there is no history setting %d", h)
	}
	return nil
}

func checkCutoffs(cutoffs []Cutoff) error {
	if len(cutoffs) > MaxCutoffs {
		return fmt.Errorf("%d cutoffs, at most %d are allowed", len(cutoffs), MaxCutoffs)
	}
	for _, c := range cutoffs {
		if c.Epoch == 0 || c.Epoch >= maxCounter || c.Number >= maxCounter {
			return errors.New("a cutoff with a counter out of range")
		}
	}
	return nil
}

func (o Operation) proto() *grouppb.Operation {
	switch o.Verb {
	case VerbCreate:
		return &grouppb.Operation{Operation: &grouppb.Operation_Create{Create: &grouppb.Create{Title: []byte(o.Text), History: grouppb.History(o.History)}}}
	case VerbInvite:
		return &grouppb.Operation{Operation: &grouppb.Operation_Invite{Invite: &grouppb.Invite{User: string(o.User), Keys: o.Keys}}}
	case VerbAccept:
		return &grouppb.Operation{Operation: &grouppb.Operation_Accept{Accept: &grouppb.Accept{}}}
	case VerbLeave:
		return &grouppb.Operation{Operation: &grouppb.Operation_Leave{Leave: &grouppb.Leave{Decline: o.Decline, Cutoffs: cutoffProtos(o.Cutoffs)}}}
	case VerbRemove:
		return &grouppb.Operation{Operation: &grouppb.Operation_Remove{Remove: &grouppb.Remove{User: string(o.User), Cutoffs: cutoffProtos(o.Cutoffs)}}}
	case VerbSetRole:
		return &grouppb.Operation{Operation: &grouppb.Operation_SetRole{SetRole: &grouppb.SetRole{User: string(o.User), Role: grouppb.Role(o.Role)}}}
	case VerbSetTitle:
		return &grouppb.Operation{Operation: &grouppb.Operation_SetTitle{SetTitle: &grouppb.SetTitle{Title: []byte(o.Text)}}}
	case VerbSetDescription:
		return &grouppb.Operation{Operation: &grouppb.Operation_SetDescription{SetDescription: &grouppb.SetDescription{Description: []byte(o.Text)}}}
	case VerbSetPicture:
		return &grouppb.Operation{Operation: &grouppb.Operation_SetPicture{SetPicture: &grouppb.SetPicture{Picture: o.Picture}}}
	case VerbIntroduce:
		return &grouppb.Operation{Operation: &grouppb.Operation_Introduce{Introduce: &grouppb.Introduce{User: string(o.User), Keys: o.Keys}}}
	case VerbSetHistory:
		return &grouppb.Operation{Operation: &grouppb.Operation_SetHistory{SetHistory: &grouppb.SetHistory{History: grouppb.History(o.History)}}}
	}
	return &grouppb.Operation{}
}

func operationOf(pb *grouppb.Operation) (Operation, error) {
	switch o := pb.GetOperation().(type) {
	case *grouppb.Operation_Create:
		return Operation{Verb: VerbCreate, Text: string(o.Create.GetTitle()), History: historyOf(o.Create.GetHistory())}, nil
	case *grouppb.Operation_Invite:
		return Operation{Verb: VerbInvite, User: packet.UserID(o.Invite.GetUser()), Keys: o.Invite.GetKeys()}, nil
	case *grouppb.Operation_Introduce:
		return Operation{Verb: VerbIntroduce, User: packet.UserID(o.Introduce.GetUser()), Keys: o.Introduce.GetKeys()}, nil
	case *grouppb.Operation_Accept:
		return Operation{Verb: VerbAccept}, nil
	case *grouppb.Operation_Leave:
		cutoffs, err := cutoffsOf(o.Leave.GetCutoffs())
		return Operation{Verb: VerbLeave, Decline: o.Leave.GetDecline(), Cutoffs: cutoffs}, err
	case *grouppb.Operation_Remove:
		cutoffs, err := cutoffsOf(o.Remove.GetCutoffs())
		return Operation{Verb: VerbRemove, User: packet.UserID(o.Remove.GetUser()), Cutoffs: cutoffs}, err
	case *grouppb.Operation_SetRole:
		return Operation{Verb: VerbSetRole, User: packet.UserID(o.SetRole.GetUser()), Role: Role(o.SetRole.GetRole())}, nil
	case *grouppb.Operation_SetTitle:
		return Operation{Verb: VerbSetTitle, Text: string(o.SetTitle.GetTitle())}, nil
	case *grouppb.Operation_SetDescription:
		return Operation{Verb: VerbSetDescription, Text: string(o.SetDescription.GetDescription())}, nil
	case *grouppb.Operation_SetPicture:
		return Operation{Verb: VerbSetPicture, Picture: o.SetPicture.GetPicture()}, nil
	case *grouppb.Operation_SetHistory:
		return Operation{Verb: VerbSetHistory, History: historyOf(o.SetHistory.GetHistory())}, nil
	}
	return Operation{}, nil
}

func historyOf(h grouppb.History) History {
	if h == grouppb.History_HISTORY_UNSPECIFIED {
		return HistoryFromJoin
	}
	return History(h)
}

func cutoffProtos(cutoffs []Cutoff) []*grouppb.Cutoff {
	var out []*grouppb.Cutoff
	for _, c := range cutoffs {
		out = append(out, &grouppb.Cutoff{Device: c.Device[:], Epoch: c.Epoch, Number: c.Number})
	}
	return out
}

func cutoffsOf(pb []*grouppb.Cutoff) ([]Cutoff, error) {
	if len(pb) > MaxCutoffs {
		return nil, fmt.Errorf("%d cutoffs, at most %d are allowed", len(pb), MaxCutoffs)
	}
	var out []Cutoff
	for _, c := range pb {
		if len(c.GetDevice()) != len(packet.DeviceID{}) {
			return nil, fmt.Errorf("a cutoff of a device of %d bytes", len(c.GetDevice()))
		}
		out = append(out, Cutoff{Device: packet.DeviceID(c.GetDevice()), Epoch: c.GetEpoch(), Number: c.GetNumber()})
	}
	return out, nil
}

// sorted gives ids in ascending order, each once.
func sorted(ids []ChangeID) []ChangeID {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, ChangeID.compare)
	return slices.Compact(ids)
}

func compareCutoffs(a, b Cutoff) int {
	return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Number, b.Number), a.Device.Compare(b.Device))
}
