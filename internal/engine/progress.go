package engine

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"hash/fnv"
	"math"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// maxMetadata is the default limit of brokers for a commit's metadata
// (offset.metadata.max.bytes), in characters.
const maxMetadata = 4096

// progressPrefix starts this package's metadata. It distinguishes that from other members',
// which is ignored, and from later versions.
const progressPrefix = "eventbus1:"

// progress is what a commit's metadata carries besides the offset: what is finished beyond the
// watermark, and the budgets that failing records have used up, so that the partition's next
// owner repeats neither.
//
// It is valid only for the log that it was taken from, which is identified by cluster, topic
// id, base and leader epoch. If one of these differs (offsets mirrored to another cluster, a
// recreated topic, an offset reset by a tool), all of it is dropped. The epoch is the highest of
// a record that it is about, so a record of a later one is another, which took the offset after
// an unclean election.
//
// Encoded, before base64: the cluster's hash, the topic id, base, leader epoch; the budgets,
// and with them sections by tag and length (section.go); a count of run lengths and these,
// varints; then one bit per offset; a CRC-32 of everything. Long runs come before the bits, so
// a hole left by one slow record costs a few bytes, and scattered offsets cost an eighth of one
// each.
type progress struct {
	cluster string
	topic   transport.TopicID
	base    int64
	epoch   int32
	runs    []int64 // alternating lengths from base on: unfinished, finished, …
	spent   []budget
	unknown []section // from a later version: kept, and written back
}

// maxBudgets bounds the entries of a commit's budgets, including extensions; the oldest records
// go first. maxSpent bounds the budgets of records alone, so that there is room for extensions.
const (
	maxBudgets = 64
	maxSpent   = 40
)

// checksumSize is the size of a CRC-32. Metadata may come back through other clients and
// through tools that cut it.
const checksumSize = 4

// roomIn returns how many bytes fit into a number of characters.
func roomIn(characters int) int {
	return max(characters-len(progressPrefix), 0) / 4 * 3
}

// encode encodes the metadata in at most limit characters. complete is false if finished
// offsets had to be omitted: a crash now would repeat those.
func (p *progress) encode(limit int) (metadata string, complete bool) {
	// The usual case: nothing beyond the offset, so no metadata.
	if len(p.runs) < 2 && len(p.spent) == 0 && len(p.unknown) == 0 {
		return "", true
	}
	raw := p.appendHead(make([]byte, 0, 256))
	room := roomIn(limit) - len(raw) - binary.MaxVarintLen32 - checksumSize
	// Not even the head fits, with a limit far from Kafka's default.
	if room < 0 {
		return "", len(p.runs) < 2
	}
	pairs, size := p.split(room, 0)
	raw = binary.AppendUvarint(raw, uint64(pairs))
	for _, n := range p.runs[:2*pairs] {
		raw = binary.AppendUvarint(raw, uint64(n))
	}
	raw = appendBits(raw, p.runs[2*pairs:], room-runSize(p.runs[:2*pairs]))
	return seal(raw), size <= room
}

// seal returns the metadata for encoded bytes.
func seal(raw []byte) string {
	raw = binary.BigEndian.AppendUint32(raw, crc32.ChecksumIEEE(raw))
	return progressPrefix + base64.RawStdEncoding.EncodeToString(raw)
}

// appendHead appends everything that is required: which log this is about, and what later
// versions of the library wrote.
func (p *progress) appendHead(raw []byte) []byte {
	raw = binary.BigEndian.AppendUint64(raw, hashOf(p.cluster))
	raw = append(raw, p.topic[:]...)
	raw = binary.AppendUvarint(raw, uint64(p.base))
	raw = binary.AppendVarint(raw, int64(p.epoch))
	spent := p.spent[:min(len(p.spent), maxSpent)]
	var more []chunk
	// Distances from the base can't be negative, so entries must lie above it.
	if p.base < firstChunk {
		more = chunks(p.sections(spent), maxBudgets-len(spent))
	}
	raw = binary.AppendUvarint(raw, uint64(len(spent)+len(more)))
	for _, b := range spent {
		raw = p.appendEntry(raw, b.offset, b.attempts, b.first.Unix())
	}
	for i, c := range more {
		raw = p.appendEntry(raw, firstChunk+int64(i), c.high, c.low)
	}
	return raw
}

// uncarried returns how many budgets are not, or not completely, in the metadata: the next
// owner starts those again.
func (p *progress) uncarried() int {
	spent := p.spent[:min(len(p.spent), maxSpent)]
	_, left := extensions(spent, sectionRoom(spent))
	return len(p.spent) - len(spent) + left
}

// appendEntry appends a budget, with its offset as a short distance from the base.
func (p *progress) appendEntry(raw []byte, offset int64, attempts int, first int64) []byte {
	raw = binary.AppendUvarint(raw, uint64(offset-p.base))
	raw = binary.AppendUvarint(raw, uint64(attempts))
	return binary.AppendUvarint(raw, uint64(max(first, 0)))
}

// length returns the number of offsets in the runs.
func (p *progress) length() (n int64) {
	for _, run := range p.runs {
		n += run
	}
	return n
}

// split decides how many pairs of runs are encoded as lengths, before the rest is encoded as
// bits, so that everything is shortest or, if that exceeds room, so that room covers the most
// offsets. size is what everything would take, with behind further offsets as bits.
func (p *progress) split(room int, behind int64) (pairs, size int) {
	left, lengths := p.length()+behind, 0
	total := left
	least, most := int64(-1), int64(-1)
	// One pass over the pairs, counting down what is left for bits.
	for k := 0; ; k++ {
		if all := int64(lengths) + (left+7)/8; least < 0 || all < least {
			least = all
			if all <= int64(room) {
				pairs = k
			}
		}
		if covered := total - left + 8*int64(room-lengths); lengths <= room && least > int64(room) && covered > most {
			most, pairs = covered, k
		}
		if 2*k+1 >= len(p.runs) {
			return pairs, int(min(least, 1<<30))
		}
		pair := p.runs[2*k : 2*k+2]
		lengths += runSize(pair)
		left -= pair[0] + pair[1]
	}
}

// runSize returns how many bytes run lengths take.
func runSize(runs []int64) (size int) {
	for _, n := range runs {
		for size++; n >= 0x80; n >>= 7 {
			size++
		}
	}
	return size
}

// appendBits appends one bit per offset of runs, as many as fit into room. Offsets at the end
// that don't fit are repeated.
func appendBits(raw []byte, runs []int64, room int) []byte {
	var total int64
	for _, n := range runs {
		total += n
	}
	start, size := len(raw), min((total+7)/8, int64(room))
	raw = append(raw, make([]byte, size)...)
	o := int64(0)
	for i, n := range runs {
		if i%2 == 1 {
			for bit := o; bit < min(o+n, size*8); bit++ {
				raw[start+int(bit/8)] |= 1 << (bit % 8)
			}
		}
		o += n
	}
	return raw
}

// hashOf returns a short hash of a name that is only compared.
func hashOf(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s))
	return h.Sum64()
}

var (
	errForeignProgress = errors.New("the metadata is not of this log")
	errDamagedProgress = errors.New("the metadata is damaged")
)

// decodeProgress decodes metadata that was committed with an offset. For other members'
// metadata it returns nil and no error. For this package's metadata that is damaged or of
// another log it returns an error: that metadata is dropped and counted.
func decodeProgress(a *transport.Assignment) (*progress, error) {
	encoded, ours := strings.CutPrefix(a.Metadata, progressPrefix)
	if !ours {
		return nil, nil // not this package's, and not an error
	}
	if len(a.Metadata) > maxMetadata {
		return nil, errDamagedProgress // never written by this package, and not worth its memory
	}
	raw, err := base64.RawStdEncoding.DecodeString(encoded)
	if err != nil || len(raw) < checksumSize {
		return nil, errDamagedProgress
	}
	raw, sum := raw[:len(raw)-checksumSize], raw[len(raw)-checksumSize:]
	// Before reading anything: a flipped bit could make an unhandled offset look finished.
	if crc32.ChecksumIEEE(raw) != binary.BigEndian.Uint32(sum) {
		return nil, errDamagedProgress
	}
	// It still came from outside: bound lengths before allocating.
	r := &byteReader{b: raw}
	hash, topic := r.uint64(), transport.TopicID(r.take(16))
	base, epoch := r.length(), r.varint()
	if hash != hashOf(a.ClusterID) || topic != a.TopicID || base != a.Offset || epoch != int64(a.LeaderEpoch) {
		return nil, errForeignProgress
	}
	p := &progress{cluster: a.ClusterID, topic: topic, base: base, epoch: a.LeaderEpoch}
	p.spent = readBudgets(r, base)
	p.runs = readRuns(r)
	// Once for all reads: a reader that has failed returns zeros.
	if r.short || overflows(base, p.runs) {
		return nil, errDamagedProgress
	}
	if p.base < firstChunk {
		p.spent, p.unknown = extended(p.spent)
	}
	return p, nil
}

// overflows reports whether runs go past the largest possible offset.
func overflows(base int64, runs []int64) bool {
	left := math.MaxInt64 - base
	for _, n := range runs {
		if n > left {
			return true
		}
		left -= n
	}
	return false
}

// spans returns the finished ranges, in order.
func (p *progress) spans() (spans []span) {
	o := p.base
	for i, n := range p.runs {
		if i%2 == 1 && n > 0 {
			spans = append(spans, span{o, o + n})
		}
		o += n
	}
	return spans
}

// readBudgets reads the budgets, including extensions.
func readBudgets(r *byteReader, base int64) (spent []budget) {
	n := r.length()
	if n > maxBudgets {
		r.fail()
	}
	for range n {
		ahead, attempts, first := r.length(), r.length(), r.length()
		if r.short || ahead > math.MaxInt64-base || attempts > math.MaxInt32 {
			r.fail()
			return nil
		}
		spent = append(spent, budget{offset: base + ahead, attempts: int(attempts), first: time.Unix(min(first, math.MaxInt32*16), 0), used: -time.Second})
	}
	return spent
}

// readRuns reads the lengths, and converts the bits after them into further lengths.
func readRuns(r *byteReader) (runs []int64) {
	pairs := r.length()
	// Each pair takes at least two bytes, so this bounds what is allocated.
	if pairs > int64(len(r.b)) {
		r.fail()
		return nil
	}
	for range 2 * pairs {
		runs = append(runs, r.length())
	}
	// The bits start in an unfinished run, since they were split after whole pairs.
	done, n := false, int64(0)
	for _, b := range r.b {
		for i := range 8 {
			if set := b>>i&1 == 1; set != done {
				runs = append(runs, n)
				done, n = set, 0
			}
			n++
		}
	}
	// Zeros at the end pad the last byte, or are unfinished like everything behind them.
	if done {
		runs = append(runs, n)
	}
	return runs
}
