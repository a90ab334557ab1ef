// Package examples holds no code of its own. Below it are programs to run and
// the code that README and the guides quote:
//
//	quickstart   a sales API and a mailer on an embedded broker: go -C examples run ./quickstart
//	flights      27,004 real flights through two services:       go -C examples run ./flights
//	readme       the service of README, with and without fx
//	guide        one folder for each guide in docs/guide that shows code
//
// They are a module of their own, so that exporters and terminal libraries reach
// no service's go.mod.
package examples
