package bots

import (
	"regexp"
	"strings"
	"testing"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/processors/processortest"
)

var browsers = []string{
	"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
	"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
	"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
	"Mozilla/5.0 (Linux; Android 15; CUBOT X30) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
	"Opera/9.80 (Windows NT 6.1; WOW64) Presto/2.12.388 Version/12.16",
}

var bots = []string{
	"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "curl/8.5.0", "Wget/1.21", "python-requests/2.31",
	"Go-http-client/1.1", "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "", "  ", "UptimeRobot/2.0", "facebookexternalhit/1.1",
}

func TestMatch(t *testing.T) {
	d, err := NewDetector()
	if err != nil {
		t.Fatal(err)
	}
	for _, ua := range browsers {
		if name, bot := d.Match(ua); bot {
			t.Errorf("browser taken for %s: %s", name, ua)
		}
	}
	for _, ua := range bots {
		if _, bot := d.Match(ua); !bot {
			t.Errorf("not recognized: %s", ua)
		}
	}
}

// The index may only save time: it must say what all patterns one by one would say.
func FuzzMatch(f *testing.F) {
	d, err := NewDetector()
	if err != nil {
		f.Fatal(err)
	}
	var all []*regexp.Regexp
	for line := range strings.Lines(patterns) {
		all = append(all, regexp.MustCompile(strings.TrimSpace(line)))
	}
	for _, ua := range append(browsers, bots...) {
		f.Add(ua)
	}
	f.Add("Yeti ds9 BW/ Y!J")
	f.Fuzz(func(t *testing.T, ua string) {
		if strings.TrimSpace(ua) == "" {
			return
		}
		want := false
		for _, re := range all {
			want = want || re.MatchString(ua)
		}
		if _, got := d.Match(ua); got != want {
			t.Errorf("%q: %v, want %v", ua, got, want)
		}
	})
}

func TestProcessor(t *testing.T) {
	processortest.Run(t, func() (sidetrack.Processor, error) { return New(Defaults()) })
	mark, err := New(Config{Action: "mark", Allow: []string{"uptime"}})
	if err != nil {
		t.Fatal(err)
	}
	e := &sidetrack.Event{Name: "page_view", Device: sidetrack.Device{UserAgent: bots[0]}}
	if err := mark.Process(t.Context(), e); err != nil || len(e.Marks) != 1 || !strings.HasPrefix(e.Marks[0], "bot:Googlebot") {
		t.Errorf("%v %v", err, e.Marks)
	}
	e = &sidetrack.Event{Name: "page_view", Device: sidetrack.Device{UserAgent: "curl/8 uptime"}}
	if err := mark.Process(t.Context(), e); err != nil || e.Marks != nil {
		t.Errorf("allowed: %v %v", err, e.Marks)
	}
	drop, err := New(Defaults())
	if err != nil {
		t.Fatal(err)
	}
	if reason, ok := sidetrack.DropReason(drop.Process(t.Context(), e)); !ok || reason != Reason {
		t.Errorf("reason %q", reason)
	}
	if _, err := New(Config{Action: "explode"}); err == nil {
		t.Error("unknown action accepted")
	}
}

func BenchmarkMatch(b *testing.B) {
	d, err := NewDetector()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		d.Match(browsers[i%len(browsers)])
	}
}
