package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strconv"
	"time"

	"github.com/eventbus-go/eventbus/examples/flights/data"
)

// flight is one row of the source.
type flight struct {
	// row is the number of the row in the file, from 1.
	row     int
	carrier string
	number  int
	// tail is the aircraft's registration, empty if unknown.
	tail        string
	origin      string
	destination string
	// scheduled is the time of departure by the timetable, in UTC.
	scheduled time.Time
	departed  bool
	// delay is in whole minutes, negative for an early departure, nil if
	// unknown.
	delay *int
}

// source is a gzipped CSV file of flights in the form that package data's
// README describes.
type source struct {
	gzipped []byte
	// month is the month whose flights are read, 1 to 12; 0 reads all.
	month int
}

// openSource reads a file, or uses the excerpt that is compiled in.
func openSource(file string, month int) (*source, error) {
	s := &source{data.January, month}
	if file != "" {
		var err error
		if s.gzipped, err = os.ReadFile(file); err != nil {
			return nil, fmt.Errorf("the source: %w", err)
		}
	}
	return s, nil
}

// identity returns a text that differs for sources of different content or
// month.
func (s *source) identity() string {
	// Eight bytes of the digest are enough to notice a mistake; nobody attacks this.
	sum := sha256.Sum256(s.gzipped)
	return fmt.Sprintf("%s month %d", hex.EncodeToString(sum[:8]), s.month)
}

// survey reads the source once and returns its totals, to compare with those of
// the events.
func (s *source) survey() (*tally, error) {
	t := newTally()
	for f, err := range s.flights() {
		if err != nil {
			return nil, err
		}
		t.add(f.carrier, f.departed, f.delay)
	}
	if t.total() == 0 {
		return nil, fmt.Errorf("the source has no flights in month %d", s.month)
	}
	return t, nil
}

// columns lists the columns that a source must have. Their order does not
// matter, nor do others.
var columns = []string{"month", "dep_time", "dep_delay", "carrier", "flight", "tailnum", "origin", "dest", "minute", "time_hour"}

// flights yields the rows from the beginning. An error is the last element.
func (s *source) flights() iter.Seq2[flight, error] {
	return func(yield func(flight, error) bool) {
		// A reader of its own for each call, so that a source can be read several times.
		unzipped, err := gzip.NewReader(bytes.NewReader(s.gzipped))
		if err != nil {
			yield(flight{}, fmt.Errorf("the source is not a gzip file: %w", err))
			return
		}
		rows := csv.NewReader(unzipped)
		// parseFlight copies nothing but parsed values and strings, which are
		// new for each row.
		rows.ReuseRecord = true
		header, err := rows.Read()
		if err != nil {
			yield(flight{}, fmt.Errorf("the source has no header line: %w", err))
			return
		}
		// at is the place of each column, by name.
		at := make(map[string]int)
		for i, name := range header {
			at[name] = i
		}
		for _, name := range columns {
			if _, ok := at[name]; !ok {
				yield(flight{}, fmt.Errorf("the source has no column %q", name))
				return
			}
		}
		// Rows of other months are numbered too: a row keeps its number, and with it the
		// id of its event, whichever month is chosen.
		for row := 1; ; row++ {
			record, err := rows.Read()
			if errors.Is(err, io.EOF) {
				return
			}
			field := func(name string) string { return record[at[name]] }
			// record is nil after an error, so err is looked at first.
			if err == nil && s.month != 0 && field("month") != strconv.Itoa(s.month) {
				continue
			}
			var f flight
			if err == nil {
				f, err = parseFlight(row, field)
			}
			if err != nil {
				yield(flight{}, fmt.Errorf("row %d of the source: %w", row, err))
				return
			}
			if !yield(f, nil) {
				return
			}
		}
	}
}

// unknown is how the source marks a value that it does not have.
const unknown = "NA"

// parseFlight reads a row. Its error names every field that can't be read.
func parseFlight(row int, field func(string) string) (f flight, err error) {
	// A flight that has no time of departure was cancelled.
	f = flight{
		row: row, carrier: field("carrier"), origin: field("origin"), destination: field("dest"),
		departed: field("dep_time") != unknown,
	}
	if tail := field("tailnum"); tail != unknown {
		f.tail = tail
	}
	// number returns 0 for what is not a number, and notes it: one error names them all.
	var faults []error
	number := func(name string) int {
		n, err := strconv.Atoi(field(name))
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
		}
		return n
	}
	f.number = number("flight")
	if field("dep_delay") != unknown {
		// A departed flight may have no delay too, which is then unknown and not zero.
		f.delay = new(number("dep_delay"))
	}
	// The source has the hour in UTC and the minutes in a column of their own.
	hour, err := time.Parse(time.RFC3339, field("time_hour"))
	if err != nil {
		faults = append(faults, fmt.Errorf("time_hour: %w", err))
	}
	f.scheduled = hour.Add(time.Duration(number("minute")) * time.Minute)
	return f, errors.Join(faults...)
}
