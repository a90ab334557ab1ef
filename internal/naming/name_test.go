package naming

import (
	"strings"
	"testing"
)

func TestEnvironment(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Development": "dev", "development": "dev", "DEVELOPMENT": "dev", "dev": "dev", "Dev": "dev",
		"Production": "prod", "production": "prod", "prod": "prod",
		"Test": "test", "TEST": "test",
		"Staging": "stag", "staging": "stag",
		"QA": "qa", "eu-west-1": "eu-west-1", "Local_2": "local_2",
	} {
		if got, err := Environment(name); got != want || err != nil {
			t.Errorf("environment(%q) = %q, %v, want %q", name, got, err, want)
		}
	}
	for name, want := range map[string]string{
		"": "is empty", "eu.west": "has a dot", "eu west": `' '`, "prüf": `'ü'`, "a/b": `'/'`,
	} {
		if got, err := Environment(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("environment(%q) = %q, %v, want an error with %q", name, got, err, want)
		}
	}
}

func TestPlural(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"customer": "customers", "order-payment": "order-payments", "customer-updates": "customer-updates",
		"payment_status": "payment_statuses", "category": "categories", "address": "addresses", "person": "people",
		"child": "children", "invoice": "invoices", "news": "news", "customers": "customers", "box": "boxes",
		"sales-analysis": "sales-analyses", "equipment": "equipment", "bus": "buses", "day": "days", "hero": "heroes",
		"salesperson": "salespeople", "human": "humans", "bookshelf": "bookshelves", "inquiry": "inquiries", "soliloquy": "soliloquies",
		"axis": "axes", "bias": "biases", "settings": "settings", "index": "indices", "photo": "photos", "proof": "proofs", "": "", "payment-": "payment-",
	} {
		if got := Plural(name); got != want {
			t.Errorf("plural(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestKebab(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"OrderPayment": "order-payment", "Sales": "sales", "order payment": "order-payment", "orders.v1": "orders-v1",
		"HTTPRequest": "httprequest", "Order2Ship": "order2-ship", "  ": "", "ümlaut": "mlaut",
	} {
		if got := Kebab(name); got != want {
			t.Errorf("kebab(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestTopicNameCollisions(t *testing.T) {
	t.Parallel()
	if err := CheckCollisions([]string{"a.b", "a.c"}, "a.b", "a-b"); err != nil {
		t.Error(err)
	}
	err := CheckCollisions([]string{"x", "dev.a.b.c"}, "y", "dev.a.b_c")
	if err == nil || !strings.HasPrefix(err.Error(), `topic "dev.a.b_c" differs from "dev.a.b.c", which the bus has`) {
		t.Errorf("collision: %v", err)
	}
}

func TestCheckTopicName(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"a": true, "A.b_c-9": true, strings.Repeat("x", 249): true,
		"": false, ".": false, "..": false, strings.Repeat("x", 250): false, "a b": false, "a/b": false, "ü": false,
	} {
		if err := CheckTopicName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
