// Package generic delivers events to a tracker that the configuration alone describes: no code is needed for a backend
// that takes one event a request, or a list of them as JSON.
package generic

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/header"
	"github.com/sidetrack-go/sidetrack/sinks/oauth"
)

// Config is the configuration of the generic sink. Texts in url, query, headers, form, json and batch can hold
// placeholders: {path} of the event's JSON form, {path|default}, or {path!} without which the event is a dead letter.
type Config struct {
	// URL is where requests go. Placeholders are for its path, and always required.
	URL string `yaml:"url"`
	// Method is the request's; empty: POST.
	Method string `yaml:"method" enum:"GET,POST,PUT,PATCH"`
	// Query is added to the URL.
	Query map[string]string `yaml:"query"`
	// Headers are the request's.
	Headers map[string]string `yaml:"headers"`
	// Form is the body as HTML forms send it.
	Form map[string]string `yaml:"form"`
	// JSON is the body, or with batch one event in it.
	JSON map[string]any `yaml:"json"`
	// Batch is the body of several events, as "{events}" or a mapping that has "{events}" where their list goes; none: one event a request.
	Batch any `yaml:"batch"`
	// Names replaces the names of events, by theirs.
	Names map[string]string `yaml:"names"`
	// Auth says who sends.
	Auth Auth `yaml:"auth"`
	// MaxEvents is how many events a batch has, at most.
	MaxEvents int `yaml:"max_events"`
	// MaxBytes is how large a body is, at most; 0: no limit.
	MaxBytes int `yaml:"max_bytes"`
	// MaxAge is how old an event may be, by its time; 0: as old as delivery allows.
	MaxAge time.Duration `yaml:"max_age"`
}

// Auth is how requests say who sends them. All values are kept secret.
type Auth struct {
	// Basic is user:password.
	Basic sidetrack.Secret `yaml:"basic"`
	// BearerToken is sent in the Authorization header, after the word Bearer.
	BearerToken sidetrack.Secret `yaml:"bearer_token"`
	// Query are parameters of the URL, such as a key.
	Query map[string]sidetrack.Secret `yaml:"query"`
	// Headers are headers, such as X-Api-Key.
	Headers map[string]sidetrack.Secret `yaml:"headers"`
	// OAuth2 gets a token by OAuth 2.0 and sends it in the Authorization header.
	OAuth2 *oauth.Config `yaml:"oauth2"`
}

const maxEvents = 5000

// New makes the sink. It needs analytics_storage.
func New(cfg Config) (*sidetrack.Sink, error) {
	g := &generator{names: cfg.Names, method: cfg.Method, query: url.Values{}, header: http.Header{}}
	if g.method == "" {
		g.method = http.MethodPost
	}
	if cfg.MaxEvents == 0 {
		cfg.MaxEvents = 1
		if cfg.Batch != nil {
			cfg.MaxEvents = 100
		}
	}
	if err := check(cfg, g.method); err != nil {
		return nil, err
	}
	if err := g.compile(cfg); err != nil {
		return nil, err
	}
	secrets, err := g.authenticate(cfg.Auth)
	if err != nil {
		return nil, err
	}
	opts := []sidetrack.SinkOption{
		sidetrack.MaxEvents(cfg.MaxEvents), sidetrack.MaxBytes(cfg.MaxBytes), sidetrack.MaxAge(cfg.MaxAge),
		sidetrack.Accepts(sidetrack.Gzip, sidetrack.Zstd), sidetrack.Secrets(secrets...),
	}
	if cfg.Auth.OAuth2 != nil {
		if g.header.Get("Authorization") != "" {
			return nil, &sidetrack.FieldError{Field: "auth.oauth2", Problem: "sets the Authorization header alone: remove basic, bearer_token or the header"}
		}
		source, err := oauth.New(*cfg.Auth.OAuth2)
		if err != nil {
			return nil, oauth.Under("auth.oauth2", err)
		}
		opts = append(opts, source.Option())
	}
	return sidetrack.HTTPSink(g, opts...), nil
}

func check(cfg Config, method string) error {
	before, _, _ := strings.Cut(cfg.URL, "{")
	u, err := url.Parse(before)
	problem := func(field, text string) error { return &sidetrack.FieldError{Field: field, Problem: text} }
	switch {
	case cfg.URL == "":
		return problem("url", "is missing: where requests go")
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Contains(cfg.URL, "{") && u.Path == "":
		return problem("url", "must be an absolute http or https URL, with placeholders in its path alone")
	case u.User != nil:
		return problem("url", "must not hold a user: write auth: {basic: user:password}")
	case strings.ContainsAny(cfg.URL, "?#"):
		return problem("url", "must not have a query or fragment: write query: {name: value}")
	case method != http.MethodGet && method != http.MethodPost && method != http.MethodPut && method != http.MethodPatch:
		return problem("method", "must be GET, POST, PUT or PATCH")
	case cfg.Form != nil && cfg.JSON != nil:
		return problem("form", "and json exclude each other")
	case method == http.MethodGet && (cfg.Form != nil || cfg.JSON != nil):
		return problem("method", "must not be GET with a body: write query")
	case cfg.Form == nil && cfg.JSON == nil && cfg.Query == nil:
		return problem("json", "is missing, and so are form and query: nothing of the event would be sent")
	case cfg.Batch != nil && cfg.JSON == nil:
		return problem("batch", "needs json, which says what an event is")
	case cfg.MaxEvents < 1 || cfg.MaxEvents > maxEvents:
		return problem("max_events", fmt.Sprintf("is %d: write 1 to %d", cfg.MaxEvents, maxEvents))
	case cfg.MaxEvents > 1 && cfg.Batch == nil:
		return problem("max_events", "needs batch, which says where the list of events goes")
	case cfg.MaxBytes < 0:
		return problem("max_bytes", "must not be negative")
	case cfg.MaxAge < 0:
		return problem("max_age", "must not be negative")
	case !cfg.Auth.Basic.IsZero() && !cfg.Auth.BearerToken.IsZero():
		return problem("auth.bearer_token", "and basic exclude each other")
	case !cfg.Auth.Basic.IsZero() && !strings.Contains(cfg.Auth.Basic.Reveal(), ":"):
		return problem("auth.basic", "must be user:password")
	}
	return nil
}

// compile makes the templates. With batch, only the events themselves can speak of one event.
func (g *generator) compile(cfg Config) (err error) {
	event := eventCompiler()
	request := event
	if cfg.Batch != nil {
		request = unitCompiler()
		if g.batch, err = unitCompiler(eventsName).value("batch", cfg.Batch); err != nil {
			return err
		}
		if countEvents(g.batch) != 1 {
			return &sidetrack.FieldError{Field: "batch", Problem: `must have "{events}" once, alone in its value`}
		}
	}
	if g.url, err = request.text("url", cfg.URL); err != nil {
		return err
	}
	if _, err := url.Parse(example(g.url)); err != nil {
		return &sidetrack.FieldError{Field: "url", Problem: "is no URL behind its placeholders"}
	}
	if cfg.JSON != nil {
		if g.json, err = event.value("json", cfg.JSON); err != nil {
			return err
		}
	}
	for _, part := range []struct {
		field string
		from  map[string]string
		to    *map[string]template
	}{{"query", cfg.Query, &g.queries}, {"headers", cfg.Headers, &g.headers}, {"form", cfg.Form, &g.form}} {
		if part.from == nil {
			continue
		}
		*part.to = map[string]template{}
		for name, value := range part.from {
			field := part.field + "." + name
			if part.field == "headers" {
				if problem := header.NameProblem(name); problem != "" {
					return &sidetrack.FieldError{Field: field, Problem: problem}
				}
			}
			if (*part.to)[name], err = request.text(field, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// example is a text with x for each of its placeholders.
func example(t template) string {
	switch t := t.(type) {
	case mixed:
		var b strings.Builder
		for _, part := range t {
			b.WriteString(example(part))
		}
		return b.String()
	case constant:
		return asText(t.value)
	}
	return "x"
}

// countEvents says how often a template has the list of events; within text it counts double.
func countEvents(t template) int {
	n := 0
	switch t := t.(type) {
	case placeholder:
		if t.path == eventsName {
			n = 1
		}
	case object:
		for _, e := range t {
			n += countEvents(e)
		}
	case array:
		for _, e := range t {
			n += countEvents(e)
		}
	case mixed: // the list as text within text is not what anybody means
		for _, e := range t {
			n += 2 * countEvents(e)
		}
	}
	return n
}

// authenticate keeps credentials beside the templates, so that no brace in them means anything.
func (g *generator) authenticate(a Auth) ([]sidetrack.Secret, error) {
	var secrets []sidetrack.Secret
	set := func(field, name, value string) error {
		if problem := cmp.Or(header.NameProblem(name), header.ValueProblem(value)); problem != "" {
			return &sidetrack.FieldError{Field: field, Problem: problem}
		}
		g.header.Set(name, value)
		return nil
	}
	if !a.Basic.IsZero() {
		encoded := base64.StdEncoding.EncodeToString([]byte(a.Basic.Reveal()))
		_, password, _ := strings.Cut(a.Basic.Reveal(), ":")
		secrets = append(secrets, a.Basic, sidetrack.NewSecret(encoded), sidetrack.NewSecret(password))
		if err := set("auth.basic", "Authorization", "Basic "+encoded); err != nil {
			return nil, err
		}
	}
	if !a.BearerToken.IsZero() {
		secrets = append(secrets, a.BearerToken)
		if err := set("auth.bearer_token", "Authorization", "Bearer "+a.BearerToken.Reveal()); err != nil {
			return nil, err
		}
	}
	for name, v := range a.Headers {
		secrets = append(secrets, v)
		if err := set("auth.headers."+name, name, v.Reveal()); err != nil {
			return nil, err
		}
	}
	for name, v := range a.Query {
		secrets = append(secrets, v, sidetrack.NewSecret(url.QueryEscape(v.Reveal())))
		g.query.Set(name, v.Reveal())
	}
	return secrets, nil
}
