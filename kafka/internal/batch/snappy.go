package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"github.com/klauspost/compress/snappy"
)

// xerialMagic starts the framing of the Java library snappy-java: a header of 16 bytes, then
// blocks, each preceded by its size.
var xerialMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

// snappyReader decompresses snappy in steps: one bare block, or snappy-java's frames. Blocks of
// up to wholeBytes are decoded in one go; larger ones element by element, for which no library
// has a reader (https://github.com/google/snappy/blob/main/format_description.txt). It takes
// memory for a declared size only if the bytes can produce that much (snappySize).
type snappyReader struct {
	rest   []byte // remaining blocks
	framed bool   // blocks are preceded by their size
	limit  int    // bytes of a large block to keep
	plain  []byte // decoded, unread bytes
	whole  []byte // the memory of plain for small blocks
	large  *snappyBlock
}

// newSnappyReader returns a reader of src that keeps at most limit bytes of a large block.
func newSnappyReader(src []byte, limit int) *snappyReader {
	if len(src) >= 16 && bytes.HasPrefix(src, xerialMagic) {
		return &snappyReader{rest: src[16:], framed: true, limit: limit}
	}
	return &snappyReader{rest: src, limit: limit}
}

// Read implements io.Reader.
func (r *snappyReader) Read(p []byte) (int, error) {
	for len(r.plain) == 0 {
		if r.large != nil {
			n, err := r.large.Read(p)
			if !errors.Is(err, io.EOF) {
				return n, err
			}
			r.large = nil
		}
		// Blocks follow one another until the data ends.
		if len(r.rest) == 0 {
			return 0, io.EOF
		}
		if err := r.nextBlock(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.plain)
	r.plain = r.plain[n:]
	return n, nil
}

// nextBlock starts the next block: it decodes a small one, and opens a large one.
func (r *snappyReader) nextBlock() error {
	block := r.rest
	r.rest = nil
	if r.framed {
		if len(block) < 4 || uint64(binary.BigEndian.Uint32(block)) > uint64(len(block)-4) {
			return io.ErrUnexpectedEOF
		}
		end := 4 + int(binary.BigEndian.Uint32(block))
		block, r.rest = block[4:end], block[end:]
	}
	size, err := snappySize(block)
	if err != nil {
		return err
	}
	if size > wholeBytes {
		r.large = newSnappyBlock(block, size, r.limit)
		return nil
	}
	r.whole = slices.Grow(r.whole[:0], size)
	r.plain, err = snappy.Decode(r.whole[:size], block)
	if err == nil && len(r.plain) != size {
		err = snappy.ErrCorrupt
	}
	return err
}

// snappySize returns the declared decompressed size of a block, checked against its bytes:
// three of them can copy at most 64.
func snappySize(block []byte) (int, error) {
	size, err := snappy.DecodedLen(block)
	if err == nil && size > 64*len(block) {
		err = snappy.ErrCorrupt
	}
	return size, err
}

// snappyBlock decodes one block element by element, and keeps the end of its output for copies
// to refer to.
type snappyBlock struct {
	src     []byte // elements not started
	left    int    // bytes still to decode
	literal int    // unread bytes of a literal at the front of src
	copies  int    // bytes of a copy still to make
	offset  int    // distance back to them
	kept    []byte // ring of the last decoded bytes
	done    int    // number of decoded bytes
}

// newSnappyBlock returns a reader of a block with a declared decompressed size.
func newSnappyBlock(block []byte, size, limit int) *snappyBlock {
	_, n := binary.Uvarint(block)
	return &snappyBlock{src: block[n:], left: size, kept: make([]byte, min(size, limit))}
}

// Read implements io.Reader.
func (b *snappyBlock) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if b.literal == 0 && b.copies == 0 {
			if len(b.src) == 0 {
				break
			}
			if err := b.element(); err != nil {
				return n, err
			}
		}
		for ; b.literal > 0 && n < len(p); n++ {
			p[n] = b.keep(b.src[0])
			b.src, b.literal = b.src[1:], b.literal-1
		}
		for ; b.copies > 0 && n < len(p); n++ {
			p[n] = b.keep(b.kept[(b.done-b.offset)%len(b.kept)])
			b.copies--
		}
	}
	if n > 0 || len(p) == 0 {
		return n, nil
	}
	if b.left != 0 {
		return 0, snappy.ErrCorrupt
	}
	return 0, io.EOF
}

// keep stores a decoded byte in the ring and returns it.
func (b *snappyBlock) keep(c byte) byte {
	b.kept[b.done%len(b.kept)] = c
	b.done++
	return c
}

// element starts the next literal or copy.
func (b *snappyBlock) element() error {
	tag := b.src[0]
	// Further bytes of the tag: a long literal's length, or a copy's offset.
	extra := [4]int{max(int(tag>>2)-59, 0), 1, 2, 4}[tag&3]
	if len(b.src) < 1+extra {
		return snappy.ErrCorrupt
	}
	var number int
	for i := extra; i > 0; i-- {
		number = number<<8 | int(b.src[i])
	}
	b.src = b.src[1+extra:]
	length := int(tag>>2) + 1
	switch tag & 3 {
	// A literal: its bytes follow. Lengths above 60 have their own bytes.
	case 0:
		if extra > 0 {
			length = number + 1
		}
		if length > len(b.src) || length > b.left {
			return snappy.ErrCorrupt
		}
		b.literal = length
	// A copy of 4 to 11 bytes from up to 2 KiB back; the offset's upper bits are in the tag.
	case 1:
		length = int(tag>>2&7) + 4
		number |= int(tag>>5) << 8
		fallthrough
	default:
		// An offset within the block but beyond what is kept: only a decoder of the whole
		// block could follow it.
		if number <= 0 || number > min(b.done, len(b.kept)) || length > b.left {
			return snappy.ErrCorrupt
		}
		b.copies, b.offset = length, number
	}
	b.left -= length
	return nil
}
