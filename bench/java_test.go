package main

import (
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus/bench/internal/event"
	"github.com/eventbus-go/eventbus/bench/internal/peer"
)

// TestToolRates reads output of the tools of Apache Kafka 4.4.
func TestToolRates(t *testing.T) {
	published := "200001 records sent, 39952.3 records/sec (16.76 MB/sec), 801.4 ms avg latency, 1243.0 ms max latency.\n" +
		"500000 records sent, 81234.567 records/sec (34.09 MB/sec), 640.11 ms avg latency, 1403.00 ms max latency, 612 ms 50th, 1130 ms 95th, 1320 ms 99th, 1399 ms 99.9th.\n"
	if rate, err := producerRate(published); err != nil || rate != 81234.567 {
		t.Errorf("publishing: %v, %v", rate, err)
	}
	consumed := "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec\n" +
		"2026-11-27 18:00:00:100, 2026-11-27 18:00:05:200, 209.8083, 41.1389, 500000, 98039.2157, 3500, 1600, 131.1302, 312500.0000\n"
	if rate, err := consumerRate(consumed); err != nil || rate != 312500 {
		t.Errorf("consuming: %v, %v", rate, err)
	}
	for _, none := range []string{"", "0 records sent\n"} {
		if _, err := producerRate(none); err == nil {
			t.Errorf("publishing: %q has a rate", none)
		}
		if _, err := consumerRate(none); err == nil {
			t.Errorf("consuming: %q has a rate", none)
		}
	}
}

// TestToolIsNamedAsOther checks that neither the tables nor the chart show the tools as if
// they did the same work.
func TestToolIsNamedAsOther(t *testing.T) {
	log := new(measurementLog)
	log.measurements = append(log.measurements, measurement{Peer: peer.Java, Workload: "async", Round: 1, Rate: 1000, CPU: 2})
	all, err := choose("async", false, false)
	if err != nil {
		t.Fatal(err)
	}
	rows := log.rows(all)
	var table, chart strings.Builder
	writeTables(&table, log, all, rows)
	if err := writeChart(&chart, log, rows); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(table.String(), toolLegend) || !strings.Contains(chart.String(), `class="tool"`) || !strings.Contains(chart.String(), "no JSON") {
		t.Errorf("the tools look like the others:\n%s\n%s", table.String(), chart.String())
	}
}

// TestToolRecords checks that the tools' records are as large as the others'.
func TestToolRecords(t *testing.T) {
	w := workload{name: "async", kind: asyncPublish, events: 10}.sized(false)
	arguments, _, err := toolArguments(task{}, w)
	if err != nil {
		t.Fatal(err)
	}
	size, err := peer.RecordBytes(event.NewSource(w.keys).At(0))
	if err != nil || size < 300 || size > 700 {
		t.Errorf("a record has %d bytes: %v", size, err)
	}
	if !strings.Contains(strings.Join(arguments, " "), "--topic "+task{}.Settings.Topic()) {
		t.Errorf("%v", arguments)
	}
}
