package naming

import (
	"strings"
	"testing"
)

func TestDerivedLetters(t *testing.T) {
	t.Parallel()
	const topic = "dev.sales.public.customers.v1"
	want := Letters{topic + ".mailer-dev.dlq", topic + ".mailer-dev.retry"}
	if got := DerivedLetters(topic, "mailer-dev"); got != want || !got.Derived(topic, "mailer-dev") || got.Derived(topic, "mailer") {
		t.Errorf("%v, want %v", got, want)
	}
	if RetryOf(want.Dead) != want.Retry || RetryOf("orders-dlt") != "" {
		t.Errorf("retry topics %q and %q", RetryOf(want.Dead), RetryOf("orders-dlt"))
	}
	room := MaxTopicName - len(DerivedLetters(topic, "").Retry)
	for group, want := range map[string]string{
		"mailer-dev":                "",
		"mailer.v2":                 "",
		strings.Repeat("g", room):   "",
		strings.Repeat("g", room+1): "250 characters",
		"":                          "is empty",
		"mailer dev":                `character ' '`,
		"mailer/dev":                `character '/'`,
	} {
		wantFault(t, DerivedLetters(topic, group).Check(topic, group), want)
	}
}

func wantFault(t *testing.T, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}

func TestChosenLetters(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ dead, retry, wantDead, wantRetry, fault string }{
		{"", "", "dev.orders.g.dlq", "dev.orders.g.retry", ""},
		{"{topic}-dlt", "", "dev.orders-dlt", "dev.orders.g.retry", ""},
		{"{env}.{group}_error", "{topic}.{group}-again", "dev.g_error", "dev.orders.g-again", ""},
		{"poison", "poison", "poison", "poison", "two names"},
		{"all.retry", "", "all.retry", "dev.orders.g.retry", "leave out .retry"},
		{"", "all.dlq", "dev.orders.g.dlq", "all.dlq", "leave out .dlq"},
		{LedgerTopic, "", LedgerTopic, "dev.orders.g.retry", "another purpose"},
		{"", "__consumer_offsets", "dev.orders.g.dlq", "__consumer_offsets", "another purpose"},
	} {
		got := ChosenLetters("dev", "dev.orders", "g", c.dead, c.retry)
		if want := (Letters{c.wantDead, c.wantRetry}); got != want {
			t.Errorf("%q and %q: %v, want %v", c.dead, c.retry, got, want)
		}
		wantFault(t, got.Check("dev.orders", "g"), c.fault)
	}
	for name, want := range map[string]string{
		"orders-dlt": "", "{env}.{topic}.{group}_x": "",
		"": "is empty", "{service}-dlt": "marks are", "a b": `character ' '`, "{topic": "marks are", "..": "not allowed",
		strings.Repeat("x", 250): "250 characters",
	} {
		wantFault(t, CheckChosen(name), want)
	}
}

func TestOtherEnvironment(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"prod.dead": "prod", "dev.dead": "", "dead": "", "orders.dead": "", "prod": ""} {
		if got := OtherEnvironment(name, "dev"); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
