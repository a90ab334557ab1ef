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
// kafka.Config and an eventbus.Config that FromEnvironment provides or the program
// supplies. A program that gives another transport.Transport by fx.Decorate, as
// kafkatest's Module does, needs no kafka.Config.
//
// The bus takes from the container, where they are there: a *zap.Logger, else a
// *slog.Logger; a trace.TracerProvider, a metric.MeterProvider and a
// propagation.TextMapPropagator. What eventbus.Config sets itself wins. What is only
// said in code goes in by fx.Decorate of eventbus.Config, as PublishMiddleware and
// further defaults of Handling, or by fx.Invoke of Bus.Use.
//
// The bus logs from the configured level on, which AdminServer's /log-level changes;
// a zap.AtomicLevel in the container, by which the program's own logger goes,
// changes with it.
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
// quarter of the time for those to come: fx.StopTimeout, 15 seconds by default, is
// the bound of the whole, and eventbus.Config's DrainTimeout bounds the drain
// within it.
package fxmodule
