// Package visitor knows who a visitor is without saying who they are: client ids, signed
// cookies, daily hashes. Google's own cookies are read by package gawire.
package visitor

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Signer signs client ids, so that a cookie can be told from one somebody made up.
// It is safe for concurrent use. The zero value signs nothing and believes nothing.
type Signer struct{ keys []*sync.Pool } // of hash.Hash with the key in it: setting one up costs more than its use

// NewSigner derives the keys from secrets of the owner: the first signs, all of them are
// believed. Empty secrets are left out.
func NewSigner(secrets ...string) Signer {
	var s Signer
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte("sidetrack visitor cookie v1"))
		key := mac.Sum(nil)
		s.keys = append(s.keys, &sync.Pool{New: func() any { return hmac.New(sha256.New, key) }})
	}
	return s
}

// IsZero reports whether there is no secret.
func (s Signer) IsZero() bool { return len(s.keys) == 0 }

// Stored is what a visitor cookie says.
type Stored struct {
	ClientID string
	Issued   time.Time // when the id was made, in whole seconds; it never changes
	Pending  bool      // set before the visitor decided: it lasts for the browser's session and nothing was sent with it
	Old      bool      // signed by an older secret
}

// The first part of a cookie's value.
const (
	versionDecided = "v1"
	versionPending = "p1"
)

const (
	macBytes       = 16  // of the truncated signature: enough against guessing
	signatureBytes = 22  // of it in base64
	maxCookieValue = 256 // longer ones are not looked at
)

// Sign returns the cookie's value: v1.<client id>.<issued>.<signature>, where the client
// id itself has one dot. A pending one begins with p1.
func (s Signer) Sign(c Stored) string {
	if s.IsZero() {
		return ""
	}
	version := versionDecided
	if c.Pending {
		version = versionPending
	}
	value := version + "." + c.ClientID + "." + strconv.FormatInt(c.Issued.Unix(), 10)
	signature := sign(s.keys[0], value)
	return value + "." + string(signature[:])
}

// Verify returns what a cookie says when its signature is right.
func (s Signer) Verify(value string) (c Stored, ok bool) {
	i := strings.LastIndexByte(value, '.')
	if i < 0 || len(value) > maxCookieValue {
		return Stored{}, false
	}
	signed, signature := value[:i], []byte(value[i+1:])
	for n, key := range s.keys {
		if want := sign(key, signed); hmac.Equal(signature, want[:]) {
			c, ok = parse(signed)
			c.Old = ok && n > 0
			return c, ok
		}
	}
	return Stored{}, false
}

func parse(signed string) (c Stored, ok bool) {
	version, rest, _ := strings.Cut(signed, ".")
	c.Pending = version == versionPending
	j := strings.LastIndexByte(rest, '.')
	if j < 0 || !c.Pending && version != versionDecided {
		return Stored{}, false
	}
	unix, err := strconv.ParseInt(rest[j+1:], 10, 64)
	if err != nil || !ValidClientID(rest[:j]) {
		return Stored{}, false
	}
	c.ClientID, c.Issued = rest[:j], time.Unix(unix, 0)
	return c, true
}

func sign(key *sync.Pool, value string) (signature [signatureBytes]byte) {
	mac := key.Get().(hash.Hash)
	defer key.Put(mac)
	mac.Reset()
	_, _ = io.WriteString(mac, value)
	var sum [sha256.Size]byte
	base64.RawURLEncoding.Encode(signature[:], mac.Sum(sum[:0])[:macBytes])
	return signature
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
