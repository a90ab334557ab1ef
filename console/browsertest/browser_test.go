package browsertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// tab is a tab of a browser. Complaints of the browser fail the test.
type tab struct {
	t   *testing.T
	ctx context.Context
	// close closes the tab.
	close context.CancelFunc

	mu         sync.Mutex
	complaints []string
	allowed    []string // complaints that a test provokes
}

// newBrowser starts a browser with an empty profile. Its tabs share cookies.
func newBrowser(t *testing.T) context.Context {
	t.Helper()
	program := os.Getenv("EVENTBUS_BROWSER")
	if program == "" {
		for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
			if path, err := exec.LookPath(name); err == nil {
				program = path
				break
			}
		}
	}
	if program == "" {
		t.Skip("no browser: install chromium, or name one in EVENTBUS_BROWSER; scripts/browser.sh does")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("headless", "new"), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("lang", "en-GB"))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	browser, quit := chromedp.NewContext(allocator)
	t.Cleanup(quit)
	must(t, chromedp.Do(browser))
	return browser
}

// open opens a tab of a browser.
func open(t *testing.T, browser context.Context) *tab { //nolint:revive // t is first everywhere
	t.Helper()
	ctx, end := chromedp.NewContext(browser)
	p := &tab{t: t, ctx: ctx, close: end}
	must(t, chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError || e.Entry.Source == log.EntrySourceSecurity {
				p.complain(fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
			}
		case *runtime.EventExceptionThrown:
			p.complain("script: " + e.ExceptionDetails.Text)
		case *audits.EventIssueAdded:
			if e.Issue.Details != nil && e.Issue.Details.ContentSecurityPolicyIssueDetails != nil {
				d := e.Issue.Details.ContentSecurityPolicyIssueDetails
				p.complain(fmt.Sprintf("policy: %s %s", d.ViolatedDirective, d.BlockedURL))
			}
		}
	}))
	p.do(command(log.Enable, cdp.Empty{}), command(runtime.Enable, cdp.Empty{}), command(audits.Enable, cdp.Empty{}))
	t.Cleanup(func() {
		end()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range p.complaints {
			t.Errorf("the browser complains: %s", c)
		}
	})
	return p
}

// command is an action that sends a command of the protocol itself.
func command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

func (p *tab) complain(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.allowed {
		if strings.Contains(what, a) {
			return
		}
	}
	p.complaints = append(p.complaints, what)
}

// allow ignores complaints that the test provokes.
func (p *tab) allow(what ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.allowed = append(p.allowed, what...)
}

// do performs actions in the page, within half a minute.
func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

// get opens a page.
func (p *tab) get(address string) {
	p.t.Helper()
	p.do(chromedp.Navigate(address))
}

// js evaluates an expression in the page.
func js[T any](p *tab, format string, args ...any) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](fmt.Sprintf(format, args...)))
	if err != nil {
		p.t.Fatalf("%s: %v", fmt.Sprintf(format, args...), err)
	}
	return v
}

// text returns the visible text of an element; "" if there is none.
func (p *tab) text(selector string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	for {
		text, err := chromedp.Run(ctx, chromedp.Evaluate[string](fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector)))
		switch {
		case err == nil:
			return text
		case ctx.Err() == nil && strings.Contains(err.Error(), "navigated"):
			// The page is being replaced: the next one has the text, or will have it.
		default:
			p.t.Fatalf("the text of %s: %v", selector, err)
		}
	}
}

// await evaluates an expression whose value is a promise.
func await[T any](p *tab, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// see waits until an element shows a text. It polls, since nothing signals that a page has
// changed or was replaced.
func (p *tab) see(selector, want string) {
	p.t.Helper()
	p.seeWithin(selector, want, 20*time.Second)
}

// seeWithin is like see, with its own time limit.
func (p *tab) seeWithin(selector, want string, within time.Duration) {
	p.t.Helper()
	if p.until(within, func() bool { return strings.Contains(p.text(selector), want) }) != nil {
		p.t.Fatalf("%s does not show %q at %s:\n%s", selector, want, js[string](p, "location.href"), p.text("body"))
	}
}

// click clicks the first element of a selector that contains a text.
func (p *tab) click(selector, text string) {
	p.t.Helper()
	if !js[bool](p, "(() => { const e = [...document.querySelectorAll(%q)].find(e => e.innerText.includes(%q)); e?.focus(); e?.click(); return !!e; })()", selector, text) {
		p.t.Fatalf("there is no %s with %q at %s:\n%s", selector, text, js[string](p, "location.href"), p.text("body"))
	}
}

// fill puts text into a field.
func (p *tab) fill(selector, text string) {
	p.t.Helper()
	if !js[bool](p, "(() => { const e = document.querySelector(%q); if (e) { e.focus(); e.value = %q; } return !!e; })()", selector, text) {
		p.t.Fatalf("there is no field %s at %s:\n%s", selector, js[string](p, "location.href"), p.text("body"))
	}
}

// press clicks with the mouse the first element of a selector that contains a text. A live
// page changes while the button is down, as it may under a slow hand.
func (p *tab) press(selector, text string) {
	p.t.Helper()
	at := js[[]float64](p, "(() => { const e = [...document.querySelectorAll(%q)].find(e => e.innerText.includes(%q)); e?.scrollIntoView({block: 'center', behavior: 'instant'}); const r = e?.getBoundingClientRect(); return r ? [r.x + r.width / 2, r.y + r.height / 2] : []; })()", selector, text)
	if len(at) != 2 {
		p.t.Fatalf("there is no %s with %q at %s:\n%s", selector, text, js[string](p, "location.href"), p.text("body"))
	}
	mouse := func(what input.DispatchMouseEventType) {
		p.do(command(input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: what, X: at[0], Y: at[1], Button: input.MouseButtonLeft, ClickCount: 1}))
	}
	mouse(input.DispatchMouseEventTypeMousePressed)
	_ = p.changes(2 * time.Second) // an idle page does not change
	mouse(input.DispatchMouseEventTypeMouseReleased)
}

// changes waits until a live page has received a change. It does not wait on other pages.
func (p *tab) changes(within time.Duration) error {
	p.t.Helper()
	js[bool](p, "delete window.before")
	return p.until(within, func() bool {
		return js[bool](p, "!document.body.dataset.live || Number(document.body.dataset.updates || 0) > (window.before ??= Number(document.body.dataset.updates || 0))")
	})
}

// until polls until is returns true.
func (p *tab) until(within time.Duration, is func() bool) error {
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for end := time.After(within); !is(); {
		select {
		case <-look.C:
		case <-end:
			return fmt.Errorf("it did not come about within %v", within)
		}
	}
	return nil
}

// login opens the console and logs in.
func (p *tab) login(address, token string) {
	p.t.Helper()
	p.get(address)
	p.fill("#token", token)
	p.click("#login button", "Log in")
	p.see("nav", "Keys")
}

// look sets the width of the window and the colour scheme.
func (p *tab) look(width int64, scheme string) {
	p.t.Helper()
	p.do(
		command(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 900, DeviceScaleFactor: 1, Mobile: width < 600}),
		command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}),
	)
}

// picture writes the whole page to a PNG file.
func (p *tab) picture(file string) {
	p.t.Helper()
	png, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	must(p.t, err)
	must(p.t, os.WriteFile(file, png, 0o644))
}
