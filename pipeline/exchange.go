package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

// minCompressed is from how many bytes a body is compressed: smaller ones fit into one packet as they are.
const minCompressed = 1 << 10

// exchange sends one request and reads the answer. What the request as made does not say is added here: a
// token, and the encoding. Each has one remedy: a refused token is replaced once, and a backend that takes no compressed
// bodies gets plain ones from then on.
func (s *sink) exchange(ctx context.Context, made *sidetrack.Request) (*sidetrack.Response, error) {
	encoding := s.encoding(made)
	var token sidetrack.Token
	var err error
	if s.tokens != nil {
		if token, err = s.tokens.get(ctx, sidetrack.Secret{}); err != nil {
			return nil, err
		}
	}
	resp, err := s.roundTrip(ctx, made, token, encoding)
	if err == nil && resp.Status == http.StatusUnauthorized && s.tokens != nil {
		if token, err = s.tokens.get(ctx, token.Value); err != nil {
			return nil, err
		}
		s.spend()
		resp, err = s.roundTrip(ctx, made, token, encoding)
	}
	if err == nil && resp.Status == http.StatusUnsupportedMediaType && encoding != "" {
		s.spend()
		if resp, err = s.roundTrip(ctx, made, token, ""); err == nil && resp.Status != http.StatusUnsupportedMediaType && !s.plain.Swap(true) {
			s.log.Warn("the backend refuses compressed requests: they are sent as they are until the next start", "encoding", encoding)
		}
	}
	return resp, err
}

func (s *sink) roundTrip(ctx context.Context, made *sidetrack.Request, token sidetrack.Token, encoding sidetrack.Encoding) (*sidetrack.Response, error) {
	body := made.Body
	if encoding != "" {
		packed, err := s.p.compressor.Encode(body, string(encoding))
		if err != nil {
			return nil, err
		}
		if body = packed; len(packed) >= len(made.Body) {
			body, encoding = made.Body, ""
		}
	}
	req, err := build(ctx, made, body)
	if err != nil {
		return nil, err
	}
	if encoding != "" {
		req.Header.Set("Content-Encoding", string(encoding))
	}
	if s.tokens != nil {
		authorize(req.Header, token)
	}
	resp, err := s.p.cfg.Client.Do(req)
	if err != nil {
		return nil, classifyTransport(err)
	}
	defer func() { _ = resp.Body.Close() }()
	// A status alone says that it arrived. Whether a body that is not whole matters is for the classifier to say.
	answer, err := io.ReadAll(io.LimitReader(resp.Body, sidetrack.MaxResponseBytes+1))
	cut := err != nil || len(answer) > sidetrack.MaxResponseBytes
	answer = answer[:min(len(answer), sidetrack.MaxResponseBytes)]
	return &sidetrack.Response{Status: resp.StatusCode, Header: resp.Header, Body: answer, Cut: cut}, nil
}

// encoding is in which encoding r is sent, empty when as it is.
func (s *sink) encoding(r *sidetrack.Request) sidetrack.Encoding {
	if s.compression == "" || len(r.Body) < minCompressed || s.plain.Load() || r.Header.Get("Content-Encoding") != "" {
		return ""
	}
	return s.compression
}

// build makes the request of net/http. body is what is sent of req.Body.
func build(ctx context.Context, req *sidetrack.Request, body []byte) (*http.Request, error) {
	hr, err := http.NewRequestWithContext(ctx, req.MethodOrPost(), req.URL, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnbuildable, err)
	}
	if hr.URL.Scheme != "http" && hr.URL.Scheme != "https" || hr.URL.Host == "" {
		return nil, fmt.Errorf("%w: the address is not an absolute http or https URL", errUnbuildable)
	}
	for k, v := range req.Header {
		hr.Header[http.CanonicalHeaderKey(k)] = v
	}
	if host := hr.Header.Get("Host"); host != "" {
		hr.Host = host
	}
	if _, ok := hr.Header["User-Agent"]; !ok {
		hr.Header.Set("User-Agent", userAgent)
	}
	return hr, nil
}

// spend takes a request from the rate that is sent beside the one the loop has waited for: later ones wait for it.
func (s *sink) spend() {
	if s.limiter != nil && !s.cfg.Delivery.Rate.Events {
		s.limiter.ReserveN(time.Now(), 1)
	}
}
