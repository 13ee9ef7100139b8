package webhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/sinkrun"
	"github.com/sidetrack-go/sidetrack/sinks/oauth"
	"github.com/sidetrack-go/sidetrack/sinks/sinktest"
)

var (
	oldKey = bytes.Repeat([]byte("o"), 24)
	newKey = bytes.Repeat([]byte("n"), 64)
	now    = time.Date(2026, 1, 31, 12, 0, 30, 0, time.UTC)
)

func secret(key []byte) sidetrack.Secret {
	return sidetrack.NewSecret("whsec_" + base64.StdEncoding.EncodeToString(key))
}

func config() Config {
	cfg := Defaults()
	cfg.URL = "https://receiver.example/events?shop=1"
	cfg.Secret, cfg.PreviousSecret = secret(newKey), secret(oldKey)
	cfg.Headers = map[string]sidetrack.Secret{"Authorization": sidetrack.NewSecret("Bearer very-secret")}
	return cfg
}

func TestContract(t *testing.T) {
	sinktest.Run(t, func() (*sidetrack.Sink, error) { return New(config()) }, sinktest.Golden("testdata/golden"))
}

func TestConfig(t *testing.T) {
	header := func(name, value string) func(*Config) {
		return func(c *Config) { c.Headers = map[string]sidetrack.Secret{name: sidetrack.NewSecret(value)} }
	}
	token := &oauth.Config{TokenURL: "https://login.example/", ClientID: "robot", ClientSecret: sidetrack.NewSecret("verysecret")}
	for _, tt := range []struct {
		field  string
		change func(*Config)
	}{
		{"url", func(c *Config) { c.URL = "" }},
		{"url", func(c *Config) { c.URL = "receiver.example/events" }},
		{"url", func(c *Config) { c.URL = "https://user:pass@receiver.example/" }},
		{"secret", func(c *Config) { c.Secret = sidetrack.Secret{} }},
		{"secret", func(c *Config) { c.Secret = sidetrack.NewSecret(base64.StdEncoding.EncodeToString(newKey)) }},
		{"secret", func(c *Config) { c.Secret = sidetrack.NewSecret("whsec_verysecret!") }},
		{"secret", func(c *Config) { c.Secret = secret(newKey[:23]) }},
		{"previous_secret", func(c *Config) { c.PreviousSecret = secret(append(newKey[:64:64], 'x')) }},
		{"max_events", func(c *Config) { c.MaxEvents = -1 }},
		{"max_events", func(c *Config) { c.MaxEvents = 5001 }},
		{"max_bytes", func(c *Config) { c.MaxBytes = 1023 }},
		{"headers.a b", header("a b", "x")},
		{"headers.webhook-id", header("webhook-id", "x")},
		{"headers.Host", header("Host", "x")},
		{"headers.X", header("X", "a\r\nb")},
		{"auth.oauth2.client_id", func(c *Config) { c.Headers, c.Auth.OAuth2 = nil, &oauth.Config{TokenURL: "https://login.example/"} }},
		{"headers.Authorization", func(c *Config) { c.Auth.OAuth2 = token }},
	} {
		cfg := config()
		tt.change(&cfg)
		_, err := New(cfg)
		if fe, ok := err.(*sidetrack.FieldError); !ok || fe.Field != tt.field || strings.Contains(err.Error(), "verysecret") {
			t.Errorf("%s: %v", tt.field, err)
		}
	}
	if s, err := New(Config{URL: "http://a", Secret: secret(newKey), Auth: Auth{OAuth2: token}}); err != nil || s.Spec().Tokens == nil || !slices.Contains(s.Spec().Secrets, token.ClientSecret) {
		t.Errorf("no token is got: %v", err)
	}
	s, err := New(Config{URL: "http://a", Secret: secret(newKey)})
	if err != nil || s.Spec().MaxEvents != 100 || s.Spec().MaxBytes != 256<<10 || !slices.Equal(s.Spec().Needs, []sidetrack.Purpose{sidetrack.AnalyticsStorage}) {
		t.Errorf("the zero value has not the defaults: %v", err)
	}
}

// The example of the specification, as computed with openssl dgst -sha256 -mac HMAC.
func TestSignatureByOpenSSL(t *testing.T) {
	key, err := parseSecret(sidetrack.NewSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	sign(h, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`), [][]byte{key})
	if got := h.Get("webhook-signature"); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" || h.Get("webhook-timestamp") != "1614265330" {
		t.Errorf("%v", h)
	}
}

func TestVerify(t *testing.T) {
	body := []byte(`{"type":"sidetrack.events","data":[]}`)
	signed := func(keys ...[]byte) http.Header {
		h := http.Header{}
		sign(h, "id", now, body, keys)
		return h
	}
	with := func(name, value string) http.Header {
		h := signed(newKey)
		h.Set(name, value)
		return h
	}
	foreign := signed(newKey)
	foreign.Set(HeaderSignature, "v1a,xyz v1,!!! "+foreign.Get(HeaderSignature))
	for name, tt := range map[string]struct {
		header  http.Header
		body    string
		at      time.Time
		secrets []sidetrack.Secret
		want    string
	}{
		"good":                      {signed(newKey), "", now, []sidetrack.Secret{secret(newKey)}, ""},
		"sender rotates":            {signed(newKey, oldKey), "", now, []sidetrack.Secret{secret(oldKey)}, ""},
		"receiver rotates":          {signed(oldKey), "", now, []sidetrack.Secret{secret(newKey), secret(oldKey)}, ""},
		"other schemes beside":      {foreign, "", now, []sidetrack.Secret{secret(newKey)}, ""},
		"clock a little off":        {signed(newKey), "", now.Add(-Tolerance), []sidetrack.Secret{secret(newKey)}, ""},
		"another secret":            {signed(newKey), "", now, []sidetrack.Secret{secret(oldKey)}, "no signature fits"},
		"changed body":              {signed(newKey), "x", now, []sidetrack.Secret{secret(newKey)}, "no signature fits"},
		"changed id":                {with(HeaderID, "id2"), "", now, []sidetrack.Secret{secret(newKey)}, "no signature fits"},
		"changed timestamp":         {with(HeaderTimestamp, strconv.FormatInt(now.Unix()+1, 10)), "", now, []sidetrack.Secret{secret(newKey)}, "no signature fits"},
		"no signature":              {with(HeaderSignature, ""), "", now, []sidetrack.Secret{secret(newKey)}, "no signature fits"},
		"no id":                     {with(HeaderID, ""), "", now, []sidetrack.Secret{secret(newKey)}, "no Webhook-Id"},
		"odd timestamp":             {with(HeaderTimestamp, "yesterday"), "", now, []sidetrack.Secret{secret(newKey)}, "no number of seconds"},
		"timestamp out of all time": {with(HeaderTimestamp, strconv.FormatInt(math.MinInt64, 10)), "", now, []sidetrack.Secret{secret(newKey)}, "too far"},
		"replayed":                  {signed(newKey), "", now.Add(Tolerance + time.Second), []sidetrack.Secret{secret(newKey)}, "too far"},
		"from the future":           {signed(newKey), "", now.Add(-Tolerance - time.Second), []sidetrack.Secret{secret(newKey)}, "too far"},
		"no secret":                 {signed(newKey), "", now, nil, "no secret"},
		"a secret that is none":     {signed(newKey), "", now, []sidetrack.Secret{sidetrack.NewSecret("plain")}, "does not begin with whsec_"},
	} {
		b := body
		if tt.body != "" {
			b = []byte(tt.body)
		}
		err := Verify(tt.header, b, tt.at, tt.secrets...)
		if (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("id", "1769860830", "v1,AAAA v1", []byte("{}"))
	f.Add("", "-9223372036854775808", "v1, v1,=", []byte(nil))
	f.Fuzz(func(t *testing.T, id, timestamp, signature string, body []byte) {
		h := http.Header{HeaderID: {id}, HeaderTimestamp: {timestamp}, HeaderSignature: {signature}}
		if Verify(h, body, now, secret(newKey)) == nil {
			t.Errorf("somebody who does not know the secret signed %q", body)
		}
	})
}

// An attempt later has the same id and body, and a signature of its own time.
func TestAttempts(t *testing.T) {
	sink, err := New(config())
	if err != nil {
		t.Fatal(err)
	}
	u := sidetrack.Unit{ID: uuid.NewSHA1(uuid.NameSpaceOID, []byte("u")), Events: sinktest.Samples(), At: now, Attempt: 1}
	one, err := sink.Spec().Generator.Request(u)
	if err != nil {
		t.Fatal(err)
	}
	u.At, u.Attempt = now.Add(time.Hour), 2
	two, err := sink.Spec().Generator.Request(u)
	if err != nil {
		t.Fatal(err)
	}
	if one.Header.Get(HeaderID) != u.ID.String() || two.Header.Get(HeaderID) != u.ID.String() || !bytes.Equal(one.Body, two.Body) {
		t.Error("the attempts differ in id or body")
	}
	if one.Header.Get(HeaderSignature) == two.Header.Get(HeaderSignature) {
		t.Error("the signature does not hold the time of the attempt")
	}
	if err := Verify(two.Header, two.Body, u.At, secret(newKey)); err != nil {
		t.Error(err)
	}
}

// receiver is a strict receiver. It checks signatures on its own.
type receiver struct {
	t        *testing.T
	mu       sync.Mutex
	requests int
	answers  map[int]int
	bodies   map[string]string // by id
	taken    []string
	batches  int
}

func (f *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests++
	id := r.Header.Get("webhook-id")
	seconds, timeErr := strconv.ParseInt(r.Header.Get("webhook-timestamp"), 10, 64)
	if age := time.Since(time.Unix(seconds, 0)); err != nil || timeErr != nil || age > time.Minute || age < -time.Minute ||
		r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Authorization") != "Bearer very-secret" || len(body) > 4096 {
		f.t.Errorf("%s %v %d bytes: %v %v", r.Method, r.Header, len(body), err, timeErr)
	}
	for i, key := range [][]byte{newKey, oldKey} {
		m := hmac.New(sha256.New, key)
		fmt.Fprintf(m, "%s.%d.%s", id, seconds, body)
		if got := strings.Split(r.Header.Get("webhook-signature"), " "); len(got) != 2 || got[i] != "v1,"+base64.StdEncoding.EncodeToString(m.Sum(nil)) {
			f.t.Errorf("signatures %q", got)
		}
	}
	if before, again := f.bodies[id]; again && before != string(body) {
		f.t.Errorf("two bodies under the id %s", id)
	}
	f.bodies[id] = string(body)
	if status := f.answers[f.requests]; status != 0 {
		w.Header().Set("Retry-After", "0.01")
		w.WriteHeader(status)
		return
	}
	var batch struct {
		Type string
		Data []struct {
			ID   uuid.UUID
			Name string
		}
	}
	if err := json.Unmarshal(body, &batch); err != nil || batch.Type != "sidetrack.events" || len(batch.Data) == 0 || len(batch.Data) > 7 {
		f.t.Errorf("%.200s: %v", body, err)
	}
	for _, e := range batch.Data {
		if e.Name == "poison" {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
	}
	f.batches++
	for _, e := range batch.Data {
		f.taken = append(f.taken, e.ID.String())
	}
}

func TestDelivery(t *testing.T) {
	f := &receiver{t: t, answers: map[int]int{1: 500, 3: 429, 5: 503}, bodies: map[string]string{}}
	s := httptest.NewServer(f)
	defer s.Close()
	cfg := config()
	cfg.URL, cfg.MaxEvents, cfg.MaxBytes = s.URL, 7, 4096
	sink, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var events []*sidetrack.Event
	for i := range 50 {
		events = append(events, &sidetrack.Event{MessageID: fmt.Sprint("e", i), Name: "view", Time: time.Now(), Consent: sidetrack.GrantAll("test")})
	}
	events[11].Name = "poison"
	events[17].Params = map[string]any{"long": strings.Repeat("x", 5000)}
	for i := 30; i < 40; i++ { // fewer than seven of these fit
		events[i].Params = map[string]any{"long": strings.Repeat("x", 1000)}
	}
	r := sinkrun.Deliver(t, sink, events...)
	slices.Sort(r.Dead)
	if !slices.Equal(r.Dead, []string{"e11", "e17"}) || len(r.Delivered) != 48 {
		t.Errorf("dead %v, %d delivered: %v", r.Dead, len(r.Delivered), r.Errors)
	}
	slices.Sort(f.taken)
	if n := len(slices.Compact(slices.Clone(f.taken))); n != 48 || len(f.taken) != 48 {
		t.Errorf("%d events, %d different, in %d batches", len(f.taken), n, f.batches)
	}
	if len(f.bodies) == f.requests {
		t.Errorf("no id was repeated in %d requests: %v", f.requests, slices.Collect(maps.Keys(f.bodies)))
	}
}

// An event that cannot be encoded leaves the others of its batch in one request.
func TestPartial(t *testing.T) {
	sink, err := New(config())
	if err != nil {
		t.Fatal(err)
	}
	for bad := range 3 {
		events := sinktest.Samples()[:3]
		events[bad].Params = map[string]any{"f": func() {}}
		r, err := sink.Spec().Generator.Request(sidetrack.Unit{Events: events, At: now})
		partial, ok := err.(*sidetrack.PartialError)
		if !ok || len(partial.Failed) != 1 || partial.Failed[bad] == nil || r == nil || !json.Valid(r.Body) || bytes.Count(r.Body, []byte(`"message_id"`)) != 2 {
			t.Errorf("%d: %v: %v", bad, r, err)
		}
	}
}
