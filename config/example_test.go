package config_test

import (
	"fmt"

	"github.com/eventbus-go/eventbus/config"
)

func ExampleLoad() {
	c, err := config.Load(
		config.Files("testdata/mailer.yaml"),
		config.Environ("ConnectionStrings__Messaging=kafka-3:9092"), // os.Environ by default
	)
	fmt.Println(c.Bus.Service, c.Bus.Environment, c.Kafka.Brokers, err)
	// Output: mailer Test [kafka-3:9092] <nil>
}

func ExampleLoad_faults() {
	_, err := config.Load(config.Files("testdata/mailer.yaml"), config.Environ("EventBus__DrianTimeout=30s", "EventBus__StuckAfter=300"))
	fmt.Println(err)
	// Output:
	// config: 2 faults:
	//   - EventBus__StuckAfter in the environment: "300" is not a duration: write 30s or 00:00:30, above zero
	//   - "EventBus__DrianTimeout" in the environment is not a setting: did you mean EventBus:DrainTimeout?
}
