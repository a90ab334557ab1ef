package eventbus_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestDroppedResults: the command from the guide and the checks finds every dropped
// subscription in testdata/dropped.
func TestDroppedResults(t *testing.T) {
	guide, err := os.ReadFile("docs/guide/first-service.md")
	if err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile(`(?m)^go vet -unusedresult -unusedresult\.funcs="(\S+)" \./\.\.\.$`).FindSubmatch(guide)
	if command == nil {
		t.Fatal("the guide does not say how to find what is dropped")
	}
	used := string(command[1])
	check, err := os.ReadFile("scripts/check.sh")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.ReplaceAll(string(check), "$bus.", "github.com/eventbus-go/eventbus."), "used="+used+"\n") {
		t.Errorf("scripts/check.sh looks for others than %s", used)
	}
	source, err := os.ReadFile("testdata/dropped/main.go")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "vet", "-unusedresult", "-unusedresult.funcs="+used, "./testdata/dropped").CombinedOutput()
	if err == nil {
		t.Error("nothing is found")
	}
	for name := range strings.SplitSeq(used, ",") {
		if !strings.Contains(string(out), "result of "+name+" call not used") {
			t.Errorf("a dropped %s is not found in\n%s", name, out)
		}
	}
	if n := strings.Count(string(source), "\teventbus."); n != strings.Count(string(out), "call not used") {
		t.Errorf("%d calls drop their result, found are\n%s", n, out)
	}
}
