package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const quickstartCatalog = "../../examples/quickstart/contracts/sales/catalog.json"

func TestCatalogCommands(t *testing.T) {
	dir := t.TempDir()
	good, err := os.ReadFile(quickstartCatalog)
	if err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(dir, "new.json")
	if err := os.WriteFile(changed, []byte(strings.ReplaceAll(string(good), "familyName", "surname")), 0o600); err != nil {
		t.Fatal(err)
	}
	allow := filepath.Join(dir, "allow")
	if err := os.WriteFile(allow, []byte("sales.public.customers.v2/CustomerCreated#/properties/familyName field-renamed 2026-11-26 nobody reads it\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"show", quickstartCatalog}, 0, "CustomerCreated"},
		{[]string{"diff", quickstartCatalog, quickstartCatalog}, 0, ""},
		{[]string{"diff", quickstartCatalog, changed}, 1, "breaking: sales.public.customers.v2/CustomerCreated#/properties/familyName field-renamed"},
		{[]string{"diff", quickstartCatalog, changed, "--allow", allow}, 0, "Allowed: nobody reads it (2026-11-26)"},
		{[]string{"asyncapi", quickstartCatalog}, 0, `"asyncapi": "3.1.0"`},
		{[]string{"backstage", quickstartCatalog}, 0, `"name": "sales-events"`},
		{[]string{"backstage", quickstartCatalog, "--name", "customers", "--title", "Customers"}, 0, `"title": "Customers"`},
		{[]string{"backstage", quickstartCatalog, "--owner", "group:default/sales"}, 0, `"owner": "group:default/sales"`},
		{[]string{"backstage", quickstartCatalog, "--name", "two words"}, 1, ""},
		{[]string{"merge", quickstartCatalog, quickstartCatalog}, 0, `"catalogVersion": 2`},
		{[]string{"markdown", quickstartCatalog, dir}, 0, ""},
		{[]string{"schema", quickstartCatalog, dir}, 0, ""},
	} {
		var out, errs strings.Builder
		code := run(t.Context(), append([]string{"catalog"}, c.args...), strings.NewReader(""), &out, &errs)
		if code != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("%v: exit code %d, %s%s", c.args, code, &out, &errs)
		}
	}
	if page, err := os.ReadFile(filepath.Join(dir, "index.md")); err != nil || !strings.Contains(string(page), "sales.public.customers.v2") {
		t.Errorf("%v", err)
	}
	if schema, err := os.ReadFile(filepath.Join(dir, "sales.public.customers.v2", "CustomerCreated.json")); err != nil || !json.Valid(schema) {
		t.Errorf("%v", err)
	}
}
