package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sidetrack-go/sidetrack/pipeline"
	"github.com/sidetrack-go/sidetrack/pipeline/standard/full"
)

const tested = `
sites:
  shop: {hosts: [shop.example]}
  blog: {hosts: [blog.example]}
sources: {web: {http: {listen: ':1'}}}
intake:
  - exclude: {ip_ranges: [192.0.2.0/24]}
  - consent: {cookie: banner}
  - visitor: {}
processors:
  - exclude: {paths: ["/admin/*"]}
  - bots: {action: mark}
sinks:
  ga:
    ga4: {measurement_id: G-ABCD123456, api_secret: classified}
    sites: [shop]
    when: {not: {marks: ["bot:Google*"]}}
  out: {stdout: {format: ndjson}, needs: []}
tests:
`

func run(t *testing.T, tests string) []TestResult {
	t.Helper()
	c, err := Parse("x", []byte(tested+tests), full.Registry(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	results, err := c.RunTests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func TestRunTests(t *testing.T) {
	for _, r := range run(t, `
  - name: consent by the banner's cookie
    event: {name: page_view, page: {url: "https://shop.example/"}}
    request: {ip: 203.0.113.77, cookies: {banner: "analytics_storage:granted", other: x}}
    matches: {sites: [shop], consent: {analytics_storage: granted, ad_storage: unknown}}
    expect:
      intake: accepted
      ga: {delivered: {contains: ["G-ABCD123456", '"name":"page_view"', "203.0.113.0"], lacks: ["203.0.113.77", classified]}}
      out: {delivered: {contains: ['"site":"shop"']}}
  - name: global privacy control, strict where the visitor said no
    event: {name: page_view, page: {url: "https://shop.example/"}, consent: {analytics_storage: denied}}
    request: {headers: {Sec-GPC: "1"}}
    matches: {consent: {ad_storage: denied, analytics_storage: denied}}
    expect: {ga: {withheld: consent}, out: delivered}
  - name: another site
    event: {name: page_view, page: {url: "https://blog.example/"}, consent: {analytics_storage: granted}}
    expect: {ga: {filtered: site}, out: delivered}
  - name: the host of the request names the site
    event: {name: signup, consent: {analytics_storage: granted}}
    request: {host: "shop.example:8443", ip: 203.0.113.77}
    matches: {sites: [shop], names: [signup]}
    expect: {ga: delivered}
  - name: our own people
    event: {name: page_view}
    request: {ip: 192.0.2.9}
    expect: {intake: {dropped: excluded}}
  - name: an admin's page
    event: {name: page_view, page: {url: "https://shop.example/admin/x"}, consent: {analytics_storage: granted}}
    expect: {intake: accepted, ga: {dropped: excluded}, out: dropped}
  - name: a bot
    event: {name: page_view, page: {url: "https://shop.example/"}, consent: {analytics_storage: granted}}
    request: {headers: {User-Agent: "Googlebot/2.1 (+http://www.google.com/bot.html)"}}
    matches: {marks: ["bot:*"]}
    expect: {ga: {filtered: when}, out: delivered}
  - name: not an event
    event: {name: ""}
    expect: {intake: refused}
`) {
		for _, f := range r.Failures {
			t.Errorf("%s: %s: %s", r.Name, f.Path, f.Message)
		}
	}
}

func TestRunTestsThatFail(t *testing.T) {
	var got []string
	for _, r := range run(t, `
  - name: a
    event: {name: page_view, page: {url: "https://shop.example/"}}
    matches: {sites: [blog]}
    expect: {intake: {dropped: excluded}, ga: delivered, out: {delivered: {contains: [purchase], lacks: [page_view]}}}
  - name: b
    event: {name: page_view}
    request: {ip: 192.0.2.9}
    matches: {names: [page_view]}
    expect: {intake: accepted, out: delivered, ga: {withheld: consent}}
  - name: c
    event: {name: page_view, page: {url: "https://blog.example/"}, consent: {analytics_storage: granted}}
    expect: {ga: {filtered: when}}
`) {
		for _, f := range r.Failures {
			message, _, _ := strings.Cut(f.Message, "\n")
			got = append(got, r.Name+" "+f.Path+": "+message)
			if f.Line == 0 {
				t.Errorf("no place: %+v", f)
			}
		}
	}
	want := []string{
		"a intake: want dropped: excluded, got accepted",
		"a ga: want delivered, got withheld: consent: not granted: analytics_storage",
		`a out: what is sent does not contain "purchase":`,
		`a out: what is sent contains "page_view":`,
		"a matches: the condition does not hold for the event after the shared processors:",
		"b intake: want accepted, got dropped: excluded",
		"b out: want delivered, but intake ended the event: dropped: excluded",
		"b ga: want withheld: consent, but intake ended the event: dropped: excluded",
		"b matches: the event did not get through the shared processors",
		"c ga: want filtered: when, got filtered: site",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Sessions are remembered by the visitor processor: a test must not see those of the one before.
func TestTestsDoNotDependOnEachOther(t *testing.T) {
	one := `
  - name: x
    event: {name: page_view, visitor: {client_id: "1.2"}, page: {url: "https://shop.example/"}, consent: {analytics_storage: granted}}
    expect: {out: delivered}
`
	results := run(t, one+one)
	for i, r := range results {
		if r.Explanation.Processed == nil || !r.Explanation.Processed.Visitor.NewSession {
			t.Errorf("test %d sees a session of another: %+v", i, r.Explanation.Processed)
		}
	}
	if results[0].Explanation.Sinks[0].Column != pipeline.Delivered {
		t.Error("nothing was explained")
	}
}
