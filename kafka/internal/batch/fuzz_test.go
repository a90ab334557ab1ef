package batch

import (
	"runtime"
	"slices"
	"testing"
)

// FuzzDecodeBatches reads arbitrary bytes as record batches: reading always ends, without a panic
// and within its bounds of memory, and returns records in order. With valid set the checksums are
// corrected first, so that damage reaches the records.
func FuzzDecodeBatches(f *testing.F) {
	add := func(parts ...[]byte) {
		f.Add(slices.Concat(parts...), int64(0), true)
		f.Add(slices.Concat(parts...), int64(1), false)
	}
	for codec := range int16(5) {
		add(plain(f, 0, 3, func(s *batchSpec) { s.codec = codec }))
	}
	add(plain(f, 0, 3, func(s *batchSpec) { s.codec, s.xerial = 2, true }))
	add(plain(f, 0, 2, producedBy(1)), marker(f, 2, 1, false), plain(f, 3, 1, producedBy(1)), marker(f, 4, 1, true))
	add(batchSpec{base: 0, lastDelta: 9, records: []recordSpec{{delta: 4}}}.encode(f))
	add(batchSpec{base: 0, lastDelta: 9}.encode(f), plain(f, 10, 1))
	// A record with a million headers, and a false number of records.
	add(stored(f, 4, 1, withHeaders(0, "k", "v", 1_000_000)))
	add(stored(f, 2, 1, withHeaders(0, "k", "v", 1_000_000)))
	add(stored(f, 4, 1<<30, make([]byte, 2<<20)))
	f.Fuzz(func(t *testing.T, data []byte, want int64, valid bool) {
		if want < 0 {
			return
		}
		if valid {
			data = sealAll(slices.Clone(data))
		}
		span, spanErr := FindSpan(data, want)
		if span.Size > len(data) || span.Next < want || spanErr != nil && span.Need != 0 {
			t.Fatalf("%+v, %v", span, spanErr)
		}
		r := readerOf(want, data[:span.Size])
		r.Aborted, r.Aborting = []AbortedTransaction{{1, 0}}, map[int64]struct{}{}
		last := want - 1
		total := 0
		for next := want; len(r.Data) > 0; {
			before, at := len(r.Data), r.Next
			allocated := allocations()
			d, err := r.Read(1000)
			took, allowed := allocations()-allocated, 2*minBound
			for i := range d.Records {
				allowed += 2 * d.Records[i].Size()
			}
			if took > uint64(allowed) {
				t.Fatalf("%d bytes of memory for a chunk of %d", took, d.Size)
			}
			if total += d.Size; total > 64<<20 {
				return
			}
			if err != nil {
				if len(d.Records) > 0 || d.Next != next {
					t.Fatal("an error with records")
				}
				return
			}
			if len(r.Data) >= before && r.Next == at || d.From != next || d.Next < next || r.Next != d.Next {
				t.Fatalf("no progress: [%d, %d) after %d", d.From, d.Next, next)
			}
			next = d.Next
			for i := range d.Records {
				if o := d.Records[i].Offset; o <= last || o >= next {
					t.Fatalf("offset %d after %d, before %d", o, last, next)
				}
				last = d.Records[i].Offset
			}
			d.Release()
		}
		if r.Next != span.Next {
			t.Fatalf("the span ends at %d, reading at %d", span.Next, r.Next)
		}
	})
}

// allocations returns how many bytes were allocated since the start of the process.
func allocations() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// sealAll corrects the checksum of every whole batch.
func sealAll(data []byte) []byte {
	for rest := data; ; {
		size, err := batchSize(rest)
		if err != nil || size == 0 || size > len(rest) {
			return data
		}
		seal(rest[:size])
		rest = rest[size:]
	}
}
