package api

import (
	"time"

	"github.com/parley-chat/parley/server/limit"
)

// Limit is a token bucket.
type Limit = limit.Limit

// Limits of what one address or account may do.
type Limits struct {
	Register       Limit // accounts made from one address
	LogInAddress   Limit // log-ins that failed, from one address
	LogInAccount   Limit // log-ins that failed, to one account, from devices it does not know
	ChangePassword Limit // wrong passwords, of one account
	SetProfile     Limit // of one account
	LookUp         Limit // of one account
	Deliver        Limit // of one account
	Session        Limit // sessions begun, of one account
	// Message slows a session down instead of refusing; long lists count as
	// several.
	Message Limit
}

// DefaultLimits are generous to people and not to programs that guess.
func DefaultLimits() Limits {
	return Limits{
		Register:       Limit{Burst: 20, Every: time.Minute},
		LogInAddress:   Limit{Burst: 30, Every: 3 * time.Second},
		LogInAccount:   Limit{Burst: 10, Every: 30 * time.Second},
		ChangePassword: Limit{Burst: 10, Every: 30 * time.Second},
		SetProfile:     Limit{Burst: 20, Every: 5 * time.Second},
		LookUp:         Limit{Burst: 200, Every: 2 * time.Second},
		Deliver:        Limit{Burst: 60, Every: 10 * time.Second},
		Session:        Limit{Burst: 30, Every: 2 * time.Second},
		Message:        Limit{Burst: 200, Every: 20 * time.Millisecond},
	}
}
