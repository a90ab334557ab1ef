package console

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// policy allows a page only its own script, style, pictures and requests, and lets text
// become markup only through the one policy that is named here. It is the second line of
// defence, after escaping: markup that slipped through could neither run nor send anything
// elsewhere (Content Security Policy Level 3, Trusted Types).
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types eventbus"

// gate controls access. It follows the rules of package admin, with a form and a cookie in
// place of the bearer token, which a browser can't send by itself.
// It is safe for concurrent use; mu guards the maps and what tries points to. Sessions are
// kept in memory only: a restart of the process ends them all.
type gate struct {
	config *Config
	cookie string

	mu       sync.Mutex
	sessions map[[32]byte]session // by the hash of the cookie's value
	tries    map[string]*tries    // by the client's address
}

// session is the session of a user, which ends at until. The zero value has expired, so a
// failed lookup needs no special case.
type session struct {
	who   string
	token [32]byte // hash of the token that began the session
	until time.Time
}

// tries counts failed logins from one address. The window begins with the first failure;
// the first failure after its end begins a new one.
type tries struct {
	failed int
	since  time.Time
}

// Bounds of logins.
const (
	maxSessions = 1000 // the oldest is ended for a new one
	maxTries    = 5    // failed logins in a tryWindow, from one address
	tryWindow   = time.Minute
	maxAddress  = 1000
)

// Bounds of forms, in bytes. Those that start a replay or a job have an offset or two of each
// partition, 50 bytes at most.
const (
	maxForm  = 64 << 10
	maxStart = 1 << 20
)

// newGate returns a gate without sessions, whose cookie has a name of its own.
func newGate(config *Config) *gate {
	// Browsers don't tell cookies apart by port, so the name is random: two consoles on one
	// host must not overwrite each other's.
	var name [4]byte
	_, _ = rand.Read(name[:])
	return &gate{
		config: config, cookie: "eventbus-console-" + hex.EncodeToString(name[:]),
		sessions: make(map[[32]byte]session), tries: make(map[string]*tries),
	}
}

// guard wraps next: it sets the headers of every answer, and has refuse answer requests that
// are not allowed.
func (g *gate) guard(next http.Handler, refuse func(w http.ResponseWriter, r *http.Request, status int, why string)) http.Handler {
	// The check goes by Sec-Fetch-Site and Origin, and lets GET and HEAD through. Those change
	// nothing here, and another origin can't read their answers.
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse(w, r, http.StatusForbidden, "a web page of another origin may not give orders")
	}))
	next = origin.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Set first, so that refusals have them too.
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		// Browsers must not guess another type for content from members and events.
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer") // paths hold keys of events
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		// Keys of events stay in no cache, and no page can be brought back after a logout.
		h.Set("Cache-Control", "no-store")
		// The host is checked first: with DNS rebinding, a foreign page has the same origin as the
		// console, and would pass the origin checks.
		if !g.known(r) {
			refuse(w, r, http.StatusForbidden, "the console is not served under this host name: it takes loopback names, and those of Hosts (eventbus console --host)")
			return
		}
		// Bounded before anyone has logged in, since the login reads a form.
		limit := int64(maxForm)
		if r.URL.Path == "/start-replay" || r.URL.Path == "/start-job" {
			limit = maxStart
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		open := r.URL.Path == "/login" || strings.HasPrefix(r.URL.Path, "/static/")
		// Access is checked before orders, so that strangers don't learn whether the console is
		// read-only.
		switch {
		case len(g.config.Tokens) == 0 && !here(r):
			refuse(w, r, http.StatusForbidden, "there is no token, so only this machine may ask, by a loopback address")
		// A person in a browser is redirected to the form. A program, a stream or an order gets the
		// status, since a redirect would look like success.
		case len(g.config.Tokens) > 0 && !open && g.who(r) == "" && r.Method == http.MethodGet && strings.HasPrefix(r.Header.Get("Accept"), "text/html"):
			lead(w, r, "login?next="+wanted(r))
		case len(g.config.Tokens) > 0 && !open && g.who(r) == "":
			refuse(w, r, http.StatusUnauthorized, "log in first")
		case g.config.ReadOnly && r.Method == http.MethodPost && r.URL.Path != "/login" && r.URL.Path != "/logout":
			refuse(w, r, http.StatusForbidden, "this console is read-only")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// admits reports whether pages may be shown in answer to a request, by the rules of guard.
func (g *gate) admits(r *http.Request) bool {
	return g.known(r) && g.who(r) != "" && (len(g.config.Tokens) > 0 || here(r))
}

// known reports whether a request names a host under which the console is served. A
// page of another site can have its own host name resolve to this address (DNS rebinding).
func (g *gate) known(r *http.Request) bool {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	// An IPv6 address without a port keeps its brackets.
	host = strings.Trim(host, "[]")
	switch {
	case loopback(host):
		return true
	case len(g.config.Hosts) > 0 || len(g.config.Tokens) == 0:
		return slices.ContainsFunc(g.config.Hosts, func(h string) bool { return strings.EqualFold(h, host) })
	// An address resolves to nothing else, so a page under one is the console's own.
	case net.ParseIP(host) != nil:
		return true
	}
	// From elsewhere the names can't be known here. A foreign page under one gets no cookie, since
	// the browser keeps those by host, and gains nothing that a stranger does not have. At a
	// loopback address it would gain that no stranger reaches it. Headers that a proxy sets do not
	// count, since such a page may set them too.
	at, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if at == nil {
		return true // of a server that does not say
	}
	local, _, _ := net.SplitHostPort(at.String())
	return !loopback(local)
}

// forwarding lists the headers that proxies add to the requests they forward, in the
// canonical form of net/http. Forwarded is RFC 7239, Via RFC 9110.
var forwarding = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via"}

// here reports whether a request was made on this machine. Requests that a local proxy
// forwards don't count, since they may come from elsewhere. A client that sends such a
// header itself only loses access.
func here(r *http.Request) bool {
	for _, name := range forwarding {
		if _, forwarded := r.Header[name]; forwarded {
			return false
		}
	}
	return loopback(address(r))
}

// address returns the address that a request comes from, without the port. It is the peer
// of the connection, which may be a proxy: headers that name the client can be forged.
func address(r *http.Request) string {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	return host
}

// who returns the name of the user who makes a request, or "" if nobody is logged in.
func (g *gate) who(r *http.Request) string {
	if len(g.config.Tokens) == 0 {
		return "this machine"
	}
	cookie, err := r.Cookie(g.cookie)
	if err != nil {
		return ""
	}
	g.mu.Lock()
	// Looked up by hash: the time of the lookup reveals nothing about the values.
	s := g.sessions[sha256.Sum256([]byte(cookie.Value))]
	g.mu.Unlock()
	if time.Now().After(s.until) {
		return ""
	}
	// A token that was replaced admits nobody, even in sessions that it began.
	for _, named := range g.config.Tokens {
		if named.Name == s.who {
			if is, err := named.Value.Reveal(); err == nil && sha256.Sum256([]byte(is)) == s.token {
				return s.who
			}
		}
	}
	return ""
}

// enter returns the name of a token's owner, or "" if nobody has it. It reports often if the
// address has failed too often; then it does not look at the token. err is why one of the
// configured tokens could not be read.
func (g *gate) enter(token, from string) (who string, often bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	t := g.tries[from]
	if t == nil || now.Sub(t.since) > tryWindow {
		t = &tries{since: now}
	}
	// Checked before the tokens are compared: otherwise a stranger could go on guessing.
	if t.failed >= maxTries {
		return "", true, nil
	}
	got := sha256.Sum256([]byte(token))
	// Tokens are revealed for each login, since a token in a file may have changed.
	for _, named := range g.config.Tokens {
		right, e := named.Value.Reveal()
		if e != nil {
			err = e
			continue
		}
		// Hashes have equal length and every token is compared, so the time that this takes reveals
		// nothing.
		want := sha256.Sum256([]byte(right))
		// An empty secret must not admit a user who sends nothing. Reveal refuses it as well.
		if subtle.ConstantTimeCompare(got[:], want[:]) == 1 && right != "" {
			who = named.Name
		}
	}
	// A success does not reset the count of failures: a user who knows one token can't use it
	// to guess others.
	if who != "" {
		return who, false, nil
	}
	t.failed++
	if len(g.tries) >= maxAddress {
		clear(g.tries) // with so many addresses, bounded memory matters more
	}
	g.tries[from] = t
	return "", false, err
}

// open begins a session and returns its secret. Only a hash of the secret is kept, so a
// memory dump opens no session.
func (g *gate) open(who, token string) string {
	id := rand.Text()
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	// No session has the zero hash, so it stands for "none yet".
	oldest := [32]byte{}
	for key, s := range g.sessions {
		if now.After(s.until) {
			delete(g.sessions, key)
		} else if old, ok := g.sessions[oldest]; !ok || s.until.Before(old.until) {
			oldest = key
		}
	}
	// Only users with a token get here, so nobody else can displace sessions.
	if len(g.sessions) >= maxSessions {
		delete(g.sessions, oldest)
	}
	g.sessions[sha256.Sum256([]byte(id))] = session{who, sha256.Sum256([]byte(token)), now.Add(g.config.Session)}
	return id
}

// shut ends the session of a request. The secret is worthless afterwards, even if the
// browser keeps the cookie.
func (g *gate) shut(r *http.Request) {
	if cookie, err := r.Cookie(g.cookie); err == nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.sessions, sha256.Sum256([]byte(cookie.Value)))
	}
}
