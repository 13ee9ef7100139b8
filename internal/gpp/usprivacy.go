package gpp

// Flag is one character of a US Privacy string.
type Flag byte

// The flags.
const (
	NotApplicable Flag = '-'
	Yes           Flag = 'Y'
	No            Flag = 'N'
)

// USPrivacy is a US Privacy string, "1YNN", as cookie or as section 6 (IAB Tech Lab, "U.S.
// Privacy String", version 1.0). It was deprecated in January 2024 and is still met.
type USPrivacy struct {
	Notice     Flag // the visitor was told of the right to opt out
	OptOutSale Flag // the visitor opted out of the sale of personal data
	LSPA       Flag // the transaction is covered by the IAB's agreement
}

// ParseUSPrivacy decodes s: the version 1 and three flags.
func ParseUSPrivacy(s string) (*USPrivacy, error) {
	if len(s) != 4 {
		return nil, ErrFormat
	}
	if s[0] != '1' {
		return nil, ErrVersion
	}
	for _, c := range []byte(s[1:]) {
		if f := Flag(c); f != Yes && f != No && f != NotApplicable {
			return nil, ErrFormat
		}
	}
	return &USPrivacy{Flag(s[1]), Flag(s[2]), Flag(s[3])}, nil
}
