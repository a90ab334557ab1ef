package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"github.com/klauspost/compress/snappy"
)

// xerialMagic starts the framing of the Java library snappy-java: 16 bytes of header,
// then blocks that each have their size before them.
var xerialMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

// snappyReader decompresses snappy bit by bit: one bare block, or snappy-java's frames.
// Blocks of up to wholeBytes are decoded at once; a larger one by its elements, for
// which no library has a reader (https://github.com/google/snappy/blob/main/format_description.txt).
// It takes no memory for a size before the bytes that are there can have it (snappySize).
type snappyReader struct {
	rest   []byte // the blocks that follow
	framed bool   // blocks have their size before them
	limit  int    // bytes of a large block to keep
	plain  []byte // what was decoded and not yet read
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

// Read is io.Reader's.
func (r *snappyReader) Read(p []byte) (int, error) {
	for len(r.plain) == 0 {
		if r.large != nil {
			n, err := r.large.Read(p)
			if !errors.Is(err, io.EOF) {
				return n, err
			}
			r.large = nil
		}
		// Blocks follow each other until the data ends.
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

// nextBlock begins the next block: it decodes a small one, and opens a large one.
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

// snappySize is the size that a block says it decodes to, checked against what
// its bytes can be: three bytes copy at most 64.
func snappySize(block []byte) (int, error) {
	size, err := snappy.DecodedLen(block)
	if err == nil && size > 64*len(block) {
		err = snappy.ErrCorrupt
	}
	return size, err
}

// snappyBlock decodes one block by its elements and keeps the end of what it decoded,
// for copies to refer to.
type snappyBlock struct {
	src     []byte // elements that were not begun
	left    int    // bytes that the block still decodes to
	literal int    // bytes of a literal at the front of src that were not read
	copies  int    // bytes of a copy that were not made
	offset  int    // how far back they lie
	kept    []byte // a ring of the last bytes decoded
	done    int    // bytes decoded
}

// newSnappyBlock returns a reader of a block that says it decodes to size bytes.
func newSnappyBlock(block []byte, size, limit int) *snappyBlock {
	_, n := binary.Uvarint(block)
	return &snappyBlock{src: block[n:], left: size, kept: make([]byte, min(size, limit))}
}

// Read is io.Reader's.
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

// keep notes a decoded byte and returns it.
func (b *snappyBlock) keep(c byte) byte {
	b.kept[b.done%len(b.kept)] = c
	b.done++
	return c
}

// element begins the next literal or copy.
func (b *snappyBlock) element() error {
	tag := b.src[0]
	// More bytes of the tag: of a long literal's length, or of a copy's offset.
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
	// A literal: its bytes follow. Lengths above 60 have bytes of their own.
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
		// An offset within the block and behind what is kept is one that only a
		// decoder of the whole block could follow.
		if number <= 0 || number > min(b.done, len(b.kept)) || length > b.left {
			return snappy.ErrCorrupt
		}
		b.copies, b.offset = length, number
	}
	b.left -= length
	return nil
}
