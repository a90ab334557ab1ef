package batch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	lz4 "github.com/pierrec/lz4/v4"
)

// stream decompresses a batch in steps. Its user calls close once, unless Read has returned an
// error other than io.EOF.
type stream struct {
	reader io.Reader
	memory int    // approximate size, in bytes
	narrow bool   // it keeps less than the batch may refer back to
	free   func() // returns reader to its pool; nil if it has none
}

// Read implements io.Reader. The codecs read data from the network: a panic of theirs means
// that the batch can't be read.
func (s *stream) Read(p []byte) (n int, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			s.free, err = nil, fmt.Errorf("decompressing failed: %v", cause)
		}
	}()
	n, err = s.reader.Read(p)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	s.free = nil
	if s.narrow {
		err = fmt.Errorf("%w: %w", errFar, err)
	}
	return n, err
}

// errFar explains a failure that the bound may have caused.
var errFar = errors.New("the batch may refer back further than half of FetchBytes, so raise FetchBytes")

// close returns the decoder to its pool. It may be called more than once. A decoder that failed
// is not reused, as its state is unknown.
func (s *stream) close() {
	if s.free != nil {
		s.free()
	}
	s.free = nil
}

// recoverCodec turns a panic into *err. It must be deferred.
func recoverCodec(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("decompressing failed: %v", p)
	}
}

// The pools hold decoders that have succeeded.
var gzipReaders, lz4Readers, zstdReaders sync.Pool

const (
	// pooledWindow is the largest window, in bytes, of a pooled decoder.
	pooledWindow = 1 << 20
	// blockBytes is the largest content of a zstd block.
	blockBytes = 128 << 10
)

// openStream returns a stream of the content of src, compressed by the codec with that number in a
// batch's attributes: 1 gzip, 2 snappy, 3 lz4, 4 zstd. It takes at most about window bytes.
func openStream(codec int16, src []byte, window int) (s *stream, err error) {
	defer recoverCodec(&err)
	switch codec {
	case 1:
		return openGzip(src)
	case 2:
		size, _ := snappySize(src) // of a bare block
		return &stream{reader: newSnappyReader(src, window), memory: max(min(size, window), wholeBytes), narrow: size > window}, nil
	case 3:
		return openLZ4(src), nil
	case 4:
		return openZstd(src, window)
	}
	return nil, fmt.Errorf("unknown compression %d", codec)
}

// openGzip returns a stream of gzip, whose window is always 32 KiB (RFC 1951).
func openGzip(src []byte) (*stream, error) {
	r, ok := gzipReaders.Get().(*gzip.Reader)
	if !ok {
		r = new(gzip.Reader)
	}
	if err := r.Reset(bytes.NewReader(src)); err != nil {
		return nil, err
	}
	return &stream{reader: r, memory: 64 << 10, free: func() { gzipReaders.Put(r) }}, nil
}

// openLZ4 returns a stream of lz4 frames, as written by Java's client and librdkafka.
func openLZ4(src []byte) *stream {
	r, ok := lz4Readers.Get().(*lz4.Reader)
	if !ok {
		r = lz4.NewReader(nil)
	}
	r.Reset(bytes.NewReader(src))
	// Byte 5 of a frame has the size of its blocks, 64 KiB to 4 MiB; one block is in memory
	// twice.
	memory := 8 << 20
	if len(src) > 5 {
		memory = min(memory, 2<<(8+2*(src[5]>>4&7)))
	}
	return &stream{reader: r, memory: memory, free: func() {
		r.Reset(nil)
		lz4Readers.Put(r)
	}}
}

// openZstd returns a stream of zstd frames. The first frame's header says how much earlier content
// decoding must keep. Later frames may not ask for more than window either.
func openZstd(src []byte, window int) (*stream, error) {
	var header zstd.Header
	if err := header.Decode(src); err != nil {
		return nil, err
	}
	var in io.Reader = bytes.NewReader(src)
	// A single-segment frame may refer back to all of its content.
	needs := header.WindowSize
	if header.SingleSegment {
		needs = header.FrameContentSize
	}
	narrow := needs > uint64(window)
	if narrow {
		in, needs = narrowFrame(src, header.SingleSegment, window), uint64(window)
	}
	r, ok := zstdReaders.Get().(*zstd.Decoder)
	if !ok {
		var err error
		if r, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true)); err != nil {
			return nil, err
		}
	}
	if err := r.ResetWithOptions(in, zstd.WithDecoderMaxWindow(uint64(window))); err != nil {
		return nil, err
	}
	s := &stream{reader: r, memory: int(needs) + 2*blockBytes, narrow: narrow}
	// A decoder with a larger window would keep that memory in the pool.
	if needs <= pooledWindow {
		s.free = func() {
			if r.Reset(nil) == nil {
				zstdReaders.Put(r)
			}
		}
	}
	return s, nil
}

// narrowFrame returns a zstd frame with a header that declares a window of about the given
// number of bytes. Compressors declare the largest window of their level, up to 128 MiB, and
// rarely refer back that far. If one does, decoding fails there.
func narrowFrame(src []byte, single bool, window int) io.Reader {
	const descriptor, singleSegment = 4, 1 << 5
	head := bytes.Clone(src[:descriptor+1])
	rest := src[descriptor+1:]
	head[descriptor] &^= singleSegment
	if !single {
		rest = rest[1:] // skip the declared window
	}
	// The window is encoded as a power of two: 1 KiB shifted by the upper five bits.
	exponent := bits.Len(uint(window)) - 1
	head = append(head, byte(exponent-10)<<3)
	return io.MultiReader(bytes.NewReader(head), bytes.NewReader(rest))
}

// Decompress returns the whole content of src. It is for test brokers that examine what they got; a
// Reader bounds its memory.
func Decompress(codec int16, src []byte) ([]byte, error) {
	s, err := openStream(codec, src, minBound/2)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return io.ReadAll(s)
}

// zstdDecoder is used through DecodeAll only, which is safe for concurrent use. Its channel is made
// here, outside any testing/synctest bubble, so that every bubble may use it.
var zstdDecoder = func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic(err)
	}
	return d
}()

// decompressWhole decompresses content that is known to take at most most bytes. It returns nil
// if that is not known, or if the codec is no faster in one call than as a stream.
func decompressWhole(codec int16, src []byte, most int) (out *Buffer, err error) {
	size := wholeSize(codec, src)
	if size > most {
		return nil, nil
	}
	// Larger buffers are not pooled: their sizes are those of single batches.
	if size > wholeBytes {
		out = exactBuffer(size)
	} else {
		out = NewBuffer(size)
	}
	// If the codec panics, the buffer is left to the garbage collector.
	defer recoverCodec(&err)
	b, err := out.Bytes, error(nil)
	if codec == 2 {
		b, err = snappy.Decode(b[:size:size], src)
		if err == nil && len(b) != size {
			err = snappy.ErrCorrupt
		}
	} else {
		b, err = zstdDecoder.DecodeAll(src, b[:0])
	}
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		out.Release()
		return nil, nil
	}
	if err != nil {
		out.Release()
		return nil, err
	}
	out.Bytes = b
	return out, nil
}

// wholeSize returns the decompressed size of src, as declared or estimated. It returns a size
// too large for any bound if src should be read as a stream. A declared size is only a claim:
// snappy's is checked against what the bytes can produce, zstd's by its decoder.
func wholeSize(codec int16, src []byte) int {
	switch codec {
	case 2:
		if size, err := snappySize(src); err == nil && !bytes.HasPrefix(src, xerialMagic) {
			return size
		}
	case 4:
		var header zstd.Header
		if err := header.Decode(src); err != nil {
			break
		}
		if header.HasFCS && header.FrameContentSize <= wholeBytes {
			return int(header.FrameContentSize)
		}
		if !header.HasFCS {
			return min(16*len(src), wholeBytes)
		}
	}
	return math.MaxInt
}
