package consent

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sidetrack-go/sidetrack"
)

// origin is that of a request with these header lines.
func origin(lines ...string) *sidetrack.Origin {
	h := http.Header{}
	for _, l := range lines {
		k, v, _ := strings.Cut(l, ": ")
		h.Add(k, v)
	}
	return sidetrack.NewOrigin(netip.Addr{}, &http.Request{Header: h, Host: "shop.example"})
}

// short shows analytics_storage, ad_storage, ad_user_data, ad_personalization, functionality_storage,
// personalization_storage and security_storage as g, d or -.
func short(c sidetrack.Consent) string {
	s := make([]byte, 0, 7)
	for _, p := range sidetrack.Purposes() {
		s = append(s, "-dg"[c.Get(p)])
	}
	return string(s)
}

const (
	// TCF 2.3 strings made for these tests, see internal/tcf: all of 1–10 consented to, and nothing.
	didomiExample = "eyJ1c2VyX2lkIjoiMTc4NDExNGMtZjhiMy02NTkwLWE2ZGYtYjlmYjI0MGJkZWE1IiwicHVycG9zZXMiOnsiZW5hYmxlZCI6WyJjb29raWVzIiwibWVhc3VyZV9jb250ZW50X3BlcmZvcm1hbmNlIiwibWFya2V0X3Jlc2VhcmNoIiwiYW5hbHl0aWNzLUExIl0sImRpc2FibGVkIjpbImNyZWF0ZV9hZHNfcHJvZmlsZSJdfSwidmVuZG9ycyI6eyJlbmFibGVkIjpbImdvb2dsZSJdfSwidmVyc2lvbiI6Mn0="

	oneTrustChosen  = "isGpcEnabled=0&datestamp=Tue+Jan+13+2026+10%3A12%3A01+GMT%2B0100+(Central+European+Standard+Time)&version=202408.1.0&browserGpcFlag=0&isIABGlobal=false&hosts=&consentId=1a2b3c4d-0000-4000-8000-aaaaaaaaaaaa&interactionCount=1&isAnonUser=1&landingPath=NotLandingPage&groups=C0001%3A1%2CC0002%3A1%2CC0003%3A0%2CC0004%3A0&intType=3&geolocation=DE%3BBE&AwaitingReconsent=false"
	cookiebotChosen = `{stamp:%27VRvt7V2nmh0CcEVYYqyZw==%27%2Cnecessary:true%2Cpreferences:false%2Cstatistics:true%2Cmarketing:false%2Cmethod:%27explicit%27%2Cver:1%2Cutc:1768295521000%2Cregion:%27de%27}`
	cookieYesChosen = "consentid:dGVzdHRlc3R0ZXN0dGVzdA,consent:yes,action:yes,necessary:yes,functional:no,analytics:yes,performance:no,advertisement:no,other:no"
	vanillaChosen   = `{"categories":["necessary","analytics"],"revision":0,"data":null,"consentTimestamp":"2026-01-13T09:12:01.000Z","consentId":"c1","services":{"necessary":[],"analytics":["ga"],"ads":[]},"languageCode":"en","lastConsentTimestamp":"2026-01-13T09:12:01.000Z","expirationTime":1783933921000}`
)

// TestReaders has one row per form a cookie of each tool comes in.
func TestReaders(t *testing.T) {
	twice := func(s string) string { return url.PathEscape(url.PathEscape(s)) }
	for name, tt := range map[string]struct {
		readers    Readers
		cookie     string // the Cookie header
		want       string // as short shows it
		unreadable bool
	}{
		"own: accept":                    {Readers{Own: &Own{}}, "cookie_action=accept", "g------", false},
		"own: refuse":                    {Readers{Own: &Own{}}, "cookie_action=refuse", "ddddddd", false},
		"own: status 1":                  {Readers{Own: &Own{}}, "cookie_status=1", "g------", false},
		"own: status 0":                  {Readers{Own: &Own{}}, "cookie_status=0", "ddddddd", false},
		"own: action is newer":           {Readers{Own: &Own{}}, "cookie_status=1; cookie_action=refuse", "ddddddd", false},
		"own: action is newer, granting": {Readers{Own: &Own{}}, "cookie_status=0; cookie_action=accept", "g------", false},
		"own: purposes of accept":        {Readers{Own: &Own{Purposes: []sidetrack.Purpose{"analytics_storage", "ad_storage"}}}, "cookie_action=accept", "gg-----", false},
		"own: partial":                   {Readers{Own: &Own{}}, "cookie_status=analytics_storage:granted|ad_storage:denied", "gd-----", false},
		"own: other names":               {Readers{Own: &Own{Action: "a", Status: "s"}}, "cookie_status=1; s=0", "ddddddd", false},
		"own: nonsense":                  {Readers{Own: &Own{}}, "cookie_status=maybe", "", true},
		"own: nothing":                   {Readers{Own: &Own{}}, "cookie_status=; other=1", "-------", false},
		"own: broken action keeps status from granting": {Readers{Own: &Own{}}, "cookie_status=1; cookie_action=%zz", "", true},

		"consent mode: granted":       {Readers{ConsentMode: &ConsentMode{}}, "consent=granted", "ggggggg", false},
		"consent mode: list":          {Readers{ConsentMode: &ConsentMode{}}, "consent=analytics_storage:granted,ad_storage:denied", "gd-----", false},
		"consent mode: list, encoded": {Readers{ConsentMode: &ConsentMode{}}, "consent=analytics_storage%3Agranted%7Cad_storage%3Ddenied", "gd-----", false},
		"consent mode: JSON":          {Readers{ConsentMode: &ConsentMode{}}, `consent={"ad_user_data":"granted","wait_for_update":"granted"}`, "--g----", false},
		"consent mode: JSON, twice":   {Readers{ConsentMode: &ConsentMode{}}, "consent=" + twice(`{"ad_user_data":"denied"}`), "--d----", false},
		"consent mode: number":        {Readers{ConsentMode: &ConsentMode{}}, `consent={"ad_user_data":"granted","wait_for_update":500}`, "", true},
		"consent mode: gcs":           {Readers{ConsentMode: &ConsentMode{}}, "consent=G101", "gd-----", false},
		"consent mode: gcd":           {Readers{ConsentMode: &ConsentMode{}}, "consent=13r3p3q3l1", "dgd----", false},
		"consent mode: quoted":        {Readers{ConsentMode: &ConsentMode{}}, `consent="denied"`, "ddddddd", false},
		"consent mode: twice a state": {Readers{ConsentMode: &ConsentMode{}}, "consent=ad_storage:denied,ad_storage:granted", "-d-----", false},
		"consent mode: empty":         {Readers{ConsentMode: &ConsentMode{}}, "consent=", "-------", false},
		"consent mode: yes":           {Readers{ConsentMode: &ConsentMode{}}, "consent=analytics_storage:yes", "", true},

		"onetrust: chosen":                  {Readers{OneTrust: &OneTrust{}}, "OptanonConsent=" + oneTrustChosen, "gdddddg", false},
		"onetrust: encoded whole":           {Readers{OneTrust: &OneTrust{}}, "OptanonConsent=" + url.PathEscape(oneTrustChosen), "gdddddg", false},
		"onetrust: groups encoded twice":    {Readers{OneTrust: &OneTrust{}}, "OptanonConsent=interactionCount=1&groups=" + twice("C0002:1,C0004:1"), "gggg---", false},
		"onetrust: before a choice":         {Readers{OneTrust: &OneTrust{}}, "OptanonConsent=interactionCount=0&groups=C0001%3A1%2CC0002%3A1%2CC0004%3A0", "-ddd---", false},
		"onetrust: closed banner":           {Readers{OneTrust: &OneTrust{}}, "OptanonAlertBoxClosed=2026-01-13T09:12:01.000Z; OptanonConsent=interactionCount=0&groups=C0002%3A1", "g------", false},
		"onetrust: implied":                 {Readers{OneTrust: &OneTrust{Implied: true}}, "OptanonConsent=interactionCount=0&groups=C0002%3A1", "g------", false},
		"onetrust: own groups":              {Readers{OneTrust: &OneTrust{Map: Map{"analytics_storage": {"2", "V2STACK42"}}}}, "OptanonConsent=interactionCount=1&groups=1%3A1%2C2%3A1%2CV2STACK42%3A1", "g------", false},
		"onetrust: one of two groups":       {Readers{OneTrust: &OneTrust{Map: Map{"analytics_storage": {"2", "3"}}}}, "OptanonConsent=interactionCount=1&groups=2%3A1", "-------", false},
		"onetrust: address with groups":     {Readers{OneTrust: &OneTrust{}}, "OptanonConsent=interactionCount=1&groups=C0002%3A0&landingPath=" + url.QueryEscape("https://shop.example/?a=1&groups=C0002:1"), "d------", false},
		"onetrust: groups twice":            {Readers{OneTrust: &OneTrust{}}, "OptanonConsent=interactionCount=1&groups=C0002%3A0&groups=C0002%3A1", "", true},
		"onetrust: address, encoded twice":  {Readers{OneTrust: &OneTrust{}}, "OptanonConsent=" + url.PathEscape("interactionCount=1&landingPath="+url.QueryEscape("https://x/?&groups=C0002:1")), "", true},
		"onetrust: no groups":               {Readers{OneTrust: &OneTrust{}}, "OptanonConsent=isGpcEnabled=0&interactionCount=1", "", true},
		"onetrust: cut off":                 {Readers{OneTrust: &OneTrust{}}, "OptanonConsent=interactionCount=1&groups=C0001%3A1%2CC00", "", true},
		"onetrust: strange state":           {Readers{OneTrust: &OneTrust{}}, "OptanonConsent=interactionCount=1&groups=C0002%3Ayes", "", true},
		"onetrust: two cookies, one denies": {Readers{OneTrust: &OneTrust{}}, "OptanonConsent=interactionCount=1&groups=C0002%3A1; OptanonConsent=interactionCount=2&groups=C0002%3A0", "d------", false},

		"cookiebot: chosen":        {Readers{Cookiebot: &Cookiebot{}}, "CookieConsent=" + cookiebotChosen, "gdddddg", false},
		"cookiebot: not encoded":   {Readers{Cookiebot: &Cookiebot{}}, "CookieConsent={stamp:'x',necessary:true,preferences:true,statistics:false,marketing:true,method:'explicit',ver:1}", "dgggggg", false},
		"cookiebot: encoded twice": {Readers{Cookiebot: &Cookiebot{}}, "CookieConsent=" + twice("{stamp:'x',necessary:true,statistics:true}"), "g-----g", false},
		"cookiebot: with a TC string": {Readers{Cookiebot: &Cookiebot{}}, "CookieConsent={stamp:'x'%2Cnecessary:true%2Cpreferences:true%2Cstatistics:true%2Cmarketing:true%2Cmethod:'explicit'%2Ciab2:'CQuIxQAQuIxQABBAxCENCWFo.IAAA'}",
			"ggggggg", false},
		"cookiebot: implied":               {Readers{Cookiebot: &Cookiebot{}}, "CookieConsent={necessary:true,statistics:true,marketing:false,method:'implied'}", "-ddd---", false},
		"cookiebot: implied, believed":     {Readers{Cookiebot: &Cookiebot{Implied: true}}, "CookieConsent={necessary:true,statistics:true,marketing:false,method:'implied'}", "gddd--g", false},
		"cookiebot: refused":               {Readers{Cookiebot: &Cookiebot{}}, "CookieConsent=0", "ddddddd", false},
		"cookiebot: outside":               {Readers{Cookiebot: &Cookiebot{}}, "CookieConsent=-1", "-------", false},
		"cookiebot: outside, believed":     {Readers{Cookiebot: &Cookiebot{Implied: true}}, "CookieConsent=-1", "ggggggg", false},
		"cookiebot: cut off":               {Readers{Cookiebot: &Cookiebot{}}, "CookieConsent=" + cookiebotChosen[:60], "", true},
		"cookiebot: no categories":         {Readers{Cookiebot: &Cookiebot{}}, "CookieConsent={stamp:'x'}", "", true},
		"cookiebot: category of 2":         {Readers{Cookiebot: &Cookiebot{}}, "CookieConsent={statistics:2}", "", true},
		"cookiebot: analytics from others": {Readers{Cookiebot: &Cookiebot{Map: Map{"analytics_storage": {"marketing"}}}}, "CookieConsent={statistics:true,marketing:false}", "dddd---", false},

		"cookieyes: chosen":          {Readers{CookieYes: &CookieYes{}}, "cookieyes-consent=" + cookieYesChosen, "gdddddg", false},
		"cookieyes: encoded":         {Readers{CookieYes: &CookieYes{}}, "cookieyes-consent=" + url.QueryEscape(cookieYesChosen), "gdddddg", false},
		"cookieyes: before a choice": {Readers{CookieYes: &CookieYes{}}, "cookieyes-consent=consentid:abc,consent:,action:,necessary:,functional:,analytics:,performance:,advertisement:,other:", "-------", false},
		"cookieyes: rejected":        {Readers{CookieYes: &CookieYes{}}, "cookieyes-consent=consentid:abc,consent:no,action:yes,necessary:yes,functional:no,analytics:no,performance:no,advertisement:no", "ddddddg", false},
		"cookieyes: no action":       {Readers{CookieYes: &CookieYes{}}, "cookieyes-consent=analytics:yes", "", true},
		"cookieyes: cut off":         {Readers{CookieYes: &CookieYes{}}, "cookieyes-consent=consentid:abc,action:yes,analytics:yes,adv", "", true},
		"cookieyes: strange state":   {Readers{CookieYes: &CookieYes{}}, "cookieyes-consent=action:yes,analytics:maybe", "", true},

		"klaro: encoded":       {Readers{Klaro: &Klaro{}}, "klaro=" + url.PathEscape(`{"matomo":true,"googleAds":false}`), "gddd---", false},
		"klaro: raw":           {Readers{Klaro: &Klaro{}}, `klaro={"matomo":true}`, "g------", false},
		"klaro: one refused":   {Readers{Klaro: &Klaro{}}, `klaro={"matomo":true,"google-analytics":false}`, "d------", false},
		"klaro: own services":  {Readers{Klaro: &Klaro{Map: Map{"analytics_storage": {"my-stats"}}}}, `klaro={"my-stats":true,"matomo":false}`, "g------", false},
		"klaro: unknown names": {Readers{Klaro: &Klaro{}}, `klaro={"chat":true}`, "-------", false},
		"klaro: cut off":       {Readers{Klaro: &Klaro{}}, "klaro=%7B%22matomo%22%3Atru", "", true},
		"klaro: no booleans":   {Readers{Klaro: &Klaro{}}, `klaro={"matomo":"true"}`, "", true},
		"klaro: null":          {Readers{Klaro: &Klaro{}}, `klaro=null`, "", true},

		"didomi: chosen":         {Readers{Didomi: &Didomi{}}, "didomi_token=" + didomiExample, "gg-dg--", false},
		"didomi: encoded":        {Readers{Didomi: &Didomi{}}, "didomi_token=" + url.QueryEscape(didomiExample), "gg-dg--", false},
		"didomi: no padding":     {Readers{Didomi: &Didomi{}}, "didomi_token=" + strings.TrimRight(didomiExample, "="), "gg-dg--", false},
		"didomi: own purpose":    {Readers{Didomi: &Didomi{Map: Map{"analytics_storage": {"analytics-A1"}, "ad_storage": nil, "functionality_storage": nil}}}, "didomi_token=" + didomiExample, "g--d---", false},
		"didomi: not yet":        {Readers{Didomi: &Didomi{}}, "didomi_token=" + base64.StdEncoding.EncodeToString([]byte(`{"user_id":"u"}`)), "-------", false},
		"didomi: in chunks":      {Readers{Didomi: &Didomi{}}, "didomi_token_0=" + didomiExample[:100] + "; didomi_token_1=" + didomiExample[100:], "gg-dg--", false},
		"didomi: a chunk lost":   {Readers{Didomi: &Didomi{}}, "didomi_token.0=" + didomiExample[:100], "", true},
		"didomi: cut off":        {Readers{Didomi: &Didomi{}}, "didomi_token=" + didomiExample[:200], "", true},
		"didomi: no base64":      {Readers{Didomi: &Didomi{}}, "didomi_token={}", "", true},
		"didomi: something else": {Readers{Didomi: &Didomi{}}, "didomi_token=" + base64.StdEncoding.EncodeToString([]byte(`{"a":1}`)), "", true},

		"tarteaucitron: chosen":       {Readers{Tarteaucitron: &Tarteaucitron{}}, "tarteaucitron=!gajs=true!googleads=false!youtube=wait", "gddd---", false},
		"tarteaucitron: encoded":      {Readers{Tarteaucitron: &Tarteaucitron{}}, "tarteaucitron=%21matomo%3Dtrue", "g------", false},
		"tarteaucitron: waits":        {Readers{Tarteaucitron: &Tarteaucitron{}}, "tarteaucitron=!gajs=true!matomo=wait", "-------", false},
		"tarteaucitron: one refused":  {Readers{Tarteaucitron: &Tarteaucitron{}}, "tarteaucitron=!gajs=true!matomo=false", "d------", false},
		"tarteaucitron: Consent Mode": {Readers{Tarteaucitron: &Tarteaucitron{}}, "tarteaucitron=!gcmanalyticsstorage=true!gcmadstorage=true!gcmadsuserdata=false!gcmpersonalization=false!gcmfunctionality=true!gcmsecurity=true", "ggddgdg", false},
		"tarteaucitron: cut off":      {Readers{Tarteaucitron: &Tarteaucitron{}}, "tarteaucitron=!gajs=true!mato", "", true},
		"tarteaucitron: no mark":      {Readers{Tarteaucitron: &Tarteaucitron{}}, "tarteaucitron=gajs=true", "", true},

		"vanilla: version 3":          {Readers{Vanilla: &Vanilla{}}, "cc_cookie=" + url.PathEscape(vanillaChosen), "gddd--g", false},
		"vanilla: raw":                {Readers{Vanilla: &Vanilla{}}, "cc_cookie=" + strings.ReplaceAll(vanillaChosen, ";", ""), "gddd--g", false},
		"vanilla: encoded twice":      {Readers{Vanilla: &Vanilla{}}, "cc_cookie=" + twice(vanillaChosen), "gddd--g", false},
		"vanilla: version 2":          {Readers{Vanilla: &Vanilla{}}, `cc_cookie={"categories":["necessary","analytics"],"level":["necessary","analytics"],"revision":0,"data":null,"rfc_cookie":false}`, "gdddddg", false},
		"vanilla: version 2.0":        {Readers{Vanilla: &Vanilla{}}, `cc_cookie={"level":["necessary"],"revision":0}`, "ddddddg", false},
		"vanilla: own categories":     {Readers{Vanilla: &Vanilla{Map: Map{"analytics_storage": {"stats"}}}}, `cc_cookie={"categories":["necessary"],"services":{"necessary":[],"stats":[]}}`, "d-----g", false},
		"vanilla: cut off":            {Readers{Vanilla: &Vanilla{}}, "cc_cookie=" + url.PathEscape(vanillaChosen[:80]), "", true},
		"vanilla: no categories":      {Readers{Vanilla: &Vanilla{}}, `cc_cookie={"revision":0}`, "", true},
		"vanilla: giant":              {Readers{Vanilla: &Vanilla{}}, `cc_cookie={"categories":["` + strings.Repeat("x", maxCookie) + `"]}`, "", true},
		"usprivacy: opted out":        {Readers{USPrivacy: &USPrivacy{}}, "usprivacy=1YYN", "-ddd---", false},
		"usprivacy: did not":          {Readers{USPrivacy: &USPrivacy{}}, "usprivacy=1YNN", "-ggg---", false},
		"usprivacy: does not apply":   {Readers{USPrivacy: &USPrivacy{}}, "usprivacy=1---", "-------", false},
		"usprivacy: broken":           {Readers{USPrivacy: &USPrivacy{}}, "usprivacy=1Y", "", true},
		"gpp: California opted out":   {Readers{GPP: &GPP{}}, "__gpp=DBABBg~BEYAAABA.QA", "-ddd---", false},
		"gpp: encoded":                {Readers{GPP: &GPP{}}, "__gpp=DBABBg%7EBEYAAABA.QA", "-ddd---", false},
		"gpp: GPC denies":             {Readers{GPP: &GPP{}}, "gpp=DBABLA~CAAqAAAAAABA.YA", "-ddd---", false},
		"gpp: nobody opted out":       {Readers{GPP: &GPP{}}, "gpp=DBABLA~CAAqAAAAAABA.QA", "-ggg---", false},
		"gpp: other section only":     {Readers{GPP: &GPP{Sections: []int{8}}}, "gpp=DBABLA~CAAqAAAAAABA.YA", "-------", false},
		"gpp: sale of analytics":      {Readers{GPP: &GPP{Sale: []sidetrack.Purpose{"analytics_storage"}}}, "gpp=DBABLA~CAAWAAAAAABA.QA", "dddd---", false},
		"gpp: broken":                 {Readers{GPP: &GPP{}}, "gpp=DBABLA~CAAqAAAA", "", true},
		"gpp: TC string not valid":    {Readers{GPP: &GPP{}}, "gpp=DBABMA~CQSbk4AQSbk4ANwAAAENAwCgAAAAAAAAAAYgACPAAAAA.IDKQA4AAgAKAGQAygAAA.YAAAAAAAAAAA", "", true},
		"gpp: TC string of its time":  {Readers{GPP: &GPP{}}, "gpp=DBABMA~CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA", "dddddd-", false},
		"tcf: publisher permits some": {Readers{TCF: &TCF{}}, "euconsent-v2=CQuIxQAQuIxQABBAxCENCWFoADrAAAPgAAqIAAAAAAAA.IAAA.eAgAELAAAAAA", "dgddgd-", false},
		"tcf: other cookie":           {Readers{TCF: &TCF{}}, "eupubconsent-v2=CQuIxQAQuIxQABBAxCENCWFoADrAAAPgAAqIAAAAAAAA.IAAA.eAgAELAAAAAA", "dgddgd-", false},
		"tcf: own purposes":           {Readers{TCF: &TCF{Purposes: map[sidetrack.Purpose][]int{"analytics_storage": {1, 10}, "ad_storage": {}}}}, "euconsent-v2=CQuIxQAQuIxQABBAxCENCWFoADrAAAPgAAqIAAAAAAAA.IAAA.eAgAELAAAAAA", "g-ddgd-", false},
		"tcf: vendor without consent": {Readers{TCF: &TCF{Vendors: map[sidetrack.Purpose][]int{"ad_storage": {755}}}}, "euconsent-v2=CQuIxQAQuIxQABBAxCENCWFoADrAAAPgAAqIAAAAAAAA.IAAA.eAgAELAAAAAA", "ddddgd-", false},
		"tcf: policy out of force":    {Readers{TCF: &TCF{}}, "euconsent-v2=CQSbk4AQSbk4ANwAAAENAwCgAAAAAAAAAAYgACPAAAAA.IDKQA4AAgAKAGQAygAAA.YAAAAAAAAAAA", "", true},
		"tcf: cut off":                {Readers{TCF: &TCF{}}, "euconsent-v2=CQuIxQAQuIxQABBAxCENCWFoADrAAAPg", "", true},
		"tcf: version 1":              {Readers{TCF: &TCF{}}, "euconsent-v2=BOEFEAyOEFEAyAHABDENAI4AAAB9vABAASA", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Defaults()
			cfg.Readers = tt.readers
			r, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.readers) != 1 {
				t.Fatalf("%d readers", len(r.readers))
			}
			got, err := r.readers[0].Read(origin("Cookie: " + tt.cookie))
			if tt.unreadable != (errors.Is(err, ErrUnreadable)) {
				t.Fatalf("%s %v, want unreadable: %v", short(got), err, tt.unreadable)
			}
			if err == nil && short(got) != tt.want {
				t.Errorf("%s, want %s", short(got), tt.want)
			}
			// What is not there says nothing.
			if c, err := r.readers[0].Read(origin("Cookie: zz=b")); err != nil || !c.IsZero() {
				t.Errorf("without its cookie: %s %v", short(c), err)
			}
			if c, err := r.readers[0].Read(nil); err != nil || !c.IsZero() {
				t.Errorf("without a request: %s %v", short(c), err)
			}
		})
	}
}

func TestResolve(t *testing.T) {
	const a = sidetrack.AnalyticsStorage
	with := func(change func(*Config)) Config {
		c := Defaults()
		change(&c)
		return c
	}
	for name, tt := range map[string]struct {
		cfg    Config
		stated sidetrack.Consent
		lines  []string
		want   string
		how    string
	}{
		"nothing":                {cfg: Defaults(), want: "-------"},
		"server keeps its name":  {cfg: Defaults(), stated: sidetrack.Grant("server", a), want: "g------", how: "server"},
		"cookie denies payload":  {cfg: with(func(c *Config) { c.Readers.Own = &Own{} }), stated: sidetrack.Grant("", a), lines: []string{"Cookie: cookie_status=0"}, want: "ddddddd", how: "payload+own"},
		"two tools, one denies":  {cfg: with(func(c *Config) { c.Readers = Readers{OneTrust: &OneTrust{}, Cookiebot: &Cookiebot{}} }), lines: []string{"Cookie: CookieConsent={statistics:false}; OptanonConsent=interactionCount=1&groups=C0002%3A1"}, want: "d------", how: "onetrust+cookiebot"},
		"gpc":                    {cfg: Defaults(), stated: sidetrack.GrantAll(""), lines: []string{"Sec-Gpc: 1"}, want: "gdddggg", how: "payload+gpc"},
		"strict gpc":             {cfg: with(func(c *Config) { c.GPC = "strict" }), stated: sidetrack.GrantAll(""), lines: []string{"Sec-Gpc: 1"}, want: "ddddggg", how: "payload+gpc"},
		"dnt is ignored":         {cfg: Defaults(), stated: sidetrack.GrantAll(""), lines: []string{"Dnt: 1"}, want: "ggggggg", how: "payload"},
		"dnt is honoured":        {cfg: with(func(c *Config) { c.DNT = "honour" }), stated: sidetrack.GrantAll(""), lines: []string{"Dnt: 1"}, want: "ddddggg", how: "payload+dnt"},
		"dnt 0":                  {cfg: with(func(c *Config) { c.DNT = "honour" }), lines: []string{"Dnt: 0"}, want: "-------"},
		"opt-out region":         {cfg: with(func(c *Config) { c.Unknown = "granted"; c.Readers.USPrivacy = &USPrivacy{} }), lines: []string{"Cookie: usprivacy=1YYN"}, want: "gdddggg", how: "usprivacy+default"},
		"unreadable is not free": {cfg: with(func(c *Config) { c.Unknown = "granted"; c.Readers.OneTrust = &OneTrust{} }), lines: []string{"Cookie: OptanonConsent=broken"}, want: "-------", how: "onetrust:unreadable"},
		"unreadable costs only itself": {cfg: with(func(c *Config) { c.Readers = Readers{OneTrust: &OneTrust{}, Klaro: &Klaro{}} }),
			lines: []string{`Cookie: OptanonConsent=broken; klaro={"ga":true}`}, want: "g------", how: "onetrust:unreadable+klaro"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := New(tt.cfg)
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Resolve(origin(tt.lines...), tt.stated); short(got) != tt.want || got.How != tt.how {
				t.Errorf("%s %q, want %s %q", short(got), got.How, tt.want, tt.how)
			}
		})
	}
}

func TestConfigErrors(t *testing.T) {
	for field, cfg := range map[string]Config{
		"unknown":                           {},
		"gpc":                               {Unknown: "denied", GPC: "on"},
		"dnt":                               {Unknown: "denied", GPC: "honour", DNT: "strict"},
		"readers.onetrust.map":              {Unknown: "denied", GPC: "honour", Readers: Readers{OneTrust: &OneTrust{Map: Map{"analytics": {"C0002"}}}}},
		"readers.tcf.purposes.ad_storage":   {Unknown: "denied", GPC: "honour", Readers: Readers{TCF: &TCF{Purposes: map[sidetrack.Purpose][]int{"ad_storage": {25}}}}},
		"readers.tcf.vendors":               {Unknown: "denied", GPC: "honour", Readers: Readers{TCF: &TCF{Vendors: map[sidetrack.Purpose][]int{"ads": {755}}}}},
		"readers.gpp.sale":                  {Unknown: "denied", GPC: "honour", Readers: Readers{GPP: &GPP{Sale: []sidetrack.Purpose{"ads"}}}},
		"readers.usprivacy.sale":            {Unknown: "denied", GPC: "honour", Readers: Readers{USPrivacy: &USPrivacy{Sale: []sidetrack.Purpose{"ads"}}}},
		"readers.own.status":                {Unknown: "denied", GPC: "honour", Readers: Readers{Own: &Own{Action: "a", Status: "a"}}},
		"readers.vanilla_cookieconsent.map": {Unknown: "denied", GPC: "honour", Readers: Readers{Vanilla: &Vanilla{Map: Map{"x": nil}}}},
		"readers.own.purposes":              {Unknown: "denied", GPC: "honour", Readers: Readers{Own: &Own{Purposes: []sidetrack.Purpose{"x"}}}},
	} {
		_, err := New(cfg)
		if fe, ok := errors.AsType[*sidetrack.FieldError](err); !ok || fe.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// all is every reader with its defaults.
func all(t testing.TB) []Reader {
	t.Helper()
	cfg := Defaults()
	v := reflect.ValueOf(&cfg.Readers).Elem()
	for i := range v.NumField() {
		v.Field(i).Set(reflect.New(v.Field(i).Type().Elem()))
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.readers) != v.NumField() {
		t.Fatalf("%d readers of %d", len(r.readers), v.NumField())
	}
	return r.readers
}

type fixed struct {
	name string
	c    sidetrack.Consent
	err  error
}

func (f fixed) Name() string                                      { return f.name }
func (f fixed) Read(*sidetrack.Origin) (sidetrack.Consent, error) { return f.c, f.err }

// Denied wins whoever says it and in whatever order; nothing is granted that nobody granted; whoever
// contributed is named.
func TestDenyWins(t *testing.T) {
	state := rapid.SampledFrom([]sidetrack.State{sidetrack.Unknown, sidetrack.Granted, sidetrack.Denied})
	draw := func(t *rapid.T) sidetrack.Consent {
		var c sidetrack.Consent
		for _, p := range sidetrack.Purposes() {
			c.Set(p, state.Draw(t, string(p)))
		}
		return c
	}
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{Unknown: rapid.SampledFrom([]string{"denied", "granted"}).Draw(t, "unknown"), GPC: "honour", DNT: "honour"}
		stated := draw(t)
		var readers []Reader
		unreadable := false
		for range rapid.IntRange(0, 4).Draw(t, "readers") {
			f := fixed{name: rapid.StringMatching(`[a-z]{3}`).Draw(t, "name"), c: draw(t)}
			if rapid.IntRange(0, 4).Draw(t, "fails") == 0 {
				f.err, f.c, unreadable = ErrUnreadable, sidetrack.Consent{}, true
			}
			readers = append(readers, f)
		}
		var lines []string
		gpc := rapid.Bool().Draw(t, "gpc")
		if gpc {
			lines = append(lines, "Sec-Gpc: 1")
		}
		resolve := func(readers []Reader) sidetrack.Consent {
			r, err := New(cfg, readers...)
			if err != nil {
				t.Fatal(err)
			}
			return r.Resolve(origin(lines...), stated)
		}
		got := resolve(readers)
		for _, p := range sidetrack.Purposes() {
			granted, denied := stated.Get(p) == sidetrack.Granted, stated.Get(p) == sidetrack.Denied || gpc && strings.HasPrefix(string(p), "ad_")
			for _, r := range readers {
				granted = granted || r.(fixed).c.Get(p) == sidetrack.Granted
				denied = denied || r.(fixed).c.Get(p) == sidetrack.Denied
			}
			want := sidetrack.Unknown
			switch {
			case denied:
				want = sidetrack.Denied
			case granted, cfg.Unknown == "granted" && !unreadable:
				want = sidetrack.Granted
			}
			if got.Get(p) != want {
				t.Fatalf("%s is %s, want %s", p, got.Get(p), want)
			}
		}
		for _, r := range readers {
			if f := r.(fixed); (f.err != nil || !f.c.IsZero()) && !strings.Contains(got.How, f.name) {
				t.Fatalf("%q does not name %s", got.How, f.name)
			}
		}
		other := resolve(rapid.Permutation(readers).Draw(t, "order"))
		if short(other) != short(got) {
			t.Fatalf("in another order %s instead of %s", short(other), short(got))
		}
	})
}

// Whatever a visitor sends: no reader panics, and one that cannot read it grants nothing.
func FuzzReaders(f *testing.F) {
	for _, s := range []string{
		"OptanonConsent=" + oneTrustChosen, "CookieConsent=" + cookiebotChosen, "cookieyes-consent=" + cookieYesChosen, "cc_cookie=" + vanillaChosen,
		"didomi_token=" + didomiExample, "tarteaucitron=!gajs=true!matomo=wait", `klaro={"ga":true}`, "cookie_action=accept; cookie_status=0",
		"consent=analytics_storage:granted|ad_storage=denied", "__gpp=DBABBg~BEYAAABA.QA", "usprivacy=1YNN",
		"euconsent-v2=CQuIxQAQuIxQABBAxCENCWFoADrAAAPgAAqIAAAAAAAA.IAAA.eAgAELAAAAAA", "consent=%257B%2522ad_storage%2522%253A%2522denied%2522%257D", "klaro.0={; klaro.1=}",
	} {
		f.Add(s)
	}
	readers := all(f)
	f.Fuzz(func(t *testing.T, cookie string) {
		o := sidetrack.NewOrigin(netip.Addr{}, &http.Request{Header: http.Header{"Cookie": {cookie}}})
		for _, r := range readers {
			c, err := r.Read(o)
			if err != nil && !c.IsZero() {
				t.Fatalf("%s: unreadable, yet %s", r.Name(), short(c))
			}
			again, _ := r.Read(o)
			if short(again) != short(c) {
				t.Fatalf("%s: %s, then %s", r.Name(), short(c), short(again))
			}
		}
	})
}

func FuzzParseState(f *testing.F) {
	f.Add("granted")
	f.Add("analytics_storage:granted|ad_storage=denied")
	f.Add(`{"ad_storage":"granted"}`)
	f.Add("G101")
	f.Add("13r3t3v3r5")
	f.Fuzz(func(t *testing.T, s string) {
		c, ok := ParseState(s)
		if !ok && !c.IsZero() {
			t.Errorf("%q: unreadable, yet %s", s, short(c))
		}
		if strings.Contains(short(c), "g") && !strings.ContainsAny(s, "1G\\") && !strings.Contains(s, "granted") {
			t.Errorf("%q grants", s)
		}
	})
}

func BenchmarkReaders(b *testing.B) {
	o := origin("Cookie: _ga=GA1.1.1.2; OptanonConsent=" + oneTrustChosen + "; CookieConsent=" + cookiebotChosen + "; cookieyes-consent=" + cookieYesChosen +
		"; cc_cookie=" + url.PathEscape(vanillaChosen) + "; didomi_token=" + didomiExample + `; klaro=%7B%22ga%22%3Atrue%7D; tarteaucitron=!gajs=true!youtube=wait` +
		"; cookie_status=1; usprivacy=1YNN; __gpp=DBABBg~BEYAAABA.QA; euconsent-v2=CQuIxQAQuIxQABBAxCENCWFoADrAAAPgAAqIAAAAAAAA.IAAA.eAgAELAAAAAA; consent=analytics_storage:granted")
	for _, r := range all(b) {
		b.Run(r.Name(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if c, err := r.Read(o); err != nil || c.IsZero() {
					b.Fatal(short(c), err)
				}
			}
		})
	}
	b.Run("none there", func(b *testing.B) {
		r, err := New(Defaults(), all(b)...)
		if err != nil {
			b.Fatal(err)
		}
		o := origin("Cookie: _ga=GA1.1.1.2; session=abc")
		b.ReportAllocs()
		for b.Loop() {
			r.Resolve(o, sidetrack.Consent{})
		}
	})
}
