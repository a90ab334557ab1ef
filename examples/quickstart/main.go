// Quickstart is two services that talk through events: sales-api takes
// customers over HTTP, mailer welcomes them. It prints what happens.
//
//	go -C examples run ./quickstart
//
// runs both in one process, on a broker inside it. With a cluster they run
// apart:
//
//	go -C examples run ./quickstart --brokers localhost:9092 --role sales-api
//	go -C examples run ./quickstart --brokers localhost:9092 --role mailer
//
// The services themselves are the packages salesapi and mailer, over the
// contract in contracts/sales; this package only starts them and, in
// walkthrough.go, uses them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// Once stop was called a signal has its usual effect: the second one ends
	// the process at once.
	context.AfterFunc(ctx, stop)
	o, err := parse(os.Args[1:], os.Stderr)
	if err == nil {
		o.out = os.Stdout
		err = run(ctx, o)
	}
	// os.Exit runs no deferred calls.
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		_, _ = fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// The services that a process can run.
const (
	roleAll      = "all"
	roleSalesAPI = "sales-api"
	roleMailer   = "mailer"
)

// parse reads the flags. Its errors say what to write instead.
func parse(args []string, usage io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(usage)
	brokers := flags.String("brokers", "", "`addresses` of a Kafka cluster, host:port with commas between; none: a broker inside the process")
	flags.StringVar(&o.role, "role", roleAll, "`service` to run: sales-api, mailer, or all")
	flags.StringVar(&o.listen, "listen", "127.0.0.1:8080", "`address` of sales-api")
	flags.StringVar(&o.health, "health", "127.0.0.1:8081", "`address` of mailer's /health")
	flags.BoolVar(&o.once, "once", false, "end after the walk-through")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	for broker := range strings.SplitSeq(*brokers, ",") {
		if broker = strings.TrimSpace(broker); broker != "" {
			o.brokers = append(o.brokers, broker)
		}
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("%q is not a flag", flags.Arg(0))
	case o.role != roleAll && o.role != roleSalesAPI && o.role != roleMailer:
		return o, fmt.Errorf("--role %q: use sales-api, mailer or all", o.role)
	case o.role != roleAll && len(o.brokers) == 0:
		return o, fmt.Errorf("--role %s needs --brokers: services that run apart meet on a cluster", o.role)
	case o.role != roleAll && o.once:
		return o, errors.New("--once needs --role all: the walk-through uses both services")
	}
	return o, nil
}
