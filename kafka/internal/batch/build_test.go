package batch

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	lz4 "github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// batchSpec describes a record batch for a test to encode.
type batchSpec struct {
	base      int64
	lastDelta int32 // 0: that of the last record
	epoch     int32
	attrs     int16
	codec     int16
	xerial    bool
	firstTime int64
	maxTime   int64
	producer  int64
	records   []recordSpec
}

type recordSpec struct {
	delta      int32
	time       int64
	key, value []byte
	headers    []kmsg.Header
}

// encode returns the batch as package kmsg encodes it.
func (s batchSpec) encode(t testing.TB) []byte {
	t.Helper()
	var records []byte
	for _, r := range s.records {
		k := kmsg.Record{TimestampDelta64: r.time, OffsetDelta: r.delta, Key: r.key, Value: r.value, Headers: r.headers}
		sized := k.AppendTo(nil) // with a length of one byte, 0
		records = binary.AppendVarint(records, int64(len(sized)-1))
		records = append(records, sized[1:]...)
	}
	last := s.lastDelta
	if last == 0 && len(s.records) > 0 {
		last = s.records[len(s.records)-1].delta
	}
	b := kmsg.RecordBatch{
		FirstOffset: s.base, PartitionLeaderEpoch: s.epoch, Magic: 2, Attributes: s.attrs | s.codec,
		LastOffsetDelta: last, FirstTimestamp: s.firstTime, MaxTimestamp: s.maxTime, ProducerID: s.producer,
		NumRecords: int32(len(s.records)), Records: s.compress(t, records),
	}
	if s.producer == 0 {
		b.ProducerID = -1
	}
	return seal(b.AppendTo(nil))
}

// seal fills in the length and the checksum of an encoded batch.
func seal(b []byte) []byte {
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func (s batchSpec) compress(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	switch s.codec {
	case 0:
		return b
	case 1:
		w := gzip.NewWriter(&out)
		must(t, w.Write, b)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	case 2:
		if !s.xerial {
			return snappy.Encode(nil, b)
		}
		out.Write([]byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1})
		for part := range slices.Chunk(b, 100) {
			block := snappy.Encode(nil, part)
			out.Write(binary.BigEndian.AppendUint32(nil, uint32(len(block))))
			out.Write(block)
		}
	case 3:
		w := lz4.NewWriter(&out)
		must(t, w.Write, b)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	case 4:
		w, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		return w.EncodeAll(b, nil)
	}
	return out.Bytes()
}

func must(t testing.TB, write func([]byte) (int, error), b []byte) {
	t.Helper()
	if _, err := write(b); err != nil {
		t.Fatal(err)
	}
}

// marker returns a control batch that ends a transaction.
func marker(t testing.TB, offset, producer int64, commit bool) []byte {
	kind := byte(0)
	if commit {
		kind = 1
	}
	return batchSpec{base: offset, attrs: attributeControl | AttributeTransactional, producer: producer,
		records: []recordSpec{{key: []byte{0, 0, 0, kind}, value: []byte{0, 0, 0, 0, 0, 0}}}}.encode(t)
}

// plain returns a batch of n records from an offset on, keyed by their offsets.
func plain(t testing.TB, base int64, n int, change ...func(*batchSpec)) []byte {
	s := batchSpec{base: base}
	for i := range n {
		s.records = append(s.records, recordSpec{delta: int32(i), key: []byte{byte(base) + byte(i)}, value: []byte("v")})
	}
	for _, f := range change {
		f(&s)
	}
	return s.encode(t)
}

func producedBy(id int64) func(*batchSpec) {
	return func(s *batchSpec) { s.producer, s.attrs = id, AttributeTransactional }
}
