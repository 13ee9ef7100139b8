package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack/config"
	"github.com/sidetrack-go/sidetrack/pipeline"
	"github.com/sidetrack-go/sidetrack/pipeline/standard/full"
)

// The example of the README: what `sidetrack explain` shows of a purchase is what arrives at the backend when
// it is sent, byte for byte.
func TestSentIsWhatWasExplained(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	files := regexp.MustCompile("(?s)```json purchase.json\n(\\{\"name\": ?\"purchase\".*?)```").FindSubmatch(readme)
	if files == nil {
		t.Fatal("the README has no purchase as JSON")
	}
	dir := t.TempDir()
	event := filepath.Join(dir, "purchase.json")
	// Both commands get the same times, which they would otherwise take from the clock.
	now := time.Now().UTC().Format(time.RFC3339)
	purchase := `{"id":"` + uuid.NewString() + `","time":"` + now + `","received":"` + now + `",` + string(files[1][1:])
	if err := os.WriteFile(event, []byte(purchase), 0o600); err != nil {
		t.Fatal(err)
	}
	var uri, body string
	var header http.Header
	mock := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		uri, body, header = r.Method+" "+r.URL.RequestURI(), string(b), r.Header
		w.WriteHeader(http.StatusNoContent)
	}))
	defer mock.Close()
	yaml := `
sources: {web: {http: {listen: ":0"}}}
intake:
  - visitor: {cookieless: daily}
processors:
  - bots: {action: drop}
sinks:
  google:
    ga4: {measurement_id: G-XXXXXXXXXX, api_secret: classified, endpoint: "` + mock.URL + `/mp/collect"}
`
	file := filepath.Join(dir, "sidetrack.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	command := func(args ...string) pipeline.Explanation {
		t.Helper()
		var out, errOut strings.Builder
		if code := execute(append(args, "-c", file, "--ip", "203.0.113.77", "--output", "json", event), strings.NewReader(""), &out, &errOut); code != exitOK {
			t.Fatalf("%v: exit code %d\n%s%s", args, code, out.String(), errOut.String())
		}
		var x pipeline.Explanation
		if err := json.Unmarshal([]byte(out.String()), &x); err != nil {
			t.Fatal(err)
		}
		return x
	}
	shown := command("explain").Sinks[0].Request
	if body != "" {
		t.Fatal("explain sent something")
	}
	if shown == nil {
		t.Fatal("nothing would be sent")
	}
	answer := command("send").Sinks[0].Answer
	if answer == nil || answer.Status != http.StatusNoContent {
		t.Fatalf("answer %+v", answer)
	}
	if diff := cmp.Diff(shown.Body, body); diff != "" {
		t.Errorf("the body that arrived is not the one shown:\n%s", diff)
	}
	if want := shown.Method + " " + strings.ReplaceAll(strings.TrimPrefix(shown.URL, mock.URL), "[secret]", "classified"); uri != want {
		t.Errorf("arrived %s, shown %s", uri, want)
	}
	for name, values := range shown.Header {
		if diff := cmp.Diff(values, header[name]); diff != "" {
			t.Errorf("header %s:\n%s", name, diff)
		}
	}
	if strings.Contains(body, "203.0.113.77") || !strings.Contains(body, `"transaction_id"`) {
		t.Errorf("body %s", body)
	}
}

// What init writes works as it is, and so does what it has as comments.
func TestFirstConfiguration(t *testing.T) {
	t.Chdir(t.TempDir())
	commented := regexp.MustCompile(`(?m)^( *)# ( *(?:google:|ga4:|sites:|needs:|trusted_proxies:|- name: no consent|event:|expect:).*)$`)
	all := commented.ReplaceAllString(string(firstConfig), "$1$2")
	if strings.Count(all, "\n") != strings.Count(string(firstConfig), "\n") || len(commented.FindAllString(string(firstConfig), -1)) < 8 {
		t.Fatal("the comments are not what this test takes out")
	}
	for name, text := range map[string]string{"as it is": string(firstConfig), "with its comments": all} {
		cfg, err := config.Parse("init.yaml", []byte(text), full.Registry(), func(name string) (string, bool) { return "classified", name == "GA4_API_SECRET" })
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(cfg.Warnings) > 0 {
			t.Errorf("%s: warnings %v", name, cfg.Warnings)
		}
		results, err := cfg.RunTests(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			for _, f := range r.Failures {
				t.Errorf("%s: %s: %s: %s", name, r.Name, f.Path, f.Message)
			}
		}
		if err := cfg.Close(); err != nil {
			t.Error(err)
		}
	}
}
