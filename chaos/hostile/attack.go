package main

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// maxMessage is max.message.bytes of the attacked topics.
const maxMessage = 12 << 20

// attack is either bytes that are written to a topic, or a server in place of a broker.
type attack struct {
	// name is printed, and the topic's name is made from it.
	name string
	// victim says what meets the attack: "bus", "reader" or "client".
	victim string
	// batch returns the record batch to write to the topic, empty for none. It is nil if
	// answer is set.
	batch func() []byte
	// answer serves one connection in place of a broker.
	answer func(net.Conn)
	// record bounds the decompressed size of the largest record that the victim may keep, in
	// bytes. The victim is allowed memory for it. 0 allows only what is fetched ahead.
	record int
	// want is the outcome of a victim that takes no harm.
	want string
}

// topic returns the full name of the attack's own topic.
func (a *attack) topic() string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(a.name))
	return "hostile.attack.public." + name + ".v1"
}

// Outcomes, as the table prints them.
const (
	goneOn   = "the next event was handled"
	oneMore  = "1 dead letter, then the next event"
	passed   = "stopped, shown, passed over, next event"
	ended    = "every record was read"
	anError  = "an error within its context"
	noDirect = "an error that names the offsets"
)

// attacks returns all attacks. The first does nothing: the peaks of the others are compared
// with its peak.
func attacks() []attack {
	const millions = 1_000_000
	bomb := func(codec string, n int) func() []byte {
		return func() []byte { return batchOf(codec, 1, headers(n)) }
	}
	return []attack{
		{name: "none", victim: "bus", batch: func() []byte { return nil }, want: goneOn},
		{name: "66 million headers", victim: "bus", batch: bomb("zstd", 66*millions), record: 132 * millions, want: oneMore},
		{name: "66 million headers, a reader", victim: "reader", batch: bomb("zstd", 66*millions), record: 132 * millions, want: ended},
		{name: "1 million headers, uncompressed", victim: "bus", batch: bomb("", millions), record: 2 * millions, want: oneMore},
		{name: "3 million tiny records", victim: "bus", batch: func() []byte { return batchOf("zstd", 3*millions, tiny(3*millions)) }, want: goneOn},
		{name: "1 million tiny records, uncompressed", victim: "bus", batch: func() []byte { return batchOf("", millions, tiny(millions)) }, want: goneOn},
		{name: "a value of 100 MB", victim: "bus", batch: func() []byte { return batchOf("zstd", 1, value(make([]byte, 100*millions))) }, record: 100 * millions, want: oneMore},
		// No record may be that large: the consumer must give up before it allocates the memory.
		{name: "a value of 500 MB", victim: "bus", batch: func() []byte { return batchOf("zstd", 1, value(make([]byte, 500*millions))) }, want: oneMore},
		{name: "a window of 128 MiB, declared", victim: "bus", batch: func() []byte { return batchOf("zstd128", 3*millions, tiny(3*millions)) }, want: goneOn},
		{name: "a reference back by 39 MiB", victim: "bus", batch: far, record: 40 << 20, want: passed},
		{name: "a reference back by 39 MiB, a reader", victim: "reader", batch: far, record: 40 << 20, want: noDirect},
		{name: "an event of 6 MB that fails", victim: "bus", batch: func() []byte { return batchOf("", 1, noise(6*millions)) }, record: 6 * millions, want: oneMore},
		// A wrong address is a common mistake. The first four bytes of an answer are taken for
		// its size.
		{name: "a web server", victim: "client", answer: web, want: anError},
		{name: "a frame of 2 GiB", victim: "client", answer: frame, want: anError},
		{name: "an array of 2 billion", victim: "client", answer: array, want: anError},
	}
}

// batchOf returns a record batch (KIP-98, version 2) that says it has n records, from offset
// 0. An empty codec leaves content as it is, any other compresses it by zstd, and zstd128
// declares a window of 128 MiB. Brokers accept these batches, so that consumers can meet them.
func batchOf(codec string, n int, content []byte) []byte {
	attributes := uint16(0)
	if codec != "" {
		// The three lowest bits are the codec; 4 is zstd.
		attributes = 4
		window := 4 << 20
		if codec == "zstd128" {
			window = 128 << 20
		}
		content = compress(content, window)
	}
	// The header has 61 bytes. Fields that are not set stay zero.
	b := make([]byte, 61, 61+len(content))
	b = append(b, content...)
	// The length is that of what follows it; the first 12 bytes end with it.
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	// The version of the format, called magic.
	b[16] = 2
	binary.BigEndian.PutUint16(b[21:], attributes)
	binary.BigEndian.PutUint32(b[23:], uint32(n-1))
	// The producer's id, epoch and sequence are −1, which means none.
	for at := 43; at < 57; at++ {
		b[at] = 0xff
	}
	binary.BigEndian.PutUint32(b[57:], uint32(n))
	// The checksum is set last, since it covers everything that follows it.
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// compress returns content as a zstd frame that, like a stream's, does not declare the size
// of its content. With one goroutine the result does not depend on the machine. It panics if
// it can't compress.
func compress(content []byte, window int) []byte {
	var b strings.Builder
	w, err := zstd.NewWriter(&b, zstd.WithWindowSize(window), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err) // writing to a strings.Builder never fails
	}
	return []byte(b.String())
}

// record returns a record, preceded by its length. A nil key or value is null. The record
// has headers as they are, and says that there are count of them.
func record(delta int, key, value, headers []byte, count int) []byte {
	b := make([]byte, 0, len(value)+len(headers)+64)
	// The attributes, and a timestamp that equals the batch's.
	b = append(b, 0, 0)
	b = binary.AppendVarint(b, int64(delta))
	for _, v := range [][]byte{key, value} {
		if v == nil {
			// This is −1 as a zigzag varint.
			b = append(b, 1)
			continue
		}
		b = append(binary.AppendVarint(b, int64(len(v))), v...)
	}
	b = append(binary.AppendVarint(b, int64(count)), headers...)
	return append(binary.AppendVarint(make([]byte, 0, len(b)+8), int64(len(b))), b...)
}

// headers returns a record with n empty headers of two bytes each.
func headers(n int) []byte { return record(0, []byte("key"), []byte("value"), make([]byte, 2*n), n) }

// value returns a record with a value and no headers.
func value(v []byte) []byte { return record(0, []byte("key"), v, nil, 0) }

// noise returns a record with a value of n bytes that can't be compressed, the same on every
// run. The value is not an event, so that handling it fails and its dead letter is as large.
func noise(n int) []byte {
	v := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(v)
	return value(v)
}

// tiny returns n records without key, value and headers. Each has at most ten bytes, while a
// consumer needs far more for a decoded record.
func tiny(n int) []byte {
	var b []byte
	for i := range n {
		b = append(b, record(i, nil, nil, nil, 0)...)
	}
	return b
}

// far returns a batch of two records. The content of the first refers back by 39 MiB, further
// than a consumer with the default FetchBytes keeps content.
func far() []byte {
	part := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(part)
	// The value has the same mebibyte twice, with 38 MiB of zeros between them, so the second
	// is compressed to a reference to the first.
	v := append(append(append([]byte{}, part...), make([]byte, 38<<20)...), part...)
	return batchOf("zstd128", 2, append(value(v), record(1, nil, nil, nil, 0)...))
}

// sentinel returns a batch with an event for the victim's handler. If that handles it, the
// attack before it has not stopped the partition.
func sentinel() []byte {
	var h []byte
	all := [][2]string{{"ce_specversion", "1.0"}, {"ce_id", "1"}, {"ce_source", "urn:hostile"}, {"ce_type", "Next"}, {"content-type", "application/json"}}
	for _, kv := range all {
		for _, s := range kv {
			h = append(binary.AppendVarint(h, int64(len(s))), s...)
		}
	}
	return batchOf("", 1, record(0, []byte("next"), []byte(`"next"`), h, len(all)))
}

// web writes a web page without end, until the client closes the connection.
func web(c net.Conn) {
	_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n"))
	page := []byte(strings.Repeat("<p>Bad Request</p>\r\n", 4096))
	for {
		if _, err := c.Write(page); err != nil {
			return
		}
	}
}

// frame announces an answer of 2 GiB. The correlation id is that of the client's first
// request, so that only the size is suspicious.
func frame(c net.Conn) {
	_, _ = c.Write([]byte{0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1})
	web(c)
}

// array answers with an array that has no elements, and a count of 2³¹−1. The frame itself is
// small and complete.
func array(c net.Conn) {
	// The client's first request is ApiVersions in version 3. Its answer has the correlation id,
	// an error code, and a compact array, whose length is a varint of the count plus one.
	_, _ = c.Write([]byte{0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x08, 0})
	web(c)
}
