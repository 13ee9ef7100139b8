package ua

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sidetrack-go/sidetrack"
)

// base is a hit with what every hit needs.
func base(t Type) Hit {
	return Hit{Type: t, General: General{TrackingID: "UA-12345-6"}, User: User{ClientID: "555"}, Content: Content{AnyHost: true}}
}

func edit(t Type, f func(h *Hit)) Hit {
	h := base(t)
	f(&h)
	return h
}

const prefix = "v=1&tid=UA-12345-6&cid=555&t="

func TestEncodeExactly(t *testing.T) {
	for want, h := range map[string]Hit{
		"pageview&dp=%2Fhome": edit(PageView, func(h *Hit) { h.Content.Path = "/home" }),
		"pageview&dr=http%3A%2F%2Fref.example&sr=800x600&vp=123x456&de=UTF-8&sd=24-bits&ul=en-us&je=1&fl=10%201%20r103&dl=http%3A%2F%2Ffoo.example%2Fhome%3Fa%3Db": edit(PageView, func(h *Hit) {
			h.Content.Location, h.Traffic.Referrer = "http://foo.example/home?a=b", "http://ref.example"
			h.System = System{Screen: "800x600", Viewport: "123x456", Encoding: "UTF-8", Colors: "24-bits", Language: "en-us", Java: new(true), Flash: "10 1 r103"}
		}),
		"event&ni=1&ec=scroll&ea=50": edit(Event, func(h *Hit) {
			h.Event, h.General.NonInteraction = EventGroup{Category: "scroll", Action: "50"}, true
		}),
		"event&ec=a&ea=b&el=l&ev=0": edit(Event, func(h *Hit) { h.Event = EventGroup{"a", "b", "l", new(int64(0))} }),
		"transaction&ti=12345&ta=westernWear&tr=50.00&tt=12.00&ts=32.00&cu=EUR": edit(Transaction, func(h *Hit) {
			h.Transaction = TransactionGroup{ID: "12345", Affiliation: "westernWear", Revenue: "50.00", Shipping: "32.00", Tax: "12.00", Currency: "EUR"}
		}),
		"item&ti=12345&in=sofa&ip=300&iq=2&ic=u3eqds43&iv=furniture&cu=EUR": edit(Item, func(h *Hit) {
			h.Item = ItemGroup{"12345", "sofa", "300", new(int64(2)), "u3eqds43", "furniture", "EUR"}
		}),
		"social&sn=facebook&sa=like&st=%2Fhome": edit(Social, func(h *Hit) { h.Social = SocialGroup{"facebook", "like", "/home"} }),
		"exception&exd=IOException&exf=0":       edit(Exception, func(h *Hit) { h.Exception = ExceptionGroup{"IOException", new(false)} }),
		"exception&exd=IOException&exf=1":       edit(Exception, func(h *Hit) { h.Exception = ExceptionGroup{"IOException", new(true)} }),
		"exception":                             base(Exception),
		"timing&utc=jsonLoader&utv=load&utt=5000&utl=jQuery": edit(Timing, func(h *Hit) {
			h.Timing = TimingGroup{Category: "jsonLoader", Variable: "load", Time: new(int64(5000)), Label: "jQuery"}
		}),
		"timing&plt=1&dns=2&pdt=3&rrt=4&tcp=5&srt=6&dit=7&clt=8": edit(Timing, func(h *Hit) {
			h.Timing = TimingGroup{"", "", nil, "", new(int64(1)), new(int64(2)), new(int64(3)), new(int64(4)), new(int64(5)), new(int64(6)), new(int64(7)), new(int64(8))}
		}),
		"screenview&cd=Home&an=Shop&aid=example.shop&av=1.2&aiid=store": edit(ScreenView, func(h *Hit) { h.Content.Screen, h.App = "Home", App{"Shop", "example.shop", "1.2", "store"} }),
		"pageview&aip=1&npa=1&ds=call%20center&qt=560&sc=start&uip=1.2.3.4&ua=Opera%2F9.80%20(Windows%20NT%206.0)&geoid=21137&dp=%2F": edit(PageView, func(h *Hit) {
			h.General = General{TrackingID: "UA-12345-6", AnonymizeIP: true, NoAds: true, DataSource: "call center", QueueTime: new(int64(560))}
			h.Session, h.Content.Path = Session{"start", "1.2.3.4", "Opera/9.80 (Windows NT 6.0)", "21137"}, "/"
		}),
		"pageview&cn=spring&cs=google&cm=cpc&ck=Blue%20Shoes&cc=content&ci=ID&gclid=CL6Q-TEST&dclid=d_click_id&dp=%2F": edit(PageView, func(h *Hit) {
			h.Traffic, h.Content.Path = Traffic{"", "spring", "google", "cpc", "Blue Shoes", "content", "ID", "CL6Q-TEST", "d_click_id"}, "/"
		}),
		"pageview&dh=mydemo.example&dp=%2Freceipt&dt=Receipt%20Page&ti=T12345&ta=Web%20Shop%20-%20Online&tr=37.39&tt=2.85&ts=5.34&tcc=SUMMER2013&cu=EUR&pa=purchase&pr1id=P12345&pr1nm=Printed%20Tee&pr1br=Google&pr1ca=Apparel&pr1va=Black&pr1ps=1": edit(PageView, func(h *Hit) {
			h.Content = Content{Host: "mydemo.example", Path: "/receipt", Title: "Receipt Page"}
			h.Transaction = TransactionGroup{"T12345", "Web Shop - Online", "37.39", "5.34", "2.85", "SUMMER2013", "EUR"}
			h.Shop = Shop{Action: Purchase, Products: []Product{{ID: "P12345", Name: "Printed Tee", Category: "Apparel", Brand: "Google", Variant: "Black", Position: new(int64(1))}}}
		}),
		"event&ec=ec&ea=add&pa=add&pr1id=A&pr2id=B&pr2pr=29.20&pr2qt=2&pr2cc=SALE&pr2cd1=Member&pr2cm2=28": edit(Event, func(h *Hit) {
			h.Event = EventGroup{Category: "ec", Action: "add"}
			h.Shop = Shop{Action: Add, Products: []Product{{ID: "A"}, {ID: "B", Price: "29.20", Quantity: "2", Coupon: "SALE", Dimensions: map[int]string{1: "Member"}, Metrics: map[int]Decimal{2: "28"}}}}
		}),
		"pageview&dp=%2Fs&il1nm=search&il1pi2id=xyz&il1pi2nm=item1&il1pi2br=b&il1pi2ca=c&il1pi2va=v&il1pi2pr=1000&il1pi2ps=4&il2pi3cd1=test&il2pi4cm2=101": edit(PageView, func(h *Hit) {
			h.Content.Path = "/s"
			h.Shop.Impressions = []List{
				{Name: "search", Products: []Product{{Index: 2, ID: "xyz", Name: "item1", Brand: "b", Category: "c", Variant: "v", Price: "1000", Position: new(int64(4))}}},
				{Products: []Product{{Index: 3, Dimensions: map[int]string{1: "test"}}, {Index: 4, Metrics: map[int]Decimal{2: "101"}}}},
			}
		}),
		"event&ec=Internal%20Promotions&ea=click&el=Summer%20Sale&promo1id=PROMO_1234&promo1nm=Summer%20Sale&promo1cr=summer_banner2&promo1ps=banner_slot1&promoa=click": edit(Event, func(h *Hit) {
			h.Event = EventGroup{Category: "Internal Promotions", Action: "click", Label: "Summer Sale"}
			h.Shop = Shop{Promotion: "click", Promotions: []Promotion{{0, "PROMO_1234", "Summer Sale", "summer_banner2", "banner_slot1"}}}
		}),
		"event&ec=UX&ea=click&pa=click&pal=Search%20Results&pr1id=P12345": edit(Event, func(h *Hit) {
			h.Event, h.Shop = EventGroup{Category: "UX", Action: "click"}, Shop{Action: Click, List: "Search Results", Products: []Product{{ID: "P12345"}}}
		}),
		"pageview&dp=%2Fcheckout&pa=checkout&cos=1&col=Visa&pr1id=P12345": edit(PageView, func(h *Hit) {
			h.Content.Path, h.Shop = "/checkout", Shop{Action: Checkout, Step: new(int64(1)), Option: "Visa", Products: []Product{{ID: "P12345"}}}
		}),
		"pageview&dp=%2Fn&linkid=nav&cg1=news%2Fsports&cd1=a&cd200=b&cm1=1.5&xid=X&xvar=1&_gid=7&z=289372387623": edit(PageView, func(h *Hit) {
			h.Content.Path, h.Content.Groups, h.Content.LinkID = "/n", map[int]string{1: "news/sports"}, "nav"
			h.Dimensions, h.Metrics, h.ExperimentID, h.ExperimentVariant = map[int]string{1: "a", 200: "b"}, map[int]Decimal{1: "1.5"}, "X", "1"
			h.General.CacheBuster, h.Extra = "289372387623", map[string]string{"_gid": "7"}
		}),
	} {
		got, err := h.Encode()
		if err != nil || got != prefix+want {
			t.Errorf("%v\ngot  %s\nwant %s", err, got, prefix+want)
		}
	}
	// A parameter of its own takes the place of what a group says.
	h := edit(PageView, func(h *Hit) { h.Content.Location, h.Extra = "https://a.example/", map[string]string{"dl": "other"} })
	if got, err := h.Encode(); err != nil || got != prefix+"pageview&dl=other" {
		t.Errorf("%s %v", got, err)
	}
}

// TestEveryParameter holds the encoder against the list of the parameters of the reference.
func TestEveryParameter(t *testing.T) {
	all := strings.Fields(`v tid aip npa ds qt z cid uid sc uip ua geoid dr cn cs cm ck cc ci gclid dclid sr vp de sd ul je fl t ni dl dh dp dt cd cg1 cg10 linkid an aid av aiid
		ec ea el ev ti ta tr ts tt cu in ip iq ic iv pr1id pr1nm pr1br pr1ca pr1va pr1pr pr1qt pr1cc pr1ps pr1cd1 pr1cm200 pa tcc pal cos col
		il1nm il1pi1id il1pi1nm il1pi1br il1pi1ca il1pi1va il1pi1ps il1pi1pr il1pi1cd1 il1pi1cm200 promo1id promo1nm promo1cr promo1ps promoa
		sn sa st utc utv utt utl plt dns pdt rrt tcp srt dit clt exd exf cd1 cd200 cm1 cm200 xid xvar`)
	n := new(int64(1))
	product := Product{ID: "i", Name: "n", Brand: "b", Category: "c", Variant: "v", Price: "1", Quantity: "1", Coupon: "c", Position: n, Dimensions: map[int]string{1: "d"}, Metrics: map[int]Decimal{200: "1"}}
	h := Hit{
		General: General{"UA-1-1", true, true, "web", n, true, "9"}, User: User{"c", "u"}, Session: Session{"end", "192.0.2.0", "UA", "AT"},
		Traffic: Traffic{"r", "n", "s", "m", "k", "c", "i", "g", "d"}, System: System{"1x1", "1x1", "UTF-8", "24-bits", "de", new(true), "1"},
		Content: Content{"https://a.example/", "a.example", "/", "t", "s", "l", map[int]string{1: "a", 10: "b"}, false}, App: App{"n", "i", "v", "in"},
		Event: EventGroup{"c", "a", "l", n}, Transaction: TransactionGroup{"i", "a", "1", "1", "1", "c", "EUR"}, Item: ItemGroup{"i", "n", "1", n, "c", "v", "EUR"},
		Social: SocialGroup{"n", "a", "t"}, Timing: TimingGroup{"c", "v", n, "l", n, n, n, n, n, n, n, n}, Exception: ExceptionGroup{"d", new(false)},
		Shop:       Shop{Purchase, "l", n, "o", []Product{product}, []List{{0, "l", []Product{product}}}, []Promotion{{0, "i", "n", "c", "p"}}, "click"},
		Dimensions: map[int]string{1: "a", 200: "b"}, Metrics: map[int]Decimal{1: "1", 200: "2"}, ExperimentID: "x", ExperimentVariant: "v",
	}
	seen := map[string]bool{}
	for _, h.Type = range []Type{PageView, ScreenView, Event, Transaction, Item, Social, Exception, Timing} {
		payload, err := h.Encode()
		if err != nil {
			t.Fatalf("%s: %v", h.Type, err)
		}
		values, err := url.ParseQuery(payload)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range values {
			if seen[k] = true; len(v) != 1 {
				t.Errorf("%s: %s comes %d times", h.Type, k, len(v))
			}
		}
		if !strings.HasSuffix(payload, "&z=9") {
			t.Errorf("z is not last: %s", payload)
		}
	}
	slices.Sort(all)
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, all) {
		t.Errorf("got  %v\nwant %v", got, all)
	}
}

func TestValidateNamesWhatIsMissingAndWrong(t *testing.T) {
	for want, h := range map[string]Hit{
		"missing tid, cid, t":   {},
		"missing dl":            {Type: PageView, General: General{TrackingID: "UA-1-1"}, User: User{UserID: "u"}},
		"missing dh":            {Type: PageView, General: General{TrackingID: "UA-1-1"}, User: User{UserID: "u"}, Content: Content{Path: "/"}},
		"missing dp":            {Type: PageView, General: General{TrackingID: "UA-1-1"}, User: User{UserID: "u"}, Content: Content{Host: "a.example"}},
		"missing cd":            base(ScreenView),
		"missing cd, an":        edit(ScreenView, func(h *Hit) { h.App.Version = "1" }),
		"missing ec, ea":        base(Event),
		"missing ti":            base(Transaction),
		"missing ti, in":        base(Item),
		"missing sn, sa, st":    base(Social),
		"missing utc, utv, utt": base(Timing),
		"missing utv, utt":      edit(Timing, func(h *Hit) { h.Timing = TimingGroup{Category: "c", PageLoad: new(int64(1))} }),
		"t is none of pageview, screenview, event, transaction, item, social, exception, timing": base("appview2"),
		"ev must not be negative":                               edit(Event, func(h *Hit) { h.Event = EventGroup{"a", "b", "", new(int64(-1))} }),
		"tr must be a decimal number with at most six decimals": edit(Transaction, func(h *Hit) { h.Transaction = TransactionGroup{ID: "1", Revenue: "1,50"} }),
		"pr201id has a number out of range: 1 to 200":           edit(Exception, func(h *Hit) { h.Shop.Products = make([]Product, 201) }),
		"cd201 has a number out of range: 1 to 200":             edit(Exception, func(h *Hit) { h.Dimensions = map[int]string{201: "x"} }),
		"cg11 has a number out of range: 1 to 10":               edit(Exception, func(h *Hit) { h.Content.Groups = map[int]string{11: "x"} }),
		"il1pi-1id has a number out of range: 1 to 200":         edit(Exception, func(h *Hit) { h.Shop.Impressions = []List{{Products: []Product{{Index: -1}}}} }),
		"missing pa": edit(Exception, func(h *Hit) { h.Shop.Products = []Product{{ID: "a"}} }),
		"pa is none of detail, click, add, remove, checkout, checkout_option, purchase, refund": edit(Exception, func(h *Hit) { h.Shop.Action = "buy" }),
		"promoa must be click or nothing":      edit(Exception, func(h *Hit) { h.Shop.Promotion = "x" }),
		"sc must be start or end":              edit(Exception, func(h *Hit) { h.Session.Control = "x" }),
		"dr has 2049 bytes, at most 2048":      edit(Exception, func(h *Hit) { h.Traffic.Referrer = strings.Repeat("r", 2049) }),
		"payload has 9035 bytes, at most 8192": edit(Exception, func(h *Hit) { h.Session.UserAgent = strings.Repeat("x", 8993) }),
		"a b is no name of a parameter":        edit(Exception, func(h *Hit) { h.Extra = map[string]string{"a b": "x"} }),
	} {
		err := h.Validate()
		if _, ok := errors.AsType[*InvalidError](err); !ok || err.Error() != "ua: "+want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	refund := edit(Event, func(h *Hit) { h.Event, h.Shop.Action = EventGroup{Category: "a", Action: "b"}, Refund })
	if err := refund.Validate(); err == nil || err.Error() != "ua: missing ti" {
		t.Error(err)
	}
}

func TestTransactionHits(t *testing.T) {
	hits, err := TransactionHits(base(""), TransactionGroup{ID: "1", Shipping: "3.50", Tax: "0.1", Currency: "SEK"},
		[]ItemGroup{{Name: "a", Price: "0.1", Quantity: new(int64(3))}, {Name: "b", Price: "10"}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range hits {
		s, err := hits[i].Encode()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.TrimPrefix(s, prefix))
	}
	// 3 × 0.1 + 10 + 3.5 + 0.1; the items get the currency and so does the transaction.
	want := "[transaction&ti=1&tr=13.9&tt=0.1&ts=3.50&cu=SEK item&ti=1&in=a&ip=0.1&iq=3&cu=SEK item&ti=1&in=b&ip=10&cu=SEK]"
	if fmt.Sprint(got) != want {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	hits, err = TransactionHits(base(""), TransactionGroup{ID: "1", Revenue: "5", Shipping: "3"}, nil)
	if err != nil || len(hits) != 1 || hits[0].Transaction.Revenue != "5" {
		t.Errorf("%v %+v", err, hits)
	}
	if _, err := TransactionHits(base(""), TransactionGroup{ID: "1"}, []ItemGroup{{Name: "a", Price: "x"}}); err == nil || err.Error() != "ua: ip must be a decimal number" {
		t.Error(err)
	}
	if _, err := TransactionHits(base(""), TransactionGroup{ID: "1"}, []ItemGroup{{Price: "9000000000000"}, {Price: "9000000000000"}}); err == nil || !strings.Contains(err.Error(), "out of range") {
		t.Error(err)
	}
}

func FuzzEncode(f *testing.F) {
	f.Add("a", "b c", "ü\xff&=\n", "1.5", int64(3))
	f.Fuzz(func(t *testing.T, a, b, c, d string, n int64) {
		h := Hit{Type: Event, General: General{TrackingID: a, QueueTime: &n}, User: User{ClientID: b}, Event: EventGroup{Category: c, Action: b, Value: &n},
			Metrics: map[int]Decimal{int(n % 300): Decimal(d)}, Shop: Shop{Products: []Product{{ID: c, Price: Decimal(d)}}, Action: Add}, Extra: map[string]string{a: b}}
		s, err := h.Encode()
		if err != nil {
			if _, ok := errors.AsType[*InvalidError](err); !ok {
				t.Fatal(err)
			}
			return
		}
		values, err := url.ParseQuery(s)
		if err != nil || strings.ContainsAny(s, " +\n\r") || len(s) > MaxPayload {
			t.Fatalf("%v: %q", err, s)
		}
		want := strings.ToValidUTF8(c, "\ufffd")
		if o, ok := h.Extra["ec"]; ok {
			want = strings.ToValidUTF8(o, "\ufffd")
		}
		if got := values.Get("ec"); got != want {
			t.Fatalf("%q became %q", c, got)
		}
	})
}

func ExampleHit() {
	h := Hit{
		Type:    PageView,
		General: General{TrackingID: "UA-12345-6", AnonymizeIP: true},
		User:    User{ClientID: "555"},
		Content: Content{Location: "https://shop.example/thanks", Title: "Thank you"},
		Transaction: TransactionGroup{
			ID: "T-1", Revenue: Amount(sidetrack.MoneyOf(19.99)), Currency: "EUR",
		},
		Shop: Shop{Action: Purchase, Products: []Product{{ID: "SKU-1", Price: "19.99", Quantity: "1"}}},
	}
	fmt.Println(h.Encode())
	h.User.ClientID, h.Transaction.ID = "", ""
	fmt.Println(h.Validate())
	// Output:
	// v=1&tid=UA-12345-6&cid=555&t=pageview&aip=1&dl=https%3A%2F%2Fshop.example%2Fthanks&dt=Thank%20you&ti=T-1&tr=19.99&cu=EUR&pa=purchase&pr1id=SKU-1&pr1pr=19.99&pr1qt=1 <nil>
	// ua: missing cid, ti
}
