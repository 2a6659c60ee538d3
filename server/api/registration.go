package api

import (
	"errors"
	"fmt"
)

// Registration says who may make an account.
type Registration string

// The ways of registration.
const (
	RegistrationOpen   Registration = "open"   // everybody
	RegistrationInvite Registration = "invite" // who has an invite
	RegistrationClosed Registration = "closed" // nobody but the operator
)

var (
	errClosed      = errors.New("registration is closed")
	errNeedsInvite = errors.New("registration needs an invite")
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Registration) UnmarshalText(b []byte) error {
	switch v := Registration(b); v {
	case RegistrationOpen, RegistrationInvite, RegistrationClosed:
		*r = v
		return nil
	default:
		return fmt.Errorf("it is %s, %s or %s, not %q", RegistrationOpen, RegistrationInvite, RegistrationClosed, b)
	}
}

// MarshalText implements encoding.TextMarshaler.
func (r Registration) MarshalText() ([]byte, error) { return []byte(r), nil }

// admit says whether an account may be made with an invite, which can be empty.
func (s *Service) admit(invite string) error {
	switch s.registration {
	case RegistrationClosed:
		return errClosed
	case RegistrationInvite:
		if invite == "" {
			return errNeedsInvite
		}
		return s.dir.CheckInvite(invite)
	default:
		return nil
	}
}
