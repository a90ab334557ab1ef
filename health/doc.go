// Package health serves what a bus knows of its own state to callers that ask by
// HTTP: people, dashboards and orchestrators.
//
//	/health        everything; 503 when something is Unhealthy, 200 when Healthy or Degraded
//	/health/ready  the same checks; 503 while the bus should get no traffic: brokers that
//	               don't answer, groups not joined, a partition stuck
//	/health/live   503 only where the bus itself is stuck and a restart would help, never
//	               because a broker is down
//
// The answer is the JSON of eventbus.Health, whose statuses are spelled as .NET's
// dashboards read them:
//
//	{"status":"Healthy","checks":{"kafka":{"status":"Healthy","description":"Kafka connectivity check","tags":["messaging","kafka"]}}}
//
// It holds no secret and no event. /health/live answers at once whatever the
// brokers do, so an orchestrator's usual limit of one second suits it; the others
// ask the brokers, which takes a few seconds when those are silent.
package health
