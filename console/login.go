package console

import (
	"net/http"
	"net/url"
	"strings"
)

// askLogin shows the form.
// The page to go to afterwards is part of the form, so nothing is kept for strangers.
func (c *Console) askLogin(w http.ResponseWriter, r *http.Request) {
	c.render(w, r, http.StatusOK, "login", &frame{Page: "login", Title: "Log in", Data: loginView{Next: after(r.URL.Query().Get("next"))}})
}

// loginView is the form, with what was wrong with the last try.
type loginView struct{ Next, Wrong string }

// login takes a token and answers with the cookie.
func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		refuse(w, http.StatusBadRequest, "the form can't be read")
		return
	}
	// The token is taken from the body alone: in a query it would be kept by logs and histories.
	next := after(r.PostForm.Get("next"))
	token := strings.TrimSpace(r.PostForm.Get("token"))
	who, often, err := c.gate.enter(token, address(r))
	wrong, status := "", http.StatusUnauthorized
	switch {
	case often:
		wrong, status = "Too many wrong tokens from this address: wait a minute.", http.StatusTooManyRequests
	// The error may name a file or a service of secrets, which is for the log and not for
	// strangers.
	case who == "" && err != nil:
		c.config.Logger.Error("console: a token can't be read", "error", err)
		wrong, status = "A token can't be read here; the log says why.", http.StatusInternalServerError
	case who == "":
		wrong = "No such token."
	}
	if wrong != "" {
		c.config.Logger.Warn("console: login refused", "from", address(r), "status", status)
		c.render(w, r, status, "login", &frame{Page: "login", Title: "Log in", Data: loginView{next, wrong}})
		return
	}
	c.config.Logger.Info("console: login", "who", who, "from", address(r))
	// Without a path the cookie goes to the console alone, under any prefix.
	// A proxy that ends TLS says so by X-Forwarded-Proto. A client that makes the header up only
	// gets a cookie that its browser sends back by https alone.
	http.SetCookie(w, &http.Cookie{
		Name: c.gate.cookie, Value: c.gate.open(who, token), MaxAge: int(c.config.Session.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	})
	lead(w, r, next)
}

// logout ends the session.
func (c *Console) logout(w http.ResponseWriter, r *http.Request) {
	c.gate.shut(r)
	lead(w, r, "login")
}

// lead answers with the address of another page, by GET. It is relative to where the
// console is served, which http.Redirect does not know.
func lead(w http.ResponseWriter, r *http.Request, to string) {
	// StripPrefix leaves the path below the console: each slash after the first is one step up.
	w.Header().Set("Location", strings.Repeat("../", strings.Count(r.URL.Path, "/")-1)+to)
	w.WriteHeader(http.StatusSeeOther)
}

// wanted returns where a request was going, for the query of another address.
func wanted(r *http.Request) string {
	return url.QueryEscape(strings.TrimPrefix(r.URL.Path, "/") + "?" + r.URL.RawQuery)
}

// after returns an address to go to after a form. Only a page of the console is one.
// It comes from an address or a form, and would else lead a user who has just logged in to a
// page of somebody else.
func after(next string) string {
	u, err := url.Parse(next)
	// Browsers take a backslash for a slash (WHATWG URL), so \\host is another host.
	if err != nil || u.IsAbs() || u.Host != "" || u.Opaque != "" || strings.ContainsAny(u.Path, `/\`) {
		return "./"
	}
	if u.Path == "" {
		u.Path = "./"
	}
	return u.String()
}
