package net2019

import "github.com/parley-chat/parley/internal/gate"

// Bounds of connections that others make.
const (
	maxStrangers = 64   // links with people who are no contacts
	maxLinks     = 2048 // in all
)

// unknown bounds connections of which the first frame has not come.
var unknown = gate.Limits{Total: 64, PerPlace: 16, PerSecond: 10, Burst: 40}
