package engine

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"time"
)

// budget is the part of its retry policy that a failing record has used.
type budget struct {
	offset   int64
	attempts int
	first    time.Time     // of its failures, in whole seconds, for older members
	used     time.Duration // of the policy's time, in whole seconds; −1 if an older member did not say
	decided  string        // the dead letter's reason, if the record is to get one
}

// Sections carry what the first version of the metadata has no place for. That version takes
// every byte after the run lengths for finished offsets, and any other prefix for foreign
// metadata, so nothing can be added there without its members repeating events. But it keeps
// every budget whose record it has not fetched yet, and writes it back. So sections travel as
// budgets of records that never come, at offsets that no log reaches: eight bytes each, in the
// two fields of a budget.
//
// A section is a tag and a length, both varints, and that many bytes. Tag zero ends the
// sections. Members keep sections with unknown tags, and write them back.
type section struct {
	tag  uint64
	body []byte
}

// The tags.
const (
	tagEnd    = 0
	tagBudget = 1 // time used and decisions, by offset
)

// firstChunk is the offset of the first entry that is not a record's: at a million records a
// second a partition gets there in a thousand years.
const firstChunk = int64(1) << 55

// chunk is eight bytes of the sections as a budget's fields: the older reader accepts 31 bits
// of the one and, before it writes it back, 35 of the other.
type chunk struct {
	high int   // 30 bits
	low  int64 // 34 bits
}

// chunks cuts the sections into at most that many chunks. What doesn't fit is omitted, from the
// end.
func chunks(raw []byte, most int) (cut []chunk) {
	for len(raw) > 0 && len(cut) < most {
		var eight [8]byte
		raw = raw[copy(eight[:], raw):]
		v := binary.BigEndian.Uint64(eight[:])
		cut = append(cut, chunk{int(v >> 34), int64(v & (1<<34 - 1))})
	}
	return cut
}

// sections encodes the sections that belong to budgets, followed by the unknown ones.
func (p *progress) sections(spent []budget) (raw []byte) {
	if body, _ := extensions(spent, sectionRoom(spent)); len(body) > 0 {
		raw = appendSection(raw, section{tagBudget, body})
	}
	for _, s := range p.unknown {
		raw = appendSection(raw, s)
	}
	return raw
}

// sectionRoom returns the maximum length of the budgets' section at which none of its entries
// is cut.
func sectionRoom(spent []budget) int {
	const head = 1 + binary.MaxVarintLen16 // the tag and the length
	return max(8*(maxBudgets-len(spent))-head, 0)
}

// extensions returns the section of the budgets: decisions first, since an event that was given
// up must not be tried again, then as much of the used times as there is room for. left is the
// number of budgets without a place.
func extensions(spent []budget, room int) (body []byte, left int) {
	for _, decided := range []bool{true, false} {
		for _, b := range spent {
			if decided != (b.decided != "") || b.used < 0 && b.decided == "" {
				continue
			}
			reason, before := clip(b.decided, maxReason), len(body)
			body = binary.AppendUvarint(body, uint64(b.offset))
			body = binary.AppendVarint(body, int64(max(b.used, -time.Second)/time.Second))
			body = binary.AppendUvarint(body, uint64(len(reason)))
			if body = append(body, reason...); len(body) > room {
				body = body[:before]
				left++
			}
		}
	}
	return body, left
}

// appendSection appends a section as tag, length and bytes, so that a reader that does not know
// the tag can skip it.
func appendSection(raw []byte, s section) []byte {
	raw = binary.AppendUvarint(raw, s.tag)
	raw = binary.AppendUvarint(raw, uint64(len(s.body)))
	return append(raw, s.body...)
}

// maxReason bounds a decision's reason, in bytes.
const maxReason = 24

// clip cuts text to a number of bytes, between two runes.
func clip(s string, most int) string {
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return s
}

// extended removes the entries that are not records' from the budgets, applies their sections
// to the rest, and returns the sections that it does not know. A section cut off by an older
// member is read as far as it goes. Nothing in sections can make the rest of the metadata
// unreadable.
func extended(all []budget) (spent []budget, unknown []section) {
	at := slices.IndexFunc(all, func(b budget) bool { return b.offset >= firstChunk })
	if at < 0 {
		return all, nil
	}
	spent, entries := all[:at], all[at:]
	var raw []byte
	for i, b := range entries {
		if b.offset != firstChunk+int64(i) {
			break // chunks after a gap are ignored
		}
		raw = binary.BigEndian.AppendUint64(raw, uint64(b.attempts)<<34|uint64(b.first.Unix())&(1<<34-1))
	}
	r := &byteReader{b: raw}
	for {
		tag := r.length()
		size := r.length()
		if r.short || tag == tagEnd {
			return spent, unknown
		}
		whole := size <= int64(len(r.b))
		body := slices.Clone(r.take(int(min(size, int64(len(r.b))))))
		if tag == tagBudget {
			extendBudgets(&byteReader{b: body}, spent)
		} else if whole {
			unknown = append(unknown, section{uint64(tag), body})
		}
	}
}

// extendBudgets applies the section of the budgets.
func extendBudgets(r *byteReader, spent []budget) {
	for len(r.b) > 0 {
		offset, used, reason := r.length(), r.varint(), r.length()
		if r.short || reason > min(maxReason, int64(len(r.b))) || used > math.MaxInt64/int64(time.Second) {
			return
		}
		decided := string(r.take(int(reason)))
		// At most maxBudgets entries for as many budgets: not worth an index.
		for i := range spent {
			if spent[i].offset == offset {
				spent[i].decided = strings.ToValidUTF8(decided, "")
				spent[i].used = time.Duration(max(used, -1)) * time.Second
			}
		}
	}
}

// byteReader reads fields until it runs short, and then returns zeros.
type byteReader struct {
	b     []byte
	short bool
}

// fail makes all further reads return zeros, so that callers check once, at the end.
func (r *byteReader) fail() { r.short, r.b = true, nil }

// take returns the next n bytes. The caller bounds n: if there are too few bytes, that many
// zeros are allocated.
func (r *byteReader) take(n int) []byte {
	if len(r.b) < n {
		r.fail()
		return make([]byte, n)
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *byteReader) uint64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }
func (r *byteReader) varint() int64  { return number(r, binary.Varint) }

// length reads a number that can't be negative.
//
//go:noinline
func (r *byteReader) length() int64 {
	n := number(r, binary.Uvarint)
	if n > math.MaxInt64 {
		r.fail()
		return 0
	}
	return int64(n)
}

// number reads a varint by one of the functions of encoding/binary.
func number[N int64 | uint64](r *byteReader, read func([]byte) (N, int)) N {
	v, n := read(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}
