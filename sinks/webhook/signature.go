package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

// Headers of a signed batch: Standard Webhooks, "Webhook Headers".
const (
	HeaderID        = "Webhook-Id"        // the same on every attempt at the same batch
	HeaderTimestamp = "Webhook-Timestamp" // of the attempt, in seconds since 1970
	HeaderSignature = "Webhook-Signature" // v1,<base64>, one for each secret, with blanks between
)

// Tolerance is how far a timestamp may be from the receiver's clock.
const Tolerance = 5 * time.Minute

const (
	secretPrefix = "whsec_"
	secretForm   = "write whsec_ and the base64 of 24 to 64 random bytes"
	scheme       = "v1,"
)

// parseSecret returns the key. Its errors do not hold the secret.
func parseSecret(s sidetrack.Secret) ([]byte, error) {
	encoded, ok := strings.CutPrefix(s.Reveal(), secretPrefix)
	if !ok {
		return nil, errors.New("does not begin with whsec_: " + secretForm)
	}
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, errors.New("is no base64 after whsec_: " + secretForm)
	}
	if len(key) < 24 || len(key) > 64 {
		return nil, fmt.Errorf("has %d bytes: %s", len(key), secretForm)
	}
	return key, nil
}

// mac is the HMAC-SHA256 of id, timestamp and body with dots between.
func mac(key []byte, id, timestamp string, body []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(id + "." + timestamp + "."))
	h.Write(body)
	return h.Sum(nil)
}

func sign(header http.Header, id string, at time.Time, body []byte, keys [][]byte) {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, len(keys))
	for i, key := range keys {
		signatures[i] = scheme + base64.StdEncoding.EncodeToString(mac(key, id, timestamp, body))
	}
	header.Set(HeaderID, id)
	header.Set(HeaderTimestamp, timestamp)
	header.Set(HeaderSignature, strings.Join(signatures, " "))
}

// Verify reports whether a batch that was received comes from somebody who knows one of secrets, and was sent within
// Tolerance of now. body is the request's as it was read, before any decoding. A receiver that changes its secret gives the
// new and the old one. The error says what is wrong and holds neither secrets nor signatures.
func Verify(header http.Header, body []byte, now time.Time, secrets ...sidetrack.Secret) error {
	id, timestamp := header.Get(HeaderID), header.Get(HeaderTimestamp)
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	switch {
	case len(secrets) == 0:
		return errors.New("webhook: verify: no secret")
	case id == "":
		return errors.New("webhook: verify: no " + HeaderID)
	case err != nil:
		return errors.New("webhook: verify: no number of seconds in " + HeaderTimestamp)
	}
	if age := now.Unix() - seconds; age > int64(Tolerance.Seconds()) || age < -int64(Tolerance.Seconds()) {
		return errors.New("webhook: verify: the timestamp is too far from now")
	}
	for _, s := range secrets {
		key, err := parseSecret(s)
		if err != nil {
			return fmt.Errorf("webhook: verify: the secret %w", err)
		}
		want := mac(key, id, timestamp, body)
		for _, signature := range strings.Fields(header.Get(HeaderSignature)) {
			encoded, ok := strings.CutPrefix(signature, scheme)
			if !ok {
				continue // of a scheme to come
			}
			if got, err := base64.StdEncoding.DecodeString(encoded); err == nil && hmac.Equal(got, want) {
				return nil
			}
		}
	}
	return errors.New("webhook: verify: no signature fits")
}
