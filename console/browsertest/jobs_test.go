package browsertest

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestJobs: one operator stops a job and resumes it. Another is warned of it and takes it
// over. When their console closes, the job goes on at the next one, until an order of another
// cause takes its place. The mouse button is held while the page changes.
func TestJobs(t *testing.T) {
	w := newWorld(t, false)
	w.trouble(t, 200)
	w.heal()
	browser := newBrowser(t)
	alice := open(t, browser)
	alice.login(w.address(t), "right-token")
	// plan makes the dry run of a cause.
	plan := func(p *tab, at, cause, rate string) {
		p.get(at + "letters?topic=" + letterTopic)
		p.see("main", cause)
		js[bool](p, "(() => { for (const r of document.querySelectorAll('tbody tr')) r.querySelector('input').checked = r.innerText.includes(%q); return true; })()", cause)
		p.fill("#rate", rate)
		p.click("button", "Dry run")
		p.see("main", "200 letters would be changed")
		p.fill("#why", "mended: "+cause)
	}
	plan(alice, w.address(t), "has expired", "5")
	alice.press("main button", "Redrive 200 letters")
	alice.see(".said", "is ordered")
	alice.see("#jobs", "running by console of billing")
	must(t, alice.changes(20*time.Second)) // some letters have come back

	alice.click("#jobs summary", "Stop")
	alice.write("#jobs input[name=why]", "the bank calls back")
	alice.press("#jobs button", "Stop job")
	alice.see(".said", "and nothing more")
	said := regexp.MustCompile(`stopped: (\d+) letter`).FindStringSubmatch(alice.text(".said"))
	if said == nil {
		t.Fatalf("it says %q", alice.text(".said"))
	}
	alice.see("#jobs", "stopped")
	alice.see("#jobs", "alice: the bank calls back")
	stopped, _ := strconv.Atoi(said[1])
	paid := func() int { _, all := w.counted("expired"); return len(all) }
	w.await(t, "what came back before the stop", func() bool { return paid() >= stopped })

	alice.press("#jobs button", "Resume")
	alice.see(".said", "goes on")
	alice.see("#jobs", "running by alice, in this console")
	if text := alice.text("#jobs"); strings.Contains(text, "Take over") {
		t.Errorf("alice's console offers to take over from itself: %s", text)
	}
	if n := paid(); n < stopped || stopped == 0 {
		t.Errorf("%d came back, and the stop said %d", n, stopped)
	}

	second, there := w.open(t)
	bob := open(t, newBrowser(t))
	bob.login(there, "other-token")
	bob.get(there + "jobs")
	bob.see("#jobs", "running by alice")
	bob.click("#jobs summary", "Take over")
	bob.see("#jobs", "alice runs it now, and will be told")
	bob.press("#jobs button", "here instead")
	bob.see(".said", "goes on")
	bob.see("#jobs", "running by bob")
	alice.get(w.address(t) + "jobs")
	alice.see("#jobs", "running by bob")
	bob.get("about:blank")
	must(t, second.Close(t.Context()))
	// Nobody stopped the job: the remaining console takes it up.
	alice.seeWithin("#jobs", "running by console of billing", 30*time.Second)

	plan(alice, w.address(t), "is blocked", "")
	alice.see("[role=alert]", "console of billing runs job")
	alice.click("#take-over", "")
	alice.press("main button", "Redrive 200 letters")
	alice.see(".said", "is ordered")
	alice.seeWithin("#jobs", "200 of 200", 30*time.Second)
	alice.see("#jobs", "alice: taken over: mended: is blocked")
	_, blocked := w.counted("blocked")
	w.await(t, "the other cause", func() bool { _, blocked = w.counted("blocked"); return len(blocked) == 200 })
	if n := paid(); n == 200 {
		t.Error("the job that was taken over went on to its end")
	}
}

// TestUnfinished makes a dry run with nothing chosen, and goes on from there. A page that is not
// there leads back too, at any depth.
func TestUnfinished(t *testing.T) {
	w := newWorld(t, false)
	w.trouble(t, 12)
	p := open(t, newBrowser(t))
	p.allow("400", "404")
	p.login(w.address(t), "right-token")
	p.get(w.address(t) + "letters?topic=" + letterTopic)
	p.fill("#rate", "7")
	p.click("main button", "Dry run")
	p.see("form [role=alert]", "choose at least one cause")
	if rate := js[string](p, "document.getElementById('rate').value"); rate != "7" {
		t.Errorf("the rate is %q now", rate)
	}
	js[bool](p, "(() => { document.querySelector('tbody input').checked = true; return true; })()")
	p.click("main button", "Dry run")
	p.see("main", "would be changed")
	p.get(w.address(t) + "nowhere/at/all")
	p.see("h1", "Not Found")
	if shown := js[string](p, "getComputedStyle(document.querySelector('header')).display"); shown != "flex" {
		t.Errorf("the page has no style: the header is %s", shown)
	}
	p.click("nav a", "Dead letters")
	p.see("h1", "Dead letters")
}

// TestReplay has handlers run again over counted events, with the script and without it.
func TestReplay(t *testing.T) {
	w := newWorld(t, false)
	w.trouble(t, 12)
	for round, script := range []bool{true, false} {
		p := open(t, newBrowser(t))
		p.do(command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !script}))
		p.login(w.address(t), "right-token")
		p.click("nav a", "Replays")
		p.see("h1", "Replays")
		if !js[bool](p, "(() => { const o = [...document.querySelectorAll('#handlers option')].find(o => o.innerText.includes('payments')); if (o) o.selected = true; return !!o; })()") {
			t.Fatalf("the handlers of payments are no choice: %s", p.text("main"))
		}
		p.fill("#from", "2020-01-01T00:00:00")
		p.click("main button", "Dry run")
		p.see("main", "40 events would be handled again")
		p.see("main", "PaymentTaken")
		p.click("main button", "Handle 40 events again") // the browser asks for the reason
		p.fill("#why", "receipts were lost")
		p.click("main button", "Handle 40 events again")
		p.see(".said", "is ordered")
		p.see("#replays", "40 of 40")
		p.see("#replays", "alice")
		p.see("#replays", "receipts were lost")
		w.await(t, "every payment", func() bool {
			_, paid := w.counted("fine")
			return len(paid) == 40 && slices.Min(paid) == 2+round && slices.Max(paid) == 2+round
		})
	}
	if log := w.log.String(); strings.Count(log, `order=replay who=alice why="receipts were lost"`) != 4 { // begun and ended, twice
		t.Errorf("the log says %s", log)
	}
}

// write types into a field key by key.
func (p *tab) write(selector, text string) {
	p.t.Helper()
	p.fill(selector, "")
	p.do(chromedp.KeyEvent(text))
}
