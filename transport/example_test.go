package transport_test

import (
	"fmt"
	"time"

	"github.com/eventbus-go/eventbus/transport"
)

func ExampleAt() {
	start := transport.At(time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC))
	fmt.Println(start)
	fmt.Println(transport.Earliest(), transport.Latest())
	// Output:
	// 2026-11-26T08:00:00Z
	// earliest latest
}

func ExampleTopicSpec_Differences() {
	declared := transport.TopicSpec{Name: "orders", Partitions: 12, Configs: map[string]string{"retention.ms": "604800000"}}
	actual := transport.TopicInfo{Name: "orders", Partitions: 6, Configs: map[string]string{"retention.ms": "86400000"}}
	for _, d := range declared.Differences(&actual) {
		fmt.Printf("%s: declared %s, actual %s\n", d.What, d.Declared, d.Actual)
	}
	// Output:
	// partitions: declared 12, actual 6
	// retention.ms: declared 604800000, actual 86400000
}
