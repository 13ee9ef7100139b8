// Package size reads and prints numbers of bytes as people write them: "512KiB", "100MB", "8GB".
package size

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Bytes is a number of bytes. It reads a whole or decimal number with a unit:
// B, KB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB (powers of 1024), in any
// case; without a unit it is bytes. It is never negative when read from text.
type Bytes int64

// Multiples by their usual names.
const (
	KB Bytes = 1000
	MB       = 1000 * KB
	GB       = 1000 * MB
	TB       = 1000 * GB

	KiB Bytes = 1 << 10
	MiB       = 1 << 20
	GiB       = 1 << 30
	TiB       = 1 << 40
)

// units is ordered so that String finds the largest that divides the number.
var units = []struct {
	name string
	size Bytes
}{
	{"TiB", TiB}, {"TB", TB}, {"GiB", GiB}, {"GB", GB}, {"MiB", MiB}, {"MB", MB}, {"KiB", KiB}, {"KB", KB}, {"B", 1},
}

var (
	errSyntax = errors.New(`must be a size such as 512KiB, 100MB or 8GB`)
	errRange  = errors.New("is too large for a size")
)

// Parse reads a size.
func Parse(s string) (Bytes, error) {
	number := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	unit := Bytes(1)
	if name := s[len(number):]; name != "" {
		unit = 0
		for _, u := range units {
			if strings.EqualFold(name, u.name) {
				unit = u.size
			}
		}
		if unit == 0 {
			return 0, errSyntax
		}
	}
	number = strings.TrimRight(number, " ")
	if n, err := strconv.ParseUint(number, 10, 63); err == nil {
		if Bytes(n) > math.MaxInt64/unit {
			return 0, errRange
		}
		return Bytes(n) * unit, nil
	} else if errors.Is(err, strconv.ErrRange) {
		return 0, errRange
	}
	if strings.Trim(number, "0123456789.") != "" || number == "" {
		return 0, errSyntax
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, errSyntax
	}
	if f *= float64(unit); f >= math.MaxInt64 {
		return 0, errRange
	}
	return Bytes(f), nil
}

// UnmarshalText is Parse.
func (b *Bytes) UnmarshalText(text []byte) error {
	v, err := Parse(string(text))
	if err != nil {
		return err
	}
	*b = v
	return nil
}

// String prints the number in the largest unit that divides it.
func (b Bytes) String() string {
	for _, u := range units {
		if b != 0 && b%u.size == 0 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.name
		}
	}
	return "0B"
}

// MarshalText is String.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }
