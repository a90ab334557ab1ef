// Package health serves a bus's health over HTTP to people, dashboards and orchestrators.
//
//	/health        everything; 503 if something is Unhealthy, 200 if Healthy or Degraded
//	/health/ready  the same checks; 503 while the bus should get no traffic: brokers don't
//	               answer, groups are not joined, or a partition is stuck
//	/health/live   503 only if the bus itself is stuck and a restart would help, never
//	               because a broker is down
//
// The answer is eventbus.Health as JSON, with the statuses spelled as .NET's dashboards expect:
//
//	{"status":"Healthy","checks":{"kafka":{"status":"Healthy","description":"Kafka connectivity check","tags":["messaging","kafka"]}}}
//
// It contains no secrets and no events. /health/live answers at once, whatever the brokers do,
// so an orchestrator's usual limit of one second is enough. The others ask the brokers, which
// takes a few seconds if those are silent.
package health
