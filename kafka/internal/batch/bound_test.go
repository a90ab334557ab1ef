package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/eventbus-go/eventbus/transport"
)

// stored returns a batch of n records from offset 0 on, with the given content.
func stored(t testing.TB, codec int16, n int, content []byte) []byte {
	t.Helper()
	b := kmsg.RecordBatch{
		Magic: 2, Attributes: codec, LastOffsetDelta: int32(n - 1), ProducerID: -1, NumRecords: int32(n),
		Records: batchSpec{codec: codec}.compress(t, content),
	}
	return seal(b.AppendTo(nil))
}

// withHeaders returns a record with n headers that have neither key nor value.
func withHeaders(delta int32, key, value string, n int) []byte {
	var b []byte
	b = binary.AppendVarint(append(b, 0, 0), int64(delta))
	b = appendBytes(appendBytes(b, []byte(key)), []byte(value))
	b = binary.AppendVarint(b, int64(n))
	b = append(b, make([]byte, 2*n)...)
	return append(binary.AppendVarint(nil, int64(len(b))), b...)
}

// readPeak reads a batch to its end in chunks, and calls each for every record. It returns the
// peak of the memory in use, in bytes, beyond what was in use before.
func readPeak(t testing.TB, data []byte, bound int, each func(*transport.Record)) (peak uint64, err error) {
	t.Helper()
	r := readerOf(0, data)
	r.Bound = bound
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before, allocated := m.HeapAlloc, m.TotalAlloc
	for i := 0; len(r.Data) > 0; i++ {
		d, err := r.Read(256 << 10)
		// Memory allocated since the last reading bounds the peak in between.
		if runtime.ReadMemStats(&m); m.TotalAlloc-allocated > 1<<20 || i%100 == 0 {
			peak = max(peak, m.HeapAlloc-min(m.HeapAlloc, before), m.TotalAlloc-allocated)
			runtime.GC()
			runtime.ReadMemStats(&m)
			allocated = m.TotalAlloc
		}
		if err != nil {
			return peak, err
		}
		for i := range d.Records {
			each(&d.Records[i])
		}
		d.Release()
	}
	return peak, nil
}

// TestBoundMemory reads batches that brokers accept, but that would take unbounded
// memory if they were decoded as a whole.
func TestBoundMemory(t *testing.T) {
	const fetchBytes, mib = 16 << 20, 1 << 20
	noise := make([]byte, 20*mib)
	random := rand.NewChaCha8([32]byte{})
	if _, err := random.Read(noise); err != nil {
		t.Fatal(err)
	}
	long := func(value []byte) []byte {
		k := kmsg.Record{Key: []byte("k"), Value: value}
		sized := k.AppendTo(nil)
		return append(binary.AppendVarint(nil, int64(len(sized)-1)), sized[1:]...)
	}
	for _, c := range []struct {
		name    string
		codecs  []int16
		content []byte
		n       int
		most    uint64 // bytes
		check   func(*transport.Record) bool
	}{
		{"66 million headers", []int16{1, 3, 4}, withHeaders(0, "key", "value", 66_000_000), 1, 12 * mib, func(r *transport.Record) bool {
			return string(r.Key) == "key" && string(r.Value) == "value" && len(r.Headers) == 64 &&
				r.Excess != nil && r.Excess.Headers == 66_000_000 && !r.Excess.Value && strings.Contains(r.Excess.Error(), "66000000 headers")
		}},
		{"2 million headers, uncompressed", []int16{0}, withHeaders(0, "key", "value", 2_000_000), 1, mib, func(r *transport.Record) bool {
			return len(r.Headers) == 64 && r.Excess != nil && r.Excess.Headers == 2_000_000
		}},
		{"many headers within the bound", []int16{0, 4}, withHeaders(0, "key", "value", 300_000), 1, 2 * fetchBytes, func(r *transport.Record) bool {
			return len(r.Headers) == 300_000 && r.Excess == nil
		}},
		{"a value of 50 MB", []int16{1, 2, 3, 4}, long(make([]byte, 50*mib)), 1, 100 * mib, func(r *transport.Record) bool {
			return len(r.Value) == 50*mib && r.Excess == nil
		}},
		{"a value of 200 MB", []int16{4}, long(make([]byte, 200*mib)), 1, 28 * mib, func(r *transport.Record) bool {
			return string(r.Key) == "k" && r.Value != nil && len(r.Value) == 0 && r.Excess != nil && r.Excess.Value
		}},
		{"a record larger than what is fetched", []int16{0, 1, 2, 3, 4}, long(noise), 1, 40 * mib, func(r *transport.Record) bool {
			return bytes.Equal(r.Value, noise) && r.Excess == nil
		}},
	} {
		for _, codec := range c.codecs {
			t.Run(fmt.Sprint(c.name, ", ", Compressions[codec]), func(t *testing.T) {
				data := stored(t, codec, c.n, c.content)
				got := 0
				peak, err := readPeak(t, data, fetchBytes, func(r *transport.Record) {
					if !c.check(r) {
						t.Errorf("key %d bytes, value %d, %d headers, excess %v", len(r.Key), len(r.Value), len(r.Headers), r.Excess)
					}
					got++
				})
				if err != nil || got != c.n {
					t.Errorf("%d records, %v", got, err)
				}
				t.Logf("%d bytes became %d MiB", len(data), peak/mib)
				if peak > c.most {
					t.Errorf("%d bytes became %d MiB, more than %d", len(data), peak/mib, c.most/mib)
				}
			})
		}
	}
}

// TestBoundTinyRecords: a batch is read a chunk at a time, however many records it has or
// its header claims.
func TestBoundTinyRecords(t *testing.T) {
	const n = 400_000
	var content []byte
	for i := range int64(n) {
		size := RecordSize(3, 0, i)
		content = append(AppendRecordHead(content, size, 0, i), 1, 1, 0)
	}
	for _, codec := range []int16{0, 1, 2, 3, 4} {
		got := 0
		peak, err := readPeak(t, stored(t, codec, n, content), 0, func(*transport.Record) { got++ })
		if err != nil || got != n || peak > 20<<20 {
			t.Errorf("%s: %d records, %d KiB, %v", Compressions[codec], got, peak>>10, err)
		}
	}
	lying := stored(t, 0, 1<<30, content)
	if peak, err := readPeak(t, lying, 0, func(*transport.Record) {}); err == nil || peak > 1<<20 {
		t.Errorf("a lying count: %d KiB, %v", peak>>10, err)
	}
	// Falsify the count of a batch that is not reached yet, which makes its checksum
	// wrong.
	binary.BigEndian.PutUint32(lying[17:], 0)
	two := append(plain(t, 0, 1), lying...)
	binary.BigEndian.PutUint64(two[len(two)-len(lying):], 1)
	if peak, err := readPeak(t, two, 0, func(*transport.Record) {}); err == nil || peak > 1<<20 {
		t.Errorf("a lying count ahead: %d KiB, %v", peak>>10, err)
	}
}

// TestBoundWindow: the content that zstd and snappy may refer back to is bounded. A
// large declared window alone does no harm.
func TestBoundWindow(t *testing.T) {
	noise := make([]byte, 4<<20)
	if _, err := rand.NewChaCha8([32]byte{}).Read(noise); err != nil {
		t.Fatal(err)
	}
	w, err := zstd.NewWriter(nil, zstd.WithWindowSize(64<<20), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, c := range []struct {
		name  string
		codec int16
		gap   int // between a value and its repetition
		want  error
	}{
		{"near", 4, 6 << 20, nil},
		{"far", 4, 12 << 20, errFar},
		{"near", 2, 6 << 20, nil},
		{"far", 2, 12 << 20, errFar},
	} {
		t.Run(Compressions[c.codec]+", "+c.name, func(t *testing.T) {
			value := append(append(bytes.Clone(noise), make([]byte, c.gap-len(noise))...), noise...)
			k := kmsg.Record{Value: append(value, make([]byte, 12<<20)...)}
			content := k.AppendTo(nil)[1:]
			content = append(binary.AppendVarint(nil, int64(len(content))), content...)
			content = append(content, 14, 0, 0, 2, 1, 1, 0, 0) // and another record
			b := kmsg.RecordBatch{Magic: 2, Attributes: c.codec, ProducerID: -1, NumRecords: 2, LastOffsetDelta: 1}
			if c.codec == 4 {
				var stream bytes.Buffer
				w.Reset(&stream) // without the size of what is written, as Java's client does
				must(t, w.Write, content)
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				b.Records = stream.Bytes()
			} else {
				b.Records = s2.EncodeSnappy(nil, content)
			}
			peak, err := readPeak(t, seal(b.AppendTo(nil)), 16<<20, func(r *transport.Record) {
				if r.Offset == 0 && !bytes.Equal(r.Value, k.Value) {
					t.Error("another value")
				}
			})
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			t.Logf("%d MiB", peak>>20)
		})
	}
}
