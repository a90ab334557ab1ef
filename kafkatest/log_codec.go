package kafkatest

import (
	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"
)

// zstdDecoder is used through DecodeAll only, which is safe for concurrent use. It
// holds a channel, so it is made here, outside any testing/synctest bubble. The
// client's own pool would make it inside the bubble and close it in a finalizer after
// the bubble's end, which crashes the process.
var zstdDecoder = func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		panic(err)
	}
	return d
}()

// codecs decompresses batches, inside bubbles too.
type codecs struct{ kgo.Decompressor }

// Decompress implements kgo.Decompressor.
func (c codecs) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	if codec == kgo.CodecZstd {
		return zstdDecoder.DecodeAll(src, nil)
	}
	return c.Decompressor.Decompress(src, codec)
}
