package main

import (
	"bufio"
	"context"
	"os"
	"testing"

	"github.com/eventbus-go/eventbus/kafkatest"
)

// TestRunWelcomesUntilItIsStopped reads what the program prints, and stops it then.
func TestRunWelcomesUntilItIsStopped(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = write
	t.Cleanup(func() { os.Stdout = stdout })
	cluster := kafkatest.NewBroker(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, cluster.Brokers()...)
		_ = write.Close()
	}()
	line, err := bufio.NewReader(read).ReadString('\n')
	stop()
	if end := <-ended; err != nil || end != nil || line != "welcome, Ada\n" {
		t.Fatalf("%q, %v, %v", line, err, end)
	}
}
