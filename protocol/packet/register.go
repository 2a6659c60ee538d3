package packet

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/protocol/packet/peerpb"
)

// RegisterRead is the register that says how far its author has read a chat;
// the value is an OrderKey.
const RegisterRead Type = "read"

// Register is a last-writer-wins value of (chat, author, name). Raw and
// Signature are kept as they came.
type Register struct {
	Chat      ChatID
	Author    UserID
	Device    DeviceID
	Name      Type
	Value     []byte
	Version   uint64 // author's clock in microseconds, raised above what it replaces
	Raw       []byte
	Signature []byte
}

const registerContext = "parley register v1\x00"

// SealRegister checks and signs r; its Raw and Signature are filled in.
func SealRegister(r Register, sign Signer) (Register, error) {
	if err := r.validate(); err != nil {
		return Register{}, err
	}
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(&peerpb.RegisterBody{
		Chat: string(r.Chat), Author: string(r.Author), Device: r.Device[:], Name: string(r.Name), Value: r.Value, Version: r.Version,
	})
	if err != nil {
		return Register{}, fmt.Errorf("encode register %s: %w", r.Name, err)
	}
	r.Raw = raw
	r.Signature = sign(append([]byte(registerContext), raw...))
	return r, nil
}

// OpenRegister reads a register from its two parts; it checks form and bounds,
// not who signed (Verify).
func OpenRegister(raw, signature []byte) (Register, error) {
	if len(raw) > MaxRegisterBody {
		return Register{}, fmt.Errorf("register of %d bytes: %w", len(raw), ErrTooLarge)
	}
	var pb peerpb.RegisterBody
	if err := proto.Unmarshal(raw, &pb); err != nil {
		return Register{}, fmt.Errorf("register: %w: %w", ErrMalformed, err)
	}
	if len(pb.Device) != len(DeviceID{}) || len(signature) != ed25519.SignatureSize {
		return Register{}, fmt.Errorf("register: %w", ErrMalformed)
	}
	r := Register{
		Chat: ChatID(pb.Chat), Author: UserID(pb.Author), Device: DeviceID(pb.Device), Name: Type(pb.Name),
		Value: pb.Value, Version: pb.Version, Raw: raw, Signature: signature,
	}
	if err := r.validate(); err != nil {
		return Register{}, err
	}
	return r, nil
}

func (r *Register) validate() error {
	if _, err := ParseChatID(string(r.Chat)); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	if err := validateAuthor(r.Author, r.Chat); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	if _, err := ParseType(string(r.Name)); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	if len(r.Value) > MaxRegisterValue || r.Version == 0 || r.Version > maxCounter {
		return fmt.Errorf("register %s of %s: %w", r.Name, r.Author, ErrMalformed)
	}
	if r.Name == RegisterRead && len(r.Value) != len(OrderKey{}) {
		return fmt.Errorf("register %s of %s with a value of %d bytes: %w", r.Name, r.Author, len(r.Value), ErrMalformed)
	}
	return nil
}

// Verify checks that key, which must be the author's device key, signed it.
func (r *Register) Verify(key ed25519.PublicKey) error {
	if len(key) != ed25519.PublicKeySize || DeviceIDOf(key) != r.Device ||
		!ed25519.Verify(key, append([]byte(registerContext), r.Raw...), r.Signature) {
		return fmt.Errorf("register %s of %s: %w", r.Name, r.Author, ErrSignature)
	}
	return nil
}

// Supersedes says whether r counts rather than old, a register of the same
// (chat, author, name).
func (r *Register) Supersedes(old *Register) bool {
	return cmp.Or(cmp.Compare(r.Version, old.Version), r.Device.Compare(old.Device), bytes.Compare(r.Value, old.Value)) > 0
}
