package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"time"
)

// deed says what an entry of the ledger is about.
type deed uint8

const (
	offered     deed = iota + 1 // Publish was called
	acked                       // and returned nil
	refused                     // and failed: not written
	unknown                     // and failed: may be written
	started                     // a handler began
	handled                     // and returned nil
	failed                      // and returned an error
	committed                   // the group has acknowledged a partition's watermark
	beyond                      // and with it a stretch behind that: key is its length
	sampled                     // a process reports its size, see sample
	redelivered                 // a dead letter came back: partition and offset are those of its origin
	intruded                    // an intruder wrote a record: key is its kind, seq its fate
)

// entry is one line of the ledger. Which fields count depends on the deed.
// Fields that do not count are 0.
type entry struct {
	deed    deed
	attempt uint8
	// owner is the incarnation of the bus that handled.
	owner uint16
	// partition and offset are the record's position.
	partition int32
	// key and seq identify an event, whatever its place.
	key    uint32
	seq    uint32
	offset int64
	// epoch is that of the assignment.
	epoch uint64
	// at is in nanoseconds of the host's clock, which all processes share.
	at int64
}

// entrySize is the size of an entry in the file, in bytes.
const entrySize = 40

// ledger is the one log of a scenario that all processes of the host append to.
// Each entry is one write to a file opened for appending: the kernel puts them in
// one order, and a process that is killed loses none that it wrote.
type ledger struct{ file *os.File }

// openLedger opens a ledger for appending.
func openLedger(name string) (*ledger, error) {
	// The first process to open it creates it; none truncates it.
	file, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &ledger{file}, nil
}

// add appends an entry with the present time. It ends the process if that
// fails, since the verdict on an incomplete ledger is worthless.
func (l *ledger) add(e entry) {
	// Take the time before the write. Entries of two processes may then be out of order by
	// time: the file's order counts.
	e.at = time.Now().UnixNano()
	var b [entrySize]byte
	e.encode(&b)
	if _, err := l.file.Write(b[:]); err != nil {
		panic(err)
	}
}

// close closes the file.
func (l *ledger) close() error { return l.file.Close() }

// encode writes the entry in little-endian order, without gaps.
func (e *entry) encode(b *[entrySize]byte) {
	b[0], b[1] = byte(e.deed), e.attempt
	binary.LittleEndian.PutUint16(b[2:], e.owner)
	binary.LittleEndian.PutUint32(b[4:], uint32(e.partition)) //nolint:gosec // comes back by the same way
	binary.LittleEndian.PutUint32(b[8:], e.key)
	binary.LittleEndian.PutUint32(b[12:], e.seq)
	binary.LittleEndian.PutUint64(b[16:], uint64(e.offset)) //nolint:gosec // the same
	binary.LittleEndian.PutUint64(b[24:], e.epoch)
	binary.LittleEndian.PutUint64(b[32:], uint64(e.at)) //nolint:gosec // the same
}

// decode reads what encode wrote.
func (e *entry) decode(b []byte) {
	*e = entry{
		deed: deed(b[0]), attempt: b[1],
		owner:     binary.LittleEndian.Uint16(b[2:]),
		partition: int32(binary.LittleEndian.Uint32(b[4:])), //nolint:gosec // went the same way
		key:       binary.LittleEndian.Uint32(b[8:]),
		seq:       binary.LittleEndian.Uint32(b[12:]),
		offset:    int64(binary.LittleEndian.Uint64(b[16:])), //nolint:gosec // the same
		epoch:     binary.LittleEndian.Uint64(b[24:]),
		at:        int64(binary.LittleEndian.Uint64(b[32:])), //nolint:gosec // the same
	}
}

// readLedger returns all entries in the order in which they were written.
func readLedger(name string) ([]entry, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	// The size gives the number of entries.
	entries := make([]entry, 0, info.Size()/entrySize)
	// Entries that processes append meanwhile are read too.
	in := bufio.NewReaderSize(file, 1<<20)
	var b [entrySize]byte
	for {
		switch _, err := io.ReadFull(in, b[:]); {
		case errors.Is(err, io.EOF):
			return entries, nil
		case err != nil:
			return nil, err
		}
		var e entry
		e.decode(b[:])
		entries = append(entries, e)
	}
}
