//go:build integration

package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// run runs another program with a standard input, and returns its standard output. It fails
// the test if the program fails.
func run(t *testing.T, input, name string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(deadline(t), name, args...)
	command.Stdin = strings.NewReader(input)
	// Java's clients have the newest version, independent of the brokers' version.
	command.Env = append(os.Environ(), "KAFKA_VERSION=4.4.0")
	var output, errors bytes.Buffer
	command.Stdout, command.Stderr = &output, &errors
	if err := command.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, errors.String())
	}
	return output.String()
}

// needKcat skips or fails the test, as unavailable does, if kcat is not installed.
func needKcat(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("kcat"); err != nil {
		unavailable(t, "kcat is not installed: %v", err)
	}
}

// kcatWrite writes a record, to the partition that Java's partitioner would choose.
func kcatWrite(t *testing.T, c *cluster, r record) {
	t.Helper()
	args := []string{"-P", "-b", c.brokers, "-t", c.topic, "-X", "topic.partitioner=murmur2_random"}
	if r.key != "" {
		args = append(args, "-k", r.key)
	}
	for _, h := range r.headers {
		args = append(args, "-H", h[0]+"="+h[1])
	}
	run(t, r.value, "kcat", args...)
}

// kcatRead returns all records of the topic.
func kcatRead(t *testing.T, c *cluster) []record {
	t.Helper()
	output := run(t, "", "kcat", "-C", "-b", c.brokers, "-t", c.topic, "-o", "beginning", "-e", "-q", "-J")
	var records []record
	for line := range strings.Lines(output) {
		var read struct {
			Partition int32
			Offset    int64
			Headers   []string
			Key       string
			Payload   string
		}
		if err := json.Unmarshal([]byte(line), &read); err != nil {
			t.Fatalf("kcat printed %q: %v", line, err)
		}
		r := record{key: read.Key, value: read.Payload, partition: read.Partition, offset: read.Offset}
		for i := 0; i+1 < len(read.Headers); i += 2 {
			r.headers = append(r.headers, [2]string{read.Headers[i], read.Headers[i+1]})
		}
		records = append(records, r)
	}
	return records
}

// record is a Kafka record as other programs write and read it. A header is a name and a
// value. The partition and the offset are those of a record that was read.
type record struct {
	key, value string
	headers    [][2]string
	partition  int32
	offset     int64
}

// needPython skips or fails the test if Python or a module of its client is not available.
func needPython(t *testing.T) {
	t.Helper()
	if output, err := exec.CommandContext(deadline(t), "../scripts/python.sh").CombinedOutput(); err != nil {
		unavailable(t, "Python with its modules is not available: %v\n%s", err, output)
	}
}

// pythonEvent is an event as testdata/cloudevents_kafka.py writes and reads it.
type pythonEvent struct {
	Attributes map[string]string `json:"attributes"`
	Data       CustomerCreated   `json:"data"`
	// Mode and Key are set in events that were read.
	Mode string `json:"mode,omitempty"`
	Key  string `json:"key,omitempty"`
}

// pythonWrite writes an event in a content mode of the CloudEvents binding.
func pythonWrite(t *testing.T, c *cluster, mode string, event pythonEvent) {
	t.Helper()
	line, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	run(t, string(line)+"\n", "../scripts/python.sh", "testdata/cloudevents_kafka.py", "write", c.brokers, c.topic, mode)
}

// pythonRead returns the first count events that a consumer of the topic receives.
func pythonRead(t *testing.T, c *cluster, count int) []pythonEvent {
	t.Helper()
	output := run(t, "", "../scripts/python.sh", "testdata/cloudevents_kafka.py", "read", c.brokers, c.topic, strconv.Itoa(count))
	var events []pythonEvent
	for line := range strings.Lines(output) {
		var event pythonEvent
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatalf("Python printed %q: %v", line, err)
		}
		events = append(events, event)
	}
	return events
}

// needJava skips or fails the test if Kafka's Java client is not available.
func needJava(t *testing.T) {
	t.Helper()
	if output, err := exec.CommandContext(deadline(t), "../scripts/kafka.sh", "fetch").CombinedOutput(); err != nil {
		unavailable(t, "Kafka's Java client is not available: %v\n%s", err, output)
	}
}

// javaWrite writes a record for each line. A line has headers, a key and a value, separated
// by tabs.
func javaWrite(t *testing.T, c *cluster, lines string) {
	t.Helper()
	run(t, lines, "../scripts/kafka.sh", "tool", "org.apache.kafka.tools.ConsoleProducer",
		"--bootstrap-server", c.brokers, "--topic", c.topic, "--reader-property", "parse.headers=true", "--reader-property", "parse.key=true")
}

// javaRead returns the first count records that a consumer of the topic receives.
func javaRead(t *testing.T, c *cluster, count int) []record {
	t.Helper()
	output := run(t, "", "../scripts/kafka.sh", "tool", "org.apache.kafka.tools.consumer.ConsoleConsumer",
		"--bootstrap-server", c.brokers, "--topic", c.topic, "--from-beginning", "--max-messages", strconv.Itoa(count),
		"--formatter-property", "print.partition=true", "--formatter-property", "print.offset=true",
		"--formatter-property", "print.headers=true", "--formatter-property", "print.key=true")
	var records []record
	for line := range strings.Lines(output) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 5)
		if len(fields) != 5 {
			t.Fatalf("Java printed %q, want partition, offset, headers, key and value", line)
		}
		r := record{key: fields[3], value: fields[4]}
		if _, err := fmt.Sscanf(fields[0]+" "+fields[1], "Partition:%d Offset:%d", &r.partition, &r.offset); err != nil {
			t.Fatalf("Java printed %q: %v", line, err)
		}
		for header := range strings.SplitSeq(fields[2], ",") {
			name, value, _ := strings.Cut(header, ":")
			r.headers = append(r.headers, [2]string{name, value})
		}
		records = append(records, r)
	}
	return records
}
