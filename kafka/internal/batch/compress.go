package batch

import (
	"bytes"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	lz4 "github.com/pierrec/lz4/v4"
)

// Compressions lists the names of the codecs, indexed by the codec's number in the attributes
// of a batch.
var Compressions = [...]string{"none", "gzip", "snappy", "lz4", "zstd"}

// Compression compresses the batches of one producer. It is safe for concurrent
// use.
type Compression struct {
	Codec int16 // as in a batch's attributes
	// zstd is used through EncodeAll only. It takes megabytes, so it is made only if asked
	// for. Its channel belongs to the testing/synctest bubble in which the producer was made,
	// if any.
	zstd *zstd.Encoder
}

// NewCompression returns the codec of a name in Compressions. An unknown or empty name means
// "none".
func NewCompression(name string) (c Compression, err error) {
	c.Codec = int16(max(slices.Index(Compressions[:], name), 0))
	if c.Codec != 4 {
		return c, nil
	}
	c.zstd, err = zstd.NewWriter(nil, zstd.WithWindowSize(256<<10), zstd.WithLowerEncoderMem(true))
	if err == nil {
		c.zstd.EncodeAll([]byte{0}, nil) // makes the channel here, not where the first batch is sent
	}
	return c, err
}

// resetWriter has the common methods of gzip's and lz4's writers.
type resetWriter interface {
	io.WriteCloser
	Reset(io.Writer)
}

var (
	// Writers are pooled, since each has tables that cost more to build than a small batch costs to
	// compress.
	gzipWriters = sync.Pool{New: func() any { return gzip.NewWriter(io.Discard) }}
	lz4Writers  = sync.Pool{New: func() any {
		w := lz4.NewWriter(io.Discard)
		if err := w.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false)); err != nil {
			panic(err)
		}
		return w
	}}
)

// Compress appends src, compressed, to dst, and returns the extended slice. An error is a
// codec's own and is never one of src.
func (c *Compression) Compress(dst, src []byte) ([]byte, error) {
	switch c.Codec {
	case 1:
		return compressTo(&gzipWriters, dst, src)
	case 2:
		// One raw block, as librdkafka and franz-go write it. All readers accept it without
		// the framing of the Java client's library.
		at := len(dst)
		dst = slices.Grow(dst, s2.MaxEncodedLen(len(src)))
		return dst[:at+len(s2.EncodeSnappy(dst[at:cap(dst)], src))], nil
	case 3:
		return compressTo(&lz4Writers, dst, src)
	case 4:
		return c.zstd.EncodeAll(src, dst), nil
	}
	return append(dst, src...), nil
}

// compressTo compresses with a pooled writer.
func compressTo(writers *sync.Pool, dst, src []byte) ([]byte, error) {
	out := bytes.NewBuffer(dst)
	w := writers.Get().(resetWriter)
	w.Reset(out)
	_, err := w.Write(src)
	if closing := w.Close(); err == nil {
		err = closing
	}
	// Otherwise the pool would keep dst alive.
	w.Reset(io.Discard)
	writers.Put(w)
	return out.Bytes(), err
}
