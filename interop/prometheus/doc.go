// Package prometheus has Prometheus' own parsers judge the alert rules and the dashboards of
// docs/grafana. It is a module of its own, so that nobody who uses the bus requires them.
package prometheus
