package console

import (
	"context"
	"time"

	"github.com/eventbus-go/eventbus/internal/redrive"
	"github.com/eventbus-go/eventbus/kafka"
)

type cluster struct {
	transport   *kafka.Transport
	environment string
	redrive     *redrive.Client
}

type outsideGroup struct {
	Name, State     string
	Members, Parked int
	Lag             int64
	Behind          time.Duration
}

func (g *outsideGroup) concerns() []concern { return nil }

type overview struct {
	groups  []outsideGroup
	problem string
}

func (o *overview) letterConcerns() []concern { return nil }

func newCluster(t *kafka.Transport, env string) *cluster {
	return &cluster{transport: t, environment: env}
}

func (c *cluster) overview(context.Context) *overview { return &overview{} }

// Outbox …
type Outbox interface{}

// Finding …
type Finding struct{}
