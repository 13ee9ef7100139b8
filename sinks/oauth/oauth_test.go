package oauth

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sidetrack-go/sidetrack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const clientSecret = "cl1ent/s3cret"

// endpoint is a token endpoint that records the forms it got.
type endpoint struct {
	*httptest.Server
	mu    sync.Mutex
	forms []map[string]string // parameters, and "basic"
}

func serve(t *testing.T, answer func(call int, w http.ResponseWriter)) *endpoint {
	t.Helper()
	e := &endpoint{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		form := map[string]string{}
		for k, v := range r.PostForm {
			form[k] = strings.Join(v, ",")
		}
		if user, password, ok := r.BasicAuth(); ok {
			form["basic"] = user + ":" + password
		}
		e.mu.Lock()
		e.forms = append(e.forms, form)
		n := len(e.forms)
		e.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		answer(n, w)
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *endpoint) got(t *testing.T, want ...string) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, f := range e.forms {
		b, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		if i < len(want) && string(b) != want[i] {
			t.Errorf("request %d has %s, want %s", i, b, want[i])
		}
	}
	if len(e.forms) != len(want) {
		t.Errorf("%d requests, want %d", len(e.forms), len(want))
	}
}

func token(call int, w http.ResponseWriter) {
	fmt.Fprintf(w, `{"access_token":"a%d","token_type":"bearer","expires_in":3600}`, call)
}

func mustNew(t *testing.T, cfg Config) *Source {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestClientCredentials(t *testing.T) {
	for where, want := range map[string]string{
		"":     `{"audience":"x","basic":"robot:` + "cl1ent%2Fs3cret" + `","grant_type":"client_credentials","scope":"read write"}`,
		"body": `{"audience":"x","client_id":"robot","client_secret":"` + clientSecret + `","grant_type":"client_credentials","scope":"read write"}`,
	} {
		e := serve(t, token)
		s := mustNew(t, Config{
			TokenURL: e.URL, ClientID: "robot", ClientSecret: sidetrack.NewSecret(clientSecret), ClientAuth: where,
			Scopes: []string{"read", "write"}, Params: map[string]string{"audience": "x"},
		})
		for i := range 2 { // each call gets a new one
			got, err := s.Token(t.Context())
			left := time.Until(got.Expiry)
			if err != nil || got.Value.Reveal() != fmt.Sprintf("a%d", i+1) || left < 50*time.Minute || left > time.Hour {
				t.Errorf("%q for %s: %v", got.Value.Reveal(), left, err)
			}
		}
		e.got(t, want, want)
	}
}

func TestRefreshTokenThatChanges(t *testing.T) {
	e := serve(t, func(n int, w http.ResponseWriter) {
		if n == 2 {
			fmt.Fprint(w, `{"access_token":"a2"}`)
			return
		}
		fmt.Fprintf(w, `{"access_token":"a%d","refresh_token":"r%d"}`, n, n)
	})
	s := mustNew(t, Config{TokenURL: e.URL, ClientID: "robot", ClientAuth: "body", RefreshToken: sidetrack.NewSecret("r0")})
	for i := range 4 {
		if got, err := s.Token(t.Context()); err != nil || got.Value.Reveal() != fmt.Sprintf("a%d", i+1) || !got.Expiry.IsZero() {
			t.Errorf("%q until %s: %v", got.Value.Reveal(), got.Expiry, err)
		}
	}
	want := func(r string) string {
		return `{"client_id":"robot","grant_type":"refresh_token","refresh_token":"` + r + `"}`
	}
	e.got(t, want("r0"), want("r1"), want("r1"), want("r3"))
}

var privateKey = sync.OnceValue(func() string {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
})

func account(t *testing.T, url string, change func(map[string]string)) string {
	t.Helper()
	m := map[string]string{
		"type": "service_account", "client_email": "robot@project.example", "private_key_id": "k1", "token_uri": url,
		"private_key": privateKey(),
	}
	if change != nil {
		change(m)
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestServiceAccount(t *testing.T) {
	e := serve(t, token)
	key := account(t, e.URL, nil)
	file := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(file, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]Config{"text": {ServiceAccount: sidetrack.NewSecret(key)}, "file": {ServiceAccountFile: file}} {
		cfg.Scopes, cfg.Subject = []string{"https://scope.example/a", "b"}, "ann@project.example"
		got, err := mustNew(t, cfg).Token(t.Context())
		if err != nil || got.Value.IsZero() || got.Expiry.IsZero() {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
	for _, form := range e.forms {
		if form["grant_type"] != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
			t.Errorf("%v", form)
		}
		parts := strings.Split(form["assertion"], ".")
		if len(parts) != 3 {
			t.Fatalf("%v", form)
		}
		var head, claims map[string]any
		for i, v := range []*map[string]any{&head, &claims} {
			b, err := base64.RawURLEncoding.DecodeString(parts[i])
			if err != nil || json.Unmarshal(b, v) != nil {
				t.Fatalf("%s: %v", parts[i], err)
			}
		}
		if head["kid"] != "k1" || head["alg"] != "RS256" || claims["iss"] != "robot@project.example" || claims["sub"] != "ann@project.example" ||
			claims["scope"] != "https://scope.example/a b" || claims["aud"] != e.URL {
			t.Errorf("%v %v", head, claims)
		}
	}
}

// TestOutcomes has what each answer means for the sink, for each way to get tokens, and that nothing secret is said.
func TestOutcomes(t *testing.T) {
	echo := `,"error_description":"` + clientSecret + ` r0-secret -----BEGIN"}`
	for name, tt := range map[string]struct {
		status int
		body   string
		want   sidetrack.Class
		text   string
	}{
		"refused grant":            {400, `{"error":"invalid_grant"` + echo, sidetrack.Misconfigured, "status 400, invalid_grant"},
		"refused client":           {401, `{"error":"invalid_client"` + echo, sidetrack.Misconfigured, "invalid_client"},
		"no JSON":                  {400, clientSecret, sidetrack.Misconfigured, "status 400"},
		"an error that is secret":  {400, `{"error":"` + clientSecret + `"}`, sidetrack.Misconfigured, "status 400"},
		"error with 200":           {200, `{"error":"invalid_grant"` + echo, sidetrack.Misconfigured, "status 200"},
		"200 without a token":      {200, `{}`, sidetrack.Misconfigured, "status 200"},
		"200 that is no JSON":      {200, `<html>` + clientSecret, sidetrack.Misconfigured, "status 200"},
		"unavailable for a moment": {400, `{"error":"temporarily_unavailable"}`, sidetrack.Retry, "temporarily_unavailable"},
		"server error":             {500, clientSecret, sidetrack.Retry, "status 500"},
		"too many":                 {429, ``, sidetrack.Throttled, "status 429"},
		"redirect":                 {307, ``, sidetrack.Misconfigured, "status 307"},
		"not found":                {404, ``, sidetrack.Misconfigured, "status 404"},
		"too large":                {413, ``, sidetrack.Misconfigured, "status 413"},
	} {
		t.Run(name, func(t *testing.T) {
			e := serve(t, func(_ int, w http.ResponseWriter) {
				w.Header().Set("Retry-After", "7")
				w.Header().Set("Location", "/elsewhere")
				if tt.status >= 500 {
					w.Header().Del("Retry-After")
				}
				w.WriteHeader(tt.status)
				fmt.Fprint(w, tt.body)
			})
			client := Config{TokenURL: e.URL, ClientID: "robot", ClientSecret: sidetrack.NewSecret(clientSecret)}
			refresh := client
			refresh.RefreshToken = sidetrack.NewSecret("r0-secret")
			for way, cfg := range map[string]Config{
				"client credentials": client, "refresh token": refresh,
				"service account": {ServiceAccount: sidetrack.NewSecret(account(t, e.URL, nil)), Scopes: []string{"a"}},
			} {
				_, err := mustNew(t, cfg).Token(t.Context())
				if err == nil {
					t.Errorf("%s: no error", way)
					continue
				}
				class, after := sidetrack.ClassOf(err)
				if class != tt.want || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("%s: %s: %v", way, class, err)
				}
				if class == sidetrack.Throttled && after != 7*time.Second {
					t.Errorf("%s: after %s", way, after)
				}
				for _, s := range []string{clientSecret, "r0-secret", "BEGIN", e.URL} {
					if strings.Contains(fmt.Sprintf("%v %+v", err, err), s) {
						t.Errorf("%s: %q is said: %v", way, s, err)
					}
				}
			}
			if len(e.forms) != 3 {
				t.Errorf("%d requests for 3 calls: a redirect was followed, or a call repeated", len(e.forms))
			}
		})
	}
}

func TestNoAnswerIsTriedAgain(t *testing.T) {
	down := httptest.NewServer(nil)
	down.Close()
	cfg := Config{TokenURL: down.URL + "/?key=" + clientSecret, ClientID: "robot", ClientSecret: sidetrack.NewSecret(clientSecret)}
	_, err := mustNew(t, cfg).Token(t.Context())
	if class, _ := sidetrack.ClassOf(err); class != sidetrack.Retry || strings.Contains(err.Error(), clientSecret) {
		t.Errorf("%s: %v", class, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := mustNew(t, cfg).Token(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestConfig(t *testing.T) {
	good := account(t, "https://login.example/token", nil)
	for name, tt := range map[string]struct {
		cfg   Config
		field string
	}{
		"nothing":            {Config{}, "token_url"},
		"relative":           {Config{TokenURL: "/token", ClientID: "a", ClientSecret: sidetrack.NewSecret("b")}, "token_url"},
		"user in the URL":    {Config{TokenURL: "https://a:b@login.example/", ClientID: "a", ClientSecret: sidetrack.NewSecret("b")}, "token_url"},
		"no client":          {Config{TokenURL: "https://login.example/"}, "client_id"},
		"no secret":          {Config{TokenURL: "https://login.example/", ClientID: "a"}, "client_secret"},
		"odd place":          {Config{TokenURL: "https://login.example/", ClientID: "a", ClientSecret: sidetrack.NewSecret("b"), ClientAuth: "query"}, "client_auth"},
		"subject":            {Config{TokenURL: "https://login.example/", ClientID: "a", ClientSecret: sidetrack.NewSecret("b"), Subject: "c"}, "subject"},
		"scopes to refresh":  {Config{TokenURL: "https://login.example/", ClientID: "a", RefreshToken: sidetrack.NewSecret("b"), Scopes: []string{"s"}}, "scopes"},
		"params to refresh":  {Config{TokenURL: "https://login.example/", ClientID: "a", RefreshToken: sidetrack.NewSecret("b"), Params: map[string]string{"a": "b"}}, "params"},
		"param with a key":   {Config{TokenURL: "https://login.example/", ClientID: "a", ClientSecret: sidetrack.NewSecret("b"), Params: map[string]string{"scope": "b"}}, "params.scope"},
		"no key":             {Config{ServiceAccount: sidetrack.NewSecret("{}"), Scopes: []string{"s"}}, "service_account"},
		"a key of no use":    {Config{ServiceAccount: sidetrack.NewSecret(account(t, "https://login.example/", func(m map[string]string) { m["private_key"] = "x" })), Scopes: []string{"s"}}, "service_account"},
		"a person's key":     {Config{ServiceAccount: sidetrack.NewSecret(account(t, "https://login.example/", func(m map[string]string) { m["type"] = "authorized_user" })), Scopes: []string{"s"}}, "service_account"},
		"no such file":       {Config{ServiceAccountFile: "no/such/file", Scopes: []string{"s"}}, "service_account_file"},
		"text and file":      {Config{ServiceAccount: sidetrack.NewSecret(good), ServiceAccountFile: "x", Scopes: []string{"s"}}, "service_account_file"},
		"no scopes":          {Config{ServiceAccount: sidetrack.NewSecret(good)}, "scopes"},
		"key and client":     {Config{ServiceAccount: sidetrack.NewSecret(good), ClientID: "a", Scopes: []string{"s"}}, "service_account"},
		"client credentials": {Config{TokenURL: "https://login.example/", ClientID: "a", ClientSecret: sidetrack.NewSecret("b")}, ""},
		"service account":    {Config{ServiceAccount: sidetrack.NewSecret(good), Scopes: []string{"s"}}, ""},
	} {
		_, err := New(tt.cfg)
		fe, ok := err.(*sidetrack.FieldError)
		if tt.field == "" && err != nil || tt.field != "" && (!ok || fe.Field != tt.field) {
			t.Errorf("%s: %v, want a problem of %q", name, err, tt.field)
		}
		if err != nil && strings.Contains(err.Error(), "BEGIN") {
			t.Errorf("%s: the key is said: %v", name, err)
		}
	}
}

func TestSecretsAreTheSinks(t *testing.T) {
	s := mustNew(t, Config{TokenURL: "https://login.example/", ClientID: "a", ClientSecret: sidetrack.NewSecret("b"), RefreshToken: sidetrack.NewSecret("c")})
	spec := sidetrack.HTTPSink(nil, s.Option()).Spec()
	if spec.Tokens != sidetrack.TokenSource(s) || len(spec.Secrets) != 2 {
		t.Errorf("%+v", spec)
	}
}
