// Package fxconsole adds the pages of package console to a service's admin server:
//
//	fx.New(
//		fxmodule.Module,
//		fxmodule.FromEnvironment(config.Service("mailer")),
//		fxmodule.AdminServer(":8081"),
//		fxconsole.Pages(), // at http://127.0.0.1:8081/console/
//	).Run()
//
// It is a separate package because it adds about five megabytes to a program.
package fxconsole
