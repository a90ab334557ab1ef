package kafkatest

import (
	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"
)

// zstdDecoder is used by DecodeAll alone, which is safe for concurrent use. It
// holds a channel, which is made here, outside any testing/synctest bubble: one
// that the reader's own pool made in a bubble is closed by its finalizer, after
// the bubble's end, and that ends the process.
var zstdDecoder = func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		panic(err)
	}
	return d
}()

// codecs decompresses batches, in bubbles too.
type codecs struct{ kgo.Decompressor }

// Decompress implements kgo.Decompressor.
func (c codecs) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	if codec == kgo.CodecZstd {
		return zstdDecoder.DecodeAll(src, nil)
	}
	return c.Decompressor.Decompress(src, codec)
}
