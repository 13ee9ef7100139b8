package header

import "testing"

func TestProblems(t *testing.T) {
	for name, want := range map[string]string{
		"X-Api-Key": "", "authorization": "", "": "is not the name of a header", "a b": "is not the name of a header", "a:b": "is not the name of a header",
		"ä": "is not the name of a header", "host": "is set by the sink", "content-LENGTH": "is set by the sink", "Transfer-Encoding": "is set by the sink", "x-own": "is set by the sink",
	} {
		if got := NameProblem(name, "X-Own"); got != want {
			t.Errorf("%q: %q", name, got)
		}
	}
	for value, want := range map[string]string{"": "", "a b\tc~": "", "a\nb": "must be printable ASCII", "ä": "must be printable ASCII", "\x7f": "must be printable ASCII"} {
		if got := ValueProblem(value); got != want {
			t.Errorf("%q: %q", value, got)
		}
	}
}
