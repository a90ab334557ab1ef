package engine

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

var (
	errForeignProgress = errors.New("the metadata is not of this log")
	errDamagedProgress = errors.New("the metadata is damaged")
)

// decodeProgress reads metadata that was committed with an offset. Metadata
// that is not ours gives nil and no error; ours of another log, or damaged, an
// error: it is dropped and counted.
func decodeProgress(a *transport.Assignment) (*progress, error) {
	encoded, ours := strings.CutPrefix(a.Metadata, progressPrefix)
	if !ours {
		return nil, nil //nolint:nilnil // nothing of ours, and nothing wrong
	}
	if len(a.Metadata) > maxMetadata {
		return nil, errDamagedProgress // never written by us, and not worth its memory
	}
	raw, err := base64.RawStdEncoding.DecodeString(encoded)
	if err != nil || len(raw) < checksumSize {
		return nil, errDamagedProgress
	}
	raw, sum := raw[:len(raw)-checksumSize], raw[len(raw)-checksumSize:]
	if crc32.ChecksumIEEE(raw) != binary.BigEndian.Uint32(sum) {
		return nil, errDamagedProgress
	}
	r := &byteReader{b: raw}
	hash, topic := r.uint64(), transport.TopicID(r.take(16))
	base, epoch := r.length(), r.varint()
	if hash != hashOf(a.ClusterID) || topic != a.TopicID || base != a.Offset || epoch != int64(a.LeaderEpoch) {
		return nil, errForeignProgress
	}
	p := &progress{cluster: a.ClusterID, topic: topic, base: base, epoch: a.LeaderEpoch}
	p.spent = readBudgets(r, base)
	p.runs = readRuns(r)
	if r.short || overflows(base, p.runs) {
		return nil, errDamagedProgress
	}
	if p.base < firstChunk {
		p.spent, p.unknown = extended(p.spent)
	}
	return p, nil
}

// overflows reports whether runs pass the last offset that there can be.
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

// spans lists the finished ranges, in order.
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

// readBudgets reads the budgets, the extensions among them.
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

// readRuns reads the lengths and turns the bits behind them back into more.
func readRuns(r *byteReader) (runs []int64) {
	pairs := r.length()
	if pairs > int64(len(r.b)) {
		r.fail()
		return nil
	}
	for range 2 * pairs {
		runs = append(runs, r.length())
	}
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
	if done {
		runs = append(runs, n)
	}
	return runs
}
