// Package oauth gets access tokens for sinks by OAuth 2.0 (RFC 6749): with client credentials, with a refresh
// token, or as a Google service account with a signed JWT (RFC 7523).
//
//	source, err := oauth.New(oauth.Config{TokenURL: "https://login.example/token", ClientID: "robot", ClientSecret: secret})
//	…
//	return sidetrack.HTTPSink(g, source.Option()), nil
package oauth

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/oauth2/jwt"

	"github.com/sidetrack-go/sidetrack"
)

// Config says how tokens are got: with client_id and client_secret alone by client credentials, with a refresh token, or
// as a service account.
type Config struct {
	// TokenURL is where tokens are got. A service account's key names it.
	TokenURL string `yaml:"token_url"`
	// ClientID names the client.
	ClientID string `yaml:"client_id"`
	// ClientSecret proves it. A public client that refreshes has none.
	ClientSecret sidetrack.Secret `yaml:"client_secret"`
	// ClientAuth is where client_id and client_secret are sent: header, which every server must take, or body. Default: header.
	ClientAuth string `yaml:"client_auth" enum:"header,body"`
	// Scopes that are asked for. A refresh token has its own.
	Scopes []string `yaml:"scopes"`
	// Params are more parameters of the request for client credentials, such as audience.
	Params map[string]string `yaml:"params"`
	// RefreshToken gets tokens for whoever granted it. A newer one that comes with a token is used from then on, and forgotten with the process.
	RefreshToken sidetrack.Secret `yaml:"refresh_token"`
	// ServiceAccount is the JSON key of a Google service account.
	ServiceAccount sidetrack.Secret `yaml:"service_account"`
	// ServiceAccountFile is the file that holds it.
	ServiceAccountFile string `yaml:"service_account_file"`
	// Subject is the user for whom the service account acts, if any.
	Subject string `yaml:"subject"`

	// Transport sends the requests for tokens. nil: one that keeps no connection. Redirects are not followed in any case.
	Transport http.RoundTripper `yaml:"-"`
}

// Source gets tokens. It is safe for concurrent use.
type Source struct {
	get       func(context.Context) (*oauth2.Token, error)
	transport http.RoundTripper
	secrets   []sidetrack.Secret
}

// New makes a source. It reads ServiceAccountFile and sends nothing. Errors are *sidetrack.FieldError.
func New(cfg Config) (*Source, error) {
	if cfg.Transport == nil {
		cfg.Transport = &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second}
	}
	s := &Source{transport: cfg.Transport}
	if !cfg.ServiceAccount.IsZero() || cfg.ServiceAccountFile != "" {
		return s, s.serviceAccount(cfg)
	}
	style := oauth2.AuthStyleInHeader
	if cfg.ClientAuth == "body" {
		style = oauth2.AuthStyleInParams
	}
	switch {
	case cfg.TokenURL == "":
		return nil, field("token_url", "is missing: where tokens are got")
	case !absolute(cfg.TokenURL):
		return nil, field("token_url", "must be an absolute http or https URL without a user")
	case cfg.ClientID == "":
		return nil, field("client_id", "is missing")
	case cfg.ClientAuth != "" && cfg.ClientAuth != "header" && cfg.ClientAuth != "body":
		return nil, field("client_auth", "must be header or body")
	case cfg.Subject != "":
		return nil, field("subject", "is for service accounts")
	case cfg.RefreshToken.IsZero() && cfg.ClientSecret.IsZero():
		return nil, field("client_secret", "is missing, and so are refresh_token and service_account")
	case !cfg.RefreshToken.IsZero() && len(cfg.Scopes) > 0:
		return nil, field("scopes", "are those of refresh_token: remove them")
	case !cfg.RefreshToken.IsZero() && len(cfg.Params) > 0:
		return nil, field("params", "are for client credentials alone")
	}
	s.keep(cfg.ClientSecret, cfg.RefreshToken)
	if !cfg.RefreshToken.IsZero() {
		r := &refresher{cfg: oauth2.Config{
			ClientID: cfg.ClientID, ClientSecret: cfg.ClientSecret.Reveal(), Endpoint: oauth2.Endpoint{TokenURL: cfg.TokenURL, AuthStyle: style},
		}, token: cfg.RefreshToken.Reveal()}
		s.get = r.get
		return s, nil
	}
	params := url.Values{}
	for k, v := range cfg.Params {
		if k == "grant_type" || k == "scope" || k == "client_id" || k == "client_secret" {
			return nil, field("params."+k, "has a key of its own")
		}
		params.Set(k, v)
	}
	c := &clientcredentials.Config{
		ClientID: cfg.ClientID, ClientSecret: cfg.ClientSecret.Reveal(), TokenURL: cfg.TokenURL, Scopes: cfg.Scopes, EndpointParams: params, AuthStyle: style,
	}
	s.get = c.Token
	return s, nil
}

// serviceAccount reads the key as the Google Cloud console makes it.
func (s *Source) serviceAccount(cfg Config) error {
	at, text := "service_account", cfg.ServiceAccount.Reveal()
	switch {
	case text != "" && cfg.ServiceAccountFile != "":
		return field("service_account_file", "and service_account exclude each other")
	case cfg.TokenURL != "" || cfg.ClientID != "" || !cfg.ClientSecret.IsZero() || !cfg.RefreshToken.IsZero() || len(cfg.Params) > 0:
		return field(at, "has all but scopes and subject: remove the others")
	case cfg.ServiceAccountFile != "":
		b, err := os.ReadFile(cfg.ServiceAccountFile)
		if err != nil {
			return field("service_account_file", "cannot be read: "+err.Error())
		}
		at, text = "service_account_file", string(b)
	}
	var key struct {
		Type     string `json:"type"`
		Email    string `json:"client_email"`
		ID       string `json:"private_key_id"`
		Private  string `json:"private_key"`
		TokenURL string `json:"token_uri"`
	}
	if json.Unmarshal([]byte(text), &key) != nil || key.Type != "service_account" || key.Email == "" || !absolute(key.TokenURL) {
		return field(at, "is not the JSON key of a service account")
	}
	if !isRSAKey(key.Private) {
		return field(at, "holds no RSA private key")
	}
	if len(cfg.Scopes) == 0 {
		return field("scopes", "are missing: what the service account may do")
	}
	s.keep(cfg.ServiceAccount, sidetrack.NewSecret(key.Private))
	c := &jwt.Config{Email: key.Email, PrivateKey: []byte(key.Private), PrivateKeyID: key.ID, Subject: cfg.Subject, Scopes: cfg.Scopes, TokenURL: key.TokenURL}
	s.get = func(ctx context.Context) (*oauth2.Token, error) { return c.TokenSource(ctx).Token() }
	return nil
}

func isRSAKey(text string) bool {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return false
	}
	if k, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		_, ok := k.(*rsa.PrivateKey)
		return ok
	}
	_, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	return err == nil
}

// refresher keeps the newest refresh token: servers may give another with each access token and take each once.
type refresher struct {
	cfg   oauth2.Config
	mu    sync.Mutex
	token string
}

func (r *refresher) get(ctx context.Context) (*oauth2.Token, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, err := r.cfg.TokenSource(ctx, &oauth2.Token{RefreshToken: r.token}).Token()
	if err == nil && t.RefreshToken != "" {
		r.token = t.RefreshToken
	}
	return t, err
}

func (s *Source) keep(secrets ...sidetrack.Secret) {
	for _, v := range secrets {
		if !v.IsZero() {
			s.secrets = append(s.secrets, v)
		}
	}
}

// Option makes the engine authorize each request of a sink, and mask what is secret.
func (s *Source) Option() sidetrack.SinkOption { return sidetrack.Authorize(s, s.secrets...) }

// Token gets a new token.
func (s *Source) Token(ctx context.Context) (sidetrack.Token, error) {
	seen := &recorder{next: s.transport}
	client := &http.Client{Transport: seen, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t, err := s.get(context.WithValue(ctx, oauth2.HTTPClient, client))
	if err == nil && t.AccessToken == "" {
		err = errors.New("no token in the answer")
	}
	if err != nil {
		return sidetrack.Token{}, seen.outcome(ctx, err)
	}
	return sidetrack.Token{Value: sidetrack.NewSecret(t.AccessToken), Type: t.TokenType, Expiry: t.Expiry}, nil
}

func field(name, problem string) error { return &sidetrack.FieldError{Field: name, Problem: problem} }

// Under names the section of a configuration in which an error of New is.
func Under(section string, err error) error {
	if fe, ok := errors.AsType[*sidetrack.FieldError](err); ok {
		return field(section+"."+fe.Field, fe.Problem)
	}
	return err
}

func absolute(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") && u.User == nil && !strings.Contains(s, "#")
}
