package ua

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/sidetrack-go/sidetrack"
	wire "github.com/sidetrack-go/sidetrack/sources/wire/ua"
)

// TestHitsInAndOut sends hits through the decoder of the same protocol and this sink: what comes out has the same
// parameters. Amounts may be spelled differently: 12.00 is 12.
func TestHitsInAndOut(t *testing.T) {
	d, err := wire.New(wire.Config{})
	if err != nil {
		t.Fatal(err)
	}
	g, err := newGenerator(Config{Endpoint: "https://a.example/collect", OmitAIP: true, UnknownConsent: "omit"})
	if err != nil {
		t.Fatal(err)
	}
	for p := range strings.SplitSeq(strings.TrimSpace(`
pageview&dp=%2Fhome
pageview&dr=http%3A%2F%2Fref.example&sr=800x600&vp=123x456&de=UTF-8&sd=24-bits&ul=en-us&je=1&fl=10%201%20r103&dl=http%3A%2F%2Ffoo.example%2Fhome%3Fa%3Db
event&ni=1&ec=scroll&ea=50
event&ec=a&ea=b&el=l&ev=0
event&ec=a&ea=My%20Action&el=l&ev=3
transaction&ti=12345&ta=westernWear&tr=50.00&tt=12.00&ts=32.00&cu=EUR
transaction&ti=12345
item&ti=12345&in=sofa&ip=300&iq=2&ic=u3eqds43&iv=furniture&cu=EUR
social&sn=facebook&sa=like&st=%2Fhome
exception&exd=IOException&exf=0
timing&utc=jsonLoader&utv=load&utt=5000&utl=jQuery
timing&plt=1&dns=2&pdt=3&rrt=4&tcp=5&srt=6&dit=7&clt=8
screenview&cd=Home&an=Shop&aid=example.shop&av=1.2&aiid=store
pageview&aip=1&npa=1&ds=call%20center&sc=start&ua=Opera%2F9.80&geoid=21137&dp=%2F
pageview&cn=spring&cs=google&cm=cpc&ck=Blue%20Shoes&cc=content&ci=ID&gclid=CL6Q-TEST&dclid=d_click_id&dp=%2F
pageview&dh=mydemo.example&dp=%2Freceipt&dt=Receipt%20Page&ti=T12345&ta=Web%20Shop%20-%20Online&tr=37.39&tt=2.85&ts=5.34&tcc=SUMMER2013&cu=EUR&pa=purchase&pr1id=P12345&pr1nm=Printed%20Tee&pr1br=Google&pr1ca=Apparel&pr1va=Black&pr1ps=1
pageview&dp=%2Fr&ti=T1&pa=purchase&pr1id=P1&pr1pr=5&pr1qt=1
event&ec=ec&ea=add&pa=add&pr1id=A&pr2id=B&pr2pr=29.20&pr2qt=2&pr2cc=SALE&pr2cd1=Member&pr2cm2=28
pageview&dp=%2Fs&il1nm=search&il1pi2id=xyz&il1pi2nm=item1&il1pi2pr=1000&il1pi2ps=4&il2pi3cd1=test&il2pi4cm2=101
event&ec=Internal%20Promotions&ea=click&el=Summer%20Sale&promo1id=PROMO_1234&promo1nm=Summer%20Sale&promo1cr=summer_banner2&promo1ps=banner_slot1&promoa=click
event&ec=UX&ea=click&pa=click&pal=Search%20Results&pr1id=P12345
pageview&dp=%2Fcheckout&pa=checkout&cos=1&col=Visa&pr1id=P12345
event&ec=c&ea=o&pa=checkout_option&cos=2&col=Visa
event&ec=c&ea=o&pa=refund&ti=T&pr1id=a&pr1qt=1
pageview&dp=%2Fn&linkid=nav&cg1=news%2Fsports&cg3=x&cd1=a&cd200=b&cm1=1.5&xid=X&xvar=1&foo=7
pageview&dp=%2Fx&pa=detail&pr1id=A&il1nm=rel&il1pi1id=B&promo1id=P
`), "\n") {
		payload := "v=1&tid=UA-12345-6&cid=555&t=" + p
		r := httptest.NewRequest(http.MethodPost, "/collect", strings.NewReader(payload))
		dec, err := d.Decode(r)
		if err != nil || len(dec.Events) != 1 {
			t.Errorf("%s: %v %d", p, err, len(dec.Events))
			continue
		}
		out, err := g.Request(sidetrack.Unit{Events: dec.Events, At: now})
		if err != nil {
			t.Errorf("%s: %v", p, err)
			continue
		}
		a, b := query(t, payload), query(t, string(out.Body))
		for k := range a {
			if x, y := a.Get(k), b.Get(k); x != y && !sameAmount(x, y) {
				t.Errorf("%s: %s = %q, became %q", p, k, x, y)
			}
		}
		for k := range b {
			if !a.Has(k) {
				t.Errorf("%s: %s = %q was added", p, k, b.Get(k))
			}
		}
	}
}

func query(t *testing.T, payload string) url.Values {
	t.Helper()
	v, err := url.ParseQuery(payload)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func sameAmount(a, b string) bool {
	x, err := sidetrack.ParseMoney(a)
	y, err2 := sidetrack.ParseMoney(b)
	return err == nil && err2 == nil && x == y
}
