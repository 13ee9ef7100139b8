package sidetrack_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

func TestDefaultClassifyKnowsEveryStatus(t *testing.T) {
	special := map[int]sidetrack.Class{
		408: sidetrack.Retry, 421: sidetrack.Retry, 423: sidetrack.Retry, 424: sidetrack.Retry, 425: sidetrack.Retry, 499: sidetrack.Retry,
		429: sidetrack.Throttled,
		501: sidetrack.Misconfigured, 505: sidetrack.Misconfigured, 511: sidetrack.Misconfigured,
	}
	for _, status := range []int{401, 402, 403, 404, 405, 406, 407, 410, 411, 415, 426, 451} {
		special[status] = sidetrack.Misconfigured
	}
	for status := 100; status < 1000; status++ {
		want := sidetrack.Retry
		switch {
		case status < 200, status >= 300 && status < 400:
			want = sidetrack.Misconfigured
		case status < 300:
			want = sidetrack.Delivered
		case status < 500:
			want = sidetrack.Rejected
		}
		if c, ok := special[status]; ok {
			want = c
		}
		err := sidetrack.DefaultClassify(sidetrack.Unit{}, &sidetrack.Response{Status: status, Header: http.Header{}})
		if class, after := sidetrack.ClassOf(err); class != want || after != 0 {
			t.Errorf("%d: %s after %s, want %s", status, class, after, want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	date := "Sat, 31 Jan 2026 12:00:00 GMT"
	for _, tt := range []struct {
		value, date string
		want        time.Duration
	}{
		{"", "", 0},
		{"7", "", 7 * time.Second},
		{" 7 ", "", 7 * time.Second},
		{"1.5", "", 1500 * time.Millisecond},
		{"0", "", 0}, {"-3", "", 0}, {"NaN", "", 0}, {"soon", "", 0},
		{"1e300", "", time.Hour}, {"86400", "", time.Hour}, {"+Inf", "", time.Hour},
		{"Sat, 31 Jan 2026 12:02:00 GMT", date, 2 * time.Minute},
		{"Saturday, 31-Jan-26 12:02:00 GMT", date, 2 * time.Minute}, // RFC 850
		{"Sat Jan 31 12:02:00 2026", date, 2 * time.Minute},         // asctime
		{"Sat, 31 Jan 2026 11:00:00 GMT", date, 0},
		{"Sun, 01 Feb 2026 12:00:00 GMT", date, time.Hour},
		{"Fri, 31 Jan 3026 12:00:00 GMT", "", time.Hour},
	} {
		h := http.Header{}
		h.Set("Retry-After", tt.value)
		h.Set("Date", tt.date)
		if got := sidetrack.ParseRetryAfter(h); got != tt.want {
			t.Errorf("%q at %q: %s, want %s", tt.value, tt.date, got, tt.want)
		}
		for _, status := range []int{429, 500, 502, 503, 504} {
			class, after := sidetrack.ClassOf(sidetrack.DefaultClassify(sidetrack.Unit{}, &sidetrack.Response{Status: status, Header: h}))
			want := sidetrack.Retry
			if status == 429 || tt.want > 0 {
				want = sidetrack.Throttled
			}
			if class != want || after != tt.want {
				t.Errorf("%d with Retry-After %q: %s after %s, want %s after %s", status, tt.value, class, after, want, tt.want)
			}
		}
	}
}

func TestResponseRulesComeFirstAndInOrder(t *testing.T) {
	rules := []sidetrack.ResponseRule{
		{Status: sidetrack.StatusRange{From: 409, To: 409}, As: sidetrack.Delivered},
		{Status: sidetrack.StatusRange{From: 200, To: 299}, Body: `"status":0`, As: sidetrack.Rejected},
		{Body: "Quota", As: sidetrack.Throttled, After: time.Minute},
		{Status: sidetrack.StatusRange{From: 400, To: 499}, Body: "token", As: sidetrack.Misconfigured},
		{Status: sidetrack.StatusRange{From: 400, To: 400}, As: sidetrack.Retry},
	}
	for _, r := range rules {
		if err := r.Validate(); err != nil {
			t.Error(err)
		}
	}
	own := sidetrack.Permanent(errors.New("own verdict"))
	classify := sidetrack.ClassifyBy(rules, func(sidetrack.Unit, *sidetrack.Response) error { return own })
	for _, tt := range []struct {
		status     int
		body       string
		retryAfter string
		want       sidetrack.Class
		after      time.Duration
	}{
		{409, "quota", "", sidetrack.Delivered, 0},
		{200, `{"status":0}`, "", sidetrack.Rejected, 0},
		{200, `{"status":1}`, "", sidetrack.Rejected, 0}, // the sink's own
		{403, "your qUoTa is used up", "", sidetrack.Throttled, time.Minute},
		{403, "quota", "7", sidetrack.Throttled, 7 * time.Second},
		{400, "bad TOKEN", "", sidetrack.Misconfigured, 0},
		{400, "bad", "", sidetrack.Retry, 0},
	} {
		h := http.Header{}
		if tt.retryAfter != "" {
			h.Set("Retry-After", tt.retryAfter)
		}
		err := classify(sidetrack.Unit{}, &sidetrack.Response{Status: tt.status, Header: h, Body: []byte(tt.body)})
		if class, after := sidetrack.ClassOf(err); class != tt.want || after != tt.after {
			t.Errorf("%d %q: %s after %s, want %s after %s", tt.status, tt.body, class, after, tt.want, tt.after)
		}
	}
	if err := sidetrack.ClassifyBy(nil, nil)(sidetrack.Unit{}, &sidetrack.Response{Status: 500}); err == nil {
		t.Error("no rules and no classifier take a 500 for delivered")
	}
	for _, bad := range []sidetrack.ResponseRule{
		{As: sidetrack.Retry},
		{Body: "x", As: 17},
		{Body: "x", As: sidetrack.Retry, After: time.Second},
		{Body: "x", As: sidetrack.Throttled, After: -1},
	} {
		if bad.Validate() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

func TestStatusRangeText(t *testing.T) {
	for text, want := range map[string]sidetrack.StatusRange{
		"409": {From: 409, To: 409}, "5xx": {From: 500, To: 599}, "5XX": {From: 500, To: 599}, "500-503": {From: 500, To: 503}, " 500 - 503 ": {From: 500, To: 503},
	} {
		var s sidetrack.StatusRange
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%q: %v, %v", text, s, err)
		}
	}
	for _, bad := range []string{"", "x", "xx", "99", "1000", "503-500", "0xx", "10xx", "-", "4-5", "409-", "-409", "4x9"} {
		var s sidetrack.StatusRange
		if err := s.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q is %v", bad, s)
		}
	}
}

// Whatever a backend answers and a person writes, the outcome is one of the rules' or the
// default's, and what is read from text is written back as the same.
func FuzzClassifyBy(f *testing.F) {
	f.Add("409", "", uint8(0), 409, "", "")
	f.Add("5xx", "quota", uint8(2), 503, "over QUOTA", "7")
	f.Add("500-503", "İ", uint8(3), 500, "i̇", "Sat, 31 Jan 2026 12:02:00 GMT")
	f.Fuzz(func(t *testing.T, status, contains string, as uint8, got int, body, retryAfter string) {
		rule := sidetrack.ResponseRule{Body: contains, As: sidetrack.Class(as)}
		if err := rule.Status.UnmarshalText([]byte(status)); err == nil {
			var again sidetrack.StatusRange
			if err := again.UnmarshalText([]byte(rule.Status.String())); err != nil || again != rule.Status {
				t.Fatalf("%q is %v, which reads as %v (%v)", status, rule.Status, again, err)
			}
		}
		if rule.Validate() != nil {
			return
		}
		resp := &sidetrack.Response{Status: got, Header: http.Header{"Retry-After": {retryAfter}}, Body: []byte(body)}
		err := sidetrack.ClassifyBy([]sidetrack.ResponseRule{rule}, nil)(sidetrack.Unit{}, resp)
		class, after := sidetrack.ClassOf(err)
		byDefault, _ := sidetrack.ClassOf(sidetrack.DefaultClassify(sidetrack.Unit{}, resp))
		if class != rule.As && class != byDefault {
			t.Fatalf("%s is neither the rule's nor the default", class)
		}
		if after < 0 || after > time.Hour || after > 0 && class != sidetrack.Throttled {
			t.Fatalf("%s waits %s", class, after)
		}
		applies := (rule.Status == sidetrack.StatusRange{} || rule.Status.From <= got && got <= rule.Status.To) && strings.Contains(body, contains)
		if applies && class != rule.As {
			t.Fatalf("the rule applies and is not asked: %s", fmt.Sprint(err))
		}
	})
}
