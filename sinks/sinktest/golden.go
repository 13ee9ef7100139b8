package sinktest

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sidetrack-go/sidetrack"
)

var update = flag.Bool("update", false, "write the golden files of sinktest anew")

func (s *suite) goldens(t *testing.T) {
	spec := s.sink(t)
	for _, e := range s.samples {
		r, err := spec.Generator.Request(unit(e))
		got := ""
		if err != nil {
			got = "error: " + err.Error() + "\n"
		} else {
			got = mask(pretty(r), spec.Secrets)
		}
		file := filepath.Join(s.golden, e.MessageID+".golden")
		if *update {
			if err := os.MkdirAll(s.golden, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("%v (go test -update writes it)", err)
			continue
		}
		if got != string(want) {
			t.Errorf("%s has changed:\n%s\nwant:\n%s", e.MessageID, got, want)
		}
	}
}

func pretty(r *sidetrack.Request) string {
	c := *r
	var b bytes.Buffer
	if json.Indent(&b, r.Body, "", "  ") == nil {
		c.Body = b.Bytes()
	}
	return show(&c) + "\n"
}

func mask(s string, secrets []sidetrack.Secret) string {
	for _, secret := range secrets {
		if v := secret.Reveal(); v != "" {
			s = strings.ReplaceAll(s, v, secret.String())
		}
	}
	return s
}
