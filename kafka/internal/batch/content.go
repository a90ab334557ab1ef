package batch

import (
	"errors"
	"io"
)

const (
	// wholeBytes is the most that is decompressed in one call, which is faster than in steps.
	wholeBytes = 1 << 20
	// chunkBytes is the size of the buffers of a batch that is decompressed in steps.
	chunkBytes = 256 << 10
)

// errRecordCut is the error of content that ends, or seems to, within a record.
var errRecordCut = errors.New("a record ends in the middle")

// content is the records of one batch, decompressed as they are read. It is used by one
// goroutine. The zero value is empty.
type content struct {
	data   []byte  // unread bytes in memory
	buffer *Buffer // holds data; nil if data is in the fetch response
	stream *stream // continues data; nil if data is all
	next   int     // the size of the next buffer
}

// openContent returns the content of a batch, src, with the given number of records, compressed
// by codec. window bounds the bytes of earlier content that decompression may keep.
func openContent(codec int16, src []byte, records, window int) (content, error) {
	if codec == 0 {
		return content{data: src}, nil
	}
	most := wholeBytes
	if codec == 2 && records == 1 {
		// A bare block of snappy may refer back to its beginning. A single record of that size
		// is going to be in memory anyway.
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

// need makes at least n bytes available in data, or all that are left if there are fewer. Earlier
// data stays where it is, as records refer to it.
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

// grow moves the unread data into a buffer with room for n bytes.
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

// skip skips n bytes without keeping them.
func (c *content) skip(n int) error {
	if n <= len(c.data) {
		c.data = c.data[n:]
		return nil
	}
	n -= len(c.data)
	c.release()
	// Skipped bytes still have to be decompressed, a few at a time.
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

// release releases the data in memory.
func (c *content) release() {
	if c.buffer != nil {
		c.buffer.Release()
	}
	c.buffer, c.data = nil, nil
}

// close releases everything. It may be called more than once.
func (c *content) close() {
	c.release()
	if c.stream != nil {
		c.stream.close()
	}
	*c = content{}
}
