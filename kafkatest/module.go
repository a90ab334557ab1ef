package kafkatest

import "go.uber.org/fx"

// Module puts an fx application on the cluster: it takes the place of the
// transport.Transport that the application provides, which is never built then.
// Everything else of the application stays as it is.
func (c *Cluster) Module() fx.Option {
	return fx.Decorate(c.Transport)
}
