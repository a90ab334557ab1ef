package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/transport"
)

// ledger is a file that is only appended to, with a line for each event: its
// row, topic, partition and offset, and whatever its owner needs later,
// separated by tabs. A line counts once it ends with a newline.
type ledger struct {
	file *os.File
	// buffer is nil if every line is written at once.
	buffer *bufio.Writer
	// line is reused for every entry.
	line []byte
	// broken is the first error of a write. A line after a torn one could not
	// be read back, so nothing is written any more.
	broken error
}

// entry is one line of a ledger.
type entry struct {
	row int
	at  eventbus.Position
	// more holds the fields after the offset.
	more []string
}

// openLedger calls known with every entry of the file, and returns a ledger
// that appends to it. It cuts off the part of a last line that a crash left.
func openLedger(name string, buffered bool, known func(entry) error) (*ledger, error) {
	// Not O_APPEND: writing begins where the last complete line ends.
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the ledger: %w", err)
	}
	whole, err := readLedger(file, known)
	if err == nil {
		// The torn line has to go: the next line would be taken for its end.
		err = file.Truncate(whole)
	}
	if err == nil {
		_, err = file.Seek(whole, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the ledger %s: %w", name, err), file.Close())
	}
	l := &ledger{file: file}
	if buffered {
		l.buffer = bufio.NewWriterSize(file, 64<<10)
	}
	return l, nil
}

// readLedger calls known with every entry, and returns how many bytes are
// complete lines.
func readLedger(r io.Reader, known func(entry) error) (whole int64, err error) {
	lines := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			// A line without its end was being written when the process died.
			return whole, nil
		}
		if err != nil {
			return whole, err
		}
		e, err := parseEntry(string(bytes.TrimSuffix(line, []byte("\n"))))
		if err == nil {
			err = known(e)
		}
		if err != nil {
			// A complete line that can't be read was not left by a crash. It is not cut off.
			return whole, fmt.Errorf("line %d: %w", n, err)
		}
		whole += int64(len(line))
	}
}

// parseEntry reads a line without its newline.
func parseEntry(line string) (e entry, err error) {
	fields := strings.Split(line, "\t")
	if len(fields) < 4 {
		return e, fmt.Errorf("it has %d fields, row, topic, partition and offset are missing some", len(fields))
	}
	// Malformed records have negative rows; see airport.done.
	row, err1 := strconv.Atoi(fields[0])
	partition, err2 := strconv.ParseInt(fields[2], 10, 32)
	offset, err3 := strconv.ParseInt(fields[3], 10, 64)
	e = entry{row: row, more: fields[4:]}
	e.at.Partition = transport.Partition{Topic: fields[1], Partition: int32(partition)}
	e.at.Offset = offset
	return e, errors.Join(err1, err2, err3)
}

// write appends an entry. Without a buffer the line has been passed to the
// operating system when write returns, so it outlives the process. A nil ledger
// ignores it.
func (l *ledger) write(e entry) error {
	if l == nil {
		return nil
	}
	if l.broken != nil {
		return l.broken
	}
	b := strconv.AppendInt(l.line[:0], int64(e.row), 10)
	b = append(append(b, '\t'), e.at.Topic...)
	b = strconv.AppendInt(append(b, '\t'), int64(e.at.Partition.Partition), 10)
	b = strconv.AppendInt(append(b, '\t'), e.at.Offset, 10)
	for _, m := range e.more {
		b = append(append(b, '\t'), m...)
	}
	// One write for the whole line, so that a crash tears the last one at most.
	l.line = append(b, '\n')
	var to io.Writer = l.file
	if l.buffer != nil {
		to = l.buffer
	}
	if _, err := to.Write(l.line); err != nil {
		l.broken = fmt.Errorf("writing the ledger: %w", err)
	}
	return l.broken
}

// flush writes the buffered lines to the file.
func (l *ledger) flush() error {
	if l == nil || l.buffer == nil {
		return nil
	}
	// A bufio.Writer keeps its first error, so a failed flush fails every later one.
	return l.buffer.Flush()
}

// close writes everything down and syncs the file, so that the ledger outlives
// a power failure too.
func (l *ledger) close() error {
	if l == nil {
		return nil
	}
	// Sync and Close follow also where flush fails: earlier lines count.
	return errors.Join(l.flush(), l.file.Sync(), l.file.Close())
}
