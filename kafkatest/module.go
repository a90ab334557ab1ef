package kafkatest

import "go.uber.org/fx"

// Module runs an fx application on the cluster: it replaces the transport.Transport
// that the application provides, whose constructor never runs. The rest of the
// application stays unchanged.
func (c *Cluster) Module() fx.Option {
	return fx.Decorate(c.Transport)
}
