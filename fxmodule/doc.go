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
// Module provides a transport.Transport and the *eventbus.Bus on it. It needs a
// kafka.Config and an eventbus.Config, which FromEnvironment provides or the program
// supplies. A program that replaces the transport.Transport by fx.Decorate, as
// kafkatest's Module does, needs no kafka.Config.
//
// If the container has them, the bus uses a *zap.Logger, else a *slog.Logger; and a
// trace.TracerProvider, a metric.MeterProvider and a propagation.TextMapPropagator.
// Values in the eventbus.Config take precedence. To set what only code can set, such
// as PublishMiddleware and further defaults of Handling, decorate the eventbus.Config
// by fx.Decorate, or call Bus.Use by fx.Invoke.
//
// The bus logs at the configured level and above. AdminServer's /log-level changes
// the level, and with it a zap.AtomicLevel in the container, which may be the level
// of the program's own logger.
//
// Package fxconsole adds pages for browsers to AdminServer.
//
// # Start and stop
//
// Making the bus needs no subscription, so handlers may publish. The bus starts after
// everything that handlers use, and drains before any of that stops:
//
//	start: the handlers' services · the health and admin servers · Bus.Start
//	stop:  Bus.Drain · the admin and health servers · the handlers' services · Bus.Close
//
// fx runs no hook once the context of Start or Stop has ended, so each hook of the bus
// leaves a quarter of the remaining time to the hooks after it. fx.StopTimeout, 15
// seconds by default, bounds the whole stop. The DrainTimeout of eventbus.Config bounds
// the drain within it.
package fxmodule
