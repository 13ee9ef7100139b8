package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What there is to choose from grows with every component; config's own golden files hold
// such lists for a registry that does not.
var choices = regexp.MustCompile(`((?:types|keys here|beside the type|decoders|buses|columns): ).*`)

// Every broken configuration gives place, problem and what to do, and every command that
// reads one says the same, with exit code 2.
func TestBrokenConfigurations(t *testing.T) {
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d broken configurations, %v", len(files), err)
	}
	t.Chdir("testdata/broken")
	for _, file := range files {
		file = filepath.Base(file)
		t.Run(strings.TrimSuffix(file, ".yaml"), func(t *testing.T) {
			says := make(map[string]string)
			commands := [][]string{
				{"validate"}, {"run"}, {"test"}, {"send", "--event", "{}"}, {"explain", "--event", "{}"}, {"import", "x.log"},
			}
			for _, args := range commands {
				var out, errOut strings.Builder
				code := execute(append(args, "-c", file), strings.NewReader(""), &out, &errOut)
				if code != exitUsage || out.Len() > 0 {
					t.Errorf("%s: exit code %d, output %q", args[0], code, out.String())
				}
				if says[args[0]] = errOut.String(); code != exitUsage && args[0] == "validate" {
					t.FailNow() // to run what is valid would not end
				}
				if says[args[0]] != says["validate"] {
					t.Errorf("%s and validate disagree:\n%s", args[0], cmp.Diff(says["validate"], says[args[0]]))
				}
			}
			got := choices.ReplaceAllString(says["validate"], "${1}…")
			if strings.Contains(got, "classified") {
				t.Errorf("a secret is in the message:\n%s", got)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".want"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatalf("%v: write it with -update", err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := os.Stat("data"); err == nil {
		t.Error("a broken configuration left something behind")
	}
}
