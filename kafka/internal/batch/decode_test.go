package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/transport"
)

func readerOf(want int64, data ...[]byte) *Reader {
	return &Reader{Topic: "t", Partition: 3, Data: slices.Concat(data...), Next: want, Keys: &HeaderKeys{}}
}

func offsets(records []transport.Record) []int64 {
	got := []int64{}
	for i := range records {
		got = append(got, records[i].Offset)
	}
	return got
}

// readAll reads in chunks of about limit bytes, and checks that they join without gaps.
func readAll(t *testing.T, r *Reader, limit int) (records []transport.Record, next int64) {
	t.Helper()
	next = r.Next
	for len(r.Data) > 0 {
		d, err := r.Read(limit)
		if err != nil {
			t.Fatal(err)
		}
		if d.From != next || d.Next < d.From {
			t.Fatalf("a chunk of [%d, %d) after %d", d.From, d.Next, next)
		}
		next = d.Next
		records = append(records, d.Records...)
	}
	return records, next
}

func TestDecodeRecord(t *testing.T) {
	for _, codec := range []struct {
		id     int16
		xerial bool
	}{{0, false}, {1, false}, {2, false}, {2, true}, {3, false}, {4, false}} {
		t.Run(fmt.Sprint(codec), func(t *testing.T) {
			long := bytes.Repeat([]byte("long "), 1000)
			data := batchSpec{
				base: 40, epoch: 7, firstTime: 1_000_000, codec: codec.id, xerial: codec.xerial,
				records: []recordSpec{
					{delta: 0, time: 5, key: []byte("k"), value: long, headers: []kmsg.Header{{Key: "a", Value: []byte("1")}, {Key: "a", Value: nil}}},
					{delta: 2, time: 0, key: nil, value: nil},
					{delta: 3, time: 1 << 40, key: []byte{}, value: []byte{}, headers: []kmsg.Header{{Key: "", Value: []byte{}}}},
				},
			}.encode(t)
			records, next := readAll(t, readerOf(40, data), 1)
			if next != 44 || len(records) != 3 {
				t.Fatalf("next %d, records %v", next, offsets(records))
			}
			r := records[0]
			if r.Topic != "t" || r.Partition != 3 || r.Offset != 40 || r.LeaderEpoch != 7 || string(r.Key) != "k" ||
				!bytes.Equal(r.Value, long) || !r.Time.Equal(time.UnixMilli(1_000_005)) {
				t.Errorf("first record: %+v", r)
			}
			if len(r.Headers) != 2 || r.Headers[0].Key != "a" || string(r.Headers[0].Value) != "1" || r.Headers[1].Value != nil {
				t.Errorf("headers: %+v", r.Headers)
			}
			if r = records[1]; r.Offset != 42 || r.Key != nil || r.Value != nil || r.Headers != nil {
				t.Errorf("tombstone without a key: %+v", r)
			}
			if r = records[2]; r.Offset != 43 || r.Key == nil || r.Value == nil || r.Headers[0].Value == nil ||
				!r.Time.Equal(time.UnixMilli(1_000_000+1<<40)) {
				t.Errorf("empty key and value: %+v", r)
			}
		})
	}
}

func TestDecodeLogAppendTime(t *testing.T) {
	data := plain(t, 0, 2, func(s *batchSpec) { s.attrs, s.firstTime, s.maxTime = attributeLogAppendTime, 5, 99 })
	records, _ := readAll(t, readerOf(0, data), 1<<20)
	if !records[1].Time.Equal(time.UnixMilli(99)) {
		t.Errorf("time %v", records[1].Time)
	}
}

// TestDecodeNoTimestamp: a record without a timestamp has no time, rather than one in 1969.
func TestDecodeNoTimestamp(t *testing.T) {
	records, _ := readAll(t, readerOf(0, plain(t, 0, 1, func(s *batchSpec) { s.firstTime, s.maxTime = -1, -1 })), 1<<20)
	if !records[0].Time.IsZero() {
		t.Errorf("time %v", records[0].Time)
	}
}

// TestDecodeSpans: chunks and spans cover the offsets without a record that compaction and
// transactions leave.
func TestDecodeSpans(t *testing.T) {
	gap := func(base int64, last int32, deltas ...int32) []byte {
		s := batchSpec{base: base, lastDelta: last}
		for _, d := range deltas {
			s.records = append(s.records, recordSpec{delta: d})
		}
		return s.encode(t)
	}
	for _, c := range []struct {
		name    string
		want    int64
		data    [][]byte
		aborted []AbortedTransaction
		offsets []int64
		next    int64
	}{
		{name: "nothing", want: 5, offsets: []int64{}, next: 5},
		{name: "starts in the middle of a batch", want: 12, data: [][]byte{plain(t, 10, 5)}, offsets: []int64{12, 13, 14}, next: 15},
		{name: "a batch before what is wanted", want: 12, data: [][]byte{plain(t, 10, 2), plain(t, 12, 1)}, offsets: []int64{12}, next: 13},
		{name: "only a batch before what is wanted", want: 12, data: [][]byte{plain(t, 10, 2)}, offsets: []int64{}, next: 12},
		{name: "compaction left one of five", want: 190, data: [][]byte{gap(190, 4, 1), gap(195, 0, 0)}, offsets: []int64{191, 195}, next: 196},
		{name: "compaction left none of five", want: 190, data: [][]byte{gap(190, 4)}, offsets: []int64{}, next: 195},
		{name: "batches removed between", want: 3, data: [][]byte{plain(t, 3, 1), plain(t, 9, 1)}, offsets: []int64{3, 9}, next: 10},
		{name: "a lone commit marker", want: 7, data: [][]byte{marker(t, 7, 1, true)}, aborted: []AbortedTransaction{}, offsets: []int64{}, next: 8},
		{name: "a marker that compaction emptied", want: 7, data: [][]byte{batchSpec{base: 7, attrs: attributeControl}.encode(t)},
			aborted: []AbortedTransaction{}, offsets: []int64{}, next: 8},
		{name: "aborted and committed, interleaved", want: 0,
			data: [][]byte{
				plain(t, 0, 2, producedBy(1)), plain(t, 2, 1, producedBy(2)), plain(t, 3, 1),
				plain(t, 4, 1, producedBy(1)), marker(t, 5, 1, false), marker(t, 6, 2, true),
				plain(t, 7, 1, producedBy(1)), marker(t, 8, 1, true),
			},
			aborted: []AbortedTransaction{{1, 0}}, offsets: []int64{2, 3, 7}, next: 9},
		{name: "aborted twice by one producer", want: 0,
			data: [][]byte{plain(t, 0, 1, producedBy(1)), marker(t, 1, 1, false), plain(t, 2, 1, producedBy(1)),
				marker(t, 3, 1, true), plain(t, 4, 1, producedBy(1)), marker(t, 5, 1, false)},
			aborted: []AbortedTransaction{{1, 0}, {1, 4}}, offsets: []int64{2}, next: 6},
		{name: "begins within an aborted transaction", want: 11,
			data:    [][]byte{plain(t, 10, 2, producedBy(1)), marker(t, 12, 1, false), plain(t, 13, 1, producedBy(1))},
			aborted: []AbortedTransaction{{1, 2}}, offsets: []int64{13}, next: 14},
		{name: "begins at an abort marker", want: 12,
			data:    [][]byte{marker(t, 12, 1, false), plain(t, 13, 1, producedBy(1))},
			aborted: []AbortedTransaction{{1, 2}}, offsets: []int64{13}, next: 14},
		{name: "read uncommitted", want: 0,
			data: [][]byte{plain(t, 0, 2, producedBy(1)), marker(t, 2, 1, false)}, offsets: []int64{0, 1}, next: 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, limit := range []int{1, 1 << 20} {
				r := readerOf(c.want, c.data...)
				if c.aborted != nil {
					r.Aborted, r.Aborting = slices.Clone(c.aborted), map[int64]struct{}{}
				}
				records, next := readAll(t, r, limit)
				if got := offsets(records); !slices.Equal(got, c.offsets) || next != c.next {
					t.Errorf("limit %d: offsets %v, next %d; want %v, %d", limit, got, next, c.offsets, c.next)
				}
			}
			span, err := FindSpan(slices.Concat(c.data...), c.want)
			if err != nil || span.Next != c.next || span.Need != 0 {
				t.Errorf("span %+v, %v; want next %d", span, err, c.next)
			}
		})
	}
}

// TestDecodePartialTail: a broker may cut its answer at any byte. A batch is complete only with
// its last one.
func TestDecodePartialTail(t *testing.T) {
	first, second := plain(t, 0, 3), plain(t, 3, 4)
	whole := slices.Concat(first, second)
	for cut := range whole {
		span, err := FindSpan(whole[:cut], 0)
		if err != nil {
			t.Fatal(cut, err)
		}
		want := Span{LeaderEpoch: -1}
		if cut >= len(first) {
			want = Span{Size: len(first), Next: 3}
		}
		if cut-want.Size > MagicOffset {
			want.Need = len(first)
			if want.Size > 0 {
				want.Need = len(second)
			}
		}
		if span != want {
			t.Fatalf("cut at %d: %+v, want %+v", cut, span, want)
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	change := func(b []byte, at int, v ...byte) []byte {
		b = slices.Clone(b)
		copy(b[at:], v)
		return b
	}
	old := binary.BigEndian.AppendUint32(make([]byte, 8), 14+20)
	old = append(old, make([]byte, 34)...)
	good := plain(t, 5, 2)
	gzipped := plain(t, 5, 2, func(s *batchSpec) { s.codec = 1 })
	for _, c := range []struct {
		name, want string
		data       []byte
	}{
		{"checksum", "checksum", change(good, 62, 0x7f)},
		{"format 0", "message format 0", old},
		{"format 1", "message format 1", change(old, 16, 1)},
		{"format 9", "unknown message format 9", change(good, 16, 9)},
		{"length", "bytes long", change(good, 8, 0xff, 0xff, 0xff, 0xff)},
		{"more records than bytes", "records", seal(change(change(good, 57, 0, 0, 1, 0), 23, 0, 0, 1, 0))},
		{"more records than offsets", "records", seal(change(good, 57, 0, 0, 1, 0))},
		{"negative base", "records", change(good, 0, 0xff)},
		{"record longer than the batch", "ends in the middle", seal(change(good, 61, 0x7e))},
		{"unknown codec", "unknown compression 7", seal(change(good, 21, 0, 7))},
		{"damaged gzip", "gzip", seal(change(gzipped, 61, 0))},
		{"offsets that fall", "offset 7 after 8", batchSpec{base: 5, records: []recordSpec{{delta: 3}, {delta: 2}}, lastDelta: 4}.encode(t)},
		{"no offset left", "offset 8 after 4, with 1 more", batchSpec{base: 5, records: []recordSpec{{delta: 3}, {delta: 2}}, lastDelta: 3}.encode(t)},
		{"offset past the batch", "offset", batchSpec{base: 5, records: []recordSpec{{delta: 3}}, lastDelta: 1}.encode(t)},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := readerOf(0, plain(t, 0, 5), c.data)
			// Records before the fault are returned, even those of the same batch.
			before := int64(5)
			if c.name == "offsets that fall" {
				before = 9
			}
			d, err := r.Read(1 << 20)
			if err != nil || len(d.Records) < 5 || d.Next != before {
				t.Fatalf("the batch before: %d records up to %d, %v", len(d.Records), d.Next, err)
			}
			for range 2 {
				d, err = r.Read(1 << 20)
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), fmt.Sprintf("offsets %d to", before)) {
					t.Errorf("error %v, want %q in it", err, c.want)
				}
				if len(d.Records) != 0 || d.Next != before {
					t.Errorf("records %v, next %d", offsets(d.Records), d.Next)
				}
			}
		})
	}
}

// TestFaultEndsAtNewFormat: an operator passes over a fault as a whole, so the fault of a record
// in an old format does not include the batch behind it, which can be read.
func TestFaultEndsAtNewFormat(t *testing.T) {
	old := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, 9), 34)
	old = append(old, make([]byte, 34)...)
	_, err := FindSpan(slices.Concat(old, plain(t, 10, 3)), 9)
	if fault, ok := errors.AsType[*Fault](err); !ok || fault.From != 9 || fault.Next != 10 {
		t.Errorf("%v, want a fault of offset 9 alone", err)
	}
}

func TestDecodeAllocations(t *testing.T) {
	r := benchmarkReader(t, 500)
	data := r.Data
	allocs := testing.AllocsPerRun(20, func() {
		r.Data, r.Next = data, 0
		if d, err := r.Read(1 << 30); err != nil || len(d.Records) != 500 {
			t.Fatal(err, len(d.Records))
		}
	})
	// Memory for the records, and for their headers.
	if allocs > 3 {
		t.Errorf("%v allocations for 500 records", allocs)
	}
}

// benchmarkReader returns a reader of n records, a multiple of 100, with what most records of
// the bus have: a key, a value of 300 bytes and six headers.
func benchmarkReader(tb testing.TB, n int) *Reader {
	var data [][]byte
	for base := 0; base < n; base += 100 {
		s := batchSpec{base: int64(base)}
		for i := range 100 {
			r := recordSpec{delta: int32(i), time: int64(i), key: []byte("customer-12345"), value: bytes.Repeat([]byte("x"), 300)}
			for _, h := range []string{"ce_id", "ce_source", "ce_specversion", "ce_type", "ce_time", "content-type"} {
				r.headers = append(r.headers, kmsg.Header{Key: h, Value: []byte("0192f0c0-7b1e-7e6a")})
			}
			s.records = append(s.records, r)
		}
		data = append(data, s.encode(tb))
	}
	return readerOf(0, data...)
}

func BenchmarkDecode(b *testing.B) {
	const n = 2000
	r := benchmarkReader(b, n)
	data := r.Data
	b.ReportAllocs()
	for b.Loop() {
		r.Data, r.Next = data, 0
		for len(r.Data) > 0 {
			if _, err := r.Read(256 << 10); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
}
