package stack

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

// here returns the position of its caller's call, plus a number of lines.
func here(later int) string {
	_, _, line, _ := runtime.Caller(1)
	return fmt.Sprintf("stack/origin_test.go:%d", line+later)
}

func TestOrigin(t *testing.T) {
	var want string
	for name, broken := range map[string]func(){
		"panic": func() {
			want = here(1)
			panic("broken")
		},
		"nil pointer": func() {
			var p *struct{ n int }
			want = here(1)
			p.n++
		},
		"index": func() {
			none := []int{}
			want = here(1)
			none[len(name(t))]++
		},
		"passed on": func() {
			defer func() { panic(fmt.Sprint("again: ", recover())) }()
			want = here(1)
			panic("broken")
		},
		"runtime.Goexit": func() {
			want = here(1)
			runtime.Goexit()
		},
	} {
		t.Run(name, func(t *testing.T) {
			var trace []byte
			done := make(chan struct{})
			go func() {
				defer close(done)
				defer func() {
					_ = recover()
					trace = debug.Stack()
				}()
				broken()
			}()
			<-done
			if got := Origin(trace); got != want {
				t.Errorf("began at %q, want %q, of\n%s", got, want, trace)
			}
		})
	}
	for _, other := range []string{"", "panic(", "panic(\n", "runtime.Goexit()\n\tx", "nothing\nof the kind", string(debug.Stack())} {
		if at := Origin([]byte(other)); at != "" {
			t.Errorf("%q is in %s", at, other)
		}
	}
	if at := short("main.go:3 +0x1d"); at != "main.go:3" || strings.Contains(at, "/") {
		t.Errorf("%q", at)
	}
}

func name(t *testing.T) string { return t.Name() }
