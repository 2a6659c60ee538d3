// Command group measures a group on one machine: a message on its way to all
// members, a member who was away, and what members and links cost.
package main

import (
	"os"

	"github.com/parley-chat/parley/bench/report"
)

func main() { os.Exit(report.Main(bench)) }

// Sizes of a round.
const (
	large   = 50      // members of the larger group
	small   = 5       // of the smaller one
	singles = 200     // messages sent one after the other
	history = 100_000 // messages while one is away
	flight  = 64      // calls of a front end under way, the most that a core takes
)

// body is a usual message.
const body = "Shall we meet at the usual place at half past seven? 老地方见"

const (
	metricJoined    = "until all have joined and are linked"
	metricLast      = "until the last member has a message"
	metricLast99    = "until the last member has a message, 99 %"
	metricCommits   = "until the last member has it, in times of 50 commits"
	metricCommits99 = "until the last member has it, 99 %, in times of 50 commits"
	metricCPU       = "processor time of all cores for a message and member"
	metricCaught    = "caught up"
	metricCore      = "resident, core"
	metricLink      = "resident, core, for each further member and link"
)

var bench = report.Bench{
	Name: "group", Title: "a group on one machine",
	About: about, Rounds: 3,
	Metrics: []report.Metric{
		{Name: metricJoined, Unit: report.Seconds},
		{Name: metricLast, Unit: report.Seconds},
		{Name: metricLast99, Unit: report.Seconds},
		{Name: metricCommits, Unit: report.Count},
		{Name: metricCommits99, Unit: report.Count},
		{Name: metricCPU, Unit: report.Seconds},
		{Name: metricCaught, Unit: report.PerSecond, Better: report.Higher},
		{Name: metricCore, Unit: report.Bytes},
		{Name: metricLink, Unit: report.Bytes},
	},
	Variants: []report.Variant{
		{Name: "50 members", Run: fifty},
		{Name: "5 members", Run: five},
		{Name: "a member returns", Run: returns},
	},
}

const about = `A directory and the cores of all members, each with its plugins, run as processes of their own; every pair is linked. **Until all have joined** is
from the first one's invitation of all others, who are that one's contacts and not each other's, until each has accepted it and has a link with each. **Until the
last member has a message** is from the call of a front end of the one who sends to the last of the events at front ends of all others, of 200
texts sent one after the other; the message is synced to disk with every member by then. **50 commits** are synced commits of such an entry,
one after the other, each in a database of its own, in the same folder, before and after the messages of the same round; the median and the 99th percentile are compared with their sum.
**Caught up** are the 100,000 messages of two members that a third gets when his core starts again, until the last is handled and
stored. **For each further member and link** compares an ordinary member's core in both groups.`
