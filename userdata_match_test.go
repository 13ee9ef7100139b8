package sidetrack_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// The vectors are what Meta's own SDK for Node makes of the values.
func TestMatchVectors(t *testing.T) {
	b, err := os.ReadFile("testdata/meta_hash_vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct{ Field, Input, SHA256, Normalised string }
	if err := json.Unmarshal(b, &vectors); err != nil || len(vectors) != 39 {
		t.Fatalf("%d vectors, %v", len(vectors), err)
	}
	for _, v := range vectors {
		var u sidetrack.UserData
		if err := u.AddMatch(v.Field, v.Input); err != nil || !slices.Equal(u.Match[v.Field], []string{v.SHA256}) {
			t.Errorf("%s %q: %v %v, want the hash of %q", v.Field, v.Input, u.Match, err, v.Normalised)
		}
		if err := u.AddMatch(v.Field, " "+strings.ToUpper(v.SHA256)); err != nil || len(u.Match[v.Field]) != 1 {
			t.Errorf("%s: a hash is hashed again: %v %v", v.Field, u.Match, err)
		}
	}
}

func TestMatchNormalizes(t *testing.T) {
	for _, tt := range []struct{ key, value, normal string }{
		{"em", "\tJane.Doe@GMail.com ", "jane.doe@gmail.com"}, // dots stay
		{"ph", "+00 43 1 234567", "431234567"},
		{"ph", "tel: +1 (650) 555-0123", "16505550123"},
		{"ge", "woman", "f"}, {"ge", "M", "m"},
		{"db", "1990-12-31", "19901231"}, {"db", "19901231", "19901231"}, {"db", "1990/02/05", "19900205"},
		{"dobd", "05", "05"}, {"dobm", "12", "12"}, {"doby", "2001", "2001"},
		{"ct", "St. Pölten 3", "stpölten"}, {"ct", "'s-Hertogenbosch", "shertogenbosch"},
		{"st", "US-CA", "ca"}, {"st", "N.Y.", "ny"}, {"st", "Nord-Pas-de-Calais", "nordpasdecalais"},
		{"zp", "00-950", "00950"}, {"zp", "1010", "1010"}, {"zp", "94035 - 1234", "940351234"}, {"zp", "SW1A 2AA", "sw1a2aa"},
		{"country", "At", "at"},
		{"external_id", "5D41402ABC4B2A76B9719D911017C592", "5d41402abc4b2a76b9719d911017c592"},
	} {
		var u sidetrack.UserData
		if err := u.AddMatch(tt.key, tt.value); err != nil || !slices.Equal(u.Match[tt.key], []string{sum(tt.normal)}) {
			t.Errorf("%s %q: %v %v, want the hash of %q", tt.key, tt.value, u.Match, err, tt.normal)
		}
	}
	for _, tt := range [][2]string{
		{"em", "jane"}, {"em", "a b@shop.example"}, {"em", "5d41402abc4b2a76b9719d911017c592"},
		{"ph", "0664 1234567"}, {"ph", "call me"}, {"ph", "123456"}, {"ph", "+12345678901234567"},
		{"ge", "x"}, {"ge", "divers"}, {"db", "12/31/1990"}, {"db", "1990-02-30"}, {"db", "1899-01-01"}, {"db", "90-11-30"},
		{"dobd", "32"}, {"dobd", "0"}, {"dobd", "+5"}, {"dobm", "13"}, {"doby", "90"}, {"doby", "1850"},
		{"ct", "123"}, {"st", "AT-9"}, {"zp", "-"}, {"country", "USA"}, {"country", "ÖS"},
		{"fn", "5d41402abc4b2a76b9719d911017c592"}, {"zp", "5D41402ABC4B2A76B9719D911017C592"}, {"fbp", "1098115397"}, {"fbp", "fb.1.17145576x0123.1"}, {"fbc", "fb.1.1714557600123."}, {"fbc", "fb.1.1714557600123.a b"},
		{"address", "x"}, {"", "x"},
	} {
		var u sidetrack.UserData
		if err := u.AddMatch(tt[0], tt[1]); err == nil || !u.IsZero() || len(tt[1]) > 3 && strings.Contains(err.Error(), tt[1]) {
			t.Errorf("%s %q: %v %v", tt[0], tt[1], u.Match, err)
		}
	}
	var u sidetrack.UserData
	for _, key := range sidetrack.MatchKeys() {
		if err := u.AddMatch(key, " \t"); err != nil || !u.IsZero() {
			t.Errorf("%s of nothing: %v %v", key, u.Match, err)
		}
	}
	const fbc = "fb.1.1714557600123.IwAR2F4-dbP0l7Mn1IawQQGCINEz7PYXQvwjNwB_qa2ofrHyiLjcbCRxTDMgk"
	if err := u.AddMatch("fbc", fbc); err != nil || !slices.Equal(u.Match["fbc"], []string{fbc}) {
		t.Errorf("fbc is changed: %v %v", u.Match, err)
	}
	for i := range 11 {
		if err := u.AddMatch("fn", strings.Repeat("x", i+1)); (err != nil) != (i >= sidetrack.MaxUserData) {
			t.Errorf("name %d: %v", i+1, err)
		}
	}
}

// What Google's rules change more than Meta's is there in both forms.
func TestUserDataFillsMatch(t *testing.T) {
	var u sidetrack.UserData
	for range 2 {
		if err := u.AddEmail("jane@shop.example"); err != nil {
			t.Fatal(err)
		}
	}
	u.AddAddress(sidetrack.PostalAddress{FirstName: "Jane", City: "Wien"})
	if u.Match != nil {
		t.Errorf("the same hashes twice: %v", u.Match)
	}
	if err := u.AddEmail("J.Doe@gmail.com"); err != nil {
		t.Fatal(err)
	}
	if err := u.AddPhone("0043 1 234567"); err != nil {
		t.Fatal(err)
	}
	u.AddAddress(sidetrack.PostalAddress{FirstName: "Anne-Marie", LastName: "O'Neil "})
	want := map[string]string{"em": "j.doe@gmail.com", "ph": "431234567", "fn": "anne-marie", "ln": "o'neil"}
	for key, v := range want {
		if !slices.Equal(u.Match[key], []string{sum(v)}) {
			t.Errorf("%s: %v, want the hash of %q", key, u.Match[key], v)
		}
	}
	if len(u.Match) != len(want) {
		t.Errorf("%v", u.Match)
	}
}

func FuzzAddMatch(f *testing.F) {
	keys := sidetrack.MatchKeys()
	for i := range keys {
		for _, v := range []string{"jane@shop.example", "+1 (650) 555-0123", "Anne-Marie", "1990-12-31", "5", "AT-9", "94035-1234", "fb.1.1714557600123.x", sum("x"), "İ\xff\x00", "٤٣١٢٣٤٥٦٧"} {
			f.Add(uint8(i), v)
		}
	}
	f.Fuzz(func(t *testing.T, k uint8, value string) {
		key := keys[int(k)%len(keys)]
		var u sidetrack.UserData
		if err := u.AddMatch(key, value); err != nil {
			if !u.IsZero() {
				t.Errorf("%s %q: refused and kept: %v", key, value, u.Match)
			}
			if v := strings.TrimSpace(value); len(v) > 12 && strings.Contains(err.Error(), v) {
				t.Errorf("%s: the error shows the value: %v", key, err)
			}
			return
		}
		e := sidetrack.Event{Name: "x", UserData: &u}
		if err := e.Validate(time.Unix(1_700_000_000, 0)); err != nil {
			t.Errorf("%s %q: %v", key, value, err)
		}
		if u.IsZero() != (strings.TrimSpace(value) == "") {
			t.Fatalf("%s %q: %v", key, value, u.Match)
		}
		if u.IsZero() {
			return
		}
		once := u.Match[key][0]
		if err := u.AddMatch(key, once); err != nil || len(u.Match[key]) != 1 {
			t.Errorf("%s %q: adding what came out adds: %v %v", key, value, u.Match, err)
		}
		if key == "fbp" || key == "fbc" {
			return
		}
		if err := u.AddMatch(key, " "+value+"\n"); err != nil || len(u.Match[key]) != 1 {
			t.Errorf("%s %q: blanks around it change the hash: %v", key, value, err)
		}
	})
}
