// Package visitor knows who a visitor is without saying who they are: client ids, signed
// cookies, daily hashes. Google's own cookies are read by package gawire.
package visitor

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Signer signs client ids, so that a cookie can be told from one somebody made up.
// It is safe for concurrent use.
type Signer struct{ key []byte }

// NewSigner derives the signing key from a secret of the owner.
func NewSigner(secret string) Signer {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("sidetrack visitor cookie v1"))
	return Signer{mac.Sum(nil)}
}

// macBytes is the length of the truncated signature: enough against guessing.
const macBytes = 16

// Sign returns the cookie's value: v1.<client id>.<issued>.<signature>, where the client
// id itself has one dot.
func (s Signer) Sign(clientID string, issued time.Time) string {
	value := "v1." + clientID + "." + strconv.FormatInt(issued.Unix(), 10)
	return value + "." + s.mac(value)
}

// Verify returns what a cookie says when its signature is right.
func (s Signer) Verify(value string) (clientID string, issued time.Time, ok bool) {
	i := strings.LastIndexByte(value, '.')
	if i < 0 || !strings.HasPrefix(value, "v1.") || len(value) > 256 {
		return "", time.Time{}, false
	}
	if !hmac.Equal([]byte(value[i+1:]), []byte(s.mac(value[:i]))) {
		return "", time.Time{}, false
	}
	rest := value[len("v1."):i]
	j := strings.LastIndexByte(rest, '.')
	if j < 0 {
		return "", time.Time{}, false
	}
	unix, err := strconv.ParseInt(rest[j+1:], 10, 64)
	if err != nil || !ValidClientID(rest[:j]) {
		return "", time.Time{}, false
	}
	return rest[:j], time.Unix(unix, 0), true
}

func (s Signer) mac(value string) string {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(value))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:macBytes])
}

// NewClientID makes an id in the form of Google's: a random number and the second of
// the first visit.
func NewClientID(now time.Time) string {
	return fmt.Sprintf("%d.%d", rand.Uint32N(1<<31-1)+1, now.Unix())
}

// ValidClientID reports whether s has the form of two numbers joined by a dot.
func ValidClientID(s string) bool {
	a, b, ok := strings.Cut(s, ".")
	return ok && digits(a) && digits(b)
}

func digits(s string) bool {
	if s == "" || len(s) > 20 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
