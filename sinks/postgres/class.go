package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/columns"
)

// classify gives an error its class, by its SQLSTATE where the server gave one.
// https://www.postgresql.org/docs/current/errcodes-appendix.html
//
//   - rejected, because of the data: 22 (data exception), 23 (constraint), 44 (check option), 54 (program limit: a value too
//     large for an index), P0 (a trigger's RAISE)
//   - throttled: 53 (too many connections, disk full, out of memory), 25006 (read-only: a standby)
//   - misconfigured: 28 (authorization), 3D and 3F (no such database or schema), 42 (no such table or column, no permission),
//     0A (not supported), 55000 (a view that takes no rows), 57P04 (database dropped), XX001 and XX002 (damaged files), a column of the
//     owner's own that must not be null, no partition for events of these days, names that do not resolve, certificates
//   - retry: everything else, such as 08 (connection), 40 (deadlock), 57 (shutdown, statement_timeout)
//
// The error's text has the server's message alone: its details hold parts of rows.
func classify(err error, u sidetrack.Unit) error {
	if err == nil {
		return nil
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return classifyTransport(err)
	}
	text := fmt.Errorf("postgres: %s (SQLSTATE %s)", pg.Message, pg.Code)
	switch pg.Code {
	case "25006":
		return sidetrack.RetryAfter(text, 0)
	case "55000", "57P04", "XX001", "XX002":
		return sidetrack.Misconfiguration(text)
	case "23502": // not null
		if !isOurs(pg.ColumnName) {
			return sidetrack.Misconfiguration(text)
		}
	case "23514": // check, or no partition, which has no name
		if pg.ConstraintName == "" && recent(u) {
			return sidetrack.Misconfiguration(text)
		}
	}
	if len(pg.Code) != 5 {
		return text
	}
	switch pg.Code[:2] {
	case "22", "23", "44", "54", "P0":
		return sidetrack.Permanent(text)
	case "53":
		return sidetrack.RetryAfter(text, 0)
	case "0A", "28", "3D", "3F", "42":
		return sidetrack.Misconfiguration(text)
	}
	return text
}

func isOurs(column string) bool {
	return slices.ContainsFunc(layout, func(c columns.Column) bool { return c.Name == column })
}

// recent reports whether all events of a unit are of these days: that there is no partition for them will be so for all
// that follow. Where one with an odd time is among them, that one may be to blame, and the unit is halved to find out.
func recent(u sidetrack.Unit) bool {
	const days = 48 * time.Hour
	for _, e := range u.Events {
		if u.At.Sub(e.Time).Abs() > days || u.At.Sub(e.Received).Abs() > days {
			return false
		}
	}
	return true
}

// classifyTransport is for errors that are not the server's answer. Their texts may name the user, host and
// database, never the password.
func classifyTransport(err error) error {
	cause := err
	if c, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		cause = c.Unwrap() // without the list of what the connection string said
	}
	text := &quiet{text: "postgres: " + strings.ReplaceAll(cause.Error(), "\n", "; "), err: err} // one for each address tried
	var (
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
		hostname    x509.HostnameError
		invalid     x509.CertificateInvalidError
		record      tls.RecordHeaderError
	)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return text
	case errors.As(err, &certificate), errors.As(err, &authority), errors.As(err, &hostname), errors.As(err, &invalid),
		errors.As(err, &record), strings.Contains(cause.Error(), "server refused TLS connection"):
		return sidetrack.Misconfiguration(text)
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return sidetrack.Misconfiguration(text)
	}
	return text
}

// quiet is an error with a text of its own that is still what it was.
type quiet struct {
	text string
	err  error
}

func (e *quiet) Error() string { return e.text }
func (e *quiet) Unwrap() error { return e.err }
