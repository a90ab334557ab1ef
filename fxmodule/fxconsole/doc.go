// Package fxconsole adds the pages of package console to a service's admin server:
//
//	fx.New(
//		fxmodule.Module,
//		fxmodule.FromEnvironment(config.Service("mailer")),
//		fxmodule.AdminServer(":8081"),
//		fxconsole.Pages(), // at http://127.0.0.1:8081/console/
//	).Run()
//
// It is a package of its own because a program that links it takes about five megabytes
// more.
package fxconsole
