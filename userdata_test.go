package sidetrack_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sidetrack-go/sidetrack"
)

// The hashes are those of the normalized values, computed with sha256sum.
func TestUserDataIsNormalizedAndHashed(t *testing.T) {
	var u sidetrack.UserData
	if err := u.AddEmail(" Jane.Doe@GMail.com "); err != nil {
		t.Fatal(err)
	}
	if err := u.AddPhone("+1 (415) 555-0100"); err != nil {
		t.Fatal(err)
	}
	u.AddAddress(sidetrack.PostalAddress{FirstName: " Jane ", LastName: "Doe", Street: "1 Main St.", City: "San Francisco 9", Region: "CA", PostalCode: "94105", Country: "US"})
	got := fmt.Sprintf("%+v", u)
	want := "{Emails:[d6117306485ed0e50afab3ac871e98f81699151f30281527d63ff5f233656c69] Phones:[40d3f4e02db27d66cf4cfdda506c2c945f115a7955cc8491dda98ce5beabcda0] " +
		"Addresses:[{FirstName:81f8f6dde88365f3928796ec7aa53f72820b06db8664f5fe76a7eb13e24546a2 LastName:799ef92a11af918e3fb741df42934f3b568ed2d93ac1df74f1b8d41a27932a6f " +
		"Street:c5ebb0be9e0ec30bdd850c4df59935cfe504dfef68df11ac79be35a86fb8a9c6 City:san francisco Region:CA PostalCode:94105 Country:US}] " +
		"Match:map[em:[831f6494ad6be4fcb3a724c3d5fef22d3ceffa3c62ef3a7984e45a0ea177f982] ph:[5e7ec4c79ccac6e420876e65ad0e6b4b2ccf73ec3dccb50297bf2890a1ec73b9]]}"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestUserDataOfOneFormHasOneHash(t *testing.T) {
	for _, same := range [][]string{
		{"jane.doe@shop.example", "  JANE.DOE@Shop.Example\t"},
		{"a.b.c@googlemail.com", "abc@googlemail.com"},
	} {
		var u sidetrack.UserData
		for _, v := range same {
			if err := u.AddEmail(v); err != nil {
				t.Fatal(err)
			}
		}
		if u.Emails[0] != u.Emails[1] {
			t.Errorf("%q have different hashes", same)
		}
	}
	var u sidetrack.UserData
	for _, v := range []string{"+43 1 234567", "0043-1-234567", "431234567"} {
		if err := u.AddPhone(v); err != nil {
			t.Fatal(err)
		}
	}
	if u.Phones[0] != u.Phones[1] || u.Phones[1] != u.Phones[2] {
		t.Errorf("%q", u.Phones)
	}
}

func TestUserDataErrorsDoNotShowIt(t *testing.T) {
	var u sidetrack.UserData
	for _, v := range []string{"", "jane", "@shop.example", "jane@shop", "a b@shop.example", "a@b@shop.example"} {
		if err := u.AddEmail(v); err == nil || v != "" && strings.Contains(err.Error(), v) {
			t.Errorf("%q: %v", v, err)
		}
	}
	for _, v := range []string{"", "0664 1234567", "+12", "call me", "+1234567890123456"} {
		if err := u.AddPhone(v); err == nil || v != "" && strings.Contains(err.Error(), v) {
			t.Errorf("%q: %v", v, err)
		}
	}
	if !u.IsZero() {
		t.Errorf("something was kept: %+v", u)
	}
}
