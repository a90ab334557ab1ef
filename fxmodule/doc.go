// Package fxmodule puts the event bus into an application built with
// go.uber.org/fx. Everything here works without fx too: see eventbus.New.
//
//	fx.New(
//		fxmodule.Module,
//		fxmodule.FromEnvironment(config.Service("mailer")),
//		fxmodule.Publisher(sales.WelcomeSentTopic),
//		fx.Provide(NewMailer), // asks for a *eventbus.Publisher[sales.WelcomeSent]
//		fxmodule.Subscribe(sales.CustomerCreatedTopic, (*Mailer).Welcome),
//		fxmodule.HealthServer(":8080"),
//		fxmodule.AdminServer(":8081"),
//	).Run()
//
// # What is in the container
//
// Module provides the transport.Transport and the *eventbus.Bus on it, from a
// kafka.Config and an eventbus.Config, which FromEnvironment provides or the program
// supplies. A program that replaces the transport.Transport by fx.Decorate, as
// kafkatest's Module does, needs no kafka.Config.
//
// If the container has them, the bus uses: a *zap.Logger, else a *slog.Logger; a
// trace.TracerProvider, a metric.MeterProvider and a propagation.TextMapPropagator.
// What eventbus.Config sets takes precedence. What only code can set, such as
// PublishMiddleware and further defaults of Handling, is set by fx.Decorate of
// eventbus.Config, or by fx.Invoke of Bus.Use.
//
// The bus logs from the configured level on, which AdminServer's /log-level changes.
// It also changes a zap.AtomicLevel in the container, which may be the level of the
// program's own logger.
//
// Package fxconsole adds pages for browsers to AdminServer.
//
// # Start and stop
//
// The bus never depends on subscriptions, so handlers may publish. It starts after
// everything that handlers use has started, and drains before any of that stops:
//
//	start: the handlers' services · the health and admin servers · Bus.Start
//	stop:  Bus.Drain · the admin and health servers · the handlers' services · Bus.Close
//
// fx runs no hook once the context of Start or Stop has ended, so the bus leaves a
// quarter of the time to the hooks after it: fx.StopTimeout, 15 seconds by default,
// bounds the whole stop, and eventbus.Config's DrainTimeout bounds the drain within
// it.
package fxmodule
