package sidetrack

import (
	"math"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// The readers of single values. Like those of the groups, each leaves its target alone on null.

func (d *decoder) text(p *string) error {
	v, err := d.string()
	if err == nil {
		*p = v
	}
	return err
}

func (d *decoder) appendText(p *[]string) error {
	v, err := d.string()
	if err == nil {
		*p = append(*p, v)
	}
	return err
}

// textOrInt takes a number too, for ids that look like one and that clients send unquoted.
func (d *decoder) textOrInt(p *string) error {
	if c := d.space(); c == '"' || c == 'n' {
		return d.text(p)
	}
	n, err := d.int()
	if err == nil {
		*p = strconv.FormatInt(n, 10)
	}
	return err
}

func (d *decoder) texts(p *map[string]string) error {
	m := map[string]string{}
	err := d.object(func(key string) error {
		v, err := d.string()
		if err == nil {
			m[key] = v
		}
		return err
	})
	if err == nil && len(m) > 0 {
		*p = m
	}
	return err
}

func (d *decoder) params(p *map[string]any) error {
	var m map[string]any
	err := d.object(func(key string) error {
		v, err := d.value()
		if err == nil {
			if m == nil {
				m = make(map[string]any, 8)
			}
			m[key] = v
		}
		return err
	})
	if err == nil {
		*p = m
	}
	return err
}

func (d *decoder) flag(p *bool) error {
	v, err := d.bool()
	if err == nil {
		*p = v
	}
	return err
}

func (d *decoder) count(p *int64) error {
	v, err := d.int()
	if err == nil {
		*p = v
	}
	return err
}

func (d *decoder) small(p *int) error {
	v, err := d.int()
	if err == nil {
		if v < 0 || v > math.MaxInt32 {
			return &FieldError{Problem: "is out of range"}
		}
		*p = int(v)
	}
	return err
}

func (d *decoder) msec(p *time.Duration) error {
	v, err := d.int()
	if err == nil {
		if v < 0 || v > int64(math.MaxInt64/time.Millisecond) {
			return &FieldError{Problem: "is out of range"}
		}
		*p = time.Duration(v) * time.Millisecond
	}
	return err
}

// money reads a number, or a string that holds one, as many shops send it.
func (d *decoder) money(p *Money) error {
	var text string
	var err error
	if d.space() == '"' {
		text, err = d.string()
	} else {
		text, _, err = d.number()
	}
	if err != nil {
		return err
	}
	m, err := ParseMoney(text)
	if err != nil {
		return &FieldError{Problem: err.Error()}
	}
	*p = m
	return nil
}

func (d *decoder) moneySet(p *Money, has *bool) error {
	err := d.money(p)
	*has = *has || err == nil
	return err
}

func (d *decoder) uuid(p *uuid.UUID) error {
	v, err := d.string()
	if err != nil {
		return err
	}
	if len(v) != 36 {
		return &FieldError{Problem: "must be a UUID in its form of 36 characters"}
	}
	if *p, err = uuid.Parse(v); err != nil {
		return &FieldError{Problem: "must be a UUID in its form of 36 characters"}
	}
	return nil
}

// time reads RFC 3339 or Unix milliseconds.
func (d *decoder) time(p *time.Time) error {
	if c := d.space(); c == '"' || c == 'n' {
		v, err := d.string()
		if err != nil {
			return err
		}
		t, err := time.Parse(time.RFC3339Nano, v)
		if err != nil {
			return &FieldError{Problem: "must be a time such as 2026-01-31T12:00:00Z, or Unix milliseconds"}
		}
		*p = t.UTC()
		return nil
	}
	f, err := d.float()
	if err != nil {
		return err
	}
	if math.Abs(f) > 1e14 {
		return &FieldError{Problem: "is out of range: Unix milliseconds are wanted"}
	}
	*p = time.UnixMicro(int64(math.Round(f * 1000))).UTC()
	return nil
}
