package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"
	"go.yaml.in/yaml/v3"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/config"
	"github.com/eventbus-go/eventbus/examples/readme/sales"
	"github.com/eventbus-go/eventbus/health"
	"github.com/eventbus-go/eventbus/kafkatest"
)

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
	Timeout int                         `yaml:"timeoutSeconds"`
}

type deployment struct {
	Spec struct {
		Template struct {
			Spec struct {
				Grace      int `yaml:"terminationGracePeriodSeconds"`
				Containers []struct {
					Env       []struct{ Name, Value string }
					Ports     []struct{ Name, ContainerPort string }
					Live      probe `yaml:"livenessProbe"`
					Ready     probe `yaml:"readinessProbe"`
					Resources struct{ Limits struct{ Memory string } }
				}
			}
		}
	}
}

// TestDeploymentFitsTheProgram compares the manifest with what the program does:
// its configuration loads, the grace period is longer than every bound of the
// stop, the probes ask for paths that are served, and the memory suffices.
func TestDeploymentFitsTheProgram(t *testing.T) {
	text, err := os.ReadFile("deployment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var manifest deployment
	if err := yaml.Unmarshal(text, &manifest); err != nil {
		t.Fatal(err)
	}
	pod := manifest.Spec.Template.Spec
	container := pod.Containers[0]
	var environment []string
	values := map[string]string{}
	for _, v := range container.Env {
		environment, values[v.Name] = append(environment, v.Name+"="+v.Value), v.Value
	}
	settings, err := config.Load(config.Environ(environment...), config.Directory(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	grace := time.Duration(pod.Grace) * time.Second
	stop := fx.New(app(), fx.NopLogger).StopTimeout()
	if drain := settings.Bus.DrainTimeout; drain >= stop*3/4+time.Second || stop >= grace {
		t.Errorf("drain %v, stop %v, grace %v: each has to end before the next", drain, stop, grace)
	}
	limit, err := strconv.Atoi(strings.TrimSuffix(values["GOMEMLIMIT"], "MiB"))
	if most := container.Resources.Limits.Memory; err != nil || limit < 64+16+32 || most != "256Mi" {
		t.Errorf("GOMEMLIMIT %s of %s does not hold what the bus may buffer", values["GOMEMLIMIT"], most)
	}
	served := health.Handler(kafkatest.NewMemory(t).Start(t, eventbus.On(sales.CustomerCreatedTopic, welcome)))
	for _, p := range []probe{container.Live, container.Ready} {
		answer := httptest.NewRecorder()
		served.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, p.HTTPGet.Path, nil))
		if answer.Code != http.StatusOK || p.HTTPGet.Port != "health" {
			t.Errorf("%s on port %s: status %d", p.HTTPGet.Path, p.HTTPGet.Port, answer.Code)
		}
	}
}

func TestAppStartsAndStops(t *testing.T) {
	t.Setenv("EventBus__Service", "mailer")
	t.Setenv("EventBus__Environment", "Test")
	application := fxtest.New(t, app(), kafkatest.NewMemory(t).Module())
	application.RequireStart()
	application.RequireStop()
}
