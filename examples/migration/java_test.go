package migration_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus/examples/migration/shop"
)

// tool runs one of Kafka's own programs with input and returns what it printed.
func tool(t *testing.T, input string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(deadline(t), "../../scripts/kafka.sh", append([]string{"tool"}, args...)...)
	command.Stdin = strings.NewReader(input)
	// Java's clients are of the newest version, whatever version the broker has.
	command.Env = append(os.Environ(), "KAFKA_VERSION=4.4.0")
	var output, complaint bytes.Buffer
	command.Stdout, command.Stderr = &output, &complaint
	if err := command.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, complaint.String())
	}
	return output.String()
}

func javaPublish(t *testing.T, s *scene, orders []shop.Order) {
	t.Helper()
	var lines strings.Builder
	for _, o := range orders {
		value, err := json.Marshal(o)
		check0(t, err)
		lines.WriteString(o.ID + "\t" + string(value) + "\n")
	}
	tool(t, lines.String(), "org.apache.kafka.tools.ConsoleProducer",
		"--bootstrap-server", s.Brokers()[0], "--topic", s.topic, "--reader-property", "parse.key=true")
}

// javaConsume has the console consumer take n records and end, which commits them.
func javaConsume(t *testing.T, s *scene, n int, handled func(shop.Order)) {
	t.Helper()
	output := tool(t, "", "org.apache.kafka.tools.consumer.ConsoleConsumer",
		"--bootstrap-server", s.Brokers()[0], "--topic", s.topic, "--group", group, "--from-beginning", "--max-messages", strconv.Itoa(n))
	for line := range strings.Lines(output) {
		var o shop.Order
		check0(t, json.Unmarshal([]byte(line), &o))
		handled(o)
	}
}
