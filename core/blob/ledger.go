package blob

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"math/rand/v2"
	"os"
	"strings"
	"sync"

	"github.com/zeebo/blake3"

	"github.com/parley-chat/parley/protocol/packet"
)

// ledger is a file beside a blob that says which of its pieces are known and
// here. It is written without being synced, which outlives the process and not
// the machine: so it carries the id of the boot it was written in, and where
// that is another one what it claims is verified before it is believed.
//
//	0    magic, 16 bytes
//	16   size of the content, 8 bytes BE
//	24   boot id, 36 bytes; zero when all was synced
//	64   slots of 40 bytes, one a piece: hash 32, bytes here 4 BE, flags 4 BE
type ledger struct {
	size uint64
	n    uint64 // pieces

	mu    sync.Mutex // guards all below
	file  *os.File
	known bitmap // the hash is
	here  bitmap // all of the piece is, verified
	bytes uint64 // of the pieces that are here
	dirty bool   // the file bears the present boot id
	doubt bool   // what it claims may not be so

	users int // guarded by ledgers.mu
}

// ledgers are those that are open: one a blob, for all who use it, since each
// knows by heart what its file says.
type ledgers struct {
	mu     sync.Mutex // guards all below; held while a file is opened, so that nobody sees half of it
	opened map[packet.BlobID]*ledger
}

const (
	ledgerMagic = "parley pieces 1\n"
	headSize    = 64
	slotSize    = uint64(packetHash) + 8
	packetHash  = len(packet.Hash{})
	bootSize    = 36

	flagKnown = 1
	flagHere  = 2
)

// bitmap is a set of pieces.
type bitmap struct {
	words []uint64
	count uint64
}

func newBitmap(n uint64) bitmap { return bitmap{words: make([]uint64, (n+63)/64)} }

func (b *bitmap) has(i uint64) bool { return b.words[i/64]>>(i%64)&1 == 1 }

func (b *bitmap) set(i uint64, on bool) {
	mask := uint64(1) << (i % 64)
	switch {
	case on && b.words[i/64]&mask == 0:
		b.words[i/64] |= mask
		b.count++
	case !on && b.words[i/64]&mask != 0:
		b.words[i/64] &^= mask
		b.count--
	}
}

// next gives the first piece from i on that is in the set or (in false) not; n
// when there is none.
func (b *bitmap) next(i, n uint64, in bool) uint64 {
	for i < n {
		w := b.words[i/64]
		if !in {
			w = ^w
		}
		if w >>= i % 64; w != 0 {
			return min(i+uint64(bits.TrailingZeros64(w)), n)
		}
		i = (i/64 + 1) * 64
	}
	return n
}

// open gives a blob's ledger, which is made if there is none; leave is to be
// called for each.
func (ls *ledgers) open(id packet.BlobID, path string, size uint64) (*ledger, error) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l := ls.opened[id]; l != nil && l.size == size {
		l.users++
		return l, nil
	}
	l, err := openLedger(path, size)
	if err != nil {
		return nil, err
	}
	l.users = 1
	ls.opened[id] = l
	return l, nil
}

// leave lets go of a ledger; the last closes it.
func (ls *ledgers) leave(l *ledger) error {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l.users--; l.users > 0 {
		return nil
	}
	for id, other := range ls.opened {
		if other == l {
			delete(ls.opened, id)
		}
	}
	return l.close()
}

// forget has the next one who asks open a blob's ledger anew: its file is gone.
func (ls *ledgers) forget(id packet.BlobID) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	delete(ls.opened, id)
}

// openLedger opens or makes a ledger.
func openLedger(path string, size uint64) (*ledger, error) {
	n := packet.Pieces(size)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	l := &ledger{size: size, n: n, file: f, known: newBitmap(n), here: newBitmap(n)}
	if l.doubt, err = l.load(); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("ledger %s: %w", path, err)
	}
	return l, nil
}

func (l *ledger) load() (suspect bool, err error) {
	head := make([]byte, headSize)
	_, err = io.ReadFull(l.file, head)
	switch {
	case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return false, err
	case err != nil || string(head[:16]) != ledgerMagic || binary.BigEndian.Uint64(head[16:]) != l.size:
		return false, l.clear() // new, or of no use
	}
	boot := strings.TrimRight(string(head[24:24+bootSize]), "\x00")
	l.dirty = boot == bootID()
	chunk := make([]byte, slotSize*4096)
	for i := uint64(0); i < l.n; {
		m, err := io.ReadFull(l.file, chunk[:min(uint64(len(chunk)), (l.n-i)*slotSize)])
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			return false, err
		}
		for ; m >= int(slotSize); m -= int(slotSize) {
			slot := chunk[(i%4096)*slotSize:]
			flags := binary.BigEndian.Uint32(slot[packetHash+4:])
			l.known.set(i, flags&flagKnown != 0)
			if flags&flagHere != 0 {
				l.here.set(i, true)
				l.bytes += uint64(packet.PieceLength(l.size, i))
			}
			i++
		}
		if err != nil {
			break // the rest was never written
		}
	}
	return boot != "" && boot != bootID(), nil
}

// clear begins anew.
func (l *ledger) clear() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known, l.here, l.bytes, l.dirty, l.doubt = newBitmap(l.n), newBitmap(l.n), 0, false, false
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	head := make([]byte, headSize)
	copy(head, ledgerMagic)
	binary.BigEndian.PutUint64(head[16:], l.size)
	_, err := l.file.WriteAt(head, 0)
	return err
}

// bootID names this run of the machine, so that a ledger shows whether the
// machine went down since.
var bootID = sync.OnceValue(func() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown" // then every ledger counts as of this boot
	}
	return strings.TrimSpace(string(b))[:min(bootSize, len(strings.TrimSpace(string(b))))]
})

func (l *ledger) mark() error {
	if l.dirty {
		return nil
	}
	id := make([]byte, bootSize)
	copy(id, bootID())
	if _, err := l.file.WriteAt(id, 24); err != nil {
		return err
	}
	l.dirty = true
	return nil
}

// settle notes that everything is on the disk, which the caller has seen to.
func (l *ledger) settle() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.dirty {
		return nil
	}
	if err := l.file.Sync(); err != nil {
		return err
	}
	if _, err := l.file.WriteAt(make([]byte, bootSize), 24); err != nil {
		return err
	}
	l.dirty = false
	return l.file.Sync()
}

// slot reads what is known of a piece.
func (l *ledger) slot(i uint64) (hash packet.Hash, got uint32, known bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i >= l.n || !l.known.has(i) {
		return packet.Hash{}, 0, false, nil
	}
	var b [slotSize]byte
	if _, err := l.file.ReadAt(b[:], headSize+int64(i*slotSize)); err != nil {
		return packet.Hash{}, 0, false, err
	}
	return packet.Hash(b[:packetHash]), binary.BigEndian.Uint32(b[packetHash:]), true, nil
}

// put writes what is known of a piece: its hash, and how much of it is here.
func (l *ledger) put(i uint64, hash packet.Hash, got uint32, here bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.mark(); err != nil {
		return err
	}
	var b [slotSize]byte
	copy(b[:], hash[:])
	binary.BigEndian.PutUint32(b[packetHash:], got)
	flags := uint32(flagKnown)
	if here {
		flags |= flagHere
	}
	binary.BigEndian.PutUint32(b[packetHash+4:], flags)
	if _, err := l.file.WriteAt(b[:], headSize+int64(i*slotSize)); err != nil {
		return err
	}
	l.known.set(i, true)
	if here != l.here.has(i) {
		l.here.set(i, here)
		if length := uint64(packet.PieceLength(l.size, i)); here {
			l.bytes += length
		} else {
			l.bytes -= length
		}
	}
	return nil
}

// has says whether a piece is here.
func (l *ledger) has(i uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return i < l.n && l.here.has(i)
}

// done gives how many bytes are here and verified, and whether that is all.
func (l *ledger) done() (bytes uint64, all bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes, l.here.count == l.n
}

// count gives how many pieces are here.
func (l *ledger) count() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.here.count
}

// doubted says whether what the ledger claims may not be so.
func (l *ledger) doubted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.doubt
}

// believe: what it claims was verified.
func (l *ledger) believe() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doubt = false
}

// ranges gives pieces that are here, as at most most ranges that ascend; none when
// all are. When there are more ranges than that they are some from anywhere on, so
// that who asks again hears of others.
func (l *ledger) ranges(most int) []packet.Range {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.here.count == l.n {
		return nil
	}
	rs, more := l.rangesIn(0, l.n, most)
	if !more {
		return rs
	}
	from := rand.Uint64N(l.n) //nolint:gosec // any will do
	after, _ := l.rangesIn(from, l.n, most)
	before, _ := l.rangesIn(0, from, most-len(after))
	if len(before) > 0 && len(after) > 0 && before[len(before)-1].Last+1 == after[0].First { // one range, cut in two
		after[0].First = before[len(before)-1].First
		before = before[:len(before)-1]
	}
	return append(before, after...)
}

// rangesIn gives the first ranges of pieces in [from, end) that are here, and
// whether there are more.
func (l *ledger) rangesIn(from, end uint64, most int) (rs []packet.Range, more bool) {
	for i := l.here.next(from, end, true); i < end; {
		if len(rs) == most {
			return rs, true
		}
		stop := l.here.next(i, end, false)
		rs = append(rs, packet.Range{First: i, Last: stop - 1})
		i = l.here.next(stop, end, true)
	}
	return rs, false
}

// allKnown says whether the hashes of all pieces are known.
func (l *ledger) allKnown() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.known.count == l.n
}

// hashes gives the hashes of count pieces from first on.
func (l *ledger) hashes(first, count uint64) ([]packet.Hash, error) {
	out := make([]packet.Hash, 0, count)
	for i := first; i < first+count; i++ {
		h, _, known, err := l.slot(i)
		if err != nil {
			return nil, err
		}
		if !known {
			return nil, fmt.Errorf("hash of piece %d is not known: %w", i, ErrState)
		}
		out = append(out, h)
	}
	return out, nil
}

// root hashes all hashes.
func (l *ledger) root() (packet.Hash, error) {
	h := blake3.New()
	for i := range l.n {
		hash, _, known, err := l.slot(i)
		if err != nil || !known {
			return packet.Hash{}, errors.Join(err, fmt.Errorf("hash of piece %d: %w", i, ErrState))
		}
		_, _ = h.Write(hash[:])
	}
	return packet.Hash(h.Sum(nil)), nil
}

func (l *ledger) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}

// nextMissing gives the first piece from i on that is not here.
func (l *ledger) nextMissing(i uint64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.here.next(i, l.n, false)
}
