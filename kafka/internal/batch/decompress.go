package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	lz4 "github.com/pierrec/lz4/v4"
)

// maxDecompressed bounds what one record batch may grow to. Brokers bound
// batches as they are stored, compressed (message.max.bytes), so that a small
// batch could ask for any amount of memory.
const maxDecompressed = 128 << 20

var errDecompressedTooLarge = fmt.Errorf("the batch is larger than %d bytes when decompressed", maxDecompressed)

var gzipReaders, lz4Readers sync.Pool

// zstdDecoder is used by DecodeAll alone, which is safe for concurrent use. It
// holds a channel that it makes when it is made, here, outside any
// testing/synctest bubble, so that every bubble may use it.
var zstdDecoder = func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxDecompressed))
	if err != nil {
		panic(err)
	}
	return d
}()

// Decompress undoes the codec of a batch's attributes. The result lies in a
// buffer of its own that the caller releases.
func Decompress(codec int16, src []byte) (out *Buffer, err error) {
	// The codecs read what came over the network, and are not ours. A panic of
	// theirs is a batch that can't be read.
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, fmt.Errorf("decompressing failed: %v", p)
		}
	}()
	switch codec {
	case 1:
		return decompressGzip(src)
	case 2:
		return decompressSnappy(src)
	case 3:
		return decompressLZ4(src)
	case 4:
		return decompressZstd(src)
	}
	return nil, fmt.Errorf("unknown compression %d", codec)
}

func decompressGzip(src []byte) (*Buffer, error) {
	r, ok := gzipReaders.Get().(*gzip.Reader)
	if !ok {
		r = new(gzip.Reader)
	}
	defer gzipReaders.Put(r)
	if err := r.Reset(bytes.NewReader(src)); err != nil {
		return nil, err
	}
	return readBounded(r, 4*len(src))
}

func decompressLZ4(src []byte) (*Buffer, error) {
	r, ok := lz4Readers.Get().(*lz4.Reader)
	if !ok {
		r = lz4.NewReader(nil)
	}
	defer lz4Readers.Put(r)
	r.Reset(bytes.NewReader(src))
	return readBounded(r, 4*len(src))
}

func decompressZstd(src []byte) (*Buffer, error) {
	var header zstd.Header
	if err := header.Decode(src); err != nil {
		return nil, err
	}
	size := 4 * len(src)
	if header.HasFCS {
		if header.FrameContentSize > maxDecompressed {
			return nil, errDecompressedTooLarge
		}
		// The size is a claim: a frame may hold less, or others may follow.
		size = int(min(header.FrameContentSize, uint64(64*len(src)+4096)))
	}
	out := NewBuffer(min(size, maxDecompressed))
	b, err := zstdDecoder.DecodeAll(src, out.Bytes[:0])
	if err != nil {
		out.Release()
		if errors.Is(err, zstd.ErrDecoderSizeExceeded) {
			return nil, errDecompressedTooLarge
		}
		return nil, err
	}
	out.Bytes = b
	return out, nil
}

// xerialMagic starts the framing of the Java library snappy-java.
var xerialMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

// decompressSnappy reads a bare snappy block, or snappy-java's frames: 16 bytes
// of header, then blocks that each have their size before them.
func decompressSnappy(src []byte) (*Buffer, error) {
	if len(src) < 16 || !bytes.HasPrefix(src, xerialMagic) {
		size, err := snappySize(src)
		if err != nil {
			return nil, err
		}
		out := NewBuffer(size)
		return decodeSnappy(out, 0, size, src)
	}
	total := 0
	for rest := src[16:]; len(rest) > 0; {
		block, after, err := xerialBlock(rest)
		if err != nil {
			return nil, err
		}
		size, err := snappySize(block)
		if err != nil {
			return nil, err
		}
		if total += size; total > maxDecompressed {
			return nil, errDecompressedTooLarge
		}
		rest = after
	}
	out := NewBuffer(total)
	at := 0
	for rest := src[16:]; len(rest) > 0; {
		block, after, err := xerialBlock(rest)
		if err != nil {
			return nil, err
		}
		size, err := snappySize(block)
		if err != nil {
			return nil, err
		}
		if _, err := decodeSnappy(out, at, size, block); err != nil {
			return nil, err
		}
		at += size
		rest = after
	}
	return out, nil
}

// decodeSnappy decodes a block of that size to out.b[at:]. It releases out when
// it fails.
func decodeSnappy(out *Buffer, at, size int, block []byte) (*Buffer, error) {
	b, err := snappy.Decode(out.Bytes[at:at+size:at+size], block)
	if err == nil && len(b) != size {
		err = snappy.ErrCorrupt
	}
	if err != nil {
		out.Release()
		return nil, err
	}
	return out, nil
}

// snappySize is the size that a block says it decodes to, checked against what
// its bytes can be: three bytes copy at most 64.
func snappySize(block []byte) (int, error) {
	size, err := snappy.DecodedLen(block)
	if err != nil {
		return 0, err
	}
	if size > maxDecompressed {
		return 0, errDecompressedTooLarge
	}
	if size > 64*len(block) {
		return 0, snappy.ErrCorrupt
	}
	return size, nil
}

func xerialBlock(rest []byte) (block, after []byte, err error) {
	if len(rest) < 4 {
		return nil, nil, io.ErrUnexpectedEOF
	}
	size := binary.BigEndian.Uint32(rest)
	if uint64(size) > uint64(len(rest)-4) {
		return nil, nil, io.ErrUnexpectedEOF
	}
	return rest[4 : 4+size], rest[4+size:], nil
}

// readBounded reads r to its end, into a buffer that starts at about guess bytes.
func readBounded(r io.Reader, guess int) (*Buffer, error) {
	out := NewBuffer(min(max(guess, 4096), maxDecompressed))
	out.Bytes = out.Bytes[:cap(out.Bytes)]
	n := 0
	for {
		read, err := r.Read(out.Bytes[n:])
		n += read
		switch {
		case n > maxDecompressed:
			out.Release()
			return nil, errDecompressedTooLarge
		case err == io.EOF:
			out.Bytes = out.Bytes[:n]
			return out, nil
		case err != nil:
			out.Release()
			return nil, err
		}
		if n == len(out.Bytes) {
			grown := NewBuffer(2 * n)
			grown.Bytes = grown.Bytes[:cap(grown.Bytes)]
			copy(grown.Bytes, out.Bytes)
			out.Release()
			out = grown
		}
	}
}
