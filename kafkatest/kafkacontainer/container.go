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

// DefaultImage is the image that Run starts unless Image or the environment names
// another.
const DefaultImage = "confluentinc/confluent-local:7.5.0"

// The environment variables that replace options that a test does not give.
const (
	ImageVariable = "EVENTBUS_TEST_IMAGE"
	ReuseVariable = "EVENTBUS_TEST_REUSE" // the name of the container
)

// Option configures Run.
type Option func(*settings)

type settings struct {
	image   string
	reuse   string
	timeout time.Duration
}

// Image names the image, which must start like DefaultImage. It takes precedence over
// EVENTBUS_TEST_IMAGE.
func Image(name string) Option { return func(s *settings) { s.image = name } }

// Reuse shares one container, by its name, between all tests and packages that ask for
// it, even at the same time. The container keeps running, so the next run starts at
// once. Tests don't see each other's topics, since each Cluster has its own
// environment. Reuse takes precedence over EVENTBUS_TEST_REUSE.
func Reuse(name string) Option { return func(s *settings) { s.reuse = name } }

// Timeout bounds pulling the image and starting the container. Default 5 minutes.
func Timeout(d time.Duration) Option { return func(s *settings) { s.timeout = d } }

// Run starts Apache Kafka in a container and returns the cluster. The container
// ends with the test unless it is reused. Without Docker the test is skipped with a
// message.
func Run(t testing.TB, options ...Option) *kafkatest.Cluster {
	t.Helper()
	return kafkatest.Open(t, Brokers(t, options...)...)
}

// Brokers is Run for tests that need only the addresses.
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
	// Even after an error there may be a container, which did not become ready.
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

// docker returns why no container can be run, or nil. Without Docker, testcontainers
// panics.
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
