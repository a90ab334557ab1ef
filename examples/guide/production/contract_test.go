package production_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/eventbus-go/eventbus/config"
	"github.com/eventbus-go/eventbus/examples/guide/production"
)

// TestConfigurationLoads reads appsettings.Production.json, with files that the
// test has in place of its secrets.
func TestConfigurationLoads(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("a-long-and-random-secret-of-a-test"), 0o600); err != nil {
		t.Fatal(err)
	}
	settings, err := config.Load(config.Files("appsettings.Production.json"), config.Environ(
		"EventBus__Tls__CaFile=", "EventBus__Sasl__PasswordFile="+secret, "EventBus__Admin__TokenFile="+secret))
	if err != nil {
		t.Fatal(err)
	}
	if len(settings.Kafka.Brokers) != 3 || settings.Bus.Environment != "Production" {
		t.Errorf("loaded: %+v", settings.Kafka)
	}
}

func TestTopicName(t *testing.T) {
	if name := production.CustomerCreatedTopic.In("Production"); name != "prod.sales.public.customers.v1" {
		t.Error(name)
	}
}
