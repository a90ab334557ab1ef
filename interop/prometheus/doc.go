// Package prometheus tests the alert rules and the dashboards of docs/grafana by the parsers
// of Prometheus. It is a separate module, so that users of the bus do not require them.
package prometheus
