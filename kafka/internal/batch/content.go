package batch

import (
	"errors"
	"io"
)

const (
	// wholeBytes is the most that one call decompresses, which is faster than bit by bit.
	wholeBytes = 1 << 20
	// chunkBytes is the size of the buffers of a batch that is decompressed bit by bit.
	chunkBytes = 256 << 10
)

// errRecordCut is returned for content that ends, or seems to, within a record.
var errRecordCut = errors.New("a record ends in the middle")

// content is the records of one batch, decompressed as they are read. It belongs to
// one goroutine. The zero value is empty.
type content struct {
	data   []byte  // bytes in memory that were not read yet
	buffer *Buffer // that data lies in; nil if it lies in the fetch response
	stream *stream // what follows data; nil if data is all
	next   int     // the size of the next buffer
}

// openContent returns the content of a batch of so many records, src, that are
// compressed by that codec. window bounds the bytes of earlier content that decompression
// may keep.
func openContent(codec int16, src []byte, records, window int) (content, error) {
	if codec == 0 {
		return content{data: src}, nil
	}
	most := wholeBytes
	if codec == 2 && records == 1 {
		// A bare block of snappy may refer back to its begin. One record of that size
		// is to be in memory anyway.
		most = maxRecordBytes
	}
	buffer, err := decompressWhole(codec, src, most)
	if err == nil && buffer != nil {
		return content{data: buffer.Bytes, buffer: buffer}, nil
	}
	c := content{next: min(4*len(src), chunkBytes)}
	if err == nil {
		c.stream, err = openStream(codec, src, window)
	}
	return c, err
}

// need has n bytes in memory, or all that are left if they are fewer. Earlier data stays
// where it is, as records refer to it.
func (c *content) need(n int) error {
	for len(c.data) < n && c.stream != nil {
		if cap(c.data)-len(c.data) < n-len(c.data) {
			c.grow(n)
		}
		free := c.data[len(c.data):cap(c.data)]
		read, err := c.read(free)
		c.data = c.data[:len(c.data)+read]
		if err != nil {
			return err
		}
	}
	return nil
}

// read reads from the stream, which is nil once it has ended.
func (c *content) read(p []byte) (int, error) {
	n, err := c.stream.Read(p)
	if errors.Is(err, io.EOF) {
		c.stream.close()
		c.stream, err = nil, nil
	}
	return n, err
}

// grow moves the data in memory into a buffer with room for n bytes.
func (c *content) grow(n int) {
	size := max(c.next, 1<<minBufferBits)
	c.next = min(2*size, chunkBytes)
	var b *Buffer
	if n > size {
		b = exactBuffer(n)
	} else {
		b = NewBuffer(size)
	}
	b.Bytes = b.Bytes[:cap(b.Bytes)]
	rest := copy(b.Bytes, c.data)
	if c.buffer != nil {
		c.buffer.Release()
	}
	c.buffer, c.data = b, b.Bytes[:rest]
}

// skip passes n bytes over without keeping them.
func (c *content) skip(n int) error {
	if n <= len(c.data) {
		c.data = c.data[n:]
		return nil
	}
	n -= len(c.data)
	c.release()
	// What is passed over is decompressed all the same, a little at a time.
	scratch := NewBuffer(1 << minBufferBits)
	defer scratch.Release()
	for n > 0 {
		if c.stream == nil {
			return errRecordCut
		}
		read, err := c.read(scratch.Bytes[:min(n, len(scratch.Bytes))])
		n -= read
		if err != nil {
			return err
		}
	}
	return nil
}

// release gives up the data in memory.
func (c *content) release() {
	if c.buffer != nil {
		c.buffer.Release()
	}
	c.buffer, c.data = nil, nil
}

// close gives everything up.
// It may be called again, and then does nothing.
func (c *content) close() {
	c.release()
	if c.stream != nil {
		c.stream.close()
	}
	*c = content{}
}
