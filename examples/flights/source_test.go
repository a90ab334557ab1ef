package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func zip(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSourceFaults(t *testing.T) {
	header := strings.Join(columns, ",") + "\n"
	for name, c := range map[string]struct {
		content []byte
		fault   string
	}{
		"NoGzip":    {[]byte("year,month\n"), "not a gzip file"},
		"Empty":     {zip(t, ""), "no header line"},
		"Column":    {zip(t, "month,carrier\n"), `no column "dep_time"`},
		"NoFlights": {zip(t, header), "no flights"},
		"Month":     {zip(t, header+"2,517,2,UA,1,N1,EWR,IAH,15,2013-01-01T10:00:00Z\n"), "no flights in month 1"},
		"Fields":    {zip(t, header+"1,517\n"), "row 1 of the source"},
		"Delay":     {zip(t, header+"1,517,late,UA,1,N1,EWR,IAH,15,2013-01-01T10:00:00Z\n"), "row 1 of the source: dep_delay"},
		"Time":      {zip(t, header+"1,517,2,UA,1,N1,EWR,IAH,15,ten\n"), "row 1 of the source: time_hour"},
		"Torn":      {zip(t, header+strings.Repeat("1,517,2,UA,1,N1,EWR,IAH,15,2013-01-01T10:00:00Z\n", 100))[:60], "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "x.csv.gz")
			if err := os.WriteFile(file, c.content, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := openSource(file, 1)
			if err == nil {
				_, err = s.survey()
			}
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("error %v", err)
			}
		})
	}
	if _, err := openSource(filepath.Join(t.TempDir(), "none"), 1); err == nil {
		t.Error("a file that is not there is no error")
	}
}

// The excerpt is what its README says.
func TestJanuary(t *testing.T) {
	s, err := openSource("", 1)
	if err != nil {
		t.Fatal(err)
	}
	says, err := s.survey()
	if err != nil {
		t.Fatal(err)
	}
	want := carrierTotals{Flights: 4637, Departed: 4605, DelaySum: 38342, DelayMax: 385, delays: 4605}
	if says.total() != 27004 || says.cancelled != 521 || says.of("UA") != want {
		t.Errorf("%d flights, %d cancelled, UA %+v", says.total(), says.cancelled, says.of("UA"))
	}
	for f, err := range s.flights() {
		if err != nil {
			t.Fatal(err)
		}
		if f.carrier != "UA" || f.number != 1545 || f.tail != "N14228" || f.scheduled.Format("15:04") != "10:15" || *f.delay != 2 {
			t.Errorf("the first flight is %+v", f)
		}
		break
	}
}
