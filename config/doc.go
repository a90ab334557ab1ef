// Package config reads what a service needs to know about its cluster and its bus
// from files and the environment, under the names that .NET services use.
//
// # Sources
//
// Later sources take precedence, key by key:
//
//  1. appsettings.json in the working directory,
//  2. appsettings.{Environment}.json,
//  3. eventbus.yaml,
//  4. environment variables, with "__" between the parts of a key.
//
// The files may be absent. [Files], or the variable EVENTBUS_CONFIG with paths
// separated as in PATH, names others instead; those must exist. JSON may have
// comments and trailing commas. Keys are case-insensitive. An empty value means
// unset, and hides the values of earlier sources.
//
// # Keys
//
//	ConnectionStrings:Messaging   brokers, host:port, separated by commas or spaces
//	Logging:LogLevel:EventBus     Trace, Debug, Information, Warning, Error, Critical or
//	                              None; zap's and slog's names too. Else …:Default
//
// and, in the section EventBus, the fields of eventbus.Config and kafka.Config:
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
// [LoadSection] reads other sections into a struct, such as Outbox and Inbox of
// module postgres.
//
// Any other key of the section is an error. Durations are written as in Go ("30s")
// or in .NET ("00:00:30", "1.00:00:00"). No key turns the verification of
// certificates off: name the authority with Tls:CaFile.
//
// If Service is missing, it is that of [Service], else OTEL_SERVICE_NAME. If
// Environment is missing, it is the first of DOTNET_ENVIRONMENT,
// ASPNETCORE_ENVIRONMENT and ENVIRONMENT. It has no default: with .NET's,
// Production, a forgotten variable would publish to production's topics. ClientId
// defaults to the service's name.
package config
