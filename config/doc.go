// Package config reads what a service needs to know of its cluster and its bus
// from files and from the environment, under the names that .NET services use.
//
// # Sources
//
// Later ones win, key by key:
//
//  1. appsettings.json in the working directory,
//  2. appsettings.{Environment}.json,
//  3. eventbus.yaml,
//  4. environment variables, with "__" between the parts of a key.
//
// The files may be absent. [Files], or the variable EVENTBUS_CONFIG with paths
// separated as in PATH, names others in their place; those must exist. JSON may
// have comments and trailing commas. Letters' case does not matter in keys. An
// empty value is an unset one, and hides what earlier sources say.
//
// # Keys
//
//	ConnectionStrings:Messaging   brokers, host:port, separated by commas or spaces
//	Logging:LogLevel:EventBus     Trace, Debug, Information, Warning, Error, Critical or
//	                              None; zap's and slog's names too. Else …:Default
//
// and, in the section EventBus, what eventbus.Config and kafka.Config have:
//
//	Service Environment Source Name AutoProvision StartDegraded Structured
//	InstanceId SessionTimeout HeartbeatInterval RebalanceTimeout FetchBytes
//	CommitInterval DrainTimeout StuckAfter HandlerGrace
//	Bounds:         Records Bytes MinRecords ParkedKeys
//	Producer:       DeliveryTimeout BufferBytes BufferRecords BatchBytes RequestBytes
//	PublishBreaker: Disabled Ratio MinKeys MinAttempts Window After OpenFor Probes
//	Handling:       Concurrency Timeout BatchSize BatchWait DeadLetterTopic RetryTopic,
//	                Retry: Attempts Elapsed Initial Max Multiplier, or Wait ("1s" or
//	                "1s, 5s, 30s") in place of the last three, RateLimit: PerSecond Burst, Breaker: as
//	                PublishBreaker
//	ClientId Compression DialTimeout RequestTimeout Balancer Rack ConsumerProtocol
//	Tls:            Enabled CaFile CertificateFile KeyFile ServerName
//	Sasl:           Mechanism Username Password PasswordFile TokenFile SessionLifetime
//	Admin:          Address Token TokenFile; without an address nothing is served
//
// [LoadSection] reads other sections into a struct, as Outbox and Inbox of module
// postgres.
//
// A key of the section that is none of these is an error. Durations are Go's
// ("30s") or .NET's ("00:00:30", "1.00:00:00"). There is no key that turns the
// verification of certificates off: name the authority with Tls:CaFile.
//
// Where Service is missing, [Service] gives it, else OTEL_SERVICE_NAME; where
// Environment is, the first of DOTNET_ENVIRONMENT, ASPNETCORE_ENVIRONMENT and
// ENVIRONMENT. The environment has no default: .NET's, Production, would let a
// forgotten variable publish to production's topics. ClientId is the service's
// name by default.
package config
