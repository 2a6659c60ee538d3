package packet

// Limits of the native protocol. A peer that exceeds one broke the protocol.
const (
	// Version of the peer protocol.
	Version = 1

	MaxFrame         = 1 << 20   // bytes of one frame, without its length
	MaxHello         = 4 << 10   // bytes of the first frame
	MaxHeader        = 4 << 10   // bytes of an encoded header
	MaxContent       = 512 << 10 // bytes of a packet's content
	MaxRegisterBody  = 2 << 10   // bytes of an encoded register body
	MaxRegisterValue = 1 << 10   // bytes of a register's value
	MaxRanges        = 64        // ranges of one log in a vector or a want
	MaxReason        = 200       // bytes of a sentence for people
	MaxFeatures      = 32        // features in a Hello, of at most MaxFeature bytes
	MaxFeature       = 32        // bytes of a feature's name
	MaxAgent         = 64        // bytes of a program's name and version

	PieceSize       = 1 << 20   // bytes of a blob's pieces but the last
	MaxBlob         = 1 << 44   // bytes of a blob
	MaxIndex        = 32 << 20  // bytes of a folder's index
	MaxEntries      = 200_000   // entries of a folder
	MaxManifestBody = 1 << 10   // bytes of an encoded manifest body
	MaxStreamFrame  = 768 << 10 // bytes of one frame of a bulk stream, without its length and what follows it
	MaxHashes       = 16 << 10  // hashes of one frame
	MaxRequests     = 8         // open on one bulk stream
	MaxBlobNews     = 256       // blobs of one frame
	MaxCompared     = 256       // parts of logs in one Compare
	MaxTwins        = 1 << 10   // entries with one number that a Compare names

	MaxUserID = 64 // bytes of a user id
	MaxChatID = 2*MaxUserID + 1
	MaxType   = 64 // bytes of a packet type or register name
)
