package kafkacontainer

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/modules/kafka"

	"github.com/eventbus-go/eventbus/kafkatest"
)

// DefaultImage is run unless Image or the environment says otherwise.
const DefaultImage = "confluentinc/confluent-local:7.5.0"

// The environment variables that stand for options which a test does not give.
const (
	ImageVariable = "EVENTBUS_TEST_IMAGE"
	ReuseVariable = "EVENTBUS_TEST_REUSE" // the name of the container
)

// Option changes what Run starts.
type Option func(*settings)

type settings struct {
	image   string
	reuse   string
	timeout time.Duration
}

// Image names the image: one that starts as DefaultImage does. It wins over
// EVENTBUS_TEST_IMAGE.
func Image(name string) Option { return func(s *settings) { s.image = name } }

// Reuse keeps one container of a name for all tests and packages that ask for it,
// also at the same time, and after them: nothing stops it, so the next run starts
// at once. Topics of different tests don't meet, since each Cluster has an
// environment of its own. It wins over EVENTBUS_TEST_REUSE.
func Reuse(name string) Option { return func(s *settings) { s.reuse = name } }

// Timeout bounds pulling the image and starting the container. Default 5 minutes.
func Timeout(d time.Duration) Option { return func(s *settings) { s.timeout = d } }

// Run starts Apache Kafka in a container and returns the cluster. The container
// ends with the test, unless it is reused. Where there is no Docker the test is
// skipped, and says so.
func Run(t testing.TB, options ...Option) *kafkatest.Cluster {
	t.Helper()
	return kafkatest.Open(t, Brokers(t, options...)...)
}

// Brokers is Run for tests that need the addresses alone.
func Brokers(t testing.TB, options ...Option) []string {
	t.Helper()
	s := settings{
		image:   cmp.Or(os.Getenv(ImageVariable), DefaultImage),
		reuse:   os.Getenv(ReuseVariable),
		timeout: 5 * time.Minute,
	}
	for _, o := range options {
		o(&s)
	}
	if err := docker(); err != nil {
		t.Skipf("kafkacontainer: there is no Docker to run %s in: %v", s.image, err)
	}
	var custom []testcontainers.ContainerCustomizer
	if s.reuse != "" {
		custom = append(custom, testcontainers.WithReuseByName(s.reuse))
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	container, err := kafka.Run(ctx, s.image, custom...)
	// Also after an error: a container that did not become ready is there too.
	if container != nil && s.reuse == "" {
		testcontainers.CleanupContainer(t, container.Container)
	}
	if err != nil {
		t.Fatalf("kafkacontainer: %s: %v", s.image, err)
	}
	brokers, err := container.Brokers(ctx)
	if err != nil {
		t.Fatalf("kafkacontainer: %s: %v", s.image, err)
	}
	return brokers
}

// docker is why no container can be run, nil if one can. Where there is no Docker
// testcontainers panics.
func docker() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	provider, err := testcontainers.ProviderDocker.GetProvider()
	if err != nil {
		return err
	}
	defer func() { _ = provider.Close() }()
	return provider.Health(ctx)
}
