package console

import "testing"

// TestCSVHasNoFormulas: no cell begins as a formula does, in any column, and none
// breaks its row.
func TestCSVHasNoFormulas(t *testing.T) {
	text, err := asCSV([][]string{{"group", "key"}, {"=cmd|' /C calc'!A0", "+1\n@SUM(A1)"}, {"-2", "plain"}})
	if err != nil {
		t.Fatal(err)
	}
	if want := "group,key\n'=cmd|' /C calc'!A0,'+1\\n@SUM(A1)\n'-2,plain\n"; string(text) != want {
		t.Errorf("%q, want %q", text, want)
	}
}
