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

// policy allows a page nothing but its own script, style and pictures, and no text
// to become markup except by the one function that is named in it.
// It is the second line of defence, after escaping: markup that came through a mistake could
// neither run nor send anything elsewhere (Content Security Policy Level 3, Trusted Types).
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types eventbus"

// gate decides who may ask. It is package admin's rules, with a form and a cookie in
// the place of the bearer token, which a browser can't send by itself.
// It is safe for concurrent use; mu guards the maps and what tries point to. Sessions are in
// memory alone: a restart of the process ends them all.
type gate struct {
	config *Config
	cookie string

	mu       sync.Mutex
	sessions map[[32]byte]session // by the hash of the cookie's value
	tries    map[string]*tries    // by the address that they come from
}

// session is a user who is logged in, until a time. Its zero value ended long ago, so a lookup
// that finds nothing needs no case of its own.
type session struct {
	who   string
	token [32]byte // hash of the token that began the session
	until time.Time
}

// tries counts failed logins of an address since a time.
// The window begins with the first failure, and a new one begins after it.
type tries struct {
	failed int
	since  time.Time
}

// Bounds of logins. What is beyond them is forgotten, oldest first, or refused.
const (
	maxSessions = 1000
	maxTries    = 5 // failed ones a minute, of one address
	tryWindow   = time.Minute
	maxAddress  = 1000
	maxLogin    = 64 << 10 // bytes of a form of anyone's
)

// maxBody bounds the form of an order, in bytes. The largest is that of a replay: it has the
// offsets of each partition, 50 bytes at most.
const maxBody = 1 << 20

// newGate returns a gate without sessions, whose cookie has a name of its own.
func newGate(config *Config) *gate {
	// Cookies are not told apart by ports: two consoles on one host must not take
	// each other's.
	var name [4]byte
	_, _ = rand.Read(name[:])
	return &gate{
		config: config, cookie: "eventbus-console-" + hex.EncodeToString(name[:]),
		sessions: make(map[[32]byte]session), tries: make(map[string]*tries),
	}
}

// guard sets the headers of every answer, and answers requests itself that may not
// ask.
func (g *gate) guard(next http.Handler) http.Handler {
	// It goes by Sec-Fetch-Site and Origin, and lets GET and HEAD through. Those change nothing
	// here, and what they answer can't be read from another origin.
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusForbidden, "a web page of another origin may not give orders")
	}))
	next = origin.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Set before anything is decided, so that refusals have them too.
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		// What members and events bring must not be taken for another type than it is sent as.
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer") // paths hold keys of events
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		// Keys of events stay in no cache, and no page comes back after a logout.
		h.Set("Cache-Control", "no-store")
		// The host comes first: by DNS rebinding a foreign page is of the same origin as this, so
		// the checks of origins would pass it.
		if !g.known(r) {
			refuse(w, http.StatusForbidden, "the console is not served under this host name: it takes loopback names, and those of Hosts (eventbus console --host)")
			return
		}
		// The login reads a form of anyone's, and nothing else reads one before it is known whose it
		// is.
		limit := int64(maxBody)
		if r.URL.Path == "/login" {
			limit = maxLogin
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		open := r.URL.Path == "/login" || strings.HasPrefix(r.URL.Path, "/static/")
		// The first case that holds decides. Who may ask comes before what may be ordered, so that
		// strangers are not told whether the console is read-only.
		switch {
		case len(g.config.Tokens) == 0 && !here(r):
			refuse(w, http.StatusForbidden, "there is no token, so only this machine may ask, by a loopback address")
		// A person in a browser is led to the form. A program, a stream or an order gets the
		// status: a redirect would look like success.
		case len(g.config.Tokens) > 0 && !open && g.who(r) == "" && r.Method == http.MethodGet && strings.HasPrefix(r.Header.Get("Accept"), "text/html"):
			lead(w, r, "login?next="+wanted(r))
		case len(g.config.Tokens) > 0 && !open && g.who(r) == "":
			refuse(w, http.StatusUnauthorized, "log in first")
		case g.config.ReadOnly && r.Method == http.MethodPost && r.URL.Path != "/login" && r.URL.Path != "/logout":
			refuse(w, http.StatusForbidden, "this console is read-only")
		default:
			next.ServeHTTP(w, r)
		}
	})
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

// forwarding are the headers by which proxies say for whom they ask.
// They are in the form of net/http's keys. Forwarded is RFC 7239, Via RFC 9110.
var forwarding = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via"}

// here reports whether a request was made on this machine. A proxy on this machine
// asks for another, so its requests do not count.
// In doubt it is false: a client that sends such a header itself only loses the access.
func here(r *http.Request) bool {
	for _, name := range forwarding {
		if _, forwarded := r.Header[name]; forwarded {
			return false
		}
	}
	return loopback(address(r))
}

// address returns where a request comes from, without the port.
// It is the peer of the connection, which is a proxy where there is one: headers that name the
// client can be made up.
func address(r *http.Request) string {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	return host
}

// who returns the name of the user who asks, and "" for one who is not logged in.
func (g *gate) who(r *http.Request) string {
	if len(g.config.Tokens) == 0 {
		return "this machine"
	}
	cookie, err := r.Cookie(g.cookie)
	if err != nil {
		return ""
	}
	g.mu.Lock()
	// By the hash: the time of a lookup tells nothing about the values themselves.
	s := g.sessions[sha256.Sum256([]byte(cookie.Value))]
	g.mu.Unlock()
	if time.Now().After(s.until) {
		return ""
	}
	// A token that was replaced admits nobody, not even through a session that it began.
	for _, named := range g.config.Tokens {
		if named.Name == s.who {
			if is, err := named.Value.Reveal(); err == nil && sha256.Sum256([]byte(is)) == s.token {
				return s.who
			}
		}
	}
	return ""
}

// enter returns the name of a token's owner, "" if nobody has it, and whether the
// address has tried too often, in which case the token was not looked at.
func (g *gate) enter(token, from string) (who string, often bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	t := g.tries[from]
	if t == nil || now.Sub(t.since) > tryWindow {
		t = &tries{since: now}
	}
	// Before the tokens are compared. Else a stranger could go on guessing and ignore the
	// answers.
	if t.failed >= maxTries {
		return "", true, nil
	}
	got := sha256.Sum256([]byte(token))
	// Tokens are revealed with each login: one in a file may have been changed since.
	for _, named := range g.config.Tokens {
		right, e := named.Value.Reveal()
		if e != nil {
			err = e
			continue
		}
		// Hashes have one length, and every token is compared: the time that this
		// takes tells nothing.
		want := sha256.Sum256([]byte(right))
		// A file that is empty for a moment must not let in a user who sends nothing.
		if subtle.ConstantTimeCompare(got[:], want[:]) == 1 && right != "" {
			who = named.Name
		}
	}
	// A success does not count as a failure and does not forget any: a user who knows one token
	// can't use it to guess others.
	if who != "" {
		return who, false, nil
	}
	t.failed++
	if len(g.tries) >= maxAddress {
		clear(g.tries) // many addresses: bounded memory comes first
	}
	g.tries[from] = t
	return "", false, err
}

// open begins a session and returns its secret.
// Only a hash of the secret is kept, so a dump of the memory opens no session.
func (g *gate) open(who, token string) string {
	id := rand.Text()
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	// The zero hash is not a session's, so it stands for none yet.
	oldest := [32]byte{}
	for key, s := range g.sessions {
		if now.After(s.until) {
			delete(g.sessions, key)
		} else if old, ok := g.sessions[oldest]; !ok || s.until.Before(old.until) {
			oldest = key
		}
	}
	// Only users with a token get here, so nobody else can push sessions out.
	if len(g.sessions) >= maxSessions {
		delete(g.sessions, oldest)
	}
	g.sessions[sha256.Sum256([]byte(id))] = session{who, sha256.Sum256([]byte(token)), now.Add(g.config.Session)}
	return id
}

// shut ends the session of a request.
// The secret is worth nothing afterwards, also where the browser keeps the cookie.
func (g *gate) shut(r *http.Request) {
	if cookie, err := r.Cookie(g.cookie); err == nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.sessions, sha256.Sum256([]byte(cookie.Value)))
	}
}
