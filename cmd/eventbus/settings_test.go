package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestTokenFollowsNoRedirect: a redirect is not followed, and gets no token.
func TestTokenFollowsNoRedirect(t *testing.T) {
	t.Setenv(tokenVariable, "hunter2")
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the redirect was followed, with %q", r.Header.Get("Authorization"))
	}))
	defer other.Close()
	first := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer first.Close()
	_, err := new(app).readCatalog(t.Context(), first.URL)
	if err == nil || !strings.Contains(err.Error(), "307") || !strings.Contains(err.Error(), other.URL) {
		t.Errorf("%v, want an error that names the redirect", err)
	}
}
