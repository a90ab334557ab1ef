package browsertest

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
)

var (
	picturesDir = flag.String("pictures", "", "write pictures of the guide's pages into this directory")
	allPictures = flag.Bool("all", false, "of all pages, light and dark, wide and narrow")
)

// TestOperator does what an operator does who does not know the service, with ten thousand
// dead letters of three causes: finds what is stuck, unblocks it, redelivers one cause to
// the group that failed, while the tab is closed and the program that serves the pages is
// killed, and follows one event.
func TestOperator(t *testing.T) {
	const each = 3333
	w := newWorld(t, false)
	w.audit(t)
	w.trouble(t, each)
	file := build(t)
	first := w.serve(t, file)
	browser := newBrowser(t)
	p := open(t, browser)
	p.get(first.address)
	p.see("nav", "Dead letters") // logged in by the token behind the #
	if at := js[string](p, "location.href"); strings.Contains(at, "#") {
		t.Errorf("the token stays in the address: %s", at)
	}
	p.see("#concerns", "stands still for") // ten seconds or more
	for _, want := range []string{"key c-1, attempt 1, next in", "dial tcp 10.0.0.7:5432: connect: connection refused", "the circuit breaker is open", "10,000 dead letters in " + letterTopic} {
		p.see("#concerns", want)
	}
	p.see("#state", "the bus up")
	p.see("#live", "live")
	w.heal()
	p.click("#concerns a", "keys")
	p.see("h1", "Parked keys")
	p.click("form[action=unpark] button", "key c-1")
	p.see(".said", "Key c-1 is tried again now.")
	w.await(t, "c-1 and what waited behind it", func() bool { return !w.parked("c-1") })
	p.get(first.base + "keys") // of all groups: the link was to those of one topic
	p.see("main", "parcel-0")
	if text := p.text("#keys"); strings.Contains(text, "c-1") {
		t.Errorf("the key is still shown:\n%s", text)
	}
	if log := w.log.String(); !strings.Contains(log, "order=unpark who=operator") || strings.Contains(log, strings.TrimPrefix(first.address, first.base)) {
		t.Errorf("the log says %s", log)
	}

	w.await(t, "the other service", func() bool { n, _ := w.counted("expired"); return n == 3*each+45 })
	p.get(first.base + "letters?topic=" + letterTopic)
	p.see("main", "10,000 letters, by cause")
	if !js[bool](p, "(() => { for (const r of document.querySelectorAll('tbody tr')) r.querySelector('input').checked = r.innerText.includes('has expired'); return !!document.querySelector('tbody input:checked'); })()") {
		t.Fatal("no cause could be chosen")
	}
	p.fill("#rate", "300")
	p.click("button", "Dry run")
	p.see("main", "3,333 letters would be changed")
	p.fill("#why", "cards were renewed")
	p.click("button", "Redrive 3,333 letters")
	p.see(".said", "is ordered")
	p.see("#jobs", "running")
	p.close()
	p = open(t, browser)
	p.get(first.base + "jobs")
	p.see("#jobs", "running") // the job goes on without the tab that it was ordered in
	p.see("#jobs", " of 3,333")
	p.close()
	first.kill(t)
	_, before := w.counted("expired")
	if len(before) == each {
		t.Error("the program was killed when all was done")
	}
	second := w.serve(t, file)
	p = open(t, browser)
	p.get(second.address)
	p.see("nav", "Jobs")
	p.get(second.base + "jobs")
	p.seeWithin("#jobs", "3,333 of 3,333", 90*time.Second)
	p.see("#jobs", "cards were renewed")
	p.get(second.base + "letters?topic=" + letterTopic)
	p.see("main", "6,667 open letters")
	if text := p.text("main"); strings.Contains(text, "has expired") {
		t.Errorf("the cause is still open:\n%s", text)
	}
	w.await(t, "every payment", func() bool { _, paid := w.counted("expired"); return len(paid) == each })
	audited, paid := w.counted("expired")
	if n := slices.Max(paid); n != 1 || audited != 3*each+45 {
		t.Errorf("an order was paid %d times, and the other service handled %d orders", n, audited)
	}
	for _, other := range []string{"blocked", "odd"} {
		if _, paid := w.counted(other); len(paid) > 0 {
			t.Errorf("%d orders of another cause came back", len(paid))
		}
	}
	p.get(second.base + "story?by=correlation&what=flow-expired-3")
	for _, want := range []string{"2 events found", "published", "dead letter", "has expired", "redelivered", "PaymentTaken", "after its cause"} {
		p.see("main", want)
	}
}

// TestHostile: markup, terminal commands and bidirectional controls in events are shown as
// text.
func TestHostile(t *testing.T) {
	w := newWorld(t, false)
	w.trouble(t, 12)
	p := open(t, newBrowser(t))
	p.login(w.address(t), "right-token")
	for _, path := range []string{"", "keys", "members", "letters?topic=" + letterTopic, "story?by=key&what=evil-1", "story?by=%3Cscript%3E&what=x", "keys?find=%3Cscript%3E&group=%22%3E", "catalog?find=%3Cimg%3E", "nowhere/<script>"} {
		p.allow("404", "400")
		p.get(w.address(t) + path)
		if title := js[string](p, "document.title"); title == "owned" {
			t.Fatalf("a script of an event ran on %s", path)
		}
		if n := js[int](p, "document.querySelectorAll('img, script:not([src]), main script').length"); n != 0 {
			t.Errorf("%s has %d elements of an event", path, n)
		}
		if raw := js[bool](p, `/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/.test(document.documentElement.outerHTML)`); raw {
			t.Errorf("%s has a control character", path)
		}
	}
	p.get(w.address(t) + "keys")
	p.see("#keys", `<script>document.title='owned'</script>\x1b[31m\u202egnp`)
	p.see("#keys", `</td><img src=x`)
}

// TestForged: a page of another origin can give no order, whether on this host or on
// another; a wrong token can't either.
func TestForged(t *testing.T) {
	w := newWorld(t, false)
	w.trouble(t, 12)
	browser := newBrowser(t)
	p := open(t, browser)
	p.login(w.address(t), "right-token")
	p.get(w.address(t) + "keys")
	fields := js[string](p, "[...document.querySelectorAll('form[action=unpark]')].find(f => f.innerText.includes('c-1')).innerHTML")
	evil := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(rw, `<title>evil</title><form method=post action="%sunpark">%s</form><script>document.forms[0].submit()</script>`, w.address(t), fields)
	}))
	defer evil.Close()
	for _, from := range []string{evil.URL, strings.Replace(evil.URL, "127.0.0.1", "localhost", 1)} {
		forger := open(t, browser)
		forger.allow("403", "401", "Blocked", "favicon")
		forger.get(from)
		// On this host the browser sends the cookie along, and the origin gives the page away.
		forger.see("body", map[bool]string{true: "another origin", false: "log in first"}[from == evil.URL])
	}
	if text := w.log.String(); strings.Contains(text, "carried out") || !w.parked("c-1") || strings.Count(text, "an order was refused") != 2 || !strings.Contains(text, "origin="+evil.URL) {
		t.Errorf("the forged order was carried out, or its refusal not logged: %s", text)
	}
	wrong := open(t, newBrowser(t))
	wrong.allow("401")
	wrong.get(w.address(t))
	wrong.fill("#token", "a-guess")
	wrong.click("#login button", "Log in")
	wrong.see("[role=alert]", "No such token")
	framed := open(t, browser)
	framed.allow("frame-ancestors", "Framing", "frame")
	frame := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(rw, `<title>frame</title><iframe id=f src="%s"></iframe>`, w.address(t))
	}))
	defer frame.Close()
	framed.get(frame.URL)
	if js[bool](framed, "(() => { try { return !!document.getElementById('f').contentDocument?.querySelector('nav'); } catch { return false; } })()") {
		t.Error("the console can be framed")
	}
}

// TestWithoutScript does what TestOperator does, with forms only.
func TestWithoutScript(t *testing.T) {
	w := newWorld(t, false)
	w.trouble(t, 12)
	p := open(t, newBrowser(t))
	p.do(command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
	p.login(w.address(t), "right-token")
	p.see("#concerns", "the circuit breaker is open")
	w.heal()
	p.get(w.address(t) + "keys")
	p.click("form[action=unpark] button", "key c-1")
	p.see(".said", "Key c-1 is tried again now.")
}

// TestLive: changes appear, and the focus stays where it was.
func TestLive(t *testing.T) {
	w := newWorld(t, false)
	w.trouble(t, 12)
	p := open(t, newBrowser(t))
	p.login(w.address(t), "right-token")
	p.get(w.address(t) + "keys")
	p.see("#live", "live")
	id := js[string](p, "(() => { const b = [...document.querySelectorAll('form[action=unpark] button')].find(b => b.innerText.includes('c-1')); b.focus(); return b.id; })()")
	before := js[int](p, "Number(document.body.dataset.updates)")
	w.await(t, "three updates", func() bool { return js[int](p, "Number(document.body.dataset.updates)") >= before+3 })
	if now := js[string](p, "document.activeElement.id"); now != id {
		t.Errorf("the focus went from %s to %s", id, now)
	}
	js[bool](p, "(() => { const f = document.createElement('input'); document.getElementById('keys').append(f); f.focus(); return true; })()")
	p.see("#live", "not live while you type")
	js[bool](p, "(() => { document.activeElement.blur(); return true; })()")
	w.await(t, "a live page", func() bool { return p.text("#live") == "live" })
	w.admins[0].CloseClientConnections()
	w.admins[0].Close()
	w.admins[1].Close()
	p.get(w.address(t) + "members")
	p.see("#members", "last heard")
	p.see("#members", "s ago")
	if text := p.text("#members"); !strings.Contains(text, "billing") {
		t.Errorf("what the silent members told last is gone:\n%s", text)
	}
	p.get(w.address(t))
	p.see("#concerns", "was last heard")
}

// pages returns the pages that are examined as a whole, with names for their pictures.
func pages(p *tab, at string) [][2]string {
	all := [][2]string{
		{"now", ""}, {"keys", "keys"}, {"letters", "letters"}, {"causes", "letters?topic=" + letterTopic}, {"story", "story?by=correlation&what=flow-expired-3"},
		{"jobs", "jobs"}, {"catalog", "catalog"}, {"doctor", "doctor"}, {"members", "members"}, {"outbox", "outbox"}, {"login", "login"},
		{"letter", "letter?topic=" + letterTopic + "&partition=0&offset=0"}, {"fault", "letter?topic=x"},
		{"missing", "nowhere/at/all"}, {"unfinished", "plan?topic=" + letterTopic + "&action=skip"},
	}
	p.get(at + "letters?topic=" + letterTopic)
	cause := js[string](p, "document.querySelector('tbody a').href.split('/ops/')[1]")
	plan := js[string](p, "'plan?topic="+letterTopic+"&action=replay&rate=50&cause=' + document.querySelector('tbody input').value")
	p.get(at + "replays")
	replay := js[string](p, "'replay-plan?from=2020-01-01T00:00&handlers=' + encodeURIComponent([...document.querySelectorAll('#handlers option')].find(o => o.innerText.includes('payments')).value)")
	return append(all, [2]string{"cause", cause}, [2]string{"plan", plan}, [2]string{"replays", "replays"}, [2]string{"replay-plan", replay})
}

// TestAccessible has axe-core check every page, light and dark, wide and narrow.
func TestAccessible(t *testing.T) {
	if os.Getenv("EVENTBUS_AXE") == "" {
		t.Skip("no axe-core: scripts/browser.sh fetches it")
	}
	w := newWorld(t, false)
	w.trouble(t, 12)
	p := open(t, newBrowser(t))
	p.allow("404", "400")
	p.login(w.address(t), "right-token")
	for _, page := range pages(p, w.address(t)) {
		for width, scheme := range map[int64]string{1400: "light", 390: "dark"} {
			p.look(width, scheme)
			p.get(w.address(t) + page[1])
			p.accessible(fmt.Sprintf("%s, %d wide, %s", page[0], width, scheme))
		}
	}
}

// accessible has axe-core check the current page, if axe-core is installed.
func (p *tab) accessible(name string) {
	p.t.Helper()
	if file := os.Getenv("EVENTBUS_AXE"); file != "" {
		script, err := os.ReadFile(file)
		must(p.t, err)
		js[bool](p, "%s; true", script)
		found := await[string](p, `axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations.map(v => v.id + ": " + v.help + " " + v.nodes.map(n => n.html).join(" | ").slice(0, 600)).join("\n"))`)
		if found != "" {
			p.t.Errorf("%s:\n%s", name, found)
		}
	}
	if wider := js[int](p, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); wider > 0 {
		p.t.Errorf("%s: the page is %d wider than the window", name, wider)
	}
	// On a phone rows are cards, so no table has to be scrolled sideways.
	if wide := js[string](p, "innerWidth > 720 ? '' : [...document.querySelectorAll('.wide')].filter(e => e.scrollWidth > e.clientWidth).map(e => e.ariaLabel).join(', ')"); wide != "" {
		p.t.Errorf("%s: the tables %s are wider than the window", name, wide)
	}
}

// guide lists the pictures of the guide: the page, and its looks.
var guide = map[string][]string{"now": {"wide-light", "narrow-dark"}, "keys": {"wide-light"}, "causes": {"wide-light"}, "plan": {"wide-light"}, "replay-plan": {"wide-light"}, "story": {"wide-dark"}}

// TestPictures takes the pictures for the guide, or those of all pages in every look.
func TestPictures(t *testing.T) {
	if *picturesDir == "" {
		t.Skip("no -pictures")
	}
	w := newWorld(t, false)
	w.trouble(t, 12)
	p := open(t, newBrowser(t))
	p.allow("404", "400")
	p.login(w.address(t), "right-token")
	p.see("#concerns", "stands still for 1")
	for _, page := range pages(p, w.address(t)) {
		for size, width := range map[string]int64{"wide": 1200, "narrow": 390} {
			for _, scheme := range []string{"light", "dark"} {
				look := size + "-" + scheme
				if !*allPictures && !slices.Contains(guide[page[0]], look) {
					continue
				}
				p.look(width, scheme)
				p.get(w.address(t) + page[1])
				p.picture(filepath.Join(*picturesDir, page[0]+"-"+look+".png"))
			}
		}
	}
}
