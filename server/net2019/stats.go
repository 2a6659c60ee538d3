package net2019

// outcome is what became of a command.
type outcome int

const (
	logInOK outcome = iota
	logInDenied
	logInLimited
	logInTaken
	queryOnline
	queryOffline
	queryDenied
	logOutOK
	invalid
	numOutcomes
)

var outcomes = [numOutcomes]struct{ command, result string }{
	logInOK:      {"log_in", "ok"},
	logInDenied:  {"log_in", "denied"},  // a wrong password
	logInLimited: {"log_in", "limited"}, // too many wrong ones before
	logInTaken:   {"log_in", "taken"},   // a native user has the id
	queryOnline:  {"query", "online"},
	queryOffline: {"query", "offline"},
	queryDenied:  {"query", "denied"}, // before a log-in
	logOutOK:     {"log_out", "ok"},
	invalid:      {"invalid", "denied"},
}

func (s *Service) count(o outcome) { s.outcomes[o].Add(1) }

// Count is how many commands had a result.
type Count struct {
	Command, Result string
	N               uint64
}

// Stats are the numbers of a service, now and since it was made.
type Stats struct {
	Served             bool // false for a nil Service
	Connections        int
	Originals, Natives int    // online
	Limited            uint64 // log-ins refused because there were too many wrong ones
	Commands           []Count
}

// Stats gives the numbers. Those of a nil Service are zero, and all there.
func (s *Service) Stats() Stats {
	var stats Stats
	for o, names := range outcomes {
		c := Count{Command: names.command, Result: names.result}
		if s != nil {
			c.N = s.outcomes[o].Load()
		}
		stats.Commands = append(stats.Commands, c)
	}
	if s == nil {
		return stats
	}
	stats.Served = true
	stats.Originals, stats.Natives = s.Registry.counts()
	stats.Limited = s.guesses.Refused()
	s.mu.Lock()
	defer s.mu.Unlock()
	stats.Connections = len(s.open)
	return stats
}
