package engine

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

// maxMetadata is what a broker takes as a commit's metadata by default
// (offset.metadata.max.bytes), in characters.
const maxMetadata = 4096

// progressPrefix opens our metadata: other members' is ignored, and a later
// version of ours can be told apart.
const progressPrefix = "eventbus1:"

// progress is what travels in a commit's metadata beside the offset: what is
// finished beyond the watermark, and the budgets that parked keys have used up,
// so that the partition's next owner repeats neither.
//
// It holds only for the very log it was taken from. Cluster, topic id, base and
// leader epoch say which that was; where one differs (offsets mirrored to
// another cluster, the topic created anew, an unclean election, the offset reset
// by a tool) all of it is dropped.
type progress struct {
	cluster string
	topic   transport.TopicID
	base    int64
	epoch   int32
	runs    []int64 // alternating lengths from base on: unfinished, finished, …
	parked  []parkedHead
}

// parkedHead is the budget that the head of a parked lane has used.
type parkedHead struct {
	offset   int64
	attempts int
	first    time.Time // of its failures; kept in whole seconds
}

// How the runs are written: whichever is shorter.
const (
	asRuns = iota
	asBits
)

// maxParkedHeads bounds the budgets in one commit; the oldest go first.
const maxParkedHeads = 64

// encode writes the metadata in at most limit characters. complete is false if
// finished offsets had to be left out: a crash now would repeat those.
func (p *progress) encode(limit int) (metadata string, complete bool) {
	if len(p.runs) < 2 && len(p.parked) == 0 {
		return "", true
	}
	room := (limit - len(progressPrefix)) / 4 * 3
	head := binary.BigEndian.AppendUint64(nil, hashOf(p.cluster))
	head = append(head, p.topic[:]...)
	head = binary.AppendUvarint(head, uint64(p.base))
	head = binary.AppendVarint(head, int64(p.epoch))
	parked := p.parked[:min(len(p.parked), maxParkedHeads)]
	head = binary.AppendUvarint(head, uint64(len(parked)))
	for _, h := range parked {
		head = binary.AppendUvarint(head, uint64(h.offset-p.base))
		head = binary.AppendUvarint(head, uint64(h.attempts))
		head = binary.AppendUvarint(head, uint64(max(h.first.Unix(), 0)))
	}
	room -= len(head) + 1
	if room <= 0 {
		return "", len(p.runs) < 2
	}
	byRuns, runsAll := appendRuns(nil, p.runs, room)
	kind, body, complete := byte(asRuns), byRuns, runsAll
	if byBits, bitsAll := appendBits(nil, p.runs, room); !runsAll && (bitsAll || covers(byBits) > coversRuns(p.runs, byRuns)) {
		kind, body, complete = asBits, byBits, bitsAll
	} else if runsAll && bitsAll && len(byBits) < len(byRuns) {
		kind, body = asBits, byBits
	}
	head = append(append(head, kind), body...)
	return progressPrefix + base64.RawStdEncoding.EncodeToString(head), complete
}

func covers(bits []byte) int64 { return int64(len(bits)) * 8 }

// coversRuns is how many offsets the written prefix of runs speaks of.
func coversRuns(runs []int64, written []byte) (n int64) {
	for i := 0; len(written) > 0; i++ {
		_, size := binary.Uvarint(written)
		written = written[size:]
		n += runs[i]
	}
	return n
}

// appendRuns writes run lengths as varints, as many pairs as fit.
func appendRuns(dst []byte, runs []int64, room int) ([]byte, bool) {
	for i := 0; i+1 < len(runs); i += 2 {
		next := binary.AppendUvarint(dst, uint64(runs[i]))
		next = binary.AppendUvarint(next, uint64(runs[i+1]))
		if len(next) > room {
			return dst, false
		}
		dst = next
	}
	return dst, true
}

// appendBits writes one bit per offset from base on, as many as fit.
func appendBits(dst []byte, runs []int64, room int) ([]byte, bool) {
	var total int64
	for _, n := range runs {
		total += n
	}
	size := min((total+7)/8, int64(room))
	dst = append(dst, make([]byte, size)...)
	o, done := int64(0), false
	for _, n := range runs {
		if done {
			for i := o; i < min(o+n, size*8); i++ {
				dst[i/8] |= 1 << (i % 8)
			}
		}
		o, done = o+n, !done
	}
	return dst, size*8 >= total
}

var errForeignProgress = errors.New("the metadata is not of this log")

// decodeProgress reads metadata that was committed with an offset. Metadata
// that is not ours gives nil and no error; ours of another log, or damaged, an
// error: it is dropped and counted.
func decodeProgress(metadata, cluster string, a *transport.Assignment) (*progress, error) {
	encoded, ours := strings.CutPrefix(metadata, progressPrefix)
	if !ours {
		return nil, nil //nolint:nilnil // nothing of ours, and nothing wrong
	}
	raw, err := base64.RawStdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, err
	}
	r := &byteReader{b: raw}
	hash, topic := r.uint64(), r.topic()
	p := &progress{cluster: cluster, topic: topic, base: int64(r.uvarint()), epoch: int32(r.varint())} //nolint:gosec // compared only
	for n := r.uvarint(); n > 0 && !r.short && len(p.parked) < maxParkedHeads; n-- {
		p.parked = append(p.parked, parkedHead{
			offset:   p.base + int64(r.uvarint()&(1<<62-1)),
			attempts: int(r.uvarint() & (1<<31 - 1)),
			first:    time.Unix(int64(r.uvarint()&(1<<40-1)), 0),
		})
	}
	kind := r.byte()
	if r.short || p.base < 0 {
		return nil, errors.New("the metadata is cut short")
	}
	if hash != hashOf(cluster) || topic != a.TopicID || p.base != a.Offset || p.epoch != a.LeaderEpoch {
		return nil, errForeignProgress
	}
	if kind == asRuns {
		for len(r.b) > 0 && !r.short {
			p.runs = append(p.runs, int64(r.uvarint()&(1<<62-1)))
		}
		if r.short || len(p.runs)%2 != 0 {
			return nil, errors.New("the metadata is cut short")
		}
		return p, nil
	}
	p.runs = runsOf(r.b)
	return p, nil
}

// runsOf turns bits back into runs.
func runsOf(bits []byte) (runs []int64) {
	done, n := false, int64(0)
	for _, b := range bits {
		for i := range 8 {
			if set := b>>i&1 == 1; set != done {
				runs = append(runs, n)
				done, n = set, 0
			}
			n++
		}
	}
	if done {
		runs = append(runs, n)
	}
	return runs
}

func hashOf(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s))
	return h.Sum64()
}

// byteReader reads fields until it runs short, and then zeros.
type byteReader struct {
	b     []byte
	short bool
}

func (r *byteReader) take(n int) []byte {
	if r.short || len(r.b) < n {
		r.short, r.b = true, nil
		return make([]byte, n)
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *byteReader) byte() byte               { return r.take(1)[0] }
func (r *byteReader) uint64() uint64           { return binary.BigEndian.Uint64(r.take(8)) }
func (r *byteReader) topic() transport.TopicID { return transport.TopicID(r.take(16)) }
func (r *byteReader) uvarint() uint64          { return number(r, binary.Uvarint) }
func (r *byteReader) varint() int64            { return number(r, binary.Varint) }

func number[N int64 | uint64](r *byteReader, read func([]byte) (N, int)) N {
	v, n := read(r.b)
	if n <= 0 {
		r.short, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}
