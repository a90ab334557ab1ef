package console

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
)

// askLogin shows the form. The form itself holds the page to go to afterwards, so the
// console keeps nothing for strangers.
func (c *Console) askLogin(w http.ResponseWriter, r *http.Request) {
	c.render(w, r, http.StatusOK, "login", &frame{Page: "login", Title: "Log in", Data: loginView{Next: after(r.URL.Query().Get("next"))}})
}

// loginView is the form, with the error of the last try.
type loginView struct{ Next, Wrong string }

// login takes a token and answers with the cookie.
func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	if err := readForm(r); err != nil {
		c.fail(w, r, err, nil)
		return
	}
	// Only from the body: a token in a query would end up in logs and histories.
	next := after(r.PostForm.Get("next"))
	token := strings.TrimSpace(r.PostForm.Get("token"))
	who, often, err := c.gate.enter(token, address(r))
	wrong, status := "", http.StatusUnauthorized
	switch {
	case often:
		wrong, status = "Too many wrong tokens from this address: wait a minute.", http.StatusTooManyRequests
	// The error may name a file or a secret store, which is for the log and not for strangers.
	case who == "" && err != nil:
		c.config.Logger.Error("console: a token can't be read", "error", err)
		wrong, status = "A token can't be read here; the log says why.", http.StatusInternalServerError
	case who == "":
		wrong = "No such token."
	}
	if wrong != "" {
		level, quiet := c.desk.refused.Next(slog.LevelWarn)
		c.config.Logger.Log(r.Context(), level, "console: login refused", "from", clip(maxShown, address(r)), "status", status, quiet)
		c.render(w, r, status, "login", &frame{Page: "login", Title: "Log in", Data: loginView{next, wrong}})
		return
	}
	c.config.Logger.Info("console: login", "who", who, "from", address(r))
	// Without a path the browser sends the cookie to the console alone, under any prefix.
	// A proxy that ends TLS sets X-Forwarded-Proto. A client that forges the header only gets a
	// cookie that its browser sends back over https alone.
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

// lead redirects to another page of the console, by GET. The address is relative:
// http.Redirect does not know where the console is served.
func lead(w http.ResponseWriter, r *http.Request, to string) {
	w.Header().Set("Location", root(r)+to)
	w.WriteHeader(http.StatusSeeOther)
}

// root returns the relative address of the first page from that of a request: empty, or one level
// up for each slash after the first.
func root(r *http.Request) string {
	// StripPrefix leaves the path below the console. It counts as it was sent: an escaped slash
	// begins no level.
	return strings.Repeat("../", max(strings.Count(r.URL.EscapedPath(), "/")-1, 0))
}

// wanted returns where a request was going, escaped for the query of another address.
func wanted(r *http.Request) string {
	return url.QueryEscape(strings.TrimPrefix(r.URL.Path, "/") + "?" + r.URL.RawQuery)
}

// after returns the address to go to after a form: next, if it is a page of the console, or
// else the first page. next comes from an address or a form, and could otherwise lead a user
// who has just logged in to a foreign page.
func after(next string) string {
	u, err := url.Parse(next)
	// Browsers treat a backslash as a slash (WHATWG URL), so \\host names another host.
	if err != nil || u.IsAbs() || u.Host != "" || u.Opaque != "" || strings.ContainsAny(u.Path, `/\`) {
		return "./"
	}
	if u.Path == "" {
		u.Path = "./"
	}
	return u.String()
}
