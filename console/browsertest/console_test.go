package browsertest

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOperator(t *testing.T) {
	w := newWorld(t, false)
	w.trouble(t)
	browser := newBrowser(t)
	p := open(t, browser)
	p.login(w, "right-token")
	p.see("#state", "the bus up")
	pictures(t, p, w, "now", "")
	pictures(t, p, w, "keys", "keys")
	pictures(t, p, w, "members", "members")
	pictures(t, p, w, "letters", "letters")
	pictures(t, p, w, "causes", "letters?topic="+letterTopic)
	p.get(w.address() + "letters?topic=" + letterTopic)
	p.click("tbody a", "")
	pictures(t, p, w, "cause", js[string](p, "location.href.split('/ops/')[1]"))
	p.get(w.address() + "letters?topic=" + letterTopic)
	p.click("tbody a", "")
	p.see("h1", "One cause")
	p.click("tbody a", "")
	p.see("h1", "Dead letter")
	pictures(t, p, w, "letter", js[string](p, "location.href.split('/ops/')[1]"))
	pictures(t, p, w, "story", "story?by=correlation&what=flow-expired-3")
	pictures(t, p, w, "story2", "story?by=key&what=c-1")
	pictures(t, p, w, "catalog", "catalog")
	pictures(t, p, w, "doctor", "doctor")
	pictures(t, p, w, "jobs", "jobs")
}

// pictures takes a page in all looks, if EVENTBUS_PICTURES names a directory.
func pictures(t *testing.T, p *tab, w *world, name, path string) {
	dir := os.Getenv("EVENTBUS_PICTURES")
	if dir == "" {
		return
	}
	for look, width := range map[string]int64{"wide": 1400, "narrow": 420} {
		for _, scheme := range []string{"light", "dark"} {
			p.look(width, scheme)
			p.get(w.address() + path)
			p.picture(filepath.Join(dir, name+"-"+look+"-"+scheme+".png"))
		}
	}
}
