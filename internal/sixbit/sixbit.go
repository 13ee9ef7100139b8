// Package sixbit reads the bit fields of IAB strings: base64url without padding characters, each
// character six bits. A segment ends at a multiple of six bits, not of eight, so
// encoding/base64, which drops what does not fill a byte, loses up to four of them.
package sixbit

import "errors"

// What can be wrong with the bits of a segment.
var (
	ErrCharacter = errors.New("a character that is not base64url")
	ErrShort     = errors.New("ends too early")
	ErrTrailing  = errors.New("goes on after its end")
	ErrRange     = errors.New("a value is out of range")
)

// Reader reads a segment from left to right. The first error stays: everything read
// after it is zero, so callers check Err once at the end.
type Reader struct {
	b    []byte // packed bits
	bits int    // how many of them count
	p    int
	err  error
}

const invalid = 0xff

// values is what each character stands for, in the order of the table of RFC 4648, section 5.
var values = func() (t [256]byte) {
	for i := range t {
		t[i] = invalid
	}
	for i := range byte(26) {
		t['A'+i], t['a'+i] = i, 26+i
	}
	for i := range byte(10) {
		t['0'+i] = 52 + i
	}
	t['-'], t['_'] = 62, 63
	return t
}()

// Decode packs the characters of s into a Reader. An empty s has no bits.
func Decode(s string) (Reader, error) {
	b := make([]byte, (len(s)*6+7)/8)
	var acc uint32
	var have, n int
	for i := range len(s) {
		v := values[s[i]]
		if v == invalid {
			return Reader{}, ErrCharacter
		}
		acc, have = acc<<6|uint32(v), have+6
		if have >= 8 {
			have -= 8
			b[n] = byte(acc >> have)
			n++
		}
	}
	if have > 0 {
		b[n] = byte(acc << (8 - have))
	}
	return Reader{b: b, bits: len(s) * 6}, nil
}

// Err returns the first error, nil if there was none.
func (r *Reader) Err() error { return r.err }

// Fail notes err unless there was an error before.
func (r *Reader) Fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// Left returns how many bits there are still to read, 0 after an error.
func (r *Reader) Left() int {
	if r.err != nil {
		return 0
	}
	return r.bits - r.p
}

// Uint reads n bits, at most 64, the most significant first.
func (r *Reader) Uint(n int) uint64 {
	if n > r.Left() {
		r.Fail(ErrShort)
		return 0
	}
	var v uint64
	for n > 0 {
		used := r.p & 7
		take := min(8-used, n)
		chunk := r.b[r.p>>3] << used >> (8 - take)
		v = v<<take | uint64(chunk)
		r.p, n = r.p+take, n-take
	}
	return v
}

// Bool reads one bit.
func (r *Reader) Bool() bool { return r.Uint(1) == 1 }

// Letters reads two letters of six bits each, a being 0. Anything above z is out of range.
func (r *Reader) Letters() [2]byte {
	a, b := r.Uint(6), r.Uint(6)
	if a > 25 || b > 25 {
		r.Fail(ErrRange)
		return [2]byte{}
	}
	return [2]byte{'A' + byte(a), 'A' + byte(b)}
}

// Fibonacci reads a number in Fibonacci coding, at most limit: every one is at least 1 and
// ends with two set bits (GPP, "Fibonacci Encoding to Deal with String Length").
func (r *Reader) Fibonacci(limit int) int {
	v, a, b, last := 0, 1, 2, false
	for r.Left() > 0 {
		bit := r.Bool()
		if bit && last {
			return v
		}
		if bit {
			v += a
		}
		if v > limit || a > limit && !bit {
			r.Fail(ErrRange)
			return 0
		}
		a, b, last = b, a+b, bit
	}
	r.Fail(ErrShort)
	return 0
}

// Field takes the next n bits as a set of numbers from 1 without copying them.
func (r *Reader) Field(n int) Field {
	if n > r.Left() {
		r.Fail(ErrShort)
		return Field{}
	}
	f := Field{b: r.b, off: r.p, n: n}
	r.p += n
	return f
}

// End wants nothing but zero bits to follow: encoders pad to six, eight or 24 bits.
func (r *Reader) End() error {
	for n := r.Left(); n > 0; n = r.Left() {
		if r.Uint(min(n, 64)) != 0 {
			r.Fail(ErrTrailing)
		}
	}
	return r.err
}

// Field is a set of numbers as a run of bits, the first standing for 1. It keeps the
// segment it was read from.
type Field struct {
	b      []byte
	off, n int
}

// Len returns the highest number the field could hold.
func (f Field) Len() int { return f.n }

// Has reports whether i is in the set.
func (f Field) Has(i int) bool {
	if i < 1 || i > f.n {
		return false
	}
	p := f.off + i - 1
	return f.b[p>>3]>>(7-p&7)&1 == 1
}
