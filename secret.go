package sidetrack

import (
	"fmt"
	"log/slog"
)

// Secret is a value that prints as stars, whatever prints it. Reveal is the only way out.
type Secret struct{ value string }

// NewSecret wraps a value.
func NewSecret(s string) Secret { return Secret{s} }

// Reveal returns the value, for the one place that sends it.
func (s Secret) Reveal() string { return s.value }

// IsZero reports whether there is no value.
func (s Secret) IsZero() bool { return s.value == "" }

const redacted = "[secret]"

// Format prints the redaction for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// String returns a redaction, or nothing when empty.
func (s Secret) String() string {
	if s.value == "" {
		return ""
	}
	return redacted
}

// MarshalText writes the redaction.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes the value.
func (s *Secret) UnmarshalText(b []byte) error {
	s.value = string(b)
	return nil
}

// LogValue hides the value from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
