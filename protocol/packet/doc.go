// Package packet is the peer wire: what one person's device says to another's.
//
// # Native codec, "parley/1"
//
// A control link is a TLS 1.3 connection. On it each frame is
//
//	+----------------+----------------------------------+
//	| length, 4 B BE | peerpb.Frame, length bytes (<=1 MiB) |
//	+----------------+----------------------------------+
//
// and one kind of frame is the [Packet], the preamble of the original system,
// widened. It travels in three parts:
//
//	header     encoded peerpb.Header, <= 4 KiB
//	signature  Ed25519 over "parley packet v1\0" + header, by the author's device
//	content    <= 512 KiB; its BLAKE3-256 hash stands in the header
//
// so that signatures are over literal bytes, and so that content can be deleted
// while the header still verifies. Fields that a later version adds to a header
// are kept with its bytes and ignored.
//
// # Order
//
// All members of a chat show its entries in the same order, that of
// [Header.Order]: (depth, sent_at, device, epoch, number). An entry's depth is
// above that of everything its author had seen, so a skewed clock cannot move
// it before what it answers.
//
// Everything that comes from outside is bounded before it is allocated and
// validated before it is returned: a value of this package's types that a
// decoder gave is well-formed.
package packet
